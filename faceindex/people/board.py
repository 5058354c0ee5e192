"""The clusters of an index while questions are asked: what resembles what, kept up to date after each answer.

The sums of all clusters are computed once. What a cluster resembles is computed when a question needs it.
After an answer, only the rows and columns of the clusters that it changed are computed again. So a million
faces in 40,000 clusters take seconds. Positions and slots are kept as int32, and what is computed of all
faces is computed in blocks: that takes about 100 MiB beside the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.strangers import COPIES
from faceindex.models.spec import Calibration
from faceindex.store.decisions import Label
from faceindex.types import F32, F64, I32, I64, U8, BoolArray

__all__ = ["Board", "BoardState", "greatest"]

_NEAR = 8  # nearest clusters that are kept of each cluster, and of each face in none
_PRODUCTS = 1 << 22  # similarities at a time, to bound memory
_COMPARED = 1 << 20  # the same with some clusters, where names of clusters go with them
_SORTED = 1 << 17  # similarities of which the greatest are found at a time; their positions are int64
_VECTORS = 1 << 13  # vectors that are gathered at a time
_PAIRS = 1 << 16  # pairs of faces at a time
_ALL_CLUSTERS = 1024  # clusters up to which all are compared with the faces in none; of more, those of people


@dataclass(slots=True, eq=False)
class BoardState:
    """What the user said about n faces, and their clusters.

    Attributes
    ----------
    cluster : (n,) int32
        -1 for none.
    label : (n,) uint8
        Values of `faceindex.store.decisions.Label`.
    person : (n,) int32
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

    cluster: I32
    label: U8
    person: I32
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
    photos : (n,) int32 or int64
    quality : (n,) float32
    taken : (n,) float64
        Capture times in seconds, NaN where unknown.
    calibration : Calibration
    said : BoardState

    Attributes
    ----------
    ids : list of int
        The cluster of each slot; a slot whose cluster has ended is empty.
    code : (n,) int32
        The slot of each face; -1 for none.
    sums : (s, d) float32
        Sum of the vectors of each slot.
    sizes : (s,) int64
    scales : (s,) float32
        Inverse lengths of the sums.
    loose : (m,) int32
        Positions of the faces in no cluster that may show somebody.
    loose_near, loose_similarity : (m, 8) int32, float32
        The nearest slots of each of these, padded with -1; of more than 1,024 clusters, the nearest ones of
        people.
    version : (s,) int64
        Grows when the faces of the slot change.
    """

    def __init__(
        self,
        vectors: F32,
        photos: I32 | I64,
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
        self.code = np.searchsorted(clusters, said.cluster).astype(np.int32)
        self.code[said.cluster < 0] = -1
        self.sizes = np.bincount(self.code[self.code >= 0], minlength=len(self.ids)).astype(np.int64)
        self.sums = cluster_sums(self.vectors, self.code, np.arange(len(self.ids)))
        self.scales = _scales(self.sums)
        self.version = np.zeros(len(self.ids), np.int64)
        self._near = np.full((len(self.ids), _NEAR), -1, np.int32)
        self._near_similarity = np.full((len(self.ids), _NEAR), -1, np.float32)
        self._has_near = np.zeros(len(self.ids), bool)
        self._order = np.argsort(self.code, kind="stable").astype(np.int32)
        ends = int((self.code < 0).sum()) + np.cumsum(self.sizes)
        self._spans = np.stack([ends - self.sizes, ends], axis=1)
        self._members: dict[int, I32] = {}  # of slots that have changed
        self._photo_pairs = self._pairs_on_photos(photos)
        self.refresh()
        self.loose = np.empty(0, np.int32)
        self.loose_near = np.empty((0, _NEAR), np.int32)
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

    def members(self, slot: int) -> I32:
        """Return the positions of the faces of a slot, ascending."""
        if (changed := self._members.get(slot)) is not None:
            return changed
        begin, end = self._spans[slot].tolist()
        return self._order[begin:end]

    def centres(self, slots: I64) -> F32:
        """Return the centres of some slots: their sums, scaled to unit length, (k, d) float32."""
        centres: F32 = self.sums[slots] * self.scales[slots, None]
        return centres

    def compare(self, vectors: F32, faces: I32 | I64) -> F32:
        """Return the similarity of vectors, (k, d), to faces, (m,); (k, m) float32."""
        found = np.empty((len(vectors), len(faces)), np.float32)
        for start in range(0, len(faces), _VECTORS):
            block = slice(start, start + _VECTORS)
            found[:, block] = vectors @ self.vectors[faces[block]].T
        return found

    def centrality(self, slot: int) -> F32:
        """Return the similarity of the faces of a slot to its centre, in the order of `members`."""
        members, centre = self.members(slot), self.centres(np.array([slot]))[0]
        found = np.empty(len(members), np.float32)
        for start in range(0, len(members), _VECTORS):
            block = slice(start, start + _VECTORS)
            found[block] = self.vectors[members[block]] @ centre
        return found

    def similarities(self, vectors: F32) -> F32:
        """Return the similarity of vectors to the centres of all slots, (k, s) float32."""
        products: F32 = vectors @ self.sums.T
        products *= self.scales
        return products

    def near(self, slots: I64) -> I32:
        """Return the nearest other slots of some, (k, 8), by their centres; padded with -1."""
        missing = np.unique(slots[~self._has_near[slots]])
        if len(missing):
            found = self._nearest(self.centres(missing), missing)
            self._near[missing], self._near_similarity[missing] = found
            self._has_near[missing] = True
        near: I32 = self._near[slots]
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
            members = np.union1d(stayed, faces[after == slot]).astype(np.int32)
            self._members[slot] = members
            self.sizes[slot] = len(members)
            total = np.zeros(self.vectors.shape[1])
            for start in range(0, len(members), _VECTORS):
                total += self.vectors[members[start : start + _VECTORS]].sum(axis=0, dtype=np.float64)
            self.sums[slot] = total
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
        near = np.full((len(loose), _NEAR), -1, np.int32)
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
            step = max(1, min(_VECTORS, _COMPARED // max(len(columns), 1)))
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
        self._apart = self._keys_apart()
        # A cluster with a person may have several slots: what is apart from one is apart from the person.
        self._first_taken = np.full(self.slots, np.inf)
        self._born = np.full(self.slots, -np.inf)
        if said.born:
            for start in range(0, len(self.code), _PAIRS):
                code, taken = self.code[start : start + _PAIRS], self.taken[start : start + _PAIRS]
                dated = (code >= 0) & np.isfinite(taken)
                np.minimum.at(self._first_taken, code[dated], taken[dated])
            named = np.flatnonzero(self.person >= 0)
            self._born[named] = [said.born.get(person, -np.inf) for person in self.person[named].tolist()]

    def _keys_apart(self) -> I64:
        """Return the keys of items and the owners that these cannot show, ascending."""
        said = self.said
        pairs = [(*self._photo_pairs,), (*said.different.T,)]
        keys = np.empty(len(said.rejected) + 2 * sum(len(one) for one, _ in pairs), np.int64)
        end = len(said.rejected)
        keys[:end] = self._items(said.rejected[:, 0]) * self._owners + said.rejected[:, 1]
        for one, other in pairs:
            for a, b in ((one, other), (other, one)):
                for start in range(0, len(a), _PAIRS):
                    code = self.code[b[start : start + _PAIRS]]
                    inside = code >= 0
                    items = self._items(a[start : start + _PAIRS][inside])
                    found = items * self._owners + self.owner[code[inside]]
                    keys[end : end + len(found)] = found
                    end += len(found)
        keys = keys[:end]
        keys.sort()
        return keys

    def _items(self, faces: I32 | I64) -> I64:
        """Return the item of each face, (k,)."""
        code = self.code[faces]
        return np.where(code >= 0, code, self.slots + faces).astype(np.int64)

    def is_apart(self, items: I32 | I64, slots: I32 | I64) -> BoolArray:
        """Return whether items cannot show the owners of slots, both (k,).

        They have faces on one photo with a face of the owner, or the user said so, or they were taken before
        the person's birth.
        """
        keys = items.astype(np.int64) * self._owners + self.owner[slots]
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

    def _loose(self) -> I32:
        label = self.said.label
        nobody = (label == Label.STRANGER) | (label == Label.NOT_A_FACE)
        return np.flatnonzero((self.code < 0) & ~nobody).astype(np.int32)

    def _add_slot(self, cluster: int) -> None:
        self._slot[cluster] = len(self.ids)
        self.ids.append(cluster)
        self.sizes = np.append(self.sizes, 0)
        self.version = np.append(self.version, 0)
        self.sums = np.concatenate([self.sums, np.zeros((1, self.vectors.shape[1]), self.sums.dtype)])
        self.scales = np.append(self.scales, np.float32(1))
        self._near = np.concatenate([self._near, np.full((1, _NEAR), -1, np.int32)])
        self._near_similarity = np.concatenate([self._near_similarity, np.full((1, _NEAR), -1, np.float32)])
        self._has_near = np.append(self._has_near, False)
        self._spans = np.concatenate([self._spans, np.zeros((1, 2), np.int64)])

    def _nearest(self, queries: F32, itself: I64) -> tuple[I32, F32]:
        """Return the nearest slots of some vectors, (k, 8), without the slots `itself`, (k,)."""
        near = np.full((len(queries), _NEAR), -1, np.int32)
        similarity = np.full((len(queries), _NEAR), -1, np.float32)
        kept = min(_NEAR, self.slots)
        step = max(1, _PRODUCTS // max(self.slots, 1))
        for start in range(0, len(queries), step) if kept else ():
            products = self.similarities(queries[start : start + step])
            products[:, self.sizes == 0] = -2
            own = itself[start : start + step]
            products[np.arange(len(own)), own] = -2
            best = greatest(products, kept)
            values = np.take_along_axis(products, best, axis=1)
            near[start : start + step, :kept] = np.where(values > -2, best, -1)
            similarity[start : start + step, :kept] = np.maximum(values, -1)
        return near, similarity

    def _replace(self, near: I32, similarity: F32, rows: F32, gone: I64, columns: I64) -> None:
        """Forget how similar rows are to the slots `gone`, and keep the nearest with `columns`, in place."""
        stale = np.zeros(self.slots + 1, bool)
        stale[gone], stale[columns] = True, True
        lost = stale[near]  # -1 is the last one
        near[lost], similarity[lost] = -1, -1
        products = rows @ self.centres(columns).T
        products[:, self.sizes[columns] == 0] = -1
        names = np.where(products > -1, columns.astype(np.int32), np.int32(-1))
        everything = np.concatenate([similarity, products], axis=1)
        names = np.concatenate([near, names], axis=1)
        best = greatest(everything, _NEAR)
        similarity[:] = np.take_along_axis(everything, best, axis=1)
        near[:] = np.take_along_axis(names, best, axis=1)

    def _pairs_on_photos(self, photos: I32 | I64) -> tuple[I32, I32]:
        """Return the pairs of faces on one photo that are no copies of each other."""
        order = np.argsort(photos, kind="stable").astype(np.int32)
        ordered = photos[order]
        ones, others = [], []
        step = 1
        while step < len(order) and (same := np.flatnonzero(ordered[step:] == ordered[:-step])).size:
            ones.append(order[same])
            others.append(order[same + step])
            step += 1
        one = np.concatenate(ones) if ones else np.empty(0, np.int32)
        other = np.concatenate(others) if others else np.empty(0, np.int32)
        del order, ordered, ones, others
        copies = self.calibration.midpoint + COPIES / self.calibration.slope
        keep = np.ones(len(one), bool)
        for start in range(0, len(one), _VECTORS):
            block = slice(start, start + _VECTORS)
            keep[block] = np.einsum("ij,ij->i", self.vectors[one[block]], self.vectors[other[block]]) < copies
        return one[keep], other[keep]


def _scales(sums: F32) -> F32:
    lengths = np.empty(len(sums), np.float32)
    for start in range(0, len(sums), _VECTORS):
        lengths[start : start + _VECTORS] = np.linalg.norm(sums[start : start + _VECTORS], axis=1)
    return (1 / np.maximum(lengths, 1e-12)).astype(np.float32)


def greatest(values: F32, number: int) -> I32:
    """Return the columns of the greatest values of each row, (k, number), in no order."""
    found = np.empty((len(values), number), np.int32)
    first = values.shape[1] - number
    step = max(1, _SORTED // max(values.shape[1], 1))
    for start in range(0, len(values), step):
        block = slice(start, start + step)
        found[block] = np.argpartition(values[block], first, axis=1)[:, first:]
    return found
