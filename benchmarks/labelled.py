"""Labelled photographs as arrays: index a folder of folders, and say which face carries the label."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from faceindex import FaceIndex
from faceindex.types import F32, BoolArray

__all__ = ["Labelled", "add_data_argument", "load"]

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
    people: np.ndarray
    main: BoolArray


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, help="folder with people/ and lfw/")


def load(folder: Path, index: Path, which: Literal["largest", "central"]) -> Labelled:
    """Index a folder of one folder per person (or catch up), with default settings."""
    with FaceIndex.open_or_create(index) as faces:
        summary = faces.add([folder])
        rows = list(faces.faces())
        vectors = faces.vectors()
    main = np.zeros(len(rows), bool)
    best: dict[str, tuple[float, int]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for i, row in enumerate(rows):
        x1, y1, x2, y2 = row.box
        if which == "largest":
            rank = -(x2 - x1) * (y2 - y1)
        else:
            if row.path not in sizes:
                sizes[row.path] = _size(row.path)
            width, height = sizes[row.path]
            rank = ((x1 + x2 - width) ** 2 + (y1 + y2 - height) ** 2) / 4
        if row.path not in best or rank < best[row.path][0]:
            best[row.path] = (rank, i)
    main[[i for _, i in best.values()]] = True
    return Labelled(
        photos=summary.photos,
        paths=[row.path for row in rows],
        vectors=vectors,
        people=np.array([Path(row.path).parent.name for row in rows]),
        main=main,
    )


def _size(path: str) -> tuple[int, int]:
    from faceindex.images import probe, read

    width, height, _ = probe(read(path), path)
    return width, height
