from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from faceindex import FaceIndex
from faceindex.errors import FaceIndexError, UsageError
from faceindex.export import archive as module
from faceindex.export.archive import export_archive
from faceindex.export.destination import STATE, ProtectedPaths
from faceindex.export.folder import Written
from faceindex.export.target import Target


@pytest.fixture
def protected(tmp_path: Path) -> ProtectedPaths:
    return ProtectedPaths(tmp_path / ".faceindex")


def write_files(**files: bytes) -> Callable[[Target], Written]:
    def run(target: Target) -> Written:
        for name, content in files.items():
            if target.include(name, str(hash(content))):
                target.write(name, content, mtime_ns=1_700_000_001_000_000_000)
        return target.finish()

    return run


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_archive_of_photos(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex]) -> None:
    with opened(album) as index:
        done = index.export.clusters("out.ZIP", photos=True, folders=True)
        assert (done.files.written, done.files.unchanged, done.files.destination) == (12, 0, "out.ZIP")
        index.export.clusters("folder", photos=True, folders=True)
        before = (tmp_path / "out.ZIP").stat()
        again = index.export.clusters("out.ZIP", photos=True, folders=True)
        assert (again.files.written, again.files.unchanged) == (0, 12)
        after = (tmp_path / "out.ZIP").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        dry = index.export.clusters("out.ZIP", photos=True, dry_run=True)
        assert (dry.files.written, dry.files.removed, dry.files.dry_run) == (12, 12, True)
    with zipfile.ZipFile("out.ZIP") as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    assert names == sorted(names)
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    content = members(tmp_path / "out.ZIP")
    assert content == {name: (tmp_path / "folder" / name).read_bytes() for name in names}


def test_an_archive_of_faces_is_the_same_every_time(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        assert index.export.crops("a.zip").files.written == 12
        index.export.crops("b.zip")
        index.export.crops("faces")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    content = members(tmp_path / "a.zip")
    assert content == {name: (tmp_path / "faces" / name).read_bytes() for name in content}


def test_a_folder_named_like_an_archive_stays_a_folder(tmp_path: Path, album: Path, opened) -> None:
    (tmp_path / "faces.zip").mkdir()
    with opened(album) as index:
        index.export.crops("faces.zip")
        with pytest.raises(UsageError, match="archive cannot contain links"):
            index.export.clusters("x.zip", photos=True, link="symlink")
    assert len(list((tmp_path / "faces.zip").glob("*.png"))) == 12


def test_unzip_restores_names_times_and_modes(tmp_path: Path, protected: ProtectedPaths) -> None:
    export_archive(tmp_path / "a.zip", "test", protected, write_files(**{"Zoë/李.jpg": b"1", "é.jpg": b""}))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        first, second = archive.infolist()
    assert (first.filename, second.filename) == ("Zoë/李.jpg", "é.jpg")
    assert first.flag_bits & 0x800  # UTF-8
    assert first.date_time == (2023, 11, 14, 22, 13, 20)  # even seconds
    assert first.extra[:9] == bytes.fromhex("5554050001") + (1_700_000_001).to_bytes(4, "little")
    assert (first.create_system, first.external_attr >> 16) == (3, 0o100600)


@pytest.mark.parametrize("what", ["foreign", "another kind", "another index", "an added file", "damaged"])
def test_a_zip_file_of_another_origin_is_left_alone(
    tmp_path: Path, protected: ProtectedPaths, what: str
) -> None:
    path, kind = tmp_path / "a.zip", "test"
    if what == "foreign":
        path.write_bytes(b"mine")
    else:
        export_archive(path, kind, protected, write_files(a=b"1"))
    if what == "an added file":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("mine.txt", "mine")
    if what == "another kind":
        kind = "other"
    if what == "another index":
        protected = ProtectedPaths(tmp_path / "elsewhere")
    if what == "damaged":
        time = path.stat().st_mtime_ns
        path.write_bytes(bytes(path.stat().st_size))
        os.utime(path, ns=(time, time))  # the manifest takes it for the exported file
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"is left as it is|is damaged") as caught:
        export_archive(path, kind, protected, write_files(a=b"2"))
    assert "Choose another file, or delete that one" in caught.value.remedy
    assert path.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {STATE, "a.zip"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "full"), ValueError("a defect")])
def test_an_interrupted_run_leaves_nothing_behind(
    tmp_path: Path, protected: ProtectedPaths, error: BaseException
) -> None:
    def run(target: Target) -> Written:
        target.include("a", "1")
        target.write("a", b"1")
        target.include("b", "1")

        def fail(file: BinaryIO) -> None:
            file.write(b"2")
            raise error

        target.write("b", fail)
        return target.finish()

    with pytest.raises((KeyboardInterrupt, FaceIndexError, ValueError)):
        export_archive(tmp_path / "a.zip", "test", protected, run)
    assert list(tmp_path.iterdir()) == []
    export_archive(tmp_path / "a.zip", "test", protected, write_files(a=b"1"))
    before = (tmp_path / "a.zip").read_bytes()
    with pytest.raises((KeyboardInterrupt, FaceIndexError, ValueError)):
        export_archive(tmp_path / "a.zip", "test", protected, run)
    assert (tmp_path / "a.zip").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / STATE).iterdir()) == ["lock", "manifest.jsonl"]


def test_files_that_cannot_be_made_again_are_taken_over(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        index.export.clusters("out.zip", photos=True, folders=True)
    before = members(tmp_path / "out.zip")
    lost = album / "person1" / "2.png"
    data = lost.read_bytes()
    lost.unlink()
    with FaceIndex.open(tmp_path / "index") as index:  # still indexed, but unreadable
        done = index.export.clusters("out.zip", photos=True, folders=True)
        assert [Path(error.path).name for error in done.failed] == ["2.png"]
        assert (done.files.written, done.files.unchanged, done.files.kept) == (0, 11, ())
        assert members(tmp_path / "out.zip") == before
    with opened(album) as index:  # gone
        done = index.export.clusters("out.zip", photos=True, folders=True)
        assert [reason for _, reason in done.files.kept] == [module._LAST_COPY]
        assert members(tmp_path / "out.zip")[done.files.kept[0][0]] == data
        # A second run has the same, and so has one that names no photo.
        assert len(index.export.clusters("out.zip", photos=True, folders=True).files.kept) == 1
        assert data in members(tmp_path / "out.zip").values()


def test_members_beyond_four_gigabytes_have_64_bit_headers(
    tmp_path: Path, protected: ProtectedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)

    def run(target: Target) -> Written:
        for number in range(4):
            target.include(f"{number}.bin", "1")
            target.write(f"{number}.bin", bytes([number]) * 900)
        return target.finish()

    export_archive(tmp_path / "a.zip", "test", protected, run)
    monkeypatch.undo()
    assert members(tmp_path / "a.zip")["3.bin"] == b"\3" * 900
    assert b"PK\x06\x06" in (tmp_path / "a.zip").read_bytes()  # the 64-bit end of the directory
