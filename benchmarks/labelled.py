"""Labelled photographs as arrays: index a folder of folders, and say which face carries the label."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from faceindex import FaceIndex
from faceindex.models import DEFAULT_DETECTOR, DEFAULT_EMBEDDER, names
from faceindex.types import F32, BoolArray

__all__ = ["Labelled", "add_data_argument", "add_model_arguments", "load", "of_models"]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Labelled:
    """All faces of a labelled folder.

    `people` names the folder of each face's photo; `main` marks the face of each photo that the
    label is about.
    """

    photos: int
    paths: list[str]
    vectors: F32
    sharpness: F32
    people: np.ndarray
    main: BoolArray


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, help="folder with people/ and lfw/")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", default=DEFAULT_DETECTOR, choices=names("detector"))
    parser.add_argument("--embedder", default=DEFAULT_EMBEDDER, choices=names("embedder"))


def of_models(name: str, detector: str, embedder: str) -> str:
    """The name of a result; says which models unless they are the defaults."""
    others = [m for m, d in ((detector, DEFAULT_DETECTOR), (embedder, DEFAULT_EMBEDDER)) if m != d]
    return "_".join([name, *others])


def load(
    folder: Path,
    index: Path,
    which: Literal["largest", "central"],
    *,
    detector: str = DEFAULT_DETECTOR,
    embedder: str = DEFAULT_EMBEDDER,
) -> Labelled:
    """Index a folder of one folder per person (or catch up), with default settings."""
    with FaceIndex.open_or_create(index, detector=detector, embedder=embedder) as faces:
        summary = faces.add([folder])
        rows = list(faces.faces())
        vectors = faces.vectors()
        sharpness = faces.table().sharpness
        labelled = faces.labelled(face="largest" if which == "largest" else "center")
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
