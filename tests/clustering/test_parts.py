"""Clustering in parts: the same people, whoever does the work, with what the user said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_constraints import constraints
from synthetic_faces import CALIBRATION, people_of, same_partition

from faceindex import models
from faceindex.clustering import Album, Clusterer, ClusterOptions, parts
from faceindex.clustering.constraints import Constraints, resolve, violations
from faceindex.clustering.graph import GRAPH_FLOOR, Evidence
from faceindex.clustering.incremental import cluster_faces
from faceindex.clustering.parts import Parted, cluster_in_parts
from faceindex.clustering.same_photo import PhotoGroups, strangers_of_album
from faceindex.clustering.shards import FileArrays, Runner, Stage, ThreadRunner
from faceindex.metrics import bcubed
from faceindex.store.records import Assignments
from faceindex.types import F32, I64

N, PEOPLE = 600, 60
PART = 150
OPTIONS = ClusterOptions(calibration=CALIBRATION)


@pytest.fixture(autouse=True)
def several_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide even these few faces among shards."""
    monkeypatch.setattr(parts, "_LEAST_ROWS", 40)
    monkeypatch.setattr(parts, "_MOST_ROWS", 100)


@dataclass
class Watched:
    """A clusterer that passes all on to another one, and keeps what it got."""

    clusterer: Clusterer
    albums: list[Album]

    def fit(self, album: Album) -> I64:
        self.albums.append(album)
        return self.clusterer.fit(album)


def clusterer(algorithm: str = "album", options: ClusterOptions = OPTIONS) -> Any:
    made = Watched(models.load(models.get("clusterer", algorithm), options=options), [])
    made.spec = made.clusterer.spec  # type: ignore[attr-defined]
    return made


def random_people(seed: int = 1) -> tuple[F32, I64]:
    """Vectors of people with one to 20 faces each, and the people."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(PEOPLE, N, p=np.arange(1, PEOPLE + 1) / np.arange(1, PEOPLE + 1).sum())
    return people_of(truth, seed), truth


def faces_of(vectors: F32, photos: I64 | None = None, known: Constraints | None = None) -> Parted:
    n = len(vectors)
    return Parted(
        vectors,
        np.arange(n),
        np.arange(n) if photos is None else photos,
        np.ones(n, bool),
        np.full(n, -1),
        size=n,
        elsewhere=None,
        constraints=known,
    )


def evidence_of(n: int) -> Evidence:
    return Evidence(CALIBRATION.threshold(n), CALIBRATION.slope, GRAPH_FLOOR)


def fit(faces: Parted, part_size: int, made: Any = None, runner: Runner | None = None) -> I64:
    made = clusterer() if made is None else made
    with ThreadRunner() as threads:
        used = threads if runner is None else runner
        return cluster_in_parts(used, faces, made, OPTIONS, evidence_of(faces.size), part_size, 80)


def table_of(n: int, photos: I64 | None = None, cluster: I64 | None = None) -> Assignments:
    return Assignments(
        face=np.arange(1, n + 1),
        row=np.arange(n),
        photo=np.arange(n) if photos is None else photos,
        sharpness=np.full(n, 0.3, np.float32),
        quality=np.ones(n, np.float32),
        cluster=np.full(n, -1) if cluster is None else cluster,
        similarity=np.full(n, np.nan, np.float32),
    )


def cluster(vectors: F32, part_size: int | None, known: Constraints | None = None, **more: Any) -> I64:
    made = more.pop("made", None) or clusterer()
    return cluster_faces(
        table_of(len(vectors), more.pop("photos", None)),
        vectors,
        made,
        OPTIONS,
        min_size=2,
        previous=None,
        started_over=True,
        constraints=known,
        part_size=part_size,
        **more,
    ).labels


@contextmanager
def file_runner(folder: Path) -> Iterator[ThreadRunner]:
    with ThreadRunner(FileArrays(folder)) as runner:
        yield runner


class Shuffled:
    """Runs the shards one by one, in random order, and some of them twice."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.arrays = FileArrays(folder)
        self._random = np.random.default_rng(seed)

    def run(self, stage: Stage, shards: Iterable[int], *, updates: Collection[str] = ()) -> list[Any]:
        numbers = list(shards)
        results = {}
        self.arrays.begin(updates)
        for shard in self._random.permutation(numbers).tolist():
            for _ in range(self._random.integers(1, 3)):
                results[shard] = stage(self.arrays, shard)
        self.arrays.end()
        return [results[shard] for shard in numbers]


def test_parts_find_the_people_that_one_album_finds() -> None:
    vectors, truth = random_people()
    whole = cluster(vectors, None)
    made = clusterer()
    in_parts = cluster(vectors, PART, made=made)
    assert len(made.albums) >= 2 * N // PART
    assert max(len(album) for album in made.albums) <= PART
    assert bcubed(in_parts, truth).f > bcubed(whole, truth).f - 0.005
    assert bcubed(in_parts, whole).f > 0.99


@pytest.mark.parametrize("part_size", [N, N + 1, 10 * N])
def test_a_part_that_holds_all_is_the_whole_bit_for_bit(part_size: int) -> None:
    vectors, _ = random_people()
    made = clusterer()
    assert (cluster(vectors, part_size, made=made) == cluster(vectors, None)).all()
    assert [len(album) for album in made.albums] == [N]


def test_one_part_from_many_shards_is_the_album_of_all() -> None:
    vectors, _ = random_people()
    photos = np.arange(N) // 2
    whole, only = clusterer(), clusterer()
    expected = cluster(vectors, None, made=whole, photos=photos)
    found = fit(faces_of(vectors, photos), N, only)
    (one,), (other,) = whole.albums, only.albums
    assert (one.graph.indptr == other.graph.indptr).all()
    assert (one.graph.indices == other.graph.indices).all()
    np.testing.assert_allclose(
        one.graph.weights, other.graph.weights, rtol=1e-5
    )  # of other products of blocks
    assert (one.vectors == other.vectors).all() and (one.photos == other.photos).all()
    assert other.elsewhere is None
    assert same_partition(np.where(np.bincount(found)[found] > 1, found, -1), expected)


def test_the_result_depends_neither_on_the_runner_nor_on_the_order_of_the_work(tmp_path: Path) -> None:
    vectors, _ = random_people()
    faces = faces_of(vectors, np.arange(N) // 2)
    expected = fit(faces, PART)
    assert (fit(faces, PART) == expected).all()
    for name in ("threads", "shuffled"):
        (tmp_path / name).mkdir()
    with file_runner(tmp_path / "threads") as runner:
        assert (fit(faces, PART, runner=runner) == expected).all()
        assert not list((tmp_path / "threads").iterdir())
    assert (fit(faces, PART, runner=Shuffled(tmp_path / "shuffled", 5)) == expected).all()


def test_parts_get_what_the_whole_album_shows() -> None:
    """Sizes, strangers, photos and constraints in a part are those of its faces in the whole."""
    vectors, _ = random_people()
    photos = np.arange(N) // 3
    known = resolve(
        constraints(
            N,
            {3: 0, 40: 0, 77: 1},
            same=[(5, 6), (9, 400)],
            different=[(10, 11), (12, 500)],
            rejected=[(20, 1)],
        )
    )
    made = clusterer()
    faces = faces_of(vectors, photos, known)
    fit(faces, PART, made)
    where = {vector.tobytes(): i for i, vector in enumerate(vectors)}
    last: dict[int, Album] = {}
    for album in made.albums:
        at = np.array([where[vector.tobytes()] for vector in album.vectors])
        assert (np.diff(at) > 0).all()
        assert (album.photos == photos[at]).all()
        assert album.size == N
        expected = known.select(at)
        assert album.constraints is not None
        for name in ("person", "nobody", "taken"):
            assert np.array_equal(getattr(album.constraints, name), getattr(expected, name), equal_nan=True)
        for name in ("rejected", "same", "different"):
            assert sorted(getattr(album.constraints, name).tolist()) == sorted(
                getattr(expected, name).tolist()
            )
        last[int(at[0])] = album
    assert sum(len(album) for album in last.values()) == N
    strangers = strangers_of_album(vectors, PhotoGroups.build(photos), faces.good, CALIBRATION)
    assert {album.strangers for album in made.albums} == {strangers}


@pytest.mark.parametrize("person", [3, N - 1, N, 10 * N])
def test_a_rejected_person_may_have_any_id(person: int) -> None:
    """Persons may be more than faces: those of which few faces are clustered again."""
    vectors, _ = random_people()
    made = clusterer()
    faces = faces_of(vectors, known=resolve(constraints(N, {}, rejected=[(20, person), (N - 1, person)])))
    fit(faces, PART, made)
    first = made.albums[: len(made.albums) // 2]
    found = {
        album.vectors[face].tobytes(): who
        for album in first
        if album.constraints is not None
        for face, who in album.constraints.rejected.tolist()
    }
    assert found == {vectors[20].tobytes(): person, vectors[N - 1].tobytes(): person}


def test_the_second_pass_uses_the_clusters_of_the_first() -> None:
    vectors, _ = random_people()
    made = clusterer()
    found = fit(faces_of(vectors), PART, made)
    number = len(made.albums) // 2
    for i in range(number):
        again = made.albums[number + i]
        assert (made.albums[i].vectors == again.vectors).all()
        others = [made.clusterer.fit(album) for j, album in enumerate(made.albums[:number]) if j != i]
        sizes = np.concatenate([np.bincount(labels[labels >= 0]) for labels in others])
        assert sorted(again.elsewhere.tolist()) == sorted(sizes[sizes > 1].tolist())
    assert len(found) == N


def test_clusters_elsewhere_in_the_index_count_too() -> None:
    vectors, _ = random_people()
    made = clusterer()
    rest = np.array([70, 71, 72])
    fit(replace(faces_of(vectors), elsewhere=rest, size=2 * N), PART, made)
    assert all(np.isin(rest, album.elsewhere).all() for album in made.albums)
    alone = clusterer()
    fit(replace(faces_of(vectors), elsewhere=rest, size=2 * N), N, alone)
    assert (alone.albums[0].elsewhere == rest).all()


def test_one_giant_community_is_divided() -> None:
    vectors = people_of(np.zeros(N, int), 0, within=0.8)
    made = clusterer()
    found = fit(faces_of(vectors), PART, made)
    assert max(len(album) for album in made.albums) <= PART
    assert len(np.unique(found)) == len(made.albums) // 2 == N // PART


@pytest.mark.parametrize(("copies", "part_size"), [(500, 40), (500, 400), (90, 80)])
def test_more_equal_faces_than_neighbours_and_than_a_part_holds(copies: int, part_size: int) -> None:
    """All list the same 80 faces, which fill few parts. The others are linked anew inside theirs."""
    others = people_of(np.repeat(np.arange(10), 5), 3)
    vectors = np.concatenate([np.repeat(people_of([0], 1), copies, axis=0), others])
    made = clusterer()
    found = cluster(vectors, part_size, made=made)
    assert max(len(album) for album in made.albums) <= part_size
    assert (found[:copies] >= 0).all()
    assert len(np.unique(found[:copies])) == -(-copies // part_size)
    assert not np.isin(found[copies:], found[:copies]).any()


def test_faces_keep_the_links_that_they_have() -> None:
    """Only a face without a link of positive weight in its part gets new ones."""
    vectors, _ = random_people()
    made = clusterer()
    fit(faces_of(vectors), PART, made)
    graph = clusterer()
    cluster(vectors, None, made=graph)
    (whole,) = graph.albums
    assert whole.graph is not None
    where = {vector.tobytes(): i for i, vector in enumerate(vectors)}
    for album in made.albums:
        assert album.graph is not None
        at = np.array([where[vector.tobytes()] for vector in album.vectors])
        for i, face in enumerate(at.tolist()):
            there = slice(*whole.graph.indptr[face : face + 2].tolist())
            here = slice(*album.graph.indptr[i : i + 2].tolist())
            inside = np.isin(whole.graph.indices[there], at)
            assert at[album.graph.indices[here]].tolist() == whole.graph.indices[there][inside].tolist()


def test_faces_that_resemble_no_other() -> None:
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((N, N)))[0].astype(np.float32)
    assert (cluster(vectors, PART) == -1).all()


def test_no_faces() -> None:
    nothing = np.empty((0, 128), np.float32)
    assert len(fit(faces_of(nothing), PART)) == 0
    assert len(cluster(nothing, PART)) == 0


@pytest.mark.parametrize("part_size", [2, 7, 40])
def test_small_parts(part_size: int) -> None:
    vectors, truth = random_people()
    made = clusterer()
    found = cluster(vectors, part_size, made=made)
    assert max(len(album) for album in made.albums) <= part_size
    assert bcubed(found, truth).precision > 0.95


def test_chinese_whispers_in_parts() -> None:
    vectors, truth = random_people()
    whole = cluster(vectors, None, made=clusterer("chinese-whispers"))
    found = cluster(vectors, PART, made=clusterer("chinese-whispers"))
    assert abs(bcubed(found, truth).f - bcubed(whole, truth).f) < 0.02


def test_what_the_user_said_brings_faces_into_one_part_and_is_satisfied() -> None:
    vectors, truth = random_people()
    rng = np.random.default_rng(4)
    same = rng.integers(0, N, (12, 2))
    person = {int(face): int(truth[face]) for face in rng.choice(N, 60, replace=False)}
    person |= {int(face): PEOPLE for face in rng.choice(N, 5, replace=False)}  # one person on unlike faces
    known = constraints(
        N,
        person,
        nobody=rng.choice(N, 9, replace=False).tolist(),
        rejected=[(int(face), int(truth[face])) for face in rng.choice(N, 9, replace=False)],
        same=[(int(a), int(b)) for a, b in same],
        different=[
            (int(np.flatnonzero(truth == who)[0]), int(np.flatnonzero(truth == who)[1])) for who in (50, 55)
        ],
    )
    made = clusterer()
    labels = cluster(vectors, PART, known, made=made)
    assert violations(labels, known) == []
    assert sum(len(album) for album in made.albums) == 2 * int((~known.nobody).sum())
    settled = resolve(known)
    inside = sum(len(album.constraints.same) for album in made.albums if album.constraints is not None)
    assert inside == 2 * len(settled.same)
    for who in range(PEOPLE + 1):
        holders = [
            a for a in made.albums if a.constraints is not None and (a.constraints.person == who).any()
        ]
        assert len(holders) in (0, 2)  # one part, in both passes


def test_a_changed_part_is_clustered_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import datetime, timezone

    from faceindex.clustering import incremental
    from faceindex.store.records import Clustering

    monkeypatch.setattr(incremental, "PART_ABOVE", 100)
    vectors, _ = random_people()
    first = cluster(vectors[: N - 20], None)
    made = clusterer()
    before = {"last_face": N - 20, "faces": N - 20, "last_whole": N - 20}
    grown = cluster_faces(
        table_of(N, cluster=np.concatenate([first, np.full(20, -1)])),
        vectors,
        made,
        OPTIONS,
        min_size=2,
        previous=Clustering(1, "album", before, 0, datetime.now(timezone.utc), int(first.max()) + 1),
        started_over=False,
        part_size=50,
    )
    clustered = sum(len(album) for album in made.albums) // 2
    assert 50 < clustered < N // 2
    assert max(len(album) for album in made.albums) <= 50
    assert bcubed(grown.labels, cluster(vectors, None)).f > 0.98


def test_an_uncalibrated_embedder() -> None:
    vectors, truth = random_people()
    options = ClusterOptions(threshold=0.45)
    made = clusterer(options=options)
    with ThreadRunner() as runner:
        found = cluster_in_parts(runner, faces_of(vectors), made, options, Evidence(0.45, 1.0, 0.0), PART, 80)
    assert {album.strangers for album in made.albums} == {None}
    assert bcubed(found, truth).f > 0.9


def test_strangers_of_some_vectors() -> None:
    vectors, _ = random_people()
    at = np.arange(0, N, 3)
    groups = PhotoGroups.build(np.arange(len(at)) // 4)
    good = np.ones(len(at), bool)
    expected = strangers_of_album(vectors[at], groups, good, CALIBRATION)
    assert strangers_of_album(vectors, groups, good, CALIBRATION, at=at) == expected
