"""Files below paths that are longer than the system permits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from errno import EISDIR, ENAMETOOLONG, ENOENT
from pathlib import Path

import pytest
from deep_folders import make_deep, remove_deep

from faceindex import paths

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs open folders")


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[str]:
    """The path of a folder, of more than 6,000 bytes, with the file ``photo.jpg``."""
    yield make_deep(tmp_path / "deep", {"photo.jpg": b"content"})
    remove_deep(tmp_path / "deep")


def test_files_below_long_paths(deep: str) -> None:
    path = deep + "/photo.jpg"
    assert len(os.fsencode(path)) > 6000
    with pytest.raises(OSError, match="too long"):
        os.stat(path)  # noqa: PTH116
    with paths.open_for_reading(path) as file:
        assert file.read() == b"content"
    assert paths.stat(path).st_size == 7
    assert paths.exists(path)
    assert not paths.exists(path + "x")
    assert paths.is_folder(deep)
    assert paths.is_folder(deep + "/")
    assert not paths.is_folder(path)
    assert not paths.is_link(path)
    assert paths.is_too_long(path)


def test_errors_below_long_paths_are_those_of_the_system(deep: str) -> None:
    for path, code in (
        (deep + "/none.jpg", ENOENT),
        (deep.replace("/d", "/none", 1) + "/photo.jpg", ENOENT),
        (deep + "/" + "x" * 300, ENAMETOOLONG),
        ("/" + "x" * 5000, ENAMETOOLONG),
        (deep, EISDIR),
    ):
        before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
        with pytest.raises(OSError) as caught:
            paths.open_for_reading(path)
        assert caught.value.errno == code
        if sys.platform == "linux":
            assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_links_are_followed_or_not(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("nowhere")
    assert paths.is_link(tmp_path / "broken")
    assert paths.exists(tmp_path / "broken")
    assert not paths.exists(tmp_path / "broken", follow=True)
    assert not paths.exists("nul\0byte")
