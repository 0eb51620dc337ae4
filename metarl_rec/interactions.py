"""From cells, of whatever type a file gave them, to an interaction, or to the reason why there is none."""

from __future__ import annotations

from pathlib import Path

from metarl_rec.cells import as_id, as_number, as_seconds
from metarl_rec.dataset import MAX_RATING, id_fault
from metarl_rec.import_rows import Interaction, Rejection

__all__ = ["interaction"]


def interaction(
    file: Path, line: int, user: object, item: object, rating: object, time: object, *, merely_seen: bool = False
) -> Interaction | Rejection:
    """Returns the interaction that these cells hold.

    Args:
        file: where they stand.
        line: likewise.
        user: id of the user.
        item: id of the item.
        rating: a number.
        time: seconds since 1970, a date, or nothing.
        merely_seen: whether it gives way to any other interaction of the two.
    """
    ids = as_id(user), as_id(item)
    for role, value in zip(("user", "item"), ids, strict=True):
        fault = "id is neither text nor a whole number" if value is None else id_fault(value)
        if fault:
            return Rejection(file, line, f"{role}: {fault}")
    number = as_number(rating)
    if number is None or abs(number) > MAX_RATING:
        return Rejection(file, line, "rating is not a finite number")
    try:
        seconds = as_seconds(time)
    except (ValueError, OverflowError) as error:
        return Rejection(file, line, str(error))
    return Interaction(file, line, str(ids[0]), str(ids[1]), number, seconds, merely_seen)
