"""The photos of existing indexes with their faces, to write into other indexes without finding them again."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faceindex import FaceIndex
from faceindex.store import FaceTable, NewPhoto, PhotoRecord, Pins, Status, Store
from faceindex.types import BoolArray, Faces

__all__ = ["PIPELINES", "StoredPhotos", "add_photos", "commit_stored", "half", "in_half", "read_stored"]

PIPELINES = {
    "dlib": ("mtcnn", "dlib", "dl"),
    "facenet": ("yunet", "facenet", "fn"),
    "mobilefacenet": ("yunet", "mobilefacenet", "yu"),
}
"""Detector, embedder, and the end of the names of their indexes. dlib with mtcnn is the default without
weights, mobilefacenet with yunet the default with weights."""


@dataclass(frozen=True)
class StoredPhotos:
    """Photos of an index, with or without faces.

    Attributes
    ----------
    pins : Pins
        The models of the index.
    folder : Path
        Absolute; the paths of the photos are relative to it.
    photos : list of NewPhoto
        Without a root; sorted by path.
    """

    pins: Pins
    folder: Path
    photos: list[NewPhoto]

    def __len__(self) -> int:
        return len(self.photos)

    def __add__(self, other: StoredPhotos) -> StoredPhotos:
        return replace(self, photos=self.photos + other.photos)

    def inside(self, folder: str) -> StoredPhotos:
        """Return the photos in a folder, such as ``diverse/thai``."""
        return replace(self, photos=[p for p in self.photos if p.relpath.startswith(f"{folder}/")])


def half(name: str) -> str:
    """Return the half, A or B, of a person: methods are tuned on A and reported on B."""
    return "AB"[zlib.crc32(name.encode()) % 2]


def in_half(names: Sequence[str], which: str) -> BoolArray:
    """Return which of the people are in a half, (p,) bool."""
    return np.array([half(name) == which for name in names], np.bool_)


def read_stored(data: Path, embedder: str, work: Path, name: str) -> StoredPhotos:
    """Read a folder of the data from its index in `work`; make the index if there is none.

    Parameters
    ----------
    data : Path
    embedder : str
        A key of `PIPELINES`.
    work : Path
        Contains indexes called like ``people-yu``. Existing ones are only read.
    name : str
        A folder in `data`.
    """
    detector, embedder, end = PIPELINES[embedder]
    path = work / f"{name}-{end}"
    if not Store.exists(path):
        print(f"indexing {name} with {detector} and {embedder}", flush=True)
        with FaceIndex.open_or_create(path, detector=detector, embedder=embedder) as index:
            index.add([data / name])
    folder = Path(os.path.realpath(data))
    with Store.open(path) as store:
        pins = store.pins
        if (pins.detector, pins.embedder) != (detector, embedder):
            raise SystemExit(f"{path} was made with {pins.detector} and {pins.embedder}.")
        table, roots = store.faces(), {root.id: root.path for root in store.roots()}
        vectors = store.vectors(table.row)
        of_photo: dict[int, list[int]] = {}
        for i, photo in enumerate(table.photo.tolist()):
            of_photo.setdefault(photo, []).append(i)
        photos = [
            _photo(record, folder, roots[record.root_id], table, vectors, of_photo.get(record.id, []))
            for record in store.photos().values()
            if record.status is Status.OK
        ]
    return StoredPhotos(pins, folder, sorted(photos, key=lambda photo: photo.relpath))


def _photo(
    record: PhotoRecord, folder: Path, root: str, table: FaceTable, vectors: np.ndarray, faces: list[int]
) -> NewPhoto:
    return NewPhoto(
        0,
        (Path(os.path.realpath(root)) / record.relpath).relative_to(folder).as_posix(),
        record.size,
        record.mtime_ns,
        record.content_hash,
        record.width,
        record.height,
        faces=Faces(
            boxes=table.boxes[faces],
            landmarks=table.landmarks[faces],
            scores=table.scores[faces],
            vectors=np.array(vectors[faces]),
            norms=table.norms[faces],
            sharpness=table.sharpness[faces],
            quality=table.quality[faces],
            turns=table.turns[faces],
        )
        if faces
        else None,
    )


def commit_stored(directory: Path, stored: StoredPhotos, photos: Iterable[NewPhoto] | None = None) -> Store:
    """Create an index with these photos, or all of `stored`, and return it, open for writing."""
    store = Store.create(directory, stored.pins)
    add_photos(store, stored, stored.photos if photos is None else photos)
    return store


def add_photos(store: Store, stored: StoredPhotos, photos: Iterable[NewPhoto]) -> None:
    """Commit some photos of `stored` to an index, in one batch."""
    root = store.add_root(stored.folder, str(stored.folder))
    store.commit([replace(photo, root_id=root.id) for photo in photos])
