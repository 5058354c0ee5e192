from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import pytest

from faceindex.errors import FaceIndexError, UsageError
from faceindex.export import state as state_module
from faceindex.export.destination import NO_MEDIA, STATE, ProtectedPaths
from faceindex.export.folder import Folder, Written
from faceindex.export.originals import Originals
from faceindex.export.single_file import export_file

MANIFEST = f"{STATE}/manifest.jsonl"


@pytest.fixture
def protected(tmp_path: Path) -> ProtectedPaths:
    for name in ("index", "photos"):
        (tmp_path / name).mkdir()
    return ProtectedPaths(tmp_path / "index", (tmp_path / "photos",))


@pytest.fixture
def export(tmp_path: Path, protected: ProtectedPaths) -> Callable[..., Written]:
    """Export a dict of names and contents to ``out``; the source of each is its content."""

    def export(files: dict[str, str], *, kind: str = "crops", dry_run: bool = False) -> Written:
        with Folder(tmp_path / "out", kind, protected, dry_run=dry_run) as folder:
            for name, content in files.items():
                folder.write_if_changed(name, content, content.encode)
            return folder.finish()

    return export


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STATE not in path.parts and path.name != NO_MEDIA
    }


def numbers(done: Written) -> tuple[int, int, int]:
    return done.written, done.unchanged, done.removed


def test_a_second_run_writes_only_changes(tmp_path: Path, export: Callable[..., Written]) -> None:
    assert numbers(export({"a": "1", "b": "2", "5/c": "3", "6/d": "4"})) == (4, 0, 0)
    before = (tmp_path / "out" / "a").stat()
    assert numbers(export({"a": "1", "b": "two", "5/c": "3", "7/e": "5"})) == (2, 2, 1)
    assert tree(tmp_path / "out") == {"a": "1", "b": "two", "5/c": "3", "7/e": "5"}
    after = (tmp_path / "out" / "a").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / "out" / "6").exists()


def test_the_content_of_an_unchanged_file_is_not_made(
    tmp_path: Path, export: Callable[..., Written], protected
) -> None:
    export({"a": "1"})
    with Folder(tmp_path / "out", "crops", protected) as folder:
        folder.write_if_changed("a", "1", lambda: pytest.fail("made"))
        assert numbers(folder.finish()) == (0, 1, 0)


def test_a_new_source_with_the_same_content_keeps_the_file(tmp_path: Path, export, protected) -> None:
    export({"a": "1"})
    before = (tmp_path / "out" / "a").stat().st_ino
    for expected in ((0, 1, 0), (0, 1, 0)):
        with Folder(tmp_path / "out", "crops", protected) as folder:
            folder.write_if_changed("a", "other", lambda: b"1")
            assert numbers(folder.finish()) == expected
    assert (tmp_path / "out" / "a").stat().st_ino == before


def test_a_deleted_file_is_written_again(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1", "b": "2"})
    (tmp_path / "out" / "a").unlink()
    assert numbers(export({"a": "1", "b": "2"})) == (1, 1, 0)


def test_foreign_files_are_kept(tmp_path: Path, export: Callable[..., Written]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    (out / "a").write_text("mine too")
    done = export({"a": "1", "b": "2"})
    assert numbers(done) == (1, 0, 0)
    assert [name for name, _ in done.kept] == ["a"]
    assert tree(out) == {"a": "mine too", "b": "2", "mine": "mine"}
    assert numbers(export({})) == (0, 0, 1)
    assert tree(out) == {"a": "mine too", "mine": "mine"}
    assert not (out / STATE).exists()


@pytest.mark.parametrize("content", ["changed", "2"])  # of another length, and of the same length
def test_a_file_that_the_user_changed_is_kept(tmp_path: Path, export, content: str) -> None:
    export({"a": "1", "b": "2"})
    (tmp_path / "out" / "a").write_text(content)
    done = export({"a": "new", "b": "2"})
    assert [name for name, _ in done.kept] == ["a"]
    assert numbers(export({})) == (0, 0, 1)
    assert tree(tmp_path / "out") == {"a": content}


def test_a_changed_file_is_kept_when_it_leaves_the_export(tmp_path: Path, export) -> None:
    export({"a": "1", "b": "2"})
    (tmp_path / "out" / "a").write_text("edited")
    done = export({"b": "2"})
    assert [name for name, _ in done.kept] == ["a"]
    assert export({"b": "2"}).kept == ()  # reported once: from now on it is a foreign file
    assert tree(tmp_path / "out") == {"a": "edited", "b": "2"}


def test_a_file_with_only_a_new_time_is_unchanged(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    os.utime(tmp_path / "out" / "a", ns=(0, 0))
    assert numbers(export({"a": "1"})) == (0, 1, 0)
    assert numbers(export({"a": "2"})) == (1, 0, 0)


def test_two_kinds_share_a_folder(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    done = export({"b": "2", "a": "3"}, kind="clusters")
    assert [name for name, _ in done.kept] == ["a"]
    assert numbers(export({"a": "1"})) == (0, 1, 0)
    assert numbers(export({}, kind="clusters")) == (0, 0, 1)
    assert tree(tmp_path / "out") == {"a": "1"}


def test_a_dry_run_counts_and_changes_nothing(tmp_path: Path, export: Callable[..., Written]) -> None:
    assert numbers(export({"a": "1"}, dry_run=True)) == (1, 0, 0)
    assert not (tmp_path / "out").exists()
    export({"a": "1", "b": "2"})
    before = (tmp_path / "out" / MANIFEST).read_text()
    assert numbers(export({"a": "1", "c": "3"}, dry_run=True)) == (1, 1, 1)
    assert tree(tmp_path / "out") == {"a": "1", "b": "2"}
    assert (tmp_path / "out" / MANIFEST).read_text() == before


def test_an_empty_export_creates_nothing(tmp_path: Path, export: Callable[..., Written]) -> None:
    assert numbers(export({})) == (0, 0, 0)
    assert not (tmp_path / "out").exists()


def test_an_included_file_that_is_not_written_keeps_its_old_content(
    tmp_path: Path, export, protected
) -> None:
    export({"a": "1"})
    with Folder(tmp_path / "out", "crops", protected) as folder:
        assert folder.include("a", "unreadable now")
        assert folder.include("b", "unreadable now")
        folder.finish()
    assert tree(tmp_path / "out") == {"a": "1"}
    assert numbers(export({"a": "1"})) == (0, 1, 0)


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a//b", "", ".", "a/", f"{STATE}/manifest.jsonl"]
)
def test_names_that_lead_out_of_the_folder_are_refused(
    tmp_path: Path, protected: ProtectedPaths, name: str
) -> None:
    with Folder(tmp_path / "out", "crops", protected) as folder, pytest.raises(UsageError, match="inside"):
        folder.write_if_changed(name, "", lambda: b"")


def test_two_files_cannot_have_one_name(tmp_path: Path, protected: ProtectedPaths) -> None:
    with Folder(tmp_path / "out", "crops", protected) as folder:
        folder.write_if_changed("a", "", lambda: b"")
        with pytest.raises(UsageError, match="Two files have the name"):
            folder.write_if_changed("A", "", lambda: b"")


def test_links_in_the_folder_are_not_followed(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"5/a": "1"})
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out" / "5").rename(elsewhere)
    (tmp_path / "out" / "5").symlink_to(elsewhere)
    (tmp_path / "out" / "b").symlink_to(elsewhere / "b")
    done = export({"5/a": "2", "5/new": "3", "b": "4"})
    assert [name for name, _ in done.kept] == ["5/a", "5/new", "b"]
    export({})
    assert tree(elsewhere) == {"a": "1"}


def test_a_manifest_cannot_name_files_outside_the_folder(tmp_path: Path, export) -> None:
    victim = tmp_path / "victim"
    victim.write_text("1")
    export({"a": "1"})
    manifest = tmp_path / "out" / MANIFEST
    entry = json.loads(manifest.read_text().splitlines()[-1])
    for name in ("../victim", str(victim)):
        with manifest.open("a") as file:
            file.write(json.dumps({**entry, "name": name}) + "\n")
    with manifest.open("a") as file:
        file.write('{"folder": "../photos"}\n{"name": 3}\n[1]\n{"half')
    assert numbers(export({})) == (0, 0, 1)
    assert victim.read_text() == "1"
    assert (tmp_path / "photos").is_dir()


def test_a_manifest_that_is_a_link_is_refused(tmp_path: Path, export, protected) -> None:
    export({"a": "1"})
    manifest = tmp_path / "out" / MANIFEST
    manifest.rename(tmp_path / "moved")
    manifest.symlink_to(tmp_path / "moved")
    before = manifest.read_text()
    with pytest.raises(UsageError, match="symbolic link"):
        export({"b": "1"})
    assert manifest.read_text() == before


def test_a_manifest_cannot_remove_folders_outside_the_folder(tmp_path: Path, export) -> None:
    export({"a": "1"})
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    with (tmp_path / "out" / MANIFEST).open("a") as file:
        file.write('{"folder": "link/empty"}\n')
    export({})
    assert (tmp_path / "elsewhere" / "empty").is_dir()


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"folder": "\\ud800"}',
        '{"name": "\\ud800", "kind": "crops", "source": ""}',
        '{"index": 3}',
    ],
)
def test_an_invalid_manifest_line_is_skipped(
    tmp_path: Path, export: Callable[..., Written], line: str
) -> None:
    export({"a": "1"})
    with (tmp_path / "out" / MANIFEST).open("a") as file:
        file.write(line + "\n")
    assert numbers(export({"a": "1"})) == (0, 1, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_manifest_that_is_a_pipe_is_refused(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    (tmp_path / "out" / MANIFEST).unlink()
    os.mkfifo(tmp_path / "out" / MANIFEST)
    for dry_run in (True, False):
        with pytest.raises(FaceIndexError, match="not a regular file"):
            export({"a": "1"}, dry_run=dry_run)


def test_a_manifest_of_a_newer_version_is_refused(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    (tmp_path / "out" / MANIFEST).write_text('{"faceindex-export": 99}\n')
    with pytest.raises(FaceIndexError, match="newer faceindex"):
        export({"a": "1"})


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("index", "in the index directory"),
        ("index/deeper", "in the index directory"),
        ("photos", "is the folder of indexed photos"),
        (".", "contains the folder of indexed photos"),
        ("photos/mine", "already contains portrait.jpg"),
        ("file", "is a file"),
        ("file/below", "cannot be written"),
        ("a\0b", "not a valid folder"),
        ("", "empty"),
    ],
)
def test_destinations_that_are_refused(
    tmp_path: Path, protected, monkeypatch, place: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "photos" / "mine").mkdir()
    (tmp_path / "photos" / "mine" / "portrait.jpg").touch()
    with pytest.raises(UsageError, match=words), Folder(place, "crops", protected):
        pass
    assert not list(tmp_path.rglob(STATE))


@pytest.mark.parametrize("parent", ["photos", "elsewhere"])  # `elsewhere` may be indexed later
def test_an_export_writes_nomedia(tmp_path: Path, protected: ProtectedPaths, parent: str) -> None:
    dest = tmp_path / parent / "faces"
    for names in ("ab", "bc", ""):
        with Folder(dest, "crops", protected) as folder:
            for name in names:
                folder.write_if_changed(name, "", lambda: b"")
            folder.finish()
        assert (dest / NO_MEDIA).exists() == bool(names)


def test_a_folder_with_foreign_files_gets_no_nomedia(tmp_path: Path, export: Callable[..., Written]) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "portrait.jpg").touch()
    for _ in range(2):
        export({"a": "1"})
    assert not (tmp_path / "out" / NO_MEDIA).exists()


def test_a_single_file_among_photos_does_not_allow_a_folder_export_there(
    tmp_path: Path, protected: ProtectedPaths
) -> None:
    photos = tmp_path / "photos" / "mine"
    photos.mkdir()
    (photos / "portrait.jpg").touch()

    def write(file: BinaryIO) -> None:
        file.write(b"1")

    export_file(photos / "boxes.csv", "boxes", "1", write, protected)
    for dry_run in (True, False):
        with (
            pytest.raises(UsageError, match=r"already contains portrait\.jpg"),
            Folder(photos, "crops", protected, dry_run=dry_run),
        ):
            pass
    assert not (photos / NO_MEDIA).exists()


def test_foreign_files_in_an_export_among_photos_are_kept(tmp_path: Path, protected) -> None:
    dest = tmp_path / "photos" / "faces"
    for source in ("1", "2"):
        with Folder(dest, "crops", protected) as folder:
            folder.write_if_changed("a", source, source.encode)
            assert folder.finish().written == 1
        (dest / "notes.txt").write_text("mine")
    (dest / NO_MEDIA).unlink()  # so a later index run would take its files for photos
    with pytest.raises(UsageError, match=r"already contains notes\.txt"), Folder(dest, "crops", protected):
        pass
    assert not (dest / NO_MEDIA).exists()


@pytest.mark.parametrize("parent", ["photos", "elsewhere"])
def test_nomedia_is_not_written_through_a_link(tmp_path: Path, protected, parent: str) -> None:
    dest = tmp_path / parent / "faces"
    dest.mkdir(parents=True)
    (dest / NO_MEDIA).symlink_to(tmp_path / "outside")
    with Folder(dest, "crops", protected) as folder:
        folder.write_if_changed("a", "", lambda: b"")
        folder.finish()
    assert not (tmp_path / "outside").exists()


def test_another_index_is_refused(tmp_path: Path, export, protected: ProtectedPaths) -> None:
    export({"a": "1"})
    (tmp_path / "other").mkdir()
    with (
        pytest.raises(UsageError, match="from another index"),
        Folder(tmp_path / "out", "crops", ProtectedPaths(tmp_path / "other" / "index")),
    ):
        pass
    assert numbers(export({"a": "1"})) == (0, 1, 0)


@pytest.mark.parametrize("together", [True, False])
def test_a_moved_index_or_folder_is_recognised(tmp_path: Path, export, protected, together: bool) -> None:
    export({"a": "1"})
    new = tmp_path / "new"
    new.mkdir()
    (tmp_path / "out").rename(new / "out")
    index = (tmp_path / "index").rename(new / "index") if together else tmp_path / "index"
    with Folder(new / "out", "crops", ProtectedPaths(index)) as folder:
        assert numbers(folder.finish()) == (0, 0, 1)


def test_the_last_copy_of_a_photo_is_kept(tmp_path: Path, protected: ProtectedPaths) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")
    content = b"\1" * 16
    known: list[tuple[str, bytes | None]] = [(str(photo), content)]

    def export(files: dict[str, str], *, dry_run: bool = False) -> Written:
        with Folder(tmp_path / "out", "clusters", protected, dry_run=dry_run) as folder:
            folder.originals = Originals(known)
            for name, source in files.items():
                if folder.include(name, source):
                    folder.write(name, source.encode(), original=Originals.key(str(photo), content))
            return folder.finish()

    export({"3/p.jpg": "photo"})
    photo.unlink()
    for files in ({}, {"3/p.jpg": "another photo"}):
        for dry_run in (True, False):
            done = export(files, dry_run=dry_run)
            assert numbers(done) == (0, 0, 0)
            assert [name for name, _ in done.kept] == ["3/p.jpg"]
    assert (tmp_path / "out" / "3" / "p.jpg").read_text() == "photo"
    photo.with_name("moved.jpg").write_text("photo")
    known[:] = [(str(photo.with_name("moved.jpg")), content)]
    assert numbers(export({})) == (0, 0, 1)


def test_a_copy_of_an_edited_photo_is_replaced(tmp_path: Path, protected: ProtectedPaths) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.touch()
    for content in (b"\1" * 16, b"\2" * 16):
        with Folder(tmp_path / "out", "clusters", protected) as folder:
            folder.originals = Originals([(str(photo), content)])
            assert folder.include("a", content.hex())
            folder.write("a", content, original=Originals.key(str(photo), content))
            assert numbers(folder.finish()) == (1, 0, 0)


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC])
def test_a_destination_that_cannot_be_locked(tmp_path, protected, monkeypatch, code: int) -> None:
    def fail(path: Path) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(state_module, "FileLock", fail)
    words = "disk of .*out is full" if code == errno.ENOSPC else "out cannot be written: Permission denied"
    with pytest.raises(FaceIndexError, match=words), Folder(tmp_path / "out", "crops", protected):
        pass
    assert not (tmp_path / "out").exists()


def test_a_destination_that_cannot_be_reached(tmp_path: Path, protected: ProtectedPaths) -> None:
    long = "x" * 300
    with pytest.raises(UsageError, match="cannot be reached"):
        Folder(tmp_path / long, "crops", protected)
    for name in (long, f"{long}/a.csv"):
        with pytest.raises(UsageError, match="cannot be reached"):
            export_file(tmp_path / name, "boxes", "", lambda file: None, protected)


def test_a_link_to_itself_is_refused(tmp_path: Path, protected: ProtectedPaths) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError):
        Folder(tmp_path / "loop", "crops", protected)


def test_a_link_to_a_refused_destination_is_refused(tmp_path: Path, protected: ProtectedPaths) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(UsageError, match="is the folder of indexed photos"):
        Folder(tmp_path / "link", "crops", protected)


def test_two_exports_at_once_are_refused(tmp_path: Path, protected: ProtectedPaths) -> None:
    with (
        Folder(tmp_path / "out", "crops", protected),
        pytest.raises(UsageError, match="Another export"),
        Folder(tmp_path / "out", "crops", protected),
    ):
        pass


def test_a_full_disk_is_reported_and_the_next_run_continues(tmp_path: Path, export, protected) -> None:
    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Folder(tmp_path / "out", "crops", protected) as folder:
        folder.total = 2
        folder.write_if_changed("a", "1", lambda: b"1")
        assert folder.include("b", "2")
        with pytest.raises(FaceIndexError, match=r"disk of .*out is full: 1 of 2 files"):
            folder.write("b", full)
    assert sorted(path.name for path in (tmp_path / "out" / STATE).iterdir()) == ["lock", "manifest.jsonl"]
    assert numbers(export({"a": "1", "b": "2"})) == (1, 1, 0)


def test_a_full_disk_is_reported_for_a_single_file(tmp_path: Path, protected: ProtectedPaths) -> None:
    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FaceIndexError) as caught:
        export_file(tmp_path / "b.csv", "boxes", "1", full, protected)
    assert caught.value.problem == f"The disk of {tmp_path / 'b.csv'} is full."
    assert not (tmp_path / STATE).exists()


def test_a_manifest_that_cannot_be_shortened_is_kept(tmp_path: Path, export, monkeypatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("faceindex.export.manifest.Manifest.rewrite", fail)
    assert numbers(export({"a": "1", "b": "2"})) == (2, 0, 0)
    assert numbers(export({"a": "1"})) == (0, 1, 1)
    monkeypatch.undo()
    assert numbers(export({"a": "1"})) == (0, 1, 0)


def test_an_error_before_the_first_file_leaves_nothing(tmp_path: Path, protected: ProtectedPaths) -> None:
    with pytest.raises(ZeroDivisionError), Folder(tmp_path / "out", "crops", protected) as folder:
        folder.write_if_changed("a", "1", lambda: bytes(1 // 0))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("step", ["append", "replace"])
def test_the_next_run_continues_after_a_killed_run(tmp_path: Path, export, protected, step: str) -> None:
    """The process dies right after the manifest is written, or right after the file is renamed."""
    export({"a": "old", "b": "old"})
    program = f"""
import os, sys
from pathlib import Path
from faceindex.export import destination, folder, manifest
def die_after(function):
    def dying(*args):
        function(*args)
        os._exit(9)
    return dying
if {step!r} == "append":
    manifest.Manifest.append = die_after(manifest.Manifest.append)
else:
    Path.replace = die_after(Path.replace)
protected = destination.ProtectedPaths(Path({str(protected.index)!r}))
with folder.Folder({str(tmp_path / "out")!r}, "crops", protected) as out:
    out.write_if_changed("a", "new", lambda: b"new")
"""
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", program], cwd=root, check=False)
    assert killed.returncode == 9
    assert tree(tmp_path / "out") == {"a": "old" if step == "append" else "new", "b": "old"}
    done = export({"a": "new", "b": "old"})
    assert done.kept == ()
    assert numbers(done) == ((1, 1, 0) if step == "append" else (0, 2, 0))
    assert tree(tmp_path / "out") == {"a": "new", "b": "old"}
    assert not list((tmp_path / "out" / STATE).glob("*part"))


@pytest.mark.parametrize("how", ["hardlink", "symlink"])
def test_hard_and_symbolic_links(
    tmp_path: Path, protected: ProtectedPaths, how: Literal["hardlink", "symlink"]
) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")

    def export(*names: str) -> Written:
        with Folder(tmp_path / "out", "clusters", protected) as folder:
            for name in names:
                if folder.include(name, how):
                    folder.write_link(name, photo, how)
            return folder.finish()

    assert numbers(export("a", "b")) == (2, 0, 0)
    assert (tmp_path / "out" / "a").samefile(photo)
    assert (tmp_path / "out" / "a").is_symlink() == (how == "symlink")
    photo.write_text("edited in place")
    assert numbers(export("b")) == (0, 1, 1)
    assert photo.read_text() == "edited in place"
    assert numbers(export()) == (0, 0, 1)
    assert photo.exists()


@pytest.mark.parametrize("how", ["hardlink", "symlink"])
def test_a_temporary_link_of_a_killed_run_is_not_written_through(tmp_path: Path, export, how: str) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")
    export({"a": "1"})
    for left in ("part", "manifest.part"):
        path = tmp_path / "out" / STATE / left
        path.hardlink_to(photo) if how == "hardlink" else path.symlink_to(photo)
    assert numbers(export({"a": "2"})) == (1, 0, 0)
    assert photo.read_text() == "photo"


def test_the_last_hard_link_to_a_photo_is_kept(tmp_path: Path, protected: ProtectedPaths) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")
    with Folder(tmp_path / "out", "clusters", protected) as folder:
        assert folder.include("a", "1")
        folder.write_link("a", photo, "hardlink")
        folder.finish()
    photo.unlink()
    with Folder(tmp_path / "out", "clusters", protected) as folder:
        assert numbers(folder.finish()) == (0, 0, 0)
    assert (tmp_path / "out" / "a").read_text() == "photo"


def test_a_link_to_another_disk_is_reported(tmp_path: Path, protected: ProtectedPaths, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with Folder(tmp_path / "out", "clusters", protected) as folder:
        assert folder.include("a", "1")
        with pytest.raises(FaceIndexError, match="another disk") as caught:
            folder.write_link("a", tmp_path / "photos", "hardlink")
        assert caught.value.remedy == "Pass `link='symlink'` or `link='copy'`."


def test_a_single_file_export(tmp_path: Path, protected: ProtectedPaths) -> None:
    def export(name: str, content: bytes) -> Written:
        def write(file: BinaryIO) -> None:
            file.write(content)

        return export_file(tmp_path / name, "boxes", content.decode(), write, protected)

    assert numbers(export("a.csv", b"1")) == (1, 0, 0)
    assert numbers(export("b.csv", b"1")) == (1, 0, 0)
    assert numbers(export("a.csv", b"1")) == (0, 1, 0)
    assert numbers(export("a.csv", b"2")) == (1, 0, 0)
    assert (tmp_path / "b.csv").read_text() == "1"
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(UsageError, match="left as it is"):
        export("a.csv", b"3")
    assert (tmp_path / "a.csv").read_text() == "mine"
    with pytest.raises(UsageError, match="is a folder"):
        export("photos", b"3")
    with pytest.raises(UsageError, match="no folder"):
        export("nowhere/a.csv", b"3")
    with pytest.raises(UsageError, match="in the index directory"):
        export("index/a.csv", b"3")
