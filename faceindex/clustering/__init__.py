"""Clusterers: vectors and a neighbour graph in, labels out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from faceindex.models.spec import Calibration, ClustererSpec
from faceindex.types import F32, I64, Graph

__all__ = ["ClusterOptions", "Clusterer"]


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
        Constant least similarity, used instead of `calibration`.
    calibration : Calibration or None
        Calibration of the embedder that made the vectors.
    """

    seed: int = 0
    k: int | None = None
    threshold: float | None = None
    calibration: Calibration | None = None


class Clusterer(Protocol):
    """Interface of all clusterers. The registry builds one as ``Target(spec, options)``."""

    spec: ClustererSpec

    def fit(self, vectors: F32, graph: Graph | None, fixed: I64 | None = None) -> I64:
        """Cluster faces.

        Parameters
        ----------
        vectors : (n, d) float32
            Unit vectors.
        graph : Graph or None
            Neighbour graph of the same faces; required if ``spec.needs`` is ``"graph"``.
        fixed : (n,) int64, optional
            Faces with a label of 0 or above keep it. The other faces (-1) join these clusters or form
            new ones.

        Returns
        -------
        (n,) int64
            Labels of 0 and above. New clusters get ids above those in `fixed`.
        """
