from __future__ import annotations

import numpy as np
import pytest
from synthetic_faces import CALIBRATION, unit

from faceindex.people.splitting import divide
from faceindex.types import F32


def two_people(small: int, large: int, *, alike: float = 0.0, seed: int = 0) -> tuple[F32, np.ndarray]:
    """Make faces of two people whose centres have a similarity; return also who is the first."""
    rng = np.random.default_rng(seed)
    a, b = unit(rng.standard_normal((2, 64)))
    b = unit((alike * a + np.sqrt(1 - alike**2) * b)[None])[0]
    first = np.arange(small + large) < small
    vectors = unit(np.where(first[:, None], a, b) + 0.08 * rng.standard_normal((len(first), 64)))
    order = rng.permutation(len(first))
    return vectors[order], first[order]


@pytest.mark.parametrize("seeds", [0, 1, 2, 3])
@pytest.mark.parametrize(("small", "large"), [(20, 20), (5, 60)])
def test_two_people_are_told_apart(small: int, large: int, seeds: int) -> None:
    vectors, first = two_people(small, large, alike=0.3)
    chosen = np.flatnonzero(first)[:seeds] if seeds else None
    division = divide(vectors, np.arange(len(vectors)), CALIBRATION, seeds=chosen)
    assert division is not None
    assert division.is_clear
    side = division.part if division.part[first].all() else ~division.part
    assert np.array_equal(side, first)
    if seeds:
        assert division.part[chosen].all()


def test_one_person_is_not_clearly_divided() -> None:
    vectors, _ = two_people(40, 0)
    division = divide(vectors, np.arange(40), CALIBRATION)
    assert division is not None
    assert not division.is_clear


def test_people_on_the_same_photos_are_clearly_two() -> None:
    vectors, first = two_people(12, 12, alike=0.97)
    photos = np.zeros(24, np.int64)
    photos[first], photos[~first] = np.arange(12), np.arange(12)
    division = divide(vectors, photos, CALIBRATION)
    assert division is not None
    assert division.together == 12
    assert division.is_clear


def test_units_stay_together() -> None:
    vectors, first = two_people(10, 10)
    units = np.where(first, 0, 1)
    units[np.flatnonzero(first)[0]] = 1
    division = divide(vectors, np.arange(20), CALIBRATION, units=units)
    assert division is not None
    for unit_number in (0, 1):
        assert len(set(division.part[units == unit_number].tolist())) == 1


def test_one_face_or_unit_cannot_be_divided() -> None:
    vectors, _ = two_people(1, 1)
    assert divide(vectors[:1], np.arange(1), CALIBRATION) is None
    assert divide(vectors, np.arange(2), CALIBRATION, units=np.zeros(2, np.int64)) is None
