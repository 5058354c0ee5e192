"""Embed the faces of an import that no detector found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from faceindex import images
from faceindex.drawn_faces import find_drawn
from faceindex.errors import ImageError
from faceindex.export.source import read_unchanged
from faceindex.store.forgotten import select_faces
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.import_gathering import NewPlace
    from faceindex.api.import_results import Counter
    from faceindex.images import Picture
    from faceindex.recognition import LoadedPhoto, Recogniser
    from faceindex.store import Store
    from faceindex.types import BoolArray, Detections, Faces

__all__ = ["EmbeddedRegions", "embed_regions"]

_BATCH: Final = 8  # photos that are decoded at once


class EmbeddedRegions:
    """Faces at regions of one photo.

    Attributes
    ----------
    photo : int
    faces : Faces
    regions : list of NewPlace
        One per face.
    picture : Picture or None
        If the index does not know it yet.
    """

    __slots__ = ("faces", "photo", "picture", "regions")

    def __init__(self, photo: int, faces: Faces, regions: list[NewPlace], picture: Picture | None) -> None:
        self.photo, self.faces, self.regions, self.picture = photo, faces, regions, picture


def embed_regions(
    store: Store,
    recogniser: Callable[[], Recogniser],
    regions: Sequence[NewPlace],
    counter: Counter,
    *,
    progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> tuple[list[EmbeddedRegions], bool]:
    """Embed faces at regions, a few photos at a time.

    Photos that cannot be read, or have changed since they were indexed, are problems of the report.

    Parameters
    ----------
    store : Store
    recogniser : callable
        Loads the networks; called only if there is a face to embed.
    regions : sequence of NewPlace
    counter : Counter
    progress : callable
        Called with the numbers of photos that are finished, and of all.
    should_stop : callable
        Called between batches; True ends the work.

    Returns
    -------
    list of EmbeddedRegions
    bool
        Whether it was stopped.
    """
    by_photo: dict[int, list[NewPlace]] = {}
    for region in regions:
        by_photo.setdefault(region.photo, []).append(region)
    photos = list(by_photo)
    found: list[EmbeddedRegions] = []
    if not photos:
        return found, False
    names = PhotoNames(store, photos)
    models: Recogniser | None = None
    for start in range(0, len(photos), _BATCH):
        if should_stop():
            left = sum(len(by_photo[photo]) for photo in photos[start:])
            counter.add("unread", left)
            return found, True
        if models is None:
            models = recogniser()
        batch = photos[start : start + _BATCH]
        found += _embed(models, names, {photo: by_photo[photo] for photo in batch}, counter)
        progress(start + len(batch), len(photos))
    return found, False


def _embed(
    models: Recogniser, names: PhotoNames, regions: dict[int, list[NewPlace]], counter: Counter
) -> list[EmbeddedRegions]:
    loaded: list[tuple[int, LoadedPhoto, Detections, Picture | None]] = []
    for photo, there in regions.items():
        record = names.by_id[photo]
        path = names.path(record)
        try:
            data = read_unchanged(path, record.content_hash)
            decoded = models.decode_photo(data, path)
            boxes = np.array([region.upright for region in there], np.float32)
            picture = images.read_picture(data) if record.picture is None else None
            loaded.append((photo, decoded, find_drawn(models, decoded, boxes), picture))
        except ImageError as error:
            counter.add("unread", len(there))
            counter.list("problems", error.problem)
    embedded = models.embed_faces([each[1] for each in loaded], [each[2] for each in loaded])
    found = []
    for (photo, _, _, picture), faces in zip(loaded, embedded, strict=True):
        good: BoolArray = np.all(np.isfinite(faces.vectors), axis=1)
        there = [region for region, is_good in zip(regions[photo], good.tolist(), strict=True) if is_good]
        if len(there) < len(good):
            counter.add("unread", len(good) - len(there))
            name = names.name(names.by_id[photo])
            counter.list("problems", f"{name}: a face in a region cannot be embedded.")
        if there:
            found.append(EmbeddedRegions(photo, select_faces(faces, good), there, picture))
    return found
