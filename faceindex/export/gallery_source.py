"""What a gallery shows, and what came of writing it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import ImageError
from faceindex.export.folder import Written
from faceindex.store import FaceTable, PhotoRecord, Root

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.types import I64

__all__ = ["Gallery", "GallerySource"]


@dataclass(frozen=True, slots=True)
class GallerySource:
    """Input of a gallery.

    Attributes
    ----------
    table : FaceTable
        n faces, without those of people that are left out.
    photos : sequence of PhotoRecord
        All photos of the index.
    roots : sequence of Root
    path_of : callable
        Returns the absolute path of a photo.
    clustered : bool
        Whether the index has a clustering.
    person : (n,) int64
        The person that each face shows: by its label, else by its cluster; -1 for none.
    label : (n,) int64
        Values of `faceindex.store.decisions.Label`.
    people : sequence of mapping
        The people that may be shown, as in ``faceindex/album/1``.
    cluster_person : mapping of int to int
        The person of each cluster that has one.
    newer_faces : int
        Number of faces that are newer than the clustering.
    forgotten : collection of bytes
        Contents of photos that show a forgotten face; the gallery has neither a copy nor a preview of them.
    index_id : str
        Under which the page keeps decisions in the browser until they are saved.
    decision : str or None
        Uid of the newest decision: decisions of the page are made on sight of it.
    questions : sequence of mapping
        The best questions, as the live page gets them.
    linked : collection of int
        Faces that were said to be the same person as others.
    """

    table: FaceTable
    photos: Sequence[PhotoRecord]
    roots: Sequence[Root]
    path_of: Callable[[PhotoRecord], str]
    clustered: bool
    person: I64
    label: I64
    people: Sequence[Mapping[str, Json]] = ()
    cluster_person: Mapping[int, int] = field(default_factory=dict)
    newer_faces: int = 0
    forgotten: Collection[bytes] = ()
    index_id: str = ""
    decision: str | None = None
    questions: Sequence[Mapping[str, Json]] = ()
    linked: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Gallery:
    """A written gallery.

    Attributes
    ----------
    page : Path
        The HTML file to open.
    people, clusters, faces, unclustered, photos : int
        Numbers of named people, clusters, faces, faces in no cluster, and photos with faces.
    sprites, previews, copies : int
        Numbers of files.
    bytes : int
        Size of the page and its pictures, without copied photos; 0 with `dry_run`.
    copied_bytes : int
        Size of the copied photos; 0 with `dry_run`.
    files : Written
    failures : tuple of ImageError
        Photos that could not be read. Their faces are grey, unless an earlier run drew them.
    newer_faces : int
        Number of faces that are newer than the clusters.
    withheld : int
        Photos that are not copied, because they show a forgotten face.
    """

    page: Path
    people: int
    clusters: int
    faces: int
    unclustered: int
    photos: int
    sprites: int
    previews: int
    copies: int
    bytes: int
    copied_bytes: int
    files: Written
    failures: tuple[ImageError, ...]
    newer_faces: int = 0
    withheld: int = 0
