"""Whose index is found without a name: only one's own, as with git."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex, find_index
from faceindex.errors import UsageError
from faceindex.store import Store

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="owners of Unix"),
    pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="only root can give files away"),
]

STRANGER = 12_345  # a user id that nobody here has


@pytest.fixture
def found(tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index in a folder above the current one."""
    monkeypatch.delenv("FACEINDEX_INDEX", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    FaceIndex.create(tmp_path / ".faceindex", detector="fake", embedder="fake").close()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path / ".faceindex"


def give_all(index: Path) -> None:
    for path in (index, *index.iterdir()):
        os.chown(path, STRANGER, -1)


def give_catalog(index: Path) -> None:
    os.chown(index / "catalog.sqlite", STRANGER, -1)


def give_link(index: Path) -> None:
    index.rename(index.with_name("real"))
    index.symlink_to("real")
    os.chown(index, STRANGER, -1, follow_symlinks=False)


@pytest.mark.parametrize("give", [give_all, give_catalog, give_link])
def test_a_strangers_index_above_is_refused(give: Callable[[Path], None], found: Path) -> None:
    assert find_index() == found
    give(found)
    for attempt in (find_index, FaceIndex.open, FaceIndex.open_or_create):
        with pytest.raises(UsageError, match="belongs to another user") as caught:
            attempt()
        assert str(found) in caught.value.problem
        assert "`directory`" in caught.value.remedy


def test_a_strangers_index_here_is_refused(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(found.parent)
    give_all(found)
    with pytest.raises(UsageError, match="belongs to another user"):
        find_index()


def test_a_strangers_index_is_used_if_it_is_named(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_all(found)
    assert find_index(found) == found
    FaceIndex.open(found).close()
    FaceIndex.open("../.faceindex", write=True).close()
    monkeypatch.setenv("FACEINDEX_INDEX", str(found))
    assert find_index() == found
    monkeypatch.delenv("FACEINDEX_INDEX")
    monkeypatch.setenv("SUDO_UID", str(STRANGER))  # the caller of sudo made it
    assert find_index() == found


def test_an_unreadable_index_above_is_refused_by_its_owner(
    found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(found, STRANGER, -1)

    def deny(directory: Path) -> bool:
        if directory == found:
            raise PermissionError(13, "Permission denied", str(directory))
        return False

    monkeypatch.setattr(Store, "exists", staticmethod(deny))  # as its mode 0700 does to all but root
    with pytest.raises(UsageError, match="belongs to another user"):
        find_index()


def test_a_new_index_is_not_made_in_a_strangers_folder(
    fake_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACEINDEX_INDEX", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".faceindex").mkdir()
    os.chown(tmp_path / ".faceindex", STRANGER, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        FaceIndex.create(detector="fake", embedder="fake")
    FaceIndex.create(".faceindex", detector="fake", embedder="fake").close()
