"""Detectors other than the default, on real photographs."""

from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
import pytest

from faceindex import FaceIndex, images


@pytest.mark.parametrize("upsample", [0, 2])
def test_upsampling_finds_the_faces_that_dlib_finds(data: Path, tmp_path: Path, upsample: int) -> None:
    """No other step, such as decoding at a reduced scale, cancels the upsampling."""
    photo = data / "groups" / "parade.jpg"
    image = images.decode(photo.read_bytes(), photo).image
    rectangles, confidences, _ = dlib.get_frontal_face_detector().run(image, upsample, 0.0)
    with FaceIndex.create(tmp_path / "index", detector="dlib-hog", settings={"upsample": upsample}) as index:
        index.add(photo)
        found = sorted(row.box for row in index.faces())
    expected = sorted((r.left(), r.top(), r.right(), r.bottom()) for r in rectangles)
    assert len(confidences) == len(found)
    np.testing.assert_array_equal(np.array(found).reshape(-1, 4), np.array(expected).reshape(-1, 4))
