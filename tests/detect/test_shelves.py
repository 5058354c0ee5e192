"""Packing of pieces of images onto shelves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from faceindex.detect import shelves

REACH = 10


@pytest.mark.parametrize("extent", [12, 13, 127, 128, 129, 511, 512, 513, 2000, 2001])
def test_pieces_overlap_so_that_every_window_lies_within_one(extent: int) -> None:
    pieces = list(shelves.cut(0, 0, (extent, 12), REACH))
    ends = [piece.rows for piece in pieces]
    assert ends[0][0] == 0
    assert ends[-1][1] == extent
    assert all(first % 2 == 0 and end - first <= shelves.HEIGHT for first, end in ends)
    for (_, end), (first, _) in pairwise(ends):
        # The first window of a piece begins 2 px after the last window of the piece before.
        assert end - first == REACH
    sizes = [piece.height for piece in pieces]
    assert max(sizes) - min(sizes) <= 3


def test_shelves_contain_every_piece_once_without_overlap() -> None:
    rng = np.random.default_rng(0)
    shapes = [(int(h), int(w)) for h, w in rng.integers(12, 400, (60, 2))]
    pieces = [piece for i, shape in enumerate(shapes) for piece in shelves.cut(i, i, shape, REACH)]
    found = shelves.shelve(pieces)
    assert sorted((p.image, p.rows, p.columns) for shelf in found for p in shelf.pieces) == sorted(
        (p.image, p.rows, p.columns) for p in pieces
    )
    for shelf in found:
        assert shelf.height in range(16, shelves.HEIGHT + 1, 8)
        assert max(piece.height for piece in shelf.pieces) <= shelf.height
        for column, end, piece in zip(
            shelf.columns, [*shelf.columns[1:], shelves.WIDTH], shelf.pieces, strict=True
        ):
            assert column % 2 == 0
            assert column + piece.width <= end
    heights = [shelf.height for shelf in found]
    assert heights == sorted(heights, reverse=True)  # shelves of one height are neighbours
    used = sum(piece.height * piece.width for piece in pieces)
    assert used > 0.75 * sum(heights) * shelves.WIDTH


def test_no_pieces_give_no_shelves() -> None:
    assert shelves.shelve([]) == []
