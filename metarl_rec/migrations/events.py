"""From events of other products to interactions, by rules for their types; and from their labels to attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metarl_rec.cells import as_number
from metarl_rec.event_ratings import NOT_LIKED, EventRatings
from metarl_rec.import_rows import Ignored, Interaction, Rejection
from metarl_rec.interactions import interaction

__all__ = ["flattened", "rated"]

_MAX_DEPTH = 8
_RESERVED = ("user_id", "item_id")


def rated(
    file: Path,
    line: int,
    type_: object,
    value: object,
    user: object,
    item: object,
    time: object,
    rules: EventRatings,
) -> Interaction | Ignored | Rejection:
    """Returns what an event says of its user and item.

    Args:
        file: where it stands.
        line: likewise.
        type_: its type's name.
        value: its value, if it has one.
        user: id.
        item: id.
        time: seconds since 1970, a date, or nothing.
        rules: what types mean.
    """
    if not isinstance(type_, str) or not type_:
        return Rejection(file, line, "the event has no type")
    meaning = rules.meaning(type_, as_number(value))
    match meaning:
        case None:
            # Escaped: it is the file's text, and is printed.
            name = ascii(type_)[1:-1][:60]
            return Rejection(
                file, line, f"no rule for events of type {name}; --map {name}=5 is liked, =1 not liked, =seen, =ignore"
            )
        case "ignore":
            return Ignored(type_)
        case "seen":
            return interaction(file, line, user, item, NOT_LIKED, time, merely_seen=True)
        case "value":
            return interaction(file, line, user, item, value, time)
    return interaction(file, line, user, item, meaning, time)


def flattened(labels: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Returns attributes, those of nested objects as `outer.inner`, and what is wrong with the others.

    Lists of numbers are vectors, not attributes.
    """
    cells: dict[str, object] = {}
    faults: list[str] = []
    for name, value in _leaves(labels):
        shown = ascii(name)[1:-1][:60]
        if isinstance(value, Mapping):
            faults.append(f"attribute {shown} is nested too deep")
        elif name in _RESERVED:
            faults.append(f"attribute {shown} has a reserved name")
        elif isinstance(value, list) and any(isinstance(entry, float | int) and entry is not True for entry in value):
            faults.append(f"attribute {shown} is a list of numbers, which is no attribute")
        else:
            cells[name] = value
    return cells, faults


def _leaves(labels: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    waiting: list[tuple[int, str, object]] = [(1, str(name), value) for name, value in [*labels.items()][::-1]]
    while waiting:
        depth, name, value = waiting.pop()
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            waiting += [(depth + 1, f"{name}.{inner}", each) for inner, each in [*value.items()][::-1]]
        else:
            yield name, value
