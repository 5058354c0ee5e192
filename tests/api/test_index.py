"""`FaceIndex` with fake models."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex, models
from faceindex.api import find_index
from faceindex.api.pins import make_pins
from faceindex.clustering import neighbours as neighbours_module
from faceindex.errors import (
    IndexCorrupt,
    IndexNotFound,
    NotClustered,
    PinnedModelError,
    UnknownModel,
    UsageError,
    WeightsInvalid,
)
from faceindex.store import NewPhoto, Store
from faceindex.types import Faces


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    album: Path = fake_models.make_album(tmp_path / "album", people=3, photos=4)
    return album


def make(directory: Path, **options: Any) -> FaceIndex:
    return FaceIndex.create(directory, detector="fake", embedder="fake", **options)


def people(index: FaceIndex) -> dict[str, set[int | None]]:
    found: dict[str, set[int | None]] = {}
    for row in index.faces():
        found.setdefault(Path(row.photo).parent.name, set()).add(row.cluster)
    return found


def test_index_cluster_identify(tmp_path: Path, album: Path, fake_models: ModuleType) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        result = index.cluster()
        assert sorted(result.sizes.values()) == [4, 4, 4]
        assert (result.faces, result.unclustered) == (12, 0)
        assert all(len(clusters) == 1 for clusters in people(index).values())

        friend = fake_models.make_photo(tmp_path / "friend.png", (128, 64, 128), mark=99)
        query = index.identify(friend)
        (cluster,) = people(index)["person1"]
        (face,) = query.faces
        assert face.cluster == cluster
        assert face.similarity == pytest.approx(1)
        assert face.margin > 0
        assert Path(face.neighbours[0].face.photo).parent.name == "person1"

        stranger = fake_models.make_photo(tmp_path / "stranger.png", (10, 250, 10))
        answer = index.identify(stranger).faces[0]
        assert answer.cluster is None
        assert answer.nearest_cluster is not None
        assert index.identify(fake_models.make_photo(tmp_path / "no.png", fake_models.NOBODY)).faces == ()


def test_identify_before_cluster_still_lists_faces(
    tmp_path: Path, album: Path, fake_models: ModuleType
) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        with pytest.raises(NotClustered):
            index.clusters()
        answer = index.identify(album / "person0" / "0.png").faces[0]
        assert answer.nearest_cluster is None
        assert len(answer.neighbours) == 5


def test_identify_raises_for_a_damaged_catalog_and_works_once_it_is_repaired(
    tmp_path: Path, album: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        index.cluster()
    asked = album / "person1" / "0.png"
    with FaceIndex.open(tmp_path / "index") as index:

        def fail(store: Store) -> None:
            raise IndexCorrupt("The catalog is damaged.", "Restore it.")

        with monkeypatch.context() as damage:
            damage.setattr(Store, "faces", fail)
            with pytest.raises(IndexCorrupt, match="damaged"):
                index.identify(asked)
        (cluster,) = people(index)["person1"]
        assert index.identify(asked).faces[0].cluster == cluster


def test_identify_finds_faces_that_another_process_commits(
    tmp_path: Path, album: Path, fake_models: ModuleType
) -> None:
    late = fake_models.make_photo(tmp_path / "late" / "0.png", (128, 64, 128), mark=98)
    with make(tmp_path / "index") as index:
        index.add(album / "person0")
    with FaceIndex.open(tmp_path / "index") as index:
        before = index.identify(late)
        with FaceIndex.open(tmp_path / "index", write=True) as other:
            other.add(tmp_path / "late")
            other.cluster()
        after = index.identify(late)
    assert {Path(near.face.path).parent.name for near in before.faces[0].neighbours} == {"person0"}
    first = after.faces[0].neighbours[0]
    assert first.similarity == pytest.approx(1)
    assert Path(first.face.path) == late


def test_identify_in_an_empty_index(tmp_path: Path, fake_models: ModuleType) -> None:
    with make(tmp_path / "index") as index:
        query = index.identify(fake_models.make_photo(tmp_path / "a.png", (64, 64, 128)))
        assert len(query.faces) == 1
        assert query.faces[0].neighbours == ()


def test_clusters_stay_with_their_faces(tmp_path: Path, album: Path, fake_models: ModuleType) -> None:
    with make(tmp_path / "index") as index:
        index.add(album / "person1")
        index.cluster()
        before = {row.face: row.cluster for row in index.faces()}
        fake_models.make_photo(album / "person1" / "new.png", (128, 64, 128), mark=77)
        index.add(album)
        result = index.cluster()
        after = {row.face: row.cluster for row in index.faces()}
        assert {face: after[face] for face in before} == before
        assert result.kept == 4
        assert not result.started_over
        assert people(index)["person1"] == set(before.values())
        assert len({cluster for clusters in people(index).values() for cluster in clusters}) == 3


def test_rebuild_uses_ids_again(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as index:
        index.add([album / "person2", album / "person0"])
        index.cluster()
        before = people(index)
        index.add(album)
        result = index.cluster(rebuild=True)
        assert result.started_over
        after = people(index)
        assert {person: after[person] for person in before} == before
        assert after["person1"] not in before.values()


def test_other_parameters_start_over(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        index.cluster()
        result = index.cluster("kmeans", k=2)
        assert result.started_over
        assert sum(result.sizes.values()) == 12
        assert len(result.sizes) == 2
        assert index.clustering is not None
        assert index.clustering.algorithm == "kmeans"


def test_ids_of_dissolved_clusters_come_back_with_their_faces(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        index.cluster()
        before = index.table().cluster
        index.cluster(min_size=5)
        assert {row.cluster for row in index.faces()} == {None}
        index.cluster()
        np.testing.assert_array_equal(index.table().cluster, before)


def test_min_size(tmp_path: Path, album: Path, fake_models: ModuleType) -> None:
    fake_models.make_photo(album / "alone" / "0.png", (10, 250, 10))
    with make(tmp_path / "index") as index:
        index.add(album)
        assert index.cluster().unclustered == 1
        assert people(index)["alone"] == {None}
        assert index.cluster(min_size=1).unclustered == 0
        assert index.cluster(min_size=5).unclustered == 13


def test_same_seed_same_labels(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        index.cluster(seed=3)
        first = index.table().cluster.copy()
        index.cluster(seed=3, rebuild=True)
        np.testing.assert_array_equal(index.table().cluster, first)


def test_clustering_nothing(tmp_path: Path, fake_models: ModuleType) -> None:
    with make(tmp_path / "index") as index:
        result = index.cluster()
        assert (result.faces, result.sizes) == (0, {})


@pytest.mark.parametrize(
    ("algorithm", "options", "words"),
    [
        ("kmeans", {}, "`k`"),
        ("kmeans", {"k": 0}, "`k` is 0"),
        ("kmeans", {"k": 13}, "13"),
        ("kmeans", {"k": 2, "threshold": 0.9}, "`threshold`"),
        ("chinese-whispers", {"k": 2}, "`k`"),
        ("chinese-whispers", {"threshold": 2.0}, "`threshold` is 2"),
        ("chinese-whispers", {"min_size": 0}, "`min_size` is 0"),
        ("chinese-whispers", {"seed": -1}, "`seed` is -1"),
        ("kmeans", {"k": 2, "seed": 2**32}, "`seed` is 4294967296"),
    ],
)
def test_impossible_clusterings(
    tmp_path: Path, album: Path, algorithm: str, options: dict[str, float], words: str
) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        with pytest.raises(UsageError, match=words):
            index.cluster(algorithm, **options)  # type: ignore[arg-type]


def test_unknown_models(tmp_path: Path, fake_models: ModuleType) -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'mtcnn'"):
        FaceIndex.create(tmp_path / "index", detector="mtcn")
    with make(tmp_path / "other") as index, pytest.raises(UnknownModel, match="chinese-whispers, kmeans"):
        index.cluster("dbscan")
    assert not (tmp_path / "index").exists()


def test_an_index_is_pinned(tmp_path: Path, album: Path) -> None:
    make(tmp_path / "index", min_face=40).close()
    with pytest.raises(PinnedModelError, match=r"`detector='fake'`; `detector='mtcnn'` was"):
        FaceIndex.open_or_create(tmp_path / "index", detector="mtcnn")
    with pytest.raises(PinnedModelError, match=r"`min_face=40`; `min_face=50` was"):
        FaceIndex.open_or_create(tmp_path / "index", min_face=50)
    with FaceIndex.open_or_create(tmp_path / "index", detector="fake", min_face=40) as index:
        assert index.add(album).new == 12


def test_options_of_models_are_pinned(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[dict[str, Any]] = []
    for model in (fake_models.FakeDetector, fake_models.FakeEmbedder):

        def spy(self: object, spec: object, *, build: Any = model.__init__, **options: Any) -> None:
            built.append(options)
            build(self, spec, **options)

        monkeypatch.setattr(model, "__init__", spy)
    with make(tmp_path / "index", settings={"upsample": 2}) as index:
        assert index.pins.settings == {"min_face": 30, "upsample": 2, "flip": False}
        assert (built[0]["upsample"], built[1]["flip"]) == (2, False)
    with pytest.raises(PinnedModelError, match=r"`upsample=2`; `upsample=1` was"):
        FaceIndex.open_or_create(tmp_path / "index", settings={"upsample": 1})
    with pytest.raises(PinnedModelError, match=r"models without the option `jitter`"):
        FaceIndex.open_or_create(tmp_path / "index", settings={"jitter": 1})
    FaceIndex.open_or_create(tmp_path / "index", settings={"upsample": 2, "flip": False}).close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jitter": 1}, "Neither the detector fake nor the embedder fake has the option `jitter`"),
        ({"upsample": 5}, "`upsample` is 5. Choose one in 0..4"),
        ({"upsample": -1}, "`upsample` is -1"),
        ({"upsample": True}, "`upsample` is True"),
        ({"flip": 1}, "`flip` is 1"),
        ({"min_face": 0}, "`min_face` is 0 px"),
        ({"min_face": float("nan")}, "`min_face` is nan px"),
        ({"min_face": float("inf")}, "`min_face` is inf px"),
        ({"min_face": 4.9}, "Choose 5 or more"),
    ],
)
def test_options_out_of_range_are_refused(
    tmp_path: Path, fake_models: ModuleType, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        make(tmp_path / "index", settings=settings)
    assert not (tmp_path / "index").exists()


def test_nothing_is_made_when_a_network_cannot_be_loaded(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, spec: object, **options: object) -> None:
        raise WeightsInvalid("It is not the published file.", "Get it again.")

    monkeypatch.setattr(fake_models.FakeDetector, "__init__", broken)
    with pytest.raises(WeightsInvalid):
        make(tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("asked", "pinned"),
    [
        ({}, {"min_face": 40, "upsample": 1}),
        ({"upsample": 0}, {"min_face": 80, "upsample": 0}),
        ({"upsample": 2}, {"min_face": 20, "upsample": 2}),
        ({"min_face": 20.0}, {"min_face": 20, "upsample": 2}),
        ({"min_face": 30.0}, {"min_face": 30, "upsample": 2}),
        ({"min_face": 120.0}, {"min_face": 120, "upsample": 1}),
        ({"min_face": 50.0, "upsample": 3}, {"min_face": 50, "upsample": 3}),
    ],
)
def test_doublings_and_the_smallest_face_belong_together(
    asked: dict[str, float], pinned: dict[str, float]
) -> None:
    pins = make_pins("dlib-hog", "dlib", asked)
    assert pins.settings == {**pinned, "half": False}


@pytest.mark.parametrize("asked", [{"min_face": 20.0, "upsample": 1}, {"min_face": 40.0, "upsample": 0}])
def test_a_face_that_the_doublings_do_not_reach_is_refused(asked: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="another `upsample`"):
        make_pins("dlib-hog", "dlib", asked)


def test_a_device_that_does_not_exist_is_refused_before_anything_is_made(
    tmp_path: Path, fake_models: ModuleType
) -> None:
    with pytest.raises(UsageError, match="no device 'gpu'"):
        make(tmp_path / "index", device="gpu")
    assert not (tmp_path / "index").exists()
    make(tmp_path / "index").close()
    for attempt in (FaceIndex.open, FaceIndex.open_or_create):
        with pytest.raises(UsageError, match="no device 'gpu'"):
            attempt(tmp_path / "index", device="gpu")


def test_finding_an_index(tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEINDEX_INDEX", raising=False)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_index() is None
    with pytest.raises(IndexNotFound, match="faceindex index PATH"):
        FaceIndex.open()
    make(tmp_path / ".faceindex").close()
    assert find_index() == tmp_path / ".faceindex"
    monkeypatch.setenv("FACEINDEX_INDEX", str(tmp_path / "env"))
    assert find_index() == tmp_path / "env"
    assert find_index(tmp_path / "named") == tmp_path / "named"


def test_a_reader_beside_the_writer(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as writer, FaceIndex.open(tmp_path / "index") as reader:
        with pytest.raises(UsageError, match="reading only"):
            reader.cluster()
        assert len(reader.table()) == 0
        writer.add(album)
        assert len(reader.table()) == 12
        writer.cluster()
        assert reader.clustering is not None
        assert (reader.table().cluster >= 0).all()


def test_similarity_to_cluster_is_that_to_the_centroid(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as index:
        index.add(album)
        index.cluster("kmeans", k=2)
        table, vectors = index.table(), index.vectors()
        for cluster in np.unique(table.cluster):
            members = vectors[table.cluster == cluster]
            centroid = members.mean(axis=0)
            expected = members @ (centroid / np.linalg.norm(centroid))
            np.testing.assert_allclose(table.similarity[table.cluster == cluster], expected, atol=1e-6)


def put_faces(index: FaceIndex, vectors: np.ndarray, sharpness: list[float], first: int = 0) -> None:
    """Commit a photo for each vector, past the networks."""
    root = index._store.add_root("/somewhere", "somewhere")
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    one = np.ones(1, np.float32)
    index._store.commit(
        [
            NewPhoto(
                root_id=root.id,
                relpath=f"{i}.jpg",
                size=1,
                mtime_ns=1,
                content_hash=b"%d" % i,
                faces=Faces(
                    np.zeros((1, 4), np.float32),
                    np.zeros((1, 5, 2), np.float32),
                    one,
                    vector[None],
                    one,
                    np.array([sharp], np.float32),
                ),
            )
            for i, (vector, sharp) in enumerate(zip(vectors, sharpness, strict=True), first)
        ]
    )


def test_blurred_faces_follow_and_do_not_lead(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_blur(fake_models)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(20, 16))
    one, other, blur = np.eye(3, 16)
    vectors = np.array([one] * 6 + [other] * 6 + [blur] * 6 + [one] * 2) + noise
    with make(tmp_path / "index") as index:
        put_faces(index, vectors, [0.3] * 12 + [0.05] * 8)
        result = index.cluster()
        labels = index.table().cluster
        assert sorted(result.sizes.values()) == [6, 8]
        assert (labels[12:18] == -1).all()  # alike, but so are all blurred faces
        assert (labels[18:] == labels[0]).all()
        kept = labels.copy()
        index.cluster()
        np.testing.assert_array_equal(index.table().cluster, kept)

        # Where most faces are soft, soft is not blurred.
    with make(tmp_path / "soft") as index:
        put_faces(index, vectors, [0.1] * 20)
        assert sorted(index.cluster().sizes.values()) == [6, 6, 8]


def test_the_neighbour_graph_by_partition_gives_the_same_clusters(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 16))
    vectors = centres[np.arange(120) % 12] + rng.normal(scale=0.05, size=(120, 16))
    with make(tmp_path / "index") as index:
        put_faces(index, vectors, [0.3] * 120)
        index.cluster()
        exact = index.table().cluster.copy()
        monkeypatch.setattr(neighbours_module, "EXACT_UP_TO", 0)
        index.cluster(rebuild=True)
        np.testing.assert_array_equal(index.table().cluster, exact)
        assert len(np.unique(exact)) == 12


def with_blur(fake_models: ModuleType) -> None:
    calibration = dataclasses.replace(fake_models.EMBEDDER.calibration, blurred=0.14)
    models.register(dataclasses.replace(fake_models.EMBEDDER, calibration=calibration), replace=True)


def test_soft_faces_join_a_person_but_make_none(tmp_path: Path, fake_models: ModuleType) -> None:
    rng = np.random.default_rng(0)
    soft = np.repeat(np.eye(16)[:3], 4, axis=0) + rng.normal(scale=0.01, size=(12, 16))
    crisp = np.repeat(np.eye(16)[3:7], 8, axis=0) + rng.normal(scale=0.01, size=(32, 16))
    crisp[24:] = np.eye(16)[0] + rng.normal(scale=0.01, size=(8, 16))  # crisp photos of a soft person
    with make(tmp_path / "index") as index:
        put_faces(index, soft, [0.1] * 12)
        index.cluster()
        old = index.table().cluster.copy()
        assert len(np.unique(old)) == 3  # nothing is better in this album
        put_faces(index, crisp, [0.3] * 32, first=12)
        index.cluster()
        labels = index.table().cluster
        assert set(labels[12:36]).isdisjoint(old)
        assert (labels[:4] == old[0]).all()
        assert (labels[36:] == old[0]).all()
        assert (labels[4:12] == -1).all()


def test_clustering_again_with_nothing_new_changes_nothing(tmp_path: Path, fake_models: ModuleType) -> None:
    """Pairs and strangers: a stranger must not be drawn to a pair because the pair has been kept."""
    rng = np.random.default_rng(1)
    pairs = np.repeat(rng.normal(size=(30, 16)), 2, axis=0) + rng.normal(scale=0.02, size=(60, 16))
    strangers = pairs[:20:2] + rng.normal(scale=0.3, size=(10, 16))
    with make(tmp_path / "index") as index:
        put_faces(index, np.concatenate([pairs, strangers]), [0.3] * 70)
        index.cluster()
        first = index.table().cluster.copy()
        assert (first[60:] == -1).any()
        index.cluster()
        np.testing.assert_array_equal(index.table().cluster, first)


def test_kmeans_again_with_nothing_new_changes_nothing(tmp_path: Path, fake_models: ModuleType) -> None:
    rng = np.random.default_rng(1)
    people = np.eye(16)[[0] * 6 + [1] * 6 + [2] * 2] + rng.normal(scale=0.01, size=(14, 16))
    with make(tmp_path / "index") as index:
        put_faces(index, people, [0.3] * 14)
        index.cluster("kmeans", k=3, min_size=4)
        first = index.table().cluster.copy()
        assert (first[12:] == -1).all()
        index.cluster("kmeans", k=3, min_size=4)
        np.testing.assert_array_equal(index.table().cluster, first)
        put_faces(index, np.eye(16)[[1]], [0.3], first=14)
        index.cluster("kmeans", k=3, min_size=4)
        assert index.table().cluster.tolist() == [*first.tolist(), first[6]]


def test_a_burst_of_soft_photos_follows_its_sharp_ones(tmp_path: Path, fake_models: ModuleType) -> None:
    """More soft neighbours than the graph has must not hide the sharp one."""
    with_blur(fake_models)
    rng = np.random.default_rng(0)
    person, burst = np.eye(16)[0], np.eye(16)[0] + 0.1 * np.eye(16)[1]
    vectors = np.concatenate([np.tile(person, (10, 1)), np.tile(burst, (150, 1)), rng.normal(size=(200, 16))])
    vectors += rng.normal(scale=0.001, size=vectors.shape)
    with make(tmp_path / "index") as index:
        root_sharpness = [0.3] * 10 + [0.05] * 150 + [0.3] * 200
        for start in range(0, 360, 200):
            put_faces(index, vectors[start : start + 200], root_sharpness[start : start + 200], first=start)
        index.cluster()
        labels = index.table().cluster
        assert labels[0] >= 0
        assert (labels[:160] == labels[0]).all()


def test_kmeans_after_all_clusters_were_dissolved(tmp_path: Path, album: Path) -> None:
    with make(tmp_path / "index") as index:
        index.add(album / "person0")
        index.add(album / "person1")
        assert index.cluster("kmeans", k=2, min_size=5).sizes == {}
        assert index.cluster("kmeans", k=2, min_size=5).sizes == {}
        index.add(album)
        assert index.cluster("kmeans", k=2, min_size=5).faces == 12


def test_a_plot_never_overwrites_an_indexed_photo_under_any_name(
    album: Path, tmp_path: Path, fake_models: ModuleType
) -> None:
    elsewhere = fake_models.make_photo(tmp_path / "elsewhere" / "photo.png", (64, 64, 128))
    (album / "linked.png").symlink_to(elsewhere)
    (tmp_path / "by another name").symlink_to(album)
    (tmp_path / "straight").symlink_to(album / "person0" / "0.png")
    originals = [album / "person0" / "0.png", album / "linked.png", elsewhere, tmp_path / "straight"]
    with make(tmp_path / "index") as index:
        index.add(album)
        for original in (*originals, tmp_path / "by another name" / "person0" / "0.png"):
            with pytest.raises(UsageError, match="is one of the indexed photos"):
                index.check_writable(original)
        for free in (album / "person0" / "plot.png", tmp_path / "0.png", elsewhere.with_name("plot.png")):
            index.check_writable(free)


def test_each_folder_of_photos_is_resolved_once(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []
    realpath = os.path.realpath

    def spy(path: str | os.PathLike[str]) -> str:
        resolved.append(os.fspath(path))
        return realpath(path)

    with make(tmp_path / "index") as index:
        index.add(album)
        monkeypatch.setattr(os.path, "realpath", spy)
        index.check_writable(tmp_path / "plot.png")
    assert len(resolved) == 1 + len({photo.parent for photo in album.rglob("*.png")})
