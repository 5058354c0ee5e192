from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faceindex.errors import FaceIndexError, StoreError, UsageError
from faceindex.export import folder as folder_module
from faceindex.export.destination import NO_MEDIA, STATE
from faceindex.export.files import export_file
from faceindex.export.folder import Folder, ProtectedPaths, Written
from faceindex.export.originals import Originals

MANIFEST = f"{STATE}/manifest.jsonl"


@pytest.fixture
def around(tmp_path: Path) -> ProtectedPaths:
    for name in ("index", "photos"):
        (tmp_path / name).mkdir()
    return ProtectedPaths(tmp_path / "index", (tmp_path / "photos",))


@pytest.fixture
def export(tmp_path: Path, around: ProtectedPaths) -> Callable[..., Written]:
    """Export a dict of names and contents to ``out``; the source of each is its content."""

    def export(files: dict[str, str], *, kind: str = "crops", dry_run: bool = False) -> Written:
        with Folder(tmp_path / "out", kind, around, dry_run=dry_run) as folder:
            for name, content in files.items():
                folder.put(name, content, content.encode)
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


def test_again_changes_only_what_changed(tmp_path: Path, export: Callable[..., Written]) -> None:
    assert numbers(export({"a": "1", "b": "2", "5/c": "3", "6/d": "4"})) == (4, 0, 0)
    before = (tmp_path / "out" / "a").stat()
    assert numbers(export({"a": "1", "b": "two", "5/c": "3", "7/e": "5"})) == (2, 2, 1)
    assert tree(tmp_path / "out") == {"a": "1", "b": "two", "5/c": "3", "7/e": "5"}
    after = (tmp_path / "out" / "a").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / "out" / "6").exists()


def test_what_is_unchanged_is_not_made(tmp_path: Path, export: Callable[..., Written], around) -> None:
    export({"a": "1"})
    with Folder(tmp_path / "out", "crops", around) as folder:
        folder.put("a", "1", lambda: pytest.fail("made"))
        assert numbers(folder.finish()) == (0, 1, 0)


def test_other_sources_of_the_same_content_leave_the_file_alone(tmp_path: Path, export, around) -> None:
    export({"a": "1"})
    before = (tmp_path / "out" / "a").stat().st_ino
    for expected in ((0, 1, 0), (0, 1, 0)):
        with Folder(tmp_path / "out", "crops", around) as folder:
            folder.put("a", "other", lambda: b"1")
            assert numbers(folder.finish()) == expected
    assert (tmp_path / "out" / "a").stat().st_ino == before


def test_a_deleted_file_is_written_again(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1", "b": "2"})
    (tmp_path / "out" / "a").unlink()
    assert numbers(export({"a": "1", "b": "2"})) == (1, 1, 0)


def test_files_of_others_are_never_touched(tmp_path: Path, export: Callable[..., Written]) -> None:
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


@pytest.mark.parametrize("content", ["changed", "2"])  # of another and of the same length
def test_a_file_that_the_user_changed_is_kept(tmp_path: Path, export, content: str) -> None:
    export({"a": "1", "b": "2"})
    (tmp_path / "out" / "a").write_text(content)
    done = export({"a": "new", "b": "2"})
    assert [name for name, _ in done.kept] == ["a"]
    assert numbers(export({})) == (0, 0, 1)
    assert tree(tmp_path / "out") == {"a": content}


def test_a_changed_file_is_kept_also_when_it_is_no_longer_wanted(tmp_path: Path, export) -> None:
    export({"a": "1", "b": "2"})
    (tmp_path / "out" / "a").write_text("edited")
    done = export({"b": "2"})
    assert [name for name, _ in done.kept] == ["a"]
    assert export({"b": "2"}).kept == ()  # it is the user's now, and told once
    assert tree(tmp_path / "out") == {"a": "edited", "b": "2"}


def test_a_new_time_alone_is_no_change(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    os.utime(tmp_path / "out" / "a", ns=(0, 0))
    assert numbers(export({"a": "1"})) == (0, 1, 0)
    assert numbers(export({"a": "2"})) == (1, 0, 0)


def test_kinds_share_a_folder(tmp_path: Path, export: Callable[..., Written]) -> None:
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


def test_nothing_to_export_leaves_nothing(tmp_path: Path, export: Callable[..., Written]) -> None:
    assert numbers(export({})) == (0, 0, 0)
    assert not (tmp_path / "out").exists()


def test_a_claim_without_content_keeps_what_is_there(tmp_path: Path, export, around) -> None:
    export({"a": "1"})
    with Folder(tmp_path / "out", "crops", around) as folder:
        assert folder.claim("a", "unreadable now")
        assert folder.claim("b", "unreadable now")
        folder.finish()
    assert tree(tmp_path / "out") == {"a": "1"}
    assert numbers(export({"a": "1"})) == (0, 1, 0)


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a//b", "", ".", "a/", f"{STATE}/manifest.jsonl"]
)
def test_no_name_leads_out(tmp_path: Path, around: ProtectedPaths, name: str) -> None:
    with Folder(tmp_path / "out", "crops", around) as folder, pytest.raises(UsageError, match="inside"):
        folder.put(name, "", lambda: b"")


def test_a_name_is_given_once(tmp_path: Path, around: ProtectedPaths) -> None:
    with Folder(tmp_path / "out", "crops", around) as folder:
        folder.put("a", "", lambda: b"")
        with pytest.raises(UsageError, match="Two files"):
            folder.put("A", "", lambda: b"")


def test_nothing_is_written_or_removed_through_a_link(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"5/a": "1"})
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out" / "5").rename(elsewhere)
    (tmp_path / "out" / "5").symlink_to(elsewhere)
    (tmp_path / "out" / "b").symlink_to(elsewhere / "b")
    done = export({"5/a": "2", "5/new": "3", "b": "4"})
    assert [name for name, _ in done.kept] == ["5/a", "5/new", "b"]
    export({})
    assert tree(elsewhere) == {"a": "1"}


def test_a_record_from_elsewhere_cannot_name_files_outside(tmp_path: Path, export) -> None:
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


def test_links_in_the_record_are_refused(tmp_path: Path, export, around) -> None:
    export({"a": "1"})
    manifest = tmp_path / "out" / MANIFEST
    manifest.rename(tmp_path / "moved")
    manifest.symlink_to(tmp_path / "moved")
    before = manifest.read_text()
    with pytest.raises(UsageError, match="symbolic link"):
        export({"b": "1"})
    assert manifest.read_text() == before


def test_a_record_from_elsewhere_cannot_remove_folders_outside(tmp_path: Path, export) -> None:
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
def test_an_odd_record_is_passed_over(tmp_path: Path, export: Callable[..., Written], line: str) -> None:
    export({"a": "1"})
    with (tmp_path / "out" / MANIFEST).open("a") as file:
        file.write(line + "\n")
    assert numbers(export({"a": "1"})) == (0, 1, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_place_of_the_record_is_refused(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    (tmp_path / "out" / MANIFEST).unlink()
    os.mkfifo(tmp_path / "out" / MANIFEST)
    for dry_run in (True, False):
        with pytest.raises(FaceIndexError, match="no regular file"):
            export({"a": "1"}, dry_run=dry_run)


def test_a_newer_record_is_refused(tmp_path: Path, export: Callable[..., Written]) -> None:
    export({"a": "1"})
    (tmp_path / "out" / MANIFEST).write_text('{"faceindex-export": 99}\n')
    with pytest.raises(FaceIndexError, match="newer faceindex"):
        export({"a": "1"})


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("index", "in the index"),
        ("index/deeper", "in the index"),
        ("photos", "is the folder of indexed photos"),
        (".", "holds the folder of indexed photos"),
        ("photos/mine", "already holds portrait.jpg"),
        ("file", "is a file"),
        ("file/below", "cannot be written"),
        ("a\0b", "cannot be a folder"),
        ("", "empty"),
    ],
)
def test_bad_places(tmp_path: Path, around, monkeypatch, place: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "photos" / "mine").mkdir()
    (tmp_path / "photos" / "mine" / "portrait.jpg").touch()
    with pytest.raises(UsageError, match=words), Folder(place, "crops", around):
        pass
    assert not list(tmp_path.rglob(STATE))


@pytest.mark.parametrize("parent", ["photos", "elsewhere"])  # which may be indexed later
def test_an_export_hides_from_the_index(tmp_path: Path, around: ProtectedPaths, parent: str) -> None:
    dest = tmp_path / parent / "faces"
    for names in ("ab", "bc", ""):
        with Folder(dest, "crops", around) as folder:
            for name in names:
                folder.put(name, "", lambda: b"")
            folder.finish()
        assert (dest / NO_MEDIA).exists() == bool(names)


def test_a_folder_of_others_is_not_hidden(tmp_path: Path, export: Callable[..., Written]) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "portrait.jpg").touch()
    for _ in range(2):
        export({"a": "1"})
    assert not (tmp_path / "out" / NO_MEDIA).exists()


def test_one_file_among_photos_opens_no_door(tmp_path: Path, around: ProtectedPaths) -> None:
    photos = tmp_path / "photos" / "mine"
    photos.mkdir()
    (photos / "portrait.jpg").touch()
    export_file(photos / "boxes.csv", "boxes", "1", lambda file: file.write(b"1") and None, around)
    for dry_run in (True, False):
        with (
            pytest.raises(UsageError, match=r"already holds portrait\.jpg"),
            Folder(photos, "crops", around, dry_run=dry_run),
        ):
            pass
    assert not (photos / NO_MEDIA).exists()


def test_what_others_put_into_an_export_among_photos_is_left_alone(tmp_path: Path, around) -> None:
    dest = tmp_path / "photos" / "faces"
    for source in ("1", "2"):
        with Folder(dest, "crops", around) as folder:
            folder.put("a", source, source.encode)
            assert folder.finish().written == 1
        (dest / "notes.txt").write_text("mine")
    (dest / NO_MEDIA).unlink()  # now it is a folder of photos
    with pytest.raises(UsageError, match=r"already holds notes\.txt"), Folder(dest, "crops", around):
        pass
    assert not (dest / NO_MEDIA).exists()


@pytest.mark.parametrize("parent", ["photos", "elsewhere"])
def test_the_marker_is_not_written_through_a_link(tmp_path: Path, around, parent: str) -> None:
    dest = tmp_path / parent / "faces"
    dest.mkdir(parents=True)
    (dest / NO_MEDIA).symlink_to(tmp_path / "outside")
    with Folder(dest, "crops", around) as folder:
        folder.put("a", "", lambda: b"")
        folder.finish()
    assert not (tmp_path / "outside").exists()


def test_another_index_is_refused(tmp_path: Path, export, around: ProtectedPaths) -> None:
    export({"a": "1"})
    (tmp_path / "other").mkdir()
    with (
        pytest.raises(UsageError, match="from another index"),
        Folder(tmp_path / "out", "crops", ProtectedPaths(tmp_path / "other" / "index")),
    ):
        pass
    assert numbers(export({"a": "1"})) == (0, 1, 0)


@pytest.mark.parametrize("together", [True, False])
def test_a_move_makes_no_other_index(tmp_path: Path, export, around, together: bool) -> None:
    export({"a": "1"})
    new = tmp_path / "new"
    new.mkdir()
    (tmp_path / "out").rename(new / "out")
    index = (tmp_path / "index").rename(new / "index") if together else tmp_path / "index"
    with Folder(new / "out", "crops", ProtectedPaths(index)) as folder:
        assert numbers(folder.finish()) == (0, 0, 1)


def test_the_last_copy_of_a_photo_is_kept(tmp_path: Path, around: ProtectedPaths) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")
    content = b"\1" * 16
    known: list[tuple[str, bytes | None]] = [(str(photo), content)]

    def export(files: dict[str, str], *, dry_run: bool = False) -> Written:
        with Folder(tmp_path / "out", "clusters", around, dry_run=dry_run) as folder:
            folder.originals = Originals(known)
            for name, source in files.items():
                if folder.claim(name, source):
                    folder.write(name, source.encode(), original=Originals.mark(str(photo), content))
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


def test_a_copy_of_an_edited_photo_is_replaced(tmp_path: Path, around: ProtectedPaths) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.touch()
    for content in (b"\1" * 16, b"\2" * 16):
        with Folder(tmp_path / "out", "clusters", around) as folder:
            folder.originals = Originals([(str(photo), content)])
            assert folder.claim("a", content.hex())
            folder.write("a", content, original=Originals.mark(str(photo), content))
            assert numbers(folder.finish()) == (1, 0, 0)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC])
def test_a_destination_that_cannot_be_locked(tmp_path, around, monkeypatch, code: int, wrapped: bool) -> None:
    def fail(path: Path) -> None:
        error = OSError(code, os.strerror(code))
        if wrapped:
            raise StoreError(f"The index in {path} cannot be written.", "Use --index.") from error
        raise error

    monkeypatch.setattr(folder_module, "WriterLock", fail)
    words = "disk of .*out is full" if code == errno.ENOSPC else "out cannot be written: Permission denied"
    with pytest.raises(FaceIndexError, match=words), Folder(tmp_path / "out", "crops", around):
        pass
    assert not (tmp_path / "out").exists()


def test_a_destination_that_cannot_be_looked_at(tmp_path: Path, around: ProtectedPaths) -> None:
    long = "x" * 300
    with pytest.raises(UsageError, match="cannot be reached"):
        Folder(tmp_path / long, "crops", around)
    for name in (long, f"{long}/a.csv"):
        with pytest.raises(UsageError, match="cannot be reached"):
            export_file(tmp_path / name, "boxes", "", lambda file: None, around)


def test_a_link_to_itself_is_no_folder(tmp_path: Path, around: ProtectedPaths) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError):
        Folder(tmp_path / "loop", "crops", around)


def test_a_link_to_a_bad_place_is_one(tmp_path: Path, around: ProtectedPaths) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(UsageError, match="is the folder of indexed photos"):
        Folder(tmp_path / "link", "crops", around)


def test_two_at_once(tmp_path: Path, around: ProtectedPaths) -> None:
    with (
        Folder(tmp_path / "out", "crops", around),
        pytest.raises(UsageError, match="Another export"),
        Folder(tmp_path / "out", "crops", around),
    ):
        pass


def test_a_full_disk_is_named_and_the_next_run_goes_on(tmp_path: Path, export, around) -> None:
    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Folder(tmp_path / "out", "crops", around) as folder:
        folder.total = 2
        folder.put("a", "1", lambda: b"1")
        assert folder.claim("b", "2")
        with pytest.raises(FaceIndexError, match=r"disk of .*out is full: 1 of 2 files"):
            folder.write("b", full)
    assert sorted(path.name for path in (tmp_path / "out" / STATE).iterdir()) == ["lock", "manifest.jsonl"]
    assert numbers(export({"a": "1", "b": "2"})) == (1, 1, 0)


def test_a_full_disk_of_one_file(tmp_path: Path, around: ProtectedPaths) -> None:
    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FaceIndexError) as caught:
        export_file(tmp_path / "b.csv", "boxes", "1", full, around)
    assert caught.value.problem == f"The disk of {tmp_path / 'b.csv'} is full."
    assert not (tmp_path / STATE).exists()


def test_a_record_that_cannot_be_shortened_is_no_failure(tmp_path: Path, export, monkeypatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("faceindex.export.manifest.Manifest.rewrite", fail)
    assert numbers(export({"a": "1", "b": "2"})) == (2, 0, 0)
    assert numbers(export({"a": "1"})) == (0, 1, 1)
    monkeypatch.undo()
    assert numbers(export({"a": "1"})) == (0, 1, 0)


def test_a_failure_before_the_first_file_leaves_nothing(tmp_path: Path, around: ProtectedPaths) -> None:
    with pytest.raises(ZeroDivisionError), Folder(tmp_path / "out", "crops", around) as folder:
        folder.put("a", "1", lambda: bytes(1 // 0))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("step", ["append", "replace"])
def test_a_killed_run_leaves_nothing_wrong(tmp_path: Path, export, around, step: str) -> None:
    """The process dies right after the record is written, or right after the file has its name."""
    export({"a": "old", "b": "old"})
    program = f"""
import os, sys
from pathlib import Path
from faceindex.export import folder, manifest
def die_after(function):
    def dying(*args):
        function(*args)
        os._exit(9)
    return dying
if {step!r} == "append":
    manifest.Manifest.append = die_after(manifest.Manifest.append)
else:
    Path.replace = die_after(Path.replace)
around = folder.ProtectedPaths(Path({str(around.index)!r}))
with folder.Folder({str(tmp_path / "out")!r}, "crops", around) as out:
    out.put("a", "new", lambda: b"new")
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
def test_links(tmp_path: Path, around: ProtectedPaths, how: str) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")

    def export(*names: str) -> Written:
        with Folder(tmp_path / "out", "clusters", around) as folder:
            for name in names:
                if folder.claim(name, how):
                    folder.link(name, photo, how)
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
def test_a_link_that_a_killed_run_left_is_not_written_through(tmp_path: Path, export, how: str) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")
    export({"a": "1"})
    for left in ("part", "manifest.part"):
        path = tmp_path / "out" / STATE / left
        path.hardlink_to(photo) if how == "hardlink" else path.symlink_to(photo)
    assert numbers(export({"a": "2"})) == (1, 0, 0)
    assert photo.read_text() == "photo"


def test_the_last_hard_link_to_a_photo_is_kept(tmp_path: Path, around: ProtectedPaths) -> None:
    photo = tmp_path / "photos" / "p.jpg"
    photo.write_text("photo")
    with Folder(tmp_path / "out", "clusters", around) as folder:
        assert folder.claim("a", "1")
        folder.link("a", photo, "hardlink")
        folder.finish()
    photo.unlink()
    with Folder(tmp_path / "out", "clusters", around) as folder:
        assert numbers(folder.finish()) == (0, 0, 0)
    assert (tmp_path / "out" / "a").read_text() == "photo"


def test_a_link_that_cannot_be_made(tmp_path: Path, around: ProtectedPaths, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with Folder(tmp_path / "out", "clusters", around) as folder:
        assert folder.claim("a", "1")
        with pytest.raises(FaceIndexError, match="another disk") as caught:
            folder.link("a", tmp_path / "photos", "hardlink")
        assert "--link symlink or copy" in caught.value.remedy


def test_one_file(tmp_path: Path, around: ProtectedPaths) -> None:
    def export(name: str, content: bytes) -> Written:
        return export_file(
            tmp_path / name, "boxes", content.decode(), lambda file: file.write(content) and None, around
        )

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
    with pytest.raises(UsageError, match="in the index"):
        export("index/a.csv", b"3")
