"""The two files of a shot: one takes over from the other, and one is read where the other cannot be."""

from __future__ import annotations

import io
import itertools
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest
from raw_files import raw_file

from faceindex import Face, FaceIndex
from faceindex.pipeline import select
from faceindex.types import Detections, Image

Colour = tuple[int, int, int]
ANNA, BEN, CARL = (230, 30, 30), (30, 230, 30), (30, 30, 230)
DATE = "2019:08:07 06:05:04"  # of the RAW files of `raw_files`
FORMATS = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"


def shot(
    *people: tuple[int, int, int], size: tuple[int, int] = (1200, 800), date: str | None = DATE
) -> bytes:
    """Return a JPEG with people side by side, each the middle of a part of the photo."""
    width, height = size
    pixels = np.concatenate([np.full((height, width // len(people), 3), c, np.uint8) for c in people], axis=1)
    exif = PIL.Image.Exif()
    if date is not None:
        exif.get_ifd(0x8769)[0x9003] = date
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def raw(*people: Colour, size: tuple[int, int] = (1500, 1000)) -> bytes:
    return raw_file("NEF", shot(*people, size=size))


@pytest.fixture(autouse=True)
def people_side_by_side(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the detector find a face in the middle of each of the three thirds of a photo, or of its halves."""

    def detect_one(self: object, image: Image) -> Detections:
        height, width = image.shape[:2]
        row = image[height // 2].astype(int)
        edges = [0, *(np.flatnonzero(np.abs(np.diff(row, axis=0)).max(axis=1) > 60) + 1).tolist(), width]
        spans = [(a, b) for a, b in itertools.pairwise(edges) if b - a > width / 8]
        boxes = np.array(
            [
                ((3 * a + b) / 4, height / 4, (a + 3 * b) / 4, height * 3 / 4)
                for a, b in spans
                if row[(a + b) // 2].max() > 60
            ],
            np.float32,
        ).reshape(-1, 4)
        number = len(boxes)
        return Detections(
            boxes, np.full((number, 5, 2), np.nan, np.float32), np.full(number, 0.9, np.float32)
        )

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", detect_one)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "other.jpg").write_bytes(shot(ANNA, date=None))
    (photos / "third.jpg").write_bytes(shot(BEN, size=(900, 700), date=None))
    return photos


def on(index: FaceIndex, name: str) -> list[Face]:
    """Return the faces on a photo, from left to right."""
    found = [face for face in index if face.path.endswith("/" + name)]
    return sorted(found, key=lambda face: face.box[0])


def faces_on(index: FaceIndex, name: str) -> list[int]:
    return [face.face for face in on(index, name)]


def names_on(index: FaceIndex, name: str) -> list[str | None]:
    """Return the people of the faces that the user named one by one, from left to right."""
    return [face.person if face.confirmed else None for face in on(index, name)]


def clusters_on(index: FaceIndex, name: str) -> list[int | None]:
    return [face.cluster for face in on(index, name)]


def say(index: FaceIndex, faces: list[int], name: str) -> None:
    """Say who faces are, after clustering."""
    index.cluster()
    index.people.name(name, faces=faces)


@pytest.fixture
def named(index: FaceIndex, folder: Path) -> Iterator[FaceIndex]:
    """An index of a JPEG with its RAW, on which Anna and Ben are named."""
    (folder / "s.jpg").write_bytes(shot(ANNA, BEN))
    (folder / "s.nef").write_bytes(raw(ANNA, BEN))
    index.add(folder)
    anna, ben = faces_on(index, "s.jpg")
    say(index, [anna], "Anna")
    say(index, [ben], "Ben")
    yield index


# One file takes over from the other ------------------------------------------------------------------


def test_the_raw_of_a_deleted_jpeg_takes_over(named: FaceIndex, folder: Path) -> None:
    before = faces_on(named, "s.jpg")
    clusters = clusters_on(named, "s.jpg")
    (folder / "s.jpg").unlink()
    summary = named.add(folder)
    assert (summary.taken_over, summary.gone, summary.new, summary.faces, summary.photos) == (1, 0, 0, 0, 3)
    assert faces_on(named, "s.nef") == before
    assert names_on(named, "s.nef") == ["Anna", "Ben"]
    assert clusters_on(named, "s.nef") == clusters
    assert named._store.count_away().photos == 0
    assert FaceIndex.doctor(named.directory).healthy
    assert named.add(folder).unchanged == 3
    named.cluster()
    assert names_on(named, "s.nef") == ["Anna", "Ben"]


def test_a_jpeg_that_returns_or_is_added_takes_over_again(named: FaceIndex, folder: Path) -> None:
    before, data = faces_on(named, "s.jpg"), (folder / "s.jpg").read_bytes()
    (folder / "s.jpg").unlink()
    named.add(folder)
    (folder / "s.jpg").write_bytes(data)
    summary = named.add(folder)
    assert (summary.taken_over, summary.gone, summary.raw_companions) == (1, 0, 1)
    assert faces_on(named, "s.jpg") == before
    assert names_on(named, "s.jpg") == ["Anna", "Ben"]
    assert not on(named, "s.nef")


def test_decisions_can_be_undone_exported_and_applied_afterwards(
    named: FaceIndex, folder: Path, tmp_path: Path
) -> None:
    (folder / "s.jpg").unlink()
    named.add(folder)
    named.people.export(tmp_path / "people.json")
    named.people.undo()
    assert names_on(named, "s.nef") == ["Anna", None]
    with FaceIndex.create(tmp_path / "fresh", detector="fake", embedder="fake") as fresh:
        fresh.add(folder)
        fresh.cluster()
        fresh.people.apply(tmp_path / "people.json")
        assert names_on(fresh, "s.nef") == ["Anna", "Ben"]


@pytest.mark.parametrize("date", ["2021:01:01 00:00:00", None])
def test_nothing_is_carried_to_another_shot_of_the_same_name(
    index: FaceIndex, folder: Path, date: str | None
) -> None:
    # With another date, even if the faces are the same; without one, if they are others.
    (folder / "s.jpg").write_bytes(shot(ANNA, BEN, date=date))
    index.add(folder)
    say(index, faces_on(index, "s.jpg")[:1], "Anna")
    (folder / "s.jpg").unlink()
    (folder / "s.nef").write_bytes(raw(ANNA, BEN) if date else raw(CARL, ANNA))
    summary = index.add(folder)
    assert (summary.taken_over, summary.gone, summary.new) == (0, 1, 1)
    assert names_on(index, "s.nef") == [None, None]
    assert index._store.count_away().photos == 1


def test_without_dates_the_faces_decide(index: FaceIndex, folder: Path) -> None:
    (folder / "s.jpg").write_bytes(shot(ANNA, BEN, CARL, date=None))
    (folder / "s.nef").write_bytes(raw(ANNA, BEN, CARL))
    index.add(folder)
    say(index, faces_on(index, "s.jpg")[2:], "Carl")
    (folder / "s.jpg").unlink()
    assert index.add(folder).taken_over == 1
    assert names_on(index, "s.nef") == [None, None, "Carl"]


def test_a_face_at_the_place_of_another_person_is_new(index: FaceIndex, folder: Path) -> None:
    (folder / "s.jpg").write_bytes(shot(ANNA, BEN))
    index.add(folder)
    before = faces_on(index, "s.jpg")
    say(index, before[:1], "Anna")
    say(index, before[1:], "Ben")
    (folder / "s.jpg").unlink()
    (folder / "s.nef").write_bytes(raw(ANNA, CARL))  # of the same second
    assert index.add(folder).taken_over == 1
    assert names_on(index, "s.nef") == ["Anna", None]
    assert faces_on(index, "s.nef")[0] == before[0]
    assert faces_on(index, "s.nef")[1] not in before


def test_a_jpeg_that_the_camera_cropped_is_found_on_the_whole_picture(index: FaceIndex, folder: Path) -> None:
    # 1:1 of 3:2: the middle. Both people are in it, at other fractions of the width.
    whole = np.array(PIL.Image.open(io.BytesIO(shot(CARL, ANNA, BEN, CARL, size=(1500, 500)))))
    middle = io.BytesIO()
    PIL.Image.fromarray(whole[:, 375:1125]).save(middle, "JPEG")
    (folder / "s.jpg").write_bytes(middle.getvalue())
    index.add(folder)
    before = faces_on(index, "s.jpg")
    (folder / "s.jpg").unlink()
    (folder / "s.nef").write_bytes(raw(CARL, ANNA, BEN, CARL, size=(1500, 500)))
    assert index.add(folder).taken_over == 1
    assert faces_on(index, "s.nef")[1:3] == before


def test_a_copy_of_the_jpeg_elsewhere_keeps_its_names(named: FaceIndex, folder: Path) -> None:
    (folder / "album").mkdir()
    (folder / "album" / "copy.jpg").write_bytes((folder / "s.jpg").read_bytes())
    named.add(folder)
    assert names_on(named, "album/copy.jpg") == ["Anna", "Ben"]
    before = faces_on(named, "s.jpg")
    (folder / "s.jpg").unlink()
    assert named.add(folder).taken_over == 1
    assert names_on(named, "album/copy.jpg") == ["Anna", "Ben"]
    assert faces_on(named, "s.nef") == before  # in the clusters of these people


def test_a_raw_that_was_indexed_before_takes_over_too(named: FaceIndex, folder: Path) -> None:
    named.add(folder, selection=select(all_versions=True))
    assert names_on(named, "s.nef") == [None, None]
    named.add(folder)  # the RAW is away
    (folder / "s.jpg").unlink()
    summary = named.add(folder)
    assert (summary.returned, summary.gone) == (1, 0)
    assert names_on(named, "s.nef") == ["Anna", "Ben"]


def test_a_face_that_was_drawn_is_drawn_on_the_other_file(named: FaceIndex, folder: Path) -> None:
    named.add_face(folder / "s.jpg", (550, 0, 650, 100), name="Dora")
    (folder / "s.jpg").unlink()
    summary = named.add(folder)
    assert (summary.taken_over, summary.by_hand) == (1, 1)
    assert names_on(named, "s.nef") == ["Anna", "Dora", "Ben"]
    named.people.undo()
    assert names_on(named, "s.nef") == ["Anna", "Ben"]


@pytest.mark.parametrize("deleted_first", [False, True])
def test_a_forgotten_person_does_not_come_back_by_the_other_file(
    named: FaceIndex, folder: Path, deleted_first: bool
) -> None:
    data = (folder / "s.jpg").read_bytes()
    if deleted_first:
        (folder / "s.jpg").unlink()
        named.add(folder)
    named.forget("Anna")
    if deleted_first:
        assert names_on(named, "s.nef") == ["Ben"]
        (folder / "s.jpg").write_bytes(data)
    else:
        assert names_on(named, "s.jpg") == ["Ben"]
        (folder / "s.jpg").unlink()
    assert named.add(folder).taken_over == 1
    shown = "s.jpg" if deleted_first else "s.nef"
    assert names_on(named, shown) == ["Ben"]
    named.add(folder, check_content=True)
    assert len(faces_on(named, shown)) == 1


def test_the_raw_waits_while_older_files_wait(named: FaceIndex, folder: Path) -> None:
    (folder / "s.jpg").unlink()
    (folder / "old.jpg").write_bytes(shot(CARL, date=None))
    os.utime(folder / "old.jpg", (10**9, 10**9))
    summary = named.add(folder, selection=select(newer_than="7d"))
    assert (summary.taken_over, summary.new, summary.gone, summary.older) == (0, 0, 0, 2)
    assert summary.not_found == 1
    assert names_on(named, "s.jpg") == ["Anna", "Ben"]
    assert named.add(folder).taken_over == 1
    assert names_on(named, "s.nef") == ["Anna", "Ben"]


# One file is read because the other cannot be ----------------------------------------------------------


def test_the_raw_of_a_damaged_jpeg_is_read(index: FaceIndex, folder: Path) -> None:
    good = shot(ANNA, BEN)
    (folder / "s.jpg").write_bytes(good[:200])
    (folder / "s.nef").write_bytes(raw(ANNA, BEN))
    summary = index.add(folder)
    assert (summary.new, sum(summary.unreadable.values()), summary.raw_companions) == (3, 1, 0)
    before = faces_on(index, "s.nef")
    say(index, before[:1], "Anna")
    for check, retry in ((False, False), (True, False), (False, True)):
        summary = index.add(folder, check_content=check, retry_failed=retry)
        assert (summary.unchanged, summary.gone, summary.new, summary.raw_companions) == (3, 0, 0, 0)
    (folder / "s.nef").write_bytes(raw(ANNA, BEN, size=(1350, 900)))  # which only the RAW's own time shows
    summary = index.add(folder)
    assert summary.changed == 1
    before = faces_on(index, "s.nef")
    say(index, before[:1], "Anna")
    (folder / "s.jpg").write_bytes(good)
    summary = index.add(folder)
    assert (summary.taken_over, summary.gone, summary.raw_companions) == (1, 0, 1)
    assert faces_on(index, "s.jpg") == before
    assert names_on(index, "s.jpg") == ["Anna", None]


def test_the_raw_takes_over_from_a_jpeg_that_is_damaged_later(named: FaceIndex, folder: Path) -> None:
    before = faces_on(named, "s.jpg")
    (folder / "s.jpg").write_bytes((folder / "s.jpg").read_bytes()[:180])
    summary = named.add(folder)
    assert (summary.taken_over, sum(summary.unreadable.values())) == (1, 1)
    assert faces_on(named, "s.nef") == before
    assert names_on(named, "s.nef") == ["Anna", "Ben"]


def test_a_damaged_jpeg_beside_a_readable_heif_of_the_shot_changes_nothing(
    index: FaceIndex, folder: Path
) -> None:
    (folder / "s.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (folder / "s.jpeg").write_bytes(shot(ANNA))
    (folder / "s.nef").write_bytes(raw(ANNA))
    for _ in range(2):
        summary = index.add(folder)
        assert (summary.raw_companions, sum(summary.unreadable.values())) == (1, 1)
    assert not on(index, "s.nef")


def test_the_raw_of_a_damaged_jpeg_in_an_archive_is_read(index: FaceIndex, folder: Path) -> None:
    with zipfile.ZipFile(folder / "old.zip", "w") as archive:
        archive.writestr("a/s.jpg", b"\xff\xd8\xff damaged")
        archive.writestr("a/s.nef", raw(ANNA, BEN))
    for _ in range(2):
        summary = index.add(folder)
        assert (summary.photos, sum(summary.unreadable.values()), summary.raw_companions) == (4, 1, 0)
    assert len(faces_on(index, "old.zip/a/s.nef")) == 2


def test_the_clip_of_a_damaged_still_is_a_file_of_its_own(index: FaceIndex, folder: Path) -> None:
    (folder / "s.heic").write_bytes(b"damaged")
    (folder / "s.mov").write_bytes(b"not a film")
    for _ in range(2):
        summary = index.add(folder)
        assert (summary.clips, sum(summary.unreadable.values())) == (0, 2)


def test_a_new_jpeg_of_which_the_raw_moved_with_it(named: FaceIndex, folder: Path) -> None:
    (folder / "moved").mkdir()
    for name in ("s.jpg", "s.nef"):
        (folder / name).rename(folder / "moved" / name)
    summary = named.add(folder)
    assert (summary.moved, summary.taken_over, summary.gone) == (1, 0, 0)
    assert names_on(named, "moved/s.jpg") == ["Anna", "Ben"]


def test_a_real_raw_file_takes_over(
    index: FaceIndex, folder: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rawpy")

    def detect_one(self: object, image: Image) -> Detections:
        height, width = image.shape[:2]
        box = np.array([[width / 3, height / 3, width * 2 / 3, height * 2 / 3]], np.float32)
        return Detections(box, np.full((1, 5, 2), np.nan, np.float32), np.array([0.9], np.float32))

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", detect_one)
    found = [path for path in FORMATS.rglob("*.dng") if path.stat().st_size > 100_000]
    if not found:
        pytest.skip("no shared data")
    from faceindex.errors import ImageError
    from faceindex.images import decode

    for path in found:
        try:
            decoded = decode(path.read_bytes(), path.name)
        except ImageError:
            continue
        buffer = io.BytesIO()
        PIL.Image.fromarray(decoded.image).save(buffer, "JPEG", quality=92)
        (folder / "r.jpg").write_bytes(buffer.getvalue())
        (folder / "r.dng").write_bytes(path.read_bytes())
        index.add(folder)
        before = faces_on(index, "r.jpg")
        (folder / "r.jpg").unlink()
        assert index.add(folder).taken_over == 1
        assert faces_on(index, "r.dng") == before
        return
    pytest.skip("no RAW file that can be read")
