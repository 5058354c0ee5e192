from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex, images


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        yield index


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    album: Path = fake_models.make_album(tmp_path / "album", people=3, photos=4)
    return album


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all files that are read from now on."""
    paths: list[str] = []
    read = images.read

    def spy(path: str | os.PathLike[str]) -> bytes:
        paths.append(os.fspath(path))
        return read(path)

    monkeypatch.setattr(images, "read", spy)
    return paths
