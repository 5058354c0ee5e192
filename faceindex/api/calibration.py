"""Calibrate an embedder on a folder of labelled photos, by way of a temporary index."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import EmptyResultError, UsageError
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
    temporary: str | os.PathLike[str] | None = None,
    on_event: Callable[[Event], None] = ignore_event,
    should_stop: Callable[[], bool] = lambda: False,
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
    temporary : path-like, optional
        An empty folder for the temporary index, which the caller deletes. None means one that is made, and
        deleted at the end.
    on_event : callable
        Receives the events of indexing, as in `FaceIndex.add`.
    should_stop : callable
        Once it returns True, indexing stops after the current photos, and nothing is measured.

    Raises
    ------
    UnknownModel, WeightsNotFound
    UsageError
        If there is no such folder, or it has no subfolders and `labels` is None.
    EmptyResultError
        If there are too few people or photos, or `should_stop` returned True.
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
    with contextlib.ExitStack() as stack:
        if temporary is None:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="faceindex-"))
        directory = Path(temporary) / "index"
        index = stack.enter_context(
            FaceIndex.create(directory, detector=detector, embedder=embedder, device=device)
        )
        if index.add([folder], on_event=on_event, should_stop=should_stop).interrupted or should_stop():
            raise EmptyResultError(
                "Stopped before all photos were read, so nothing was measured.", "Run it again to start anew."
            )
        return index.evaluation.calibrate(labels, face=face)
