"""What other programs store about the people on a photo, in one form.

Every reader of this room returns `SourceAlbum`; every writer takes `Region`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Box", "Frame", "Region", "SourceAlbum", "SourcePerson", "SourcePhoto"]

Box: TypeAlias = tuple[float, float, float, float]
"""``x1 y1 x2 y2`` in fractions of the width and the height of a picture; may leave 0..1."""

Frame: TypeAlias = Literal["stored", "upright", "pixels"]
"""The picture that boxes are measured on: as it is stored in the file, or after its EXIF orientation.

"pixels" is the latter, with boxes in pixels of the photo at full size instead of fractions, as in tables.
"""


@dataclass(frozen=True, slots=True)
class Region:
    """A face that another program has marked on a photo.

    Attributes
    ----------
    box : tuple of float
        On the picture in `SourcePhoto.frame`.
    name : str or None
        Of the person; None for a face without a name.
    confirmed : bool
        False if the program itself suggests the name, and no user has confirmed it.
    person : str or None
        The key of a `SourcePerson`; None where a program has names only.
    rejected : bool
        True if the user of the program said that the region is no face, or not this person.
    """

    box: Box
    name: str | None
    confirmed: bool = True
    person: str | None = None
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo as another program stores it.

    Attributes
    ----------
    path : str
        Of the photo, with ``/`` between folders: absolute, or relative to the root of the program's library.
        It may be a path of another machine.
    regions : tuple of Region
    people : tuple of str
        Names of people on the photo whose place is not stored, without those of `regions`.
    frame : {"stored", "upright", "pixels"}
        What the boxes are measured on.
    dimensions : tuple of int, optional
        Width and height in pixels of the picture in `frame` when the regions were stored. A photo of another
        aspect has been cropped since, and its regions do not apply.
    file_size : int, optional
        Of the photo in bytes.
    sha1 : bytes, optional
        SHA-1 of the photo's file, 20 bytes.
    source : str
        The file, or the record in it, that this was read from; for messages.
    """

    path: str
    regions: tuple[Region, ...] = ()
    people: tuple[str, ...] = ()
    frame: Frame = "stored"
    dimensions: tuple[int, int] | None = None
    file_size: int | None = None
    sha1: bytes | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class SourcePerson:
    """A person of another program.

    Attributes
    ----------
    key : str
        Of the person in that program, such as a UUID.
    name : str or None
        None if the program groups the person's faces, and no user has named them.
    born, died : str or None
        Dates as ``faceindex people born`` takes them: ``1950``, ``1950-03`` or ``1950-03-14``.
    hidden : bool
    note : str or None
    """

    key: str
    name: str | None
    born: str | None = None
    died: str | None = None
    hidden: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SourceAlbum:
    """All that was read from another program.

    Attributes
    ----------
    program : str
        Such as ``"digiKam"``.
    photos : iterable of SourcePhoto
        May be a generator, so that a large library needs little memory. It may append to `problems`.
    people : dict
        `SourcePerson` by their keys.
    problems : list of str
        One sentence for each part that could not be read, with the name of its file. One damaged record
        never ends a run.
    """

    program: str
    photos: Iterable[SourcePhoto]
    people: dict[str, SourcePerson]
    problems: list[str]
