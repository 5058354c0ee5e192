"""What the simulated person of `naming` can see: whose each face is, by the labels of the data."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from faceindex import FaceIndex
from faceindex.errors import FaceIndexError

STRANGER = ""
"""The name of everybody whom the person cannot name."""


def names_of_faces(directory: Path) -> dict[int, str]:
    """Return the name of each face of an index, `STRANGER` without a label.

    A photo beside a ``boxes.csv`` has the names of its boxes, matched to faces as `faceindex eval` does.
    In all other photos, the largest face is of the person that the folder is named for.
    """
    with FaceIndex.open(directory) as index:
        faces = list(index.faces())
        names = {face.face: STRANGER for face in faces}
        folders = {Path(face.path).parent for face in faces}
        boxes = {folder / "boxes.csv" for folder in folders if (folder / "boxes.csv").is_file()}
        sources = list(boxes)
        with tempfile.TemporaryDirectory() as temporary:
            portraits = Path(temporary, "portraits.csv")
            paths = {Path(face.path) for face in faces if Path(face.path).parent / "boxes.csv" not in boxes}
            with portraits.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["photo", "label"])
                rows.writerows([str(path), path.parent.name] for path in sorted(paths))
            if paths:
                sources.append(portraits)
            for source in sources:
                try:
                    labelled = index.evaluation.labelled(source)
                except FaceIndexError as error:
                    raise SystemExit(str(error)) from error
                positions = labelled.person_of_faces(len(faces)).tolist()
                for face, person in zip(index.table().face.tolist(), positions, strict=True):
                    if person >= 0:
                        names[face] = labelled.names[person]
    return names


def most_of(names: Iterable[str]) -> str:
    """Return the name that most have; of two, the one that comes first."""
    counts = Counter(names)
    return counts.most_common(1)[0][0] if counts else STRANGER
