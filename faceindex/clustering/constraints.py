"""Constraints on clusters: what the user said about faces.

Clusters satisfy the constraints if all of these hold (`violations` lists what does not):

- A face that shows nobody is in no cluster.
- A face that a person is the label of is in a cluster, and a cluster has labels of one person at most. The
  clusters with labels of a person are the clusters of this person.
- A face is in no cluster of a person whom it does not show, by the user's word or because it was taken before
  the person was born.
- Two faces that show two people are not in one cluster.
- Two faces that show one person, as far as they have no label, are in one cluster. With labels, they are in
  clusters of one person: a person may have several, such as those of a child and an adult.

`resolve` spreads what was said over faces that show one person, and drops what contradicts: labels count
before rejections, these before pairs of different faces, these before pairs of the same person, and earlier
pairs before later ones. A date counts least. The rest can always be satisfied
(`faceindex.clustering.enforcing.enforce`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from faceindex.types import F64, I64, BoolArray

__all__ = ["Constraints", "Violation", "owners", "resolve", "units", "violations"]


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class Constraints:
    """What the user said about n faces.

    Attributes
    ----------
    person : (n,) int64
        The person that each face shows, -1 for none. Any numbers of 0 and above.
    nobody : (n,) bool
        Whether the face belongs in no cluster: strangers, and what is not a face.
    rejected : (r, 2) int64
        Position of a face, and a person whom it does not show.
    same : (s, 2) int64
        Positions of two faces that show one person, earlier decisions first.
    different : (d, 2) int64
        Positions of two faces that show two people.
    taken : (n,) float64
        When the photo of the face was taken, in seconds since any fixed time; NaN where it is unknown.
    born : mapping of int to float
        When people were born, as in `taken`. Faces taken before do not show the person, unless the user said
        so. People whose birth is unknown are left out.
    """

    person: I64
    nobody: BoolArray
    rejected: I64
    same: I64
    different: I64
    taken: F64
    born: Mapping[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.person)

    @classmethod
    def empty(cls, n: int) -> Constraints:
        """Return constraints of n faces about which nothing was said."""
        none = np.empty((0, 2), np.int64)
        return cls(np.full(n, -1, np.int64), np.zeros(n, bool), none, none, none, np.full(n, np.nan))

    @property
    def is_empty(self) -> bool:
        """Whether nothing constrains the clusters. Dates alone do not."""
        said = len(self.rejected) + len(self.same) + len(self.different)
        return not said and not self.nobody.any() and not (self.person >= 0).any()

    def select(self, positions: I64) -> Constraints:
        """Return the constraints of a part of the faces; pairs with a face outside are dropped.

        `resolve` them before: a face of the part may have its label by one outside.

        Parameters
        ----------
        positions : (m,) int64
            Each at most once.
        """
        place = np.full(len(self), -1, np.int64)
        place[positions] = np.arange(len(positions))
        rejected = self.rejected[place[self.rejected[:, 0]] >= 0]
        return Constraints(
            person=self.person[positions],
            nobody=self.nobody[positions],
            rejected=np.column_stack([place[rejected[:, 0]], rejected[:, 1]]),
            same=_both_inside(place[self.same]),
            different=_both_inside(place[self.different]),
            taken=self.taken[positions],
            born=self.born,
        )

    def births(self, people: I64) -> F64:
        """Return when people were born, as float64 of the same shape; -inf where it is unknown."""
        if not self.born:
            return np.full(people.shape, -np.inf)
        ids = np.array(sorted(self.born), np.int64)
        times = np.array([self.born[i] for i in ids.tolist()], np.float64)
        at = np.minimum(np.searchsorted(ids, people), len(ids) - 1)
        return np.where(ids[at] == people, times[at], -np.inf)


def _both_inside(pairs: I64) -> I64:
    return pairs[(pairs >= 0).all(axis=1)]


def resolve(constraints: Constraints) -> Constraints:
    """Spread what was said over faces that show one person, and drop what contradicts.

    Returns
    -------
    Constraints
        - `person`: also the faces that show one person with a labelled face have its label. If two people are
          the labels of faces that are connected by `same`, only labelled faces keep a label.
        - `rejected`: without a face's own label, sorted, each once. Faces that show one person share their
          rejections. A face that is different from one of a person is rejected from this person.
        - `same`: pairs of faces without a label that contradict nothing.
        - `different`: pairs of faces without a label, the lower position first, sorted, each once.
        - `taken`: faces that show one person share the earliest time.

        Resolved constraints are resolved to themselves.
    """
    person = np.where(constraints.nobody, -1, constraints.person).astype(np.int64)
    different = _unique_pairs(np.sort(_pairs(constraints.different, constraints.nobody), axis=1))
    rejected = constraints.rejected[~constraints.nobody[constraints.rejected[:, 0]]]
    rejected, rest = _derive_rejections(person, rejected, different)
    same = _consistent_pairs(person, rejected, rest, _pairs(constraints.same, constraints.nobody))
    taken = constraints.taken
    if len(same):
        unit = units(len(person), same)
        label = np.full(len(person), -1, np.int64)
        np.maximum.at(label, unit, person)  # all labels of a unit are equal
        person = label[unit]
        earliest = np.full(len(person), np.inf)
        dated = np.isfinite(taken)
        np.minimum.at(earliest, unit[dated], taken[dated])
        shared = np.isfinite(earliest[unit])
        taken = np.where(shared, earliest[unit], taken)
        rejected, rest = _derive_rejections(person, rejected, rest)
        rejected = _spread_rejections(unit, rejected)
        rejected, rest = _derive_rejections(person, rejected, rest)
        same = same[(person[same] < 0).all(axis=1)]
    return replace(constraints, person=person, rejected=rejected, same=same, different=rest, taken=taken)


def units(n: int, same: I64) -> I64:
    """Return the first face that each face is connected to by pairs of the same person, (n,) int64.

    Parameters
    ----------
    n : int
        Number of faces.
    same : (s, 2) int64
    """
    unit = np.arange(n)
    if not len(same):
        return unit
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    faces, codes = np.unique(same, return_inverse=True)
    one, other = codes.reshape(same.shape).T
    links = csr_matrix((np.ones(len(same), bool), (one, other)), shape=(len(faces), len(faces)))
    _, component = connected_components(links, directed=False)
    _, first = np.unique(component, return_index=True)
    unit[faces] = faces[first[component]]
    return unit


def _pairs(pairs: I64, nobody: BoolArray) -> I64:
    """Return the pairs of two faces of which neither is nobody."""
    found: I64 = pairs[(pairs[:, 0] != pairs[:, 1]) & ~nobody[pairs].any(axis=1)]
    return found


def _unique_pairs(pairs: I64) -> I64:
    """Return pairs of numbers of 0 and above, each once, sorted; faster than `numpy.unique` of rows."""
    span = int(pairs[:, 1].max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(pairs[:, 0] * span + pairs[:, 1]), span), axis=1)


def _derive_rejections(person: I64, rejected: I64, different: I64) -> tuple[I64, I64]:
    """Turn pairs of different faces, of which one has a label, into rejections of the other.

    Returns
    -------
    rejected : (r, 2) int64
        Sorted, each once; without those of a face's own label.
    different : (d, 2) int64
        The pairs without a label. Those with two labels need no more.
    """
    labels = person[different]
    one, other = (different[(labels[:, i] >= 0) & (labels[:, 1 - i] < 0)] for i in (0, 1))
    derived = [
        np.column_stack([one[:, 1], person[one[:, 0]]]),
        np.column_stack([other[:, 0], person[other[:, 1]]]),
    ]
    found = _unique_pairs(np.concatenate([rejected, *derived]))
    return found[person[found[:, 0]] != found[:, 1]], different[(labels < 0).all(axis=1)]


def _spread_rejections(unit: I64, rejected: I64) -> I64:
    """Give the rejections of each face to all faces of its unit."""
    if not len(rejected):
        return rejected
    order = np.argsort(unit, kind="stable")
    of = _unique_pairs(np.column_stack([unit[rejected[:, 0]], rejected[:, 1]]))
    first, end = (np.searchsorted(unit[order], of[:, 0], side) for side in ("left", "right"))
    rows = np.repeat(np.arange(len(of)), end - first)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(end - first) - (end - first), end - first)
    return _unique_pairs(np.column_stack([order[first[rows] + within], of[rows, 1]]))


def _consistent_pairs(person: I64, rejected: I64, different: I64, same: I64) -> I64:
    """Return the pairs of one person that contradict no label, rejection, or pair of different faces.

    Each pair that contradicts what was said, together with the pairs before it, is left out.
    """
    labels = person[same]
    same = same[(labels < 0).any(axis=1)]  # two labels say it all
    if not len(same):
        return same
    unit = units(len(person), same)
    labelled = np.flatnonzero(person >= 0)
    least = np.full(len(person), np.iinfo(np.int64).max)
    most = np.full(len(person), -1)
    np.minimum.at(least, unit[labelled], person[labelled])
    np.maximum.at(most, unit[labelled], person[labelled])
    of_two = (most > least)[unit]
    same = same[~of_two[same[:, 0]] | (person[same] < 0).all(axis=1)]
    suspect = np.zeros(len(person), bool)
    suspect[unit[rejected[:, 0]]] = suspect[unit[different]] = True
    doubtful = suspect[unit[same[:, 0]]]
    if not doubtful.any():
        return same
    keep = np.ones(len(same), bool)
    keep[doubtful] = _accept(person, rejected, different, same[doubtful])
    return same[keep]


def _accept(person: I64, rejected: I64, different: I64, same: I64) -> list[bool]:
    """Return for each pair whether it contradicts nothing, given the accepted pairs before it."""
    root = {face: face for face in np.unique(same).tolist()}
    label = {face: int(person[face]) for face in root}
    refused: dict[int, set[int]] = {face: set() for face in root}
    apart: dict[int, set[int]] = {face: set() for face in root}
    for face, who in rejected.tolist():
        if face in root:
            refused[face].add(who)
    for one, other in different.tolist():
        for a, b in ((one, other), (other, one)):
            if a in root:
                apart[a].add(b)

    def find(face: int) -> int:
        while root.get(face, face) != face:
            root[face] = face = root[root[face]]
        return face

    accepted = []
    for one, other in same.tolist():
        a, b = find(one), find(other)
        if a == b:
            accepted.append(True)
            continue
        people = {label[a], label[b]} - {-1}
        of_one = {find(face) for face in apart[a]}
        of_other = {find(face) for face in apart[b]}
        # A unit that becomes a person's must not be different from another unit of the same person.
        theirs = {label.get(face, -1) for face in of_one | of_other}
        fits = (
            len(people) < 2
            and not people & (refused[a] | refused[b])
            and b not in of_one
            and not people & theirs
        )
        accepted.append(fits)
        if fits:
            root[b] = a
            label[a] = max(label[a], label[b])
            refused[a] |= refused[b]
            apart[a] |= apart[b]
    return accepted


class Violation(NamedTuple):
    """A constraint that clusters do not satisfy.

    Attributes
    ----------
    kind : str
        ``"nobody"``, ``"no cluster"``, ``"two people"``, ``"rejected"``, ``"not born"``, ``"different"`` or
        ``"same"``.
    face : int
        Position of a face.
    other : int
        Position of the other face of a pair; for the other kinds a person, or -1.
    """

    kind: str
    face: int
    other: int


def owners(labels: I64, person: I64) -> tuple[I64, I64]:
    """Return the clusters with labels of people, and their person, (m,) int64 each: each pair once, sorted.

    Parameters
    ----------
    labels : (n,) int64
        Cluster of each face, -1 for none.
    person : (n,) int64
        As of `Constraints`.
    """
    labelled = np.flatnonzero((person >= 0) & (labels >= 0))
    pairs = _unique_pairs(np.column_stack([labels[labelled], person[labelled]]))
    return pairs[:, 0], pairs[:, 1]


def violations(labels: I64, constraints: Constraints) -> list[Violation]:
    """List what clusters violate; an empty list if they satisfy the constraints.

    Pairs of the same person are also satisfied if both faces are in no cluster.

    Parameters
    ----------
    labels : (n,) int64
        -1 for none.
    constraints : Constraints
        They are resolved first: what contradicts does not count.
    """
    known = resolve(constraints)
    person = known.person
    found = [Violation("nobody", face, -1) for face in np.flatnonzero(known.nobody & (labels >= 0)).tolist()]
    loose = np.flatnonzero((person >= 0) & (labels < 0))
    found += [Violation("no cluster", face, int(person[face])) for face in loose.tolist()]
    clusters, people = owners(labels, person)
    owner = dict(zip(clusters.tolist(), people.tolist(), strict=True))
    labelled = np.flatnonzero((person >= 0) & (labels >= 0))
    for face in labelled.tolist():
        if person[face] != owner[int(labels[face])]:
            found.append(Violation("two people", face, owner[int(labels[face])]))
    held = set(zip(clusters.tolist(), people.tolist(), strict=True))
    for face, who in known.rejected.tolist():
        if (int(labels[face]), who) in held:
            found.append(Violation("rejected", face, who))
    for cluster, who in sorted(held):
        if who not in known.born:
            continue
        early = (labels == cluster) & (person != who) & (known.taken < known.born[who])
        found += [Violation("not born", face, who) for face in np.flatnonzero(early).tolist()]
    for one, other in known.different.tolist():
        if labels[one] == labels[other] >= 0:
            found.append(Violation("different", one, other))
    for one, other in known.same.tolist():
        if labels[one] != labels[other]:
            found.append(Violation("same", one, other))
    return found
