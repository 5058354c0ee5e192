from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from faceindex import FaceIndex
from faceindex.errors import Reason, UsageError
from faceindex.export.crops import cut_box
from faceindex.export.destination import NO_MEDIA, STATE
from faceindex.export.source import numbers_on_photo
from faceindex.store import FaceTable
from faceindex.types import I64


def names(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.*")
        if STATE not in path.parts and path.name != NO_MEDIA
    }


def box(*corners: float) -> np.ndarray:
    return np.array(corners, np.float32)


@pytest.mark.parametrize(
    ("corners", "margin", "region"),
    [
        ((20, 10, 40, 50), 0.5, (10, 0, 50, 70)),
        ((20, 10, 40, 50), 0, (20, 10, 40, 50)),
        ((20.4, 10.6, 40.4, 50.6), 0, (20, 11, 40, 51)),
        ((-5, -5, 30, 30), 0.0, (0, 0, 30, 30)),
        ((80, 60, 120, 90), 1, (40, 30, 100, 80)),
        ((150, 150, 160, 160), 0, (99, 79, 100, 80)),
        ((5, 5, 5, 5), 0, (5, 5, 6, 6)),
    ],
)
def test_cut_box(corners: tuple[float, ...], margin: float, region: tuple[int, ...]) -> None:
    rows, columns = np.mgrid[0:80, 0:100]
    image = np.stack([rows, columns, rows], axis=2).astype(np.uint8)
    left, top, right, bottom = region
    np.testing.assert_array_equal(cut_box(image, box(*corners), margin), image[top:bottom, left:right])


def test_numbers_on_photo() -> None:
    def table(*photos: int) -> FaceTable:
        unused: dict[str, Any] = dict.fromkeys(field.name for field in fields(FaceTable))
        known: dict[str, I64] = {"face": np.arange(len(photos)), "photo": np.array(photos, np.int64)}
        return FaceTable(**{**unused, **known})

    assert numbers_on_photo(table()).tolist() == []
    assert numbers_on_photo(table(7, 3, 7, 7, 3, 9)).tolist() == [0, 0, 1, 2, 1, 0]


def test_every_face_is_written(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex]) -> None:
    with opened("album") as index:
        done = index.export.crops("out")
        again = index.export.crops("out")
    assert (done.faces, done.photos, done.failed) == (12, 12, ())
    assert (done.files.written, again.files.written, again.files.unchanged) == (12, 0, 12)
    found = names(tmp_path / "out")
    # Photos in three folders have the same names; those in the first folder get the plain names.
    assert {"0_0.png", "1_0.png", "2_0.png", "3_0.png"} < found
    assert len(found) == 12
    colours = {}
    for name in found:
        with PIL.Image.open(tmp_path / "out" / name) as crop:
            assert crop.size == (96, 96)  # the box is 48 wide; a margin of 24 on each side
            colours[name] = crop.getpixel((50, 50))
    assert {colours[f"{n}_0.png"] for n in range(4)} == {(64, 64, 128)}


def test_another_margin_replaces_the_files(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        index.export.crops("out")
        assert index.export.crops("out", margin=0.25).files.written == 12
        with PIL.Image.open(tmp_path / "out" / "0_0.png") as crop:
            assert crop.size == (72, 72)
        with pytest.raises(UsageError, match="`margin` is -1"):
            index.export.crops("out", margin=-1)
        with pytest.raises(UsageError, match="`margin` is nan"):
            index.export.crops("out", margin=float("nan"))


def test_crops_are_upright_and_have_no_metadata(tmp_path: Path, fake_models, opened, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.full((60, 100, 3), (64, 64, 128), np.uint8)
    pixels[:, 50:] = (192, 64, 128)
    photo = PIL.Image.fromarray(pixels)
    exif = photo.getexif()
    exif[0x0112] = 6  # viewers turn it clockwise: the left side becomes the top
    exif[0x010E] = "at home"
    exif.get_ifd(0x8825)[1] = "N"
    (tmp_path / "p").mkdir()
    photo.save(tmp_path / "p" / "turned.JPG", "JPEG", exif=exif)
    with opened("p") as index:
        index.export.crops("out")
    with PIL.Image.open(tmp_path / "out" / "turned_0.JPG") as crop:
        assert crop.size == (60, 100)
        assert crop.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        top, bottom = np.asarray(crop)[10, 30].astype(int), np.asarray(crop)[90, 30].astype(int)
    assert np.abs(top - (64, 64, 128)).max() < 8
    assert np.abs(bottom - (192, 64, 128)).max() < 8


def test_unreadable_photos_are_reported(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        index.export.crops("out", margin=0.1)
        (album / "person0" / "0.png").unlink()
        (album / "person0" / "1.png").write_bytes((album / "person0" / "2.png").read_bytes())
        (album / "person0" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        done = index.export.crops("out", margin=0.2)
    assert [Path(error.path).name for error in done.failed] == ["0.png", "1.png", "3.png"]
    assert done.failed[0].reason is Reason.MISSING
    assert "changed since it was indexed" in str(done.failed[1])
    assert done.files.written == 9
    assert len(names(tmp_path / "out")) == 12  # the files that the earlier run made of them are kept


def test_aligned_chips(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex], monkeypatch) -> None:
    from faceindex.export import crops

    seen = []

    def cut_chips(image, detections, alignment, *, box):
        seen.append((image.shape, detections.boxes.tolist(), alignment.name, box))
        return np.zeros((len(detections), alignment.size, alignment.size, 3), np.uint8)

    monkeypatch.setattr(crops, "cut_chips", cut_chips)
    with opened(album) as index:
        index.export.crops("out")
        assert index.export.crops("out", aligned=True).files.written == 12
        assert index.export.crops("out", aligned=True, margin=0.1).files.written == 0
    assert seen == [((96, 96, 3), [[24.0, 24.0, 72.0, 72.0]], "dlib", None)] * 12
    with PIL.Image.open(tmp_path / "out" / "0_0.png") as chip:
        assert chip.size == (150, 150)


HOSTILE = [
    '"><script>alert(1)<.jpg',
    "-rf.jpg",
    "two\nlines.jpg",
    "CON.jpg",
    "=1+1.jpg",
    " .jpg",
    "x" * 240 + ".jpg",
]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_photos_with_hostile_names(tmp_path: Path, fake_models, opened, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    for number, name in enumerate([*HOSTILE, "a\\..\\..\\x.jpg"]):
        fake_models.make_photo(photos / name, (64, 64, 128), mark=number)
    try:
        for byte in (0xFF, 0xFE):
            fake_models.make_photo(photos / os.fsdecode(bytes([byte]) + b".jpg"), (64, 64, 128), mark=byte)
    except OSError:
        pytest.skip("this file system has no such names")
    # Hidden, so it is indexed only if it is named.
    dots = fake_models.make_photo(photos / "..jpg", (64, 64, 128), mark=300)
    outside = fake_models.make_photo(tmp_path / "elsewhere" / "secret.jpg", (64, 64, 128), mark=301)
    (photos / "up").mkdir()
    (photos / "up" / "link.jpg").symlink_to(os.path.relpath(outside, photos / "up"))
    before = {path for path in tmp_path.rglob("*") if path.name != "index"}
    with opened(photos, dots) as index:
        done = index.export.crops("out")
        clusters = index.export.clusters("by", photos=True, folders=True)
    assert done.failed == clusters.failed == ()
    assert done.faces == done.files.written == clusters.files.written == len(HOSTILE) + 5
    made = {path for path in tmp_path.rglob("*") if path.relative_to(tmp_path).parts[0] != "index"} - before
    assert {path.relative_to(tmp_path).parts[0] for path in made} == {"out", "by"}
    found = names(tmp_path / "out")
    assert {"___script_alert(1)__0.jpg", "_rf_0.jpg", "two_lines_0.jpg", "_CON_0.jpg", "link_0.jpg"} < found
    assert all(
        name.isprintable() and name[0] not in ".-" and not set(name) & set('<>:"\\|?*') for name in found
    )
    assert max(len(name.encode()) for name in found) < 255


def test_crops_among_the_photos_are_not_indexed(album: Path, opened: Callable[..., FaceIndex]) -> None:
    with opened(album) as index:
        index.export.crops(album / "faces")
    with opened(album) as index:
        assert len(index.table()) == 12
        assert index.export.crops(album / "faces").files.unchanged == 12
