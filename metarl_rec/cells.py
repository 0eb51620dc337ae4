"""Cells of a table, of whatever type a file gave them, as ids, numbers and times."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

__all__ = ["as_id", "as_number", "as_seconds"]


def as_id(value: object) -> str | None:
    """Returns the id in a cell, '' for an empty cell, None for what is neither text nor a whole number.

    A whole float is read as an integer: that is what a column of integers with gaps becomes in many tools.
    """
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return None
        case int():
            return str(value) if value.bit_length() < 1024 else None
        case float() if math.isnan(value):
            return ""
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
    return None


def as_number(value: object) -> float | None:
    """Returns the finite number in a cell, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    if isinstance(value, str) and "_" in value:  # Python's own 1_000 is nobody's notation in data
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_seconds(value: object) -> float | None:
    """Returns the time in a cell in seconds since 1970: a number, or a date and time, UTC unless it says otherwise.

    Raises:
        ValueError: the cell holds something else.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime.combine(value, time())
    elif _is_empty(value):
        return None
    else:
        number = as_number(value)
        if number is not None:
            return number
        if not isinstance(value, str):
            raise ValueError("timestamp is neither a number nor a date")
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError("timestamp is neither a number nor an ISO 8601 date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_empty(value: object) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())
