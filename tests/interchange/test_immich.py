"""Reading Immich's people from its API and its tables."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from broken_sources import consume, damaged, odd_values, write

from faceindex.errors import UsageError
from faceindex.interchange.immich import read_immich
from faceindex.interchange.regions import SourcePhoto

ANNA, BEN, NOBODY = (f"{n}" * 8 + "-0000-4000-8000-000000000000" for n in "abc")
DIGEST = bytes(range(20))


def face(number: int, box: tuple[int, int, int, int], source: str = "machine-learning") -> dict[str, Any]:
    corners = dict(zip(("X1", "Y1", "X2", "Y2"), box, strict=True))
    return {
        "id": f"face-{number}",
        "imageWidth": 1440,
        "imageHeight": 1080,
        **{f"boundingBox{corner}": value for corner, value in corners.items()},
        "sourceType": source,
    }


def person(key: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "name": name,
        "birthDate": None,
        "thumbnailPath": f"/usr/src/app/upload/thumbs/{key}.jpeg",
        "isHidden": False,
        "updatedAt": "2025-01-01T00:00:00.000Z",
        **more,
    }


ASSET: dict[str, Any] = {  # an answer of GET /api/assets/{id}
    "id": "asset-1",
    "type": "IMAGE",
    "originalPath": "upload/library/admin/2023/2023-05-01/IMG_1.jpg",
    "originalFileName": "IMG_1.jpg",
    "checksum": base64.b64encode(DIGEST).decode(),
    "isTrashed": False,
    "exifInfo": {"fileSizeInByte": 2_000_000, "exifImageWidth": 4032, "exifImageHeight": 3024},
    "people": [
        person(ANNA, "Anna Müller", birthDate="1950-03-14") | {"faces": [face(1, (144, 108, 288, 324))]},
        person(BEN, "Ben") | {"faces": [face(2, (720, 540, 864, 756), "manual")]},
        person(NOBODY, "", isHidden=True) | {"faces": [face(3, (10, 10, 20, 20))]},
    ],
    "unassignedFaces": [face(4, (900, 900, 950, 950))],
}
ROWS: dict[str, list[dict[str, Any]]] = {  # SELECT row_to_json(...)
    "person": [person(ANNA, "Anna Müller", birthDate="1950-03-14"), person(BEN, "Ben")],
    "asset": [
        {
            "id": "asset-1",
            "type": "IMAGE",
            "originalPath": "/photos/IMG_1.jpg",
            "checksum": "\\x" + DIGEST.hex(),
        },
        {"id": "asset-2", "type": "VIDEO", "originalPath": "/photos/film.mp4", "checksum": None},
        {"id": "asset-3", "type": "IMAGE", "originalPath": "/photos/nobody.jpg", "checksum": "junk"},
    ],
    "asset_face": [
        face(1, (144, 108, 288, 324)) | {"assetId": "asset-1", "personId": ANNA, "deletedAt": None},
        face(2, (720, 540, 864, 756), "exif") | {"assetId": "asset-1", "personId": BEN, "deletedAt": None},
        face(3, (10, 10, 20, 20)) | {"assetId": "asset-1", "personId": None, "deletedAt": "2025-01-01"},
        face(5, (10, 10, 20, 20)) | {"assetId": "asset-2", "personId": ANNA, "deletedAt": None},
        face(6, (30, 10, 20, 20)) | {"assetId": "asset-3", "personId": ANNA, "deletedAt": None},
    ],
}


def rows(folder: Path, content: dict[str, list[dict[str, Any]]]) -> Path:
    for table, records in content.items():
        write(folder / f"{table}.json", "".join(f"{json.dumps(record)}\n" for record in records))
    return folder


def listed(photo: SourcePhoto) -> list[tuple[str | None, bool, bool]]:
    return [(region.name, region.confirmed, region.rejected) for region in photo.regions]


@pytest.mark.parametrize(
    "document",
    [
        ASSET,
        [ASSET],
        {"assets": {"total": 1, "count": 1, "items": [ASSET], "nextPage": None}, "albums": {"items": []}},
        [{"assets": {"items": [ASSET]}}],
    ],
)
def test_answers_of_the_api(tmp_path: Path, document: Any) -> None:
    album = read_immich(write(tmp_path / "assets.json", json.dumps(document)))
    (photo,) = album.photos
    assert photo.path == "upload/library/admin/2023/2023-05-01/IMG_1.jpg"
    assert (photo.sha1, photo.file_size) == (DIGEST, 2_000_000)
    assert (photo.frame, photo.dimensions) == ("upright", (1440, 1080))
    assert [region.name for region in photo.regions] == ["Anna Müller", "Ben", None, None]
    assert photo.regions[0].box == pytest.approx((0.1, 0.1, 0.2, 0.3))
    assert photo.regions[0].person == ANNA
    assert album.people[ANNA].born == "1950-03-14"
    assert album.people[NOBODY].name is None
    assert album.people[NOBODY].hidden
    assert album.problems == []


def test_rows_of_the_tables(tmp_path: Path) -> None:
    album = read_immich(rows(tmp_path, ROWS))
    photo, film = album.photos
    assert (photo.path, photo.sha1) == ("/photos/IMG_1.jpg", DIGEST)
    assert listed(photo) == [("Anna Müller", True, False), ("Ben", True, False), (None, True, True)]
    assert film.path == "/photos/film.mp4"
    assert film.regions == ()
    assert film.people == ("Anna Müller",)
    assert any("1 faces have no place" in problem for problem in album.problems)


def test_the_checksum_of_a_path_is_none_of_the_file(tmp_path: Path) -> None:
    """That of an asset in an external library."""
    path = "/mnt/photos/2023/IMG_1.jpg"
    digest = hashlib.sha1(f"path:{path}".encode()).digest()
    asset = {**ASSET, "originalPath": path, "checksum": base64.b64encode(digest).decode()}
    write(tmp_path / "a.json", json.dumps(asset))
    (photo,) = read_immich(tmp_path / "a.json").photos
    assert (photo.path, photo.sha1, photo.file_size) == (path, None, 2_000_000)


def test_a_file_that_immich_has_renamed_has_its_own_name(tmp_path: Path) -> None:
    path = f"upload/upload/{ANNA}/{BEN[:2]}/{BEN}.jpg"
    write(tmp_path / "a.json", json.dumps({**ASSET, "originalPath": path}))
    (photo,) = read_immich(tmp_path / "a.json").photos
    assert photo.path == f"upload/upload/{ANNA}/{BEN[:2]}/IMG_1.jpg"


def test_what_a_machine_assigned_may_be_left_open(tmp_path: Path) -> None:
    album = read_immich(rows(tmp_path, ROWS), trust_automatic=False)
    assert listed(next(iter(album.photos)))[:2] == [("Anna Müller", False, False), ("Ben", True, False)]


def test_the_api_and_tables_together_count_once(tmp_path: Path) -> None:
    rows(tmp_path, ROWS)
    write(tmp_path / "more" / "assets.json", json.dumps(ASSET))
    photo = next(iter(read_immich(tmp_path).photos))
    assert len(photo.regions) == 4


def test_people_who_were_not_exported(tmp_path: Path) -> None:
    album = read_immich(rows(tmp_path, ROWS | {"person": []}))
    assert {region.name for photo in album.photos for region in photo.regions} == {None}
    assert any("export `person`, too" in problem for problem in album.problems)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no assets of Immich"):
        read_immich(write(tmp_path / "a.json", '{"people": []}'))
    with pytest.raises(UsageError, match="cannot be read"):
        read_immich(tmp_path / "absent")


def test_values_of_any_type_and_damaged_files_are_no_crash(tmp_path: Path) -> None:
    found = 0
    asset = copy.deepcopy(ASSET)
    everything = {"api": [asset], **ROWS}
    for content in odd_values(everything, 3, 120):
        found += len(consume(read_immich, write(tmp_path / "a.json", content)))
    for changed in damaged(json.dumps(everything).encode(), 4, 60):
        found += len(consume(read_immich, write(tmp_path / "a.json", changed)))
    assert found > 60
