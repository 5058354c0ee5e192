"""Fixtures of the store's tests: an empty index, and photos with random faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32, Faces

DIMENSION = 16


def _unit_vectors(n: int, seed: int, dimension: int = DIMENSION) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension))
    unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _make_photo(root_id: int, relpath: str, vectors: F32, content: str | None = None) -> NewPhoto:
    rng = np.random.default_rng(len(vectors))
    n = len(vectors)
    faces = Faces(
        boxes=rng.random((n, 4), np.float32),
        landmarks=np.full((n, 5, 2), np.nan, np.float32),
        scores=rng.random(n, np.float32),
        vectors=vectors,
        norms=rng.random(n, np.float32),
        sharpness=rng.random(n, np.float32),
    )
    content_hash = (content or relpath).encode("utf-8", "surrogateescape")
    return NewPhoto(root_id, relpath, 1000, 5, content_hash, 640, 480, faces=faces)


@pytest.fixture
def unit_vectors() -> Callable[..., F32]:
    """``unit_vectors(n, seed, dimension=16)``: random vectors, (n, dimension) float32."""
    return _unit_vectors


@pytest.fixture
def make_photo() -> Callable[..., NewPhoto]:
    """``make_photo(root_id, relpath, vectors, content=None)``: a photo with a face for each vector."""
    return _make_photo


@pytest.fixture
def pins() -> Pins:
    return Pins("mtcnn", "dlib", DIMENSION, {"min_face": 40, "exact": True}, {"pnet.pt": "ab" * 32})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store(directory: Path, pins: Pins) -> Iterator[Store]:
    with Store.create(directory, pins) as created:
        yield created


@pytest.fixture
def root_id(store: Store) -> int:
    return store.add_root("/photos", "photos").id
