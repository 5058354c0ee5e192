"""A neighbour index outside the files: what it is trusted with, and how it is kept up to date."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_neighbours import ADDRESS, FakeNeighbours

from faceindex.errors import IndexCorrupt, SearchUnavailable
from faceindex.store import NewPhoto, Store
from faceindex.types import F32

Vectors = Callable[..., F32]
Photo = Callable[..., NewPhoto]


@pytest.fixture
def fake() -> FakeNeighbours:
    return FakeNeighbours()


@pytest.fixture
def filled(
    store: Store, fake: FakeNeighbours, unit_vectors: Vectors, make_photo: Photo, tmp_path: Path
) -> Store:
    """A store of 60 faces on 20 photos, with the fake up to date."""
    root = store.add_root(tmp_path, str(tmp_path)).id
    vectors = unit_vectors(60, 1)
    store.commit([make_photo(root, f"{i}.jpg", vectors[3 * i : 3 * i + 3]) for i in range(20)])
    store.searching.connect = fake.connect
    assert store.searching.choose(ADDRESS) is None
    assert store.searching.require_up_to_date() == 60
    return store


def live_faces(store: Store) -> list[int]:
    return sorted(store.faces().face.tolist())


def photo_ids(store: Store) -> list[int]:
    return sorted(photo.id for photo in store.photos().values())


def same_as_exact(store: Store, queries: F32, k: int = 7) -> None:
    faces, similarities = store.search(queries, k)
    expected, exact = store.search(queries, k, exact=True)
    np.testing.assert_array_equal(faces, expected)
    np.testing.assert_allclose(similarities, exact, atol=1e-6)


def test_it_answers_as_exact_search_does(filled: Store, fake: FakeNeighbours, unit_vectors: Vectors) -> None:
    same_as_exact(filled, unit_vectors(5, 2))
    assert fake.asked == [5]
    same_as_exact(filled, unit_vectors(2, 3), k=100)


def test_new_faces_are_found_before_they_are_written(
    filled: Store, fake: FakeNeighbours, unit_vectors: Vectors, make_photo: Photo
) -> None:
    new = unit_vectors(4, 9)
    filled.commit([make_photo(filled.roots()[0].id, "new.jpg", new)])
    assert len(fake.faces) == 60
    same_as_exact(filled, new)
    assert filled.search(new, 1)[1].min() > 0.999
    assert filled.searching.catch_up() == 4
    assert sorted(fake.faces) == live_faces(filled)
    same_as_exact(filled, new)


def test_only_the_first_search_after_a_write_waits_for_it(
    directory: Path, filled: Store, fake: FakeNeighbours, unit_vectors: Vectors, make_photo: Photo
) -> None:
    queries, root = unit_vectors(2, 2), filled.roots()[0].id
    with Store.open(directory) as reader:
        reader.searching.connect = fake.connect
        for number in range(3):
            for _ in range(2):
                reader.search(queries, 3)
            filled.commit([make_photo(root, f"new{number}.jpg", unit_vectors(1, 20 + number))])
            reader.search(queries, 3)  # of what has been committed, Milvus has nothing new
            filled.searching.require_up_to_date()
    assert fake.latest == [True, False, False] * 3
    filled.search(queries, 3)
    assert fake.latest[-1]


def test_deleted_faces_are_never_found_and_are_deleted_there(
    filled: Store, fake: FakeNeighbours, unit_vectors: Vectors
) -> None:
    filled.remove_photos(photo_ids(filled)[:10])
    assert len(fake.faces) == 60
    same_as_exact(filled, unit_vectors(5, 2))  # also where most of the candidates are deleted
    assert filled.searching.catch_up() == 0
    assert sorted(fake.faces) == live_faces(filled)
    assert len(fake.faces) == 30
    assert fake.log.count("create") == 1


def test_its_answers_are_not_believed(filled: Store, fake: FakeNeighbours, unit_vectors: Vectors) -> None:
    query = unit_vectors(1, 2)
    best = int(filled.search(query, 1, exact=True)[0][0, 0])
    worst = int(filled.search(query, 60, exact=True)[0][0, -1])
    fake.wrong = {best: worst}
    faces, similarities = filled.search(query, 60)
    assert best not in faces[:, :5]
    at = faces[0].tolist().index(worst)
    expected = filled.vectors(filled.faces([worst]).row)[0] @ query[0]
    assert similarities[0, at] == pytest.approx(float(expected), abs=1e-6)
    fake.wrong = {best: 10_000_000}
    assert 10_000_000 not in filled.search(query, 5)[0]


@pytest.mark.parametrize("erase", [False, True])
def test_compaction_keeps_it(
    filled: Store, fake: FakeNeighbours, unit_vectors: Vectors, make_photo: Photo, erase: bool
) -> None:
    filled.remove_photos(photo_ids(filled)[:6])
    filled.commit([make_photo(filled.roots()[0].id, "new.jpg", unit_vectors(2, 8))])
    filled.compact(erase=erase)
    same_as_exact(filled, unit_vectors(5, 2))
    filled.searching.catch_up()
    assert sorted(fake.faces) == live_faces(filled)
    assert fake.log.count("create") == 1, "it is built anew although only rows changed"
    same_as_exact(filled, unit_vectors(5, 2))


def test_rebuilt_to_erase(store: Store, unit_vectors: Vectors, make_photo: Photo, tmp_path: Path) -> None:
    fake = FakeNeighbours(erases_by_rebuilding=True)
    root = store.add_root(tmp_path, str(tmp_path)).id
    store.commit([make_photo(root, f"{i}.jpg", unit_vectors(1, i)) for i in range(20)])
    store.searching.connect = fake.connect
    store.searching.choose(ADDRESS)
    store.searching.catch_up()
    store.remove_photos(photo_ids(store)[:1])
    store.searching.catch_up()
    assert fake.log.count("create") == 1
    store.compact(erase=True)
    store.searching.catch_up()
    assert fake.log.count("create") == 2
    assert fake.log[-2:] == ["upsert", "erase"]
    assert store.searching.note == "The fake may remember."
    before = len(fake.log)
    store.searching.catch_up()
    assert len(fake.log) == before


def test_every_interruption_is_made_good(
    directory: Path, filled: Store, fake: FakeNeighbours, unit_vectors: Vectors, make_photo: Photo
) -> None:
    """Whatever request fails, searches stay right, and the next process brings it up to date."""
    root = filled.roots()[0].id
    filled.close()
    for step in range(14):
        with Store.open(directory, write=True) as store:
            store.searching.connect = fake.connect
            store.remove_photos(photo_ids(store)[:1])
            store.commit([make_photo(root, f"new{step}.jpg", unit_vectors(3, 100 + step))])
            fake.fail_at = step
            store.searching.catch_up()
            fake.fail_at = None
            same_as_exact(store, unit_vectors(3, 4))
    with Store.open(directory, write=True) as store:
        store.searching.connect = fake.connect
        store.searching.require_up_to_date()
        assert sorted(fake.faces) == live_faces(store)
        same_as_exact(store, unit_vectors(3, 4))
    assert fake.open == 0


def test_unreachable_is_exact_with_one_warning(
    directory: Path,
    filled: Store,
    fake: FakeNeighbours,
    unit_vectors: Vectors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    filled.close()
    fake.fail_at = 0
    with Store.open(directory) as store, caplog.at_level(logging.WARNING):
        store.searching.connect = fake.connect
        same_as_exact(store, unit_vectors(3, 4))
        same_as_exact(store, unit_vectors(3, 5))
    (record,) = caplog.records
    assert record.getMessage() == (
        "The fake is away. All faces are compared instead: the answers are exact, and take longer."
        " Call it back."
    )


def test_after_a_failure_it_is_left_alone_for_a_while(
    directory: Path,
    filled: Store,
    fake: FakeNeighbours,
    unit_vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that hangs takes seconds to fail; a thousand searches must not wait for it each."""
    filled.close()
    now, tries, takes = [1000.0], 0, 0.0
    monkeypatch.setattr("faceindex.store.outside.time.monotonic", lambda: now[0])

    def connect(*arguments: Any) -> FakeNeighbours:
        nonlocal tries
        tries += 1
        now[0] += takes
        return fake.connect(*arguments)

    with Store.open(directory) as store:
        store.searching.connect = connect
        fake.fail_at = 0
        for _ in range(20):
            now[0] += 2
            same_as_exact(store, unit_vectors(1, 4))
        assert tries == 1
        now[0] += 60
        takes = 30.0
        same_as_exact(store, unit_vectors(1, 4))
        now[0] += 290  # not after 60 seconds: it took long to fail
        same_as_exact(store, unit_vectors(1, 4))
        assert tries == 2
        now[0] += 20
        fake.fail_at = None
        same_as_exact(store, unit_vectors(1, 4))
        assert (tries, fake.asked) == (3, [1])


def test_a_failure_to_write_is_one_warning_and_loses_nothing(
    filled: Store,
    fake: FakeNeighbours,
    unit_vectors: Vectors,
    make_photo: Photo,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake.fail_at = 0
    filled.commit([make_photo(filled.roots()[0].id, "new.jpg", unit_vectors(2, 8))])
    with caplog.at_level(logging.WARNING):
        assert filled.searching.catch_up() == filled.searching.catch_up() == 0
        with pytest.raises(SearchUnavailable):
            filled.searching.require_up_to_date()
    (record,) = caplog.records
    assert "The index itself is complete." in record.getMessage()
    assert filled.count_faces() == 62


def test_an_unreachable_choice_is_refused(store: Store, fake: FakeNeighbours) -> None:
    store.searching.connect = fake.connect
    fake.fail_at = 0
    with pytest.raises(SearchUnavailable):
        store.searching.choose(ADDRESS)
    assert store.searching.address is None


def test_going_back_deletes_the_collection(filled: Store, fake: FakeNeighbours) -> None:
    assert filled.searching.choose(None) is None
    assert fake.size is None
    assert not fake.faces
    assert filled.searching.address is None
    assert filled._catalog.query("SELECT key FROM meta WHERE key LIKE 'search%'") == []


def test_going_back_from_a_lost_server(filled: Store, fake: FakeNeighbours) -> None:
    filled.searching.close()
    fake.fail_at = 0
    left = filled.searching.choose(None)
    assert left == (
        "The fake is away. It may still have the vectors of this index; delete its collection there."
    )
    assert filled.searching.address is None


def test_another_copy_of_the_index_is_noticed(
    directory: Path,
    filled: Store,
    fake: FakeNeighbours,
    unit_vectors: Vectors,
    make_photo: Photo,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two copies that go on separately have the same ids for other faces."""
    root = filled.roots()[0].id
    filled.close()
    other = directory.with_name("copy")
    shutil.copytree(directory, other)
    for number, copy in enumerate((directory, other)):
        with Store.open(copy, write=True) as store:
            store.searching.connect = fake.connect
            store.commit([make_photo(root, "own.jpg", unit_vectors(3, 50 + number))])
            store.searching.require_up_to_date()
    with Store.open(directory) as store, caplog.at_level(logging.WARNING):
        store.searching.connect = fake.connect
        same_as_exact(store, unit_vectors(3, 50))
    assert "has other vectors than this index" in caplog.text
    with Store.open(directory, write=True) as store:
        store.searching.connect = fake.connect
        store.commit([make_photo(root, "more.jpg", unit_vectors(1, 60))])
        assert store.searching.require_up_to_date() == 64


@pytest.mark.parametrize("harm", ["lost", "some", "changed", "dimension"])
def test_check_reports_what_is_wrong_and_a_rebuild_mends_it(
    filled: Store, fake: FakeNeighbours, harm: str
) -> None:
    assert filled.searching.check(50, 5, 0.95) == ([], 1.0)
    match harm:
        case "lost":
            fake.size = None
        case "some":
            del fake.faces[next(iter(fake.faces))]
        case "changed":
            fake.faces = {face: -vector for face, vector in fake.faces.items()}
        case "dimension":
            fake.size = 3
    problems, recall = filled.searching.check(50, 5, 0.95)
    assert len(problems) == 1
    assert problems[0].startswith("The fake has ")
    assert recall is None
    filled.searching.require_up_to_date(rebuild=True)
    assert filled.searching.check(50, 5, 0.95) == ([], 1.0)


def test_check_reports_low_recall(filled: Store, fake: FakeNeighbours) -> None:
    fake.wrong = dict.fromkeys(live_faces(filled)[::3], 10000000)
    problems, recall = filled.searching.check(50, 5, 0.95)
    assert recall is not None
    assert 0.5 < recall < 0.9
    assert "finds only" in problems[0]


@pytest.mark.parametrize("value", ['"milvus"', "7", '"milvus:\\u0007"', '"' + "x:" * 600 + '"'])
def test_a_malformed_choice_is_damage(directory: Path, filled: Store, value: str) -> None:
    with filled._catalog.transaction():
        filled._catalog.execute("UPDATE meta SET value = ? WHERE key = 'search'", (value,))
    with pytest.raises(IndexCorrupt, match="its 'search'"):
        filled.search(np.eye(1, 16, dtype=np.float32), 1)


def test_one_warning_for_one_failure(
    filled: Store,
    fake: FakeNeighbours,
    unit_vectors: Vectors,
    make_photo: Photo,
    caplog: pytest.LogCaptureFixture,
) -> None:
    filled.commit([make_photo(filled.roots()[0].id, "new.jpg", unit_vectors(2, 8))])
    fake.fail_at = 0
    with pytest.raises(SearchUnavailable):
        filled.searching.require_up_to_date()
    with caplog.at_level(logging.WARNING):
        assert filled.searching.catch_up() == 0
    assert not caplog.records
    fake.fail_at = None
    assert filled.searching.require_up_to_date() == 2


def test_damaged_files_are_built_anew_by_the_next_writer(
    directory: Path,
    filled: Store,
    fake: FakeNeighbours,
    unit_vectors: Vectors,
    make_photo: Photo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = filled.roots()[0].id
    filled.close()

    def damaged() -> int:
        raise SearchUnavailable("It is damaged.", "Build it anew.", mended_by_rebuilding=True)

    with Store.open(directory, write=True) as store:
        store.searching.connect = fake.connect
        store.commit([make_photo(root, "new.jpg", unit_vectors(3, 50))])
        with monkeypatch.context() as context:
            context.setattr(fake, "dimension", damaged)
            assert store.searching.require_up_to_date() == 63
        assert sorted(fake.faces) == live_faces(store)
