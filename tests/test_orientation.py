from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from faceindex.orientation import to_stored, to_upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_follow_the_pixels(orientation: int) -> None:
    """A white rectangle on the stored picture is where Pillow shows it on the upright one."""
    stored = np.zeros((40, 60), np.uint8)
    stored[4:12, 30:54] = 255
    picture = PIL.Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.info["exif"] = exif.tobytes()
    picture.getexif()[0x0112] = orientation
    upright = np.asarray(PIL.ImageOps.exif_transpose(picture))
    rows, columns = np.nonzero(upright)
    height, width = upright.shape
    expected = [
        columns.min() / width,
        rows.min() / height,
        (columns.max() + 1) / width,
        (rows.max() + 1) / height,
    ]
    box = np.array([[30 / 60, 4 / 40, 54 / 60, 12 / 40]], np.float32)
    code = np.array([orientation])
    np.testing.assert_allclose(to_upright(box, code)[0], expected, atol=1e-6)
    np.testing.assert_allclose(to_stored(to_upright(box, code), code), box, atol=1e-6)


def test_each_box_has_its_own_orientation() -> None:
    boxes = np.tile(np.array([0.1, 0.2, 0.4, 0.3], np.float32), (3, 1))
    found = to_upright(boxes, np.array([1, 6, 3]))
    np.testing.assert_allclose(
        found, [[0.1, 0.2, 0.4, 0.3], [0.7, 0.1, 0.8, 0.4], [0.6, 0.7, 0.9, 0.8]], atol=1e-6
    )


@pytest.mark.parametrize("orientation", [0, 9, -1])
def test_unknown_orientations_count_as_upright(orientation: int) -> None:
    box = np.array([[0.1, 0.2, 0.4, 0.3]], np.float32)
    np.testing.assert_array_equal(to_stored(box, np.array([orientation])), box)
