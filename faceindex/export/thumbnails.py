"""Thumbnails of faces, and contact sheets of them."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from faceindex import images
from faceindex.errors import ImageError
from faceindex.export.source import read_unchanged
from faceindex.images import DecodedImage
from faceindex.images.labels import label_tiles
from faceindex.images.thumbnails import cut_squares, shrink_for
from faceindex.store import FacePlaces, FaceTable, PhotoRecord
from faceindex.types import F32, U8, Image

__all__ = [
    "MARGIN",
    "SIDE",
    "ThumbnailRenderer",
    "contact_sheet",
    "labelled_tiles",
    "one_large_photo",
    "stack",
    "tile",
]

SIDE = 112
"""Side of a thumbnail in pixels: sharp at the 100 to 140 CSS pixels of a contact sheet, 2.5 kB as JPEG."""

MARGIN = 0.3
"""Margin of a thumbnail around the box on each side, as a share of the box's longer side."""

_GREY = 200  # pixel value for a face whose photo cannot be read
_LARGE = 40_000_000  # pixels decoded; larger photos are decoded one at a time
_THREADS = 4
_GAP = 4  # pixels between the tiles of a sheet

_one_large = threading.Lock()
_Made = TypeVar("_Made")


class ThumbnailRenderer:
    """Cuts thumbnails of faces out of photos.

    Parameters
    ----------
    table : FaceTable or FacePlaces
    photos : mapping of int to PhotoRecord
        By id.
    path_of : callable
        Returns the path of a photo.
    threads : int
        Photos that are decoded at once; never more than the cores.

    Attributes
    ----------
    failures : dict of int to ImageError
        Photos that could not be read, by id.
    """

    def __init__(
        self,
        table: FaceTable | FacePlaces,
        photos: Mapping[int, PhotoRecord],
        path_of: Callable[[PhotoRecord], str],
        *,
        threads: int = _THREADS,
    ) -> None:
        self._table = table
        self._photos = photos
        self._path_of = path_of
        self._threads = threads
        self.failures: dict[int, ImageError] = {}

    def tiles(
        self, faces: Sequence[int], on_progress: Callable[[int], None] = lambda faces: None
    ) -> tuple[U8, set[int]]:
        """Cut the thumbnails of faces. Each photo is decoded once, in several threads.

        Parameters
        ----------
        faces : sequence of int
            Positions in the table.
        on_progress : callable
            Called with the number of faces finished since the last call.

        Returns
        -------
        tiles : (n, SIDE, SIDE, 3) uint8
        missing : set of int
            Those of `faces` whose photo could not be read. Their tiles are grey.
        """
        tiles = np.full((len(faces), SIDE, SIDE, 3), _GREY, np.uint8)
        missing: set[int] = set()

        def keep(slots: list[int], squares: U8) -> bool:
            tiles[slots] = squares
            return True

        for slots, done in self.by_photo(faces, keep):
            if not done:
                missing.update(int(faces[slot]) for slot in slots)
            on_progress(len(slots))
        return tiles, missing

    def by_photo(
        self, faces: Sequence[int], make: Callable[[list[int], U8], _Made]
    ) -> Iterator[tuple[list[int], _Made | None]]:
        """Cut the thumbnails of faces, photo by photo, in the order in which the photos are finished.

        Parameters
        ----------
        faces : sequence of int
            Positions in the table.
        make : callable
            Called in several threads, with the slots of the faces on a photo (positions in `faces`) and
            their thumbnails, (n, SIDE, SIDE, 3) uint8.

        Yields
        ------
        slots : list of int
        made : object
            What `make` returned; None if the photo could not be read.
        """
        by_photo: dict[int, list[int]] = defaultdict(list)
        for slot, face in enumerate(faces):
            by_photo[int(self._table.photo[face])].append(slot)

        def cut(photo: int, slots: list[int]) -> tuple[list[int], _Made | None]:
            positions = [faces[slot] for slot in slots]
            boxes, turns = self._table.boxes[positions], self._table.turns[positions].tolist()
            try:
                decoded = self._decode(self._photos[photo], boxes)
                return slots, make(slots, cut_squares(decoded, boxes, SIDE, margin=MARGIN, turns=turns))
            except ImageError as error:
                self.failures[photo] = error
                return slots, None

        pool = ThreadPoolExecutor(max(1, min(self._threads, os.cpu_count() or 1)))
        try:
            for done in as_completed([pool.submit(cut, *entry) for entry in by_photo.items()]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _decode(self, record: PhotoRecord, boxes: F32) -> DecodedImage:
        path = self._path_of(record)
        data = read_unchanged(path, record.content_hash)
        smallest = float((boxes[:, 2:] - boxes[:, :2]).max(axis=1).min()) * (1 + 2 * MARGIN)
        shrink = shrink_for(smallest, SIDE)
        with one_large_photo(record, shrink):
            return images.decode(data, path, shrink=shrink)


@contextmanager
def one_large_photo(record: PhotoRecord, shrink: int) -> Iterator[None]:
    """Wait inside the ``with`` until no other thread of this process decodes a large photo.

    Parameters
    ----------
    record : PhotoRecord
    shrink : int
        As in `faceindex.images.decode`. Photos that are small at this scale do not wait.
    """
    if record.width * record.height / shrink**2 <= _LARGE:
        yield
        return
    with _one_large:
        yield


def contact_sheet(
    renderer: ThumbnailRenderer, faces: Sequence[int], columns: int, labels: Sequence[str] | None = None
) -> Image:
    """Draw faces side by side, with white lines between them.

    Parameters
    ----------
    renderer : ThumbnailRenderer
    faces : sequence of int
        Positions in the table; at least one.
    columns : int
    labels : sequence of str, optional
        A line of text below each face.

    Returns
    -------
    (h, w, 3) uint8

    Raises
    ------
    ImageError
        If none of the photos can be read. A face whose photo cannot be read is grey.
    """
    tiles, missing = renderer.tiles(faces)
    if len(missing) == len(set(faces)):
        raise next(iter(renderer.failures.values()))
    return tile(tiles, columns, gap=_GAP) if labels is None else labelled_tiles(tiles, columns, labels)


def labelled_tiles(tiles: U8, columns: int, labels: Sequence[str]) -> Image:
    """Arrange tiles in rows, with a line of text below each and white lines between them.

    Parameters
    ----------
    tiles : (n, h, w, 3) uint8
    columns : int
    labels : sequence of str
        One for each tile; may be empty.
    """
    return tile(label_tiles(tiles, labels), columns, gap=_GAP)


def tile(tiles: U8, columns: int, gap: int = 0) -> Image:
    """Arrange tiles of one size in rows.

    Parameters
    ----------
    tiles : (n, h, w, 3) uint8
    columns : int
    gap : int
        Pixels between tiles; white. Without a gap, empty places of the last row are grey.

    Returns
    -------
    (h', w', 3) uint8
    """
    columns = min(len(tiles), columns)
    height, width = tiles.shape[1:3]
    rows = -(-len(tiles) // columns)
    down, across = height + gap, width + gap
    sheet = np.full((rows * down - gap, columns * across - gap, 3), 255 if gap else _GREY, np.uint8)
    for slot, square in enumerate(tiles):
        row, column = divmod(slot, columns)
        sheet[row * down : row * down + height, column * across : column * across + width] = square
    return sheet


def stack(pictures: Sequence[Image]) -> Image:
    """Put images below each other, aligned at the left, with white lines between them.

    Parameters
    ----------
    pictures : sequence of (h, w, 3) uint8
        At least one; widths may differ.
    """
    width = max(picture.shape[1] for picture in pictures)
    height = sum(picture.shape[0] + _GAP for picture in pictures) - _GAP
    sheet = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for picture in pictures:
        sheet[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0] + _GAP
    return sheet
