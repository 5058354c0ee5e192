from __future__ import annotations

import numpy as np
import PIL.ImageFont
import pytest

from faceindex.images.labels import draw_boxes, label_tiles
from faceindex.types import U8, BoolArray

GREY = 90


def tiles(count: int, side: int = 112) -> U8:
    return np.full((count, side, side, 3), GREY, np.uint8)


def strip(label: str, side: int = 112) -> U8:
    (tile,) = label_tiles(tiles(1, side), [label])
    below: U8 = tile[side:]
    return below


def columns_with_text(label: str, side: int = 112) -> np.ndarray:
    return np.flatnonzero((strip(label, side) < 128).any(axis=(0, 2)))


def test_each_tile_gets_a_strip_with_its_label() -> None:
    labelled = label_tiles(tiles(3), ["0.912", "", "Cluster 7"])
    assert labelled.shape == (3, 130, 112, 3)
    assert labelled.dtype == np.uint8
    assert (labelled[:, :112] == GREY).all()
    assert [bool((tile[112:] < 128).any()) for tile in labelled] == [True, False, True]


def test_a_label_is_centred_and_not_clipped() -> None:
    dark: BoolArray = np.any(strip("Ag") < 128, axis=2)
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert 0 < rows[0] <= rows[-1] < 17
    assert abs((columns[0] + columns[-1]) / 2 - 56) < 4


def test_a_long_label_is_cut_to_the_width() -> None:
    short, long = columns_with_text("x" * 8), columns_with_text("x" * 200)
    assert len(long) > len(short)
    assert 0 < long[0] <= long[-1] < 111
    assert not np.array_equal(strip("x" * 200), strip("x" * 12))  # it has dots in its middle
    assert columns_with_text("a long label", side=5).size == 0


def test_a_long_name_keeps_its_start_and_its_end() -> None:
    name = "holiday-in-the-mountains-{}.jpg"
    first, second = strip(name.format("1")), strip(name.format("2"))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first[:, :60], second[:, :60])


def test_accents_are_dropped() -> None:
    np.testing.assert_array_equal(strip("Zoë José ﬁ…"), strip("Zoe Jose fi..."))


@pytest.mark.parametrize(
    "label", ["祖母", "مرحبا", "😀", "\udcff", "a\nb\tc", "\0", "\u202egpj.exe", "e\u0301"]
)
def test_letters_that_the_font_lacks(label: str) -> None:
    assert strip(label).shape == (18, 112, 3)
    assert columns_with_text(label).size


@pytest.mark.parametrize("label", ["0.912", "Zoë 祖母", "x" * 200])
def test_a_pillow_without_freetype(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    bitmap = PIL.ImageFont.load_default_imagefont()

    def load_default(size: float | None = None) -> object:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return bitmap

    monkeypatch.setattr(PIL.ImageFont, "load_default", load_default)
    assert columns_with_text(label).size
    boxed = draw_boxes(tiles(1)[0], np.array([[20, 40, 60, 90]], np.float32), [label])
    assert (boxed != GREY).any()


def test_one_label_for_each_tile() -> None:
    with pytest.raises(ValueError):
        label_tiles(tiles(2), ["one"])


def test_boxes_are_drawn_on_a_copy() -> None:
    image = np.full((300, 400, 3), GREY, np.uint8)
    boxes = np.array([[50, 60, 150, 200], [220, 100, 330, 250]], np.float32)
    drawn = draw_boxes(image, boxes, ["1", "2"])
    assert drawn.shape == image.shape
    assert (image == GREY).all()
    changed = (drawn != GREY).any(axis=2)
    for x1, y1, x2, y2 in boxes.astype(int).tolist():
        assert changed[y1 + 30 : y2, x1].all()
        assert changed[y2, x1:x2].all()
        assert not changed[y1 + 30 : y2 - 5, x1 + 5 : x2 - 5].any()
        assert changed[y1 - 12 : y1, x1 + 5].all()  # the tag with the number is above the box
    assert not np.array_equal(drawn[40:60, 48:70], drawn[80:100, 218:240])  # "1" and "2"


@pytest.mark.parametrize(
    "box",
    [(-40, -50, 30, 40), (350, 250, 500, 400), (-10, -10, 900, 900), (5, 5, 5, 5), (500, 500, 600, 600)],
)
def test_a_box_that_exceeds_the_image_is_clipped(box: tuple[float, ...]) -> None:
    image = np.full((300, 400, 3), GREY, np.uint8)
    drawn = draw_boxes(image, np.array([box], np.float32), ["12"])
    assert drawn.shape == image.shape
    assert (drawn != GREY).any()


def test_lines_and_letters_grow_with_the_image() -> None:
    boxes = np.array([[300, 300, 900, 900]], np.float32)
    small = draw_boxes(np.full((1200, 1200, 3), GREY, np.uint8), boxes, ["1"])
    large = draw_boxes(np.full((4800, 4800, 3), GREY, np.uint8), boxes * 4, ["1"])
    shares = [float((drawn != GREY).mean()) for drawn in (small, large)]
    assert shares[1] == pytest.approx(shares[0], rel=0.2)


def test_labels_of_small_faces_are_small() -> None:
    image = np.full((1200, 1200, 3), GREY, np.uint8)
    small = draw_boxes(image, np.array([[300, 300, 330, 330]], np.float32), ["1"])
    large = draw_boxes(image, np.array([[300, 300, 600, 600]], np.float32), ["1"])
    heights = [np.flatnonzero((drawn[:300, 305] != GREY).any(axis=1)).size for drawn in (small, large)]
    assert 0 < heights[0] < 25 < heights[1]


def test_no_boxes() -> None:
    image = np.full((30, 40, 3), GREY, np.uint8)
    np.testing.assert_array_equal(draw_boxes(image, np.empty((0, 4), np.float32), []), image)
