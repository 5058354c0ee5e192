"""Calibrate an embedder on a folder of labelled photos, by way of a temporary index."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.pipeline import Event, ignore_event

if TYPE_CHECKING:
    from faceindex.evaluation.calibration import Calibrated

__all__ = ["calibrate_on_folder"]


def calibrate_on_folder(
    embedder: str,
    folder: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    face: str | None = None,
    detector: str | None = None,
    device: str = "auto",
    on_event: Callable[[Event], None] = ignore_event,
) -> Calibrated:
    """Calibrate an embedder on labelled photos that are not in an index.

    Parameters
    ----------
    embedder : str
    folder : path-like
        Contains a folder for each person; its name is the label.
    labels : path-like, optional
        A CSV file with the labels, as in `IndexEvaluation.labelled`; then folders may have any name.
    face : {"largest", "center", "all"}, optional
        The face of a photo that its label applies to; None means the largest.
    detector : str, optional
        None means the default.
    device : str
        As in `FaceIndex.open`.
    on_event : callable
        Receives the events of indexing, as in `FaceIndex.add`.

    Raises
    ------
    UnknownModel, WeightsNotFound
    UsageError
        If there is no such folder, or it has no subfolders and `labels` is None.
    EmptyResultError
        If there are too few people or photos.
    """
    from faceindex.api.index import FaceIndex

    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Name a folder with a subfolder for each person.")
    if labels is None and not any(entry.is_dir() for entry in folder.iterdir()):
        raise UsageError(
            f"{folder} has no subfolders, so nothing says who is on its photos.",
            "Name a folder with a subfolder of photos for each person.",
        )
    with tempfile.TemporaryDirectory(prefix="faceindex-") as temporary:
        directory = Path(temporary) / "index"
        with FaceIndex.create(directory, detector=detector, embedder=embedder, device=device) as index:
            index.add([folder], on_event=on_event)
            return index.evaluation.calibrate(labels, face=face)
