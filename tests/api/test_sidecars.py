"""`FaceIndex.sidecars`: names exchanged with sidecars and photos, and what changed since."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest
from old_formats import downgrade
from xmp_packets import mwg, mwg_item, packet

from faceindex import FaceIndex
from faceindex.api.sidecar_results import WriteReport
from faceindex.errors import UsageError
from faceindex.interchange.xmp import read_photo, read_xmp
from faceindex.store.exchanged import RegionState

needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs ExifTool")


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    return Path(fake_models.make_album(tmp_path / "album", people=2, photos=2))


@pytest.fixture
def index(album: Path, tmp_path: Path) -> Iterator[FaceIndex]:
    """Two people with two photos each; the first one is Anna, the other one has no name."""
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        index.people.name("Anna", clusters=[0])
        yield index


def fresh(tmp_path: Path, album: Path) -> FaceIndex:
    index = FaceIndex.create(tmp_path / "fresh", detector="fake", embedder="fake")
    index.add(album)
    index.cluster()
    return index


def names(index: FaceIndex) -> list[str | None]:
    return [face.person for face in sorted(index, key=lambda face: face.path)]


def in_file(photo: Path) -> list[str | None]:
    return [region.name for region in read_photo(photo, problems=[]).regions]


def photos(album: Path) -> list[Path]:
    return sorted(album.rglob("*.png"))


def wrote(report: WriteReport) -> tuple[int, int, int, int]:
    return report.written, report.added, report.renamed, report.removed


def change(photo: Path, before: str, after: str) -> None:
    """Another program renames a region."""
    sidecar = Path(f"{photo}.xmp")
    text = sidecar.read_text()
    assert before in text
    sidecar.write_text(text.replace(before, after))


def face_of(index: FaceIndex, photo: Path) -> int:
    (face,) = index.faces(photo=photo)
    return int(face.face)


def test_names_go_round(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    dry = index.sidecars.write(dry_run=True)
    assert (wrote(dry), dry.new, dry.faces, dry.named) == ((2, 2, 0, 0), 2, 2, 2)
    assert not list(album.rglob("*.xmp"))
    report = index.sidecars.write()
    assert wrote(report) == wrote(dry)
    assert report.changes == dry.changes
    assert report.as_dict()["written"] == 2
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in album.rglob("*") if path.is_file()
    }
    assert len(before) == 4 + 2
    again = index.sidecars.write()
    assert (again.written, again.known) == (0, 2)
    commits = index._store.generation
    assert index.sidecars.write().written == 0
    assert index._store.generation == commits
    read = index.sidecars.read()
    assert (read.unchanged, read.imported.decision, read.photos) == (2, None, 4)
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    with fresh(tmp_path, album) as other:
        planned = other.sidecars.read(dry_run=True)
        assert planned.imported.named == 2
        assert names(other) == [None] * 4
        done = other.sidecars.read()
        assert (done.imported.named, done.imported.new_people) == (2, ("Anna",))
        assert names(other) == names(index) == ["Anna", "Anna", None, None]
        assert other.sidecars.read().imported.decision is None
        assert other.sidecars.write().written == 0
        other.people.undo()
        assert names(other) == [None] * 4
        assert other.sidecars.read().imported.named == 2
        assert FaceIndex.doctor(other.directory).healthy


def test_a_rename_goes_to_the_other_side(index: FaceIndex, album: Path) -> None:
    index.sidecars.write()
    first, second = photos(album)[:2]
    change(first, "Anna", "Berta")
    held = index.sidecars.write()
    assert (held.written, held.unread, held.known) == (0, 1, 1)
    report = index.sidecars.read()
    assert (report.imported.named, report.unchanged, report.imported.conflicting) == (1, 1, 0)
    assert names(index) == ["Berta", "Anna", None, None]
    index.people.rename("Anna", "Anna Berg")
    assert wrote(index.sidecars.write()) == (1, 0, 1, 0)
    assert in_file(second) == ["Anna Berg"]
    assert "People/Anna<" not in Path(f"{second}.xmp").read_text()
    index.people.merge("Berta", "Anna Berg")
    assert wrote(index.sidecars.write()) == (1, 0, 1, 0)
    assert in_file(second) == in_file(first) == ["Berta"]
    assert index.sidecars.read().imported.decision is None


def test_both_sides_changed_is_a_conflict(index: FaceIndex, album: Path) -> None:
    index.sidecars.write()
    first = photos(album)[0]
    change(first, "Anna", "Berta")
    index.people.rename("Anna", "Anna Berg")
    content = Path(f"{first}.xmp").read_bytes()
    report = index.sidecars.write()
    assert (wrote(report), report.conflicting) == ((1, 0, 1, 0), 1)
    read = index.sidecars.read()
    assert (read.conflicting, read.imported.decision) == (1, None)
    for (conflict,) in (report.conflicts, read.conflicts):
        assert (conflict.here, conflict.there) == ("Anna Berg", "Berta")
    assert index.sidecars.read(prefer="file", dry_run=True).imported.named == 1
    assert Path(f"{first}.xmp").read_bytes() == content
    assert index.sidecars.write(prefer="file").written == 0
    assert wrote(index.sidecars.write(prefer="index")) == (1, 0, 1, 0)
    assert in_file(first) == ["Anna Berg"]


def test_the_file_counts_more_if_it_is_said(index: FaceIndex, album: Path) -> None:
    first = photos(album)[0]
    index.people.confirm([face_of(index, first)])
    Path(f"{first}.xmp").write_bytes(packet(mwg(mwg_item(0.5, 0.5, 0.5, 0.5, "Berta"), dimensions=(96, 96))))
    assert index.sidecars.read().imported.conflicting == 1
    assert index.sidecars.write().conflicting == 1
    assert index.sidecars.read(prefer="file").imported.named == 1
    assert names(index)[:2] == ["Berta", "Anna"]


def test_what_was_removed_there_is_not_written_again(index: FaceIndex, album: Path) -> None:
    index.sidecars.write()
    first = photos(album)[0]
    Path(f"{first}.xmp").write_bytes(packet(""))
    report = index.sidecars.write()
    assert (report.written, report.gone) == (0, 1)
    read = index.sidecars.read()
    assert (read.removed, read.rejected, read.imported.decision) == (1, 0, None)
    assert [(one.here, one.there) for one in read.removed_regions] == [("Anna", None)]
    assert names(index)[:2] == ["Anna", "Anna"]
    assert index.sidecars.read(prefer="file", dry_run=True).rejected == 1
    assert names(index)[:2] == ["Anna", "Anna"]
    decided = index.sidecars.read(prefer="file")
    assert decided.rejected == 1
    assert decided.imported.decision is not None
    assert names(index)[:2] == [None, "Anna"]
    index.people.undo()
    assert index.sidecars.write(prefer="index").added == 1
    assert in_file(first) == ["Anna"]


def test_a_sidecar_that_was_deleted_is_written_again(index: FaceIndex, album: Path) -> None:
    index.sidecars.write()
    Path(f"{photos(album)[0]}.xmp").unlink()
    assert index.sidecars.read().removed == 0
    assert index.sidecars.write().added == 1


def test_what_was_removed_here_leaves_the_file_if_it_was_ours(index: FaceIndex, album: Path) -> None:
    first, second = photos(album)[:2]
    theirs = packet(mwg(mwg_item(0.5, 0.5, 0.5, 0.5, "Anna"), dimensions=(96, 96)))
    Path(f"{second}.xmp").write_bytes(theirs)
    assert wrote(index.sidecars.write()) == (1, 1, 0, 0)
    index.people.ignore(faces=[face_of(index, first), face_of(index, second)])
    assert wrote(index.sidecars.write()) == (1, 0, 0, 1)
    assert in_file(first) == []
    assert "Anna" not in Path(f"{first}.xmp").read_text()
    assert Path(f"{second}.xmp").read_bytes() == theirs
    assert index.sidecars.write().written == 0
    assert index.sidecars.read().imported.decision is None


def test_a_face_without_a_region_is_added_and_a_region_without_a_face_is_one(
    index: FaceIndex, album: Path
) -> None:
    first = photos(album)[0]
    Path(f"{first}.xmp").write_bytes(packet(mwg(mwg_item(0.12, 0.12, 0.2, 0.2, "Carl"), dimensions=(96, 96))))
    report = index.sidecars.read()
    assert report.imported.added == 1
    assert sorted(str(face.person) for face in index.faces(photo=first)) == ["Anna", "Carl"]
    assert wrote(index.sidecars.write([first])) == (1, 1, 0, 0)
    assert sorted(map(str, in_file(first))) == ["Anna", "Carl"]
    assert index.sidecars.read().imported.decision is None
    index.people.undo()
    assert [face.person for face in index.faces(photo=first)] == ["Anna"]


def test_hidden_and_nameless_people_are_not_written(index: FaceIndex, album: Path) -> None:
    index.people.hide("Anna")
    report = index.sidecars.write()
    assert (report.written, report.hidden, report.faces) == (0, 2, 0)
    index.people.hide("Anna", False)
    index.sidecars.write()
    index.people.hide("Anna")
    assert index.sidecars.write().written == 0
    assert in_file(photos(album)[0]) == ["Anna"]


def test_crops_are_left_alone(index: FaceIndex, album: Path) -> None:
    first = photos(album)[0]
    content = packet(mwg(mwg_item(0.5, 0.5, 0.5, 0.5, "Berta"), dimensions=(96, 40)))
    Path(f"{first}.xmp").write_bytes(content)
    report = index.sidecars.write()
    assert ([Path(name).name for name in report.cropped], report.written) == (["0.png"], 1)
    assert index.sidecars.read().imported.cropped == 1
    assert Path(f"{first}.xmp").read_bytes() == content


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
def test_files_that_cannot_be_written_are_named(index: FaceIndex, album: Path) -> None:
    first, second = photos(album)[:2]
    damaged = Path(f"{first}.xmp")
    damaged.write_bytes(b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf")
    report = index.sidecars.write()
    assert report.written == 1
    (problem,) = report.failed
    assert str(damaged) in problem
    assert damaged.read_bytes().endswith(b"<rdf")
    damaged.unlink()
    kept = Path(f"{second}.xmp")
    kept.chmod(0o640)
    kept.write_text(kept.read_text().replace("Anna", "Zoe"))
    index.sidecars.read()
    index.people.rename("Zoe", "Zora")
    folder = Path(os.path.realpath(album / "person0"))
    target = tmp = folder.parent / "elsewhere.xmp"
    shutil.move(kept, target)
    kept.symlink_to(target)
    assert wrote(index.sidecars.write()) == (2, 1, 1, 0)
    assert kept.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "Zora" in tmp.read_text()
    if os.geteuid():  # the superuser may write anywhere
        folder.chmod(0o500)
        index.people.rename("Anna", "Anne")
        try:
            failed = index.sidecars.write()
        finally:
            folder.chmod(0o700)
        assert (failed.written, len(failed.failed)) == (0, 1)
        assert index.sidecars.write().renamed == 1


def test_a_writing_that_was_killed_is_finished(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both before and after a file was written: what is there counts as ours, what is not is written."""
    from faceindex.interchange.sidecar_files import write_sidecar as real

    calls = []

    def killed(*args: object, **kwargs: object) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("faceindex.api.sidecar_writing.write_sidecar", killed)
    with pytest.raises(KeyboardInterrupt):
        index.sidecars.write()
    monkeypatch.undo()
    assert {row.state for rows in index._store.exchanged.by_photo().values() for row in rows} == {
        RegionState.PENDING
    }
    report = index.sidecars.write()
    assert (wrote(report), report.known) == ((1, 1, 0, 0), 1)
    assert {row.state for rows in index._store.exchanged.by_photo().values() for row in rows} == {
        RegionState.OURS
    }


def test_forgetting_reaches_the_sidecars(index: FaceIndex, album: Path) -> None:
    first, second, third = photos(album)[:3]
    Path(f"{first}.xmp").write_bytes(packet("<dc:format>image/png</dc:format>"))
    index.people.name("Ben", faces=[face_of(index, third)])
    index.sidecars.write()
    planned = index.forget("Anna", dry_run=True).copies
    assert [(Path(each.path).name, each.kind, each.state) for each in planned] == [
        ("person0", "sidecars", "found")
    ]
    aside = Path(f"{second}.aside")
    Path(second).rename(aside)
    receipt = index.forget("Anna", verify=True)
    assert not receipt.complete
    assert sorted(each.state for each in receipt.copies) == ["missing", "updated"]
    text = Path(f"{first}.xmp").read_text()
    assert "Anna" not in text
    assert "image/png" in text
    assert "Anna" in Path(f"{second}.xmp").read_text()
    rows = index._store._catalog.query("SELECT name, state FROM exchanged_regions ORDER BY state")
    assert rows == [("Ben", 1), (None, 3)]
    aside.rename(second)
    index.close()
    with FaceIndex.open(index.directory, write=True) as again:
        assert "Anna" not in Path(f"{second}.xmp").read_text()
        assert not again._store.exchanged.to_remove()
        again.forget(photos=[third])
        assert "Ben" not in Path(f"{third}.xmp").read_text()
        assert again.sidecars.read().imported.decision is None


def test_paths_and_photos_inside_files(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    first = photos(album)[0]
    assert index.sidecars.write(first).photos == 1
    assert index.sidecars.write([album / "person1", first]).photos == 3
    with pytest.raises(UsageError, match="no photo at"):
        index.sidecars.read(tmp_path / "other")
    with pytest.raises(UsageError, match="`prefer`"):
        index.sidecars.write(prefer="both")  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as file:
        file.write(first, "a.png")
    index.add(tmp_path / "more.zip")
    report = index.sidecars.write()
    assert (report.inside, report.photos) == (1, 5)
    assert index.sidecars.read().photos == 5
    first.rename(tmp_path / "gone.png")
    assert index.sidecars.write().missing == 1
    assert index.sidecars.read().missing == 1
    with FaceIndex.open(index.directory) as reader, pytest.raises(UsageError, match="reading only"):
        reader.sidecars.write()


@pytest.mark.parametrize("style", ["full", "stem"])
def test_all_orientations(
    tmp_path: Path, fake_models: ModuleType, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face off the middle, in a photo that is not square, is at one place of the stored picture."""
    from faceindex.types import Detections

    def corner(self: object, image: np.ndarray) -> Detections:
        height, width = image.shape[:2]
        box = np.array([[0.1 * width, 0.2 * height, 0.4 * width, 0.6 * height]], np.float32)
        return Detections(box, np.full((1, 5, 2), np.nan, np.float32), np.ones(1, np.float32))

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", corner)
    album = tmp_path / "album"
    album.mkdir()
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[0x112] = orientation
        picture = PIL.Image.new("RGB", (160, 120), (64, 64, 128))
        picture.putpixel((0, 0), (orientation * 20, 0, 0))
        picture.save(album / f"{orientation}.jpg", "JPEG", exif=exif)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        index.people.name("Anna", clusters=[0])
        assert index.sidecars.write(style=style).written == 8  # type: ignore[arg-type]
        assert index.sidecars.write().written == 0
    sidecar = album / ("6.jpg.xmp" if style == "full" else "6.xmp")
    found = read_xmp(sidecar.read_bytes(), "a")
    assert found.dimensions == (160, 120)
    # Turned by 90 degrees to be upright: x of the stored picture is y, and y is 1 - x.
    assert found.regions[0].box == pytest.approx((0.2, 0.6, 0.6, 0.9), abs=1e-5)
    with fresh(tmp_path, album) as other:
        assert other.sidecars.read().imported.named == 8
        assert names(other) == ["Anna"] * 8
        assert other.sidecars.write().written == 0


@needs_exiftool
def test_names_are_embedded_through_exiftool(index: FaceIndex, album: Path) -> None:
    first, second = photos(album)[:2]
    strange = first.with_name("-o=\n#[CSTR]$x.png")
    first.rename(strange)
    index.add(album)
    strange.chmod(0o640)
    report = index.sidecars.write(embed=True)
    assert report.failed == ()
    assert (wrote(report), report.new) == ((2, 2, 0, 0), 0)
    assert strange.stat().st_mode & 0o777 == 0o640
    assert in_file(strange) == in_file(second) == ["Anna"]
    assert sorted(path.name for path in strange.parent.iterdir()) == sorted([strange.name, second.name])
    index.add(album)
    assert names(index).count("Anna") == 2
    assert index.sidecars.write(embed=True).written == 0
    assert index.sidecars.read().unchanged == 2
    index.people.rename("Anna", "Anna Berg")
    assert wrote(index.sidecars.write([second])) == (1, 0, 1, 0)
    assert in_file(second) == ["Anna Berg"]
    assert Path(f"{second}.xmp").exists()
    receipt = index.forget("Anna Berg")
    assert receipt.complete, receipt.copies
    assert in_file(strange) == []
    assert b"Anna" not in strange.read_bytes()


def test_without_exiftool_nothing_is_embedded(index: FaceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="ExifTool is not installed"):
        index.sidecars.write(embed=True)


def test_an_index_of_the_format_before(index: FaceIndex, album: Path) -> None:
    index.close()
    downgrade(index.directory, 12)
    with FaceIndex.open(index.directory) as old:
        assert old._store.exchanged.by_photo() == {}
        assert old._store.exchanged.to_remove() == []
    with FaceIndex.open(index.directory, write=True) as new:
        assert new.sidecars.write().written == 2
        assert new._store.exchanged.by_photo()
    database = sqlite3.connect(index.directory / "catalog.sqlite")
    database.execute("UPDATE exchanged_regions SET box = x'00' WHERE id = 1")
    database.commit()
    database.close()
    assert not FaceIndex.doctor(index.directory).healthy
    assert FaceIndex.doctor(index.directory, repair=True).healthy
