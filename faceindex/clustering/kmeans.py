"""KMeans by scikit-learn, for a known number of people."""

from __future__ import annotations

import numpy as np

from faceindex.clustering import ClusterOptions
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.errors import UsageError
from faceindex.models.spec import ClustererSpec
from faceindex.types import F32, I64, Graph

__all__ = ["KMeans"]

_STARTS = 10
_MINIBATCH_ABOVE = 20_000  # faces; full KMeans with ten starts takes minutes beyond


class KMeans:
    """The clusterer of the registry. Needs vectors and the number of clusters.

    k-means++ with ten starts; mini-batches above 20,000 faces. Below that, centroids are fitted to the
    faces that are similar enough to some other: a passer-by who is far from everybody would otherwise
    get a centroid of his own and leave two people to share one. Every face then joins the nearest.
    Faces with a fixed label define the centroids of their clusters, and the others join the nearest.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.seed = options.seed
        self.calibration = options.calibration
        if options.k is None:
            raise UsageError(
                "KMeans must be told the number of clusters.",
                "Pass --k N, or choose --algorithm chinese-whispers, which finds it itself.",
            )
        if options.threshold is not None:
            raise UsageError(
                "KMeans has no --threshold.", "Leave it out, or choose --algorithm chinese-whispers."
            )
        if options.k < 1:
            raise UsageError(f"--k {options.k} is not a number of clusters.", "Pass 1 or more.")
        self.k = options.k

    def fit(self, vectors: F32, graph: Graph | None, fixed: I64 | None = None) -> I64:
        """See `Clusterer.fit`; the graph is not used."""
        if fixed is not None and (fixed >= 0).any():
            return _join_nearest(vectors, fixed)
        if self.k > len(vectors):
            raise UsageError(
                f"--k {self.k} is more than the {len(vectors)} faces there are.",
                "Choose a smaller --k, or index more photos.",
            )
        from sklearn.cluster import KMeans as Full
        from sklearn.cluster import MiniBatchKMeans

        model = (MiniBatchKMeans if len(vectors) > _MINIBATCH_ABOVE else Full)(
            self.k, n_init=_STARTS, random_state=self.seed
        )
        labels = model.fit(self._core(vectors)).predict(vectors)
        sizes = np.bincount(labels, minlength=self.k)
        rank = np.empty(self.k, np.int64)
        rank[np.argsort(-sizes, kind="stable")] = np.arange(self.k)
        result: I64 = rank[labels]
        return result

    def _core(self, vectors: F32) -> F32:
        if self.calibration is None or len(vectors) > _MINIBATCH_ABOVE:
            return vectors
        _, similarities = exact_neighbours(vectors, 1)
        core = vectors[similarities.max(axis=1, initial=-1.0) >= self.calibration.threshold(len(vectors))]
        return core if len(core) >= self.k else vectors


def _join_nearest(vectors: F32, fixed: I64) -> I64:
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
