"""Photos with other content, although their size and time are as indexed."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex, images
from faceindex.images import volumes
from faceindex.images.volumes import CTIME, INODE
from faceindex.pipeline import ContentChanged, Event, PhotoFailed, Warned, file_ids, plan
from faceindex.store import Status, Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ctime and lists no inodes")


@pytest.fixture
def indexed(index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch) -> FaceIndex:
    """An index of the 12 photos of `album`, on a volume of no special kind."""
    monkeypatch.setattr(volumes, "_MOUNTS", "/none")
    assert index.add(album).new == 12
    assert index.add(album).opened == 0
    return index


def rewrite(path: Path, content: bytes) -> None:
    """Change the content of a file, and give it its old time."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_photo(path: Path, fakes: ModuleType) -> bytes:
    """A photo of another person, of the same size in bytes."""
    made: bytes = fakes.make_photo(
        path.parent.parent.parent / "made.png", (192, 192, 64), mark=7
    ).read_bytes()
    size = path.stat().st_size
    assert len(made) <= size + 64
    made += b"\0" * (size - len(made))
    return made


def photo_of(index: FaceIndex, path: Path) -> object:
    with Store.open(index.directory) as store:
        return next(p for p in store.photos().values() if path.as_posix().endswith(p.relpath))


def grow(path: Path) -> None:
    """Append bytes that are no part of the picture, so that any photo of the fakes fits."""
    path.write_bytes(path.read_bytes() + b"\0" * 64)


def test_content_changed_with_size_and_time_kept_is_seen(
    indexed: FaceIndex, album: Path, fake_models: ModuleType, opened: list[str]
) -> None:
    path = album / "person0" / "0.png"
    grow(path)
    indexed.add(album)
    opened.clear()
    rewrite(path, other_photo(path, fake_models))
    events: list[Event] = []
    summary = indexed.add(album, on_event=events.append)
    assert (summary.changed, summary.altered, summary.unchanged) == (1, 1, 11)
    assert set(opened) == {str(path)}
    assert [e for e in events if isinstance(e, ContentChanged)] == [ContentChanged(str(path), damaged=False)]
    assert not [e for e in events if isinstance(e, Warned)]
    assert indexed.add(album).opened == 0


def test_a_picture_that_returns_with_size_and_time_kept_has_its_faces(
    indexed: FaceIndex, album: Path, fake_models: ModuleType
) -> None:
    path = album / "person0" / "0.png"
    grow(path)
    indexed.add(album)
    before, original = sorted(face.face for face in indexed.faces()), path.read_bytes()
    rewrite(path, other_photo(path, fake_models))
    assert indexed.add(album).altered == 1
    rewrite(path, original)
    summary = indexed.add(album)
    assert (summary.altered, summary.returned, summary.changed) == (1, 1, 0)
    assert sorted(face.face for face in indexed.faces()) == before


def test_a_photo_that_was_replaced_by_another_file_is_seen(
    indexed: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch, fake_models: ModuleType
) -> None:
    """Where ctimes say nothing, the inode does."""
    monkeypatch.setattr(
        plan, "walk", lambda *args, **named: images.walk(*args, **(named | {"distrust": _all(album, CTIME)}))
    )
    path = album / "person0" / "0.png"
    grow(path)
    indexed.add(album)
    before = path.stat()
    new = album.parent / "new.png"
    new.write_bytes(other_photo(path, fake_models))
    os.utime(new, ns=(1, before.st_mtime_ns))
    os.link(path, album.parent / "kept.png")  # its inode cannot be used again
    new.replace(path)
    assert indexed.add(album).altered == 1


def test_two_photos_that_swapped_their_content_keep_their_faces(indexed: FaceIndex, album: Path) -> None:
    one, other = album / "person0" / "0.png", album / "person1" / "0.png"
    first, second = one.read_bytes(), other.read_bytes()
    size = max(len(first), len(second))
    for path, content in ((one, first), (other, second)):
        path.write_bytes(content + b"\0" * (size - len(content)))
        os.utime(path, (5, 5))
    indexed.add(album)
    faces = {face.face: face.path for face in indexed}
    swapped = other.read_bytes(), one.read_bytes()
    rewrite(one, swapped[0])
    rewrite(other, swapped[1])
    summary = indexed.add(album)
    assert (summary.moved, summary.altered, summary.changed) == (2, 2, 0)
    now = {face.face: face.path for face in indexed}
    assert now.keys() == faces.keys()
    assert sum(now[face] != faces[face] for face in faces) == 2


def test_a_changed_mode_is_read_once(indexed: FaceIndex, album: Path, opened: list[str]) -> None:
    paths = [album / "person0" / f"{i}.png" for i in range(2)]
    paths[0].chmod(0o600)
    os.link(paths[1], album.parent / "link.png")
    planned = indexed.plan(album)
    assert (planned.unchanged, planned.to_check) == (12, 2)
    summary = indexed.add(album)
    assert (summary.unchanged, summary.compared, summary.changed) == (12, 2, 0)
    assert sorted(opened) == [str(path) for path in paths]
    assert indexed.add(album).opened == 0


def test_a_renamed_photo_is_not_read_again(indexed: FaceIndex, album: Path, opened: list[str]) -> None:
    (album / "person0" / "0.png").rename(album / "new.png")
    os.utime(album / "person0" / "1.png")
    assert indexed.add(album).moved == 1
    opened.clear()
    assert indexed.add(album).unchanged == 12
    assert not opened


def test_photos_of_an_older_format_get_their_numbers_without_being_read(
    indexed: FaceIndex, album: Path, opened: list[str]
) -> None:
    with Store.open(indexed.directory) as store:
        before = store.photos()
    with indexed._store._catalog.transaction():
        indexed._store._catalog.execute("UPDATE images SET ctime_ns = NULL, inode = NULL")
    assert indexed.add(album).unchanged == 12
    assert not opened
    assert indexed._store.photos() == before


def _all(album: Path, *numbers: str) -> dict[str, list[str]]:
    (first, *_) = images.walk([album])
    assert first.volume is not None
    return {first.volume.path: list(numbers)}


def renew(album: Path) -> None:
    """Change the ctimes of all photos."""
    for path in album.rglob("*.png"):
        path.chmod(path.stat().st_mode ^ 0o010)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_ids, "FEW", 4)


def messages(index: FaceIndex, album: Path, *, check_content: bool = False) -> tuple[int, list[str]]:
    found: list[str] = []
    summary = index.add(
        album,
        on_event=lambda e: found.append(e.message) if isinstance(e, Warned) else None,
        check_content=check_content,
    )
    assert summary.unchanged == 12
    return summary.compared, found


@pytest.mark.usefixtures("few")
def test_ctimes_that_change_by_themselves_are_noticed(
    indexed: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All photos are read once; the second time in 90 days, the ctimes are not used any more."""
    renew(album)
    assert messages(indexed, album) == (12, [])
    later = time.time() + 100 * 86_400
    monkeypatch.setattr("faceindex.pipeline.file_ids.time.time", lambda: later)
    renew(album)
    assert messages(indexed, album) == (12, [])  # long after: a restored backup, perhaps
    assert messages(indexed, album) == (0, [])
    renew(album)
    read, (message,) = messages(indexed, album)
    assert read == 0
    assert "ctimes" in message
    assert "`check_content=True`" in message
    for _ in range(2):
        renew(album)
        assert messages(indexed, album) == (0, [])
    with Store.open(indexed.directory) as store:
        (volume,) = store.volumes().values()
    assert volume.distrusted == [CTIME]
    # A comparison of all contents starts again.
    assert messages(indexed, album, check_content=True) == (12, [])
    with Store.open(indexed.directory) as store:
        assert store.volumes() == {}
    assert messages(indexed, album) == (0, [])
    (album / "person0" / "0.png").chmod(0o600)
    assert messages(indexed, album) == (1, [])


@pytest.mark.usefixtures("few")
def test_other_numbers_of_all_files_on_a_network_disk_are_not_read(
    indexed: FaceIndex, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mount,) = _all(album)
    (tmp_path / "mounts").write_text(f"21 1 8:2 / {mount} rw - nfs4 server:/photos rw\n")
    monkeypatch.setattr(volumes, "_MOUNTS", str(tmp_path / "mounts"))
    (album / "person0" / "0.png").chmod(0o600)
    assert messages(indexed, album) == (1, [])
    renew(album)
    read, (message,) = messages(indexed, album)
    assert (read, mount in message) == (0, True)


@pytest.mark.usefixtures("few")
def test_a_restored_tree_is_read_once(indexed: FaceIndex, album: Path) -> None:
    shutil.copytree(album, album.parent / "copy")
    shutil.rmtree(album)
    (album.parent / "copy").rename(album)
    faces = [face.face for face in indexed]
    assert messages(indexed, album) == (12, [])
    assert messages(indexed, album) == (0, [])
    assert [face.face for face in indexed] == faces
    with Store.open(indexed.directory) as store:
        (volume,) = store.volumes().values()
    assert not volume.distrusted
    assert volume.renewed.keys() == {CTIME, INODE}


@pytest.fixture
def damage(indexed: FaceIndex) -> Callable[[Path, bytes], None]:
    """Change content behind the system: the ctime of the file and that of the index are the same."""

    def change(path: Path, content: bytes) -> None:
        rewrite(path, content)
        record = photo_of(indexed, path)
        indexed._store.save_file_ids([(record.id, path.stat().st_ctime_ns, path.stat().st_ino)])  # type: ignore[attr-defined]

    return change


def test_check_content_finds_damage_and_warns(
    indexed: FaceIndex, album: Path, fake_models: ModuleType, damage: Callable[[Path, bytes], None]
) -> None:
    path = album / "person0" / "0.png"
    grow(path)
    indexed.add(album)
    damage(path, other_photo(path, fake_models))
    assert indexed.add(album).altered == 0
    assert indexed.plan(album, check_content=True).to_check == 12
    events: list[Event] = []
    summary = indexed.add(album, check_content=True, on_event=events.append)
    assert (summary.compared, summary.altered, summary.changed) == (11, 1, 1)
    assert ContentChanged(str(path), damaged=True) in events
    (warning,) = [event.message for event in events if isinstance(event, Warned)]
    assert str(path) in warning
    assert "backup" in warning


def test_a_photo_that_can_no_longer_be_read_without_being_written_keeps_its_faces(
    indexed: FaceIndex, album: Path, damage: Callable[[Path, bytes], None]
) -> None:
    path = album / "person0" / "0.png"
    original, faces = path.read_bytes(), [face.face for face in indexed]
    damage(path, original[:40] + b"\0" * (len(original) - 40))
    for known in range(2):
        events: list[Event] = []
        summary = indexed.add(album, check_content=True, on_event=events.append)
        assert sum(summary.unreadable.values()) == 1
        assert summary.known_unreadable == known
        assert [event.known for event in events if isinstance(event, PhotoFailed)] == [bool(known)]
        assert [face.face for face in indexed] == faces
    damage(path, original)  # restored
    assert indexed.add(album, check_content=True).unchanged == 12
    assert photo_of(indexed, path).failed is None  # type: ignore[attr-defined]


def test_check_content_opens_unreadable_and_ignored_files(indexed: FaceIndex, album: Path) -> None:
    (album / "bad.jpg").write_text("no photo")
    (album / "notes.txt").write_text("no photo")
    indexed.add(album)
    summary = indexed.add(album, check_content=True)
    assert (summary.compared, summary.ignored, summary.known_unreadable) == (12, 1, 1)
    assert summary.new_unreadable == 0


def test_times_beyond_64_bits_are_stored(index: FaceIndex, album: Path) -> None:
    for name, moment in (("0.png", 10_413_792_000), ("1.png", -17_000_000_000)):
        os.utime(album / "person0" / name, (moment, moment))
    assert index.add(album).new == 12
    assert index.add(album).unchanged == 12
    (album / "new.txt").write_text("x")
    assert index.add(album).opened == 1
    os.utime(album / "person0" / "0.png", (5, 5))
    summary = index.add(album)
    assert (summary.unchanged, summary.changed) == (12, 0)
    with Store.open(index.directory) as store:
        assert all(photo.status is not Status.UNREADABLE for photo in store.photos().values())
