"""Export of faces as images: cut from the photo, or as aligned chips."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from faceindex import images
from faceindex.align import cut_chips
from faceindex.errors import ImageError, UsageError
from faceindex.export.names import UniqueNames, split_photo_name, split_suffix
from faceindex.export.source import (
    Exported,
    Progress,
    Source,
    fingerprint,
    ignore_progress,
    numbers_on_photo,
    read_unchanged,
)
from faceindex.export.target import Target
from faceindex.images.encode import encode, writable_suffix
from faceindex.models import Alignment, BoxShape
from faceindex.store.photos import Photo
from faceindex.turns import turn_image
from faceindex.types import F32, Detections, Image

__all__ = [
    "DEFAULT_MARGIN",
    "CropStyle",
    "cut_box",
    "cut_faces",
    "export_crops",
    "photo_stems",
    "write_crops",
]

DEFAULT_MARGIN = 0.5
_MOST_THREADS = 4
_LARGE = 40_000_000  # pixels; larger photos are decoded one at a time, to limit memory

# Part of each fingerprint. Increase it when the same photo and options give other pixels.
_VERSION = 1
_QUALITY, _QUALITY_ALIGNED = 95, 100


@dataclass(frozen=True, slots=True)
class CropStyle:
    """How faces are cut.

    Attributes
    ----------
    margin : float
        Margin on each side of the box, as a share of its width and height.
    alignment : Alignment or None
        The embedder's alignment, to write the chips that it gets; `margin` is then ignored.
    box : BoxShape or None
        The detector's box shape, to align faces without landmarks.
    """

    margin: float = DEFAULT_MARGIN
    alignment: Alignment | None = None
    box: BoxShape | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 10:
            raise UsageError(
                f"`margin` is {self.margin:g}.", "Choose a value in 0..10; 0.5 adds 50 % on each side."
            )


def export_crops(
    source: Source, folder: Target, style: CropStyle, *, on_progress: Progress = ignore_progress
) -> Exported:
    """Write every face as an image named ``<photo stem>_<n><suffix>``.

    The faces of a photo are numbered from 0, best score first, as in the widespread script around DSFD.
    Faces are cut from the upright photo at full resolution and clipped at its border. The suffix is the
    photo's if its format can be written (`faceindex.images.encode.writable_suffix`).

    Parameters
    ----------
    source : Source
    folder : Target
        Open; `Target.finish` is called.
    style : CropStyle
    on_progress : callable
        Called with the number of finished photos and of all photos.

    Returns
    -------
    Exported

    Raises
    ------
    FaceIndexError
        If the folder cannot be written. `Exported.failed` lists photos that cannot be read.
    """
    stems = photo_stems(source, writable=True)
    numbers = numbers_on_photo(source.table)
    names = {
        i: f"{stems[photo][0]}_{number}{stems[photo][1]}"
        for i, (photo, number) in enumerate(zip(source.table.photo.tolist(), numbers.tolist(), strict=True))
    }
    failed = write_crops(source, folder, names, style, on_progress)
    return Exported(folder.finish(), len(names), len(stems), tuple(failed))


def photo_stems(source: Source, *, writable: bool) -> dict[int, tuple[str, str]]:
    """Make distinct safe stems and suffixes for the photos with faces, by id.

    If photos in different folders have the same name, the one that was indexed first gets the plain stem.

    Parameters
    ----------
    source : Source
    writable : bool
        Whether the suffixes are for images made from the photos. Otherwise they are the photos' own.
    """
    names = UniqueNames()
    stems = {}
    for photo_id in np.unique(source.table.photo).tolist():
        photo = source.photos[photo_id]
        stem, suffix = split_photo_name(photo.name)
        if writable:
            suffix = writable_suffix(suffix)
        stems[photo_id] = names.add(stem, suffix, photo.name), suffix
    return stems


def write_crops(
    source: Source, folder: Target, names: Mapping[int, str], style: CropStyle, on_progress: Progress
) -> list[ImageError]:
    """Write the faces that are missing or have changed.

    Parameters
    ----------
    source : Source
    folder : Target
        Open; `Target.finish` is not called.
    names : mapping of int to str
        File names of the exported faces, by their position in the table.
    style : CropStyle
    on_progress : callable
        Called with the number of finished photos and of all photos.

    Returns
    -------
    list of ImageError
        Photos that could not be read.
    """
    folder.total = len(names)
    by_photo: dict[int, list[int]] = {}
    for i in names:
        by_photo.setdefault(int(source.table.photo[i]), []).append(i)
    failed = []
    cutter = _Cutter(source, style)
    for done, (faces, crops) in enumerate(cutter.run(_changed(source, folder, names, by_photo, cutter)), 1):
        if isinstance(crops, ImageError):
            failed.append(crops)
        else:
            for i, content in zip(faces, crops, strict=True):
                folder.write(names[i], content)
        on_progress(done, len(by_photo))
    return failed


def _changed(
    source: Source,
    folder: Target,
    names: Mapping[int, str],
    by_photo: Mapping[int, list[int]],
    cutter: _Cutter,
) -> Iterator[tuple[Photo, list[tuple[int, str]]]]:
    """Yield each photo with its faces that must be written, and their suffixes."""
    for photo_id, faces in by_photo.items():
        photo = source.photos[photo_id]
        changed = [i for i in faces if folder.include(names[i], cutter.fingerprint(photo, i))]
        yield photo, [(i, split_suffix(names[i])[1]) for i in changed]


class _Cutter:
    """Reads photos and cuts and encodes faces in threads, a few photos ahead of the caller."""

    def __init__(self, source: Source, style: CropStyle) -> None:
        self._table = source.table
        self._style = style
        self._large = threading.Lock()

    def fingerprint(self, photo: Photo, i: int) -> str:
        """Compute the fingerprint of everything that the image of a face is made from."""
        table, style = self._table, self._style
        if style.alignment is None:
            how: tuple[object, ...] = (
                _region(table.boxes[i], style.margin, photo.width, photo.height),
                _QUALITY,
            )
        else:
            how = (style.alignment, style.box, table.boxes[i], table.landmarks[i], _QUALITY_ALIGNED)
        if turn := int(table.turns[i]):
            how += (turn,)
        return fingerprint("crop", _VERSION, photo.content_hash, *how)

    def run(
        self, photos: Iterator[tuple[Photo, list[tuple[int, str]]]]
    ) -> Iterator[tuple[list[int], list[bytes] | ImageError]]:
        """Yield for each photo, in order, the positions of its faces, and their images or the error."""
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        waiting: deque[tuple[list[int], Future[list[bytes] | ImageError]]] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="faceindex-export")
        try:
            for photo, faces in photos:
                waiting.append(([i for i, _ in faces], pool.submit(self._read_and_cut, photo, faces)))
                if len(waiting) > 2 * threads:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read_and_cut(self, photo: Photo, faces: Sequence[tuple[int, str]]) -> list[bytes] | ImageError:
        if not faces:
            return []
        try:
            data = read_unchanged(photo.path, photo.content_hash)
            if photo.width * photo.height > _LARGE:
                with self._large:
                    return self._cut(data, photo, faces)
            return self._cut(data, photo, faces)
        except ImageError as error:
            return error

    def _cut(self, data: bytes, photo: Photo, faces: Sequence[tuple[int, str]]) -> list[bytes]:
        decoded = images.decode_to_fit(data, photo.path)
        found = self._table.detections([i for i, _ in faces]).scaled(decoded.scale)
        cut = cut_faces(decoded.image, found, self._style)
        quality = _QUALITY if self._style.alignment is None else _QUALITY_ALIGNED
        return [encode(face, suffix, quality=quality) for face, (_, suffix) in zip(cut, faces, strict=True)]


def _result(
    waiting: tuple[list[int], Future[list[bytes] | ImageError]],
) -> tuple[list[int], list[bytes] | ImageError]:
    faces, future = waiting
    return faces, future.result()


def cut_faces(image: Image, faces: Detections, style: CropStyle) -> list[Image]:
    """Cut the faces of a photo, or align them.

    Parameters
    ----------
    image : (h, w, 3) uint8
    faces : Detections
        In pixels of that image.
    style : CropStyle

    Returns
    -------
    list of (h', w', 3) uint8
        One for each face, in their order, upright.
    """
    if style.alignment is None:
        return [
            turn_image(cut_box(image, box, style.margin), turn)
            for box, turn in zip(faces.boxes, faces.turns.tolist(), strict=True)
        ]
    return list(cut_chips(image, faces, style.alignment, box=style.box))


def cut_box(image: Image, box: F32, margin: float) -> Image:
    """Cut the part of an image around a box, clipped at the border; at least one pixel.

    Parameters
    ----------
    image : (h, w, 3) uint8
    box : (4,) float32
        ``x1 y1 x2 y2`` in pixels of that image.
    margin : float
        Margin on each side, as a share of the box's width and height.

    Returns
    -------
    (h', w', 3) uint8
        C-contiguous.
    """
    left, top, right, bottom = _region(box, margin, image.shape[1], image.shape[0])
    return np.ascontiguousarray(image[top:bottom, left:right])


def _region(box: F32, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = box.astype(float).tolist()
    x, y = margin * (x2 - x1), margin * (y2 - y1)
    left = min(max(0, round(x1 - x)), width - 1)
    top = min(max(0, round(y1 - y)), height - 1)
    right = max(left + 1, min(round(x2 + x), width))
    bottom = max(top + 1, min(round(y2 + y), height))
    return left, top, right, bottom
