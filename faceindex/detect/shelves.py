"""Pieces of many pictures side by side on shelves of one width and few heights.

A network that slides over the levels of an image pyramid is given a picture of another size nearly every
time: the convolution library compiles code for each, the allocator sees ever new sizes, and small pictures
cost more in calls than in arithmetic. Packed on shelves, pieces share passes of a few fixed shapes. The
packing is first fit by decreasing height (Coffman et al. 1980, "Performance bounds for level-oriented
two-dimensional packing algorithms", https://doi.org/10.1137/0209062).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["HEIGHT", "WIDTH", "Piece", "Shelf", "cut", "shelve"]

WIDTH = 512
"""Pixels of every shelf; what is wider is cut."""

HEIGHT = 128
"""Pixels of the highest shelf; what is higher is cut."""

_STEP = 8  # heights of shelves are multiples of this: 16 shapes in all, and little empty


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one level of one image.

    Attributes
    ----------
    image : int
    level : int
    shape : (height, width)
        Of the whole level.
    rows, columns : (first, end)
        Of the level, first ones even.
    """

    image: int
    level: int
    shape: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def height(self) -> int:
        """Its own rows."""
        return self.rows[1] - self.rows[0]

    @property
    def width(self) -> int:
        """Its own columns."""
        return self.columns[1] - self.columns[0]


@dataclass(slots=True)
class Shelf:
    """Pieces next to each other, from row 0 down.

    Attributes
    ----------
    height : int
        Pixels.
    pieces : list of Piece
    columns : list of int
        Where each piece begins, ascending and even.
    used : int
        Columns that are taken.
    """

    height: int
    pieces: list[Piece] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    used: int = 0

    def put(self, piece: Piece) -> None:
        """Append a piece; there must be room."""
        self.pieces.append(piece)
        self.columns.append(self.used)
        self.used += _even(piece.width)


def cut(image: int, level: int, shape: tuple[int, int], reach: int) -> Iterator[Piece]:
    """Cut a level of an image into pieces that fit on shelves, all about as large.

    Parameters
    ----------
    image, level : int
        Kept with the pieces.
    shape : (height, width)
        Of the level.
    reach : int
        Rows and columns that neighbours share, even: what a window covers beyond its stride.
    """
    for rows in _cut(shape[0], HEIGHT, reach):
        for columns in _cut(shape[1], WIDTH, reach):
            yield Piece(image, level, shape, rows, columns)


def shelve(pieces: Sequence[Piece]) -> list[Shelf]:
    """Put pieces on as few shelves as first fit finds, the highest first."""
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
    steps = -(-(extent - reach) // 2)  # strides of two pixels
    parts = max(1, -(-steps // ((limit - reach) // 2)))
    for part in range(parts):
        first, end = steps * part // parts, steps * (part + 1) // parts
        yield 2 * first, min(2 * end + reach, extent)


def _even(n: int) -> int:
    return n + n % 2
