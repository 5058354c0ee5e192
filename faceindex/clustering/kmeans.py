"""KMeans by scikit-learn, for a known number of people."""

from __future__ import annotations

import numpy as np

from faceindex.clustering import ClusterOptions
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.errors import UsageError
from faceindex.models.spec import ClustererSpec
from faceindex.types import F32, I64, Graph

__all__ = ["MINIBATCH_ABOVE", "KMeans"]

_STARTS = 10
MINIBATCH_ABOVE = 20_000  # faces; full KMeans with ten starts takes minutes beyond


class KMeans:
    """KMeans by scikit-learn: k-means++ with ten starts, in mini-batches above 20,000 faces.

    Needs vectors and the number of clusters. Up to 20,000 faces, centroids are fitted only to faces that
    are similar enough to another face: otherwise a stranger who resembles nobody takes a centroid, and
    two people share one. Then every face joins the nearest centroid.

    If some faces have a fixed label, their means are the centroids, and the other faces join the nearest.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.seed = options.seed
        self.calibration = options.calibration
        if options.k is None:
            raise UsageError(
                "KMeans needs the number of clusters.",
                "Pass `k`, or pass `algorithm='chinese-whispers'`, which finds the number itself.",
            )
        if options.threshold is not None:
            raise UsageError(
                "KMeans does not use `threshold`.",
                "Leave out `threshold`, or pass `algorithm='chinese-whispers'`.",
            )
        if options.k < 1:
            raise UsageError(f"`k` is {options.k}.", "Choose 1 or more.")
        self.k = options.k

    def fit(self, vectors: F32, graph: Graph | None, fixed: I64 | None = None) -> I64:
        """See `Clusterer.fit`. The graph is not used."""
        if fixed is not None and (fixed >= 0).any():
            return _join_nearest(vectors, fixed)
        if self.k > len(vectors):
            raise UsageError(
                f"`k` is {self.k}, and there are only {len(vectors)} faces.",
                "Choose a smaller `k`, or index more photos.",
            )
        from sklearn.cluster import KMeans as Full
        from sklearn.cluster import MiniBatchKMeans

        model = (MiniBatchKMeans if len(vectors) > MINIBATCH_ABOVE else Full)(
            self.k, n_init=_STARTS, random_state=self.seed
        )
        labels = model.fit(self._similar_to_another(vectors)).predict(vectors)
        sizes = np.bincount(labels, minlength=self.k)
        rank = np.empty(self.k, np.int64)
        rank[np.argsort(-sizes, kind="stable")] = np.arange(self.k)
        result: I64 = rank[labels]
        return result

    def _similar_to_another(self, vectors: F32) -> F32:
        """Return the vectors that are similar enough to another; all if there are too few or too many."""
        if self.calibration is None or len(vectors) > MINIBATCH_ABOVE:
            return vectors
        _, similarities = exact_neighbours(vectors, 1)
        similar = vectors[similarities.max(axis=1, initial=-1.0) >= self.calibration.threshold(len(vectors))]
        return similar if len(similar) >= self.k else vectors


def _join_nearest(vectors: F32, fixed: I64) -> I64:
    """Give each face without a fixed label (-1) the label of the nearest centroid."""
    labels: I64 = fixed.copy()
    ids, codes = np.unique(fixed[fixed >= 0], return_inverse=True)
    sums = np.zeros((len(ids), vectors.shape[1]), np.float64)
    np.add.at(sums, codes, vectors[fixed >= 0])
    centroids = (sums / np.bincount(codes)[:, None]).astype(np.float32)
    new = np.flatnonzero(fixed < 0)
    # argmin |v - c|^2 over c
    offset = 0.5 * (centroids**2).sum(axis=1)
    nearest = np.argmax(vectors[new] @ centroids.T - offset, axis=1)
    labels[new] = ids[nearest]
    return labels
