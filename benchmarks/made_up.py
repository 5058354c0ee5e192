"""Made-up faces: people with a long tail of photos, and vectors with the geometry of real ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex.clustering import Album
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32, I64, Faces, Graph

__all__ = [
    "DLIB",
    "GEOMETRIES",
    "MOBILEFACENET",
    "Geometry",
    "commit_faces",
    "face_vectors",
    "long_tail",
    "make_store",
    "one_face",
    "one_face_a_photo",
]

ZIPF = 1.8  # exponent of the number of photos of a person
MOST_PHOTOS = 1000
PHOTOS_PER_FOLDER = 1000
BLOCK = 100_000  # faces that are made at a time


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the vectors of an embedder lie.

    Attributes
    ----------
    dimension : int
        Of the embedder.
    mean : float
        Length of the mean of the vectors of all people.
    between, within : (float, float)
        Trace and participation ratio of the covariance of people, and of the faces of a person.
    log_std : float
        Standard deviation of the logarithm of how far a face lies from its person; 0 if all lie equally far.
    """

    dimension: int
    mean: float
    between: tuple[float, float]
    within: tuple[float, float]
    log_std: float = 0.0


DLIB = Geometry(128, 0.915, (0.155, 30), (0.048, 50))
"""From 932 photos of LFW (514 people)."""

MOBILEFACENET = Geometry(192, 0.10, (0.704, 41), (0.292, 53), 0.35)
"""From 7,090 labelled faces of 2,338 people in lfw/, pins/, people/ and diverse/, tried by hand.

714 people have several faces. With `log_std`, the similarities of two faces of a person have the quantiles of
those: 0.38 (theirs: 0.36) at 1%, 0.51 (0.53) at 5%, 0.75 (0.76) in the middle, 0.89 (0.89) at 95%; without
it, 0.51 at 1% and 0.81 at 95%. Those of two people are 0.44 (0.45) at 99.9% and 0.51 (0.54) at 99.99%.
"""

GEOMETRIES = {"dlib": DLIB, "mobilefacenet": MOBILEFACENET}


def long_tail(n: int, rng: np.random.Generator) -> I64:
    """Return (n,) the person on each face, in random order."""
    ranks = np.arange(1, MOST_PHOTOS + 1, dtype=np.float64)
    sizes = rng.choice(ranks.astype(int), size=n, p=ranks**-ZIPF / (ranks**-ZIPF).sum())
    return rng.permutation(np.repeat(np.arange(n), sizes)[:n])


def face_vectors(
    who: I64, dimension: int, rng: np.random.Generator, out: F32 | None = None, geometry: Geometry = DLIB
) -> F32:
    """Return (n, dimension) unit vectors of faces of the people `who`.

    Parameters
    ----------
    who : (n,) int64
    dimension : int
        May differ from that of `geometry`.
    rng : numpy.random.Generator
    out : (n, dimension) float32, optional
        Where the vectors are written, such as a memory map; they are made in blocks.
    geometry : Geometry
    """

    def spread(rows: int, trace: float, participation: float) -> F32:
        variance = np.exp(-np.arange(dimension) / (participation / 2))
        variance *= trace / variance.sum()
        return rng.standard_normal((rows, dimension), np.float32) * np.sqrt(variance).astype(np.float32)

    people = spread(int(who.max()) + 1, *geometry.between)
    vectors = np.empty((len(who), dimension), np.float32) if out is None else out
    for start in range(0, len(who), BLOCK):
        some = who[start : start + BLOCK]
        block = people[some]
        own = spread(len(some), *geometry.within)
        if geometry.log_std:
            spread_out = rng.lognormal(-(geometry.log_std**2), geometry.log_std, (len(some), 1))
            own *= spread_out.astype(np.float32)  # the mean of the squares is 1: the trace stays
        block += own
        block[:, -1] += geometry.mean
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        vectors[start : start + BLOCK] = block
    return vectors


def one_face(vector: F32, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Faces:
    """Return a sharp face with this vector, as if it had been detected and embedded."""
    return Faces(
        boxes=np.array([box], np.float32),
        landmarks=np.full((1, 5, 2), (box[0] + box[2]) / 2, np.float32),
        scores=np.ones(1, np.float32),
        vectors=vector[None],
        norms=np.ones(1, np.float32),
        sharpness=np.full(1, 0.3, np.float32),
    )


def one_face_a_photo(vectors: F32, graph: Graph) -> Album:
    """Return an album with one face on each photo, all of them good."""
    n = len(vectors)
    return Album(vectors, np.arange(n), np.ones(n, bool), graph, previous=np.full(n, -1), size=n)


def make_store(directory: Path, dimension: int) -> Store:
    """Create an empty index, pinned to dlib's embedder, and open it for writing."""
    store = Store.create(directory, Pins("mtcnn", "dlib", dimension, {"min_face": 30.0}))
    store.add_root("/photos", "photos")
    return store


def commit_faces(store: Store, vectors: F32, first: int, rng: np.random.Generator, batch: int = 64) -> None:
    """Commit photos ``first, first + 1, ...`` with one sharp face each, in batches as `index` does."""
    (root,) = store.roots()
    for start in range(0, len(vectors), batch):
        photos = []
        for i, vector in enumerate(vectors[start : start + batch], first + start):
            x1, y1, x2, y2 = rng.random(4)
            name = f"{i // PHOTOS_PER_FOLDER}/{i}.jpg"
            face = one_face(vector, (x1, y1, x2, y2))
            photos.append(NewPhoto(root.id, name, 100_000, 5, os.urandom(20), 640, 480, faces=face))
        store.commit(photos)
