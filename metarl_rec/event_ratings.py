"""From types of events to ratings: a data set holds ratings, and a rating of 4 or more is a reward of 1.

A rule is written TYPE=MEANING or TYPE>=BOUND=MEANING. A meaning is a rating (5 for liked, 1 for not liked), `value` for
the event's own value, `seen` for what says only that the item was shown or opened (a rating of 1 that counts where the
user did not react in any other way), or `ignore`. The first rule that fits counts; `*` fits every type.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from metarl_rec.cells import as_number
from metarl_rec.dataset import MAX_RATING
from metarl_rec.errors import ConfigError

__all__ = ["COMMON", "EventRatings", "Meaning"]

LIKED, NOT_LIKED = 5.0, 1.0
Meaning = float | Literal["value", "seen", "ignore"]
_RULE = re.compile(r"(?P<type>[^<>=]+)(?:(?P<sign><=|>=|<|>)(?P<bound>[^<>=]+))?=(?P<meaning>[^<>=]+)")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}

COMMON = (
    *(
        f"{type_}={LIKED:g}"
        for type_ in (
            "like", "star", "click", "purchase", "buy", "order", "favorite", "favourite", "bookmark", "save", "share",
            "cart", "add_to_cart", "checkout", "subscribe", "follow",
        )
    ),
    *(f"{type_}={NOT_LIKED:g}" for type_ in ("dislike", "skip", "hide", "unlike", "block")),
    *(f"{type_}=seen" for type_ in ("read", "view", "impression", "ranking")),
    *(f"{type_}=value" for type_ in ("rating", "rate")),
)  # fmt: skip
"""Rules for types whose names leave no doubt."""


@dataclass(frozen=True, slots=True)
class _Rule:
    type: str
    fits: Callable[[float, float], bool] | None
    bound: float
    meaning: Meaning

    @classmethod
    def parse(cls, text: str) -> _Rule:
        found = _RULE.fullmatch(text)
        meaning = None if found is None else _meaning(found["meaning"].strip())
        bound = 0.0 if found is None or found["bound"] is None else as_number(found["bound"])
        if found is None or meaning is None or bound is None:
            raise ConfigError(
                f"--map {text!r} must be TYPE=RATING, for example click=5, 'read>=3=5', rating=value, view=seen, "
                "or share=ignore"
            )
        return cls(found["type"].strip(), _SIGNS.get(found["sign"] or ""), bound, meaning)


@dataclass(frozen=True, slots=True)
class EventRatings:
    """Rules in the order in which they are tried."""

    rules: tuple[_Rule, ...]

    @classmethod
    def of(cls, given: Iterable[str], defaults: Iterable[str] = COMMON) -> EventRatings:
        """Returns the rules that are given, and after them the defaults.

        Raises:
            ConfigError: one cannot be read.
        """
        return cls(tuple(_Rule.parse(text) for text in (*given, *defaults)))

    def meaning(self, type_: str, value: float | None) -> Meaning | None:
        """Returns what an event of this type and value means, or None where no rule says so."""
        for rule in self.rules:
            if rule.type not in (type_, "*"):
                continue
            if rule.fits is None or (value is not None and rule.fits(value, rule.bound)):
                return rule.meaning
        return None


def _meaning(text: str) -> Meaning | None:
    if text in ("value", "seen", "ignore"):
        return text  # type: ignore[return-value]  # mypy does not narrow a str by `in`
    number = as_number(text)
    return None if number is None or abs(number) > MAX_RATING else number
