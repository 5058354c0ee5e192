"""An index of made-up pictures, and what the user said about their faces.

Every picture has up to three faces of four people, at places that do not depend on the version of the models.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from faceindex import FaceIndex
from faceindex.clustering.constraints import violations
from faceindex.people.constraints import all_constraints
from faceindex.people.dates import first_second
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32, Faces

__all__ = [
    "PINS",
    "Key",
    "check_constraints",
    "make_faces",
    "make_index",
    "make_photo",
    "place_of",
    "places_of_faces",
    "said_by_user",
    "year_of",
]

DIMENSION = 16
TRUE_PEOPLE = 4
WIDTH, HEIGHT = 1000, 800
PINS = Pins("fake", "fake", DIMENSION, {"min_face": 20.0})

Key = tuple[int, int]
"""A picture, and the place of a face on it."""


def make_index(directory: Path, pictures: int) -> None:
    """Write an index of some pictures, without clusters."""
    with Store.create(directory, PINS) as store:
        root = store.add_root("/photos", "photos").id
        store.commit([make_photo(root, f"{picture}.jpg", picture, 0) for picture in range(pictures)])


def people_on(picture: int) -> list[int]:
    """Return the true person at each place of a picture."""
    rng = np.random.default_rng([picture, 5])
    return list(rng.permutation(TRUE_PEOPLE)[: rng.integers(1, 4)])


def year_of(picture: int) -> int | None:
    """Return the year in which a picture was taken."""
    return None if picture % 3 == 0 else 1950 + 5 * picture


def make_faces(picture: int, version: int) -> Faces:
    """Return the faces on a picture as one version of a detector and an embedder finds them."""
    people = people_on(picture)
    n = len(people)
    rng = np.random.default_rng([picture, version])
    centres = np.random.default_rng([77, version // 2]).standard_normal((TRUE_PEOPLE, DIMENSION))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = centres[people] + 0.35 * rng.standard_normal((n, DIMENSION)) / DIMENSION**0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    left = 100.0 + 250 * np.arange(n)
    boxes = np.stack([left, np.full(n, 100.0), left + 180, np.full(n, 280.0)], axis=1)
    boxes += rng.uniform(-15, 15, boxes.shape)
    return Faces(
        boxes=boxes.astype(np.float32),
        landmarks=np.full((n, 5, 2), np.nan, np.float32),
        scores=np.ones(n, np.float32),
        vectors=vectors.astype(np.float32),
        norms=np.ones(n, np.float32),
        sharpness=np.full(n, 0.3, np.float32),
    )


def place_of(box: F32) -> int:
    return round((float(box[0]) - 100) / 250)


def make_photo(root: int, path: str, picture: int, version: int) -> NewPhoto:
    faces, year = make_faces(picture, version), year_of(picture)
    taken = None if year is None else first_second(f"{year}-06")
    return NewPhoto(
        root, path, 1, 1, os.urandom(8), WIDTH, HEIGHT, faces=faces,
        picture=picture.to_bytes(16, "big"), orientation=1 + picture % 8, taken=taken,
    )  # fmt: skip


def places_of_faces(index: FaceIndex) -> dict[int, Key]:
    table = index.table()
    pictures = {
        photo.id: int.from_bytes(photo.picture or b"", "big") for photo in index._store.photos().values()
    }
    return {
        int(face): (pictures[int(photo)], place_of(box))
        for face, photo, box in zip(table.face, table.photo, table.boxes, strict=True)
    }


def said_by_user(index: FaceIndex) -> tuple[set[Any], set[Any], set[Any], set[Any]]:
    """Return what the user said: the labels, rejections and links of faces, and the people."""
    tables = index._store.decisions
    keys, view = places_of_faces(index), index._reader.people()
    uid = {id: view.roster.records[root].uid for id, root in view.roster.roots.items()}
    marked = tables.marked_faces()
    mark_of = {int(row["mark"]): keys[int(row["face"])] for row in marked}
    labels = {
        (mark_of[int(row["mark"])], int(row["label"]), uid.get(int(row["person"])))
        for row in marked
        if row["label"]
    }
    rejections = {(mark_of[m], uid[p]) for m, p, _ in tables.all_rejections().tolist() if m in mark_of}
    links = {
        (*sorted((mark_of[a], mark_of[b])), same)
        for a, b, same, _ in tables.all_links().tolist()
        if a in mark_of and b in mark_of
    }
    people = {(p.uid, p.name, p.born, p.hidden) for p in view.roster.people()}
    return labels, rejections, links, people


def check_constraints(index: FaceIndex) -> None:
    with index._store.snapshot():
        table = index._store.assignments()
        constraints = all_constraints(index._store.decisions, table)
        assert list(violations(table.cluster, constraints)) == []
