"""`FaceIndex.evaluation`: how well clusters and identification agree with labels."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from faceindex.api.reader import Reader
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.evaluation.calibration import Calibrated
    from faceindex.evaluation.decisions import PeopleEvaluation
    from faceindex.evaluation.labelled import Labelled
    from faceindex.evaluation.report import Evaluation
    from faceindex.evaluation.sweep import Sweep
    from faceindex.metrics import Similarities
    from faceindex.types import BoolArray

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
        found = evaluate(
            self._reader.table(),
            self._reader.vectors(),
            known,
            clustering,
            self._reader.embedder_spec.calibration,
            repeats=repeats,
            seed=seed,
        )
        return replace(found, names=self._reader.people().cluster_names())

    def people(self, *, named: bool = False, seed: int = 0) -> PeopleEvaluation:
        """Score clusters and identification by what the user said of single faces.

        The clusters satisfy the decisions, so all faces are clustered afresh in memory, with the method of
        the index and without any decision. These clusters are compared with the faces that the user
        confirmed. Identification gets each of these faces as if its picture were new: no face on the picture,
        or on a copy of it, is compared.

        Parameters
        ----------
        named : bool
            Also use the faces that were named with their cluster. The user has not looked at each of them,
            and they agree with the clusters of that time.
        seed : int
            The same decisions and seed give the same figures.

        Returns
        -------
        PeopleEvaluation

        Raises
        ------
        NotClustered
            If `FaceIndex.cluster` has not run.
        EmptyResultError
            If no face is confirmed.
        """
        from faceindex.api.people_evaluation import score_people

        if seed < 0:
            raise UsageError(f"`seed` is {seed}.", "Choose 0 or more.")
        return score_people(self._reader, named=named, seed=seed)

    def sweep(
        self, labels: str | os.PathLike[str] | Labelled | None = None, *, face: str | None = None
    ) -> Sweep:
        """Score the clusters at many constant thresholds. The stored clusters do not change.

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
        Uncalibrated
            If the embedder has no calibration: the thresholds are chosen by it.
        """
        from faceindex.evaluation.labelled import Labelled
        from faceindex.evaluation.sweep import sweep
        from faceindex.models import calibration_of

        known = labels if isinstance(labels, Labelled) else self.labelled(labels, face=face)
        calibration = calibration_of(self._reader.embedder_spec)
        return sweep(self._reader.table(), self._reader.vectors(), known, calibration)

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

    def calibrate(
        self, labels: str | os.PathLike[str] | Labelled | None = None, *, face: str | None = None
    ) -> Calibrated:
        """Calibrate the embedder on labelled photos. `models.save_calibration` stores the result.

        Parameters
        ----------
        labels, face
            As in `labelled`, or its result.

        Returns
        -------
        Calibrated

        Raises
        ------
        UsageError
            As `labelled`.
        EmptyResultError
            If there are too few people or photos.
        """
        from faceindex.evaluation.calibration import calibrate_with_labels
        from faceindex.evaluation.labelled import Labelled

        known = labels if isinstance(labels, Labelled) else self.labelled(labels, face=face)
        detector = self._reader.store.pins.detector
        return calibrate_with_labels(
            self._reader.table(), self._reader.vectors(), known, self._original(), detector=detector
        )

    def calibrate_without_labels(self) -> Calibrated:
        """Calibrate the embedder of the index by the photos that show several people.

        Two faces on one photo are different people. The result depends on the album: it is worse than with
        labels, and better than no calibration.

        Raises
        ------
        EmptyResultError
            If too few photos show several people, or too few people are on several photos.
        """
        from faceindex.evaluation.calibration import calibrate_without_labels

        return calibrate_without_labels(
            self._reader.table(),
            self._reader.vectors(),
            self._original(),
            detector=self._reader.store.pins.detector,
        )

    def _original(self) -> BoolArray:
        """Return for each face whether its photo is not a copy of another, earlier photo of the index."""
        import numpy as np

        table, names = self._reader.faces_and_photos()
        first: dict[bytes, int] = {}
        copies = [
            record.id
            for record in sorted(names.records, key=lambda record: record.id)
            if record.content_hash and first.setdefault(record.content_hash, record.id) != record.id
        ]
        return ~np.isin(table.photo, np.array(copies, np.int64))

    def threshold(self) -> float:
        """Return the similarity that two faces need: the one passed to `cluster`, else the calibrated one.

        Raises
        ------
        Uncalibrated
            If there is neither.
        """
        from faceindex.models import calibration_of

        clustering = self._reader.store.active_clustering()
        given = clustering.params.get("threshold") if clustering else None
        if isinstance(given, (int, float)):
            return float(given)
        return calibration_of(self._reader.embedder_spec).threshold(len(self._reader.table()))
