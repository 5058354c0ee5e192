"""What exports are made from, and what they tell when they are done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.export.folder import Written
from faceindex.export.originals import Originals
from faceindex.store import FaceTable
from faceindex.types import I64

__all__ = [
    "Exported",
    "Progress",
    "Source",
    "SourcePhoto",
    "fingerprint",
    "numbers_on_photo",
    "read_unchanged",
]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo with faces.

    Attributes
    ----------
    name : str
        As the user named it.
    path : str
        Absolute.
    content_hash : bytes or None
        As `faceindex.images.content_hash`, when it was indexed.
    width, height : int
        Pixels of the upright photo.
    """

    name: str
    path: str
    content_hash: bytes | None
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Source:
    """The faces of one moment, and their photos by id; `originals` are all photos, also those without."""

    table: FaceTable
    photos: Mapping[int, SourcePhoto]
    originals: Originals = field(default_factory=Originals)

    def names(self, *, absolute: bool = False) -> list[str]:
        """The photo of each face of the table."""
        by_id = {key: photo.path if absolute else photo.name for key, photo in self.photos.items()}
        return [by_id[image] for image in self.table.photo.tolist()]


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export.

    Attributes
    ----------
    files : Written
    faces : int
        Faces that belong to the export.
    photos : int
        Photos that they are on.
    failed : tuple of ImageError
        Photos that could not be used now; what an earlier run made of them is still there.
    """

    files: Written
    faces: int
    photos: int
    failed: tuple[ImageError, ...] = ()


def numbers_on_photo(table: FaceTable) -> I64:
    """The number of each face on its photo, from 0, in the order of the detector's scores.

    Returns
    -------
    (n,) int64
    """
    order = np.argsort(table.photo, kind="stable")
    photos = table.photo[order]
    starts = np.flatnonzero(np.concatenate([[True], photos[1:] != photos[:-1]])[: len(photos)])
    counts = np.diff(np.append(starts, len(photos)))
    numbers = np.empty(len(photos), np.int64)
    numbers[order] = np.arange(len(photos)) - np.repeat(starts, counts)
    return numbers


def fingerprint(*parts: object) -> str:
    """A digest of what a file is made from: text, numbers, bytes and arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else part
        if not isinstance(data, bytes):
            data = str(data).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def read_unchanged(path: str, content_hash: bytes | None) -> bytes:
    """The content of a photo, if it still is what was indexed.

    Parameters
    ----------
    path : str
    content_hash : bytes or None
        When it was indexed; None if that is not known.

    Raises
    ------
    ImageError
        If it cannot be read or has changed.
    """
    data = images.read(path)
    if content_hash is not None and images.content_hash(data) != content_hash:
        raise ImageError(
            path,
            Reason.FAILED,
            "it has changed since it was indexed.",
            "Run `faceindex index` on its folder, and then this again.",
        )
    return data
