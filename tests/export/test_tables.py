from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.export import embeddings as embeddings_module
from faceindex.export.annotations import export_voc
from faceindex.export.boxes import BoxFormat, as_text, boxes_source, write_boxes
from faceindex.export.destination import ProtectedPaths
from faceindex.export.embeddings import EmbeddingFormat, embeddings_source, write_embeddings
from faceindex.export.folder import Folder
from faceindex.export.source import Source
from faceindex.store import FaceTable
from faceindex.store.photos import Photo

STORED = np.random.default_rng(0).standard_normal((9, 16)).astype(np.float32)
PERSON = 'José, "Pepe"'

STORED /= np.linalg.norm(STORED, axis=1, keepdims=True)


@pytest.fixture
def source() -> Source:
    """Three faces: two on one photo, the second with landmarks and in a cluster."""
    landmarks = np.full((3, 5, 2), np.nan, np.float32)
    landmarks[1] = np.arange(10).reshape(5, 2) + 0.1
    table = FaceTable(
        face=np.array([4, 5, 9]),
        photo=np.array([1, 1, 2]),
        row=np.array([2, 3, 8]),
        boxes=np.array([[10.4, 20.6, 30.5, 41.5], [-3, -4, 99, 120], [1 / 3, 2, 3, 4]], np.float32),
        landmarks=landmarks,
        scores=np.array([1, 0.99999, 0.5], np.float32),
        norms=np.array([1.5, 1.25, 1 / 3], np.float32),
        sharpness=np.array([0.25, 1e-6, 0.5], np.float32),
        quality=np.array([1, 0.1, 1 / 3], np.float32),
        turns=np.array([0, 270, 90]),
        cluster=np.array([-1, 7, 0]),
        similarity=np.array([np.nan, 0.97, 1], np.float32),
    )
    photos = {
        1: Photo(1, "p/a, b.jpg", "/home/p/a, b.jpg", "a, b.jpg", 80, 100, b"1"),
        2: Photo(2, "p/\udcff\n.jpg", "/home/p/\udcff\n.jpg", "\udcff\n.jpg", 80, 100, b"2"),
    }
    return Source(table, photos, person_names={7: PERSON, 3: "Nobody here"})


def boxes(source: Source, format: BoxFormat, **options: bool) -> bytes:
    file = io.BytesIO()
    write_boxes(source, file, format, **options)
    assert not file.closed
    return file.getvalue()


def rows(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_boxes_as_csv(source: Source) -> None:
    lines = boxes(source, "csv").split(b"\n")
    assert lines[0] == b"image_path,y_min,x_max,y_max,x_min"
    assert lines[1] == b'"p/a, b.jpg",21,30,42,10'
    assert lines[2] == b'"p/a, b.jpg",0,80,100,0'  # clipped to the photo
    assert lines[3:] == [b'"p/\xff', b'.jpg",2,3,4,0', b""]


def test_boxes_as_full_csv(source: Source) -> None:
    first, second, third = rows(boxes(source, "csv-full", absolute=True))
    assert first["image_path"] == "/home/p/a, b.jpg"
    assert (first["face"], first["cluster"], first["similarity_to_cluster"]) == ("4", "", "")
    assert {first[name] for name in first if name.startswith(("left_", "right_", "nose_", "mouth_"))} == {""}
    assert [second[f"{point}_x"] for point in ("left_eye", "right_eye", "nose")] == ["0.1", "2.1", "4.1"]
    assert (second["cluster"], second["mouth_right_y"]) == ("7", "9.1")
    assert [row["person"] for row in (first, second, third)] == ["", PERSON, ""]
    assert list(first)[9:12] == ["cluster", "person", "similarity_to_cluster"]
    assert [second[name] for name in ("x_min", "y_min", "x_max", "y_max")] == [
        "-3.0",
        "-4.0",
        "99.0",
        "120.0",
    ]
    assert np.float32(third["x_min"]) == np.float32(1 / 3)
    assert (third["score"], third["norm"], third["sharpness"]) == ("0.5", "0.33333334", "0.5")
    assert float(second["sharpness"]) == pytest.approx(1e-6)


def test_boxes_as_json(source: Source) -> None:
    document = json.loads(boxes(source, "json"))
    assert document["schema"] == "faceindex/boxes/1"
    first, second, third = document["faces"]
    assert first == {
        "face": 4,
        "image_path": "p/a, b.jpg",
        "x_min": 10.4,
        "y_min": 20.6,
        "x_max": 30.5,
        "y_max": 41.5,
        "score": 1.0,
        "sharpness": 0.25,
        "norm": 1.5,
        "cluster": None,
        "person": None,
        "similarity_to_cluster": None,
        "landmarks": None,
        "quality": 1.0,
        "turn": 0,
    }
    assert (second["quality"], second["turn"]) == (0.1, 270)
    assert second["landmarks"]["mouth_left"] == [6.1, 7.1]
    assert (second["cluster"], second["similarity_to_cluster"]) == (7, 0.97)
    assert (second["person"], third["person"]) == (PERSON, None)
    assert third["image_path"] == "p/\udcff\n.jpg"


@pytest.mark.parametrize("format", ["csv", "csv-full", "json"])
def test_boxes_of_no_faces(format: BoxFormat) -> None:
    source = empty()
    content = boxes(source, format)
    assert json.loads(content)["faces"] == [] if format == "json" else content.count(b"\n") == 1


def empty() -> Source:
    def none(*shape: int, dtype: type = np.float32) -> np.ndarray:
        return np.empty((0, *shape), dtype)

    ids = none(dtype=np.int64)
    table = FaceTable(
        face=ids,
        photo=ids,
        row=ids,
        boxes=none(4),
        landmarks=none(5, 2),
        scores=none(),
        norms=none(),
        sharpness=none(),
        quality=none(),
        turns=ids,
        cluster=ids,
        similarity=none(),
    )
    return Source(table, {})


def test_as_text_keeps_float32_exactly() -> None:
    values = np.random.default_rng(1).standard_normal((100, 8)).astype(np.float32)
    values *= np.float32(10.0) ** np.arange(-20, 12, 4, dtype=np.float32)
    assert (np.array(as_text(values), np.float32) == values).all()


def embeddings(source: Source, format: EmbeddingFormat) -> bytes:
    file = io.BytesIO()
    write_embeddings(source, STORED.__getitem__, file, format, "fake")
    assert not file.closed
    return file.getvalue()


@pytest.mark.parametrize("block", [1, 2, 100])
def test_npz(source: Source, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_module, "BLOCK", block)
    with np.load(io.BytesIO(embeddings(source, "npz")), allow_pickle=False) as read:
        np.testing.assert_array_equal(read["vectors"], STORED[[2, 3, 8]])
        assert read["photo"].tolist() == source.names()
        assert str(read["embedder"]) == "fake"
        for name, values in (("norms", source.table.norms), ("face", source.table.face)):
            np.testing.assert_array_equal(read[name], values)
        np.testing.assert_array_equal(read["box"], source.table.boxes)
        np.testing.assert_array_equal(read["cluster"], [-1, 7, 0])
        assert read["person"].tolist() == ["", PERSON, ""]
        np.testing.assert_array_equal(read["similarity"], source.table.similarity)
        np.testing.assert_array_equal(read["quality"], source.table.quality)
        np.testing.assert_array_equal(read["turn"], [0, 270, 90])


def test_npz_without_faces_and_into_a_pipe(source: Source) -> None:
    with np.load(io.BytesIO(embeddings(empty(), "npz")), allow_pickle=False) as read:
        assert read["vectors"].shape == (0, 16)
        assert read["photo"].shape == read["person"].shape == (0,)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        tell = seek

    pipe = Pipe()
    write_embeddings(source, STORED.__getitem__, pipe, "npz", "fake")
    assert np.load(io.BytesIO(pipe.getvalue()), allow_pickle=False)["vectors"].shape == (3, 16)


def test_the_same_vectors_give_the_same_file(source: Source) -> None:
    assert embeddings(source, "npz") == embeddings(source, "npz")


def test_embeddings_as_csv(source: Source) -> None:
    first, second, _ = rows(embeddings(source, "csv"))
    assert list(first)[:7] == ["face", "photo", "cluster", "person", "norm", "quality", "v0"]
    assert (first["person"], second["person"]) == ("", PERSON)
    assert (first["quality"], second["quality"]) == ("1.0", "0.1")
    assert (np.array([second[f"v{i}"] for i in range(16)], np.float32) == STORED[3]).all()
    assert (first["photo"], first["cluster"], second["cluster"], second["norm"]) == (
        "p/a, b.jpg",
        "",
        "7",
        "1.25",
    )


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet(source: Source) -> None:
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(embeddings(source, "parquet")))
    assert (np.array(table["vector"].to_pylist(), np.float32) == STORED[[2, 3, 8]]).all()
    assert table["cluster"].to_pylist() == [None, 7, 0]
    assert table["person"].to_pylist() == [None, PERSON, None]
    assert table["turn"].to_pylist() == [0, 270, 90]
    assert np.array_equal(table["quality"].to_numpy(), source.table.quality)
    assert table["photo"].to_pylist() == ["p/a, b.jpg", "p/a, b.jpg", "p/\\udcff\n.jpg"]


def test_parquet_without_pyarrow_is_refused(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow") as caught:
        embeddings(source, "parquet")
    assert "faceindex[parquet]" in caught.value.remedy


def test_unknown_formats_are_refused(source: Source) -> None:
    with pytest.raises(UsageError, match="There is no format 'xml' for boxes"):
        boxes(source, "xml")  # type: ignore[arg-type]  # not a format, on purpose
    with pytest.raises(UsageError, match="There is no format 'npy' for embeddings"):
        embeddings(source, "npy")  # type: ignore[arg-type]  # not a format, on purpose


def test_fingerprints_change_with_the_content(source: Source) -> None:
    table, photos = source.table, source.photos
    changed = replace(table, cluster=table.cluster + 1)
    other = Source(changed, photos)
    assert boxes_source(source, "csv") == boxes_source(other, "csv")
    assert boxes_source(source, "json") != boxes_source(other, "json")
    assert boxes_source(source, "csv") != boxes_source(source, "csv", absolute=True)
    assert embeddings_source(source, "npz", "fake") != embeddings_source(other, "npz", "fake")
    renamed = replace(source, person_names={7: "Pepe"})
    assert boxes_source(source, "csv") == boxes_source(renamed, "csv")
    assert boxes_source(source, "json") != boxes_source(renamed, "json")
    assert embeddings_source(source, "npz", "fake") != embeddings_source(renamed, "npz", "fake")
    assert embeddings_source(source, "npz", "fake") == embeddings_source(source, "npz", "fake")


def test_export_methods_of_the_index(tmp_path: Path, album: Path, opened) -> None:
    with opened("album") as index:
        index.export.boxes("b.json")
        index.export.boxes("b.csv")
        assert index.export.boxes("b.csv").files.unchanged == 1
        index.export.embeddings("e.npz")
        with np.load("e.npz", allow_pickle=False) as read:
            np.testing.assert_array_equal(read["vectors"], index.vectors())
        stream = io.BytesIO()
        index.export.embeddings(stream, format="csv")
        assert len(stream.getvalue().splitlines()) == 13
        with pytest.raises(UsageError, match="does not imply a format"):
            index.export.embeddings("e.bin")
    assert len(json.loads(Path("b.json").read_text())["faces"]) == 12
    first = Path("b.csv").read_text().splitlines()[1]
    assert first == f"{Path('album') / 'person0' / '0.png'},24,72,72,24"


def test_boxes_for_coco(source: Source) -> None:
    document = json.loads(boxes(source, "coco"))
    assert document["categories"][0]["name"] == "face"
    assert document["images"] == [
        {"id": 1, "file_name": "p/a, b.jpg", "width": 80, "height": 100},
        {"id": 2, "file_name": "p/\udcff\n.jpg", "width": 80, "height": 100},
    ]
    first, second, third = document["annotations"]
    assert (first["id"], first["image_id"], first["category_id"]) == (4, 1, 1)
    assert first["bbox"] == [10.4, 20.6, 20.1, 20.9]
    assert first["area"] == pytest.approx(20.1 * 20.9, abs=0.01)
    assert (first["num_keypoints"], first["keypoints"]) == (0, [0] * 15)
    assert second["bbox"] == [0, 0, 80, 100]  # clipped to the photo
    assert second["keypoints"][:3] == [0.1, 1.1, 2]
    assert second["num_keypoints"] == 5
    assert second["attributes"] == {"person": PERSON, "cluster": 7, "quality": 0.1, "turn": 270}
    assert third["attributes"]["person"] is None


def test_boxes_for_pascal_voc(source: Source, tmp_path: Path) -> None:
    named = replace(source, person_names={7: "Anna & <Ben>\x00"})
    with Folder(tmp_path / "voc", "boxes", ProtectedPaths(tmp_path / "index", ())) as folder:
        done = export_voc(named, folder)
    assert (done.faces, done.photos, done.files.written) == (3, 2, 2)
    first = ElementTree.parse(tmp_path / "voc" / "a, b.xml").getroot()
    assert [first.findtext(name) for name in ("folder", "filename", "path")] == [
        "p",
        "a, b.jpg",
        "p/a, b.jpg",
    ]
    assert [first.findtext(f"size/{name}") for name in ("width", "height", "depth")] == ["80", "100", "3"]
    faces = first.findall("object")
    assert [face.findtext("name") for face in faces] == ["face", "Anna & <Ben>\ufffd"]
    assert [face.findtext("truncated") for face in faces] == ["0", "1"]
    corners = ("xmin", "ymin", "xmax", "ymax")
    assert [faces[0].findtext(f"bndbox/{name}") for name in corners] == ["11", "22", "30", "42"]
    assert [faces[1].findtext(f"bndbox/{name}") for name in corners] == ["1", "1", "80", "100"]
    (other,) = set((tmp_path / "voc").glob("*.xml")) - {tmp_path / "voc" / "a, b.xml"}
    assert ElementTree.parse(other).getroot().findtext("filename") == "\ufffd\n.jpg"


def test_embeddings_as_json_lines(source: Source) -> None:
    file = io.BytesIO()
    write_embeddings(source, lambda rows: STORED[rows], file, "jsonl", "fake")
    first, second, third = map(json.loads, file.getvalue().splitlines())
    assert (first["face"], first["photo"], first["person"], first["cluster"]) == (4, "p/a, b.jpg", None, None)
    assert (second["person"], second["cluster"], second["box"]) == (PERSON, 7, [-3, -4, 99, 120])
    assert third["photo"] == "p/\udcff\n.jpg"
    assert third["quality"] == pytest.approx(1 / 3)
    for line, row in zip((first, second, third), (2, 3, 8), strict=True):
        assert (np.array(line["vector"], np.float32) == STORED[row]).all()
