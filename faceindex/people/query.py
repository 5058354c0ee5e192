"""The language of `find`: which people a photo shows, as in ``Anna & (Ben | Carl) & !c7``.

====================  ====================================================================
written               the photo shows
====================  ====================================================================
``Anna Maria``        the person with this name; words up to an operator are one name
``"Smith & Son"``     as above; quotes ``"`` or ``'`` for names with operators in them
``c7``, ``7``         a face of cluster 7
``*``, ``anybody``    a person, or a face of a cluster without a name
``?``, ``unnamed``    a face of a cluster without a name
``nobody``            the contrary of ``anybody``
``!a``, ``not a``     not `a`
``a & b``             both; also ``and``, ``+``, a comma
``a | b``             one or both; also ``or``
``( )``               what belongs together
====================  ====================================================================

``!`` binds more closely than ``&``, which binds more closely than ``|``. Operators that are words are written
in small or in capital letters: ``Or`` is a name. A backslash in quotes takes the next character as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from faceindex.errors import UsageError

__all__ = ["And", "Anybody", "ClusterNumber", "Name", "Not", "Or", "Query", "Unnamed", "leaves", "parse"]

_DEEPEST = 50  # parentheses in parentheses; Python allows some hundred calls in calls
_SYMBOLS = {"&": "and", "+": "and", ",": "and", "|": "or", "(": "(", ")": ")"}
_WORDS = {"and": "and", "AND": "and", "or": "or", "OR": "or", "not": "not", "NOT": "not"}
_END_OF_WORD = re.compile(r"[\s&+,|()]")
_CLUSTER = re.compile(r"(?:c|cluster)?[\s:#]*(\d+)", re.IGNORECASE)
_FACE = re.compile(r"(?:f|face)[\s:#]*\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """The person with a name."""

    name: str

    def __str__(self) -> str:
        try:
            bare = parse(self.name) == self
        except UsageError:
            bare = False
        if bare:
            return self.name
        return '"' + self.name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class ClusterNumber:
    """A face of a cluster."""

    cluster: int

    def __str__(self) -> str:
        return f"c{self.cluster}"


@dataclass(frozen=True, slots=True)
class Anybody:
    """A person, or a face of a cluster without a name."""

    def __str__(self) -> str:
        return "anybody"


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A face of a cluster without a name."""

    def __str__(self) -> str:
        return "unnamed"


@dataclass(frozen=True, slots=True)
class Not:
    """What a query does not find."""

    term: Query

    def __str__(self) -> str:
        return f"!{_in_parentheses(self.term, And, Or)}"


@dataclass(frozen=True, slots=True)
class And:
    """What all of two or more queries find."""

    terms: tuple[Query, ...]

    def __str__(self) -> str:
        return " & ".join(_in_parentheses(term, And, Or) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Or:
    """What one or more of two or more queries find."""

    terms: tuple[Query, ...]

    def __str__(self) -> str:
        return " | ".join(_in_parentheses(term, Or) for term in self.terms)


Query: TypeAlias = "Name | ClusterNumber | Anybody | Unnamed | Not | And | Or"


def _in_parentheses(term: Query, *kinds: type) -> str:
    return f"({term})" if isinstance(term, kinds) else str(term)


def leaves(query: Query, *, negated: bool = False) -> Iterator[tuple[Query, bool]]:
    """Yield the names, clusters and so on of a query, with whether each is inside an odd number of ``!``."""
    if isinstance(query, Not):
        yield from leaves(query.term, negated=not negated)
    elif isinstance(query, (And, Or)):
        for term in query.terms:
            yield from leaves(term, negated=negated)
    else:
        yield query, negated


def parse(text: str) -> Query:
    """Parse a query.

    Raises
    ------
    UsageError
        If it is not one; the message has the place.
    """
    return _Parser(text).query()


class _Token(NamedTuple):
    kind: str  # "and", "or", "not", "(", ")", "word", "quoted", "end"
    value: str  # of words and quoted names
    start: int
    end: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._at = 0
        self._depth = 0

    def query(self) -> Query:
        found = self._either()
        token = self._token
        if token.kind == ")":
            raise self._error(token, "The query has `)` {place} without a `(` before it.")
        if token.kind != "end":
            raise self._error(
                token,
                f"The query lacks an operator before `{self._written(token)}` {{place}}.",
                "Write & or | between two names, and quotes around a name with such characters.",
            )
        return found

    # Tokens ------------------------------------------------------------------------------------

    def _read(self) -> Iterator[_Token]:
        text, at = self._text, 0
        while at < len(text):
            letter, start = text[at], at
            if letter.isspace():
                at += 1
            elif kind := _SYMBOLS.get(letter):
                at += 2 if letter in "&|" and text[at : at + 2] == letter * 2 else 1  # && and || are usual
                yield _Token(kind, "", start, at)
            elif letter == "!":
                at += 1
                yield _Token("not", "", start, at)
            elif letter in "\"'":
                value, at = self._quoted(start)
                yield _Token("quoted", value, start, at)
            else:
                end = _END_OF_WORD.search(text, at)
                at = len(text) if end is None else end.start()
                yield _Token(_WORDS.get(text[start:at], "word"), text[start:at], start, at)
        yield _Token("end", "", at, at)

    def _quoted(self, start: int) -> tuple[str, int]:
        """Return the name in the quotes at `start`, and the place after them."""
        value, at = "", start + 1
        while at < len(self._text):
            if self._text[at] == self._text[start]:
                return value, at + 1
            at += self._text[at] == "\\"
            value += self._text[at : at + 1]
            at += 1
        quote = _Token("quoted", "", start, start + 1)
        raise self._error(
            quote,
            f"The quote {self._text[start]} {{place}} of the query is not closed.",
            'Write it once more after the name; put a name with an apostrophe at its start into " quotes.',
        )

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _accepts(self, kind: str) -> bool:
        found = self._token.kind == kind
        self._at += found
        return found

    # Grammar -----------------------------------------------------------------------------------

    def _either(self) -> Query:
        terms = [self._all()]
        while self._accepts("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _all(self) -> Query:
        terms = [self._term()]
        while self._accepts("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self) -> Query:
        negations = 0
        while self._accepts("not"):
            negations += 1
        if negations > _DEEPEST:
            raise self._too_deep()
        found = self._group() if self._token.kind == "(" else self._name()
        for _ in range(negations):
            found = Not(found)
        return found

    def _group(self) -> Query:
        opening = self._token
        self._at += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._too_deep()
        found = self._either()
        self._depth -= 1
        if self._token.kind == "end":
            raise self._error(opening, "The `(` {place} of the query is not closed.", "Add a `)`.")
        if self._token.kind == ")":
            self._at += 1
        return found  # anything else: `query` reports it

    def _name(self) -> Query:
        first = self._token
        if self._accepts("quoted"):
            if not first.value.strip():
                raise self._error(first, "The name in quotes {place} of the query is empty.", "Write a name.")
            return Name(first.value)
        while self._token.kind == "word":
            self._at += 1
        last = self._tokens[self._at - 1] if self._at else first
        if self._token is first:
            raise self._without_name()
        if first.value.startswith("-"):
            raise self._error(
                first,
                f"'{first.value}' {{place}} of the query is no name.",
                "Write ! or not to leave a person out.",
            )
        return self._leaf(" ".join(self._text[first.start : last.end].split()), first)

    def _leaf(self, name: str, at: _Token) -> Query:
        key = name.casefold()
        if key in ("*", "anybody"):
            return Anybody()
        if key in ("?", "unnamed"):
            return Unnamed()
        if key == "nobody":
            return Not(Anybody())
        if found := _CLUSTER.fullmatch(name):
            return ClusterNumber(int(found[1][:30]))  # SQLite has no number of more than 19 digits anyway
        if _FACE.fullmatch(name):
            raise self._error(
                at,
                f"'{name}' {{place}} of the query is one face.",
                "Write the name of a person, or a cluster.",
            )
        return Name(name)

    # Errors ------------------------------------------------------------------------------------

    def _without_name(self) -> UsageError:
        token = self._token
        if not self._text.strip():
            return UsageError("The query is empty.", "Write a name, such as Anna, or Anna & Ben.")
        if self._at:
            before = self._tokens[self._at - 1]
            problem = f"The query lacks a name after `{self._written(before)}` {{place}}."
            return self._error(before, problem, "Write the name of a person, or a cluster.")
        problem = f"The query lacks a name before `{self._written(token)}` {{place}}."
        return self._error(token, problem, "Write the name of a person, or a cluster.")

    def _too_deep(self) -> UsageError:
        return UsageError(
            f"The query has more than {_DEEPEST} parentheses or `!` inside one another.", "Write it shorter."
        )

    def _written(self, token: _Token) -> str:
        return self._text[token.start : token.end]

    def _error(self, token: _Token, problem: str, remedy: str = "Remove it, or add a `(`.") -> UsageError:
        head, _, rest = problem.partition("{place}")  # the text may have braces
        return UsageError(f"{head}at character {token.start + 1}{rest}", remedy)
