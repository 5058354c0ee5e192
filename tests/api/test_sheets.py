"""Contact sheets as images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex import FaceIndex
from faceindex.errors import ImageError, NotClustered, UsageError
from faceindex.types import Image

SIDE, GAP, LINE = 112, 4, 18  # pixels
PHOTO = 96  # side of the fake photos
COLOURS = {0: (64, 64, 128), 1: (128, 64, 128), 2: (192, 64, 128)}  # of the people


@pytest.fixture
def index(fake_models: ModuleType, tmp_path: Path) -> Iterator[FaceIndex]:
    fake_models.make_album(tmp_path / "album")
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(tmp_path / "album")
        index.cluster()
        yield index


def colours(sheet: Image, top: int = 0, below: int = LINE) -> list[list[tuple[int, ...]]]:
    """Return the colour in the middle of each tile, row by row."""
    down, across = SIDE + below + GAP, SIDE + GAP
    return [
        [tuple(sheet[y, x].tolist()) for x in range(SIDE // 2, sheet.shape[1], across)]
        for y in range(top + SIDE // 2, sheet.shape[0], down)
    ]


def person_of(colour: tuple[int, ...]) -> int | None:
    return next((who for who, own in COLOURS.items() if np.abs(np.subtract(own, colour)).max() < 4), None)


def test_faces_in_the_given_order(index: FaceIndex) -> None:
    ids = [face.face for face in index]
    sheet = index.sheets.faces([ids[8], ids[0], ids[4]])
    assert sheet.shape == (SIDE, 3 * SIDE + 2 * GAP, 3)
    assert [person_of(colour) for colour in colours(sheet)[0]] == [2, 0, 1]
    assert index.sheets.faces(ids[:1], ["a label"]).shape == (SIDE + LINE, SIDE, 3)


@pytest.mark.parametrize("faces", [[], [999], [-1]])
def test_faces_that_do_not_exist(index: FaceIndex, faces: list[int]) -> None:
    with pytest.raises(UsageError):
        index.sheets.faces(faces)


def test_a_photo_that_has_no_path(index: FaceIndex, tmp_path: Path, fake_models: ModuleType) -> None:
    path = fake_models.make_photo(tmp_path / "new.png", COLOURS[1], mark=90)
    expected = index.sheets.identification(index.identify(path))
    with PillowImage.open(path) as opened:
        photos = (path, path.read_bytes(), np.asarray(opened), opened)
        for photo in photos:
            np.testing.assert_array_equal(index.sheets.identification(index.identify(photo), photo), expected)
    with pytest.raises(ImageError, match="<bytes>"):
        index.sheets.identification(index.identify(path.read_bytes()))


def test_a_cluster_has_the_names_of_its_photos(index: FaceIndex) -> None:
    cluster = next(iter(index)).cluster
    assert cluster is not None
    sheet = index.sheets.cluster(cluster)
    assert sheet.shape == (SIDE + LINE, 4 * SIDE + 3 * GAP, 3)
    assert {person_of(colour) for colour in colours(sheet)[0]} == {0}
    for column in range(4):
        assert (sheet[SIDE:, column * (SIDE + GAP) :][:, :SIDE] < 100).any()
    assert index.sheets.cluster(cluster, most=1).shape == (SIDE + LINE, SIDE, 3)


@pytest.mark.parametrize(("cluster", "most"), [(99, 1), (-1, 1), (0, 0)])
def test_a_cluster_that_cannot_be_drawn(index: FaceIndex, cluster: int, most: int) -> None:
    with pytest.raises(UsageError):
        index.sheets.cluster(cluster, most=most)


def test_clusters_must_exist(fake_models: ModuleType, tmp_path: Path) -> None:
    photo = fake_models.make_photo(tmp_path / "a.png", COLOURS[0])
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(photo)
        with pytest.raises(NotClustered):
            index.sheets.cluster(0)
        sheet = index.sheets.identification(index.identify(photo))
    assert sheet.shape == (PHOTO + GAP + SIDE + 2 * LINE, 2 * SIDE + GAP, 3)


@pytest.mark.parametrize(
    ("neighbours", "rows", "columns"), [(0, 1, 1), (1, 1, 2), (7, 1, 8), (8, 2, 8), (12, 2, 8)]
)
def test_an_identified_photo_and_its_nearest_faces(
    index: FaceIndex, fake_models: ModuleType, tmp_path: Path, neighbours: int, rows: int, columns: int
) -> None:
    photo = fake_models.make_photo(tmp_path / "who.png", COLOURS[1], mark=500)
    result = index.identify(photo, neighbours=neighbours)
    sheet = index.sheets.identification(result)
    row = SIDE + 2 * LINE + GAP
    assert sheet.shape == (PHOTO + rows * row, columns * (SIDE + GAP) - GAP, 3)
    found = [list(map(person_of, line)) for line in colours(sheet, PHOTO + GAP, 2 * LINE)]
    assert found[0][: 1 + min(neighbours, 4)] == [1] * (1 + min(neighbours, 4))
    if rows == 2:  # the second row continues the first, without the query face
        assert found[1][0] is None
        assert sum(person is not None for person in found[1]) == neighbours - 7


def test_a_nearest_face_whose_photo_is_gone_is_grey(
    index: FaceIndex, fake_models: ModuleType, tmp_path: Path
) -> None:
    photo = fake_models.make_photo(tmp_path / "who.png", COLOURS[1], mark=500)
    result = index.identify(photo, neighbours=1)
    Path(result.faces[0].neighbours[0].face.path).unlink()
    sheet = index.sheets.identification(result)
    assert colours(sheet, PHOTO + GAP, 2 * LINE)[0][1] == (200, 200, 200)
    photo.unlink()
    with pytest.raises(ImageError, match=r"who\.png"):
        index.sheets.identification(result)


def test_a_photo_without_faces_has_no_sheet(
    index: FaceIndex, fake_models: ModuleType, tmp_path: Path
) -> None:
    photo = fake_models.make_photo(tmp_path / "dark.png", fake_models.NOBODY)
    with pytest.raises(UsageError, match="has no face"):
        index.sheets.identification(index.identify(photo))


def test_an_identified_person_is_named(
    index: FaceIndex, tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = fake_models.make_photo(tmp_path / "new.png", COLOURS[1], mark=90)
    result = index.identify(photo)
    cluster = result.faces[0].cluster
    assert cluster is not None
    drawn: list[list[str]] = []

    def record(tiles: np.ndarray, labels: list[str]) -> np.ndarray:
        drawn.append(list(labels))
        return tiles

    monkeypatch.setattr("faceindex.images.labels.label_tiles", record)
    index.sheets.identification(result)
    index.people.name("Zoë", clusters=[cluster])
    index.sheets.identification(index.identify(photo))
    (plain, named) = drawn
    assert plain[0] == f"1: cluster {cluster}"
    assert named == [label.replace(f"cluster {cluster}", "Zoë") for label in plain]
    assert plain != named
