"""Random operations on a store, compared with a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from faceindex.errors import FaceIndexError, UsageError
from faceindex.store import NewPhoto, Pins, ScanCounts, Status, Store
from faceindex.store.away import Return
from faceindex.store.vectors import HEADER_BYTES
from faceindex.types import F32, Faces

DIMENSION = 8
FOLDERS = ("/photos/a", "/photos/b/caf\udce9", "/other")
NAMES = ("1.jpg", "2.jpg", "x/1.jpg", "日.jpg", "y/caf\udce9 ' \n.jpg")
PATHS = tuple(f"{folder}/{name}" for folder in FOLDERS for name in NAMES)
DIGESTS = ("first", "second")
PINS = Pins("mtcnn", "dlib", DIMENSION)

SOME_PATHS = st.lists(st.sampled_from(PATHS), min_size=1, max_size=5)
DISTINCT_PATHS = st.lists(st.sampled_from(PATHS), min_size=1, max_size=4, unique=True)
NUMBERS = st.integers(0, 2**40)
KINDS = st.sampled_from(["0 faces", "1 face", "3 faces", "unreadable", "ignored"])


@dataclass(frozen=True)
class Photo:
    """A photo of the model: its record without id and root, and the numbers of its faces."""

    size: int
    mtime_ns: int
    content_hash: bytes | None = None
    status: Status = Status.OK
    reason: str | None = None
    faces: tuple[int, ...] = ()


@dataclass
class Model:
    """What the store must contain."""

    photos: dict[str, Photo] = field(default_factory=dict)  # by absolute path
    away: dict[int, tuple[Photo, dict[int, tuple[int, float]]]] = field(default_factory=dict)  # by id
    versions: list[tuple[Photo, dict[int, tuple[int, float]]]] = field(default_factory=list)  # without ids
    clusters: dict[int, tuple[int, float]] = field(default_factory=dict)  # by number of the face
    previous: dict[int, int] | None = None  # clusters before the last change, by number of the face
    next_cluster: int = 0
    clusterings: int = 0
    runs: int = 0
    rows: int = 0
    scans: dict[str, tuple[ScanCounts, bytes | None]] = field(default_factory=dict)  # and the HNSW file

    def faces(self) -> list[int]:
        return [number for photo in self.photos.values() for number in photo.faces]

    def remove_photos(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.photos.pop(path, None)
        live = set(self.faces())
        self.clusters = {number: cluster for number, cluster in self.clusters.items() if number in live}
        if self.previous is not None:
            self.previous = {number: cluster for number, cluster in self.previous.items() if number in live}

    def keep(self, path: str, photo_id: int | None = None) -> None:
        """Keep a photo that goes away, under an id, or under one that the store chooses."""
        photo = self.photos.get(path)
        if photo is None or photo.status is not Status.OK or photo.content_hash is None:
            return
        entry = photo, {number: self.clusters[number] for number in photo.faces if number in self.clusters}
        if photo_id is None:
            self.versions.append(entry)
        else:
            self.away[photo_id] = entry

    def labels(self) -> dict[int, int]:
        """The cluster of each clustered face, by number."""
        return {number: cluster for number, (cluster, _) in self.clusters.items()}


def vectors_of(numbers: Sequence[int]) -> F32:
    """(n, DIMENSION) unit vectors; each follows from the number of its face."""
    rows = [np.random.default_rng(number).standard_normal(DIMENSION) for number in numbers]
    vectors = np.array(rows).reshape(-1, DIMENSION)
    unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def faces_of(numbers: Sequence[int]) -> Faces:
    values = np.array(numbers, np.float32)
    return Faces(
        boxes=np.repeat(values[:, None], 4, axis=1),
        landmarks=np.full((len(values), 5, 2), np.nan, np.float32),
        scores=values / 1e6,
        vectors=vectors_of(numbers),
        norms=values,
        sharpness=values / 1e3,
    )


class StoreMachine(RuleBasedStateMachine):
    """Applies each operation to a store and to the model, and compares them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._copies = 0
        self._directory = Path(self._folder.name) / "index"
        self._store = Store.create(self._directory, PINS)
        self._readers: list[Store] = []
        self._model = Model()
        self._faces = 0  # numbers that are used
        self._photo_ids: dict[str, int] = {}
        self._last_photo_id = 0
        self._face_ids: dict[int, int] = {}  # id by number
        self._returned: set[int] = set()  # a picture may be replaced before it is seen here, and return

    def teardown(self) -> None:
        for store in (self._store, *self._readers):
            store.close()
        self._folder.cleanup()

    # Photos

    @rule(paths=SOME_PATHS, kinds=st.lists(KINDS, min_size=5, max_size=5), number=NUMBERS)
    def commit(self, paths: list[str], kinds: list[str], number: int) -> None:
        batch = [self._new_photo(path, kind, number) for path, kind in zip(paths, kinds, strict=False)]
        self._store.commit([self._to_commit(path, photo) for path, photo in zip(paths, batch, strict=True)])
        for path, photo in zip(paths, batch, strict=True):
            self._model.rows += len(photo.faces)
            if path in self._model.photos and self._model.photos[path].content_hash != photo.content_hash:
                self._model.keep(path)
            self._model.remove_photos([path])
            self._model.photos[path] = photo
        self._photos_changed()

    @rule(paths=SOME_PATHS)
    def commit_that_fails_after_the_vectors(self, paths: list[str]) -> None:
        photos = [self._to_commit(path, self._new_photo(path, "3 faces", 1)) for path in paths]
        photos[-1] = replace(photos[-1], root_id=999)
        with pytest.raises(UsageError, match="roots"):
            self._store.commit(photos)

    @rule(paths=DISTINCT_PATHS)
    def commit_that_is_refused(self, paths: list[str]) -> None:
        photo = self._to_commit(paths[0], self._new_photo(paths[0], "1 face", 1))
        assert photo.faces is not None
        with pytest.raises(UsageError, match="unit length"):
            self._store.commit([replace(photo, faces=replace(photo.faces, vectors=photo.faces.vectors * 2))])

    @precondition(lambda self: self._model.photos)
    @rule(data=st.data(), new_paths=DISTINCT_PATHS, number=NUMBERS)
    def move(self, data: st.DataObject, new_paths: list[str], number: int) -> None:
        """Swaps, cycles, moves onto photos that stay, and moves to where the photo is."""
        sources = self._some_photos(data, len(new_paths))
        new_paths = new_paths[: len(sources)]
        if data.draw(st.booleans(), "a permutation"):
            new_paths = data.draw(st.permutations(sources), "new paths")
        moves = []
        for source, target in zip(sources, new_paths, strict=True):
            root_id, relpath = self._locate(target)
            moves.append((self._photo_ids[source], root_id, relpath, number, number + 1))
        self._store.move_photos(moves)
        moved = {
            target: (
                replace(self._model.photos[source], size=number, mtime_ns=number + 1),
                self._photo_ids[source],
            )
            for source, target in zip(sources, new_paths, strict=True)
        }
        overwritten = [target for target in new_paths if target not in sources]
        for target in overwritten:
            self._model.keep(target, self._photo_ids.get(target))
        self._model.remove_photos(overwritten)
        for source in sources:
            self._model.photos.pop(source)
        for target, (photo, photo_id) in moved.items():
            self._model.photos[target] = photo
            self._photo_ids[target] = photo_id
        self._photos_changed()

    @precondition(lambda self: self._model.photos)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        paths = self._some_photos(data, 3)
        self._store.remove_photos([*(self._photo_ids[path] for path in paths), 10**6])
        self._model.remove_photos(paths)
        self._photos_changed()

    @precondition(lambda self: self._model.photos)
    @rule(data=st.data())
    def put_away(self, data: st.DataObject) -> None:
        paths = self._some_photos(data, 3)
        self._store.put_away([*(self._photo_ids[path] for path in paths), 10**6])
        for path in paths:
            self._model.keep(path, self._photo_ids[path])
        self._model.remove_photos(paths)
        self._photos_changed()

    @precondition(lambda self: self._model.away)
    @rule(data=st.data(), paths=DISTINCT_PATHS, number=NUMBERS)
    def bring_back(self, data: st.DataObject, paths: list[str], number: int) -> None:
        """To any paths, also where there is another photo now."""
        choice = st.sampled_from(sorted(self._model.away))
        ids = data.draw(st.lists(choice, min_size=1, max_size=len(paths), unique=True), "photos")
        returns = [
            Return(id, *self._locate(path), number, number, b"new" if number % 2 else None)
            for id, path in zip(ids, paths, strict=False)
        ]
        self._store.bring_back(returns)
        for id, path in zip(ids, paths, strict=False):
            photo, clusters = self._model.away.pop(id)
            self._returned |= {*photo.faces}
            self._model.keep(path)
            self._model.remove_photos([path])
            self._model.photos[path] = replace(
                photo,
                size=number,
                mtime_ns=number,
                content_hash=b"new" if number % 2 else photo.content_hash,
            )
            self._photo_ids.setdefault(path, id)
            self._model.clusters |= clusters
            if self._model.previous is not None:
                self._model.previous |= {face: cluster for face, (cluster, _) in clusters.items()}
            self._model.rows += len(photo.faces)
        self._photos_changed()

    @precondition(lambda self: self._model.away)
    @rule(expire=st.booleans())
    def forget_the_oldest(self, expire: bool) -> None:
        if expire:
            assert self._store.remove_expired(1) == 0
            assert self._store.remove_expired(-1) == len(self._model.away)
            self._model.away = {}
        else:
            del self._model.away[first := min(self._model.away)]
            self._store.remove_photos([], [first, 10**6])

    @precondition(lambda self: self._model.photos)
    @rule(data=st.data(), number=NUMBERS)
    def update_size_and_time(self, data: st.DataObject, number: int) -> None:
        paths = self._some_photos(data, 3)
        self._store.update_size_and_time((self._photo_ids[path], number, number) for path in paths)
        for path in paths:
            self._model.photos[path] = replace(self._model.photos[path], size=number, mtime_ns=number)
        self._photos_changed()

    @rule(folder=st.sampled_from(["/photos", "/photos/b", "/photos/a/x", "/other"]))
    def add_root(self, folder: str) -> None:
        before = self._store.roots()
        root = self._store.add_root(folder, folder)
        assert folder == root.path or folder.startswith(root.path + "/")
        if self._store.roots() != before:
            self._photos_changed()

    # Clusters and the rest

    @precondition(lambda self: self._model.photos)
    @rule(data=st.data(), everything=st.booleans())
    def cluster(self, data: st.DataObject, everything: bool) -> None:
        table = self._store.faces()
        number_of = {face: number for number, face in self._face_ids.items()}
        numbers = [number_of[face] for face in table.face.tolist()]
        next_cluster = self._model.next_cluster
        label = st.integers(-1, next_cluster + 2)
        labels = data.draw(st.lists(label, min_size=len(numbers), max_size=len(numbers)), "labels")
        changed = [everything or label % 2 == 0 for label in labels]
        similarities = [number / 64 % 1 for number in numbers]  # which is exact in float32
        before = self._model.labels()
        self._store.save_clustering(
            "kmeans",
            {"k": len(labels)},
            5,
            table.face,
            np.array(labels, np.int64),
            np.array(similarities, np.float32),
            changed=None if everything else np.array(changed, np.bool_),
        )
        for number, cluster, similarity, is_changed in zip(
            numbers, labels, similarities, changed, strict=True
        ):
            if is_changed:
                self._model.clusters.pop(number, None)
                if cluster >= 0:
                    self._model.clusters[number] = (cluster, similarity)
                    self._model.next_cluster = max(self._model.next_cluster, cluster + 1)
        if self._model.clusterings and self._model.labels() != before:
            self._model.previous = before
        self._model.clusterings += 1

    @precondition(lambda self: self._model.previous is not None)
    @rule()
    def restore(self) -> None:
        previous = self._store.previous_clustering()
        assert previous is not None
        assert self._model.previous is not None
        table = self._store.faces()
        labels = previous.labels(table)
        made = previous.clustering
        self._store.save_clustering(
            made.algorithm,
            made.params,
            made.seed,
            table.face,
            labels,
            np.full(len(table), 0.5, np.float32),
            changed=labels != table.cluster,
            restored=made.created,
        )
        before = self._model.labels()
        self._model.clusters = {
            number: self._model.clusters[number] if before.get(number) == cluster else (cluster, 0.5)
            for number, cluster in self._model.previous.items()
        }
        self._model.previous = before
        self._model.clusterings += 1
        active = self._store.active_clustering()
        assert active is not None
        assert active.created == made.created

    @rule()
    def log_run(self) -> None:
        self._store.log_run("index", {"number": self._model.runs})
        self._model.runs += 1

    @rule(digest=st.sampled_from(DIGESTS), photos=st.integers(0, 9))
    def save_scan(self, digest: str, photos: int) -> None:
        counts = ScanCounts(photos, 1, {"corrupt": 2})
        self._store.save_scan(digest, counts)
        self._model.scans[digest] = counts, self._hnsw_file()

    @rule()
    def update_hnsw(self) -> None:
        self._store.update_hnsw(always=True)

    # Processes

    @rule()
    def reopen(self) -> None:
        self._store.close()
        self._store = Store.open(self._directory, write=True)

    @rule(tail=st.binary(max_size=3 * 4 * DIMENSION))
    def kill_the_writer(self, tail: bytes) -> None:
        """Continue with a copy of the files as they are, and with vectors that no commit names."""
        self._copies += 1
        copy = Path(self._folder.name) / str(self._copies)
        shutil.copytree(self._directory, copy)
        with (copy / "vectors.f32").open("ab") as file:
            file.write(tail)
        for store in (self._store, *self._readers):
            store.close()
        self._readers = []
        shutil.rmtree(self._directory)
        self._directory = copy
        self._store = Store.open(self._directory, write=True)
        assert (copy / "vectors.f32").stat().st_size == HEADER_BYTES + self._model.rows * 4 * DIMENSION

    @precondition(lambda self: len(self._readers) < 2)
    @rule()
    def open_a_reader(self) -> None:
        self._readers.append(Store.open(self._directory))

    @rule()
    def open_a_second_writer(self) -> None:
        with pytest.raises(FaceIndexError, match="is being written"):
            Store.open(self._directory, write=True)

    @precondition(lambda self: self._readers)
    @rule()
    def read_beside(self) -> None:
        for reader in self._readers:
            self._compare(reader)

    # Comparison

    @invariant()
    def the_writer_agrees_with_the_model(self) -> None:
        away = {record.id: record for record in self._store.away_photos()}
        chosen = sorted(away.keys() - self._model.away.keys())
        self._model.away |= zip(chosen, self._model.versions, strict=True)
        self._model.versions = []
        assert {id: (r.size, r.mtime_ns, r.content_hash, r.faces) for id, r in away.items()} == {
            id: (photo.size, photo.mtime_ns, photo.content_hash, len(photo.faces))
            for id, (photo, _) in self._model.away.items()
        }
        assert not away.keys() & set(self._photo_ids.values())
        counted = self._store.count_away()
        assert (counted.photos, counted.faces) == (len(away), sum(record.faces for record in away.values()))
        self._compare(self._store)

    def _compare(self, store: Store) -> None:
        model = self._model
        with store.snapshot():
            roots = {root.id: root.path for root in store.roots()}
            records = {f"{roots[r.root_id]}/{r.relpath}": r for r in store.photos().values()}
            table, counts = store.faces(), store.counts()
            vectors = store.vectors(table.row)
        assert {
            path: Photo(r.size, r.mtime_ns, r.content_hash, r.status, r.reason) for path, r in records.items()
        } == {path: replace(photo, faces=()) for path, photo in model.photos.items()}
        last_face_id = max(self._face_ids.values(), default=0)
        for path in sorted(records, key=lambda path: records[path].id):
            record, photo = records[path], model.photos[path]
            assert record.faces == len(photo.faces)
            known = self._photo_ids.get(path)
            if known is None:
                assert record.id > self._last_photo_id
                self._photo_ids[path] = self._last_photo_id = record.id
            assert self._photo_ids[path] == record.id
            of_photo = table.photo == record.id
            np.testing.assert_array_equal(vectors[of_photo], vectors_of(photo.faces))
            assert table.norms[of_photo].tolist() == list(photo.faces)
            for face, number in zip(table.face[of_photo].tolist(), photo.faces, strict=True):
                if number not in self._face_ids:
                    assert face > last_face_id or number in self._returned
                    self._face_ids[number] = face
                assert self._face_ids[number] == face
        assert table.face.tolist() == sorted(self._face_ids[number] for number in model.faces())
        clusters = {
            number: (cluster, similarity)
            for number, cluster, similarity in zip(
                table.norms.astype(int).tolist(),
                table.cluster.tolist(),
                table.similarity.tolist(),
                strict=True,
            )
            if cluster >= 0
        }
        assert clusters == model.clusters
        assert (counts.faces, counts.rows, counts.clustered) == (len(table), model.rows, len(clusters))
        assert counts.clusters == len({cluster for cluster, _ in clusters.values()})
        assert sum(counts.photos.values()) == len(model.photos)
        assert store.count_faces() == len(table)
        clustering = store.active_clustering()
        assert (clustering is None) == (model.clusterings == 0)
        previous = store.previous_clustering()
        assert (previous is None) == (model.previous is None)
        if previous is not None:
            labels = previous.labels(table)
            numbers = table.norms.astype(int).tolist()
            earlier = zip(numbers, labels.tolist(), strict=True)
            assert {number: label for number, label in earlier if label >= 0} == model.previous
            assert (table.cluster[np.isin(table.face, previous.face)] != previous.cluster).all()
        if clustering is not None:
            assert (clustering.id, clustering.next_cluster_id) == (model.clusterings, model.next_cluster)
        assert [run.detail["number"] for run in store.runs(3)] == list(range(model.runs))[::-1][:3]
        for digest in DIGESTS:
            counts_of_scan, hnsw_file = model.scans.get(digest, (None, None))
            is_valid = digest in model.scans and hnsw_file == self._hnsw_file()
            assert store.load_scan(digest) == (counts_of_scan if is_valid else None)
        if len(table):
            for exact in (True, False):
                found, similarities = store.search(vectors[-1:], 2, exact=exact)
                assert found[0, 0] == table.face[-1]
                assert similarities[0, 0] == pytest.approx(1, abs=1e-5)

    # Helpers

    def _new_photo(self, path: str, kind: str, number: int) -> Photo:
        content_hash = f"{path} {kind}".encode("utf-8", "surrogateescape")
        if kind == "unreadable":
            return Photo(number, number, None, Status.UNREADABLE, "truncated")
        if kind == "ignored":
            return Photo(number, number, content_hash, Status.IGNORED, "not an image")
        count = int(kind[0])
        faces = tuple(range(self._faces + 1, self._faces + 1 + count))
        self._faces += count
        return Photo(number, number, content_hash, faces=faces)

    def _to_commit(self, path: str, photo: Photo) -> NewPhoto:
        root_id, relpath = self._locate(path)
        return NewPhoto(
            root_id,
            relpath,
            photo.size,
            photo.mtime_ns,
            photo.content_hash,
            status=photo.status,
            reason=photo.reason,
            faces=faces_of(photo.faces) if photo.faces else None,
        )

    def _locate(self, path: str) -> tuple[int, str]:
        """Root and relative path. Adds the folder, which is in `FOLDERS`, if it has no root."""
        folder = next(folder for folder in FOLDERS if path.startswith(folder + "/"))
        before = self._store.roots()
        root = self._store.add_root(folder, folder)
        if self._store.roots() != before:
            self._photos_changed()
        return root.id, path.removeprefix(root.path + "/")

    def _some_photos(self, data: st.DataObject, most: int) -> list[str]:
        choice = st.sampled_from(sorted(self._model.photos))
        return data.draw(st.lists(choice, min_size=1, max_size=most, unique=True), "photos")

    def _photos_changed(self) -> None:
        self._model.scans = {}
        for path in self._photo_ids.keys() - self._model.photos.keys():
            del self._photo_ids[path]

    def _hnsw_file(self) -> bytes | None:
        path = self._directory / "ann.hnsw"
        return str(path.stat().st_mtime_ns).encode() + path.read_bytes() if path.exists() else None


def test_a_store_behaves_like_a_dictionary() -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
