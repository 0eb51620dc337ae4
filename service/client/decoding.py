"""From JSON to frozen dataclasses by their annotations; fields that a newer service adds are passed over."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from service.client.errors import UnexpectedAnswerError

__all__ = ["built"]

T = TypeVar("T")


def built(kind: type[T], body: object) -> T:
    """Returns an instance of a dataclass from a JSON object.

    Raises:
        UnexpectedAnswerError: a field is missing or has another type.
    """
    return kind(**_values(kind, body))


def _values(kind: type, body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UnexpectedAnswerError(f"expected {kind.__name__} as a JSON object; is this the service's URL?")
    values = {}
    for name, convert, required in _plan(kind):
        if name in body:
            try:
                values[name] = convert(body[name])
            except (TypeError, ValueError):
                raise UnexpectedAnswerError(f"{kind.__name__}.{name} is not what it should be") from None
        elif required:
            raise UnexpectedAnswerError(f"the answer lacks {kind.__name__}.{name}; is this the service's URL?")
    return values


@functools.cache
def _plan(kind: type) -> tuple[tuple[str, Callable[[Any], Any], bool], ...]:
    """Returns name, converter and whether it must be there, for every field."""
    hints = get_type_hints(kind)
    return tuple(
        (field.name, _converter(hints[field.name]), field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
    )


def _converter(hint: Any) -> Callable[[Any], Any]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (part for part in parts if part is not type(None))
        convert = _converter(inner)
        return lambda value: None if value is None else convert(value)
    if origin is tuple:
        each = _converter(parts[0])
        return lambda value: tuple(each(entry) for entry in _of(list, value))
    if origin in (dict, Mapping):
        return lambda value: _of(dict, value)
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: built(hint, value)
    if hint is datetime:
        return datetime.fromisoformat
    if hint is float:
        return _number
    if hint is Any:
        return lambda value: value
    return lambda value: _of(hint, value)


def _of(kind: type, value: object) -> Any:
    if type(value) is not kind:
        raise TypeError(kind.__name__)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("number")
    return float(value)
