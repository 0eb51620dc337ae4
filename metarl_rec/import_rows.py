"""What a row of any source can be: an interaction, attributes, or something that cannot be used, with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["AttributeRow", "Ignored", "ImportRow", "Interaction", "Part", "Rejection", "Role"]

Role = Literal["user", "item"]
Part = Literal["interaction", "user", "item"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """A user's rating of an item.

    Attributes:
        file: where it stands.
        line: likewise, from 1.
        user: id.
        item: id.
        rating: finite.
        timestamp: seconds since 1970, or None.
        merely_seen: whether it counts only where the user did not react to the item in any other way.
    """

    file: Path
    line: int
    user: str
    item: str
    rating: float
    timestamp: float | None
    merely_seen: bool = False


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """Attributes of one user or item; of several rows, later ones replace the attributes that they name.

    Attributes:
        file: where it stands.
        line: likewise, from 1.
        role: whose they are.
        key: the id; None where the row's is no id.
        cells: values as the source has them.
    """

    file: Path
    line: int
    role: Role
    key: str | None
    cells: Mapping[str, object]


@dataclass(frozen=True, slots=True, order=True)
class Rejection:
    """Something that was left out.

    Attributes:
        file: where it stands.
        line: likewise, from 1.
        reason: why.
        part: of what it would have been.
    """

    file: Path
    line: int
    reason: str
    part: Part = "interaction"

    def __str__(self) -> str:
        """Returns file, line and reason as one line of text."""
        return f"{self.file.name}, line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event of a type that is to be ignored; it is counted."""

    type: str


ImportRow = Interaction | AttributeRow | Rejection | Ignored
