"""Moving an index to other models: what is kept, what changes, what stops it."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from photo_edits import edit

from faceindex import FaceIndex, images
from faceindex.api.pins import keeps_boxes, new_pins
from faceindex.errors import ImageError, IndexMigrated, Reason, StoreError, UnknownModel, UsageError
from faceindex.pipeline import Committed, Event, Warned, batches, run
from faceindex.store import Store, search
from faceindex.store.vectors import VectorFile


@pytest.fixture
def album(fake_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three people with four photos each; work is committed after every second photo."""
    fake_models.register_others()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "COMMIT_PHOTOS", 1)
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 2)
    return Path(fake_models.make_album(tmp_path / "album"))


@pytest.fixture
def directory(album: Path, tmp_path: Path) -> Path:
    """The album, indexed with the fake models and clustered."""
    directory = tmp_path / "index"
    with FaceIndex.create(directory, detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
    return directory


def fresh(album: Path, directory: Path, detector: str = "fake", embedder: str = "other") -> dict[str, Any]:
    """The faces of an index made with the new models, by photo."""
    with FaceIndex.create(directory, detector=detector, embedder=embedder) as index:
        index.add(album)
        return contents(index)


def contents(index: FaceIndex) -> dict[str, list[tuple[Any, ...]]]:
    table, vectors = index.table(), index.vectors()
    found: dict[str, list[tuple[Any, ...]]] = {}
    for i, face in enumerate(index):
        values = (table.boxes[i], table.landmarks[i], table.scores[i], table.sharpness[i], table.norms[i])
        found.setdefault(face.path, []).append((*(value.tobytes() for value in values), vectors[i].tobytes()))
    return {path: sorted(faces) for path, faces in found.items()}


def clusters_of(index: FaceIndex) -> dict[int, int]:
    table = index.table()
    return dict(zip(table.face.tolist(), table.cluster.tolist(), strict=True))


class StopAfter:
    """`should_stop` and `on_event` of a run that stops after some commits."""

    def __init__(self, commits: int) -> None:
        self.left = commits

    def on_event(self, event: object) -> None:
        self.left -= isinstance(event, Committed)

    def __call__(self) -> bool:
        return self.left <= 0


def test_vectors_are_those_of_a_new_index_and_ids_stay(album: Path, directory: Path, tmp_path: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        before, faces = index.table(), clusters_of(index)
        result = index.migrate("other")
        assert (result.switched, result.photos, result.read, result.faces) == (True, 12, 12, 12)
        assert (result.kept, result.new, result.gone, result.not_migrated) == (12, 0, 0, ())
        assert (index.pins.detector, index.pins.embedder, index.pins.dimension) == ("fake", "other", 24)
        after = index.table()
        for name in ("face", "photo", "boxes", "landmarks", "scores"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name), name)
        assert after.row.tolist() == list(range(12))
        # The other embedder does not tell the second and third person apart: they are one cluster now.
        assert clusters_of(index) == {face: min(cluster, 1) for face, cluster in faces.items()}
        assert result.clustered
        assert [(face.face, face.old_cluster, face.new_cluster) for face in result.moved] == [
            (face, 2, 1) for face, cluster in faces.items() if cluster == 2
        ]
        assert all(face.photo.startswith("album") or "person2" in face.path for face in result.moved)
        assert (after.similarity > 0.99).all()
        assert contents(index) == fresh(album, tmp_path / "fresh")
        answer = index.identify(album / "person0" / "0.png").faces[0]  # with the new models
        assert answer.cluster == 0
        assert answer.similarity == pytest.approx(1, abs=1e-5)
        last = index.counts().last_run
        assert last is not None
        assert last.kind == "migrate"
        assert index.add(album).unchanged == 12
    assert sorted(path.name for path in directory.glob("*.f32*")) == ["vectors-2.f32"]
    with FaceIndex.open(directory) as index:
        assert contents(index) == fresh(album, tmp_path / "fresh2")


def test_back_again(album: Path, directory: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        before = contents(index), clusters_of(index)
        index.migrate("other")
        index.migrate("fake")
        assert contents(index) == before[0]
        after = clusters_of(index)  # the third person got a new cluster, whose number is new
        assert {face: after[face] for face, cluster in before[1].items() if cluster < 2} == {
            face: cluster for face, cluster in before[1].items() if cluster < 2
        }
        assert {after[face] for face, cluster in before[1].items() if cluster == 2} == {3}
    assert sorted(path.name for path in directory.glob("*.f32*")) == ["vectors-3.f32"]


def test_another_detector_matches_faces_by_their_boxes(album: Path, directory: Path, tmp_path: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        before = {face.path: face for face in index}
        result = index.migrate("other", "other")
        assert not result.models.boxes_kept
        assert (result.photos, result.kept, result.new, result.gone, result.faces) == (12, 8, 4, 4, 12)
        assert contents(index) == fresh(album, tmp_path / "fresh", "other", "other")
        large = {face.path: face for face in index if face.box[2] > 50}
        assert {path: face.face for path, face in large.items()} == {
            path: face.face for path, face in before.items() if "person2" not in path
        }
        assert all(face.cluster == before[path].cluster for path, face in large.items())
        small = [face for face in index if face.box[2] < 50]
        assert [face.face for face in small] == [13, 14, 15, 16]  # new ids
        assert {face.cluster for face in small} == {before[small[0].path].cluster}
        assert result.moved == ()
        assert all(np.diff(index.table().face) > 0)
        assert all(np.diff(index.table().row) > 0)
        assert [record.faces for record in index._store.photos().values()] == [2] * 4 + [1] * 4 + [0] * 4


def test_an_interrupted_run_goes_on(album: Path, directory: Path, tmp_path: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        before = contents(index), clusters_of(index)
        stop = StopAfter(2)
        result = index.migrate("other", on_event=stop.on_event, should_stop=stop)
        assert result.interrupted
        assert not result.switched
        assert 0 < result.read < 12
        assert (contents(index), clusters_of(index)) == before
    with FaceIndex.open(directory, write=True) as index:
        begun = index.migrate.begun()
        assert begun is not None
        assert (begun.done, begun.photos, begun.models.embedder) == (result.read, 12, "other")
        answer = index.identify(album / "person1" / "0.png").faces[0]  # with the old models
        assert answer.cluster == 1
        assert answer.similarity == pytest.approx(1, abs=1e-5)
        rest = index.migrate()
        assert rest.switched
        assert (rest.done_before, rest.read) == (result.read, 12 - result.read)
        assert contents(index) == fresh(album, tmp_path / "fresh")
        assert index.migrate.begun() is None


def test_photos_that_come_and_go_in_between(
    album: Path, directory: Path, tmp_path: Path, fake_models: ModuleType
) -> None:
    stop = StopAfter(2)
    with FaceIndex.open(directory, write=True) as index:
        done = index.migrate("other", on_event=stop.on_event, should_stop=stop).read
        assert 4 <= done < 12  # those of the first person
        fake_models.make_photo(album / "person0" / "0.png", (128, 64, 128), mark=99)  # staged: another person
        (album / "person0" / "1.png").unlink()  # staged
        (album / "person0" / "2.png").rename(album / "person0" / "moved.png")  # staged
        fake_models.make_photo(album / "new" / "0.png", (64, 64, 128), mark=98)
        index.add(album)
        index.cluster()
        result = index.migrate()
        assert (result.switched, result.faces, result.not_migrated) == (True, 12, ())
        assert result.done_before == done - 2
        assert contents(index) == fresh(album, tmp_path / "fresh")
        assert all(np.diff(index.table().row) == 1)


def test_new_metadata_do_not_stop_the_switch(album: Path, directory: Path) -> None:
    edit(album / "person1" / "1.png", note="a rating")
    with FaceIndex.open(directory, write=True) as index:
        result = index.migrate("other")
        assert (result.switched, result.not_migrated, len(index)) == (True, (), 12)
        assert index.add(album).new_metadata == 1
        edit(album / "person1" / "2.png", orientation=6)  # it looks different
        assert [photo.reason for photo in index.migrate("fake").not_migrated] == ["changed"]


def test_photos_that_are_away_are_dropped_by_the_switch(album: Path, directory: Path, tmp_path: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        (album / "person0").rename(tmp_path / "kept")
        assert index.add(album).gone == 4
        assert index.counts().away_photos == 4
        events: list[Event] = []
        assert index.migrate("other", on_event=events.append).switched
        assert [event for event in events if isinstance(event, Warned)]
        assert index.counts().away_photos == 0
        (tmp_path / "kept").rename(album / "person0")
        assert index.add(album).new == 4


@pytest.mark.parametrize("detector", [None, "other"])
def test_photos_that_are_not_as_indexed_stop_the_switch(
    album: Path, directory: Path, tmp_path: Path, fake_models: ModuleType, detector: str | None
) -> None:
    (album / "person0" / "0.png").unlink()
    fake_models.make_photo(album / "person1" / "1.png", (192, 64, 128), mark=77)  # content of another person
    (album / "person2" / "2.png").write_bytes(b"no photo")
    with FaceIndex.open(directory, write=True) as index:
        before, clusters = contents(index), clusters_of(index)
        result = index.migrate("other", detector)
        assert not result.switched
        assert {(Path(photo.path).name, photo.reason) for photo in result.not_migrated} == {
            ("0.png", "missing"),
            ("1.png", "changed"),
            ("2.png", "not an image"),
        }
        assert (contents(index), clusters_of(index), len(index)) == (before, clusters, 12)
        again = index.migrate()
        assert (again.done_before, again.read, len(again.not_migrated)) == (9, 0, 3)
        dropped = index.migrate(drop_missing=True)
        assert dropped.switched
        assert len(dropped.not_migrated) == 3
        assert len(index._store.photos()) == 9
        found = contents(index)
        assert all(Path(path).exists() for path in found)
        summary = index.add(album)  # the changed photo is new, with its new content
        assert (summary.new, summary.unchanged) == (1, 9)
        expected = fresh(album, tmp_path / "fresh", detector or "fake", "other")
        assert contents(index) == expected


@pytest.mark.parametrize("staged", [False, True])
def test_a_disk_that_is_not_mounted_loses_no_photos(
    album: Path, directory: Path, fake_models: ModuleType, staged: bool
) -> None:
    second = Path(fake_models.make_album(album.with_name("second"), people=1))
    with FaceIndex.open(directory, write=True) as index:
        index.add(second)
        if staged:  # a part of the photos, before the disk is unmounted
            stop = StopAfter(2)
            index.migrate("other", on_event=stop.on_event, should_stop=stop)
        before = contents(index)
        away = album.rename(album.with_name("away"))
        events: list[Event] = []
        result = index.migrate("other", drop_missing=True, on_event=events.append)
        assert not result.switched
        assert {photo.reason for photo in result.not_migrated} == {"missing"}
        warnings = [event.message for event in events if isinstance(event, Warned)]
        assert len(warnings) == 1
        assert f"{album} can be read: is its disk mounted?" in warnings[0]
        assert contents(index) == before
        away.rename(album)
        assert index.migrate(drop_missing=True).faces == 16


@pytest.mark.parametrize("reason", [Reason.DENIED, Reason.IO_ERROR, Reason.FAILED, Reason.UNSUPPORTED])
def test_photos_that_may_be_readable_later_are_not_dropped(
    album: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, reason: Reason
) -> None:
    read = images.read

    def fail(path: str) -> bytes:
        if path.endswith("0.png"):
            raise ImageError(path, reason, "it fails now.", "Try again.")
        return read(path)

    (album / "person1" / "1.png").unlink()
    with FaceIndex.open(directory, write=True) as index:
        with monkeypatch.context() as patch:
            patch.setattr(images, "read", fail)
            events: list[Event] = []
            result = index.migrate("other", drop_missing=True, on_event=events.append)
        assert not result.switched
        assert sorted(photo.reason for photo in result.not_migrated) == sorted(
            ["missing"] + [reason.value] * 3
        )
        assert [
            f"3 of the photos may be readable later ({reason.value})" in e.message
            for e in events
            if isinstance(e, Warned)
        ] == [True]
        assert len(index) == 12
        assert index.migrate(drop_missing=True).faces == 11


def test_index_settles_photos_that_stopped_the_switch(album: Path, directory: Path, tmp_path: Path) -> None:
    (album / "person0" / "0.png").unlink()
    with FaceIndex.open(directory, write=True) as index:
        assert not index.migrate("other").switched
        index.add(album)
        assert index.migrate().switched
        assert contents(index) == fresh(album, tmp_path / "fresh")


def test_a_dry_run_changes_nothing(album: Path, directory: Path) -> None:
    (album / "person0" / "0.png").unlink()
    os.utime(album / "person1" / "1.png", ns=(0, 0))
    with FaceIndex.open(directory) as index:
        plan = index.migrate.plan("other")
        assert (plan.photos, plan.done, plan.faces, plan.bytes) == (12, 0, 12, 12 * 24 * 4)
        assert plan.clusters_again
        assert [photo.reason for photo in plan.not_migrated] == ["missing", "changed"]
        assert index.migrate.begun() is None
        with pytest.raises(UsageError, match="reading only"):
            index.migrate("other")


def test_requests_that_are_refused(album: Path, directory: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        with pytest.raises(UsageError, match="already has fake and fake"):
            index.migrate("fake")
        with pytest.raises(UsageError, match="No migration has begun"):
            index.migrate()
        with pytest.raises(UsageError, match="No migration has begun"):
            index.migrate.cancel()
        with pytest.raises(UnknownModel):
            index.migrate("unknown")
        stop = StopAfter(1)
        index.migrate("other", on_event=stop.on_event, should_stop=stop)
        with pytest.raises(UsageError, match=r"migration to fake and other has begun.*cancel"):
            index.migrate("other", "other")
        assert index.migrate.cancel() > 0
        assert index.migrate.begun() is None
        assert index.migrate("other", "other").switched
    assert not list(directory.glob("*.part"))


def test_a_migration_that_has_begun_is_cancelled(album: Path, directory: Path) -> None:
    stop = StopAfter(1)
    with FaceIndex.open(directory, write=True) as index:
        before = contents(index)
        index.migrate("other", on_event=stop.on_event, should_stop=stop)
        assert list(directory.glob("*.part"))
        index.migrate.cancel()
        assert not list(directory.glob("*.part"))
        assert contents(index) == before


def test_a_reader_notices_the_switch(album: Path, directory: Path) -> None:
    photo = album / "person0" / "0.png"
    with FaceIndex.open(directory) as reader, FaceIndex.open(directory) as unread:
        before = contents(reader)
        face = reader.identify(photo).faces[0]
        with FaceIndex.open(directory, write=True) as writer:
            stop = StopAfter(2)
            writer.migrate("other", on_event=stop.on_event, should_stop=stop)
            assert contents(reader) == before
            assert reader.identify(photo).faces[0] == face
            kept = reader.vectors()
            copy = kept.copy()
            with reader._store.snapshot():  # of the old state
                reader.counts()
                writer.migrate()
                assert contents(reader) == before
                assert unread.pins.embedder == "fake"
            np.testing.assert_array_equal(kept, copy)
        assert (directory / "vectors.f32").exists() == (sys.platform == "win32")
        for index in (reader, unread):
            for read in (index.table, index.vectors, lambda index=index: index.identify(photo)):
                with pytest.raises(IndexMigrated, match=r"moved from fake and fake to fake and other.*again"):
                    read()
    with FaceIndex.open(directory) as reader:
        assert reader.identify(photo).faces[0].cluster == 0


def test_the_hnsw_index_is_never_used_for_other_vectors(
    album: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "EXACT_BELOW", 5)
    with FaceIndex.open(directory, write=True) as index:
        store = index._store
        assert store.update_hnsw(always=True) == 12
        store.search(index.vectors()[:1], 3, exact=False)
        index.migrate("other")
        assert not (directory / "ann.hnsw").exists()
        assert (directory / "ann-2.hnsw").exists()
        vectors = index.vectors()
        found = store.search(vectors, 1, exact=False)[0]
        assert store._rows.search().hnsw is not None
        similarities = np.einsum(
            "ij,ij->i", vectors[np.searchsorted(index.table().face, found[:, 0])], vectors
        )
        np.testing.assert_allclose(similarities, 1, atol=1e-5)
        assert index.add(album).unchanged == 12


def test_a_failure_after_the_switch_leaves_the_new_models(
    album: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Store) -> None:
        raise StoreError("The disk is full.", "Make room.")

    monkeypatch.setattr(Store, "update_hnsw", fail)
    photo = album / "person0" / "0.png"
    with FaceIndex.open(directory, write=True) as index:
        index.identify(photo)  # loads the old models
        events: list[Event] = []
        result = index.migrate("other", on_event=events.append)
        assert (result.switched, result.faces, len(result.moved)) == (True, 12, 4)
        assert ["disk is full" in event.message for event in events if isinstance(event, Warned)] == [True]
        assert index.pins.embedder == "other"
        assert index.identify(photo).faces[0].similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("stage", ["staging", "final"])
def test_a_full_disk_loses_nothing(
    album: Path, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    write = VectorFile.write
    calls = []

    def full(self: VectorFile, row: int, blocks: Iterator[Any]) -> None:
        if (stage == "final") == (not self.path.name.endswith(".part")):
            calls.append(self.path.name)
            if len(calls) > (2 if stage == "staging" else 0):
                blocks = fail(blocks)
        write(self, row, blocks)

    def fail(blocks: Iterator[Any]) -> Iterator[Any]:
        for block in blocks:
            yield block[:1]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with FaceIndex.open(directory, write=True) as index:
        before = contents(index), clusters_of(index)
        with monkeypatch.context() as patch:
            patch.setattr(VectorFile, "write", full)
            with pytest.raises(StoreError, match="make room"):
                index.migrate("other")
        assert calls
        assert (contents(index), clusters_of(index)) == before
        begun = index.migrate.begun()
        assert begun is not None
        assert begun.done == 12 if stage == "final" else 0 < begun.done < 12
        assert not (directory / "vectors-2.f32").exists()
        assert index.migrate().switched
        assert contents(index) == fresh(album, tmp_path / "fresh")


def test_a_lost_unfinished_file_is_an_error(album: Path, directory: Path) -> None:
    stop = StopAfter(2)
    with FaceIndex.open(directory, write=True) as index:
        index.migrate("other", on_event=stop.on_event, should_stop=stop)
        os.truncate(directory / "vectors-2.f32.part", 10)
        with pytest.raises(StoreError, match="cancel"):
            index.migrate()
        index.migrate.cancel()
        assert index.migrate("other").switched


def test_clusters_by_a_constant_threshold(album: Path, directory: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        index.cluster(threshold=0.5, min_size=3)
        result = index.migrate("other")
        assert result.dropped_threshold == 0.5
        clustering = index.clustering
        assert clustering is not None
        assert (clustering.params["threshold"], clustering.params["min_size"]) == (None, 3)
        assert index.cluster(min_size=3).started_over is False


def test_without_clusters_none_are_made(album: Path, tmp_path: Path) -> None:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        result = index.migrate("other")
        assert (result.switched, result.clustered, result.moved) == (True, False, ())
        assert index.clustering is None


def test_an_index_without_faces(tmp_path: Path, fake_models: ModuleType) -> None:
    fake_models.register_others()
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        assert index.migrate("other").switched
        assert (index.pins.embedder, len(index)) == ("other", 0)


def test_options_of_kept_models_stay(fake_models: ModuleType, tmp_path: Path) -> None:
    fake_models.register_others()
    settings = {"flip": True, "upsample": 3}
    with FaceIndex.create(tmp_path / "i", detector="fake", embedder="fake", settings=settings) as index:
        pins = index.pins
    assert dict(new_pins(pins, None, "other", {}).settings) == {
        "min_face": pins.settings["min_face"],
        "upsample": 3,
    }
    assert new_pins(pins, "other", None, {}).settings["flip"] is True
    assert keeps_boxes(pins, new_pins(pins, None, "other", {}))
    assert not keeps_boxes(pins, new_pins(pins, "other", None, {}))
    assert not keeps_boxes(pins, new_pins(pins, None, None, {"min_face": 20.0}))
    assert keeps_boxes(pins, new_pins(pins, None, None, {"flip": False}))
    assert new_pins(pins, "fake", "fake", {}) == pins


def test_a_chosen_min_face_stays_with_another_detector(fake_models: ModuleType, tmp_path: Path) -> None:
    fake_models.register_others()
    with FaceIndex.create(tmp_path / "i", detector="fake", embedder="fake", min_face=17) as index:
        assert new_pins(index.pins, "other", None, {}).settings["min_face"] == 17
        assert new_pins(index.pins, "other", None, {"min_face": 25.0}).settings["min_face"] == 25
    with FaceIndex.create(tmp_path / "j", detector="fake", embedder="fake") as index:
        usual = fake_models.OTHER_DETECTOR.min_face
        assert new_pins(index.pins, "other", None, {}).settings["min_face"] == usual


# A process that is killed ------------------------------------------------------------------------


class Killer:
    """Ends this process, without any clean-up, before or after the n-th step that changes files."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            os._exit(9)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        killer = self

        class Steps(sqlite3.Connection):
            def execute(self, statement: str, *arguments: Any) -> Any:
                changes = not statement.startswith(("SELECT", "PRAGMA"))
                if changes:
                    killer.step()
                result = super().execute(statement, *arguments)
                if statement == "COMMIT":
                    killer.step()
                return result

            def executemany(self, *arguments: Any) -> Any:
                killer.step()
                return super().executemany(*arguments)

        connect = sqlite3.connect

        def stepping(*args: Any, factory: type[sqlite3.Connection], **kwargs: Any) -> sqlite3.Connection:
            return connect(*args, factory=type("Connection", (Steps, factory), {}), **kwargs)

        patch.setattr(sqlite3, "connect", stepping)
        for target in ("faceindex.store.vectors.sync_file", "faceindex.store.transfer.sync_directory"):
            patch.setattr(target, lambda where: killer.step())
        write, create, unlink = VectorFile.write, VectorFile.create, Path.unlink

        def stepwise(blocks: Any) -> Iterator[Any]:
            for block in blocks:
                yield block[:1]
                killer.step()
                yield block[1:]

        def killed_write(file: VectorFile, row: int, blocks: Any) -> None:
            write(file, row, stepwise(blocks))

        def killed_create(file: VectorFile) -> None:
            killer.step()
            create(file)
            killer.step()

        def killed_unlink(path: Path, *args: Any, **kwargs: Any) -> None:
            killer.step()
            unlink(path, *args, **kwargs)

        patch.setattr(VectorFile, "write", killed_write)
        patch.setattr(VectorFile, "create", killed_create)
        patch.setattr(Path, "unlink", killed_unlink)


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("detector", "stride"), [(None, 1), ("other", 3)])
def test_killed_at_every_step(
    album: Path,
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detector: str | None,
    stride: int,
) -> None:
    """The index is the old or the new one after each kill, and the next runs, killed too, finish it."""
    import torch  # noqa: F401 - so that each child need not import it

    monkeypatch.setattr(batches, "BATCH_PHOTOS", 5)
    with FaceIndex.open(directory) as index:
        old = contents(index), clusters_of(index)
    copy_of(directory, tmp_path / "undisturbed")
    with FaceIndex.open(tmp_path / "undisturbed", write=True) as index:
        index.migrate("other", detector)
        new = contents(index), clusters_of(index)
    assert new != old

    def migrate(target: Path, step: int) -> int:
        def work() -> None:
            with monkeypatch.context() as patch:
                Killer(step).install(patch)
                with FaceIndex.open(target, write=True) as index:
                    begun = index.migrate.begun() is not None
                    index.migrate(*((None, None) if begun else ("other", detector)))

        return in_child(work)

    kills = 0
    states = []
    while True:
        target = copy_of(directory, tmp_path / "killed")
        code = migrate(target, kills)
        assert code in (0, 9)
        with FaceIndex.open(target) as index:
            found = contents(index), clusters_of(index)
            assert found in (old, new)
            states.append(found == new)
            assert index.pins.embedder == ("other" if states[-1] else "fake")
        if not states[-1]:
            if kills % 4 == 0:  # killed once more, a little further
                migrate(target, 10 + kills // 2)
            with FaceIndex.open(target, write=True) as index:
                if index.pins.embedder == "fake":
                    begun = index.migrate.begun() is not None
                    assert index.migrate(*((None, None) if begun else ("other", detector))).switched
                assert (contents(index), clusters_of(index)) == new
        else:
            FaceIndex.open(target, write=True).close()
        assert sorted(path.name for path in target.glob("vectors*")) == ["vectors-2.f32"]
        if code == 0:
            break
        kills += stride
    assert kills > 40
    assert states == sorted(states)  # one switch
    assert 0 < sum(states) < len(states)


def copy_of(directory: Path, target: Path) -> Path:
    import shutil

    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(directory, target))
