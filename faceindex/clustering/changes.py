"""Compare two clusterings of the same faces: what merged, split, moved, is new and gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from faceindex.errors import UsageError
from faceindex.types import I64, BoolArray

__all__ = ["Changes", "Part", "Regrouped", "Renumbered", "compare"]


class Part(NamedTuple):
    """A cluster, or a part of one.

    Attributes
    ----------
    cluster : int
        Cluster id.
    faces : int
        Number of faces.
    """

    cluster: int
    faces: int


class Regrouped(NamedTuple):
    """A cluster and the clusters that it was made of, or that it was divided into.

    Attributes
    ----------
    cluster : int
        Cluster id.
    faces : int
        Number of its faces.
    parts : tuple of Part
        At least two, the largest first; with the numbers of faces that they share with the cluster.
    """

    cluster: int
    faces: int
    parts: tuple[Part, ...]


class Renumbered(NamedTuple):
    """A cluster that has another id.

    Attributes
    ----------
    old_cluster, new_cluster : int
        Cluster ids.
    faces : int
        Number of faces that both have.
    """

    old_cluster: int
    new_cluster: int
    faces: int


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class Changes:
    """The differences of two clusterings; the largest clusters first.

    Attributes
    ----------
    merged : tuple of Regrouped
        New clusters that continue several old ones, with these.
    split : tuple of Regrouped
        Old clusters that several new ones continue, with these.
    renumbered : tuple of Renumbered
        Clusters that neither merged nor split, and have another id.
    new : tuple of Part
        New clusters that continue no old one.
    gone : tuple of Part
        Old clusters that no new one continues.
    moved : (m,) int64
        Positions of the faces whose new cluster does not continue their old one.
    joined, left : (j,) and (l,) int64
        Positions of the faces that were in no cluster and are in one, and the reverse.
    """

    merged: tuple[Regrouped, ...]
    split: tuple[Regrouped, ...]
    renumbered: tuple[Renumbered, ...]
    new: tuple[Part, ...]
    gone: tuple[Part, ...]
    moved: I64
    joined: I64
    left: I64


def compare(old: I64, new: I64) -> Changes:
    """Compare two clusterings of the same faces.

    A new cluster continues an old one if it has more than half of the old one's faces, if more than half of
    its own faces come from there, or if the two share a face and have the same id. A face has moved if its
    new cluster does not continue its old one.

    Parameters
    ----------
    old, new : (n,) int64
        Cluster ids of each face, -1 for none.

    Raises
    ------
    UsageError
        If the arrays differ in shape.
    """
    if old.shape != new.shape:
        raise UsageError("The two clusterings differ in length.", "Pass the cluster of each face in both.")
    old_ids, old_sizes = np.unique(old[old >= 0], return_counts=True)
    new_ids, new_sizes = np.unique(new[new >= 0], return_counts=True)
    both = np.flatnonzero((old >= 0) & (new >= 0))
    span = max(len(new_ids), 1)
    codes = np.searchsorted(old_ids, old[both]) * span + np.searchsorted(new_ids, new[both])
    pairs, pair_of_face, shared = np.unique(codes, return_inverse=True, return_counts=True)
    old_at, new_at = np.divmod(pairs, span)
    keeps_id = old_ids[old_at] == new_ids[new_at]
    continues = keeps_id | (2 * shared > old_sizes[old_at]) | (2 * shared > new_sizes[new_at])
    pair_moves = ~continues[pair_of_face.reshape(-1)]
    old_at, new_at, shared = old_at[continues], new_at[continues], shared[continues]
    is_merged = np.bincount(new_at, minlength=len(new_ids)) > 1
    is_split = np.bincount(old_at, minlength=len(old_ids)) > 1
    renumbered = np.flatnonzero(~keeps_id[continues] & ~is_merged[new_at] & ~is_split[old_at])
    return Changes(
        merged=_regrouped(new_ids, new_sizes, is_merged, new_at, old_ids[old_at], shared),
        split=_regrouped(old_ids, old_sizes, is_split, old_at, new_ids[new_at], shared),
        renumbered=tuple(
            Renumbered(int(old_ids[old_at[i]]), int(new_ids[new_at[i]]), int(shared[i]))
            for i in renumbered[np.argsort(-shared[renumbered], kind="stable")].tolist()
        ),
        new=_without(new_ids, new_sizes, new_at),
        gone=_without(old_ids, old_sizes, old_at),
        moved=both[pair_moves],
        joined=np.flatnonzero((old < 0) & (new >= 0)),
        left=np.flatnonzero((old >= 0) & (new < 0)),
    )


def _regrouped(
    ids: I64, sizes: I64, wanted: BoolArray, at: I64, parts: I64, shared: I64
) -> tuple[Regrouped, ...]:
    """Return the wanted clusters, each with its parts.

    Parameters
    ----------
    ids, sizes : (n,) int64
        The clusters and their numbers of faces.
    wanted : (n,) bool
    at, parts, shared : (p,) int64
        Pairs: the position of the cluster in `ids`, the id of the part, and the faces of both.
    """
    found: dict[int, list[Part]] = {}
    use = np.flatnonzero(wanted[at])
    for i in use[np.lexsort((parts[use], -shared[use]))].tolist():
        found.setdefault(int(at[i]), []).append(Part(int(parts[i]), int(shared[i])))
    regrouped = [Regrouped(int(ids[i]), int(sizes[i]), tuple(members)) for i, members in found.items()]
    return tuple(sorted(regrouped, key=lambda each: (-each.faces, each.cluster)))


def _without(ids: I64, sizes: I64, linked: I64) -> tuple[Part, ...]:
    """Return the clusters that are not among the linked positions, the largest first."""
    alone = np.setdiff1d(np.arange(len(ids)), linked)
    order = alone[np.argsort(-sizes[alone], kind="stable")]
    return tuple(Part(int(ids[i]), int(sizes[i])) for i in order.tolist())
