"""Use the constraints of the user while an album is clustered: on edges, on clusters, and on copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from faceindex.clustering.constraints import Constraints, resolve
from faceindex.clustering.graph import add_edges
from faceindex.compiled import compiled
from faceindex.types import F64, I64, BoolArray, Graph

__all__ = ["ClusterConstraints", "consistent_copies", "constrain_edges", "contract", "possible"]

_SURE = np.float32(5.0)
"""Least log-odds of two faces that show one person by the user's word. More would outweigh the evidence on
the faces in between."""


def constrain_edges(graph: Graph, known: Constraints) -> Graph:
    """Return a graph in which edges between faces count as the user said.

    Parameters
    ----------
    graph : Graph
        n nodes; its weights are log-odds.
    known : Constraints
        Of n faces, resolved.

    Returns
    -------
    Graph
        Edges between two faces with the label of one person have a positive weight. So do pairs of one person
        without labels, which get an edge if they have none. Edges between faces of two people keep theirs:
        then the faces that resemble one of these come into its cluster, and leave it together when it is
        split. On the labelled sets this gives better clusters than to leave them behind.
    """
    weights = graph.weights.copy()
    labelled = np.flatnonzero(known.person >= 0)
    _raise(graph.indptr, graph.indices, weights, known.person, labelled, _SURE)
    constrained = Graph(graph.indptr, graph.indices, weights)
    if not len(known.same):
        return constrained
    same = np.unique(np.sort(known.same, axis=1), axis=0)
    return add_edges(constrained, same[:, 0], same[:, 1], np.full(len(same), _SURE))


@compiled(nogil=True)
def _raise(indptr, indices, weights, person, faces, least):  # type: ignore[no-untyped-def]
    """Raise the weights of edges between some faces of one person, in `weights`."""
    for i in faces:
        for e in range(indptr[i], indptr[i + 1]):
            if person[indices[e]] == person[i]:
                weights[e] = max(weights[e], least)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterConstraints:
    """What the constraints on faces mean for their clusters, none of which violates one.

    Attributes
    ----------
    person : (c,) int64
        Whose cluster it is, -1 for nobody's.
    born : (c,) float64
        When this person was born; -inf where it is unknown.
    taken : (c,) float64
        The earliest time of its faces without a label; inf where all are unknown.
    apart : (m, 2) int64
        Clusters that must not merge, by rejections and pairs of different faces. Each in both orders, sorted.
    """

    person: I64
    born: F64
    taken: F64
    apart: I64

    @classmethod
    def build(cls, codes: I64, known: Constraints) -> ClusterConstraints:
        """Derive them from resolved constraints on faces, and the cluster of each face, ``0..c-1``."""
        number = int(codes.max(initial=-1)) + 1
        person = np.full(number, -1, np.int64)
        np.maximum.at(person, codes, known.person)
        taken = np.full(number, np.inf)
        dated = np.flatnonzero((known.person < 0) & ~np.isnan(known.taken))
        np.minimum.at(taken, codes[dated], known.taken[dated])
        row, cluster = _clusters_of(person, known.rejected[:, 1])
        pairs = np.concatenate(
            [np.column_stack([codes[known.rejected[row, 0]], cluster]), codes[known.different]]
        )
        apart = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
        return cls(person, known.births(person), taken, apart)


def _clusters_of(person: I64, wanted: I64) -> tuple[I64, I64]:
    """Return the pairs of a position in `wanted` and a cluster of this person."""
    order = np.argsort(person, kind="stable")
    first, end = (np.searchsorted(person[order], wanted, side) for side in ("left", "right"))
    row = np.repeat(np.arange(len(wanted)), end - first)
    within = np.arange(len(row)) - np.repeat(np.cumsum(end - first) - (end - first), end - first)
    return row, order[first[row] + within]


def possible(face: I64, cluster: I64, codes: I64, known: Constraints) -> BoolArray:
    """Return for pairs of a face and a cluster whether the face may join the cluster.

    Parameters
    ----------
    face, cluster : (m,) int64
    codes : (n,) int64
        Cluster of each face, ``0..c-1``.
    known : Constraints
        Of n faces, resolved.

    Returns
    -------
    (m,) bool
    """
    now = ClusterConstraints.build(codes, known)
    own, owner = known.person[face], now.person[cluster]
    barred = (own >= 0) & (owner >= 0) & (own != owner)
    barred |= (own < 0) & (known.taken[face] < now.born[cluster])
    barred |= now.taken[cluster] < known.births(own)
    number = len(now.person)
    rejected = known.rejected
    row, of = _clusters_of(now.person, rejected[:, 1])
    keys = [rejected[row, 0] * number + of]
    keys += [known.different[:, i] * number + codes[known.different[:, 1 - i]] for i in (0, 1)]
    barred |= np.isin(face * number + cluster, np.concatenate(keys))
    refused = rejected[:, 1] * number + codes[rejected[:, 0]]
    barred |= (own >= 0) & np.isin(own * number + cluster, refused)
    found: BoolArray = ~barred
    return found


def consistent_copies(first: I64, known: Constraints) -> I64:
    """Return the first copy of each face, (n,) int64, or itself for contradictory copies.

    Copies contradict each other if they have labels of two people, or one of a person from whom another is
    rejected, or if two of them are different.
    """
    labelled = np.flatnonzero(known.person >= 0)
    least, most = np.full(len(first), np.iinfo(np.int64).max), np.full(len(first), -1)
    np.minimum.at(least, first[labelled], known.person[labelled])
    np.maximum.at(most, first[labelled], known.person[labelled])
    wrong = most > least
    wrong[first[known.rejected[most[first[known.rejected[:, 0]]] == known.rejected[:, 1], 0]]] = True
    one, other = first[known.different].T
    wrong[one[one == other]] = True
    return np.where(wrong[first], np.arange(len(first)), first)


def contract(known: Constraints, kept: I64, place: I64) -> Constraints:
    """Return the constraints of first copies: what was said about a copy was said about them, resolved.

    Parameters
    ----------
    known : Constraints
        Of n faces.
    kept : (m,) int64
        Positions of the first copies.
    place : (n,) int64
        Position in `kept` of the first copy of each face.
    """
    person = np.full(len(kept), -1, np.int64)
    np.maximum.at(person, place, known.person)
    rejected = np.column_stack([place[known.rejected[:, 0]], known.rejected[:, 1]])
    return resolve(
        replace(
            known,
            person=person,
            nobody=known.nobody[kept],
            rejected=rejected,
            same=place[known.same],
            different=place[known.different],
            taken=known.taken[kept],
        )
    )
