"""Filter expressions over item attributes: a small grammar, parsed once, never evaluated as code.

    expression := term ("or" term)*             genres: a list of words, year: a number
    term       := factor ("and" factor)*        "Drama" in genres and year >= 1990
    factor     := "not" factor | "(" expression ")" | test
    test       := NAME ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE
                | NAME "in" "[" VALUE ("," VALUE)* "]"
                | VALUE "in" NAME
                | "exists" "(" NAME ")"
    NAME       := letters, digits, _ . - (not first: digit . -), or anything between backticks, where `` is a backtick;
                  item_id is the item's id
    VALUE      := a number, or text in double quotes with JSON's escapes

A test is false for an item that lacks the attribute, `!=` too; `not` turns that round. A list has a value if one of its
entries is that value; an empty list is no attribute. Numbers and text are never equal. No attribute is true or false,
so there are no such values: give a number or a word.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Filter", "FilterError", "Items", "parse_filter"]

MAX_CHARACTERS: Final = 2000
MAX_TESTS: Final = 200
MAX_DEPTH: Final = 32
_TOLD: Final = 12
Value = str | float
Mask = NDArray[np.bool_]
Comparison = Literal["=", "!=", "<", "<=", ">", ">="]


class FilterError(ValueError):
    """An expression that cannot be read, or names an attribute that no item has; the text repeats none of it."""


class Items(Protocol):
    """What filters ask of a catalogue of n items."""

    def names(self) -> list[str]:
        """Returns the attributes that items have."""

    def having(self, name: str) -> Mask:
        """Returns which items have an attribute, [n] bool."""

    def one_of(self, name: str, values: Sequence[Value]) -> Mask:
        """Returns whose attribute is one of some values, or has one as an entry, [n] bool."""

    def ordered(self, name: str, comparison: str, bound: float) -> Mask:
        """Returns whose attribute is a number on one side of a bound, [n] bool."""


class Filter(Protocol):
    """A parsed expression."""

    def mask(self, items: Items) -> Mask:
        """Returns which items satisfy it, [n] bool.

        Raises:
            FilterError: it names an attribute that no item has.
        """


@dataclass(frozen=True, slots=True)
class _Test:
    name: str
    at: int
    values: tuple[Value, ...]
    comparison: Comparison | None = None

    def mask(self, items: Items) -> Mask:
        known = items.names()
        if self.name != "item_id" and self.name not in known:
            told = ", ".join(sorted(known)[:_TOLD]) or "none"
            more = f" and {len(known) - _TOLD} more" if len(known) > _TOLD else ""
            raise FilterError(f"no item has the attribute at character {self.at}; there are: {told}{more}")
        if not self.values:
            return items.having(self.name)
        if self.comparison in (None, "="):
            return items.one_of(self.name, self.values)
        if self.comparison == "!=":
            return items.having(self.name) & ~items.one_of(self.name, self.values)
        return items.ordered(self.name, self.comparison, float(self.values[0]))


@dataclass(frozen=True, slots=True)
class _Not:
    part: Filter

    def mask(self, items: Items) -> Mask:
        return ~self.part.mask(items)


@dataclass(frozen=True, slots=True)
class _Join:
    word: Literal["and", "or"]
    parts: tuple[Filter, ...]

    def mask(self, items: Items) -> Mask:
        found = self.parts[0].mask(items)
        for part in self.parts[1:]:
            found = found & part.mask(items) if self.word == "and" else found | part.mask(items)
        return found


@lru_cache(maxsize=1024)
def parse_filter(text: str) -> Filter:
    """Returns the expression, parsed.

    Raises:
        FilterError: it cannot be read; the text says at which character and what may stand there.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterError(f"an expression may have {MAX_CHARACTERS} characters; shorten it")
    return _Parser(text).whole()


_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")
      | (?P<name>[A-Za-z_][A-Za-z0-9_.-]*|`(?:[^`]|``)+`)
      | (?P<sign>!=|<=|>=|[=<>()\[\],]))""",
    re.VERBOSE,
)
_WORDS = ("and", "or", "not", "in", "exists")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent over the tokens; `_at` is the next one."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._tests = 0

    def whole(self) -> Filter:
        found = self._expression(0)
        if self._next.kind != "end":
            raise self._expected('"and", "or" or the end')
        return found

    def _expression(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise FilterError(f"character {self._next.at}: nested deeper than {MAX_DEPTH} levels; simplify it")
        terms = [self._term(depth)]
        while self._took("or"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else _Join("or", tuple(terms))

    def _term(self, depth: int) -> Filter:
        factors = [self._factor(depth)]
        while self._took("and"):
            factors.append(self._factor(depth))
        return factors[0] if len(factors) == 1 else _Join("and", tuple(factors))

    def _factor(self, depth: int) -> Filter:
        if self._took("not"):
            if depth >= MAX_DEPTH:
                raise FilterError(f"character {self._next.at}: nested deeper than {MAX_DEPTH} levels; simplify it")
            return _Not(self._factor(depth + 1))
        if self._took("("):
            found = self._expression(depth + 1)
            self._need(")")
            return found
        return self._test()

    def _test(self) -> Filter:
        self._tests += 1
        if self._tests > MAX_TESTS:
            raise FilterError(f"more than {MAX_TESTS} tests; put values into one list: name in [...]")
        if self._next.kind in ("number", "text"):
            value = self._value()
            self._need("in")
            name, at = self._name()
            return _Test(name, at, (value,))
        if self._took("exists"):
            self._need("(")
            name, at = self._name()
            self._need(")")
            return _Test(name, at, ())
        name, at = self._name()
        if self._took("in"):
            self._need("[")
            values = [self._value()]
            while self._took(","):
                values.append(self._value())
            self._need("]")
            return _Test(name, at, tuple(values))
        for comparison in ("=", "!=", "<=", ">=", "<", ">"):
            if self._took(comparison):
                value = self._value()
                if comparison not in ("=", "!=") and isinstance(value, str):
                    raise FilterError(f"character {self._tokens[self._at - 1].at}: only numbers have an order")
                return _Test(name, at, (value,), comparison)
        raise self._expected('a comparison or "in"')

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _took(self, word: str) -> bool:
        if self._next.text == word and self._next.kind in ("word", "sign"):
            self._at += 1
            return True
        return False

    def _need(self, word: str) -> None:
        if not self._took(word):
            raise self._expected(f'"{word}"')

    def _name(self) -> tuple[str, int]:
        token = self._next
        if token.kind != "name":
            raise self._expected("an attribute's name")
        self._at += 1
        return _plain(token.text), token.at

    def _value(self) -> Value:
        token = self._next
        if token.kind not in ("number", "text"):
            raise self._expected("a number or text in double quotes")
        self._at += 1
        if token.kind == "number":
            number = float(token.text)
            if not math.isfinite(number):
                raise FilterError(f"character {token.at}: the number is too large")
            return number
        try:
            return str(json.loads(token.text))
        except ValueError:
            raise FilterError(f"character {token.at}: the text has an escape that JSON does not know") from None

    def _expected(self, what: str) -> FilterError:
        return FilterError(f"character {self._next.at}: {what} is expected")


def _plain(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _tokens(text: str) -> list[_Token]:
    """Returns the tokens with the character, counted from 1, at which each begins; the last one is the end."""
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            first = at + len(text[at:]) - len(text[at:].lstrip()) + 1
            raise FilterError(f"character {first}: a name, a number, text in double quotes or a sign is expected")
        kind, word = found.lastgroup, found[found.lastgroup]
        tokens.append(_Token("word" if word in _WORDS else kind, word, found.start(found.lastgroup) + 1))
        at = found.end()
    return [*tokens, _Token("end", "", end + 1)]
