"""The clusters of an index while questions are asked: what resembles what, kept up to date after each answer.

The arrays of all clusters are computed once. After an answer, only the rows and columns of the clusters that
it changed are computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.same_photo import COPIES
from faceindex.models.spec import Calibration
from faceindex.store.decisions import Label
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["Board", "BoardState"]

_NEAR = 8  # nearest clusters that are kept of each cluster, and of each face in none
_BLOCK = 1024  # rows of a product at a time, to bound memory


@dataclass(slots=True, eq=False)
class BoardState:
    """What the user said about n faces, and their clusters.

    Attributes
    ----------
    cluster : (n,) int64
        -1 for none.
    label : (n,) int64
        Values of `faceindex.store.decisions.Label`.
    person : (n,) int64
        The person that the label names; -1 for none.
    of_cluster : mapping of int to int
        The person of each cluster that has one.
    rejected : (r, 2) int64
        Position of a face, and a person whom it does not show.
    different : (d, 2) int64
        Positions of two faces that show two people.
    born : mapping of int to float
        When people were born, in seconds, as the capture times.
    """

    cluster: I64
    label: I64
    person: I64
    of_cluster: Mapping[int, int]
    rejected: I64
    different: I64
    born: Mapping[int, float]


class Board:
    """Clusters, and faces in none, with those that resemble them.

    An *item* is a cluster or a face in no cluster: the number of the cluster's slot, or `slots` plus the
    position of the face. An *owner* is who a cluster shows: its person, or the cluster itself.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    photos : (n,) int64
    quality : (n,) float32
    taken : (n,) float64
        Capture times in seconds, NaN where unknown.
    calibration : Calibration
    said : BoardState

    Attributes
    ----------
    ids : list of int
        The cluster of each slot; a slot whose cluster has ended is empty.
    code : (n,) int64
        The slot of each face; -1 for none.
    sums : (s, d) float32
        Sum of the vectors of each slot.
    sizes : (s,) int64
    centres : (s, d) float32
        The sums, scaled to unit length.
    near, near_similarity : (s, 8) int64, float32
        The nearest other slots of each, by their centres; padded with -1.
    loose : (m,) int64
        Positions of the faces in no cluster that may show somebody.
    loose_near, loose_similarity : (m, 8) int64, float32
        The nearest slots of each of these.
    version : (s,) int64
        Grows when the faces of the slot change.
    """

    def __init__(
        self,
        vectors: F32,
        photos: I64,
        quality: F32,
        taken: F64,
        calibration: Calibration,
        said: BoardState,
    ) -> None:
        self.vectors = np.ascontiguousarray(vectors)
        self.photos, self.quality, self.taken, self.calibration = photos, quality, taken, calibration
        self.said = said
        clusters = np.unique(said.cluster[said.cluster >= 0])
        self.ids: list[int] = clusters.tolist()
        self._slot = {cluster: i for i, cluster in enumerate(self.ids)}
        self.code = np.where(said.cluster >= 0, np.searchsorted(clusters, said.cluster), -1).astype(np.int64)
        self.sizes = np.bincount(self.code[self.code >= 0], minlength=len(self.ids)).astype(np.int64)
        self.sums = cluster_sums(self.vectors, self.code, np.arange(len(self.ids)))
        self.centres = _unit(self.sums)
        self.version = np.zeros(len(self.ids), np.int64)
        self.near, self.near_similarity = self._nearest(self.centres, np.arange(len(self.ids)))
        self.loose = self._loose()
        self.loose_near, self.loose_similarity = self._nearest(self.vectors[self.loose])
        self._members: dict[int, I64] = {}
        self._photo_pairs = self._pairs_on_photos()
        self.refresh()

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.ids)

    def slot(self, cluster: int) -> int:
        """Return the slot of a cluster, -1 if it has none."""
        return self._slot.get(cluster, -1)

    def members(self, slot: int) -> I64:
        """Return the positions of the faces of a slot."""
        if slot not in self._members:
            self._members[slot] = np.flatnonzero(self.code == slot).astype(np.int64)
        return self._members[slot]

    def update(self, faces: I64, said: BoardState) -> None:
        """Take over what a decision changed.

        Parameters
        ----------
        faces : (k,) int64
            Positions of the faces whose cluster changed.
        said : BoardState
            The state after it.
        """
        self.said = said
        clusters = said.cluster[faces]
        for cluster in np.unique(clusters[clusters >= 0]).tolist():
            if cluster not in self._slot:
                self._add_slot(cluster)
        after = np.array([self._slot.get(cluster, -1) for cluster in clusters.tolist()], np.int64)
        moved = self.code[faces] != after
        changed = np.unique(np.concatenate([self.code[faces][moved], after[moved]]))
        changed = changed[changed >= 0]
        self.code[faces] = after
        for slot in changed.tolist():
            self._members.pop(slot, None)
            members = self.members(slot)
            self.sizes[slot] = len(members)
            self.sums[slot] = self.vectors[members].sum(axis=0, dtype=np.float64)
        self.version[changed] += 1
        self.centres[changed] = _unit(self.sums[changed])
        if len(changed):
            self._replace(self.near, self.near_similarity, self.centres, changed, own=True)
            rows = self._nearest(self.centres[changed], changed)
            self.near[changed], self.near_similarity[changed] = rows
        self._update_loose(changed)
        self.refresh()

    def _update_loose(self, changed: I64) -> None:
        loose = self._loose()
        if len(changed) and len(self.loose):
            self._replace(self.loose_near, self.loose_similarity, self.vectors[self.loose], changed)
        at = np.minimum(np.searchsorted(self.loose, loose), max(len(self.loose) - 1, 0))
        known = self.loose[at] == loose if len(self.loose) else np.zeros(len(loose), bool)
        near = np.full((len(loose), _NEAR), -1, np.int64)
        similarity = np.full((len(loose), _NEAR), -1, np.float32)
        near[known], similarity[known] = self.loose_near[at[known]], self.loose_similarity[at[known]]
        near[~known], similarity[~known] = self._nearest(self.vectors[loose[~known]])
        self.loose, self.loose_near, self.loose_similarity = loose, near, similarity

    def refresh(self) -> None:
        """Compute who the clusters show, and which items are kept apart."""
        said = self.said
        self.person = np.full(self.slots, -1, np.int64)
        for cluster, person in said.of_cluster.items():
            if (slot := self._slot.get(cluster, -1)) >= 0:
                self.person[slot] = person
        first = int(max(self.person.max(initial=-1), said.person.max(initial=-1), *said.born, -1)) + 1
        if len(said.rejected):
            first = max(first, int(said.rejected[:, 1].max()) + 1)
        self.owner = np.where(self.person >= 0, self.person, first + np.arange(self.slots))
        self._owners = first + self.slots
        self._item = np.where(self.code >= 0, self.code, self.slots + np.arange(len(self.code)))
        keys = [self._item[said.rejected[:, 0]] * self._owners + said.rejected[:, 1]]
        for one, other in (self._photo_pairs, said.different.T):
            for a, b in ((one, other), (other, one)):
                inside = self.code[b] >= 0
                keys.append(self._item[a[inside]] * self._owners + self.owner[self.code[b[inside]]])
        self._apart = np.unique(np.concatenate(keys))
        # A cluster with a person may have several slots: what is apart from one is apart from the person.
        self._first_taken = np.full(self.slots, np.inf)
        dated = (self.code >= 0) & np.isfinite(self.taken)
        if said.born:
            np.minimum.at(self._first_taken, self.code[dated], self.taken[dated])

    def is_apart(self, items: I64, slots: I64) -> BoolArray:
        """Return whether items cannot show the owners of slots, both (k,).

        They have faces on one photo with a face of the owner, or the user said so, or they were taken before
        the person's birth.
        """
        keys = items * self._owners + self.owner[slots]
        apart = np.zeros(len(keys), bool)
        if len(self._apart):
            at = np.minimum(np.searchsorted(self._apart, keys), len(self._apart) - 1)
            apart = self._apart[at] == keys
        if self.said.born:
            taken = np.where(
                items < self.slots,
                self._first_taken[np.minimum(items, self.slots - 1)],
                np.nan_to_num(self.taken[np.maximum(items - self.slots, 0)], nan=np.inf),
            )
            born = np.array([self.said.born.get(p, -np.inf) for p in self.person[slots].tolist()])
            apart |= taken < born
        return apart

    # ------------------------------------------------------------------------------------------

    def _loose(self) -> I64:
        nobody = np.isin(self.said.label, [Label.STRANGER, Label.NOT_A_FACE])
        return np.flatnonzero((self.code < 0) & ~nobody).astype(np.int64)

    def _add_slot(self, cluster: int) -> None:
        self._slot[cluster] = len(self.ids)
        self.ids.append(cluster)
        self.sizes = np.append(self.sizes, 0)
        self.version = np.append(self.version, 0)
        self.sums = np.concatenate([self.sums, np.zeros((1, self.vectors.shape[1]), self.sums.dtype)])
        self.centres = np.concatenate([self.centres, np.zeros_like(self.sums[:1])])
        self.near = np.concatenate([self.near, np.full((1, _NEAR), -1, np.int64)])
        self.near_similarity = np.concatenate([self.near_similarity, np.full((1, _NEAR), -1, np.float32)])

    def _nearest(self, queries: F32, itself: I64 | None = None) -> tuple[I64, F32]:
        """Return the nearest slots of some vectors, (k, 8), without the slots `itself`, (k,)."""
        near = np.full((len(queries), _NEAR), -1, np.int64)
        similarity = np.full((len(queries), _NEAR), -1, np.float32)
        kept = min(_NEAR, self.slots)
        if not kept:
            return near, similarity
        for start in range(0, len(queries), _BLOCK):
            products = queries[start : start + _BLOCK] @ self.centres.T
            products[:, self.sizes == 0] = -2
            if itself is not None:
                own = itself[start : start + _BLOCK]
                products[np.arange(len(own)), own] = -2
            best = np.argpartition(products, self.slots - kept, axis=1)[:, self.slots - kept :]
            values = np.take_along_axis(products, best, axis=1)
            near[start : start + _BLOCK, :kept] = np.where(values > -2, best, -1)
            similarity[start : start + _BLOCK, :kept] = np.maximum(values, -1)
        return near, similarity

    def _replace(self, near: I64, similarity: F32, rows: F32, changed: I64, *, own: bool = False) -> None:
        """Compute the similarity of rows to changed slots again, and keep the nearest, in place."""
        gone = np.isin(near, changed)
        near[gone], similarity[gone] = -1, -1
        products = rows @ self.centres[changed].T
        products[:, self.sizes[changed] == 0] = -1
        if own:
            products[changed, np.arange(len(changed))] = -1
        columns = np.where(products > -1, changed, -1)
        everything = np.concatenate([similarity, products], axis=1)
        names = np.concatenate([near, columns], axis=1)
        width = everything.shape[1]
        best = np.argpartition(everything, width - _NEAR, axis=1)[:, width - _NEAR :]
        similarity[:] = np.take_along_axis(everything, best, axis=1)
        near[:] = np.take_along_axis(names, best, axis=1)

    def _pairs_on_photos(self) -> tuple[I64, I64]:
        """Return the pairs of faces on one photo that are no copies of each other."""
        order = np.argsort(self.photos, kind="stable")
        ordered = self.photos[order]
        ones, others = [], []
        step = 1
        while step < len(order) and (same := np.flatnonzero(ordered[step:] == ordered[:-step])).size:
            ones.append(order[same])
            others.append(order[same + step])
            step += 1
        one = np.concatenate(ones) if ones else np.empty(0, np.int64)
        other = np.concatenate(others) if others else np.empty(0, np.int64)
        copies = self.calibration.midpoint + COPIES / self.calibration.slope
        keep = np.ones(len(one), bool)
        for start in range(0, len(one), 65_536):
            block = slice(start, start + 65_536)
            keep[block] = np.einsum("ij,ij->i", self.vectors[one[block]], self.vectors[other[block]]) < copies
        return one[keep].astype(np.int64), other[keep].astype(np.int64)


def _unit(sums: F32) -> F32:
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    result: F32 = (sums / np.maximum(length, 1e-12)).astype(np.float32)
    return result
