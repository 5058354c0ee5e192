"""Forgetting people, faces and photos: nothing of them is left, nothing brings them back, others stay.

The searches here are their own: they share no code with the search of the program.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex
from faceindex.errors import StoreError, UsageError
from faceindex.store.vectors import HEADER_BYTES
from faceindex.types import F32


class World:
    """An album with its index and copies at fixed paths: copies are recorded by absolute paths."""

    def __init__(self, root: Path, module: ModuleType) -> None:
        self.root, self.module = root, module
        self.album, self.index, self.copies = root / "album", root / "index", root / "copies"
        self.name: str = module.NAME

    def open(self, **options: Any) -> FaceIndex:
        return FaceIndex.open(self.index, **options)

    def restore(self) -> None:
        for name in ("album", "index", "copies"):
            shutil.rmtree(self.root / name, ignore_errors=True)
            shutil.copytree(self.root / "saved" / name, self.root / name, symlinks=True)

    def residue(self, vectors: F32) -> list[str]:
        """Search for parts of vectors, and for names, notes and dates, in every file but the photos."""
        texts = [self.name, self.module.OLD_NAME, self.module.SECRET, "1961-05-04"]
        wanted = {v[at : at + 2].tobytes() for v in vectors for at in range(0, vectors.shape[1] - 1, 2)}
        for encoding in ("utf-8", "utf-16-le", "utf-32-le"):
            wanted |= {text.encode(encoding) for text in texts}
        wanted |= {json.dumps(text)[1:-1].encode() for text in texts}
        wanted |= {",".join(str(number) for number in vectors[0][:3]).encode()}
        kept = f"cousin of {self.name}"
        forms = (kept.encode(), json.dumps(kept)[1:-1].encode())
        found = []
        for path, content in self.module.all_bytes(self.index, self.copies):
            for form in forms:
                content = content.replace(form, b"")
            if any(each in content for each in wanted):
                found.append(path.relative_to(self.root).as_posix())
            if any(text in path.relative_to(self.root).as_posix() for text in texts):
                found.append(path.relative_to(self.root).as_posix())
        return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from faceindex.models import registry

    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(Path(__file__).parents[1])
    import fakes
    import forgetting_album

    with registry.isolated():
        fakes.register_fakes()
        patch.setattr(fakes, "FakeDetector", forgetting_album.AlbumDetector)
        world = World(tmp_path_factory.mktemp("forget"), forgetting_album)
        world.album.mkdir()
        forgetting_album.make_album(world.album)
        forgetting_album.make_index(world.index, world.album)
        forgetting_album.make_copies(world.index, world.copies)
        for name in ("album", "index", "copies"):
            shutil.copytree(world.root / name, world.root / "saved" / name, symlinks=True)
        yield world
    patch.undo()


@pytest.fixture
def world(saved: World) -> World:
    saved.restore()
    return saved


@pytest.fixture(scope="module")
def vectors(saved: World) -> F32:
    with FaceIndex.open(saved.root / "saved" / "index") as index:
        found: F32 = saved.module.vectors_of(index, saved.name)
    assert len(found) == 6
    return found


def people(index: FaceIndex) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for face in index:
        found.setdefault(str(face.person), []).append(face.face)
    return found


def test_nothing_of_a_forgotten_person_is_left(world: World, vectors: F32) -> None:
    before = world.residue(vectors)
    kinds = {path.split("/")[1] for path in before}
    assert {"catalog.sqlite", "vectors.f32", "ann.hnsw", "copied", "people", "journal.jsonl"} <= kinds
    assert {"boxes.json", "boxes.csv", "embeddings.npz", "embeddings.csv"} <= kinds
    with world.open(write=True) as index:
        others = people(index)
        others.pop(world.name)
        ben = world.module.vectors_of(index, "Ben")
        receipt = index.forget(world.name, verify=True)
        assert people(index) == others
        np.testing.assert_array_equal(world.module.vectors_of(index, "Ben"), ben)
        assert [person.name for person in index.people.list()] == ["Ben"]
    assert world.residue(vectors) == []
    assert receipt.complete
    assert receipt.searched is not None
    assert (receipt.people, receipt.faces, receipt.searched.hits) == (1, 6, 0)
    assert receipt.searched.fragments >= vectors.shape[1] // 4
    assert {left.where for left in receipt.left} >= {"notes about other people"}
    assert world.name not in str(receipt.as_dict())
    states = {Path(copy.path).name: copy.state for copy in receipt.copies}
    assert states.pop("only.zip") == states.pop("found") == "removed"
    assert set(states.values()) == {"updated"}
    assert len(states) == 11


def test_copied_photos_do_not_show_a_forgotten_face(world: World, vectors: F32) -> None:
    shown = [path.read_bytes() for path in world.album.glob("[zg]*.png")]
    copied = [*(world.copies / "copied" / "photos").iterdir(), *(world.copies / "photos").glob("*.png")]
    assert any(path.read_bytes() in shown for path in copied)
    (world.album / "z2.png").unlink()  # the copy is the last one
    with world.open(write=True) as index:
        index.forget(world.name)
        again = index.export.gallery(world.copies / "copied", copy=True)
    copied = [*(world.copies / "copied" / "photos").iterdir(), *(world.copies / "photos").glob("*.png")]
    assert copied
    assert not any(path.read_bytes() in shown for path in copied)
    assert again.withheld == 2


def test_the_faces_do_not_come_back(world: World, vectors: F32) -> None:
    with world.open(write=True) as index:
        number = len(index)
        index.forget(world.name)
        assert len(index) == number - 6
        shutil.copytree(world.album, world.root / "album" / "moved")  # the same pictures elsewhere
        os.utime(world.album / "z0.png", (1, 1))
        summary = index.add(world.album)
        assert summary.faces == 8
        assert len(index) == number - 6 + 8
        index.cluster()
        shown = [Path(face.photo).name for face in index]
        assert not any(name.startswith("z") for name in shown)
        assert sorted(shown).count("group0.png") == 2
    world_vectors = vectors[:1]
    assert [path for path in world.residue(world_vectors) if path.startswith("index")] == []
    shutil.rmtree(world.album / "moved")


def test_other_models_do_not_bring_the_faces_back(world: World, vectors: F32) -> None:
    import fakes

    fakes.register_others()
    with world.open(write=True) as index:
        index.forget(world.name)
        index.migrate("other", detector="other")
        shown = {Path(face.photo).name for face in index}
    assert not {name for name in shown if name.startswith("z")}
    assert {name for name in shown if name.startswith("b")}


def test_faces_return_if_that_is_allowed(world: World, vectors: F32) -> None:
    with world.open(write=True) as index:
        number = len(index)
        receipt = index.forget(world.name, allow_return=True)
        assert receipt.places == 0
        shutil.copy(world.album / "z1.png", world.album / "new.png")
        assert index.add(world.album).faces == 1
        assert len(index) == number - 6 + 1


def test_journals_and_undo_do_not_bring_the_name_back(world: World, vectors: F32) -> None:
    journal = world.root / "old.jsonl"
    shutil.copy(world.copies / "journal.jsonl", journal)
    with world.open(write=True) as index:
        uid = index.people.get(world.name).uid
        entries = len(index.people.log())
        index.forget(world.name)
        assert len(index.people.log()) == entries
        assert index.people.apply(journal).decisions == 0  # all of them are known
        with pytest.raises(UsageError, match="Nobody"):
            index.people.get(world.name)
        undone = [entry.command for entry, _ in index.people.undo(2)]
        assert undone == ["people note Ben 'cousin of (forgotten)'", "people name 1 Ben"]
        with pytest.raises(UsageError, match="no decision to undo"):
            index.people.undo()
    assert [p for p in world.residue(vectors) if p != "copies/journal.jsonl"] == []
    # On an index that does not know the entries, only the others are applied.
    shutil.rmtree(world.index)
    with FaceIndex.open_or_create(world.index, detector="fake", embedder="fake") as index:
        index.add(world.album)
        index.cluster()
        with index._store.forgetting.deleting([]):
            index._store.forgotten.add_people([uid])
        index.forget(faces=[face.face for face in index if Path(face.photo).name.startswith("z")])
        applied = index.people.apply(journal)
        assert applied.forgotten == 6
        assert [person.name for person in index.people.list()] == ["Ben"]
    journal.unlink()


def test_a_photo_is_forgotten_with_its_copies(world: World, vectors: F32) -> None:
    with world.open(write=True) as index:
        number = len(index)
        receipt = index.forget(photos=world.album / "z0.png")
        assert (receipt.photos, receipt.faces, receipt.people) == (2, 2, 0)
        assert len(index) == number - 2
        summary = index.add(world.album)
        assert (summary.new, summary.faces, len(index)) == (2, 0, number - 2)
        assert index.people.get(world.name).faces == 4


def test_a_face_is_forgotten_with_its_copies_and_others_stay(world: World, vectors: F32) -> None:
    with world.open(write=True) as index:
        face = next(face for face in index if face.photo.endswith("again/z0.png"))
        number = len(index)
        receipt = index.forget(faces=[face.face])
        assert (receipt.named, receipt.copies_of_faces, len(index)) == (1, 1, number - 2)
        assert index.people.get(world.name).faces == 4
        group = next(face for face in index if face.photo.endswith("group0.png") and face.person == "Ben")
        index.forget(faces=[group.face])
        shown = [face.person for face in index if face.photo.endswith("group0.png")]
        assert shown == [world.name]
        with pytest.raises(UsageError, match="There is no face"):
            index.forget(faces=[face.face])


def test_photos_that_are_away_are_forgotten_too(world: World, vectors: F32) -> None:
    from faceindex.store.away import Return

    with world.open(write=True) as index:
        store = index._store
        photo = next(record for record in store.photos().values() if record.relpath == "z1.png")
        store.put_away([photo.id])
        number = len(index)
        receipt = index.forget(world.name, verify=True)
        assert (receipt.away, receipt.faces, len(index)) == (1, 6, number - 5)
        assert receipt.complete
        store.bring_back([Return(photo.id, photo.root_id, photo.relpath, photo.size, photo.mtime_ns)])
        assert (len(index), store.photos()[photo.root_id, photo.relpath].faces) == (number - 5, 0)
    assert world.residue(vectors) == []


def test_a_migration_that_has_begun_is_forgotten_too(
    world: World, vectors: F32, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fakes

    from faceindex.pipeline import batches, run

    monkeypatch.setattr(batches, "BATCH_PHOTOS", 1)
    monkeypatch.setattr(run, "COMMIT_PHOTOS", 1)
    fakes.register_others()
    with world.open(write=True) as index:
        stop = _after(9)
        index.migrate("other", detector="other", should_stop=stop)
        assert index._store.transfer() is not None
        part = next(world.index.glob("*.part"))
        rows = np.fromfile(part, "<f4", offset=HEADER_BYTES).reshape(-1, fakes.OTHER_DIMENSION)
        receipt = index.forget(world.name, verify=True)
        assert receipt.complete
        left = np.fromfile(part, "<f4", offset=HEADER_BYTES).reshape(-1, fakes.OTHER_DIMENSION)
        staged = index._store._catalog.query("SELECT vector_row FROM transfer_faces")
    live = [row for (row,) in staged]
    assert len(live) < len(rows)
    np.testing.assert_array_equal(left[live], rows[live])
    assert (np.delete(left, live, axis=0) == np.eye(1, fakes.OTHER_DIMENSION)).all()
    assert world.residue(vectors) == []


def _after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_a_copy_that_is_not_there_is_cleaned_when_it_returns(world: World, vectors: F32) -> None:
    away = world.root / "elsewhere"
    (world.copies / "people").rename(away)
    (world.copies / "embeddings.csv").write_text(f"my own words about {world.name}")
    with world.open(write=True) as index:
        receipt = index.forget(world.name)
    states = {Path(copy.path).name: copy.state for copy in receipt.copies}
    assert not receipt.complete
    assert (states["people"], states["embeddings.csv"]) == ("missing", "kept")
    assert world.residue(vectors) == ["copies/embeddings.csv"]
    away.rename(world.copies / "people")
    assert "copies/people" in {path.rpartition("/")[0][:13] for path in world.residue(vectors)}
    world.open(write=True).close()
    assert world.residue(vectors) == ["copies/embeddings.csv"]


def test_a_strangers_index_cannot_name_files_to_write_to(world: World) -> None:
    folder = world.root / "my own"
    folder.mkdir()
    empty, known = folder / "empty", folder / "known"
    empty.write_bytes(b"")
    known.write_bytes(b"known to everybody")
    kinds = ("crops", "clusters", "gallery", "find", "boxes", "embeddings")
    rows: list[tuple[Path, str, dict[str, object]]] = [
        (folder, kind, {"public": True, "copy": True}) for kind in kinds
    ]
    rows += [(folder, "gallery", {"what": 1}), (folder, "picture", {"faces": "x"}), (known, "crops", {})]
    rows += [(p, "journal", {"sha256": hashlib.sha256(p.read_bytes()).hexdigest()}) for p in (empty, known)]
    # Real exports, of another index.
    rows += [(world.copies / name, "boxes", {"format": "csv"}) for name in ("boxes.csv", "boxes.json")]
    rows += [(world.copies / "only.zip", "clusters", {"people": [99], "removing": True})]
    rows += [(path, "crops", {}) for path in world.copies.iterdir() if path.is_dir()]
    before = dict(world.module.all_bytes(world.copies, folder))
    shutil.copytree(world.index, world.root / "strange" / "index")
    with FaceIndex.open(world.root / "strange" / "index", write=True) as index:
        copies = index._store.copies
        with index._store.deciding():
            copies.delete([copy.id for copy in copies.all()])
            for number, (path, kind, options) in enumerate(rows):
                key = (os.fsencode(path), f"{kind}", json.dumps(options), number)
                copies._catalog.execute(
                    "INSERT OR REPLACE INTO copies (path, kind, options, at, stale) VALUES (?, ?, ?, ?, 1)",
                    key,
                )
    FaceIndex.open(world.root / "strange" / "index", write=True).close()
    with FaceIndex.open(world.root / "strange" / "index", write=True) as index:
        receipt = index.forget(world.name)
    assert {copy.state for copy in receipt.copies} == {"kept"}
    assert dict(world.module.all_bytes(world.copies, folder)) == before
    shutil.rmtree(world.root / "strange")


def test_a_dry_run_changes_nothing(world: World) -> None:
    before = dict(world.module.all_bytes(world.copies))
    with world.open(write=True) as index:
        generation = index._store.generation
        receipt = index.forget(world.name, dry_run=True)
        assert (receipt.faces, receipt.labelled + receipt.believed, len(receipt.copies)) == (6, 6, 13)
        assert index._store.generation == generation
    assert dict(world.module.all_bytes(world.copies)) == before


def test_what_is_not_given_or_not_there_is_refused(world: World) -> None:
    with world.open() as reader, pytest.raises(UsageError, match="reading only"):
        reader.forget(world.name)
    with world.open(write=True) as index:
        for arguments in ({}, {"photos": ["missing.jpg"]}, {"people": "Nobody"}, {"clusters": [77]}):
            with pytest.raises(UsageError):
                index.forget(**arguments)
        uid = index.people.get(world.name).uid
        assert index.forget(uid, dry_run=True).people == 1


def test_a_reader_of_an_old_state_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceindex.store import sqlite

    monkeypatch.setattr(sqlite, "_BUSY_MS", 10)
    with world.open() as reader, reader._store.snapshot():
        len(reader)
        with world.open(write=True) as index:
            receipt = index.forget(world.name)
    assert not receipt.complete
    assert receipt.problem is not None
    assert "another process" in receipt.problem
    with world.open(write=True) as index:  # finishes it
        assert not index._store._catalog.query("SELECT 1 FROM meta WHERE key = 'forgetting'")


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
def test_a_process_that_is_killed_has_forgotten_all_or_nothing(
    saved: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import forget  # what `benchmarks/forget.py --quick` runs

    found = forget.forget_killed(forget.QUICK_KILLS, tmp_path)
    assert found["steps"] > 100
    assert found["traces_before"] > 0
    assert (found["traces_after"], found["traces_after_kills"]) == (0, 0)
    assert (found["kills_that_changed_other_faces"], found["stale_copies"]) == (0, 0)
    outcomes = found["outcomes"]
    assert outcomes.keys() == {"nothing forgotten", "finished by the next writer"}
    assert sum(outcomes.values()) == forget.QUICK_KILLS


def test_a_full_disk_is_reported_and_finished_later(
    world: World, vectors: F32, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceindex.store import erasing

    def full(*_: object) -> None:
        raise StoreError("The disk is full.", "Make room.")

    with monkeypatch.context() as patch, world.open(write=True) as index:
        patch.setattr(erasing, "clean_catalog", full)
        receipt = index.forget(world.name)
    assert receipt.problem == "The disk is full. Make room."
    assert not receipt.complete
    world.open(write=True).close()
    assert world.residue(vectors) == []


def test_a_name_is_not_found_inside_a_word(world: World) -> None:
    with world.open() as index:
        traces = index._store.traces
        assert traces.cells_with(["fake"])[0]["meta.value"] == 1  # the models
        assert traces.cells_with(["fak"])[0] == {}
