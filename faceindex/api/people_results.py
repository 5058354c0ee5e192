"""Results of `faceindex.FaceIndex.people`: frozen dataclasses, as in `faceindex.api.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.documents import Result

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Conflict", "Decided", "JournalEntry", "Person", "Replay"]


@dataclass(frozen=True, slots=True)
class Person(Result):
    """A person, and the faces that show them.

    Attributes
    ----------
    id : int
        In this index.
    uid : str
        The same in every index that has the person.
    name : str
    born, died : str or None
        A year, a month or a day, such as ``1950``, ``1950-06`` or ``1950-06-14``.
    hidden : bool
    note : str or None
    clusters : tuple of int
        The largest first.
    faces, photos : int
    named : int
        Faces that the user named with their cluster.
    confirmed : int
        Faces that the user named one by one, or confirmed.
    first, last : datetime or None
        Earliest and latest capture time of the photos, in the camera's local time.
    """

    id: int
    uid: str
    name: str
    born: str | None
    died: str | None
    hidden: bool
    note: str | None
    clusters: tuple[int, ...]
    faces: int
    photos: int
    named: int
    confirmed: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Decided(Result):
    """What a decision changed.

    Attributes
    ----------
    number : int or None
        Of the decision, in this index; None if nothing was stored: it was a dry run, or said nothing new.
    command : str
        The command that makes it.
    faces : int
        Faces about which it says something else than before.
    moved : int
        Faces that are in another cluster than before.
    people : tuple of str
        Names of the people concerned.
    kept : int
        Of an undone decision: values that stay, because a later decision changed them.
    removed : int
        Of an undone decision: faces that it had added, and that are gone.
    """

    number: int | None
    command: str
    faces: int
    moved: int
    people: tuple[str, ...]
    kept: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class JournalEntry(Result):
    """A decision of the journal.

    Attributes
    ----------
    number : int
    at : datetime
        UTC.
    command : str
    undone_by : int or None
        Number of the decision that undid it.
    faces : int
        Faces that it names.
    """

    number: int
    at: datetime
    command: str
    undone_by: int | None
    faces: int


@dataclass(frozen=True, slots=True)
class Conflict(Result):
    """A decision of a file that contradicts one of this index, and was left out.

    Attributes
    ----------
    command : str
        The command that made the decision of the file.
    at : datetime
    problem : str
        One sentence.
    photo : str or None
        The photo, if the index has it.
    """

    command: str
    at: datetime
    problem: str
    photo: str | None


@dataclass(frozen=True, slots=True)
class Replay(Result):
    """What applying a journal did, or would do.

    Attributes
    ----------
    decisions : int
        New decisions that were applied, at least in part.
    known : int
        Decisions that the index had already.
    faces : int
        Faces about which they say something else than before.
    unmatched : int
        Places on pictures without a face in this index; they wait for their photos.
    unread : int
        Photos of which the pictures are not known, until `add` reads them: an older faceindex indexed them.
    conflicts : tuple of Conflict
    dry_run : bool
    forgotten : int
        Decisions of which a part is left out, because it is about people or faces that were forgotten here.
    """

    decisions: int
    known: int
    faces: int
    unmatched: int
    unread: int
    conflicts: tuple[Conflict, ...]
    dry_run: bool
    forgotten: int = 0
