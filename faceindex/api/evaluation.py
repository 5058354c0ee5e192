"""How `FaceIndex` is compared with labels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from faceindex.api.reading import Reading
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.evaluation.report import Evaluation, Labelled, Sweep
    from faceindex.metrics import Similarities

__all__ = ["Evaluating"]


class Evaluating(Reading):
    """How well an index does, by somebody's word. Never changes it."""

    def threshold(self) -> float:
        """The similarity that two faces need: the one `cluster` was given, else the calibrated one."""
        clustering = self.clustering
        given = clustering.params.get("threshold") if clustering else None
        if isinstance(given, (int, float)):
            return float(given)
        return self._embedder_spec.calibration.threshold(len(self.table()))

    def labelled(self, labels: str | os.PathLike[str] | None = None, *, face: str | None = None) -> Labelled:
        """Say who the faces are, by somebody's word.

        Parameters
        ----------
        labels : path-like, optional
            A CSV file, as `faceindex.evaluation.labels.labels_from_csv` reads it. None takes the name of the folder
            that holds a photo.
        face : {"largest", "center", "all"}, optional
            Which face of a photo its label is about; None means the largest. Not with labels of faces.

        Returns
        -------
        Labelled

        Raises
        ------
        UsageError
            If the file cannot be used, or `face` is none of these.
        EmptyResultError
            If no face has a label.
        """
        from faceindex.evaluation.report import label_faces

        return label_faces(*self._catalog(), labels, face)

    def evaluate(
        self,
        labels: str | os.PathLike[str] | Labelled | None = None,
        *,
        face: str | None = None,
        repeats: int = 10,
        seed: int = 0,
    ) -> Evaluation:
        """Compare clusters and identification with labels.

        Parameters
        ----------
        labels, face
            As of `labelled`, or its result.
        repeats : int
            Draws of strangers for the open-set figures.
        seed : int
            Same faces, labels and seed, same figures.

        Returns
        -------
        Evaluation

        Raises
        ------
        NotClustered
            If `cluster` has not run.
        UsageError, EmptyResultError
            As `labelled`.
        """
        from faceindex.evaluation.report import Labelled, evaluate

        if repeats < 1:
            raise UsageError(f"--repeats {repeats} is not a number of draws.", "Choose 1 or more.")
        if seed < 0:
            raise UsageError(f"--seed {seed} cannot be used.", "Choose 0 or more.")
        clustering = self.require_clusters()
        known = labels if isinstance(labels, Labelled) else self.labelled(labels, face=face)
        return evaluate(
            self.table(),
            self.vectors(),
            known,
            clustering,
            self._embedder_spec.calibration,
            repeats=repeats,
            seed=seed,
        )

    def sweep(
        self, labels: str | os.PathLike[str] | Labelled | None = None, *, face: str | None = None
    ) -> Sweep:
        """Score Chinese Whispers at many constant thresholds. The stored clusters stay as they are.

        Parameters
        ----------
        labels, face
            As of `labelled`, or its result.

        Returns
        -------
        Sweep

        Raises
        ------
        UsageError, EmptyResultError
            As `labelled`.
        """
        from faceindex.evaluation.report import Labelled, sweep

        known = labels if isinstance(labels, Labelled) else self.labelled(labels, face=face)
        return sweep(self.table(), self.vectors(), known, self._embedder_spec.calibration)

    def similarities(self, labelled: Labelled | None = None, *, seed: int = 0) -> Similarities:
        """Similarities of pairs of faces, drawn at random where there are many.

        Parameters
        ----------
        labelled : Labelled, optional
            Adds pairs with the same and with different labels.
        seed : int

        Returns
        -------
        Similarities

        Raises
        ------
        EmptyResultError
            If there are no faces.
        """
        from faceindex.evaluation.report import similarities

        return similarities(self.table(), self.vectors(), labelled, seed=seed)
