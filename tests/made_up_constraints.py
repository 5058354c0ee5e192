"""Constraints on faces for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from faceindex.clustering.constraints import Constraints
from faceindex.types import I64

__all__ = ["any_constraints", "constraints"]


def pairs(values: Sequence[tuple[int, int]]) -> I64:
    return np.array(values, np.int64).reshape(-1, 2)


def constraints(
    n: int,
    person: Mapping[int, int] | None = None,
    *,
    nobody: Sequence[int] = (),
    rejected: Sequence[tuple[int, int]] = (),
    same: Sequence[tuple[int, int]] = (),
    different: Sequence[tuple[int, int]] = (),
    taken: Mapping[int, float] | None = None,
    born: Mapping[int, float] | None = None,
) -> Constraints:
    """Return constraints of n faces; `person` and `taken` are by face."""
    found = Constraints.empty(n)
    for face, who in (person or {}).items():
        found.person[face] = who
    for face, time in (taken or {}).items():
        found.taken[face] = time
    found.nobody[list(nobody)] = True
    return replace(
        found, rejected=pairs(rejected), same=pairs(same), different=pairs(different), born=dict(born or {})
    )


@st.composite
def any_constraints(draw: st.DrawFn, n: int) -> Constraints:
    """Draw constraints of n faces, also contradictory ones."""
    face, who = st.integers(0, n - 1), st.integers(0, 2)
    two = st.lists(st.tuples(face, face), max_size=6)
    return constraints(
        n,
        draw(st.dictionaries(face, who, max_size=n)),
        nobody=draw(st.lists(face, max_size=2)),
        rejected=draw(st.lists(st.tuples(face, who), max_size=6)),
        same=draw(two),
        different=draw(two),
        taken=draw(st.dictionaries(face, st.sampled_from([-1.0, 0.0, 1.0]), max_size=n)),
        born=draw(st.dictionaries(who, st.sampled_from([0.0, 1.0]), max_size=2)),
    )
