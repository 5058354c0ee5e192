"""Results of `faceindex.FaceIndex.people.import_album`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from faceindex.documents import Result

__all__ = ["MOST_LISTED", "Counter", "ImportConflict", "ImportReport"]

MOST_LISTED: Final = 10_000
"""Entries of each list of a report; numbers count all."""


@dataclass(frozen=True, slots=True)
class ImportConflict(Result):
    """A name that was left out, because something contradicts it.

    Attributes
    ----------
    photo : str
        In the index.
    name : str
        In the other program.
    problem : str
        One sentence.
    """

    photo: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class ImportReport(Result):
    """What an import of names did, or would do.

    Each region of the program is counted once: `regions` is the sum of `named` to `unread`.

    Attributes
    ----------
    program : str
    decision : int or None
        Number of the decision; None if nothing was stored: it was a dry run, or said nothing new.
    command : str
        As the journal has it.
    dry_run : bool
    stopped : bool
        Whether the user stopped it. Another import does the rest.

    photos : int
        Photos of the program.
    found : int
        Those that are in the index.
    away : int
        Of these: they are not in their folder any more. Their names count when they come back.
    absent, ambiguous, unsure : int
        Photos that are not in the index; that may be one of several; that have the name of a photo in another
        folder, and nothing confirms that it is the same one.
    cropped : int
        Photos that were cropped or turned after their regions were stored.

    regions : int
        Faces that the program has marked.
    named : int
        Faces that have got their names.
    known : int
        Faces that had them already.
    added : int
        Faces that no detector found: they were added with their names.
    waiting : int
        The same on photos that are away: the next run of `add` that finds the photo embeds the face.
    conflicting : int
        Left out, because a decision of the index says something else.
    contradicting : int
        Left out, because two regions of the program contradict each other.
    crowded : int
        Without a face of their own: another region fits the face at their place better.
    small : int
        Without a face, and too small to show anybody.
    forgotten : int
        Of people or faces that were forgotten here.
    duplicate : int
        A second region of the same name at the same place.
    unnamed, unconfirmed, rejected : int
        Without a name; suggested by the program; said to be wrong.
    unusable : int
        With a place or a name that cannot be used.
    not_found, on_cropped : int
        On photos that are not found, or cropped.
    unread : int
        On photos that cannot be read now, that have changed since they were indexed, or to which a stopped
        import did not come.

    placeless : int
        Names of people on photos without a place.
    placed : int
        Of these: now the name of the only face on the photo.
    placeless_known : int
        Of these: known already.
    undecided : int
        Of these: on photos of the index, and not given to a face.

    people : tuple of str
        Those who got a face, or a date, a note; as the index names them.
    new_people : tuple of str
        Those of them who are new.
    moved : int
        Faces that are in another cluster than before.
    conflicts : tuple of ImportConflict
    absent_photos, ambiguous_photos, unsure_photos, cropped_photos : tuple of str
        Paths of the program. These lists and the next one have at most `MOST_LISTED` entries.
    problems : tuple of str
        One sentence for each part that could not be read or used.
    """

    program: str
    decision: int | None = None
    command: str = ""
    dry_run: bool = False
    stopped: bool = False

    photos: int = 0
    found: int = 0
    away: int = 0
    absent: int = 0
    ambiguous: int = 0
    unsure: int = 0
    cropped: int = 0

    regions: int = 0
    named: int = 0
    known: int = 0
    added: int = 0
    waiting: int = 0
    conflicting: int = 0
    contradicting: int = 0
    crowded: int = 0
    small: int = 0
    forgotten: int = 0
    duplicate: int = 0
    unnamed: int = 0
    unconfirmed: int = 0
    rejected: int = 0
    unusable: int = 0
    not_found: int = 0
    on_cropped: int = 0
    unread: int = 0

    placeless: int = 0
    placed: int = 0
    placeless_known: int = 0
    undecided: int = 0

    people: tuple[str, ...] = ()
    new_people: tuple[str, ...] = ()
    moved: int = 0
    conflicts: tuple[ImportConflict, ...] = ()
    absent_photos: tuple[str, ...] = ()
    ambiguous_photos: tuple[str, ...] = ()
    unsure_photos: tuple[str, ...] = ()
    cropped_photos: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Counter:
    """Counts and lists for a report while it is made.

    Attributes
    ----------
    counts : dict of str to int
        By fields of `ImportReport`.
    lists : dict of str to list
    """

    counts: dict[str, int] = field(default_factory=dict)
    lists: dict[str, list[object]] = field(default_factory=dict)

    def add(self, what: str, number: int = 1) -> None:
        """Count something."""
        self.counts[what] = self.counts.get(what, 0) + number

    def fields(self) -> dict[str, Any]:
        """Return the fields of a report."""
        return {**self.counts, **{name: tuple(entries) for name, entries in self.lists.items()}}

    def list(self, what: str, entry: object) -> None:
        """Add to a list, unless it is full."""
        entries = self.lists.setdefault(what, [])
        if len(entries) < MOST_LISTED:
            entries.append(entry)
