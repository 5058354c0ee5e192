"""Clusters are changed so that they satisfy what the user said."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_constraints import any_constraints, constraints
from synthetic_faces import people_of, same_partition

from faceindex.clustering.constraints import Constraints, violations
from faceindex.clustering.enforcing import enforce, separate
from faceindex.types import F32, I64

TRUTH = np.repeat(np.arange(3), 6)  # faces 0 to 5, 6 to 11 and 12 to 17
VECTORS = people_of(TRUTH, 0)
ONE = np.zeros(18, np.int64)  # all in one cluster


class Watched(np.ndarray):
    """Vectors of which only some may be read, as of a memory map."""

    allowed: set[int]

    def __getitem__(self, rows: Any) -> Any:
        assert set(np.atleast_1d(np.asarray(rows)).tolist()) <= self.allowed
        return np.asarray(super().__getitem__(rows))


def watched(vectors: F32, allowed: I64) -> F32:
    found = vectors.view(Watched)
    found.allowed = set(allowed.tolist())
    return found


def checked(labels: I64, vectors: F32, said: Constraints) -> I64:
    before = labels.copy()
    found = enforce(labels, vectors, said)
    np.testing.assert_array_equal(labels, before)  # not changed in place
    assert found.dtype == np.int64
    assert violations(found, said) == []
    np.testing.assert_array_equal(enforce(found, vectors, said), found)
    return found


def test_clusters_without_conflict_stay_and_are_not_read() -> None:
    said = constraints(18, {0: 5, 6: 4, 12: 5}, rejected=[(13, 4)], same=[(1, 2)], different=[(3, 9)])
    found = checked(TRUTH * 2, watched(VECTORS, np.empty(0, np.int64)), said)
    np.testing.assert_array_equal(found, TRUTH * 2)


def test_faces_that_show_nobody_leave() -> None:
    found = checked(TRUTH, VECTORS, constraints(18, nobody=[1, 7]))
    np.testing.assert_array_equal(found, np.where(np.isin(np.arange(18), [1, 7]), -1, TRUTH))


def test_a_cluster_with_labels_of_people_is_split_among_them() -> None:
    found = checked(ONE, VECTORS, constraints(18, {0: 9, 7: 4, 12: 2}))
    assert same_partition(found, TRUTH)
    assert 0 in found  # the largest side, or the first of these, keeps the label
    with_others = np.concatenate([ONE, [8, 8]])
    vectors = np.concatenate([VECTORS, VECTORS[:2]])
    allowed = watched(vectors, np.arange(18))
    found = checked(with_others, allowed, constraints(20, {0: 9, 7: 4, 12: 2}))
    assert found[18:].tolist() == [8, 8]


def test_faces_like_a_rejected_one_leave_with_it() -> None:
    two = np.where(TRUTH == 2, 1, 0)
    found = checked(two, VECTORS, constraints(18, {0: 3}, rejected=[(6, 3)]))
    assert same_partition(found, TRUTH)


def test_a_rejected_face_goes_to_another_person_that_it_resembles() -> None:
    found = checked(ONE, VECTORS, constraints(18, {0: 3, 6: 4, 12: 5}, rejected=[(1, 3), (7, 3)]))
    assert found[7] == found[6] != found[0]
    assert found[1] != found[0]


def test_a_face_from_before_the_birth_of_the_person_leaves() -> None:
    said = constraints(18, {0: 3, 2: 3}, taken={1: 9.0, 2: 9.0, 3: 11.0}, born={3: 10.0})
    found = checked(TRUTH, VECTORS, said)
    assert found[1] != found[0] == found[2] == found[3]  # 2 has the label


def test_different_faces_divide_their_cluster() -> None:
    two = np.where(TRUTH == 2, 1, 0)
    assert same_partition(checked(two, VECTORS, constraints(18, different=[(0, 6)])), TRUTH)
    assert same_partition(checked(ONE, VECTORS, constraints(18, different=[(0, 6), (12, 6), (0, 12)])), TRUTH)


def test_clusters_of_one_person_are_merged_unless_that_violates_something() -> None:
    assert checked(TRUTH, VECTORS, constraints(18, same=[(0, 6)])).tolist() == [0] * 12 + [2] * 6
    found = checked(TRUTH, VECTORS, constraints(18, same=[(0, 6)], different=[(1, 7)]))
    assert found.tolist() == [0] * 7 + [1] * 5 + [2] * 6  # only the face moves
    found = checked(TRUTH, VECTORS, constraints(18, {1: 3}, same=[(0, 6)], rejected=[(0, 3)]))
    assert found[0] == found[6] != found[1]
    alone = np.where(np.isin(np.arange(18), [0, 6]), -1, TRUTH)
    found = checked(alone, VECTORS, constraints(18, same=[(0, 6)]))
    assert found[0] == found[6] >= 3


def test_a_person_keeps_two_clusters() -> None:
    said = constraints(18, {0: 3, 6: 3}, same=[(1, 7), (0, 6)])
    assert same_partition(checked(TRUTH, VECTORS, said), np.where(TRUTH == 1, 0, TRUTH))
    said = constraints(18, {0: 3, 6: 3}, same=[(0, 6)])
    np.testing.assert_array_equal(checked(TRUTH, VECTORS, said), TRUTH)


def test_a_labelled_face_in_no_cluster_goes_to_the_nearest_of_its_person() -> None:
    labels = np.where(np.isin(np.arange(18), [1, 8, 14, 15]), -1, TRUTH)
    said = constraints(18, {0: 3, 1: 3, 6: 3, 8: 3, 14: 7, 15: 7})
    assert same_partition(checked(labels, VECTORS, said), [0] * 6 + [1] * 6 + [2, 2, 3, 3, 2, 2])
    found = checked(np.where(TRUTH == 0, 1, TRUTH), VECTORS, constraints(18, {0: 3, 8: 3, 7: 4, 12: 4}))
    assert found[8] == found[0]
    assert found[7] in (found[12], found[6])


def test_a_large_cluster_is_split_by_a_part_of_its_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.repeat(np.arange(3), 60)
    vectors = people_of(truth, 1)
    said = constraints(180, {0: 1, 1: 1, 2: 1, 60: 2}, rejected=[(120, 1), (120, 2)], same=[(130, 131)])
    whole = checked(np.zeros(180, np.int64), vectors, said)
    assert same_partition(whole, truth)
    monkeypatch.setattr("faceindex.clustering.enforcing._GROWN", 30)
    monkeypatch.setattr("faceindex.clustering.enforcing._ROWS", 7)
    assert same_partition(checked(np.zeros(180, np.int64), vectors, said), truth)


def test_separated_faces_keep_a_label() -> None:
    said = constraints(4, {0: 1, 1: 2, 2: 3})
    found = separate(np.array([0, 0, 0, 1]), people_of(np.arange(4), 0), said)
    assert sorted(found.tolist()) == [1, 2, 3, 4]


@st.composite
def cases(draw: st.DrawFn) -> tuple[I64, F32, Constraints]:
    n = draw(st.integers(1, 14))
    labels = np.array(draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)), np.int64)
    vectors = people_of(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), 0, dimension=8)
    return labels, vectors, draw(any_constraints(n))


@given(cases())
def test_what_the_user_said_holds_even_if_it_contradicts(case: tuple[I64, F32, Constraints]) -> None:
    labels, vectors, said = case
    found = checked(labels, vectors, said)
    # Without `resolve`, which `violations` uses:
    own = np.where(said.nobody, -1, said.person)
    assert (found[said.nobody] == -1).all()
    assert (found[own >= 0] >= 0).all()
    for cluster in np.unique(found[found >= 0]):
        assert len(np.unique(own[(found == cluster) & (own >= 0)])) <= 1
    for face, who in said.rejected.tolist():
        if own[face] != who and found[face] >= 0:
            assert who not in own[found == found[face]]
    for one, other in said.different.tolist():
        if one != other and found[one] == found[other] >= 0:
            assert own[one] == own[other] >= 0
    contradicted = said.nobody.any() or len(said.rejected) or len(said.different)
    if not contradicted and not (own >= 0).any():
        assert all(found[one] == found[other] for one, other in said.same.tolist())


def test_ten_thousand_labels_and_few_conflicts_take_milliseconds() -> None:
    rng = np.random.default_rng(0)
    truth = np.sort(rng.integers(0, 2000, 100_000))
    vectors = np.broadcast_to(np.zeros((1, 512), np.float32), (100_000, 512))
    some = rng.choice(100_000, 10_000, replace=False)
    said = constraints(100_000, dict(zip(some.tolist(), truth[some].tolist(), strict=True)))
    labels = truth.copy()
    labels[some[:5]] = labels[some[5:10]]
    enforce(labels[:1000], vectors[:1000], said.select(np.arange(1000)))  # compiled
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = enforce(labels, vectors, said)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # 0.03 s on a machine without other work
    assert violations(found, said) == []
    assert int((found != labels).sum()) < 200
