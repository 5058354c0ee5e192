"""KMeans by scikit-learn, for a known number of people."""

from __future__ import annotations

import warnings

import numpy as np

from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.chinese_whispers import number_by_size
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.errors import UsageError
from faceindex.models.spec import ClustererSpec
from faceindex.types import F32, I64

__all__ = ["MINIBATCH_ABOVE", "KMeans"]

_STARTS = 10
MINIBATCH_ABOVE = 20_000  # faces; full KMeans with ten starts takes minutes beyond


class KMeans:
    """KMeans by scikit-learn: k-means++ with ten starts, in mini-batches above 20,000 faces.

    Needs vectors and the number of clusters. Up to 20,000 faces, centroids are fitted only to faces that
    are similar enough to another face: otherwise a stranger who resembles nobody takes a centroid, and
    two people share one. Then every face joins the nearest centroid.

    Copies of a face are always in one cluster, so there are fewer clusters than `k` if there are fewer
    different faces.

    If the faces had as many clusters before, their means are the only start: added photos cost little time,
    and move the centroids.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.seed = options.seed
        self.calibration = options.calibration
        if options.k is None:
            raise UsageError(
                "KMeans needs the number of clusters.",
                "Pass `k`, or pass `algorithm='album'`, which finds the number itself.",
            )
        if options.threshold is not None:
            raise UsageError(
                "KMeans does not use `threshold`.",
                "Leave out `threshold`, or pass `algorithm='album'`.",
            )
        if options.k < 1:
            raise UsageError(f"`k` is {options.k}.", "Choose 1 or more.")
        self.k = options.k

    def fit(self, album: Album) -> I64:
        """See `Clusterer.fit`."""
        vectors = album.vectors
        if self.k > len(vectors) and album.constraints is not None:
            return np.arange(len(vectors))  # the other faces show nobody, by the user's word
        if self.k > len(vectors):
            raise UsageError(
                f"`k` is {self.k}, and there are only {len(vectors)} faces.",
                "Choose a smaller `k`, or index more photos.",
            )
        from sklearn.cluster import KMeans as Full
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.exceptions import ConvergenceWarning

        known, codes = np.unique(album.previous[album.previous >= 0], return_inverse=True)
        again = len(known) == self.k  # start from the means of the previous clusters: one start is enough
        init = _means(vectors[album.previous >= 0], codes, self.k) if again else "k-means++"
        model = (MiniBatchKMeans if len(vectors) > MINIBATCH_ABOVE else Full)(
            self.k, init=init, n_init=1 if again else _STARTS, random_state=self.seed
        )
        with warnings.catch_warnings():  # copies of a photo can leave fewer different vectors than `k`
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = model.fit(self._similar_to_another(vectors)).predict(vectors)
        return number_by_size(labels.astype(np.int64))

    def _similar_to_another(self, vectors: F32) -> F32:
        """Return the vectors that are similar enough to another; all if there are too few or too many."""
        if self.calibration is None or len(vectors) > MINIBATCH_ABOVE:
            return vectors
        _, similarities = exact_neighbours(vectors, 1)
        similar = vectors[similarities.max(axis=1, initial=-1.0) >= self.calibration.threshold(len(vectors))]
        return similar if len(similar) >= self.k else vectors


def _means(vectors: F32, codes: I64, k: int) -> F32:
    """Return the mean of the vectors of each code in ``0..k-1``, (k, d) float32."""
    sums = np.zeros((k, vectors.shape[1]), np.float64)
    np.add.at(sums, codes, vectors)
    means: F32 = (sums / np.bincount(codes, minlength=k)[:, None]).astype(np.float32)
    return means
