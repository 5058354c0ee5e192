"""Clusterers: a neighbour graph or vectors in, labels out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from faceindex.models.spec import Calibration, ClustererSpec
from faceindex.types import F32, I64, Graph

__all__ = ["ClusterOptions", "Clusterer"]


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What can be set about clustering; a clusterer takes what concerns it.

    Attributes
    ----------
    seed : int
        Same input and seed give the same labels.
    k : int or None
        Number of clusters, for clusterers that must be told.
    threshold : float or None
        A constant least similarity instead of `calibration`.
    calibration : Calibration or None
        What a similarity says, for the embedder that made the vectors.
    """

    seed: int = 0
    k: int | None = None
    threshold: float | None = None
    calibration: Calibration | None = None


class Clusterer(Protocol):
    """What every clusterer offers. Built by ``Target(spec, options)``."""

    spec: ClustererSpec

    def fit(self, vectors: F32, graph: Graph | None, fixed: I64 | None = None) -> I64:
        """Group the faces.

        Parameters
        ----------
        vectors : (n, d) float32
            Unit vectors.
        graph : Graph or None
            Over the same faces, when ``spec.needs`` is ``"graph"``.
        fixed : (n,) int64, optional
            Labels of 0 and above are kept as they are, and the other faces (-1) join them or
            form clusters of their own.

        Returns
        -------
        (n,) int64
            Labels of 0 and above. A cluster that is not in `fixed` gets an id above all of
            those in `fixed`.
        """
