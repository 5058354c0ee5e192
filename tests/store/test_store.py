"""Photos, faces, roots and clusterings: what is stored is read again, and changes keep the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.images import Picture
from faceindex.store import NewMetadata, NewPhoto, Status, Store
from faceindex.store.photos import PhotoNames
from faceindex.store.vectors import HEADER_BYTES
from faceindex.types import F32, Faces

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]


def _faces_by_path(store: Store) -> dict[str, list[int]]:
    """{relpath: face ids}"""
    paths = {record.id: record.relpath for record in store.photos().values()}
    table = store.faces()
    return {path: table.face[table.photo == photo].tolist() for photo, path in paths.items()}


def test_faces_are_read_bit_by_bit_as_stored(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    photos = [make_photo(root_id, f"{n}.jpg", unit_vectors(n, n)) for n in (3, 0, 1, 2)]
    store.commit(photos[:2])
    store.commit(photos[2:])
    table = store.faces()
    assert np.all(np.diff(table.face) > 0)
    assert np.all(np.diff(table.row) > 0)
    for name in ("boxes", "landmarks", "scores", "norms", "sharpness"):
        stored = getattr(table, name)
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, np.concatenate([getattr(p.faces, name) for p in photos]))
    np.testing.assert_array_equal(
        store.vectors(table.row), np.concatenate([p.faces.vectors for p in photos if p.faces is not None])
    )
    assert table.cluster.tolist() == [-1] * 6
    assert np.isnan(table.similarity).all()


def test_an_index_without_faces(store: Store, root_id: int) -> None:
    table = store.faces()
    assert table.boxes.shape == (0, 4)
    assert table.landmarks.shape == (0, 5, 2)
    assert table.cluster.shape == (0,)
    assert store.vectors().shape == (0, 16)
    assert store.vectors(table.row).shape == (0, 16)


def test_photo_records(store: Store, root_id: int) -> None:
    photos = [
        NewPhoto(root_id, "a/b.jpg", 12, 2**62, b"\x00\xff", 640, 480),
        NewPhoto(
            root_id, "bad.jpg", 0, 1, None, status=Status.UNREADABLE, reason="empty file", detail="0 bytes"
        ),
        NewPhoto(root_id, "notes.txt", 3, 1, None, status=Status.IGNORED),
    ]
    store.commit(photos)
    records = store.photos(root_id)
    assert list(records) == [(root_id, photo.relpath) for photo in photos]
    for photo, record in zip(photos, records.values(), strict=True):
        for name in ("size", "mtime_ns", "content_hash", "width", "height", "status", "reason", "detail"):
            assert getattr(record, name) == getattr(photo, name)
        assert record.faces == 0
    assert store.photos(root_id + 1) == {}


def test_undecodable_file_names(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    names = ["caf\udce9.jpg", "日本/é.jpg", "a\nb'\".jpg"]
    store.commit([make_photo(root_id, name, unit_vectors(1, i)) for i, name in enumerate(names)])
    assert [relpath for _, relpath in store.photos()] == names


def test_a_replaced_photo_gets_new_faces(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, p, unit_vectors(2, i)) for i, p in enumerate(("a.jpg", "b.jpg"))])
    before = _faces_by_path(store)
    edited = make_photo(root_id, "a.jpg", unit_vectors(3, 9), content="edited")
    store.commit([edited])
    after = _faces_by_path(store)
    assert after["b.jpg"] == before["b.jpg"]
    assert len(after["a.jpg"]) == 3
    assert not set(after["a.jpg"]) & set(before["a.jpg"])
    table = store.faces()
    assert edited.faces is not None
    np.testing.assert_array_equal(store.vectors(table.row[-3:]), edited.faces.vectors)
    assert store.counts().rows == 7
    assert store.counts().faces == 5
    found, _ = store.search(unit_vectors(2, 0), 7)  # the replaced faces cannot be found
    assert set(found.ravel().tolist()) == {-1, *table.face.tolist()}


def test_the_same_path_twice_in_a_batch(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    last = make_photo(root_id, "a.jpg", unit_vectors(1, 1))
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(2, 0)), last])
    table = store.faces()
    assert last.faces is not None
    np.testing.assert_array_equal(store.vectors(table.row), last.faces.vectors)


def test_moved_photos_keep_their_faces_and_clusters(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    paths = ["a.jpg", "b.jpg", "c.jpg", "overwritten.jpg"]
    store.commit([make_photo(root_id, p, unit_vectors(1, i)) for i, p in enumerate(paths)])
    table = store.faces()
    store.save_clustering("test", {}, 0, table.face, np.arange(4), np.ones(4, np.float32))
    ids = {record.relpath: record.id for record in store.photos().values()}
    store.move_photos(
        [
            (ids["a.jpg"], root_id, "b.jpg", 1, 11),  # swapped
            (ids["b.jpg"], root_id, "a.jpg", 2, 12),
            (ids["c.jpg"], root_id, "overwritten.jpg", 3, 13),
        ]
    )
    moved = {record.relpath: record for record in store.photos().values()}
    assert {path: record.id for path, record in moved.items()} == {
        "b.jpg": ids["a.jpg"],
        "a.jpg": ids["b.jpg"],
        "overwritten.jpg": ids["c.jpg"],
    }
    assert (moved["b.jpg"].size, moved["b.jpg"].mtime_ns) == (1, 11)
    after = store.faces()
    assert after.face.tolist() == table.face[:3].tolist()
    assert after.cluster.tolist() == [0, 1, 2]


def test_size_and_time_are_updated(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(1, 0))])
    (record,) = store.photos().values()
    store.update_size_and_time([(record.id, 7, 8)])
    assert list(store.photos().values()) == [record._replace(size=7, mtime_ns=8)]


def test_photos_are_removed_with_their_faces(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, p, unit_vectors(2, i)) for i, p in enumerate(("a.jpg", "b.jpg"))])
    table = store.faces()
    store.save_clustering("test", {}, 0, table.face, np.array([0, 0, 1, 1]), np.ones(4, np.float32))
    store.remove_photos(
        [record.id for record in store.photos().values() if record.relpath == "a.jpg"] + [999]
    )
    assert [path for _, path in store.photos()] == ["b.jpg"]
    assert store.faces().face.tolist() == table.face[2:].tolist()
    assert store.counts().clusters == 1
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(1, 5))])  # ids are not reused
    assert store.faces().face[-1] > table.face[-1]


def test_assignments_are_the_faces_without_their_positions(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    n = 50
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(n, 1))])
    rng = np.random.default_rng(2)
    similarities = rng.uniform(-1, 1, n).astype(np.float32)
    similarities[:6] = 1, -1, 1 / 64, np.nextafter(np.float32(1), np.float32(0)), 0, 1e-6
    labels = np.where(np.arange(n) % 7 == 6, -1, np.arange(n) % 3)
    store.save_clustering("a", {}, 0, store.faces().face, labels, similarities)
    table, some = store.faces(), store.assignments()
    assert len(some) == len(table) == n
    for name in ("face", "row", "cluster", "similarity", "sharpness"):
        one, other = getattr(some, name), getattr(table, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert some.cluster.tolist() == labels.tolist()
    expected = np.where(labels >= 0, similarities, np.nan)
    exact = np.abs(similarities) >= 1 / 64
    np.testing.assert_array_equal(some.similarity[exact], expected[exact])
    np.testing.assert_allclose(some.similarity, expected, rtol=0, atol=1e-9)
    assert np.unique(some.sharpness).size == n


def test_photos_by_id(store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors) -> None:
    photos = [make_photo(root_id, f"{i}.jpg", unit_vectors(1, i)) for i in range(1200)]
    store.commit(photos)
    by_name = {relpath: record.id for (_, relpath), record in store.photos().items()}
    wanted = [by_name[f"{i}.jpg"] for i in range(1100)]  # more than one statement takes
    found = store.photos_by_id([*wanted, max(by_name.values()) + 1])
    assert {i: record.relpath for i, record in found.items()} == dict(
        zip(wanted, (f"{i}.jpg" for i in range(1100)), strict=True)
    )


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((1, 15), np.float32), "16 dimensions"),
        (np.ones((1, 16), np.float32), "unit length"),
        (np.full((1, 16), np.nan, np.float32), "unit length"),
        (np.zeros((1, 16), np.float32), "unit length"),
    ],
)
def test_bad_vectors_are_refused(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors, vectors: F32, message: str
) -> None:
    good = make_photo(root_id, "good.jpg", unit_vectors(1, 0))
    with pytest.raises(UsageError, match=message):
        store.commit([good, make_photo(root_id, "bad.jpg", vectors)])
    with pytest.raises(UsageError, match=message):
        store.search(vectors, 1)
    assert store.photos() == {}


def test_arrays_of_different_length_are_refused(
    store: Store, root_id: int, unit_vectors: MakeVectors
) -> None:
    faces = Faces(
        np.zeros((2, 4), np.float32),
        np.zeros((2, 5, 2), np.float32),
        np.zeros(1, np.float32),
        unit_vectors(2, 0),
        np.ones(2, np.float32),
        np.ones(2, np.float32),
    )
    with pytest.raises(UsageError, match="differ in length"):
        store.commit([NewPhoto(root_id, "a.jpg", 1, 1, b"", faces=faces)])


def test_a_reader_cannot_write(store: Store, directory: Path) -> None:
    with Store.open(directory) as reader:
        for write in (
            lambda: reader.commit([]),
            lambda: reader.remove_photos([1]),
            lambda: reader.add_root("/a", "a"),
            lambda: reader.update_hnsw(),
            lambda: reader.log_run("index", {}),
        ):
            with pytest.raises(UsageError, match="reading only"):
                write()


def test_rows_out_of_range_are_refused(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(2, 0))])
    for row in (-1, 2):
        with pytest.raises(UsageError, match="row"):
            store.vectors(np.array([0, row]))
    assert not store.vectors().flags.writeable


def test_every_commit_increments_the_generation(
    store: Store, directory: Path, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    with Store.open(directory) as reader:
        found = [reader.generation]
        store.commit([make_photo(root_id, "a.jpg", unit_vectors(1, 0))])
        found.append(reader.generation)
        store.remove_photos([])
        found.append(reader.generation)
    assert found[0] < found[1] < found[2]


def test_a_photo_of_an_unknown_root_is_refused(
    store: Store, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    with pytest.raises(UsageError, match="roots"):
        store.commit([make_photo(77, "a.jpg", unit_vectors(1, 0))])
    assert store.photos() == {}
    assert store.counts().rows == 0


def test_a_detail_that_quotes_an_undecodable_file_name(store: Store, root_id: int) -> None:
    photo = NewPhoto(
        root_id,
        "a.jpg",
        1,
        1,
        None,
        status=Status.UNREADABLE,
        reason="corrupt",
        detail="caf\udce9 \N{BULLET}",
    )
    store.commit([photo])
    assert store.photos()[root_id, "a.jpg"].detail == "caf\\udce9 \N{BULLET}"


# Roots


def test_a_folder_inside_a_root_gets_that_root(store: Store) -> None:
    outer = store.add_root("/photos", "~/photos")
    assert store.add_root("/photos/2020/may", "may") == outer
    assert store.add_root("/photos/", "again") == outer
    assert store.add_root("/photos2", "photos2") != outer  # a common prefix is not containment
    assert [root.given for root in store.roots()] == ["~/photos", "photos2"]


@pytest.mark.parametrize("outer", ["/photos", "/"])
def test_a_root_around_other_roots_replaces_them(
    store: Store, outer: str, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    first = store.add_root("/photos/2020", "2020")
    second = store.add_root("/photos/x/caf\udce9", "café")
    other = store.add_root("/photos2" if outer != "/" else "/photos/x/y", "other")
    store.commit(
        [make_photo(root.id, "a/b.jpg", unit_vectors(1, i)) for i, root in enumerate((first, second, other))]
    )
    table = store.faces()
    root = store.add_root(outer, "all")
    prefix = "" if outer == "/photos" else "photos/"
    expected = {(root.id, f"{prefix}2020/a/b.jpg"), (root.id, f"{prefix}x/caf\udce9/a/b.jpg")}
    if outer == "/":
        expected.add((root.id, "photos/x/y/a/b.jpg"))
        assert store.roots() == [root]
    else:
        expected.add((other.id, "a/b.jpg"))
        assert store.roots() == [other, root]
    assert set(store.photos()) == expected
    assert store.faces().photo.tolist() == table.photo.tolist()


def test_a_relative_root_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="absolute"):
        store.add_root("photos", "photos")


# Clusterings


def test_a_clustering_replaces_the_previous_one(
    store: Store, directory: Path, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    assert store.active_clustering() is None
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(4, 0))])
    face = store.faces().face
    half = np.full(4, 0.5, np.float32)
    store.save_clustering("chinese-whispers", {"k": 10}, 3, face, np.array([5, 5, 0, -1]), half)
    table = store.faces()
    assert table.cluster.tolist() == [5, 5, 0, -1]
    np.testing.assert_array_equal(table.similarity, np.array([0.5, 0.5, 0.5, np.nan], np.float32))
    store.save_clustering("kmeans", {"k": 2}, 4, face[:2], np.array([1, 2]), np.ones(2, np.float32))
    store.close()
    with Store.open(directory) as reader:
        assert reader.faces().cluster.tolist() == [1, 2, -1, -1]
        active = reader.active_clustering()
        assert active is not None
        assert (active.algorithm, active.params, active.seed) == ("kmeans", {"k": 2}, 4)
        assert active.created.tzinfo is not None
        assert active.next_cluster_id == 6  # above cluster 5, which is gone
        assert (reader.counts().clusters, reader.counts().clustered) == (2, 2)


def test_a_clustering_of_unknown_faces_changes_nothing(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(2, 0))])
    face = store.faces().face
    ones = np.ones(2, np.float32)
    store.save_clustering("a", {}, 0, face, np.array([0, 0]), ones)
    for bad in (np.array([face[0], 999]), np.array([face[0], face[0]])):
        with pytest.raises(UsageError, match="not in the index"):
            store.save_clustering("b", {}, 0, bad, np.array([1, 1]), ones)
    with pytest.raises(UsageError, match="similarity"):
        store.save_clustering("b", {}, 0, face, np.array([1, 1]), np.array([1, np.nan], np.float32))
    with pytest.raises(UsageError, match="length"):
        store.save_clustering("b", {}, 0, face, np.array([1]), ones)
    active = store.active_clustering()
    assert active is not None
    assert active.algorithm == "a"
    assert store.faces().cluster.tolist() == [0, 0]


# Counts


def test_counts_and_journal(
    store: Store, directory: Path, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit(
        [
            make_photo(root_id, "a.jpg", unit_vectors(2, 0)),
            NewPhoto(root_id, "b.jpg", 0, 1, None, status=Status.UNREADABLE, reason="empty file"),
            NewPhoto(root_id, "c.jpg", 0, 1, None, status=Status.UNREADABLE, reason="truncated"),
            NewPhoto(root_id, "d.jpg", 0, 1, None, status=Status.UNREADABLE, reason="truncated"),
        ]
    )
    store.log_run("index", {"photos": 4})
    store.log_run("cluster", {"clusters": 0, "parameters": {"k": [1, 2]}})
    counts = store.counts()
    assert counts.photos == {Status.OK: 1, Status.UNREADABLE: 3, Status.IGNORED: 0}
    assert counts.reasons == {"empty file": 1, "truncated": 2}
    assert (counts.faces, counts.rows, counts.clusters) == (2, 2, 0)
    assert counts.bytes["vectors.f32"] == HEADER_BYTES + 2 * 16 * 4
    assert "ann.hnsw" not in counts.bytes
    assert counts.last_run is not None
    assert counts.last_run.kind == "cluster"
    assert counts.last_run.detail["parameters"] == {"k": [1, 2]}
    assert [run.kind for run in store.runs()] == ["cluster", "index"]


def test_only_changed_assignments_are_written(
    store: Store, root_id: int, unit_vectors: MakeVectors, make_photo: MakePhoto
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(4, 0))])
    face = store.faces().face
    store.save_clustering("a", {}, 0, face, np.array([0, 0, 1, -1]), np.full(4, 0.5))
    changed = np.array([False, True, True, True])
    store.save_clustering("b", {}, 0, face, np.array([5, -1, 2, 2]), np.full(4, 0.75), changed=changed)
    table = store.faces()
    assert table.cluster.tolist() == [0, -1, 2, 2]
    np.testing.assert_array_equal(table.similarity, np.array([0.5, np.nan, 0.75, 0.75], np.float32))
    active = store.active_clustering()
    assert active is not None
    assert active.algorithm == "b"
    assert store.counts().clusters == 2
    with pytest.raises(UsageError, match="differ in length"):
        store.save_clustering(
            "c", {}, 0, face, np.zeros(4, np.int64), np.ones(4, np.float32), changed=changed[:2]
        )


def test_consecutive_rows_are_not_copied(
    store: Store, root_id: int, unit_vectors: MakeVectors, make_photo: MakePhoto
) -> None:
    vectors = unit_vectors(5, 0)
    store.commit([make_photo(root_id, "a.jpg", vectors)])
    for rows, copied in (
        ([0, 1, 2, 3, 4], False),
        ([2, 3], False),
        ([3], False),
        ([3, 2], True),
        ([1, 3], True),
    ):
        found = store.vectors(np.array(rows))
        np.testing.assert_array_equal(found, vectors[rows])
        assert np.shares_memory(found, store.vectors()) != copied
        assert not found.flags.writeable


def test_pictures(store: Store, root_id: int) -> None:
    photos = [
        NewPhoto(root_id, "a.jpg", 10, 1, b"a", 4, 3, picture=b"picture", orientation=6, taken=-5),
        NewPhoto(root_id, "b.jpg", 10, 1, b"b", 4, 3),
    ]
    store.commit(photos)
    first, second = store.photos().values()
    assert (first.picture, first.orientation, first.taken) == (b"picture", 6, -5)
    assert (second.picture, second.orientation, second.taken) == (None, 1, None)
    store.save_pictures([(second.id, Picture(b"picture", 3, 7))])
    assert [photo.id for photo in store.photos_by_picture(b"picture")] == [first.id, second.id]
    store.update_metadata([NewMetadata(second.id, 11, 2, b"c", 9)])
    second = store.photos_by_id([second.id])[second.id]
    assert (second.size, second.mtime_ns, second.content_hash, second.taken) == (11, 2, b"c", 9)
    assert (second.picture, second.orientation) == (b"picture", 3)
    store.commit([NewPhoto(root_id, "a.jpg", 12, 3, b"d", 4, 3, picture=b"another")])
    assert [photo.id for photo in store.photos_by_picture(b"picture")] == [second.id]
    (first,) = store.photos_by_picture(b"another")
    assert (first.orientation, first.taken) == (1, None)
    with Store.open(store.directory) as reader:
        with pytest.raises(UsageError):
            reader.save_pictures([])
        with pytest.raises(UsageError):
            reader.update_metadata([])
        assert PhotoNames(reader).photo(second).picture == b"picture"
        assert PhotoNames(reader).photo(second).taken == 9


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count what is read")
def test_a_writer_does_not_read_a_page_twice(store: Store) -> None:
    """As long as all pages that it needs fit in its cache."""

    def read_bytes() -> int:
        return int(Path("/proc/self/io").read_text(encoding="ascii").split("rchar: ")[1].split()[0])

    for _ in range(80):
        store.log_run("index", {"text": "x" * 100_000})
    store._catalog.checkpoint()
    size = (store.directory / "catalog.sqlite").stat().st_size
    assert size > 8e6
    first = store.runs(80)
    before = read_bytes()
    assert store.runs(80) == first
    assert read_bytes() - before < size / 10
