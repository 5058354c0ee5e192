"""What `FaceIndex` returns about its contents, with fake models."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import faceindex
from faceindex import Face, FaceIndex, Identification, images
from faceindex.errors import ImageError, NotClustered, Reason, UsageError
from faceindex.recognition import LoadedPhoto, Recogniser
from faceindex.types import U8, Faces


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    album: Path = fake_models.make_album(tmp_path / "album", people=3, photos=4)
    fake_models.make_photo(album / "alone" / "0.png", (10, 250, 10))
    return album


@pytest.fixture
def index(tmp_path: Path, album: Path) -> Iterator[FaceIndex]:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        yield index


def test_length_iteration_and_truth(index: FaceIndex, tmp_path: Path) -> None:
    assert len(index) == 13
    assert [face.face for face in index] == [face.face for face in index.faces()]
    assert len(list(index)) == 13
    with FaceIndex.create(tmp_path / "empty", detector="fake", embedder="fake") as empty:
        assert len(empty) == 0
        assert empty  # an open index is not "false"


def test_repr_summarises_the_index(index: FaceIndex, tmp_path: Path) -> None:
    place = repr(str(index.directory))
    assert repr(index) == f"<FaceIndex {place}: 13 faces on 13 photos, 3 clusters, fake + fake>"
    index.close()
    assert repr(index) == f"<FaceIndex {place}, closed>"
    with FaceIndex.create(tmp_path / "empty", detector="fake", embedder="fake") as empty:
        assert "0 faces on 0 photos, not clustered" in repr(empty)


def test_faces_can_be_filtered(index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, *_) = index.clusters()
    assert [face.cluster for face in index.faces(cluster=first.cluster)] == [first.cluster] * 4
    assert len(list(index.faces(clustered=True))) == 12
    (alone,) = index.faces(clustered=False)
    assert (alone.cluster, alone.similarity) == (None, None)
    assert Path(alone.path) == album / "alone" / "0.png"
    monkeypatch.chdir(album)
    for name in (alone.photo, alone.path, "alone/0.png", Path("alone") / "0.png"):
        assert list(index.faces(photo=name)) == [alone]
    assert list(index.faces(photo=alone.path, clustered=True)) == []
    with pytest.raises(UsageError, match="not in the index"):
        index.faces(photo="nowhere.png")


def test_missing_clusters_raise_the_same_error_everywhere(index: FaceIndex, tmp_path: Path) -> None:
    call: Callable[[], object]
    messages = set()
    for call in (lambda: index.faces(cluster=99), lambda: index.sheets.cluster(99)):
        with pytest.raises(UsageError) as caught:
            call()
        messages.add(str(caught.value))
    assert messages == {"There is no cluster 99. `faceindex clusters` lists the clusters."}
    with FaceIndex.create(tmp_path / "empty", detector="fake", embedder="fake") as empty:
        for call in (empty.clusters, lambda: empty.faces(cluster=1), lambda: empty.sheets.cluster(1)):
            with pytest.raises(NotClustered, match="faceindex cluster"):
                call()


def test_clusters_are_summarised(index: FaceIndex) -> None:
    clusters = index.clusters()
    assert [(cluster.faces, cluster.photos) for cluster in clusters] == [(4, 4)] * 3
    for cluster in clusters:
        assert cluster.cohesion == pytest.approx(1)
        assert cluster.example.cluster == cluster.cluster


def test_results_convert_to_json(index: FaceIndex, album: Path) -> None:
    face = next(iter(index))
    assert face.as_dict() == {
        "face": face.face,
        "photo": face.photo,
        "path": face.path,
        "box": list(face.box),
        "score": face.score,
        "quality": face.quality,
        "turn": face.turn,
        "cluster": face.cluster,
        "similarity": face.similarity,
        "person": None,
        "confirmed": False,
        "by_hand": False,
    }
    for result in (
        index.clusters()[0],
        index.cluster(),
        index.identify(album / "person0" / "0.png"),
        index.identify([album / "missing.png"])[0],
    ):
        json.dumps(result.as_dict(), allow_nan=False)


def test_faces_as_a_data_frame(index: FaceIndex, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = index.to_pandas()
    assert list(frame.columns) == [
        *("photo", "path", "x1", "y1", "x2", "y2", "score", "quality", "turn", "cluster", "similarity")
    ]
    for face, (number, row) in zip(index, frame.iterrows(), strict=True):
        assert (number, row.photo, row.path) == (face.face, face.photo, face.path)
        assert (None if row.cluster is pandas.NA else row.cluster) == face.cluster
        assert (row.x1, row.y2) == (face.box[0], face.box[3])
        assert (row.quality, row.turn) == (face.quality, face.turn)
    assert frame.cluster.isna().sum() == 1
    with FaceIndex.create(tmp_path / "empty", detector="fake", embedder="fake") as empty:
        assert list(empty.to_pandas().dtypes) == list(frame.dtypes)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names are always text there")
def test_a_data_frame_of_undecodable_file_names(
    index: FaceIndex, tmp_path: Path, fake_models: ModuleType
) -> None:
    pytest.importorskip("pandas")
    photo = fake_models.make_photo(tmp_path / os.fsdecode(b"caf\xe9") / "0.png", (200, 10, 10), mark=80)
    index.add(photo)
    assert index.to_pandas().path.tolist()[-1] == str(photo)


def test_crop_returns_the_face(index: FaceIndex, album: Path) -> None:
    face = next(index.faces(photo=album / "person0" / "0.png"))
    crop = index.crop(face, margin=0)
    x1, y1, x2, y2 = (round(value) for value in face.box)
    whole = images.decode((album / "person0" / "0.png").read_bytes(), "0.png").image
    np.testing.assert_array_equal(crop, whole[y1:y2, x1:x2])
    np.testing.assert_array_equal(index.crop(face.face, margin=0), crop)
    np.testing.assert_array_equal(index.crop(index.table().face[face.face - 1], margin=0), crop)
    assert index.crop(face).shape == (96, 96, 3)  # a margin of half the box reaches the border
    assert index.crop(face, aligned=True).shape == (150, 150, 3)
    with pytest.raises(UsageError, match="no face 999"):
        index.crop(999)
    with pytest.raises(UsageError, match="`margin`"):
        index.crop(face, margin=-1)


def test_crop_refuses_a_photo_that_has_changed(
    index: FaceIndex, album: Path, fake_models: ModuleType
) -> None:
    face = next(index.faces(photo=album / "alone" / "0.png"))
    fake_models.make_photo(album / "alone" / "0.png", (250, 10, 10))
    with pytest.raises(ImageError, match="changed"):
        index.crop(face)


def test_embed_stores_nothing(index: FaceIndex, tmp_path: Path, fake_models: ModuleType) -> None:
    new = fake_models.make_photo(tmp_path / "new.png", (64, 64, 128), mark=7)
    faces = index.embed(new)
    assert faces.boxes.shape == (1, 4)
    assert faces.vectors.shape == (1, fake_models.DIMENSION)
    assert len(index) == 13


def test_identify_takes_paths_bytes_arrays_and_pil_images(
    index: FaceIndex, tmp_path: Path, fake_models: ModuleType
) -> None:
    path = fake_models.make_photo(tmp_path / "friend.png", (128, 64, 128), mark=99)
    pixels = np.asarray(Image.open(path))
    (expected,) = index.identify(path).faces
    assert expected.cluster is not None
    for photo in (str(path), path.read_bytes(), pixels, Image.open(path)):
        assert index.identify(photo).faces == (expected,)


def assert_same(found: Identification, expected: Identification) -> None:
    """Compare up to rounding, which differs with the number of queries of a search."""
    assert (found.photo, found.indexed_as, found.error) == (
        expected.photo,
        expected.indexed_as,
        expected.error,
    )
    assert len(found.faces) == len(expected.faces)
    for one, other in zip(found.faces, expected.faces, strict=True):
        assert (one.box, one.cluster, one.nearest_cluster) == (
            other.box,
            other.cluster,
            other.nearest_cluster,
        )
        numbers = [(face.similarity, face.needed, face.margin) for face in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-5, nan_ok=True)
        near = [[near.similarity for near in face.neighbours] for face in (one, other)]
        assert near[0] == pytest.approx(near[1], abs=1e-5)


def test_identify_takes_an_iterable_and_keeps_its_order(
    index: FaceIndex, album: Path, tmp_path: Path, fake_models: ModuleType
) -> None:
    nobody = fake_models.make_photo(tmp_path / "nobody.png", fake_models.NOBODY)
    missing = tmp_path / "missing.png"
    photos = [album / f"person{i % 3}" / "0.png" for i in range(20)] + [nobody, missing]
    results = index.identify(path for path in photos)
    assert [result.photo for result in results] == list(map(str, photos))
    expected = {path: index.identify(path) for path in photos[:3]}
    for path, result in zip(photos[:20], results, strict=False):
        assert_same(result, expected[path])
    assert [len(result.faces) for result in results[20:]] == [0, 0]
    assert [type(result.error) for result in results[20:]] == [type(None), ImageError]
    assert index.identify([]) == []


@pytest.mark.parametrize(
    ("photo", "message"),
    [(None, "NoneType"), (5, "int"), (io.BytesIO(b"line\nline"), "BytesIO"), ([[]], "list")],
)
def test_identify_rejects_what_is_not_a_photo(index: FaceIndex, photo: object, message: str) -> None:
    with pytest.raises(UsageError, match=f"A photo of type {message} cannot be read"):
        index.identify(photo)  # type: ignore[call-overload]


def test_identify_refuses_a_negative_number_of_neighbours(index: FaceIndex) -> None:
    with pytest.raises(UsageError, match="`neighbours` is -1"):
        index.identify([], neighbours=-1)


def test_identify_reports_photos_of_an_iterable_that_cannot_be_decoded(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = album / "person0" / "0.png", album / "person1" / "0.png"
    truncated = Image.open(io.BytesIO(good.read_bytes()[:-60]))
    recognise = Recogniser.recognise

    def fail_for_bad(self: Recogniser, photos: Sequence[LoadedPhoto]) -> list[Faces]:
        if any(photo.path == str(bad) for photo in photos):  # as a second, finer decode may
            raise ImageError(bad, Reason.TOO_LARGE, "it does not fit into memory.", "Leave it out.")
        return recognise(self, photos)

    monkeypatch.setattr(Recogniser, "recognise", fail_for_bad)
    results = index.identify([good, truncated, bad, good])
    assert [result.photo for result in results] == [str(good), "<PngImageFile>", str(bad), str(good)]
    assert [len(result.faces) for result in results] == [1, 0, 0, 1]
    reasons = [result.error and result.error.reason for result in results]
    assert reasons == [None, Reason.TRUNCATED, Reason.TOO_LARGE, None]
    json.dumps([result.as_dict() for result in results], allow_nan=False)
    with pytest.raises(ImageError, match="does not fit into memory"):
        index.identify(bad)


def test_identify_copies_arrays(index: FaceIndex) -> None:
    colours = [(64, 64, 128), (128, 64, 128), (192, 64, 128)]
    frame = np.empty((96, 96, 3), np.uint8)

    def frames() -> Iterator[U8]:
        for colour in colours:
            frame[:] = colour
            yield frame

    results = index.identify(frames())
    assert len({result.faces[0].cluster for result in results}) == 3


def test_identify_reports_a_missing_file_without_loading_the_models(
    index: FaceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the models were loaded")

    monkeypatch.setattr("faceindex.api.queries.load_recogniser", load)
    with FaceIndex.open(index.directory) as reader:
        with pytest.raises(ImageError, match="no such file"):
            reader.identify("missing.png")
        assert reader.identify(["missing.png"])[0].error is not None


def test_a_closed_index_raises_a_usage_error(index: FaceIndex) -> None:
    index.close()
    for call in (
        index.counts,
        index.clusters,
        index.table,
        index.roots,
        lambda: len(index),
        lambda: list(index),
    ):
        with pytest.raises(UsageError, match="The index is closed"):
            call()


def test_identify_names_the_indexed_photo_with_the_same_content(
    index: FaceIndex, album: Path, tmp_path: Path, fake_models: ModuleType
) -> None:
    photo = album / "person0" / "1.png"
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo.read_bytes())
    (face,) = index.faces(photo=photo)
    for same in (photo, copy, photo.read_bytes()):
        assert index.identify(same).indexed_as == face.photo
    assert (
        index.identify(fake_models.make_photo(tmp_path / "new.png", (64, 64, 128), mark=50)).indexed_as
        is None
    )


def test_public_names_are_importable_and_listed() -> None:
    for name in faceindex.__all__:
        assert getattr(faceindex, name) is not None
    assert set(faceindex.__all__) <= set(dir(faceindex))
    assert Face.__doc__
    with pytest.raises(AttributeError, match="nonsense"):
        faceindex.nonsense  # noqa: B018


def test_importing_the_class_loads_no_heavy_library() -> None:
    program = "import sys; from faceindex import FaceIndex, find_index; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "faceindex.api.index" in loaded
    assert not {"numpy", "torch", "PIL", "hnswlib", "sklearn", "numba"} & set(loaded)
