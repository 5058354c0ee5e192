"""Labelled photographs as arrays: index a folder that has one folder per person."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from faceindex import FaceIndex
from faceindex.models import names, recommended
from faceindex.types import F32, BoolArray

__all__ = ["Labelled", "add_model_arguments", "load", "result_name"]

# The models that `index` chooses if their weights are there, as they are here.
DEFAULT_DETECTOR, DEFAULT_EMBEDDER = (spec.name for spec in recommended())


@dataclass(frozen=True)
class Labelled:
    """All faces of a labelled folder.

    Attributes
    ----------
    photos : int
        Number of photos, with and without faces.
    paths : list of str
        The photo of each face.
    vectors : (n, d) float32
    sharpness : (n,) float32
    people : (n,) str
        Name of the folder of each face's photo.
    main : (n,) bool
        Whether the face is the one that the label of its photo applies to.
    """

    photos: int
    paths: list[str]
    vectors: F32
    sharpness: F32
    people: np.ndarray
    main: BoolArray


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", default=DEFAULT_DETECTOR, choices=names("detector"))
    parser.add_argument("--embedder", default=DEFAULT_EMBEDDER, choices=names("embedder"))


def result_name(name: str, detector: str, embedder: str) -> str:
    """Return the name of a result, with the names of models that are not the defaults appended."""
    chosen = [m for m, d in ((detector, DEFAULT_DETECTOR), (embedder, DEFAULT_EMBEDDER)) if m != d]
    return "_".join([name, *chosen])


def load(
    folder: Path,
    index: Path,
    which: Literal["largest", "central"],
    *,
    detector: str = DEFAULT_DETECTOR,
    embedder: str = DEFAULT_EMBEDDER,
) -> Labelled:
    """Index a folder with default settings, or bring its index up to date, and read the faces.

    Parameters
    ----------
    folder : Path
        Contains one folder per person.
    index : Path
        Directory of the index.
    which : {"largest", "central"}
        The face of a photo that its label applies to.
    """
    with FaceIndex.open_or_create(index, detector=detector, embedder=embedder) as faces:
        summary = faces.add([folder])
        rows = list(faces.faces())
        vectors = faces.vectors()
        sharpness = faces.table().sharpness
        labelled = faces.evaluation.labelled(face="largest" if which == "largest" else "center")
    main = np.zeros(len(rows), bool)
    main[labelled.positions] = True
    return Labelled(
        photos=summary.photos,
        paths=[row.path for row in rows],
        vectors=vectors,
        sharpness=sharpness,
        people=np.array([Path(row.path).parent.name for row in rows]),
        main=main,
    )
