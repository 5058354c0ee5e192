"""Change clusters as little as possible so that they satisfy the constraints of the user."""

from __future__ import annotations

import numpy as np

from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.constraints import Constraints, owners, resolve, units
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["enforce", "separate"]

# Of the ways to split that were compared, average linkage and the similarities to labelled faces alone take
# more faces of the wrong person along, and several times as many of the right one.
_TOP = 3  # most similar faces of a side that count
_GROWN = 1000  # faces of a side, and groups of other faces, over which sides grow, to bound time and memory
_ROWS = 1024  # of similarities computed at a time, to bound memory


def enforce(labels: I64, vectors: F32, constraints: Constraints) -> I64:
    """Return the clusters, changed where they violate a constraint.

    1. Faces that show nobody leave their cluster.
    2. A cluster in conflict is split: it has labels of two people, a face that does not show its person, or
       two different faces. There is a side for each person, and for faces that fit on none of these. The
       sides grow over the other faces: the face that is most similar to one with a side joins this side.
       The largest side keeps the label.
    3. Faces without a label that show one person come together: their clusters are merged if that violates
       nothing, else only these faces move.
    4. A labelled face in no cluster goes to the nearest cluster of its person, or starts one. It is in none
       if a split left it alone.

    Parameters
    ----------
    labels : (n,) int64
        -1 for none.
    vectors : (n, d) float32
        Unit vectors; may be a memory map. Only those of clusters that change are read.
    constraints : Constraints
        Need not be resolved.

    Returns
    -------
    (n,) int64
        Satisfies the constraints (`faceindex.clustering.constraints.violations`). New clusters are numbered
        above the old ones; faces that a split leaves alone are in no cluster.
    """
    result = labels.astype(np.int64)  # a copy
    known = resolve(constraints)
    result[known.nobody] = -1
    if known.is_empty:
        return result
    unit = units(len(result), known.same)
    _separate(result, vectors, known, unit)
    _unite(result, known, unit)
    _place_labelled(result, vectors, known.person)
    return result


def separate(labels: I64, vectors: F32, known: Constraints) -> I64:
    """Split the clusters in conflict, as `enforce` does.

    Parameters
    ----------
    labels : (n,) int64
        0 and above.
    vectors : (n, d) float32
    known : Constraints
        Resolved; no face is nobody.

    Returns
    -------
    (n,) int64
        0 and above: faces that are left alone have a cluster of their own.
    """
    result: I64 = labels.copy()
    _separate(result, vectors, known, units(len(result), known.same))
    alone = np.flatnonzero(result < 0)
    result[alone] = result.max(initial=-1) + 1 + np.arange(len(alone))
    return result


def _separate(labels: I64, vectors: F32, known: Constraints, unit: I64) -> None:
    for cluster in _in_conflict(labels, known).tolist():
        _split(labels, cluster, vectors, known, unit)


def _in_conflict(labels: I64, known: Constraints) -> I64:
    """Return the clusters that violate a constraint, ascending."""
    clusters, people = owners(labels, known.person)
    found = [clusters[1:][clusters[1:] == clusters[:-1]]]
    span = int(max(people.max(initial=0), known.rejected[:, 1].max(initial=0))) + 1
    inside = known.rejected[labels[known.rejected[:, 0]] >= 0]
    at = labels[inside[:, 0]]
    found.append(at[np.isin(at * span + inside[:, 1], clusters * span + people)])
    births = known.births(people)
    if np.isfinite(births).any():
        limit = np.full(int(labels.max(initial=0)) + 1, -np.inf)
        np.maximum.at(limit, clusters, births)
        early = (labels >= 0) & (known.person < 0) & (known.taken < limit[labels])
        found.append(labels[early])
    one, other = labels[known.different].T
    found.append(one[(one == other) & (one >= 0)])
    return np.unique(np.concatenate(found))


def _split(labels: I64, cluster: int, vectors: F32, known: Constraints, unit: I64) -> None:
    """Split a cluster so that no side violates a constraint, in `labels`."""
    members = np.flatnonzero(labels == cluster)
    person = known.person[members]
    people = np.unique(person[person >= 0])
    block = vectors[members]
    side_of = np.where(person >= 0, np.searchsorted(people, person), -1)  # a side for each person
    _, group = np.unique(unit[members], return_inverse=True)
    _place_bound(side_of, block, members, group, _barred(members, people, known), known)
    _spread_sides(side_of, block, group)
    sizes = np.bincount(side_of)
    number = int(labels.max()) + 1 + np.arange(len(sizes))
    number[int(sizes.argmax())] = cluster
    number[sizes == 1] = -1
    labels[members] = number[side_of]


def _place_bound(
    side_of: I64, block: F32, members: I64, group: I64, barred: BoolArray, known: Constraints
) -> None:
    """Give a side to the faces without a label that cannot be on all sides, in `side_of`.

    Parameters
    ----------
    side_of : (m,) int64
        -1 for none.
    block : (m, d) float32
    members : (m,) int64
        Positions of the faces of the cluster.
    group : (m,) int64
        Faces of one number go to one side.
    barred : (m, p) bool
        The people that a face does not show; the first sides are theirs.
    known : Constraints
    """
    number = barred.shape[1]
    pairs = known.different[np.isin(known.different, members).all(axis=1)]
    pairs = group[np.searchsorted(members, pairs)]
    bound = np.unique(np.concatenate([group[barred.any(axis=1)], pairs.reshape(-1)]))
    rows_of = {g: np.flatnonzero(group == g) for g in bound.tolist()}
    apart: dict[int, set[int]] = {g: set() for g in rows_of}
    for one, other in pairs.tolist():
        apart[one].add(other)
        apart[other].add(one)

    def similar(g: int, sides: list[int]) -> F64:
        """Return the average similarity of a group to some sides."""
        found = [_similarities(block[rows_of[g]], block[side_of == side]).mean() for side in sides]
        return np.array(found, np.float64)

    first = {g: similar(g, list(range(number))).max(initial=-2.0) for g in rows_of}
    put: dict[int, int] = {}
    for g in sorted(rows_of, key=lambda g: (-first[g], g)):
        closed = {put[other] for other in apart[g] if other in put}
        closed |= set(np.flatnonzero(barred[rows_of[g]].any(axis=0)).tolist())
        sides = [side for side in range(number) if side not in closed]
        if not sides:
            sides = [number]
            number += 1
            put[g] = sides[0]
        else:
            put[g] = sides[int(similar(g, sides).argmax())]
        side_of[rows_of[g]] = put[g]


def _spread_sides(side_of: I64, block: F32, group: I64) -> None:
    """Give a side to each face without one, in `side_of`.

    Again and again, the face that is most similar to a face with a side joins this side, with its group. So
    a side grows along the faces in between, and one labelled face need not resemble all photos of a person.
    Of a large cluster this is done for some faces; each other one goes to the side of the faces that it
    resembles most.

    Parameters
    ----------
    side_of, block, group
        As of `_place_bound`.
    """
    free = np.flatnonzero(side_of < 0)
    if not len(free):
        return
    number = int(side_of.max()) + 1
    sides = [np.flatnonzero(side_of == side) for side in range(number)]
    some = _some(np.unique(group[free]), _GROWN)
    rows = np.concatenate([*[_some(side, _GROWN) for side in sides], free[np.isin(group[free], some)]])
    similarities = block[rows] @ block[rows].T
    similarities[group[rows][:, None] == group[rows]] = 2.0  # above all others: a group joins as a whole
    side_of[rows] = _grow(similarities, side_of[rows])
    rest = np.flatnonzero(side_of < 0)
    if len(rest):
        sides = [np.flatnonzero(side_of == side) for side in range(number)]
        similar = np.column_stack([_similarities(block[rest], block[side]) for side in sides])
        _, which = np.unique(group[rest], return_inverse=True)
        sums = np.zeros((int(which.max()) + 1, number))
        np.add.at(sums, which, similar)
        side_of[rest] = sums.argmax(axis=1)[which]


def _some(of: I64, number: int) -> I64:
    """Return at most so many of the values, evenly spaced."""
    return of if len(of) <= number else of[np.linspace(0, len(of) - 1, number).astype(np.int64)]


def _grow(similarities: F32, side_of: I64) -> I64:
    """Return the side of each face after the sides, -1 for none, have grown over all faces.

    This is the maximum spanning forest of the similarities that starts from the sides (R. C. Prim 1957,
    https://doi.org/10.1002/j.1538-7305.1957.tb01515.x). It is not compiled: loading numba would take more
    time and memory than most splits.
    """
    side: I64 = side_of.copy()
    free = side_of < 0
    best = np.full(len(side), -np.inf, similarities.dtype)

    def join(face: int) -> None:
        nearer = similarities[face] > best
        nearer &= free
        best[nearer] = similarities[face, nearer]
        side[nearer] = side[face]

    for face in np.flatnonzero(~free).tolist():
        join(face)
    for _ in range(int(free.sum())):
        face = int(best.argmax())
        free[face] = False
        best[face] = -np.inf
        join(face)
    return side


def _barred(members: I64, people: I64, known: Constraints) -> BoolArray:
    """Return which of some people each face does not show, (m, p) bool."""
    barred = np.zeros((len(members), len(people)), bool)
    if not len(people):
        return barred
    face, who = known.rejected.T
    row = np.minimum(np.searchsorted(members, face), len(members) - 1)
    column = np.minimum(np.searchsorted(people, who), len(people) - 1)
    hit = (members[row] == face) & (people[column] == who)
    barred[row[hit], column[hit]] = True
    barred |= known.taken[members][:, None] < known.births(people)
    barred[known.person[members] >= 0] = False
    return barred


def _similarities(faces: F32, side: F32) -> F64:
    """Return the mean similarity of each face to the most similar faces of a side, (m,) float64."""
    top = min(_TOP, len(side))
    found = np.empty(len(faces))
    for start in range(0, len(faces), _ROWS):
        products = faces[start : start + _ROWS] @ side.T
        best = np.partition(products, len(side) - top, axis=1)[:, len(side) - top :]
        found[start : start + _ROWS] = best.mean(axis=1, dtype=np.float64)
    return found


def _unite(labels: I64, known: Constraints, unit: I64) -> None:
    """Bring the faces of each unit into one cluster, in `labels`."""
    if not len(known.same):
        return
    faces = np.unique(known.same)
    faces = faces[np.argsort(unit[faces], kind="stable")]
    starts = np.flatnonzero(np.diff(unit[faces], prepend=-1))
    low, high = (f.reduceat(labels[faces], starts) for f in (np.minimum, np.maximum))
    apart = _different_units(known, unit)
    for i in np.flatnonzero((low != high) | (high < 0)).tolist():
        own = faces[starts[i] : starts[i + 1] if i + 1 < len(starts) else len(faces)]
        found, counts = np.unique(labels[own][labels[own] >= 0], return_counts=True)
        against = apart.get(int(unit[own[0]]))
        closed = np.unique(labels[against]) if against is not None else np.empty(0, np.int64)
        candidates = found[np.lexsort((found, -counts))]
        candidates = candidates[~np.isin(candidates, closed)]
        if not len(candidates):
            labels[own] = labels.max() + 1
            continue
        chosen = int(candidates[0])
        for other in np.setdiff1d(candidates, chosen).tolist():
            if _may_merge(labels, chosen, other, known):
                labels[labels == other] = chosen
        labels[own] = chosen


def _different_units(known: Constraints, unit: I64) -> dict[int, I64]:
    """Return for each unit the faces of the units that are different from it."""
    found: dict[int, list[int]] = {}
    if not len(known.different):
        return {}
    roots = np.unique(unit[known.different])
    order = np.argsort(unit, kind="stable")
    first, end = (np.searchsorted(unit[order], roots, side) for side in ("left", "right"))
    faces_of = {
        root: order[a:b].tolist()
        for root, a, b in zip(roots.tolist(), first.tolist(), end.tolist(), strict=True)
    }
    for one, other in unit[known.different].tolist():
        found.setdefault(one, []).extend(faces_of[other])
        found.setdefault(other, []).extend(faces_of[one])
    return {root: np.array(sorted(set(faces)), np.int64) for root, faces in found.items()}


def _may_merge(labels: I64, one: int, other: int, known: Constraints) -> bool:
    """Return whether two clusters, neither of which violates a constraint, violate none as one."""
    if len(known.different):
        pairs = np.sort(labels[known.different], axis=1)
        if (pairs == sorted((one, other))).all(axis=1).any():
            return False
    members = np.flatnonzero((labels == one) | (labels == other))
    person = known.person[members]
    people = np.unique(person[person >= 0])
    return len(people) < 2 and not _barred(members, people, known).any()


def _place_labelled(labels: I64, vectors: F32, person: I64) -> None:
    """Put labelled faces that are in no cluster into the nearest cluster of their person, in `labels`."""
    loose = np.flatnonzero((person >= 0) & (labels < 0))
    if not len(loose):
        return
    clusters, people = owners(labels, person)
    order = np.argsort(people, kind="stable")
    clusters, people = clusters[order], people[order]
    loose = loose[np.argsort(person[loose], kind="stable")]
    wanted, start = np.unique(person[loose], return_index=True)
    first, end = (np.searchsorted(people, wanted, side) for side in ("left", "right"))
    for i, (low, high) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        faces = loose[start[i] : start[i + 1] if i + 1 < len(start) else len(loose)]
        own = clusters[low:high]
        if not len(own):
            labels[faces] = labels.max() + 1
        elif len(own) == 1:
            labels[faces] = own[0]
        else:
            sums = cluster_sums(vectors, labels, np.sort(own))
            sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
            labels[faces] = np.sort(own)[(vectors[faces] @ sums.T).argmax(axis=1)]
