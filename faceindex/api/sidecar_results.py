"""Results of `faceindex.FaceIndex.sidecars`."""

from __future__ import annotations

from dataclasses import dataclass, field

from faceindex.api.import_results import ImportReport
from faceindex.documents import Result

__all__ = ["ReadReport", "SidecarChange", "SidecarConflict", "WriteReport"]


@dataclass(frozen=True, slots=True)
class SidecarConflict(Result):
    """A face on which the file and the index disagree, so that neither was touched.

    Attributes
    ----------
    photo : str
        In the index.
    here, there : str or None
        The name in the index, and in the file; None for none.
    problem : str
        One sentence.
    """

    photo: str
    here: str | None
    there: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class SidecarChange(Result):
    """What was written, or would be, to one file.

    Attributes
    ----------
    photo : str
        In the index.
    path : str
        The sidecar, or the photo itself.
    new : bool
        Whether the sidecar is a new file.
    added, removed : tuple of str
        Names.
    renamed : tuple of (str, str)
        Names before and after.
    """

    photo: str
    path: str
    new: bool = False
    added: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadReport(Result):
    """What reading names from sidecars and photos did, or would do.

    Attributes
    ----------
    photos : int
        Photos of the index that were read.
    with_people : int
        Those that have a region or a name.
    unchanged : int
        Named regions that are as they were when the file was read or written last.
    removed : int
        Regions that left a file since then, while the index is as it was. Their faces keep their names, and
        the regions are not written again, unless `prefer` says otherwise.
    rejected : int
        Of `removed`: faces that do not show the person any more, with `prefer` "file".
    conflicting : int
        Regions that changed both in a file and here since then. Other conflicts are in `imported`.
    inside : int
        Moments of videos, which have no metadata of their own.
    missing : int
        Photos that are not at their paths now.
    conflicts : tuple of SidecarConflict
        Those of `conflicting`, unless `prefer` says which side counts.
    removed_regions : tuple of SidecarConflict
        Those of `removed`. These lists have at most `faceindex.api.import_results.MOST_LISTED` entries.
    imported : ImportReport
        What became of the other regions.
    """

    photos: int
    imported: ImportReport
    with_people: int = 0
    unchanged: int = 0
    removed: int = 0
    rejected: int = 0
    conflicting: int = 0
    inside: int = 0
    missing: int = 0
    conflicts: tuple[SidecarConflict, ...] = ()
    removed_regions: tuple[SidecarConflict, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteReport(Result):
    """What writing names did, or would do.

    Attributes
    ----------
    dry_run, stopped : bool
    photos : int
        Photos of the index that were looked at.
    named : int
        Those with a face that the user has named.
    faces : int
        Faces on them that the user has named, without `hidden` and `nameless`.
    written : int
        Files that were written, or would be.
    new : int
        Of these: new sidecars.
    added, renamed, removed : int
        Regions in these files.
    known : int
        Faces that have their names in the files already.
    unread : int
        Regions that have another name in the file than when it was read or written last. `read` takes it.
    gone : int
        Regions that another program removed since then. They are not written again.
    conflicting : int
        Faces on which the file contradicts the index.
    hidden, nameless : int
        Faces of hidden people, and of people without a name: they are not written.
    inside : int
        Photos in archives, and moments of videos: nothing is written beside them.
    missing : int
        Photos that are not at their paths now.
    cropped : tuple of str
        Photos whose regions in the file are of a picture of another shape.
    conflicts : tuple of SidecarConflict
    failed : tuple of str
        One sentence for each file that could not be read or written.
    changes : tuple of SidecarChange
        These lists have at most `faceindex.api.import_results.MOST_LISTED` entries.
    """

    dry_run: bool = False
    stopped: bool = False
    photos: int = 0
    named: int = 0
    faces: int = 0
    written: int = 0
    new: int = 0
    added: int = 0
    renamed: int = 0
    removed: int = 0
    known: int = 0
    unread: int = 0
    gone: int = 0
    conflicting: int = 0
    hidden: int = 0
    nameless: int = 0
    inside: int = 0
    missing: int = 0
    cropped: tuple[str, ...] = ()
    conflicts: tuple[SidecarConflict, ...] = ()
    failed: tuple[str, ...] = ()
    changes: tuple[SidecarChange, ...] = field(default=())
