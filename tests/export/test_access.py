"""Exports show faces: others may not read them, whatever the umask is, unless the export is public."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from faceindex.export.archive import export_archive
from faceindex.export.destination import ProtectedPaths
from faceindex.export.folder import Folder, Written
from faceindex.export.single_file import export_file
from faceindex.export.target import Target

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of Unix")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def export(root: Path, *, public: bool = False, content: bytes = b"1") -> Written:
    with Folder(root, "crops", ProtectedPaths(root.parent / "index", public=public)) as folder:
        for name in ("a.jpg", "anna/b.jpg", "anna/more/c.jpg"):
            folder.write_if_changed(name, content.hex(), lambda: content)
        return folder.finish()


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, public: bool) -> None:
    root = tmp_path / "new" / "faces"
    export(root, public=public)
    files = {path for path in root.rglob("*") if path.is_file() and ".faceindex-export" not in path.parts}
    assert {path.name for path in files} == {"a.jpg", "b.jpg", "c.jpg", ".nomedia"}
    folders = {root, root.parent, root / "anna", root / "anna" / "more"}
    assert {mode(path) for path in files} == {0o644 if public else 0o600}
    assert {mode(path) for path in folders} == {0o755 if public else 0o700}
    assert mode(root / ".faceindex-export") & 0o077 == 0


def test_a_later_run_changes_the_modes_of_its_own_files_alone(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    export(root, public=True)
    (root / "foreign").mkdir(mode=0o755)
    (root / "foreign" / "note.txt").touch(mode=0o644)
    (root / "foreign" / "note.txt").chmod(0o644)
    done = export(root)
    assert (done.written, done.unchanged, done.exposed) == (0, 3, True)  # others can list it
    assert mode(root) == 0o755 and mode(root / "foreign") == 0o755
    assert mode(root / "foreign" / "note.txt") == 0o644
    assert {mode(root / "a.jpg"), mode(root / "anna" / "b.jpg")} == {0o600}
    assert {mode(root / "anna"), mode(root / "anna" / "more")} == {0o700}
    root.chmod(0o700)
    assert not export(root, content=b"2").exposed
    assert not export(root, public=True).exposed
    assert {mode(root / "a.jpg"), mode(root / "anna")} == {0o644, 0o755}


def test_a_hard_link_keeps_the_mode_of_the_photo(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"photo")
    photo.chmod(0o644)
    for _ in range(2):
        with Folder(tmp_path / "out", "clusters", ProtectedPaths(tmp_path / "index")) as folder:
            for name, how in (("a.jpg", "hardlink"), ("b.jpg", "symlink")):
                if folder.include(name, how):
                    folder.write_link(name, photo, how)  # type: ignore[arg-type]
            folder.finish()
    assert mode(photo) == 0o644


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.usefixtures("umask")
def test_single_files_and_archives(tmp_path: Path, public: bool) -> None:
    protected = ProtectedPaths(tmp_path / "index", public=public)

    def fill(file: BinaryIO) -> None:
        file.write(b"1")

    export_file(tmp_path / "boxes.csv", "boxes", "1", fill, protected)

    def run(target: Target) -> Written:
        target.include("a.jpg", "1")
        target.write("a.jpg", b"1")
        return target.finish()

    export_archive(tmp_path / "faces.zip", "crops", protected, run)
    wanted = 0o644 if public else 0o600
    assert (mode(tmp_path / "boxes.csv"), mode(tmp_path / "faces.zip")) == (wanted, wanted)
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive:
        assert stat.S_IMODE(archive.getinfo("a.jpg").external_attr >> 16) == wanted


def test_a_planted_link_in_the_state_is_not_followed(tmp_path: Path) -> None:
    """Somebody who can write into the destination plants links where the export writes."""
    victim = tmp_path / "victim"
    plants: tuple[Callable[[Path], None], ...] = (
        lambda path: path.symlink_to(victim),
        lambda path: path.hardlink_to(victim),
    )
    for number, plant in enumerate(plants):
        for name in ("lock", "part", "manifest.part", "manifest.jsonl"):
            victim.write_bytes(b"{}\n")
            root = tmp_path / f"{number}-{name}"
            (root / ".faceindex-export").mkdir(parents=True)
            plant(root / ".faceindex-export" / name)
            try:
                export(root)
            except Exception as error:
                assert name in str(error) or "link" in str(error), (name, error)
            assert victim.read_bytes() == b"{}\n", (number, name)
