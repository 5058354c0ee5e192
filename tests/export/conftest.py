from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three people with four photos each, in folders with equal file names; chdir to the parent folder."""
    monkeypatch.chdir(tmp_path)
    album: Path = fake_models.make_album(tmp_path / "album")
    return album


@pytest.fixture
def opened(tmp_path: Path, fake_models: ModuleType) -> Callable[..., FaceIndex]:
    """Index folders with the fake models, cluster the faces, and open the index for reading."""

    def opened(*folders: object, cluster: bool = True) -> FaceIndex:
        directory = tmp_path / "index"
        with FaceIndex.open_or_create(directory, detector="fake", embedder="fake") as index:
            index.add([str(folder) for folder in folders])
            if cluster:
                index.cluster()
        return FaceIndex.open(directory)

    return opened
