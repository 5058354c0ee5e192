"""The differences of two groupings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceindex.clustering.changes import Changes, compare
from faceindex.errors import UsageError
from faceindex.types import I64

LABELS = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=40)


def changes(old: list[int], new: list[int]) -> Changes:
    return compare(np.array(old, np.int64), np.array(new, np.int64))


def nothing(found: Changes) -> bool:
    clusters = (found.merged, found.split, found.renumbered, found.new, found.gone)
    return not any(clusters) and not len(found.moved) + len(found.joined) + len(found.left)


def test_the_same_clusters() -> None:
    assert nothing(changes([3, 3, -1, 5], [3, 3, -1, 5]))
    assert nothing(changes([], []))
    assert nothing(changes([-1, -1], [-1, -1]))


def test_merged_and_split_are_each_others_reverse() -> None:
    old, new = [1, 1, 1, 2, 2, 7, 7], [1, 1, 1, 1, 1, 7, 7]
    found = changes(old, new)
    assert found.merged == ((1, 5, ((1, 3), (2, 2))),)
    assert nothing(changes(new, new))
    back = changes(new, old)
    assert back.split == found.merged
    assert back.merged == found.split == ()
    assert not len(found.moved) + len(back.moved) + len(found.gone) + len(back.new)


def test_a_cluster_that_is_halved_is_split() -> None:
    assert changes([4, 4, 4, 4], [4, 4, 9, 9]).split == ((4, 4, ((4, 2), (9, 2))),)


def test_faces_that_move_on_their_own() -> None:
    found = changes([1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 2, 2, 2, 2, 2])
    assert found.moved.tolist() == [3]
    assert not found.merged
    assert not found.split


def test_a_new_cluster_of_faces_that_were_in_none_and_one_that_moved() -> None:
    found = changes([1, 1, 1, 1, -1, -1], [1, 1, 1, 8, 8, 8])
    assert found.new == ((8, 3),)
    assert found.moved.tolist() == [3]
    assert found.joined.tolist() == [4, 5]


def test_a_cluster_that_dissolves() -> None:
    found = changes([1, 1, 2, 2, 3], [1, 1, -1, -1, 1])
    assert found.gone == ((2, 2),)
    assert found.left.tolist() == [2, 3]
    assert found.merged == ((1, 3, ((1, 2), (3, 1))),)


def test_another_number() -> None:
    found = changes([5, 5, 6, 6, 6], [7, 7, 6, 6, -1])
    assert found.renumbered == ((5, 7, 2),)
    assert found.left.tolist() == [4]
    assert not found.new
    assert not found.gone


def test_the_largest_come_first() -> None:
    found = changes([-1] * 6, [1, 2, 2, 3, 3, 3])
    assert found.new == ((3, 3), (2, 2), (1, 1))


def test_groupings_of_different_faces_are_refused() -> None:
    with pytest.raises(UsageError, match="length"):
        changes([1], [1, 1])


@given(LABELS)
def test_every_difference_is_explained(labels: list[tuple[int, int]]) -> None:
    old: I64 = np.array([first for first, _ in labels], np.int64)
    new: I64 = np.array([second for _, second in labels], np.int64)
    found, back = compare(old, new), compare(new, old)
    assert (found.merged, found.split, found.new, found.gone) == (
        back.split,
        back.merged,
        back.gone,
        back.new,
    )
    np.testing.assert_array_equal(found.joined, back.left)
    np.testing.assert_array_equal(found.moved, back.moved)
    pairs = {(part.cluster, each.cluster) for each in found.merged for part in each.parts}
    pairs |= {(each.cluster, part.cluster) for each in found.split for part in each.parts}
    pairs |= {(each.old_cluster, each.new_cluster) for each in found.renumbered}
    appeared, gone = {part.cluster for part in found.new}, {part.cluster for part in found.gone}
    for position in np.flatnonzero(old != new).tolist():
        before, after = int(old[position]), int(new[position])
        if before < 0:
            assert position in found.joined
        elif after < 0:
            assert position in found.left
        else:  # either the two clusters are named together, or the face is
            assert ((before, after) in pairs) != (position in found.moved)
    for each in (*found.merged, *back.merged):
        assert len(each.parts) > 1
        assert sum(part.faces for part in each.parts) <= each.faces
    kept = set(zip(old.tolist(), new.tolist(), strict=True)) & {(which, which) for which in range(5)}
    assert gone == set(old.tolist()) - {before for before, _ in pairs | kept} - {-1}
    assert appeared == set(new.tolist()) - {after for _, after in pairs | kept} - {-1}
