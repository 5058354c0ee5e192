"""An indexed album with group photos, decisions, exports and galleries, to forget a person of it.

Every picture has one or two faces: a wide one shows a person on each half.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fakes
import numpy as np
from PIL import Image as PillowImage

from faceindex import FaceIndex
from faceindex.types import F32, Detections, Image

__all__ = [
    "NAME",
    "OLD_NAME",
    "SECRET",
    "AlbumDetector",
    "all_bytes",
    "make_album",
    "make_copies",
    "make_index",
    "vectors_of",
]

NAME, OLD_NAME, SECRET = "Zdenka Übermüller", "Zdenka Quast", "met at the seaside"
"""The person to forget: the name now and before, and a note."""

COLOURS = {"zdenka": (224, 32, 32), "ben": (32, 160, 32), "carla": (32, 64, 224)}


class AlbumDetector(fakes.FakeDetector):
    """Finds a face on a square picture, and two on a wide one."""

    def detect_one(self, image: Image) -> Detections:
        height, width = image.shape[:2]
        if width < 1.5 * height:
            return super().detect_one(image)
        lefts = np.array([width / 8, width * 5 / 8], np.float32)
        top, bottom = np.full(2, height / 4), np.full(2, height * 3 / 4)
        boxes = np.stack([lefts, top, lefts + width / 4, bottom], axis=1)
        return Detections(
            boxes.astype(np.float32), np.full((2, 5, 2), np.nan, np.float32), np.array([0.9, 0.8], np.float32)
        )


def make_album(folder: Path) -> None:
    """Write three photos of each person, two of Zdenka with Ben, and a copy of one of Zdenka's."""
    for name, colour in COLOURS.items():
        for number in range(3):
            fakes.make_photo(folder / f"{name[0]}{number}.png", colour, mark=number)
    for number in range(2):
        photo = PillowImage.new("RGB", (192, 96), COLOURS["zdenka"])
        photo.paste(COLOURS["ben"], (96, 0, 192, 96))
        photo.putpixel((0, 0), (number, 1, 1))
        photo.save(folder / f"group{number}.png")
    (folder / "again").mkdir()
    shutil.copy(folder / "z0.png", folder / "again" / "z0.png")


def make_index(directory: Path, album: Path) -> None:
    """Index and cluster the album, and name everybody."""
    with FaceIndex.open_or_create(directory, detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        of = {Path(face.photo).name: face.cluster for face in index if face.cluster is not None}
        index.people.name(OLD_NAME, clusters=[of["z1.png"]])
        index.people.name("Ben", clusters=[of["b0.png"]])
        index.people.note("Ben", f"cousin of {NAME}")
        index.people.confirm([face.face for face in index if face.person == OLD_NAME][:1])
        index.people.rename(OLD_NAME, NAME)
        index.people.born(NAME, "1961-05-04")
        index.people.note(NAME, SECRET)
        ben, zdenka = (next(f.face for f in index if f.person == name) for name in ("Ben", NAME))
        index.people.different([ben], [zdenka])
        index.people.name("Carla", clusters=[of["c0.png"]])
        index.people.undo()
        index._store.update_hnsw(always=True)


def make_copies(directory: Path, folder: Path) -> None:
    """Write every kind of export, and galleries."""
    folder.mkdir()
    with FaceIndex.open(directory) as index:
        index.export.gallery(folder / "gallery")
        index.export.gallery(folder / "copied", copy=True)
        index.export.crops(folder / "crops")
        index.export.crops(folder / "crops.zip", aligned=True)
        index.export.clusters(folder / "people", folders=True)
        index.export.clusters(folder / "photos", photos=True)
        index.export.clusters(folder / "only.zip", people=[NAME])
        index.export.boxes(folder / "boxes.json")
        index.export.boxes(folder / "boxes.csv", format="csv-full")
        index.export.embeddings(folder / "embeddings.npz")
        index.export.embeddings(folder / "embeddings.csv")
        index.people.export(folder / "journal.jsonl")
        index.find.link(index.find(f"'{NAME}'"), folder / "found")


def vectors_of(index: FaceIndex, name: str) -> F32:
    """Return copies of the vectors of a person, (n, d) float32."""
    people = [face.person for face in index]
    rows = [row for row, person in zip(index.table().row.tolist(), people, strict=True) if person == name]
    return np.array(index._store.vectors(np.array(rows, np.int64)))


def all_bytes(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file below some folders with its content; symbolic links with their target."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                yield path, os.fsencode(os.readlink(path))  # noqa: PTH115
            elif path.is_file():
                yield path, path.read_bytes()
