"""What `FaceIndex.forget` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from faceindex.documents import Result

if TYPE_CHECKING:
    from faceindex.store.forgotten import Place

__all__ = ["CleanedCopy", "ForgettingPlan", "Left", "Receipt", "Searched"]

State: TypeAlias = Literal["updated", "removed", "missing", "kept", "failed", "found"]


@dataclass(frozen=True, slots=True)
class CleanedCopy(Result):
    """What became of an export, a gallery or another copy that the index knows of.

    Attributes
    ----------
    path : str
        Absolute.
    kind : str
        What wrote it.
    state : str
        ``updated``: written again without the forgotten. ``removed``: nothing of it is left. ``missing``: it
        is not at its path; it is cleaned once it is there again. ``kept``: something stays, see `detail`.
        ``failed``: it could not be cleaned, and the next command that changes the index tries again.
        ``found``: in a dry run.
    detail : str
        Empty if there is nothing to say.
    """

    path: str
    kind: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Left(Result):
    """A place where a name stays, because it is about somebody or something else.

    Attributes
    ----------
    where : str
    number : int
    """

    where: str
    number: int


@dataclass(frozen=True, slots=True)
class Searched(Result):
    """The search for what was forgotten.

    Attributes
    ----------
    fragments, names : int
        What was searched for: fragments of 16 bytes of vectors and measures, and names, notes and ids.
    files, bytes : int
        What was searched: all files of the index, and of the copies that are there.
    hits : int
        What was found, but for `Receipt.left`.
    hits_by_file : dict of str to int
    unreadable : tuple of str
        Files that could not be searched.
    """

    fragments: int
    names: int
    files: int
    bytes: int
    hits: int
    hits_by_file: dict[str, int]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipt(Result):
    """What was forgotten, without a name or a vector.

    Attributes
    ----------
    at : datetime
        UTC.
    dry_run : bool
    complete : bool
        Whether all of it is gone from the index and from all copies that the index knows of.
    people : int
    faces : int
        Faces that were deleted; the next numbers are parts of it.
    labelled, believed, named, on_photos, copies_of_faces, away : int
        Faces that the user named or confirmed, faces that were in clusters of these people, faces that were
        given one by one, faces on the given photos, the same faces on copies of a picture, and faces on
        photos that are away.
    photos : int
        Photos that were removed from the index.
    decisions : int
        Entries of the journal that were rewritten.
    places : int
        Places that are kept, so that the faces do not come back.
    copies : tuple of CleanedCopy
    left : tuple of Left
    searched : Searched or None
        None without `verify`.
    problem : str or None
        What keeps the index itself from being clean.
    search : str or None
        What a neighbour index of another program, such as a Milvus server, may still have; None if nothing.
    """

    at: datetime
    dry_run: bool
    complete: bool
    people: int
    faces: int
    labelled: int
    believed: int
    named: int
    on_photos: int
    copies_of_faces: int
    away: int
    photos: int
    decisions: int
    places: int
    copies: tuple[CleanedCopy, ...]
    left: tuple[Left, ...]
    searched: Searched | None
    problem: str | None = None
    search: str | None = None


@dataclass(slots=True)
class ForgettingPlan:
    """What a call of `FaceIndex.forget` deletes.

    Attributes
    ----------
    titles : list of str
        Names of the people, to show them before.
    people : list of int
        Their ids, with those of the people merged into them.
    labelled, believed, named, on_photos, copies, away : set of int
        Faces, as the numbers of `Receipt`; each face is in one of them.
    photos, away_photos : list of int
    marks : set of int
    places : list of (bytes, bytes or None)
    contents : set of bytes
        Hashes of the files of all photos with these faces.
    """

    titles: list[str] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    labelled: set[int] = field(default_factory=set)
    believed: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)
    on_photos: set[int] = field(default_factory=set)
    copies: set[int] = field(default_factory=set)
    away: set[int] = field(default_factory=set)
    photos: list[int] = field(default_factory=list)
    away_photos: list[int] = field(default_factory=list)
    marks: set[int] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)
    contents: set[bytes] = field(default_factory=set)

    @property
    def faces(self) -> set[int]:
        """All faces on photos that are there."""
        return self.labelled | self.believed | self.named | self.on_photos | self.copies

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.people or self.faces or self.away or self.photos or self.away_photos or self.marks)
