"""`FaceIndex.evaluation`: how well clusters and identification agree with labels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from faceindex.api.reader import Reader
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.evaluation.labelled import Labelled
    from faceindex.evaluation.report import Evaluation
    from faceindex.evaluation.sweep import Sweep
    from faceindex.metrics import Similarities

__all__ = ["IndexEvaluation"]


class IndexEvaluation:
    """Scores an index on labelled photos. Never changes the index.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def labelled(self, labels: str | os.PathLike[str] | None = None, *, face: str | None = None) -> Labelled:
        """Label the faces of the index with people's names.

        Parameters
        ----------
        labels : path-like, optional
            A CSV file; see `faceindex.evaluation.labels.labels_from_csv`. None means that the name of
            the folder that contains a photo is its label.
        face : {"largest", "center", "all"}, optional
            The face of a photo that its label applies to; None means the largest. Not allowed for labels
            of single faces.

        Returns
        -------
        Labelled

        Raises
        ------
        UsageError
            If the file cannot be used, or `face` is invalid.
        EmptyResultError
            If no face has a label.
        """
        from faceindex.evaluation.labelled import label_faces

        return label_faces(*self._reader.faces_and_photos(), labels, face)

    def score(
        self,
        labels: str | os.PathLike[str] | Labelled | None = None,
        *,
        face: str | None = None,
        repeats: int = 10,
        seed: int = 0,
    ) -> Evaluation:
        """Score clusters and identification.

        Parameters
        ----------
        labels, face
            As in `labelled`, or its result.
        repeats : int
            Random draws of strangers for the open-set figures.
        seed : int
            The same faces, labels and seed give the same figures.

        Returns
        -------
        Evaluation

        Raises
        ------
        NotClustered
            If `FaceIndex.cluster` has not run.
        UsageError, EmptyResultError
            As `labelled`.
        """
        from faceindex.evaluation.labelled import Labelled
        from faceindex.evaluation.report import evaluate

        if repeats < 1:
            raise UsageError(f"`repeats` is {repeats}.", "Choose 1 or more.")
        if seed < 0:
            raise UsageError(f"`seed` is {seed}.", "Choose 0 or more.")
        clustering = self._reader.clustering()
        known = labels if isinstance(labels, Labelled) else self.labelled(labels, face=face)
        return evaluate(
            self._reader.table(),
            self._reader.vectors(),
            known,
            clustering,
            self._reader.embedder_spec.calibration,
            repeats=repeats,
            seed=seed,
        )

    def sweep(
        self, labels: str | os.PathLike[str] | Labelled | None = None, *, face: str | None = None
    ) -> Sweep:
        """Score Chinese Whispers at many constant thresholds. The stored clusters do not change.

        Parameters
        ----------
        labels, face
            As in `labelled`, or its result.

        Returns
        -------
        Sweep

        Raises
        ------
        UsageError, EmptyResultError
            As `labelled`.
        """
        from faceindex.evaluation.labelled import Labelled
        from faceindex.evaluation.sweep import sweep

        known = labels if isinstance(labels, Labelled) else self.labelled(labels, face=face)
        return sweep(
            self._reader.table(), self._reader.vectors(), known, self._reader.embedder_spec.calibration
        )

    def similarities(self, labelled: Labelled | None = None, *, seed: int = 0) -> Similarities:
        """Sample the similarities of pairs of faces.

        Parameters
        ----------
        labelled : Labelled, optional
            Adds pairs with the same label and with different labels.
        seed : int
            Seed of the sample.

        Returns
        -------
        Similarities

        Raises
        ------
        EmptyResultError
            If the index has no faces.
        """
        from faceindex.evaluation.report import similarities

        return similarities(self._reader.table(), self._reader.vectors(), labelled, seed=seed)

    def threshold(self) -> float:
        """Return the similarity that two faces need: the one passed to `cluster`, else the calibrated one."""
        clustering = self._reader.store.active_clustering()
        given = clustering.params.get("threshold") if clustering else None
        if isinstance(given, (int, float)):
            return float(given)
        return self._reader.embedder_spec.calibration.threshold(len(self._reader.table()))
