"""Draw the pictures of a gallery: sprites of thumbnails, previews, contact sheets."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex import images
from faceindex.errors import ImageError
from faceindex.export.gallery_layout import COLUMNS, MARGIN, QUALITY, SIDE, Sprite
from faceindex.export.source import read_unchanged
from faceindex.images import DecodedImage
from faceindex.images.thumbnails import cut_squares, encode_jpeg, fit, shown_by_browsers, shrink_for
from faceindex.store import FaceTable, PhotoRecord
from faceindex.types import U8, Image

__all__ = ["Drawn", "Painter", "contact_sheet", "needs_preview", "preview"]

_WINDOW = 3072  # thumbnails in memory: 116 MB
_LARGE = 40_000_000  # pixels decoded; one such photo at a time
_THREADS = 4
_EMPTY = 200  # grey of a face that could not be drawn

_PREVIEW_SIDE = 1600
_PREVIEW_QUALITY = 85
_TOO_LARGE_TO_LINK = 50_000_000
"""Pixels of a photo above which a page shows a preview: 200 MB of a browser's memory at 4 bytes each."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sprite as JPEG, and the faces (positions in the table) that it lacks."""

    sprite: Sprite
    data: bytes
    missing: list[int]


class Painter:
    """Cuts faces out of photos.

    Parameters
    ----------
    table : FaceTable
    photos : mapping of int to PhotoRecord
        By id.
    path_of : callable
        Where a photo is.

    Attributes
    ----------
    failures : dict of int to ImageError
        Photos, by id, that could not be read.
    """

    def __init__(
        self, table: FaceTable, photos: Mapping[int, PhotoRecord], path_of: Callable[[PhotoRecord], str]
    ) -> None:
        self._table = table
        self._photos = photos
        self._path_of = path_of
        self._one_large = threading.Lock()
        self.failures: dict[int, ImageError] = {}

    def sprites(
        self, wanted: Sequence[Sprite], on_progress: Callable[[int], None] = lambda faces: None
    ) -> Iterator[Drawn]:
        """Draw sprites, in order. A photo that cannot be read leaves grey squares.

        A few thousand thumbnails at a time are made from their photos, each of which is decoded once
        for all of them, in several threads.

        Parameters
        ----------
        wanted : sequence of Sprite
        on_progress : callable
            Told how many more faces are done; those on two sprites count twice.
        """
        for window in _windows(wanted):
            faces = np.unique(np.concatenate([sprite.faces for sprite in window]))
            tiles, missing = self.tiles(faces.tolist(), on_progress)
            on_progress(sum(len(sprite.faces) for sprite in window) - len(faces))
            for sprite in window:
                slots = np.searchsorted(faces, sprite.faces)
                sheet = tile(tiles[slots], COLUMNS)
                lacking = [int(face) for face in sprite.faces if int(face) in missing]
                yield Drawn(sprite, encode_jpeg(sheet, quality=QUALITY), lacking)

    def tiles(
        self, faces: Sequence[int], on_progress: Callable[[int], None] = lambda faces: None
    ) -> tuple[U8, set[int]]:
        """Thumbnails of faces, (n, SIDE, SIDE, 3) uint8, and those of `faces` that could not be had."""
        tiles = np.full((len(faces), SIDE, SIDE, 3), _EMPTY, np.uint8)
        by_photo: dict[int, list[int]] = defaultdict(list)
        for slot, face in enumerate(faces):
            by_photo[int(self._table.photo[face])].append(slot)
        missing: set[int] = set()

        def cut(entry: tuple[int, list[int]]) -> tuple[list[int], bool]:
            image, slots = entry
            boxes = self._table.boxes[[faces[slot] for slot in slots]]
            try:
                tiles[slots] = cut_squares(
                    self._decode(self._photos[image], boxes), boxes, SIDE, margin=MARGIN
                )
            except ImageError as error:
                self.failures[image] = error
                return slots, False
            return slots, True

        pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))
        try:
            for slots, done in pool.map(cut, by_photo.items()):
                if not done:
                    missing.update(int(faces[slot]) for slot in slots)
                on_progress(len(slots))
        finally:
            pool.shutdown(cancel_futures=True)
        return tiles, missing

    def _decode(
        self, record: PhotoRecord, boxes: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ) -> DecodedImage:
        path = self._path_of(record)
        data = read_unchanged(path, record.content_hash)
        smallest = float((boxes[:, 2:] - boxes[:, :2]).max(axis=1).min()) * (1 + 2 * MARGIN)
        shrink = shrink_for(smallest, SIDE)
        if record.width * record.height / shrink**2 <= _LARGE:
            return images.decode(data, path, shrink=shrink)
        with self._one_large:
            return images.decode(data, path, shrink=shrink)


def tile(tiles: U8, columns: int, gap: int = 0) -> Image:
    """Put equal squares (n, s, s, 3) into one picture, row by row."""
    columns = min(len(tiles), columns)
    side = tiles.shape[1]
    rows = -(-len(tiles) // columns)
    pitch = side + gap
    sheet = np.full((rows * pitch - gap, columns * pitch - gap, 3), 255 if gap else _EMPTY, np.uint8)
    for slot, square in enumerate(tiles):
        row, column = divmod(slot, columns)
        sheet[row * pitch : row * pitch + side, column * pitch : column * pitch + side] = square
    return sheet


def contact_sheet(painter: Painter, faces: Sequence[int], columns: int) -> Image:
    """Faces (positions in the table) side by side, with a white line between them.

    Raises
    ------
    ImageError
        If none of the photos can be read.
    """
    tiles, missing = painter.tiles(faces)
    if len(missing) == len(set(faces)):
        raise next(iter(painter.failures.values()))
    return tile(tiles, columns, gap=4)


def needs_preview(record: PhotoRecord, path: str) -> bool:
    """Whether a page must show something else than the photo itself.

    That is so for formats that not all browsers know, photos turned by EXIF data that browsers heed in
    JPEGs only, and photos too large to be shown many times.

    Raises
    ------
    ImageError
        If the photo cannot be read.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            data = file.read(64)
    except OSError:
        data = b""
    if not data.startswith(b"\xff\xd8\xff"):
        data = images.read(path)
    return record.width * record.height > _TOO_LARGE_TO_LINK or not shown_by_browsers(data, path)


def preview(record: PhotoRecord, path: str) -> bytes:
    """A JPEG of a photo, upright, 1,600 pixels at most on its longer side.

    Raises
    ------
    ImageError
        If the photo cannot be read, or has changed since it was indexed.
    """
    shrink = shrink_for(max(record.width, record.height), _PREVIEW_SIDE)
    photo = images.decode(read_unchanged(path, record.content_hash), path, shrink=shrink)
    return encode_jpeg(fit(photo.image, _PREVIEW_SIDE), quality=_PREVIEW_QUALITY)


def _windows(sprites: Iterable[Sprite]) -> Iterator[list[Sprite]]:
    window: list[Sprite] = []
    faces = 0
    for sprite in sprites:
        if window and faces + len(sprite.faces) > _WINDOW:
            yield window
            window, faces = [], 0
        window.append(sprite)
        faces += len(sprite.faces)
    if window:
        yield window
