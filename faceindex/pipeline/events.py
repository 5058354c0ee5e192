"""Events of runs of `index` and `migrate`, and the summary of `index`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

from faceindex.errors import ImageError
from faceindex.store import ScanCounts

__all__ = [
    "Clustering",
    "Committed",
    "ContentChanged",
    "Event",
    "Hashing",
    "Loaded",
    "Loading",
    "PhotoDone",
    "PhotoFailed",
    "PhotoUnfinished",
    "Planned",
    "Scanning",
    "Summary",
    "Warned",
    "Watching",
    "ignore_event",
]


@dataclass(frozen=True, slots=True)
class Scanning:
    """The folders are being walked; `files` were found so far."""

    files: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The walk is over; an event follows for each of `photos` files."""

    photos: int


@dataclass(frozen=True, slots=True)
class Hashing:
    """Photos of the same size and time are being read, without searching them for faces."""


@dataclass(frozen=True, slots=True)
class ContentChanged:
    """A file has other content than the indexed photo, although its size and time are the same.

    `damaged`: the file system reports no write to it. The file may be damaged, or its disk.
    """

    path: str
    damaged: bool


@dataclass(frozen=True, slots=True)
class Loading:
    """The models are being loaded, which takes seconds."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The models are loaded."""


@dataclass(frozen=True, slots=True)
class PhotoDone:
    """One photo is finished; `faces` were found on it. `note` is as in `faceindex.images.DecodedImage`."""

    path: str
    faces: int
    note: str | None = None


@dataclass(frozen=True, slots=True)
class PhotoFailed:
    """One photo cannot be used; `known`: for the same reason as before, so that it is no news."""

    error: ImageError
    known: bool = False


@dataclass(frozen=True, slots=True)
class Watching:
    """A video is being searched; `milliseconds` of its playing time, `of` all of it (0: unknown)."""

    path: str
    milliseconds: int
    of: int


@dataclass(frozen=True, slots=True)
class PhotoUnfinished:
    """One photo is still being written; the next run tries it."""

    path: str


@dataclass(frozen=True, slots=True)
class Committed:
    """`photos` more photos are on disk."""

    photos: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the user, in one sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class Clustering:
    """All photos are finished; the faces are being clustered."""


Event: TypeAlias = (
    Scanning
    | Planned
    | Hashing
    | ContentChanged
    | Loading
    | Loaded
    | PhotoDone
    | PhotoFailed
    | PhotoUnfinished
    | Committed
    | Warned
    | Watching
    | Clustering
)


def ignore_event(event: Event) -> None:
    """Default callback: do nothing."""


@dataclass(slots=True)
class Summary:
    """Counts of everything that a run found and did.

    Attributes
    ----------
    photos : int
        Photos found: new + changed + moved + returned + new_metadata + unchanged + unreadable.
    new, changed, moved, new_metadata, unchanged : int
        Readable photos by what changed. `new_metadata` are photos of which only the metadata in the file are
        new; a photo that was also renamed counts as moved. `unchanged` includes photos with a new
        modification time but the same content.
    returned : int
        Photos that were gone, or had another picture for a while, and have their faces and clusters back.
    gone : int
        Photos that no longer exist and are no longer in the index.
    kept_until : str or None
        The day, as YYYY-MM-DD, until which the faces of `gone` photos are kept, in case these return.
    missing : int
        Photos that no longer exist but were kept, because their whole folder is empty or its disk missing.
    unreadable : Counter of str
        Unreadable photos by reason, including those that were not tried again.
    known_unreadable : int
        Unreadable photos that an earlier run found unreadable for the same reason, that have not changed
        since, and that nobody asked for: see `new_unreadable`.
    ignored : int
        Files that are not photos and are not named like photos.
    videos : int
        Videos that were read in this run, of the photos.
    moments : int
        Frames of them that were stored, as photos of their own; they count nowhere else here.
    video_seconds : float
        Playing time of these videos.
    videos_left_out : int
        Videos that were not read: without the extra that reads them, or because that was not wanted.
    without_face : int
        Photos opened in this run on which no face was found.
    with_note : int
        Photos opened in this run that have a note: their files are damaged outside the pixels, or have
        further pages or frames.
    faces : int
        Faces added in this run.
    excluded : int
        Those of the `gone` photos whose files are there and are left out by a pattern.
    raw_companions, clips : int
        RAW files beside a JPEG or HEIC of the same shot, and clips of Live Photos, which are not indexed.
    in_stores : int
        Archives and videos in object stores, which are not read there.
    unfinished : int
        Photos that could not be read because they are still being written; the next run tries them.
    partial : int
        Files that are not complete, by their names: downloads and copies in progress.
    older : int
        New and changed files that were not read because they were modified too long ago for this run.
    by_hand : int
        Faces that the user drew and that were embedded in this run: applied decisions, or copies of photos.
    read_once : int
        Unchanged photos that were read for their pictures, because an older version indexed them.
    compared : int
        Unchanged photos that were read to compare their content: on request, or because of another ctime or
        inode.
    altered : int
        Photos with other content although their size and time are unchanged; also counted as what they are
        otherwise, mostly `changed`.
    opened : int
        Files opened in this run.
    seconds : float
    interrupted : bool
        Whether the run was stopped early; everything finished is committed.
    """

    new: int = 0
    changed: int = 0
    moved: int = 0
    new_metadata: int = 0
    unchanged: int = 0
    returned: int = 0
    gone: int = 0
    kept_until: str | None = None
    missing: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    known_unreadable: int = 0
    ignored: int = 0
    videos: int = 0
    moments: int = 0
    video_seconds: float = 0.0
    videos_left_out: int = 0
    without_face: int = 0
    with_note: int = 0
    faces: int = 0
    excluded: int = 0
    raw_companions: int = 0
    clips: int = 0
    in_stores: int = 0
    unfinished: int = 0
    partial: int = 0
    older: int = 0
    by_hand: int = 0
    read_once: int = 0
    compared: int = 0
    altered: int = 0
    opened: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    def count_unchanged(self, files: ScanCounts) -> None:
        """Add files that need not be opened."""
        self.unchanged += files.photos
        videos = files.companions.get("video", 0)
        self.ignored += files.ignored - videos
        self.videos_left_out += videos
        self.unreadable.update(files.unreadable)
        self.known_unreadable += sum(files.unreadable.values())

    @property
    def photos(self) -> int:
        """Photos found, readable or not."""
        changed = self.new + self.changed + self.moved + self.returned + self.new_metadata
        return changed + self.unchanged + sum(self.unreadable.values())

    @property
    def new_unreadable(self) -> int:
        """Unreadable photos that are news, or that were asked for: named themselves, or by `retry_failed`."""
        return sum(self.unreadable.values()) - self.known_unreadable

    @property
    def complete(self) -> bool:
        """Whether every photo found is in the index."""
        return not self.unreadable and not self.unfinished and not self.interrupted
