"""Clusterers: the faces of an album in, labels out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from faceindex.clustering.constraints import Constraints
from faceindex.models.spec import Calibration, ClustererSpec
from faceindex.types import F32, I64, BoolArray, Graph

__all__ = ["Album", "ClusterOptions", "Clusterer"]


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Options of clustering. Each clusterer uses those that apply to it.

    Attributes
    ----------
    seed : int
        The same input and seed give the same labels.
    k : int or None
        Number of clusters, for clusterers that need it.
    threshold : float or None
        Constant least similarity, used instead of the one that `calibration` gives.
    calibration : Calibration or None
        Calibration of the embedder that made the vectors.
    """

    seed: int = 0
    k: int | None = None
    threshold: float | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class Album:
    """Faces to cluster, and the evidence on them.

    Attributes
    ----------
    vectors : (n, d) float32
        Unit vectors; may be a memory map.
    photos : (n,) int64
        The photo of each face; any numbers.
    good : (n,) bool
        Whether each face shows well who it is (`faceindex.clustering.incremental.good_faces`). The others are
        poor.
    graph : Graph or None
        Neighbour graph of the faces; None unless ``spec.needs`` is ``"graph"``. Its weights are log-odds that
        two faces show one person (`faceindex.clustering.graph.log_odds`). If the embedder has no calibration,
        they are similarities minus `ClusterOptions.threshold`.
    previous : (n,) int64
        Cluster of each face in the previous clustering, -1 for none. A clusterer may start from it to be
        faster, but need not keep it.
    size : int
        Number of faces of the whole index; these may be a part of it. Priors depend on it.
    elsewhere : (k,) int64 or None
        Sizes of the clusters in the rest of the index; None if these are all faces.
    constraints : Constraints or None
        What the user said about these faces, resolved (`faceindex.clustering.constraints.resolve`), and
        without faces that are nobody. A clusterer may use it for better clusters. It need not satisfy it:
        that is done later.
    strangers : float or None
        Average similarity of two strangers in the whole index
        (`faceindex.clustering.same_photo.strangers_of_album`); None if these faces show it best.
    """

    vectors: F32
    photos: I64
    good: BoolArray
    graph: Graph | None
    previous: I64
    size: int
    elsewhere: I64 | None = None
    constraints: Constraints | None = None
    strangers: float | None = None

    def __len__(self) -> int:
        return len(self.photos)


class Clusterer(Protocol):
    """Interface of all clusterers. The registry builds one as ``Target(spec, options)``."""

    spec: ClustererSpec

    def fit(self, album: Album) -> I64:
        """Cluster faces.

        Parameters
        ----------
        album : Album
            n faces.

        Returns
        -------
        (n,) int64
            Labels: 0 and above, or -1 for faces in no cluster. Any numbers: clusters get their ids later, by
            their overlap with the previous ones.
        """
