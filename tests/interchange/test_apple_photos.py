"""Reading the JSON of osxphotos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_sources import consume, damaged, odd_values, write

from faceindex.errors import UsageError
from faceindex.interchange.apple_photos import read_apple_photos
from faceindex.orientation import to_stored

LIBRARY = "/Users/me/Pictures/Photos Library.photoslibrary"


def face(name: str | None, x: float, y: float, size: float, **more: Any) -> dict[str, Any]:
    return {
        "_pk": 1,
        "uuid": "F",
        "name": name,
        "center_x": x,
        "center_y": y,
        "size": size,
        "quality": 0.5,
        "manual": 0,
        "intrash": 0,
        **more,
    }


PHOTO: dict[str, Any] = {  # an item of `osxphotos query --json`
    "library": LIBRARY,
    "uuid": "DC99FBDD-7A52-4100-A5BB-344131646C30",
    "filename": "DC99FBDD.heic",
    "original_filename": "IMG_1.HEIC",
    "persons": ["Anna Müller", "Ben", "Cleo", "_UNKNOWN_"],
    "faces": [
        face("Anna Müller", 0.25, 0.75, 0.1),
        face("Ben", 0.5, 0.5, 0.2, manual=1),
        face("_UNKNOWN_", 0.75, 0.5, 0.1),
        face(None, 0.9, 0.5, 0.1, intrash=1),
    ],
    "path": f"{LIBRARY}/originals/D/DC99FBDD.heic",
    "path_edited": None,
    "hasadjustments": False,
    "ismovie": False,
    "width": 3000,
    "height": 4000,
    "orientation": 6,
    "original_width": 3000,
    "original_height": 4000,
    "original_filesize": 2_000_000,
}
EDITED = PHOTO | {
    "hasadjustments": True,
    "path_edited": f"{LIBRARY}/resources/renders/D/DC99FBDD_1_201_a.jpeg",
    "width": 2000,
    "height": 2000,
}


def read(tmp_path: Path, document: Any, **options: bool) -> list[Any]:
    path = write(tmp_path / "photos.json", json.dumps(document))
    return list(read_apple_photos(path, **options).photos)


def test_people_and_places(tmp_path: Path) -> None:
    (photo,) = read(tmp_path, [PHOTO])
    assert photo.path == PHOTO["path"]
    assert (photo.frame, photo.dimensions, photo.file_size) == ("upright", (3000, 4000), 2_000_000)
    assert [(r.name, r.confirmed, r.rejected) for r in photo.regions] == [
        ("Anna Müller", True, False),
        ("Ben", True, False),
        (None, True, False),
        (None, True, True),
    ]
    # A tenth of the longer side is 400 pixels; y runs upwards.
    x, y, half = 0.25 * 3000, 0.25 * 4000, 200
    expected = ((x - half) / 3000, (y - half) / 4000, (x + half) / 3000, (y + half) / 4000)
    assert photo.regions[0].box == pytest.approx(expected)
    assert photo.people == ("Cleo",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_frame_is_that_of_osxphotos(tmp_path: Path, orientation: int) -> None:
    """On the stored picture, a box is where `mwg_rs_area` of osxphotos has it."""
    x, y = 0.3, 0.9
    # FaceInfo._fix_orientation of osxphotos, as a table
    stored = {
        1: (x, 1 - y),
        2: (1 - x, 1 - y),
        3: (1 - x, y),
        4: (x, y),
        5: (1 - y, x),
        6: (1 - y, 1 - x),
        7: (y, 1 - x),
        8: (y, x),
    }[orientation]
    (photo,) = read(tmp_path, [PHOTO | {"faces": [face("Anna", x, y, 0.1)], "persons": []}])
    box = to_stored(np.array([photo.regions[0].box], np.float32), np.array([orientation]))[0]
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    assert centre == pytest.approx(stored, abs=1e-6)


def test_an_edited_photo_and_its_original(tmp_path: Path) -> None:
    edited, original = read(tmp_path, [EDITED])
    assert edited.path.endswith("_a.jpeg")
    assert len(edited.regions) == 4
    assert edited.dimensions == (2000, 2000)
    assert edited.file_size is None
    assert original.path == PHOTO["path"]
    assert original.regions == ()  # it was cropped
    assert original.people == ("Anna Müller", "Ben", "Cleo")
    same = EDITED | {"width": 3000, "height": 4000}
    assert [len(photo.regions) for photo in read(tmp_path, [same])] == [4, 4]


def test_exports_have_the_original_names(tmp_path: Path) -> None:
    assert [photo.path for photo in read(tmp_path, [EDITED], exported=True)] == [
        "IMG_1_edited.jpeg",
        "IMG_1.HEIC",
    ]
    in_the_cloud = PHOTO | {"path": None}
    assert [photo.path for photo in read(tmp_path, [in_the_cloud])] == ["IMG_1.HEIC"]


def test_films_and_what_a_machine_assigned(tmp_path: Path) -> None:
    (film,) = read(tmp_path, [PHOTO | {"ismovie": True}])
    assert film.regions == ()
    assert film.people == ("Anna Müller", "Ben", "Cleo")
    (photo,) = read(tmp_path, [PHOTO], trust_automatic=False)
    assert [region.confirmed for region in photo.regions] == [False, True, True, True]
    assert read(tmp_path, [PHOTO | {"faces": [], "persons": ["_UNKNOWN_"]}]) == []


def test_sidecars(tmp_path: Path) -> None:
    write(
        tmp_path / "2023" / "IMG_1.jpg.json",
        json.dumps(
            [
                {
                    "SourceFile": "IMG_1.jpg",
                    "EXIF:Orientation": 6,
                    "XMP:PersonInImage": ["Anna", "Ben"],
                    "XMP:RegionAppliedToDimensionsW": 4000,
                    "XMP:RegionAppliedToDimensionsH": 3000,
                    "XMP:RegionName": ["Anna", "Rex"],
                    "XMP:RegionType": ["Face", "Pet"],
                    "XMP:RegionAreaX": [0.5, 0.1],
                    "XMP:RegionAreaY": [0.5, 0.1],
                    "XMP:RegionAreaW": [0.25, 0.1],
                    "XMP:RegionAreaH": [0.5, 0.1],
                }
            ]
        ),
    )
    write(
        tmp_path / "2023" / "IMG_2.jpg.json",
        '[{"SourceFile": "/export/IMG_2.jpg", "PersonInImage": "Ben", "RegionName": "Ben"}]',
    )
    album = read_apple_photos(tmp_path)
    first, second = album.photos
    assert first.path == (tmp_path / "2023" / "IMG_1.jpg").as_posix()
    assert (first.frame, first.dimensions, first.people) == ("stored", (4000, 3000), ("Ben",))
    (region,) = first.regions
    assert (region.name, region.box) == ("Anna", (0.375, 0.25, 0.625, 0.75))
    assert (second.path, second.people) == ("/export/IMG_2.jpg", ("Ben",))
    assert any("incomplete" in problem for problem in album.problems)


def test_other_files(tmp_path: Path) -> None:
    album = read_apple_photos(write(tmp_path / "a.json", '{"a": 1}'))
    assert list(album.photos) == []
    assert "osxphotos query --json" in album.problems[0]
    with pytest.raises(UsageError, match="cannot be read"):
        read_apple_photos(tmp_path / "absent.json")


def test_values_of_any_type_and_damaged_files_are_no_crash(tmp_path: Path) -> None:
    sidecar = {"SourceFile": "a.jpg", "XMP:PersonInImage": ["Anna"], "RegionName": ["A"], "RegionAreaX": [1]}
    everything = [PHOTO, EDITED, sidecar | {"RegionAreaY": [1], "RegionAreaW": [1], "RegionAreaH": [1]}]
    found = 0
    for content in odd_values(everything, 8, 120):
        found += len(consume(read_apple_photos, write(tmp_path / "a.json", content)))
    for changed in damaged(json.dumps(everything).encode(), 9, 60):
        found += len(consume(read_apple_photos, write(tmp_path / "a.json", changed)))
    assert found > 100
