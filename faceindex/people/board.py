"""The clusters of an index while questions are asked: what resembles what, kept up to date after each answer.

The sums of all clusters are computed once. What a cluster resembles is computed when a question needs it.
After an answer, only the rows and columns of the clusters that it changed are computed again. So a million
faces in 40,000 clusters take seconds and about 200 MiB beside their vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.strangers import COPIES
from faceindex.models.spec import Calibration
from faceindex.store.decisions import Label
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["Board", "BoardState"]

_NEAR = 8  # nearest clusters that are kept of each cluster, and of each face in none
_PRODUCTS = 1 << 22  # similarities at a time, to bound memory
_VECTORS = 1 << 13  # vectors that are gathered at a time
_ALL_CLUSTERS = 1024  # clusters up to which all are compared with the faces in none; of more, those of people


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
    scales : (s,) float32
        Inverse lengths of the sums.
    loose : (m,) int64
        Positions of the faces in no cluster that may show somebody.
    loose_near, loose_similarity : (m, 8) int64, float32
        The nearest slots of each of these, padded with -1; of more than 1,024 clusters, the nearest ones of
        people.
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
        self.quality, self.taken, self.calibration = quality, taken, calibration
        self.said = said
        clusters = np.unique(said.cluster[said.cluster >= 0])
        self.ids: list[int] = clusters.tolist()
        self._slot = {cluster: i for i, cluster in enumerate(self.ids)}
        self.code = np.where(said.cluster >= 0, np.searchsorted(clusters, said.cluster), -1).astype(np.int64)
        self.sizes = np.bincount(self.code[self.code >= 0], minlength=len(self.ids)).astype(np.int64)
        self.sums = cluster_sums(self.vectors, self.code, np.arange(len(self.ids)))
        self.scales = _scales(self.sums)
        self.version = np.zeros(len(self.ids), np.int64)
        self._near = np.full((len(self.ids), _NEAR), -1, np.int64)
        self._near_similarity = np.full((len(self.ids), _NEAR), -1, np.float32)
        self._has_near = np.zeros(len(self.ids), bool)
        self._order = np.argsort(self.code, kind="stable").astype(np.int64)
        ends = int((self.code < 0).sum()) + np.cumsum(self.sizes)
        self._spans = np.stack([ends - self.sizes, ends], axis=1)
        self._members: dict[int, I64] = {}  # of slots that have changed
        self._photo_pairs = self._pairs_on_photos(photos)
        self.refresh()
        self.loose = np.empty(0, np.int64)
        self.loose_near = np.empty((0, _NEAR), np.int64)
        self.loose_similarity = np.empty((0, _NEAR), np.float32)
        self._compared = np.zeros(0, bool)
        self._update_loose(np.empty(0, np.int64))

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.ids)

    def slot(self, cluster: int) -> int:
        """Return the slot of a cluster, -1 if it has none."""
        return self._slot.get(cluster, -1)

    def members(self, slot: int) -> I64:
        """Return the positions of the faces of a slot, ascending."""
        if (changed := self._members.get(slot)) is not None:
            return changed
        begin, end = self._spans[slot].tolist()
        return self._order[begin:end]

    def centres(self, slots: I64) -> F32:
        """Return the centres of some slots: their sums, scaled to unit length, (k, d) float32."""
        centres: F32 = self.sums[slots] * self.scales[slots, None]
        return centres

    def similarities(self, vectors: F32) -> F32:
        """Return the similarity of vectors to the centres of all slots, (k, s) float32."""
        products: F32 = vectors @ self.sums.T
        products *= self.scales
        return products

    def near(self, slots: I64) -> I64:
        """Return the nearest other slots of some, (k, 8), by their centres; padded with -1."""
        missing = np.unique(slots[~self._has_near[slots]])
        if len(missing):
            found = self._nearest(self.centres(missing), missing)
            self._near[missing], self._near_similarity[missing] = found
            self._has_near[missing] = True
        near: I64 = self._near[slots]
        return near

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
        faces, before, after = faces[moved], self.code[faces][moved], after[moved]
        changed = np.unique(np.concatenate([before, after]))
        changed = changed[changed >= 0]
        for slot in changed.tolist():
            stayed = np.setdiff1d(self.members(slot), faces[before == slot], assume_unique=True)
            members = self._members[slot] = np.union1d(stayed, faces[after == slot])
            self.sizes[slot] = len(members)
            self.sums[slot] = self.vectors[members].sum(axis=0, dtype=np.float64)
        self.code[faces] = after
        self.version[changed] += 1
        self.scales[changed] = _scales(self.sums[changed])
        if len(changed):
            self._has_near[changed] = False
            rows = np.flatnonzero(self._has_near)
            near, similarity = self._near[rows], self._near_similarity[rows]
            self._replace(near, similarity, self.centres(rows), changed, changed)
            self._near[rows], self._near_similarity[rows] = near, similarity
        self.refresh()
        self._update_loose(changed)

    def _update_loose(self, changed: I64) -> None:
        """Find the faces in no cluster, and what resembles these, after some slots changed."""
        loose = self._loose()
        at = np.minimum(np.searchsorted(self.loose, loose), max(len(self.loose) - 1, 0))
        known = self.loose[at] == loose if len(self.loose) else np.zeros(len(loose), bool)
        near = np.full((len(loose), _NEAR), -1, np.int64)
        similarity = np.full((len(loose), _NEAR), -1, np.float32)
        near[known], similarity[known] = self.loose_near[at[known]], self.loose_similarity[at[known]]
        self.loose, self.loose_near, self.loose_similarity = loose, near, similarity
        compared = self.sizes > 0
        if self.slots > _ALL_CLUSTERS:
            compared &= self.person >= 0
        before = np.zeros(self.slots, bool)
        before[: len(self._compared)] = self._compared
        self._compared = compared
        stale, fresh = before & ~compared, compared & ~before
        stale[changed], fresh[changed] = True, compared[changed]
        gone, new = np.flatnonzero(stale), np.flatnonzero(fresh)
        old = np.flatnonzero(compared & before)
        for rows, columns in ((np.flatnonzero(known), new), (np.flatnonzero(~known), np.union1d(old, new))):
            step = max(1, min(_VECTORS, _PRODUCTS // max(len(columns), 1)))
            for start in range(0, len(rows), step) if len(columns) or len(gone) else ():
                block = rows[start : start + step]
                a, b = near[block], similarity[block]
                self._replace(a, b, self.vectors[loose[block]], gone, columns)
                near[block], similarity[block] = a, b

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
        keys = [self._items(said.rejected[:, 0]) * self._owners + said.rejected[:, 1]]
        for one, other in (self._photo_pairs, said.different.T):
            for a, b in ((one, other), (other, one)):
                inside = self.code[b] >= 0
                keys.append(self._items(a[inside]) * self._owners + self.owner[self.code[b[inside]]])
        self._apart = np.sort(np.concatenate(keys))
        # A cluster with a person may have several slots: what is apart from one is apart from the person.
        self._first_taken = np.full(self.slots, np.inf)
        dated = (self.code >= 0) & np.isfinite(self.taken)
        self._born = np.full(self.slots, -np.inf)
        if said.born:
            np.minimum.at(self._first_taken, self.code[dated], self.taken[dated])
            named = np.flatnonzero(self.person >= 0)
            self._born[named] = [said.born.get(person, -np.inf) for person in self.person[named].tolist()]

    def _items(self, faces: I64) -> I64:
        """Return the item of each face, (k,)."""
        code = self.code[faces]
        return np.where(code >= 0, code, self.slots + faces)

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
            apart |= taken < self._born[slots]
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
        self.scales = np.append(self.scales, np.float32(1))
        self._near = np.concatenate([self._near, np.full((1, _NEAR), -1, np.int64)])
        self._near_similarity = np.concatenate([self._near_similarity, np.full((1, _NEAR), -1, np.float32)])
        self._has_near = np.append(self._has_near, False)
        self._spans = np.concatenate([self._spans, np.zeros((1, 2), np.int64)])

    def _nearest(self, queries: F32, itself: I64) -> tuple[I64, F32]:
        """Return the nearest slots of some vectors, (k, 8), without the slots `itself`, (k,)."""
        near = np.full((len(queries), _NEAR), -1, np.int64)
        similarity = np.full((len(queries), _NEAR), -1, np.float32)
        kept = min(_NEAR, self.slots)
        step = max(1, _PRODUCTS // max(self.slots, 1))
        for start in range(0, len(queries), step) if kept else ():
            products = self.similarities(queries[start : start + step])
            products[:, self.sizes == 0] = -2
            own = itself[start : start + step]
            products[np.arange(len(own)), own] = -2
            best = np.argpartition(products, self.slots - kept, axis=1)[:, self.slots - kept :]
            values = np.take_along_axis(products, best, axis=1)
            near[start : start + step, :kept] = np.where(values > -2, best, -1)
            similarity[start : start + step, :kept] = np.maximum(values, -1)
        return near, similarity

    def _replace(self, near: I64, similarity: F32, rows: F32, gone: I64, columns: I64) -> None:
        """Forget how similar rows are to the slots `gone`, and keep the nearest with `columns`, in place."""
        stale = np.zeros(self.slots + 1, bool)
        stale[gone], stale[columns] = True, True
        lost = stale[near]  # -1 is the last one
        near[lost], similarity[lost] = -1, -1
        products = rows @ self.centres(columns).T
        products[:, self.sizes[columns] == 0] = -1
        names = np.where(products > -1, columns, -1)
        everything = np.concatenate([similarity, products], axis=1)
        names = np.concatenate([near, names], axis=1)
        width = everything.shape[1]
        best = np.argpartition(everything, width - _NEAR, axis=1)[:, width - _NEAR :]
        similarity[:] = np.take_along_axis(everything, best, axis=1)
        near[:] = np.take_along_axis(names, best, axis=1)

    def _pairs_on_photos(self, photos: I64) -> tuple[I64, I64]:
        """Return the pairs of faces on one photo that are no copies of each other."""
        order = np.argsort(photos, kind="stable")
        ordered = photos[order]
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
        for start in range(0, len(one), _VECTORS):
            block = slice(start, start + _VECTORS)
            keep[block] = np.einsum("ij,ij->i", self.vectors[one[block]], self.vectors[other[block]]) < copies
        return one[keep].astype(np.int64), other[keep].astype(np.int64)


def _scales(sums: F32) -> F32:
    lengths: F32 = np.linalg.norm(sums, axis=1)
    return (1 / np.maximum(lengths, 1e-12)).astype(np.float32)
