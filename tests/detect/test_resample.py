"""Summed-area resampling, compared with torch's area interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from faceindex.detect.resample import SummedAreas


def reference(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    mean = interpolate(tensor, size=shape, mode="area")[0].permute(1, 2, 0).numpy()
    expected: NDArray[np.float32] = (mean - np.float32(127.5)) / 128
    return expected


def level(areas: SummedAreas, index: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    out = np.full((*shape, 3), np.nan, np.float32)
    areas.level(index, shape, (0, 0), out)
    return out


def test_levels_of_random_sizes_equal_area_interpolation() -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*rng.integers(1, 90, 2), 3), np.uint8) for _ in range(25)]
    areas = SummedAreas(images)
    for index, image in enumerate(images):
        height, width = (int(n) for n in rng.integers(1, 140, 2))
        np.testing.assert_allclose(
            level(areas, index, (height, width)), reference(image, (height, width)), atol=1e-5
        )


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 40)])
def test_large_bins_are_summed_in_parts(shape: tuple[int, int]) -> None:
    image = np.full((300, 500, 3), 255, np.uint8)
    image[100:200, ::3, 1] = 7
    mean = (image.reshape(-1, 3).astype(float).mean(axis=0) - 127.5) / 128
    expected = mean if shape == (1, 1) else reference(image, shape)
    np.testing.assert_allclose(
        level(SummedAreas([image]), 0, shape), np.broadcast_to(expected, (*shape, 3)), atol=2e-5
    )


def test_a_strip_of_a_level_equals_its_rows_of_the_whole() -> None:
    image = np.random.default_rng(2).integers(0, 256, (61, 47, 3), np.uint8)
    areas = SummedAreas([image])
    whole = level(areas, 0, (33, 29))
    strip = np.empty((9, 29, 3), np.float32)
    areas.level(0, (33, 29), (11, 0), strip)
    np.testing.assert_array_equal(strip, whole[11:20])


def test_crops_of_several_images_equal_area_interpolation() -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 60), (7, 300), (1, 1), (250, 30))]
    owners, frames = [], []
    for owner, image in enumerate(images):
        for _ in range(12):
            height, width = image.shape[:2]
            x, y = int(rng.integers(width)), int(rng.integers(height))
            owners.append(owner)
            frames.append((x, y, rng.integers(x + 1, width + 1), rng.integers(y + 1, height + 1)))
    crops = SummedAreas(images).crops(np.array(owners, np.int64), np.array(frames, np.int64), 24)
    assert crops.shape == (48, 24, 24, 3)
    for owner, (x1, y1, x2, y2), crop in zip(owners, frames, crops, strict=True):
        np.testing.assert_allclose(crop, reference(images[owner][y1:y2, x1:x2], (24, 24)), atol=1e-5)


def test_no_crops_of_no_images() -> None:
    areas = SummedAreas([])
    none = areas.crops(np.empty(0, np.int64), np.empty((0, 4), np.int64), 48)
    assert none.shape == (0, 48, 48, 3)
