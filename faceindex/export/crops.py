"""Faces as images: cut from the full photo, or aligned as the model saw them."""

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
from faceindex.export.folder import Folder
from faceindex.export.names import Names, split_suffix
from faceindex.export.source import (
    Exported,
    Progress,
    Source,
    SourcePhoto,
    fingerprint,
    numbers_on_photo,
    read_unchanged,
)
from faceindex.images.encode import encode, writable_suffix
from faceindex.models import Alignment, BoxShape
from faceindex.types import F32, Detections, Image

__all__ = [
    "DEFAULT_MARGIN",
    "CropStyle",
    "cut_box",
    "export_crops",
    "photo_stems",
    "write_crops",
]

DEFAULT_MARGIN = 0.5
_MOST_THREADS = 4
_LARGE = 40_000_000  # pixels; beyond, photos are decoded one at a time, to bound memory

# In each fingerprint: to be raised when the same photo and options come to give other pixels.
_VERSION = 1
_QUALITY, _QUALITY_ALIGNED = 95, 100


@dataclass(frozen=True, slots=True)
class CropStyle:
    """How faces are cut.

    Attributes
    ----------
    margin : float
        What is added on each side of the box, as a share of its width and height.
    alignment : Alignment or None
        The embedder's, for chips as the network sees them; `margin` has no say then.
    box : BoxShape or None
        The detector's, for faces without landmarks.
    """

    margin: float = DEFAULT_MARGIN
    alignment: Alignment | None = None
    box: BoxShape | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 10:
            raise UsageError(
                f"--margin {self.margin:g} is not possible.", "Choose one in 0..10; 0.5 is 50 %."
            )


def export_crops(
    source: Source, folder: Folder, style: CropStyle, *, on_progress: Progress = lambda done, total: None
) -> Exported:
    """Every face as an image named ``<photo stem>_<n><suffix>``.

    The faces of a photo are numbered from 0, best score first, as the widespread script around DSFD does.
    Faces are cut from the upright photo at full resolution and clipped at its border. The suffix is
    the photo's where its format can be written (`faceindex.images.encode.writable_suffix`).

    Parameters
    ----------
    source : Source
    folder : Folder
        Open; it is finished.
    style : CropStyle
    on_progress : callable
        Called with photos done and photos to do.

    Returns
    -------
    Exported

    Raises
    ------
    FaceIndexError
        If the folder cannot be written. Photos that cannot be read are told in `Exported.failed`.
    """
    stems = photo_stems(source, writable=True)
    numbers = numbers_on_photo(source.table)
    names = {
        i: f"{stems[image][0]}_{number}{stems[image][1]}"
        for i, (image, number) in enumerate(zip(source.table.photo.tolist(), numbers.tolist(), strict=True))
    }
    failed = write_crops(source, folder, names, style, on_progress)
    return Exported(folder.finish(), len(names), len(stems), tuple(failed))


def photo_stems(source: Source, *, writable: bool) -> dict[int, tuple[str, str]]:
    """Distinct safe stems and suffixes of the photos with faces, by id.

    Of photos of the same name in different folders the one that was indexed first has the plain stem.

    Parameters
    ----------
    source : Source
    writable : bool
        Whether the suffixes are those of images that are made from the photos, instead of their own.
    """
    names = Names()
    stems = {}
    for image in np.unique(source.table.photo).tolist():
        photo = source.photos[image]
        stem, suffix = split_suffix(os.path.basename(photo.name))  # noqa: PTH119 - "..jpg"
        if writable:
            suffix = writable_suffix(suffix)
        stems[image] = names.take(stem, suffix, photo.name), suffix
    return stems


def write_crops(
    source: Source, folder: Folder, names: Mapping[int, str], style: CropStyle, on_progress: Progress
) -> list[ImageError]:
    """Cut faces into a folder.

    Parameters
    ----------
    names : mapping of int to str
        File names of the wanted faces, by their position in the table.

    Returns
    -------
    list of ImageError
        Photos that could not be used.
    """
    folder.total = len(names)
    by_photo: dict[int, list[int]] = {}
    for i in names:
        by_photo.setdefault(int(source.table.photo[i]), []).append(i)
    failed = []
    crops = _Crops(source, style)
    for done, (wanted, rendered) in enumerate(crops.run(_claimed(source, folder, names, by_photo, crops)), 1):
        if isinstance(rendered, ImageError):
            failed.append(rendered)
        else:
            for i, content in zip(wanted, rendered, strict=True):
                folder.write(names[i], content)
        on_progress(done, len(by_photo))
    return failed


def _claimed(
    source: Source,
    folder: Folder,
    names: Mapping[int, str],
    by_photo: Mapping[int, list[int]],
    crops: _Crops,
) -> Iterator[tuple[SourcePhoto, list[tuple[int, str]]]]:
    """Each photo with the faces on it that have to be written, and their suffixes."""
    for image, faces in by_photo.items():
        photo = source.photos[image]
        yield (
            photo,
            [
                (i, split_suffix(names[i])[1])
                for i in faces
                if folder.claim(names[i], crops.made_from(photo, i))
            ],
        )


class _Crops:
    """Reads, cuts and encodes in threads, a few photos ahead of whoever writes the results."""

    def __init__(self, source: Source, style: CropStyle) -> None:
        self._table = source.table
        self._style = style
        self._large = threading.Lock()

    def made_from(self, photo: SourcePhoto, i: int) -> str:
        """Fingerprint of a face's image."""
        table, style = self._table, self._style
        if style.alignment is None:
            how: tuple[object, ...] = (
                _region(table.boxes[i], style.margin, photo.width, photo.height),
                _QUALITY,
            )
        else:
            how = (style.alignment, style.box, table.boxes[i], table.landmarks[i], _QUALITY_ALIGNED)
        return fingerprint("crop", _VERSION, photo.content_hash, *how)

    def run(
        self, photos: Iterator[tuple[SourcePhoto, list[tuple[int, str]]]]
    ) -> Iterator[tuple[list[int], list[bytes] | ImageError]]:
        """For each photo, in order: the positions of its faces, and their images or what went wrong."""
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        waiting: deque[tuple[list[int], Future[list[bytes] | ImageError]]] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="faceindex-export")
        try:
            for photo, faces in photos:
                waiting.append(([i for i, _ in faces], pool.submit(self._render, photo, faces)))
                if len(waiting) > 2 * threads:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _render(self, photo: SourcePhoto, faces: Sequence[tuple[int, str]]) -> list[bytes] | ImageError:
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

    def _cut(self, data: bytes, photo: SourcePhoto, faces: Sequence[tuple[int, str]]) -> list[bytes]:
        image = images.decode(data, photo.path).image
        which, style = [i for i, _ in faces], self._style
        boxes = self._table.boxes[which]
        if style.alignment is None:
            cut: Sequence[Image] = [cut_box(image, box, style.margin) for box in boxes]
        else:
            found = Detections(boxes, self._table.landmarks[which], self._table.scores[which])
            cut = list(cut_chips(image, found, style.alignment, box=style.box))
        quality = _QUALITY if style.alignment is None else _QUALITY_ALIGNED
        return [encode(face, suffix, quality=quality) for face, (_, suffix) in zip(cut, faces, strict=True)]


def _result(
    waiting: tuple[list[int], Future[list[bytes] | ImageError]],
) -> tuple[list[int], list[bytes] | ImageError]:
    faces, future = waiting
    return faces, future.result()


def cut_box(image: Image, box: F32, margin: float) -> Image:
    """The part of an image around a box, clipped at the border; at least one pixel.

    Parameters
    ----------
    image : (h, w, 3) uint8
    box : (4,) float32
        ``x1 y1 x2 y2`` in pixels of that image.
    margin : float
        What is added on each side, as a share of the box's width and height.

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
