"""Assign the faces of a photo to clusters together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceindex.clustering.chinese_whispers import unique_labels
from faceindex.clustering.constrained import possible
from faceindex.clustering.constraints import Constraints
from faceindex.clustering.joining import SETTLED, TOGETHER, Candidates, find_candidates, settled_bias
from faceindex.clustering.same_photo import PhotoGroups
from faceindex.compiled import compiled
from faceindex.types import I64, BoolArray, Graph

__all__ = ["assign_shared_photos"]

# Chosen on one half of the people of shared/data, see `benchmarks/clusterers.py`. More faces are averaged
# than in joins: that separates people on one photo better.
_TOP = 8  # most similar faces whose log-odds are averaged
_LABELLED = 1000.0  # log-odds for the cluster that a labelled face is in
_STAY = 0.5  # log-odds for the cluster that a face is in


def assign_shared_photos(
    labels: I64,
    graph: Graph,
    competed: Graph,
    groups: PhotoGroups,
    floor: float,
    known: Constraints | None = None,
) -> I64:
    """Assign the faces of each photo with several faces to settled clusters anew, together.

    Chinese Whispers moves a face by its links to single faces, before there are clusters. Here the faces of a
    photo are assigned to the finished clusters, at most one to each, so that the sum of their evidence is the
    greatest (the assignment problem: H. W. Kuhn 1955, https://doi.org/10.1002/nav.3800020109). Copies are
    assigned as one face.

    A face that is assigned to no cluster returns to the one that it left, unless another face of the photo is
    in that one and counts for more than the evidence (`TOGETHER`): a mirror can show a person twice.

    Parameters
    ----------
    labels, graph, competed, groups, floor
        As of `faceindex.clustering.joining.join_settled`.
    known : Constraints or None
        What the user said, resolved. No face joins a cluster that it must not be in, and labelled faces stay
        where they are.

    Returns
    -------
    (n,) int64
        Faces on photos with one face keep their label.
    """
    if not len(groups):
        return labels
    _, codes, sizes = unique_labels(labels)
    movable = groups.of >= 0
    found = find_candidates(
        codes,
        sizes,
        movable,
        graph,
        competed,
        groups,
        top=_TOP,
        floor=floor,
        bias=settled_bias(sizes, len(codes)),
    )
    evidence = found.evidence + _STAY * (codes[found.face] == found.cluster)
    found = Candidates(found.face, found.cluster, evidence)
    if known is not None:
        found = _with_labels(found, codes, movable & (sizes >= SETTLED)[codes], known)
    moved: I64 = codes.copy()
    settled = sizes >= SETTLED
    leaving = np.flatnonzero(movable & settled[codes])
    moved[leaving] = len(sizes) + leaving
    best = _best(found)
    copy_of = _copies(
        groups.indptr, groups.members, groups.of, competed.indptr, competed.indices, competed.weights
    )
    contested = _contested(found, best, groups)
    contested[groups.of[copy_of != np.arange(len(codes))]] = True
    free = best[~contested[groups.of[found.face[best]]]]
    moved[found.face[free]] = found.cluster[free]
    starts = np.searchsorted(found.face, np.arange(len(codes) + 1))
    for group in np.flatnonzero(contested).tolist():
        faces = groups.members[groups.indptr[group] : groups.indptr[group + 1]].astype(np.int64)
        _assign_photo(moved, faces, found, starts, copy_of[faces])
    # Faces that were assigned to no cluster may return.
    for face in leaving[moved[leaving] >= len(sizes)].tolist():
        others = groups.members[groups.indptr[groups.of[face]] : groups.indptr[groups.of[face] + 1]]
        rows = slice(starts[face], starts[face + 1])
        own = found.evidence[rows][found.cluster[rows] == codes[face]]
        others = others[copy_of[others] != copy_of[face]]
        against = TOGETHER * int((moved[others] == codes[face]).sum())
        if (own.max() if len(own) else 0.0) >= against:
            moved[face] = codes[face]
    return moved


def _with_labels(found: Candidates, codes: I64, leaving: BoolArray, known: Constraints) -> Candidates:
    """Leave out the pairs that are not possible, and make sure that labelled faces stay in their cluster.

    Parameters
    ----------
    found : Candidates
    codes : (n,) int64
    leaving : (n,) bool
        Faces that leave their cluster if they are not assigned to it.
    known : Constraints
    """
    found = found.select((known.person[found.face] < 0) & possible(found.face, found.cluster, codes, known))
    stay = np.flatnonzero((known.person >= 0) & leaving)
    face = np.concatenate([found.face, stay])
    order = np.argsort(face, kind="stable")
    cluster = np.concatenate([found.cluster, codes[stay]])
    evidence = np.concatenate([found.evidence, np.full(len(stay), _LABELLED)])
    return Candidates(face[order], cluster[order], evidence[order])


def _best(found: Candidates) -> I64:
    """Return the position of the strongest candidate of each face that has one."""
    order = np.lexsort((found.cluster, -found.evidence, found.face))
    first = np.ones(len(order), bool)
    first[1:] = found.face[order][1:] != found.face[order][:-1]
    best: I64 = order[first]
    return best


def _contested(found: Candidates, best: I64, groups: PhotoGroups) -> NDArray[np.bool_]:
    """Return for each photo whether the same cluster is best for two of its faces, (g,)."""
    group = groups.of[found.face[best]].astype(np.int64)
    span = int(found.cluster.max(initial=0)) + 1
    keys, counts = np.unique(group * span + found.cluster[best], return_counts=True)
    contested = np.zeros(len(groups), bool)
    contested[keys[counts > 1] // span] = True
    return contested


@compiled(nogil=True)
def _copies(members_of, members, group, indptr, indices, competed):  # type: ignore[no-untyped-def]
    """Return for each face the first face that it is a copy of, directly or by other copies, or itself."""
    first = np.arange(len(group))
    for g in range(len(members_of) - 1):
        changed = True
        while changed:
            changed = False
            for i in members[members_of[g] : members_of[g + 1]]:
                for e in range(indptr[i], indptr[i + 1]):
                    j = indices[e]
                    if group[j] == g and competed[e] > 0.0 and first[j] < first[i]:
                        first[i] = first[j]
                        changed = True
    return first


def _assign_photo(moved: I64, faces: I64, found: Candidates, starts: I64, copy_of: I64) -> None:
    """Assign the faces of one photo, in `moved`; those with the same number in `copy_of` together."""
    from scipy.optimize import linear_sum_assignment

    rows = np.concatenate([np.arange(starts[face], starts[face + 1]) for face in faces.tolist()])
    clusters, column = np.unique(found.cluster[rows], return_inverse=True)
    ones, row = np.unique(copy_of, return_inverse=True)
    line = row[np.searchsorted(faces, found.face[rows])]
    matrix = np.zeros((len(ones), len(clusters) + len(ones)))  # the last columns mean: none of the clusters
    np.maximum.at(matrix, (line, column), found.evidence[rows])
    for i, j in zip(*linear_sum_assignment(matrix, maximize=True), strict=True):
        if j < len(clusters) and matrix[i, j] > 0:
            moved[faces[row == i]] = clusters[j]
