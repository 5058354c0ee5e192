"""Packing of pieces of images onto shelves, strips of one width and a few heights.

A network that slides over the levels of image pyramids gets an input of another size nearly every time. Then
the convolution library compiles code for each size, the allocator requests blocks of new sizes, and small
inputs cost more in calls than in arithmetic. Packed onto shelves, pieces share passes of a few fixed shapes.
The packing is first fit by decreasing height (Coffman et al. 1980, "Performance bounds for level-oriented
two-dimensional packing algorithms", https://doi.org/10.1137/0209062).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["HEIGHT", "WIDTH", "Piece", "Shelf", "cut", "shelve"]

WIDTH = 512
"""Width of every shelf in pixels; wider levels are cut."""

HEIGHT = 128
"""Height of the highest shelf in pixels; higher levels are cut."""

_STEP = 8  # heights of shelves are multiples of this: 16 shapes in all, and little empty space


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one level of one image.

    Attributes
    ----------
    image : int
    level : int
    shape : (height, width)
        Size of the whole level.
    rows, columns : (first, end)
        The part of the level; the first row and the first column are even.
    """

    image: int
    level: int
    shape: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def height(self) -> int:
        """Number of rows of the piece."""
        return self.rows[1] - self.rows[0]

    @property
    def width(self) -> int:
        """Number of columns of the piece."""
        return self.columns[1] - self.columns[0]


@dataclass(slots=True)
class Shelf:
    """Pieces side by side, all with their top at row 0.

    Attributes
    ----------
    height : int
        Pixels.
    pieces : list of Piece
    columns : list of int
        Where each piece begins, ascending and even.
    used : int
        Number of columns that are occupied.
    """

    height: int
    pieces: list[Piece] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    used: int = 0

    def put(self, piece: Piece) -> None:
        """Append a piece, which must fit."""
        self.pieces.append(piece)
        self.columns.append(self.used)
        self.used += _even(piece.width)


def cut(image: int, level: int, shape: tuple[int, int], reach: int) -> Iterator[Piece]:
    """Cut a level of an image into pieces of about equal size that fit onto shelves.

    Parameters
    ----------
    image, level : int
        Stored with the pieces.
    shape : (height, width)
        Size of the level.
    reach : int
        Number of rows and columns that neighbouring pieces share, even: how far a window extends beyond
        its stride.
    """
    for rows in _cut(shape[0], HEIGHT, reach):
        for columns in _cut(shape[1], WIDTH, reach):
            yield Piece(image, level, shape, rows, columns)


def shelve(pieces: Sequence[Piece]) -> list[Shelf]:
    """Pack pieces onto shelves by first fit; the highest shelves come first."""
    shelves: list[Shelf] = []
    for piece in sorted(pieces, key=lambda piece: (piece.height, piece.width), reverse=True):
        width = _even(piece.width)
        shelf = next((shelf for shelf in shelves if shelf.used + width <= WIDTH), None)
        if shelf is None:
            shelf = Shelf(-(-piece.height // _STEP) * _STEP)
            shelves.append(shelf)
        shelf.put(piece)
    return shelves


def _cut(extent: int, limit: int, reach: int) -> Iterator[tuple[int, int]]:
    """Yield the first and end positions of the pieces along one axis."""
    steps = -(-(extent - reach) // 2)  # strides of two pixels
    parts = max(1, -(-steps // ((limit - reach) // 2)))
    for part in range(parts):
        first, end = steps * part // parts, steps * (part + 1) // parts
        yield 2 * first, min(2 * end + reach, extent)


def _even(n: int) -> int:
    return n + n % 2
