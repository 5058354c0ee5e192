"""Input and result of an export."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.export.folder import Written
from faceindex.export.originals import Originals
from faceindex.images.encode import encode
from faceindex.images.moments import FrameBytes
from faceindex.store import FaceTable
from faceindex.store.photos import Photo
from faceindex.types import I64

__all__ = [
    "Exported",
    "ExportedGroup",
    "Progress",
    "Source",
    "fingerprint",
    "ignore_progress",
    "numbers_on_photo",
    "read_to_copy",
    "read_unchanged",
]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished items and of all items."""


def ignore_progress(done: int, total: int) -> None:
    """Do nothing; the default where progress can be watched."""


@dataclass(frozen=True, slots=True)
class Source:
    """A snapshot of the faces of an index.

    Attributes
    ----------
    table : FaceTable
    photos : mapping of int to Photo
        Photos with faces, by id.
    originals : Originals
        All photos of the index.
    person_names : mapping of int to str
        Names of people, by their clusters. Clusters with the same name show one person.
    forgotten : collection of bytes
        Contents of photos that show a forgotten face; they are not copied.
    """

    table: FaceTable
    photos: Mapping[int, Photo]
    originals: Originals = field(default_factory=Originals)
    person_names: Mapping[int, str] = field(default_factory=dict)
    forgotten: Collection[bytes] = ()

    def names(self, *, absolute: bool = False) -> list[str]:
        """List the name of the photo of each face, or its absolute path."""
        by_id = {key: photo.path if absolute else photo.name for key, photo in self.photos.items()}
        return [by_id[photo] for photo in self.table.photo.tolist()]

    def people(self) -> list[str]:
        """List the name of the person of each face; empty if the face has none."""
        return [self.person_names.get(cluster, "") for cluster in self.table.cluster.tolist()]


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export.

    Attributes
    ----------
    files : Written
    faces : int
        Faces that belong to the export.
    photos : int
        Photos with these faces.
    failed : tuple of ImageError
        Photos that could not be read. The files that an earlier run made from them are kept.
    groups : tuple of ExportedGroup
        The exported people and clusters, the largest first; empty for exports that do not group faces.
    withheld : int
        Photos that are not copied, because they show a forgotten face.
    """

    files: Written
    faces: int
    photos: int
    failed: tuple[ImageError, ...] = ()
    groups: tuple[ExportedGroup, ...] = ()
    withheld: int = 0


@dataclass(frozen=True, slots=True)
class ExportedGroup:
    """A person, or a cluster without one, in an export.

    Attributes
    ----------
    folder : str
        Name of its folder, or what its files start with.
    person : str or None
        Name of the person.
    clusters : tuple of int
        Ids, ascending; empty for faces in no cluster.
    faces, photos : int
    """

    folder: str
    person: str | None
    clusters: tuple[int, ...]
    faces: int
    photos: int


def numbers_on_photo(table: FaceTable) -> I64:
    """Number the faces of each photo from 0, in the order of the detector's scores.

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
    """Compute a digest of everything that a file is made from: text, numbers, bytes and arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else part
        if not isinstance(data, bytes):
            data = str(data).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def read_to_copy(path: str, content_hash: bytes | None) -> bytes:
    """Read a photo to copy it, as `read_unchanged`; a moment of a video becomes a JPEG file."""
    data = read_unchanged(path, content_hash)
    return encode(images.decode(data, path).image, ".jpg") if isinstance(data, FrameBytes) else data


def read_unchanged(path: str, content_hash: bytes | None) -> bytes:
    """Read a photo, and check that its content is the indexed one.

    Parameters
    ----------
    path : str
    content_hash : bytes or None
        `faceindex.images.content_hash` of the indexed content; None if unknown.

    Raises
    ------
    ImageError
        If it cannot be read, or is not the indexed one. Without a hash it counts as changed: an index made
        by somebody else must not name just any file of this machine.
    """
    data = images.read(path)
    if content_hash is None or images.content_hash(data) != content_hash:
        raise ImageError(
            path,
            Reason.FAILED,
            "it has changed since it was indexed.",
            "Run `faceindex index` on its folder, then this command again.",
        )
    return data
