"""What all requests share: ids, attributes, and strict, closed, finite models."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

__all__ = ["AttributeValue", "Attributes", "Closed", "Id", "Name", "Number", "Problem", "Text", "Time", "check_id"]


def check_id(value: str) -> str:
    """Returns an id that is fit to be one.

    Raises:
        ValueError: it is empty or too long, or holds control characters or surrogates.
    """
    if not 1 <= len(value) <= 256:
        raise ValueError("must have 1 to 256 characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError("must not contain control characters or surrogates")
    return value


def _text_or_time(value: object) -> object:
    """Returns a time that is text; pydantic would read a number, too, and guess whether it means seconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and ":" in value):
        return value
    raise ValueError("must be an RFC 3339 time, for example 2026-11-23T20:00:00Z")


def _with_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a time zone, for example 2026-11-23T20:00:00Z")
    return value


Id = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(check_id)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(check_id)]
Text = Annotated[str, StringConstraints(max_length=1024)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
AttributeValue = Number | Text | Annotated[list[Text], Field(max_length=64)]
Time = Annotated[datetime, Field(strict=False), BeforeValidator(_text_or_time), AfterValidator(_with_zone)]
Attributes = Annotated[dict[Name, AttributeValue], Field(max_length=64)]


class Closed(BaseModel):
    """A request's part: strict types, no unknown field, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="A URN that ends in the code.")
    title: str
    status: int
    detail: str = Field(description="For people: what is wrong, and what to do.")
    code: str = Field(description="For programs: a stable word.")
    request_id: str = Field(description="Finds the call in the service's log; also in the header X-Request-Id.")
