"""The people of an index at one moment, and their names."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from faceindex.errors import UsageError
from faceindex.people.references import looks_like_reference
from faceindex.store.decisions import PersonRecord

__all__ = ["LONGEST_NAME", "LONGEST_NOTE", "Roster", "clean_name", "clean_note", "name_key"]

LONGEST_NAME = 200
"""Characters of the longest name."""

LONGEST_NOTE = 10_000
"""Characters of the longest note."""

_MOST_SUGGESTIONS: Final = 5


# Soft hyphen, space of no width, marks of direction, joiner of words, byte order mark: copied along with a
# name from pages and address books. The two joiners of letters stay: Persian and Indic names need them.
_INVISIBLE: Final = dict.fromkeys(
    [0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
)


def clean_name(name: str) -> str:
    """Return a name in Unicode NFC, with single spaces and without characters that have no width.

    Raises
    ------
    UsageError
        If it is empty, too long, has control characters, or looks like a cluster or a face.
    """
    cleaned = " ".join(unicodedata.normalize("NFC", name.translate(_INVISIBLE)).split())
    if not cleaned:
        raise UsageError("The name is empty.", "Write a name.")
    if len(cleaned) > LONGEST_NAME:
        raise UsageError(f"The name has {len(cleaned)} characters.", f"Write at most {LONGEST_NAME}.")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") for c in cleaned):
        raise UsageError("The name has characters that cannot be shown.", "Write it without them.")
    if looks_like_reference(cleaned) or cleaned.startswith("-"):
        raise UsageError(
            f"'{cleaned}' looks like a cluster, a face or an option.", "Write a name with other letters."
        )
    return cleaned


def clean_note(note: str) -> str:
    """Return a note as it is.

    Raises
    ------
    UsageError
        If it is too long, or has bytes that are not text.
    """
    if len(note) > LONGEST_NOTE:
        raise UsageError(f"The note has {len(note):,} characters.", f"Write at most {LONGEST_NOTE:,}.")
    if any(unicodedata.category(c) == "Cs" for c in note):
        raise UsageError("The note has characters that cannot be stored.", "Write it without them.")
    return note


def name_key(name: str) -> str:
    """Return a name as names are compared: without case, with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _circle(by_id: Mapping[int, PersonRecord], start: int) -> list[int]:
    """Return the people of a circle of merges."""
    found = [start]
    while (into := by_id[found[-1]].into) is not None and into != start:
        found.append(into)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Roster:
    """The people of an index.

    Attributes
    ----------
    records : dict of int to PersonRecord
        All people by id, also those that were merged into others.
    roots : dict of int to int
        For each id, the person that it is part of after all merges.
    """

    records: dict[int, PersonRecord]
    roots: dict[int, int]

    @classmethod
    def of(cls, records: Iterable[PersonRecord]) -> Roster:
        """Collect people."""
        by_id = {record.id: record for record in records}
        roots = {}
        for start in by_id:
            person, seen = start, {start}
            while (into := by_id[person].into) is not None and into in by_id and into not in seen:
                person = into
                seen.add(into)
            into = by_id[person].into
            # People in a circle, of a damaged catalog, must not hide each other.
            roots[start] = person if into is None or into not in by_id else min(_circle(by_id, person))
        return cls(by_id, roots)

    def with_record(self, record: PersonRecord) -> Roster:
        """Return the roster after a person was added or changed."""
        records = {**self.records, record.id: record}
        known = self.records.get(record.id)
        if known is not None and known.into == record.into:
            return Roster(records, self.roots)
        if known is None and record.into is None:
            return Roster(records, {**self.roots, record.id: record.id})
        return Roster.of(records.values())

    def people(self) -> list[PersonRecord]:
        """Return the people by ascending id, without those that were merged into others or undone."""
        return [r for id, r in self.records.items() if self.roots[id] == id and r.written]

    def members(self, person: int) -> list[int]:
        """Return the ids of a person: its own, and those of the people merged into it."""
        return [id for id, root in self.roots.items() if root == person]

    def title(self, person: int) -> str:
        """Return the name of a person, or what stands for it."""
        record = self.records[self.roots[person]]
        return record.name if record.name is not None else f"person {record.uid[:6]}"

    def find(self, name: str) -> PersonRecord:
        """Return the person with a name, whatever its case.

        Raises
        ------
        UsageError
            If nobody has the name; the message lists the nearest names.
        """
        people = [record for record in self.people() if record.name is not None]
        if not people:
            raise UsageError(
                f"Nobody has the name '{name}': no person is named yet.",
                "Name a cluster with `faceindex people name CLUSTER NAME`.",
            )
        named = {name_key(str(record.name)): record for record in people}
        if (found := named.get(name_key(name))) is not None:
            return found
        problem = f"Nobody has the name '{name}'."
        if near := _nearest(name, [str(record.name) for record in named.values()]):
            *most, last = (f"'{known}'" for known in near)
            listed = f"{', '.join(most)} or {last}" if most else last
            raise UsageError(problem, f"Did you mean {listed}?")
        raise UsageError(problem, "`faceindex people` lists all names.")


def _nearest(given: str, names: Iterable[str]) -> list[str]:
    """Return the names that start like a name or share a word with it, then those that are spelt alike."""
    by_key = {_without_accents(name): name for name in names}
    key = _without_accents(given)
    words = {word: other for other in by_key for word in other.split()}
    near = [other for other in by_key if key and (other.startswith(key) or {*key.split()} & {*other.split()})]
    near += difflib.get_close_matches(key, by_key, _MOST_SUGGESTIONS)
    near += [words[word] for word in difflib.get_close_matches(key, words, _MOST_SUGGESTIONS)]
    return [by_key[other] for other in dict.fromkeys(near)][:_MOST_SUGGESTIONS]


def _without_accents(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name_key(name))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
