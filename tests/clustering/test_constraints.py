"""What the user said about faces: what follows from it, and what contradicts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from made_up_constraints import any_constraints, constraints

from faceindex.clustering.constraints import Constraints, Violation, resolve, violations

ARRAYS = ("person", "nobody", "rejected", "same", "different")


def equal(a: Constraints, b: Constraints) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS) and np.array_equal(
        a.taken, b.taken, equal_nan=True
    )


def test_constraints_are_empty_unless_something_was_said() -> None:
    assert Constraints.empty(0).is_empty
    assert len(Constraints.empty(3)) == 3
    assert constraints(3, taken={0: 5.0}, born={1: 6.0}).is_empty
    assert not constraints(3, {0: 0}).is_empty
    assert not constraints(3, nobody=[1]).is_empty
    assert not constraints(3, rejected=[(0, 1)]).is_empty
    assert not constraints(3, same=[(0, 1)]).is_empty
    assert not constraints(3, different=[(0, 1)]).is_empty


def test_a_part_keeps_what_is_inside() -> None:
    whole = constraints(
        5,
        {1: 7},
        nobody=[4],
        rejected=[(0, 7), (3, 7)],
        same=[(0, 3), (0, 2)],
        different=[(3, 4), (2, 4)],
        taken={3: 2.0},
        born={7: 1.0},
    )
    part = whole.select(np.array([4, 3, 1, 0]))
    assert part.person.tolist() == [-1, -1, 7, -1]
    assert part.nobody.tolist() == [True, False, False, False]
    assert part.rejected.tolist() == [[3, 7], [1, 7]]
    assert part.same.tolist() == [[3, 1]]
    assert part.different.tolist() == [[1, 0]]
    assert part.taken[1] == 2.0
    assert part.births(np.array([7, 8])).tolist() == [1.0, -np.inf]


class TestResolving:
    def test_a_label_spreads_over_faces_of_the_same_person(self) -> None:
        known = resolve(constraints(5, {0: 3}, same=[(1, 2), (2, 0)]))
        assert known.person.tolist() == [3, 3, 3, -1, -1]
        assert known.same.tolist() == []

    def test_labels_of_two_people_do_not_spread(self) -> None:
        known = resolve(constraints(6, {0: 3, 4: 1}, same=[(0, 1), (1, 2), (2, 3), (3, 4)]))
        assert known.person.tolist() == [3, -1, -1, -1, 1, -1]
        assert known.same.tolist() == [[1, 2], [2, 3]]

    def test_a_rejected_face_does_not_take_the_label(self) -> None:
        known = resolve(constraints(3, {0: 3}, rejected=[(1, 3)], same=[(0, 1), (1, 2)]))
        assert known.person.tolist() == [3, -1, -1]
        assert known.rejected.tolist() == [[1, 3], [2, 3]]  # 2 is the same person as 1
        assert known.same.tolist() == [[1, 2]]

    def test_a_label_outweighs_a_rejection_and_a_pair(self) -> None:
        known = resolve(constraints(2, {0: 3, 1: 3}, rejected=[(0, 3)], different=[(0, 1)]))
        assert known.person.tolist() == [3, 3]
        assert known.rejected.tolist() == []
        assert known.different.tolist() == []

    def test_different_from_a_labelled_face_means_rejected(self) -> None:
        known = resolve(constraints(4, {0: 3}, same=[(0, 1)], different=[(2, 1), (2, 3)]))
        assert known.rejected.tolist() == [[2, 3]]
        assert known.different.tolist() == [[2, 3]]

    def test_different_outweighs_same_and_the_first_pairs_the_later_ones(self) -> None:
        known = resolve(constraints(3, same=[(1, 2), (0, 1), (0, 2)], different=[(2, 0)]))
        assert known.same.tolist() == [[1, 2]]
        known = resolve(constraints(3, same=[(0, 1), (1, 2)], different=[(2, 0)]))
        assert known.same.tolist() == [[0, 1]]

    def test_two_faces_that_are_different_do_not_both_become_a_persons(self) -> None:
        known = resolve(constraints(4, {0: 3, 1: 3}, same=[(0, 2), (1, 3)], different=[(2, 3)]))
        assert known.person.tolist() == [3, 3, 3, -1]
        assert known.rejected.tolist() == [[3, 3]]

    def test_nobody_has_no_label_and_no_pair(self) -> None:
        known = resolve(constraints(3, {0: 3}, nobody=[0], same=[(0, 1)], different=[(0, 2)]))
        assert known.person.tolist() == [-1, -1, -1]
        assert known.same.tolist() == known.different.tolist() == []

    def test_faces_of_one_person_share_the_earliest_time(self) -> None:
        known = resolve(constraints(4, same=[(0, 1), (1, 2)], taken={1: 5.0, 2: 3.0, 3: 9.0}))
        assert known.taken.tolist() == [3.0, 3.0, 3.0, 9.0]

    @given(st.integers(1, 9).flatmap(any_constraints))
    def test_it_is_done_after_one_time(self, said: Constraints) -> None:
        known = resolve(said)
        assert equal(resolve(known), known)
        own = np.where(said.nobody, -1, said.person)
        assert (known.person[own >= 0] == own[own >= 0]).all()
        for face, who in said.rejected.tolist():
            assert known.person[face] != who or own[face] == who


def test_each_kind_of_violation_is_found() -> None:
    said = constraints(
        9,
        {0: 5, 1: 6, 2: 5},
        nobody=[3],
        rejected=[(4, 5)],
        different=[(6, 7)],
        same=[(7, 8)],
        taken={5: 1.0},
        born={5: 2.0},
    )
    labels = np.array([0, 0, -1, 1, 0, 0, 2, 2, 3])
    assert sorted(violations(labels, said)) == [
        Violation("different", 6, 7),
        Violation("no cluster", 2, 5),
        Violation("nobody", 3, -1),
        Violation("not born", 5, 5),
        Violation("rejected", 4, 5),
        Violation("same", 7, 8),
        Violation("two people", 0, 6),
    ]
    assert violations(np.array([0, 1, 0, -1, 1, 1, 3, 2, 2]), said) == []
