"""Archives in runs of `index`: unchanged, changed, moved and gone ones, and what uses photos in them."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.errors import UsageError
from faceindex.store import Store

COLOURS = [(64, 64, 128), (128, 64, 128), (192, 64, 128)]
Photos = dict[str, tuple[int, int]]
"""By name: the person, and a mark by which contents differ."""


@pytest.fixture
def pack(tmp_path: Path, fake_models: ModuleType):
    """A function that writes an archive of portraits."""

    def pack(path: Path, photos: Photos, *, time: int = 1_000_000_000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {}
        for name, (person, mark) in photos.items():
            data[name] = fake_models.make_photo(tmp_path / "one.png", COLOURS[person], mark=mark).read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as new:
                for name, content in data.items():
                    new.writestr(zipfile.ZipInfo(name, (2001, 9, 9, 1, 46, 40)), content)
        else:
            with tarfile.open(path, "w") as new:
                for name, content in data.items():
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime = len(content), time
                    new.addfile(info, io.BytesIO(content))
        return path

    return pack


def faces(index: FaceIndex) -> dict[str, int]:
    """The face of each photo, by the path of the photo below the root."""
    with Store.open(index.directory) as store:
        names = {record.id: record.relpath for record in store.photos().values()}
        table = store.faces()
    return {names[int(photo)]: int(face) for photo, face in zip(table.photo, table.face, strict=True)}


def paths(index: FaceIndex) -> list[str]:
    return sorted(faces(index))


ALBUM: Photos = {"1987/a.png": (0, 1), "1987/b.png": (1, 2), "c.png": (2, 3)}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_unchanged_archive_is_not_read(
    index: FaceIndex, tmp_path: Path, pack, opened: list[str], suffix: str
) -> None:
    archive = pack(tmp_path / "album" / f"old{suffix}", ALBUM)
    summary = index.add(tmp_path / "album")
    assert (summary.new, summary.faces) == (3, 3)
    assert paths(index) == [f"old{suffix}/1987/a.png", f"old{suffix}/1987/b.png", f"old{suffix}/c.png"]
    opened.clear()
    assert index.add(tmp_path / "album").unchanged == 3
    assert index.add(archive).unchanged == 3
    (tmp_path / "album" / "note.txt").write_text("no photo")
    summary = index.add(tmp_path / "album")
    assert (summary.unchanged, summary.gone, summary.ignored) == (3, 0, 1)
    assert opened == [str(tmp_path / "album" / "note.txt")]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_changed_members_are_replaced(
    index: FaceIndex, tmp_path: Path, pack, opened: list[str], suffix: str
) -> None:
    archive = pack(tmp_path / f"old{suffix}", ALBUM)
    index.add(archive)
    before = faces(index)
    opened.clear()
    # One is another picture of the same size and time, one is gone, one is new, and one is as it was.
    pack(archive, {"1987/a.png": (0, 1), "1987/b.png": (1, 7), "d.png": (2, 9)})
    summary = index.add(archive)
    assert (summary.unchanged, summary.changed, summary.new, summary.gone) == (1, 1, 1, 1)
    after = faces(index)
    assert after[f"old{suffix}/1987/a.png"] == before[f"old{suffix}/1987/a.png"]
    assert after[f"old{suffix}/1987/b.png"] != before[f"old{suffix}/1987/b.png"]
    unchanged = str(archive / "1987" / "a.png")
    assert (unchanged in opened) == (suffix == ".tar")  # a zip has checksums


def test_moved_archives_and_unpacked_ones_keep_their_faces(index: FaceIndex, tmp_path: Path, pack) -> None:
    album = tmp_path / "album"
    archive = pack(album / "old.zip", ALBUM)
    index.add(album)
    before = sorted(faces(index).values())
    (album / "sub").mkdir()
    archive = archive.rename(album / "sub" / "new.zip")
    summary = index.add(album)
    assert (summary.moved, summary.new, summary.gone) == (3, 0, 0)
    assert paths(index)[0] == "sub/new.zip/1987/a.png"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(album / "unpacked")
    archive.unlink()
    summary = index.add(album)
    assert (summary.moved, summary.new, summary.gone) == (3, 0, 0)
    assert sorted(faces(index).values()) == before


def test_touching_archives_is_no_sign_that_a_disk_invents_times(
    index: FaceIndex, tmp_path: Path, pack
) -> None:
    photos: Photos = {f"{number}.png": (0, number) for number in range(20)}
    for time in range(3):
        archive = pack(tmp_path / "old.tar", photos)
        os.utime(archive, (time, time))
        summary = index.add(archive)
    assert (summary.unchanged, summary.compared, summary.new) == (20, 20, 0)


def test_a_damaged_archive_loses_nothing(index: FaceIndex, tmp_path: Path, pack) -> None:
    album = tmp_path / "album"
    archive = pack(album / "old.zip", ALBUM)
    index.add(album)
    before, whole = faces(index), archive.read_bytes()
    archive.write_bytes(whole[:-100])
    os.utime(archive, (1, 1))
    summary = index.add(album)
    assert dict(summary.unreadable) == {"archive cannot be read": 1}
    assert (summary.gone, summary.known_unreadable) == (0, 0)
    assert faces(index) == before
    summary = index.add(album)
    assert (summary.known_unreadable, summary.gone) == (1, 0)
    archive.write_bytes(whole)
    summary = index.add(album)
    assert (summary.unchanged, summary.gone, summary.new, summary.complete) == (3, 0, 0, True)
    assert faces(index) == before


def test_members_that_cannot_be_read_are_counted_by_reason(index: FaceIndex, tmp_path: Path, pack) -> None:
    archive = pack(tmp_path / "album" / "old.zip", {**ALBUM, "../x.png": (0, 5), "inner.zip": (0, 6)})
    data = bytearray(archive.read_bytes())
    data[data.rindex(b"PK\1\2", 0, data.rindex(b"PK\1\2") - 60) + 8] |= 1  # one is encrypted
    archive.write_bytes(data)
    summary = index.add(tmp_path / "album")
    assert sum(summary.unreadable.values()) + summary.new == 5
    assert summary.unreadable["names in an archive"] == summary.unreadable["archive in an archive"] == 1
    assert index.add(tmp_path / "album").known_unreadable == sum(summary.unreadable.values())


def test_a_removed_archive_is_gone_and_returns(index: FaceIndex, tmp_path: Path, pack, fake_models) -> None:
    album = tmp_path / "album"
    fake_models.make_photo(album / "other.png", COLOURS[0], mark=99)
    archive = pack(album / "old.zip", ALBUM)
    index.add(album)
    before = faces(index)
    archive = archive.rename(tmp_path / "old.zip")
    assert index.add(album).gone == 3
    archive.rename(album / "old.zip")
    assert index.add(album).returned == 3
    assert faces(index) == before


def test_what_uses_photos_finds_them_in_archives(index: FaceIndex, tmp_path: Path, pack) -> None:
    photos: Photos = {
        f"{one}/{number}.png": (one, 10 * one + number) for one in (0, 1) for number in range(3)
    }
    archive = pack(tmp_path / "old.zip", photos)
    index.add(archive)
    index.cluster()
    [found] = index.identify(archive / "0" / "1.png").faces
    assert found.cluster is not None
    for link in ("copy", "symlink", "hardlink"):
        done = index.export.clusters(tmp_path / link, photos=True, link=link)
        assert (done.files.written, done.failed) == (6, ())
    assert all(not path.is_symlink() for path in (tmp_path / "symlink").iterdir())
    assert index.export.crops(tmp_path / "crops").files.written == 6
    gallery = index.export.gallery(tmp_path / "gallery")
    assert not gallery.failures
    assert (
        len([*(tmp_path / "gallery" / "gallery").glob("p-*.jpg")]) == 6
    )  # previews: nothing links into a zip


def test_an_exported_archive_in_the_album_is_no_second_album(index: FaceIndex, tmp_path: Path, pack) -> None:
    album = tmp_path / "album"
    pack(album / "old.zip", ALBUM)
    index.add(album)
    index.cluster()
    assert index.export.clusters(album / "copies.zip", photos=True, unclustered=True).files.written == 3
    summary = index.add(album)
    assert (summary.unchanged, summary.new) == (3, 0)


def test_an_archive_that_moved_is_relocated(index: FaceIndex, tmp_path: Path, pack) -> None:
    archive = pack(tmp_path / "a" / "old.zip", ALBUM)
    index.add(archive)
    (tmp_path / "b").mkdir()
    moved = archive.rename(tmp_path / "b" / "new.zip")
    index.roots.relocate(archive, moved)
    assert index.add(moved).unchanged == 3


def test_an_archive_counts_as_a_photo_that_nothing_overwrites(index: FaceIndex, tmp_path: Path, pack) -> None:
    archive = pack(tmp_path / "old.zip", ALBUM)
    index.add(archive)
    with pytest.raises(UsageError):
        index.check_writable(archive)
