"""What a run of `index` reports while it goes on and when it ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

from faceindex.errors import ImageError
from faceindex.store import Unchanged

__all__ = ["Committed", "Event", "PhotoDone", "PhotoFailed", "Planned", "Scanning", "Summary", "Warned"]


@dataclass(frozen=True, slots=True)
class Scanning:
    """The folders are being walked; `files` have been seen so far."""

    files: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The walk is over; `photos` files will be told of, one by one."""

    photos: int


@dataclass(frozen=True, slots=True)
class PhotoDone:
    """One photo has been dealt with; `faces` were found on it."""

    path: str
    faces: int


@dataclass(frozen=True, slots=True)
class PhotoFailed:
    """One photo cannot be used."""

    error: ImageError


@dataclass(frozen=True, slots=True)
class Committed:
    """`photos` more photos are safely on disk."""

    photos: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know, in one sentence."""

    message: str


Event: TypeAlias = Scanning | Planned | PhotoDone | PhotoFailed | Committed | Warned


@dataclass(slots=True)
class Summary:
    """The count of everything that a run saw and did.

    Attributes
    ----------
    photos : int
        Photos seen: new + changed + moved + unchanged + unreadable.
    new, changed, moved, unchanged : int
        Readable photos by what happened to them. `unchanged` includes photos with a new
        modification time but the same content.
    gone : int
        Photos that are no longer there and were taken out of the index.
    missing : int
        Photos that are no longer there but were kept, because nothing else was there either.
    unreadable : Counter of str
        Unreadable photos by reason, those included that were known to be so and not tried again.
    known_unreadable : int
        Those of them that were not tried again.
    ignored : int
        Files that are not photos and do not claim to be.
    without_face : int
        Photos opened in this run on which no face was found.
    faces : int
        Faces added in this run.
    opened : int
        Files opened in this run.
    seconds : float
    interrupted : bool
        Whether the run was stopped before its end; what had been done is committed.
    """

    new: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    gone: int = 0
    missing: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    known_unreadable: int = 0
    ignored: int = 0
    without_face: int = 0
    faces: int = 0
    opened: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    def count_unchanged(self, files: Unchanged) -> None:
        """Count files that need not be opened."""
        self.unchanged += files.photos
        self.ignored += files.ignored
        self.unreadable.update(files.unreadable)
        self.known_unreadable += sum(files.unreadable.values())

    @property
    def photos(self) -> int:
        """Photos seen, readable or not."""
        return self.new + self.changed + self.moved + self.unchanged + sum(self.unreadable.values())

    @property
    def complete(self) -> bool:
        """Whether every photo seen is in the index."""
        return not self.unreadable and not self.interrupted
