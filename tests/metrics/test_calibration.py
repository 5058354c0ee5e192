from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from faceindex.metrics.calibration import (
    blur_limit,
    consensus,
    fit_line,
    fit_mixture,
    mislabelled,
    pairs_of_people,
)
from faceindex.types import F32, I64

SIGMA = 0.07


def album(people: int, photos: int, *, noise: float, seed: int = 0, dimension: int = 48) -> tuple[F32, I64]:
    """Unit vectors of `people` around random centres, and the person of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, dimension))
    vectors = np.repeat(centres, photos, axis=0)
    vectors += noise * rng.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(people), photos).astype(np.int64)


class TestFitLine:
    @pytest.mark.parametrize("apart", [3.0, 4.5, 6.0])
    @pytest.mark.parametrize(
        ("different", "same", "slope_within", "midpoint_within"),
        [(3_000, 300, 0.35, 0.012), (100_000, 5_000, 0.1, 0.006)],
    )
    def test_two_normal_distributions_of_one_width_have_a_known_line(
        self, apart: float, different: int, same: int, slope_within: float, midpoint_within: float
    ) -> None:
        """The log ratio of N(m + a s, s) to N(m, s) has slope a / s and midpoint m + a s / 2."""
        rng = np.random.default_rng(1)
        line = fit_line(
            rng.normal(0.1, SIGMA, different),
            rng.normal(0.1 + apart * SIGMA, SIGMA, same),
            np.ones(same),
        )
        assert line is not None
        assert line.slope == pytest.approx(apart / SIGMA, rel=slope_within)
        assert line.midpoint == pytest.approx(0.1 + apart * SIGMA / 2, abs=midpoint_within)
        assert line.threshold(1000) == pytest.approx(line.midpoint + np.log(1000) / line.slope)

    def test_it_is_shifted_and_scaled_with_the_similarities(self) -> None:
        rng = np.random.default_rng(2)
        different, same = rng.normal(0.0, 0.1, 20_000), rng.normal(0.4, 0.1, 2_000)
        line = fit_line(different, same, np.ones(2_000))
        scaled = fit_line(0.8 + different / 5, 0.8 + same / 5, np.ones(2_000))
        assert line is not None
        assert scaled is not None
        assert scaled.slope == pytest.approx(5 * line.slope, rel=0.01)
        assert scaled.midpoint == pytest.approx(0.8 + line.midpoint / 5, abs=0.002)

    def test_no_line_without_pairs_or_without_a_difference(self) -> None:
        rng = np.random.default_rng(3)
        values = rng.normal(0.3, 0.1, 5_000)
        assert fit_line(values, values[:10], np.ones(10)) is None
        below = fit_line(values, rng.normal(-0.2, 0.05, 500), np.ones(500))
        assert below is None


class TestFitMixture:
    def test_the_threshold_is_that_of_the_labels(self) -> None:
        """1 in 20 of the pairs on different photos is of one person, and 1 in 200 of those on one photo."""
        rng = np.random.default_rng(4)
        different, same = rng.normal(0.1, SIGMA, 200_000), rng.normal(0.5, SIGMA, 10_000)
        on_one_photo = np.concatenate([rng.normal(0.1, SIGMA, 2_000), rng.normal(0.5, SIGMA, 10)])
        line = fit_mixture(on_one_photo, np.concatenate([different, same]))
        labelled = fit_line(different, same, np.ones(len(same)))
        assert line is not None
        assert labelled is not None
        assert line.share == pytest.approx(1 / 21, rel=0.15)
        assert line.slope == pytest.approx(labelled.slope, rel=0.35)
        assert line.threshold(500) == pytest.approx(labelled.threshold(500), abs=0.03)

    def test_nobody_twice(self) -> None:
        rng = np.random.default_rng(5)
        line = fit_mixture(rng.normal(0.1, SIGMA, 2_000), rng.normal(0.1, SIGMA, 100_000))
        assert line is None


def test_pairs_of_people() -> None:
    vectors, people = album(4, 3, noise=0.5)
    photos = np.arange(12)
    photos[1] = photos[0]
    different, same, weights = pairs_of_people(vectors, people, photos)
    assert len(different) == 12 * 11 // 2 - 4 * 3
    assert len(same) == 4 * 3 - 1  # two faces of a person on one photo are no pair
    assert weights == pytest.approx(0.5)
    assert different.mean() < same.mean()


class TestMislabelled:
    def test_an_ordinary_photo_of_another_person_is_found(self) -> None:
        vectors, people = album(6, 8, noise=0.4)
        assert not mislabelled(vectors, people).any()
        people[5] = 4
        assert np.flatnonzero(mislabelled(vectors, people)).tolist() == [5]

    def test_people_with_few_photos_claim_no_faces(self) -> None:
        vectors, people = album(3, 3, noise=0.4)
        people[0] = 1
        people[3:5] = 2
        assert not mislabelled(vectors[:6], people[:6]).any()

    def test_memory_does_not_grow_with_the_square_of_the_faces(self) -> None:
        vectors, people = album(3, 2_000, noise=0.4, dimension=16)
        people[5] = 1
        tracemalloc.start()
        try:
            found = mislabelled(vectors, people)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert np.flatnonzero(found).tolist() == [5]
        assert peak < 60e6  # all faces by those of one person are 48 MB, and twice that to sort them


class TestConsensus:
    def test_three_faces_are_worth_something_if_single_faces_vary(self) -> None:
        steady = album(40, 8, noise=0.05, seed=1)
        varied = album(40, 8, noise=0.8, seed=1)
        assert 0 <= consensus(*steady, slope=20.0) < 0.3
        assert consensus(*varied, slope=20.0) > 0.5

    def test_nobody_with_three_faces(self) -> None:
        assert consensus(*album(40, 2, noise=0.3), slope=20.0) == 0.0


class TestBlurLimit:
    def test_blurred_strangers_resemble_each_other(self) -> None:
        vectors, people = album(900, 1, noise=0.0)
        sharpness = np.random.default_rng(0).uniform(0.2, 0.4, 900).astype(np.float32)
        assert blur_limit(vectors, people, sharpness) == 0.0
        blurred = np.arange(0, 900, 20)
        vectors[blurred] += 3 * vectors[0]
        vectors[blurred] /= np.linalg.norm(vectors[blurred], axis=1, keepdims=True)
        sharpness[blurred] = np.linspace(0.05, 0.1, len(blurred))
        limit = blur_limit(vectors, people, sharpness)
        assert limit is not None
        assert 0.09 < limit < 0.25

    def test_too_few_strangers(self) -> None:
        vectors, people = album(10, 4, noise=0.3)
        assert blur_limit(vectors, people, np.linspace(0.1, 0.3, 40).astype(np.float32)) is None
