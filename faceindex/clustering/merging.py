"""Merge clusters that show one person: agglomerative clustering by the average similarity of their faces."""

from __future__ import annotations

import heapq

import numpy as np

from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.chinese_whispers import unique_labels
from faceindex.clustering.constrained import ClusterConstraints
from faceindex.clustering.constraints import Constraints
from faceindex.clustering.same_photo import PhotoGroups, are_copies
from faceindex.compiled import compiled
from faceindex.models.spec import Calibration
from faceindex.types import F32, I64, Graph

__all__ = ["merge_clusters"]

# The score of a pair of clusters; above 0 they are merged. Chosen on one half of the people of shared/data:
# `benchmarks/albums.py` reports both halves, and `benchmarks/clusterers.py` leaves out each part.
_LIKENESS = 60.0  # log-odds per unit of likeness
_EVEN_LIKENESS = 0.82  # the likeness that counts neither for nor against
_EVIDENCE = 1.0  # weight of the evidence of the average similarity of their faces
_PRIOR = 1.0  # weight of the prior of one match among all clusters of several faces
# Log-odds against, per face of the smaller cluster that is on a photo with one of the larger. 10 gives the
# same clusters, but a likeness that is a little lower would merge the members of a band.
_TOGETHER = 20.0

_APART = 1e9  # shared photos that two clusters count as having which the user keeps apart

_PAIRS = 65_536  # compared at a time, to bound memory


def merge_clusters(
    vectors: F32,
    labels: I64,
    graph: Graph,
    groups: PhotoGroups,
    calibration: Calibration,
    strangers: float,
    *,
    elsewhere: int = 0,
    known: Constraints | None = None,
) -> I64:
    """Merge clusters greedily, the pair with the highest score first, while a score is above 0.

    The main part of the score is the *likeness* of two clusters: the average similarity between their faces,
    divided by that within the clusters (the geometric mean of the two). The average similarity of strangers
    is subtracted from each of these first. The likeness is 1 if the clusters are as similar to each other as
    each is in itself, however different the photos of a person are.

    The evidence of the average similarity counts too, with a prior of one match among all clusters. Photos
    with a face of both clusters count against.

    Parameters
    ----------
    vectors : (n, d) float32
    labels : (n,) int64
        0 and above. Clusters of one face are not merged.
    graph : Graph
        The result of `faceindex.clustering.same_photo.compete`, in which edges of positive weight between
        faces of one photo mark copies. Only clusters with an edge between their faces are merged.
    groups : PhotoGroups
    calibration : Calibration
    strangers : float
        Average similarity of two strangers.
    elsewhere : int
        Number of clusters of several faces in the rest of the index.
    known : Constraints or None
        What the user said, resolved. The clusters violate nothing of it, and neither do merged ones.

    Returns
    -------
    (n,) int64
        Labels; merged clusters have the label of one of them.
    """
    _, codes, sizes = unique_labels(labels)
    a, b = _linked_clusters(graph.indptr, graph.indices, codes, *_members(codes, sizes))
    if not len(a):
        return labels
    photos = _shared_photos(graph, groups, codes, sizes)
    apart = None if known is None else ClusterConstraints.build(codes, known)
    if apart is not None:
        photos = _with_apart(photos, apart.apart, len(sizes))
    clusters = _Clusters(vectors, codes, sizes, a, b, photos, calibration, strangers, elsewhere, apart)
    clusters.merge()
    merged: I64 = clusters.root[codes]
    return merged


def _members(codes: I64, sizes: I64) -> tuple[I64, I64]:
    """Return the nodes sorted by cluster, and the position of the first of each cluster and the end."""
    return np.argsort(codes, kind="stable"), np.concatenate([[0], np.cumsum(sizes)])


def _shared_photos(graph: Graph, groups: PhotoGroups, codes: I64, sizes: I64) -> tuple[I64, I64, F32]:
    """Count the pairs of faces on one photo that are in two clusters of several faces, without copies.

    Returns
    -------
    a, b : (m,) int64
        Clusters; each pair in both orders, sorted by a.
    counts : (m,) float32
    """
    if not len(groups):  # spares compiling, which takes a second in the first run
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    one, other = _pairs_on_photos(
        groups.indptr, groups.members, graph.indptr, graph.indices, graph.weights, codes, sizes
    )
    keys, counts = np.unique(one * len(sizes) + other, return_counts=True)
    return keys // len(sizes), keys % len(sizes), counts.astype(np.float32)


def _with_apart(photos: tuple[I64, I64, F32], apart: I64, n: int) -> tuple[I64, I64, F32]:
    """Add pairs of clusters that must not merge, as if they shared very many photos."""
    one, other = apart[apart[:, 0] != apart[:, 1]].T
    keys, place = np.unique(np.concatenate([photos[0] * n + photos[1], one * n + other]), return_inverse=True)
    counts = np.zeros(len(keys), np.float32)
    np.add.at(counts, place, np.concatenate([photos[2], np.full(len(one), _APART, np.float32)]))
    return keys // n, keys % n, counts


class _Clusters:
    """Clusters while they are merged.

    Attributes
    ----------
    root : (c,) int64
        The cluster that each cluster is part of now.
    """

    def __init__(
        self,
        vectors: F32,
        codes: I64,
        sizes: I64,
        a: I64,
        b: I64,
        photos: tuple[I64, I64, F32],
        calibration: Calibration,
        strangers: float,
        elsewhere: int,
        apart: ClusterConstraints | None,
    ) -> None:
        n = len(sizes)
        self.root = np.arange(n)
        self.calibration = calibration
        self.prior = float(np.log(max(int((sizes > 1).sum()) + elsewhere, 1)))
        self.strangers = strangers
        self.sizes = sizes.astype(np.float64)
        ids = np.unique(np.concatenate([a, b]))
        self.place = np.full(n, -1, np.int64)
        self.place[ids] = np.arange(len(ids))
        self.sums = cluster_sums(vectors, codes, ids)
        self.inside = np.zeros(n)
        squares = np.einsum("ij,ij->i", self.sums, self.sums, dtype=np.float64)
        self.inside[ids] = (squares - self.sizes[ids]) / (self.sizes[ids] * (self.sizes[ids] - 1))
        self.pairs = a, b
        one, other = np.concatenate([a, b]), np.concatenate([b, a])
        order = np.argsort(one, kind="stable")
        self.linked = other[order]
        self.first = np.searchsorted(one[order], np.arange(n + 1))
        self.together, self.counts = photos[1], photos[2]
        self.first_together = np.searchsorted(photos[0], np.arange(n + 1))
        # Of merged clusters: the clusters they are linked to, and those on the same photos with their counts.
        self.own_linked: dict[int, I64] = {}
        self.own_together: dict[int, tuple[I64, F32]] = {}
        self.version = np.zeros(n, np.int64)
        self.constrained = apart is not None
        if apart is not None:
            self.person, self.born, self.taken = apart.person, apart.born, apart.taken

    def merge(self) -> None:
        """Merge pairs while one has a score above 0, and update `root`."""
        heap = self._initial_pairs()
        heapq.heapify(heap)
        while heap:
            _, a, b, version_a, version_b = heapq.heappop(heap)
            if self.version[a] != version_a or self.version[b] != version_b:
                continue
            self._join(a, b)
            others = self._linked_to(a)
            if not len(others):
                continue
            scores = self._scores(a, others)
            for other, score in zip(others[scores > 0].tolist(), scores[scores > 0].tolist(), strict=True):
                low, high = min(a, other), max(a, other)
                heapq.heappush(heap, (-score, low, high, int(self.version[low]), int(self.version[high])))

    def _initial_pairs(self) -> list[tuple[float, int, int, int, int]]:
        a, b = self.pairs
        together = np.zeros(len(a), np.float32)
        n = len(self.root)
        keys = np.repeat(np.arange(n), np.diff(self.first_together)) * n + self.together
        if len(keys):
            at = np.minimum(np.searchsorted(keys, a * n + b), len(keys) - 1)
            together = np.where(keys[at] == a * n + b, self.counts[at], np.float32(0))
        found = []
        for start in range(0, len(a), _PAIRS):
            block = slice(start, start + _PAIRS)
            products = np.einsum("ij,ij->i", self.sums[self.place[a[block]]], self.sums[self.place[b[block]]])
            scores = self._score(a[block], b[block], products, together[block])
            good = np.flatnonzero(scores > 0)
            rows = zip(scores[good].tolist(), a[start + good].tolist(), b[start + good].tolist(), strict=True)
            found += [(-score, one, other, 0, 0) for score, one, other in rows]
        return found

    def _scores(self, a: int, others: I64) -> F32:
        together = np.zeros(len(others), np.float32)
        which, counts = self._photos_with(a)
        if len(which):
            order = np.argsort(others)
            at = np.minimum(np.searchsorted(others[order], which), len(others) - 1)
            hit = others[order][at] == which
            np.add.at(together, order[at[hit]], counts[hit])
        products = self.sums[self.place[others]] @ self.sums[self.place[a]]
        return self._score(np.full(len(others), a), others, products, together)

    def _score(self, a: I64, b: I64, products: F32, together: F32) -> F32:
        average = products / (self.sizes[a] * self.sizes[b])
        inside = np.maximum(self.inside[a] - self.strangers, 1e-6) * np.maximum(
            self.inside[b] - self.strangers, 1e-6
        )
        likeness = (average - self.strangers) / np.sqrt(inside)
        evidence = self.calibration.slope * (average - self.calibration.midpoint)
        score = (
            _LIKENESS * (likeness - _EVEN_LIKENESS)
            + _EVIDENCE * evidence
            - _PRIOR * self.prior
            - _TOGETHER * together / np.minimum(self.sizes[a], self.sizes[b])
        )
        if self.constrained:
            one, other = self.person[a], self.person[b]
            apart = (one >= 0) & (other >= 0) & (one != other)
            apart |= (self.taken[a] < self.born[b]) | (self.taken[b] < self.born[a])
            score[apart] = -1.0
        result: F32 = np.where(evidence > 0, score, -1.0).astype(np.float32)
        return result

    def _linked_to(self, a: int) -> I64:
        linked = self.own_linked.get(a)
        if linked is None:
            linked = self.linked[self.first[a] : self.first[a + 1]]
        roots = np.unique(self.root[linked])
        result: I64 = roots[roots != a]
        return result

    def _photos_with(self, a: int) -> tuple[I64, F32]:
        found = self.own_together.get(a)
        if found is None:
            block = slice(self.first_together[a], self.first_together[a + 1])
            found = self.together[block], self.counts[block]
        return self.root[found[0]], found[1]

    def _join(self, a: int, b: int) -> None:
        """Make cluster b a part of cluster a."""
        linked = np.concatenate([self._linked_to(a), self._linked_to(b)])
        (with_a, count_a), (with_b, count_b) = self._photos_with(a), self._photos_with(b)
        self.own_together[a] = np.concatenate([with_a, with_b]), np.concatenate([count_a, count_b])
        self.own_linked[a] = linked[(linked != a) & (linked != b)]
        self.sums[self.place[a]] += self.sums[self.place[b]]
        size = self.sizes[a] + self.sizes[b]
        square = float(np.dot(self.sums[self.place[a]], self.sums[self.place[a]]))
        self.sizes[a] = size
        self.inside[a] = (square - size) / (size * (size - 1))
        self.root[self.root == b] = a
        if self.constrained:
            self.person[a] = max(self.person[a], self.person[b])
            self.born[a] = max(self.born[a], self.born[b])
            self.taken[a] = min(self.taken[a], self.taken[b])
        self.version[a] += 1
        self.version[b] += 1


@compiled(nogil=True)
def _linked_clusters(indptr, indices, codes, members, first):  # type: ignore[no-untyped-def]
    """Return the pairs a < b of clusters of several nodes with an edge between them, each once.

    ``members[first[c]:first[c + 1]]`` are the nodes of cluster c.
    """
    n = len(first) - 1
    found = 0
    a, b = np.empty(0, np.int64), np.empty(0, np.int64)
    for filling in (False, True):
        if filling:
            a, b = np.empty(found, np.int64), np.empty(found, np.int64)
        found = 0
        seen = np.full(n, -1, np.int32)
        for one in range(n):
            if first[one + 1] - first[one] == 1:
                continue
            for i in members[first[one] : first[one + 1]]:
                for j in indices[indptr[i] : indptr[i + 1]]:
                    other = codes[j]
                    if other <= one or seen[other] == one or first[other + 1] - first[other] == 1:
                        continue
                    seen[other] = one
                    if filling:
                        a[found], b[found] = one, other
                    found += 1
    return a, b


@compiled(nogil=True)
def _pairs_on_photos(members_of, members, indptr, indices, weights, codes, sizes):  # type: ignore[no-untyped-def]
    """Return the clusters of each pair of faces on one photo, if they differ and both have several faces.

    Copies are left out.
    """
    found = 0
    a, b = np.empty(0, np.int64), np.empty(0, np.int64)
    for filling in (False, True):
        if filling:
            a, b = np.empty(found, np.int64), np.empty(found, np.int64)
        found = 0
        for g in range(len(members_of) - 1):
            for p in range(members_of[g], members_of[g + 1]):
                i = members[p]
                if sizes[codes[i]] < 2:
                    continue
                for q in range(members_of[g], members_of[g + 1]):
                    j = members[q]
                    if p == q or codes[i] == codes[j] or sizes[codes[j]] < 2:
                        continue
                    if are_copies(indptr, indices, weights, i, j):
                        continue
                    if filling:
                        a[found], b[found] = codes[i], codes[j]
                    found += 1
    return a, b
