"""``index.cluster``: dry runs, changes, and the clusters before the last change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from faceindex import ClusterChanges, FaceIndex
from faceindex.clustering.centroids import similarity_to_centroid
from faceindex.errors import NotClustered, UsageError


@pytest.fixture
def album(fake_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three people with four photos each."""
    fake_models.register_others()
    monkeypatch.chdir(tmp_path)
    return Path(fake_models.make_album(tmp_path / "album"))


@pytest.fixture
def index(album: Path, tmp_path: Path) -> Iterator[FaceIndex]:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as made:
        made.add(album)
        made.cluster()
        yield made


def labels(index: FaceIndex) -> dict[int, int | None]:
    return {face.face: face.cluster for face in index}


def add(index: FaceIndex, fake_models: ModuleType, album: Path, name: str, colour: int, mark: int) -> None:
    fake_models.make_photo(album / name, (colour, 64, 128), mark=mark)
    index.add(album)


def counts(changes: ClusterChanges) -> dict[str, int]:
    names = ("merged", "split", "renumbered", "new", "gone", "moved", "joined", "left")
    return {name: len(getattr(changes, name)) for name in names if getattr(changes, name)}


def test_there_is_nothing_to_compare_with(album: Path, tmp_path: Path) -> None:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        for call in (index.cluster.changes, index.cluster.restore):
            with pytest.raises(NotClustered):
                call()
        index.cluster()
        index.cluster()
        index.cluster(rebuild=True)
        for call in (index.cluster.changes, index.cluster.restore):
            with pytest.raises(UsageError, match="no earlier clusters"):
                call()


def test_merged_split_and_restored(index: FaceIndex) -> None:
    before, made, similarity = labels(index), index.clustering, index.table().similarity
    result = index.cluster("kmeans", k=1)
    assert (result.kept, result.moved) == (4, 8)
    changes = index.cluster.changes()
    assert counts(changes) == {"merged": 1}
    (merged,) = changes.merged
    assert sorted((part.cluster, part.faces) for part in merged.parts) == [(0, 4), (1, 4), (2, 4)]
    assert made is not None
    assert changes.before == made.created
    assert (changes.old_clusters, changes.new_clusters) == (3, 1)
    assert changes.as_dict()["merged"] == [
        {
            "cluster": merged.cluster,
            "faces": 12,
            "parts": [{"cluster": part.cluster, "faces": part.faces} for part in merged.parts],
        }
    ]

    planned = index.cluster.restore(dry_run=True)
    assert planned.changes is not None
    assert counts(planned.changes) == {"split": 1}
    assert len(set(labels(index).values())) == 1

    restored = index.cluster.restore()
    assert (restored.sizes, restored.kept, restored.moved) == ({0: 4, 1: 4, 2: 4}, 4, 8)
    assert restored.algorithm == "album"
    assert restored.changes is None
    assert labels(index) == before
    np.testing.assert_allclose(index.table().similarity, similarity, atol=1e-6)
    now = index.clustering
    assert now is not None
    assert (now.algorithm, now.params, now.created) == (made.algorithm, made.params, made.created)
    assert now.next_cluster_id >= made.next_cluster_id

    index.cluster.restore()
    assert counts(index.cluster.changes()) == {"merged": 1}
    assert len(set(labels(index).values())) == 1


def test_clustering_again_does_not_undo_a_restore(index: FaceIndex) -> None:
    before = labels(index)
    index.cluster("kmeans", k=1)
    index.cluster.restore()
    result = index.cluster()
    assert (result.moved, result.started_over) == (0, False)
    assert labels(index) == before
    assert counts(index.cluster.changes()) == {"split": 1}  # of the last change, which was the restore


def test_a_number_never_comes_to_mean_another_person(
    index: FaceIndex, fake_models: ModuleType, album: Path
) -> None:
    add(index, fake_models, album, "a.png", 224, 100)
    add(index, fake_models, album, "b.png", 224, 101)
    index.cluster()
    (new,) = index.cluster.changes().new
    its_faces = {face for face, cluster in labels(index).items() if cluster == new.cluster}
    index.cluster.restore()
    assert new.cluster not in labels(index).values()
    add(index, fake_models, album, "c.png", 32, 102)
    add(index, fake_models, album, "d.png", 32, 103)
    index.cluster()
    assert {part.cluster for part in index.cluster.changes().new} == {new.cluster, new.cluster + 1}
    # The same faces have the same number, although the restored clusters did not have it.
    assert {face for face, cluster in labels(index).items() if cluster == new.cluster} == its_faces


def test_a_number_is_not_taken_from_earlier_clusters_if_others_have_it(
    index: FaceIndex, fake_models: ModuleType, album: Path
) -> None:
    before = labels(index)
    add(index, fake_models, album, "a.png", 224, 100)
    add(index, fake_models, album, "b.png", 224, 101)
    index.cluster("kmeans", k=1)  # all are in cluster 0
    index.cluster.restore()
    assert labels(index) == before | dict.fromkeys(labels(index).keys() - before.keys())
    index.cluster()
    assert {face: labels(index)[face] for face in before} == before
    (new,) = index.cluster.changes().new
    assert new.cluster not in before.values()


def test_newer_faces(index: FaceIndex, fake_models: ModuleType, album: Path) -> None:
    assert index.cluster.newer_faces() == 0
    add(index, fake_models, album, "a.png", 64, 100)
    add(index, fake_models, album, "b.png", 224, 101)
    assert index.cluster.newer_faces() == index.counts().newer_faces == 2
    index.cluster()
    assert index.cluster.newer_faces() == 0
    changes = index.cluster.changes()
    assert (changes.newer_faces, changes.newer_unclustered) == (2, 1)
    assert counts(changes) == {}  # a newer face that joins a cluster is no change of the earlier ones
    index.cluster.restore()
    assert index.cluster.newer_faces() == 2


def test_an_older_face_joins(index: FaceIndex, fake_models: ModuleType, album: Path) -> None:
    add(index, fake_models, album, "alone.png", 224, 100)
    index.cluster()
    add(index, fake_models, album, "twin.png", 224, 101)
    index.cluster()
    changes = index.cluster.changes()
    assert counts(changes) == {"new": 1, "joined": 1}
    (joined,) = changes.joined
    assert (joined.photo, joined.old_cluster) == (str(album / "alone.png"), None)
    assert joined.path == str(album / "alone.png")
    assert joined.new_cluster == changes.new[0].cluster
    index.cluster.restore()
    assert [face.face for face in index.cluster.changes().left] == [joined.face, joined.face + 1]


def test_a_dry_run_stores_nothing_and_needs_no_write_access(index: FaceIndex) -> None:
    generation = index._store.generation
    with FaceIndex.open(index.directory) as reader:
        result = reader.cluster("kmeans", k=1, dry_run=True)
        assert result.changes is not None
        assert counts(result.changes) == {"merged": 1}
        assert result.changes.after is None
        assert len(result.sizes) == 1
        again = reader.cluster(dry_run=True)
        assert again.changes is not None
        assert counts(again.changes) == {}
        for call in (reader.cluster, reader.cluster.restore):
            with pytest.raises(UsageError, match="reading only"):
                call()
    assert index._store.generation == generation
    assert set(labels(index).values()) == {0, 1, 2}
    made = index.cluster("kmeans", k=1)  # as it was planned
    assert (made.sizes, made.kept, made.moved, made.parameters) == (
        result.sizes,
        result.kept,
        result.moved,
        result.parameters,
    )


def test_a_dry_run_of_the_first_clustering(album: Path, tmp_path: Path) -> None:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        changes = index.cluster(dry_run=True).changes
        assert changes is not None
        assert counts(changes) == {"new": 3}
        assert (changes.before, changes.newer_faces) == (None, 12)
        assert index.clustering is None


def test_removed_photos_are_in_neither(index: FaceIndex, album: Path) -> None:
    index.cluster("kmeans", k=1)
    for photo in (album / "person1").iterdir():
        photo.unlink()
    index.add(album, prune=True)
    (merged,) = index.cluster.changes().merged
    assert [part.faces for part in merged.parts] == [4, 4]
    assert sorted(index.cluster.restore().sizes.values()) == [4, 4]


def test_clusters_from_before_a_migration(index: FaceIndex) -> None:
    before = labels(index)
    assert index.migrate("other").switched
    assert counts(index.cluster.changes()) == {"merged": 1}  # the other embedder confuses two people
    index.cluster.restore()
    assert labels(index) == before
    table = index.table()
    expected = similarity_to_centroid(index.vectors(), table.cluster)  # of the new vectors
    np.testing.assert_allclose(table.similarity, expected, atol=0.0005)
