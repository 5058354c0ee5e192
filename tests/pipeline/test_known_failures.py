"""Photos that cannot be read: which of them are news."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from deep_folders import make_deep, remove_deep

from faceindex import FaceIndex, images
from faceindex.errors import ImageError, Reason
from faceindex.pipeline import Event, PhotoFailed, Summary


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, Reason]:
    """For names of files: why they cannot be read."""
    reasons: dict[str, Reason] = {}
    read = images.read

    def fail(path: str | os.PathLike[str]) -> bytes:
        if (reason := reasons.get(os.path.basename(path))) is not None:  # noqa: PTH119
            raise ImageError(path, reason, "it fails now.", "Try again.")
        return read(path)

    monkeypatch.setattr(images, "read", fail)
    return reasons


def unreadable(summary: Summary) -> tuple[int, int]:
    """Return the numbers of new and of known unreadable photos."""
    return summary.new_unreadable, summary.known_unreadable


def test_an_unreadable_photo_is_news_once_or_if_it_is_asked_for(index: FaceIndex, album: Path) -> None:
    bad = album / "bad.jpg"
    bad.write_text("no photo")
    assert unreadable(index.add(album)) == (1, 0)
    for _ in range(2):
        assert unreadable(index.add(album)) == (0, 1)
    assert unreadable(index.add(album, retry_failed=True)) == (1, 0)
    assert unreadable(index.add([album, bad])) == (1, 0)
    assert unreadable(index.add(bad)) == (1, 0)
    assert unreadable(index.add(album)) == (0, 1)
    bad.write_text("another file that is no photo")
    assert unreadable(index.add(album)) == (1, 0)
    bad.write_bytes(b"\xff\xd8\xff")  # another reason
    assert unreadable(index.add(album)) == (1, 0)
    assert unreadable(index.add(album)) == (0, 1)


def test_a_file_that_is_named_is_tried_again(index: FaceIndex, album: Path) -> None:
    (album / "bad.jpg").write_text("no photo")
    index.add(album)
    assert index.add(album).opened == 0
    assert index.add(album / "bad.jpg").opened == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_files_that_every_run_tries_again_are_news_once(index: FaceIndex, album: Path) -> None:
    (album / "broken.png").symlink_to("nowhere.png")
    assert unreadable(index.add(album)) == (1, 0)
    events: list[Event] = []
    assert unreadable(index.add(album, on_event=events.append)) == (0, 1)
    assert [event.known for event in events if isinstance(event, PhotoFailed)] == [True]


@pytest.mark.parametrize("reason", [Reason.DENIED, Reason.IO_ERROR, Reason.UNSUPPORTED])
def test_an_indexed_photo_that_cannot_be_read_now_is_news_once(
    index: FaceIndex, album: Path, failing: dict[str, Reason], reason: Reason
) -> None:
    index.add(album)
    path = album / "person0" / "0.png"
    os.utime(path)
    failing["0.png"] = reason
    assert unreadable(index.add(album)) == (1, 0)
    assert unreadable(index.add(album)) == (0, 1)
    assert len(index) == 12
    assert index.known_failures() == {str(path): reason.value}
    failing["0.png"] = Reason.FAILED
    assert unreadable(index.add(album)) == (1, 0)
    failing.clear()
    summary = index.add(album)
    assert (summary.unchanged, unreadable(summary)) == (12, (0, 0))
    assert index.known_failures() == {}


def test_photos_of_a_folder_that_is_not_mounted_are_known_until_it_is_back(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(album)
    away = album.rename(album.with_name("away"))
    album.mkdir()
    assert index.add(album).missing == 12
    assert set(index.known_failures().values()) == {"missing"}
    album.rmdir()
    away.rename(album)
    summary = index.add(album)
    assert (summary.unchanged, summary.opened) == (12, 0)
    assert index.known_failures() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="needs open folders")
def test_photos_at_any_depth_are_indexed(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    photo = fake_models.make_photo(album.parent / "made.png", (192, 64, 128)).read_bytes()
    deep = make_deep(album / "deep", {"deep.png": photo, "bad.png": b"no photo"})
    try:
        summary = index.add(album)
        assert (summary.new, unreadable(summary)) == (13, (1, 0))
        again = index.add(album, check_content=True)
        assert (again.unchanged, again.compared, unreadable(again)) == (13, 13, (0, 1))
        path = f"{deep}/deep.png"
        assert [face.path for face in index if face.path.startswith(deep)] == [path]
        (face,) = index.identify(path).faces
        assert face.neighbours[0].face.path == path
        assert index.crop(face.neighbours[0].face).shape[2] == 3
        index.cluster()
        crops = index.export.crops(album.parent / "crops")
        assert (crops.faces, crops.failed) == (13, ())
        copies = index.export.clusters(album.parent / "copies", photos=True)
        assert copies.failed == ()
        links = index.export.clusters(album.parent / "links", photos=True, link="symlink")
        assert [error.path for error in links.failed] == [path]
        assert "too long for a link" in links.failed[0].problem
        gallery = index.export.gallery(album.parent / "gallery", copy=True)
        assert gallery.failures == ()
        planned = index.plan(album)
        assert (planned.new, planned.unchanged, planned.unreachable) == (0, 13, 0)
    finally:
        remove_deep(album / "deep")
    (album / "deep").rmdir()  # an empty folder may be that of a disk
    assert index.add(album).gone == 2
