"""Change clusters as little as possible so that they satisfy the constraints of the user."""

from __future__ import annotations

import numpy as np

from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.constraints import Constraints, owners, resolve, units
from faceindex.types import F32, I64

__all__ = ["enforce", "separate"]

_TOP = 3  # most similar faces of a side that count when a cluster is split
_SHARE = 4  # one in so many faces, those whose side is clearest, goes to its side before the others
_MOST = 500  # faces that a side gains and that count for the next ones, to bound time
_ROWS = 1024  # of similarities computed at a time, to bound memory


def enforce(labels: I64, vectors: F32, constraints: Constraints) -> I64:
    """Return the clusters, changed where they violate a constraint.

    1. Faces that show nobody leave their cluster.
    2. A cluster in conflict is split: it has labels of two people, a face that does not show its person, or
       two different faces. There is a side for each person, and for faces that fit on none of these. The
       other faces go to the side that resembles them most, the clearest first: by the mean similarity of
       the three most similar faces. The largest side keeps the label.
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
    result = labels.copy()
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
    sides = [np.flatnonzero(person == who) for who in people.tolist()]  # positions in `members`
    _, group = np.unique(unit[members], return_inverse=True)
    free = np.flatnonzero(person < 0)
    barred = _barred(members, people, known)  # of each member, the people that it does not show
    inside = np.isin(known.different, members).all(axis=1)
    pairs = group[np.searchsorted(members, known.different[inside])]
    bound = np.unique(np.concatenate([group[free[barred[free].any(axis=1)]], pairs.reshape(-1)]))
    block = vectors[members]
    side_of = np.full(len(members), -1, np.int64)
    for i, side in enumerate(sides):
        side_of[side] = i
    units_of = {g: np.flatnonzero(group == g) for g in bound.tolist()}
    first = {g: _similarity(block[rows], block, sides) for g, rows in units_of.items()}
    order = sorted(bound.tolist(), key=lambda g: (-first[g].max(initial=-2.0), g))
    apart: dict[int, set[int]] = {g: set() for g in order}
    for one, other in pairs.tolist():
        apart[one].add(other)
        apart[other].add(one)
    put: dict[int, int] = {}
    for g in order:
        rows = units_of[g]
        closed = {put[other] for other in apart[g] if other in put}
        closed |= set(np.flatnonzero(barred[rows].any(axis=0)).tolist())
        open_sides = [i for i in range(len(sides)) if i not in closed]
        if open_sides:
            similar = _similarity(block[rows], block, [sides[i] for i in open_sides])
            chosen = open_sides[int(similar.argmax())]
            sides[chosen] = np.concatenate([sides[chosen], rows])
        else:
            chosen = len(sides)
            sides.append(rows)
        put[g] = chosen
        side_of[rows] = chosen
    _grow(side_of, block, group, sides)
    sizes = np.bincount(side_of, minlength=len(sides))
    number = int(labels.max()) + 1 + np.arange(len(sides))
    number[int(sizes.argmax())] = cluster
    number[sizes == 1] = -1
    labels[members] = number[side_of]


def _barred(members: I64, people: I64, known: Constraints) -> np.ndarray:
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


def _grow(side_of: I64, block: F32, group: I64, sides: list[I64]) -> None:
    """Give each face without a side the most similar one, in `side_of`, the clearest first.

    Faces that have joined a side count for the next ones: so a side grows along the faces in between, and
    one labelled face need not resemble all photos of a person.

    Parameters
    ----------
    side_of : (m,) int64
        -1 for faces without a side.
    block : (m, d) float32
    group : (m,) int64
        Faces of one number go to one side.
    sides : list of arrays of int64
        The faces that each side starts from.
    """
    rest = np.flatnonzero(side_of < 0)
    top = np.full((len(rest), len(sides), _TOP), -np.inf)
    for i, side in enumerate(sides):
        _add_similar(top, i, block[rest], block[side])
    grown = np.zeros(len(sides), np.int64)
    while len(rest):
        score = _mean_of_top(top)
        _, which = np.unique(group[rest], return_inverse=True)
        sums = np.zeros((int(which.max()) + 1, len(sides)))
        np.add.at(sums, which, score)
        if len(sides) == 1:
            side_of[rest] = 0
            return
        best, second = -np.partition(-sums, 1, axis=1)[:, :2].T
        margin = (best - second) / np.bincount(which)
        number = max(1, len(margin) // _SHARE)
        clearest = np.zeros(len(margin), bool)
        clearest[np.argsort(-margin, kind="stable")[:number]] = True
        now = clearest[which]
        side_of[rest[now]] = sums.argmax(axis=1)[which[now]]
        joined, rest, top = rest[now], rest[~now], top[~now]
        for i in range(len(sides)):
            more = joined[side_of[joined] == i][: _MOST - int(grown[i])]
            grown[i] += len(more)
            _add_similar(top, i, block[rest], block[more])


def _mean_of_top(top: np.ndarray) -> np.ndarray:
    """Return the means of similarities over the last axis; of a side with fewer faces, all count."""
    there = np.isfinite(top)
    means: np.ndarray = np.where(there, top, 0.0).sum(axis=-1) / there.sum(axis=-1)
    return means


def _add_similar(top: np.ndarray, side: int, faces: F32, more: F32) -> None:
    """Update the greatest similarities of faces to a side that has more faces, ``top[:, side]``."""
    if not len(more):
        return
    for start in range(0, len(faces), _ROWS):
        rows = slice(start, start + _ROWS)
        products = np.concatenate([top[rows, side], faces[rows] @ more.T], axis=1)
        top[rows, side] = np.partition(products, products.shape[1] - _TOP, axis=1)[:, -_TOP:]


def _similarity(faces: F32, block: F32, sides: list[I64]) -> np.ndarray:
    """Return the average similarity of some faces to each side, (s,)."""
    averages: np.ndarray = _similarities(faces, block, sides).mean(axis=0)
    return averages


def _similarities(faces: F32, block: F32, sides: list[I64]) -> np.ndarray:
    """Return the mean similarity of each face to the most similar faces of each side, (m, s) float64."""
    found = np.empty((len(faces), len(sides)))
    for i, side in enumerate(sides):
        top = min(_TOP, len(side))
        for start in range(0, len(faces), _ROWS):
            products = faces[start : start + _ROWS] @ block[side].T
            best = np.partition(products, len(side) - top, axis=1)[:, len(side) - top :]
            found[start : start + _ROWS, i] = best.mean(axis=1, dtype=np.float64)
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
