from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceindex.errors import ImageError
from faceindex.export.thumbnails import SIDE, ThumbnailRenderer, contact_sheet, labelled_tiles, stack, tile


@pytest.fixture
def galleries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    import galleries

    return galleries


@pytest.fixture
def source(galleries, tmp_path: Path):
    """Three faces on two photos."""
    face = galleries.FacePlan((20, 20, 80, 100), 1)
    other = galleries.FacePlan((120, 20, 180, 100), 1)
    plans = [galleries.PhotoPlan("one.png", [face, other]), galleries.PhotoPlan("two.png", [face])]
    return galleries.make_source(tmp_path / "photos", plans)


@pytest.fixture
def renderer(source) -> ThumbnailRenderer:
    return ThumbnailRenderer(source.table, {record.id: record for record in source.photos}, source.path_of)


def centre(tile: np.ndarray) -> np.ndarray:
    return tile[SIDE // 2, SIDE // 2, :].astype(int)


def test_a_sheet_shows_the_faces_in_the_given_order(galleries, renderer) -> None:
    sheet = contact_sheet(renderer, [2, 0, 1], 2)
    assert sheet.shape == (2 * SIDE + 4, 2 * SIDE + 4, 3)
    assert (sheet[SIDE : SIDE + 4] == 255).all()
    for (row, column), face in zip([(0, 0), (0, 1), (1, 0)], [3, 1, 2], strict=True):
        square = sheet[row * (SIDE + 4) :, column * (SIDE + 4) :]
        assert np.abs(centre(square) - galleries.colour_of(face)).max() < 3


def test_a_sheet_with_labels_has_a_strip_below_each_face(galleries, renderer) -> None:
    sheet = contact_sheet(renderer, [0, 1, 2], 2, ["Zoë", "", "a label that is much too long for its face"])
    assert sheet.shape == (2 * (SIDE + 18) + 4, 2 * SIDE + 4, 3)
    strips = [sheet[SIDE : SIDE + 18, :SIDE], sheet[SIDE : SIDE + 18, SIDE + 4 :], sheet[-18:, :SIDE]]
    assert [bool((strip < 128).any()) for strip in strips] == [True, False, True]
    assert np.abs(centre(sheet[SIDE + 22 :]) - galleries.colour_of(3)).max() < 3
    np.testing.assert_array_equal(
        sheet,
        labelled_tiles(
            renderer.tiles([0, 1, 2])[0], 2, ["Zoë", "", "a label that is much too long for its face"]
        ),
    )


def test_a_face_of_an_unreadable_photo_is_grey(tmp_path: Path, renderer) -> None:
    (tmp_path / "photos" / "two.png").unlink()
    steps: list[int] = []
    tiles, missing = renderer.tiles([0, 1, 2], steps.append)
    assert missing == {2}
    assert sum(steps) == 3
    assert (tiles[2] == 200).all()
    assert [Path(error.path).name for error in renderer.failures.values()] == ["two.png"]
    assert contact_sheet(renderer, [0, 2], 2).shape == (SIDE, 2 * SIDE + 4, 3)
    with pytest.raises(ImageError, match=r"two\.png"):
        contact_sheet(renderer, [2, 2], 2)


def test_tile_fills_empty_places() -> None:
    tiles = np.zeros((3, 4, 6, 3), np.uint8)
    assert tile(tiles, 8).shape == (4, 18, 3)
    closed, open_ = tile(tiles, 2), tile(tiles, 2, gap=1)
    assert (closed.shape, open_.shape) == ((8, 12, 3), (9, 13, 3))
    assert (closed[4:, 6:] == 200).all()
    assert (open_[5:, 7:] == 255).all()


def test_stack_pads_narrow_images() -> None:
    wide, narrow = np.zeros((5, 20, 3), np.uint8), np.zeros((7, 8, 3), np.uint8)
    sheet = stack([wide, narrow])
    assert sheet.shape == (16, 20, 3)
    assert (sheet[:5] == 0).all()
    assert (sheet[5:9] == 255).all()
    assert (sheet[9:, :8] == 0).all()
    assert (sheet[9:, 8:] == 255).all()
