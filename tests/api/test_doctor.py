"""`FaceIndex.doctor`: what it finds, what it repairs, and what it says of the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from faceindex import FaceIndex
from faceindex.api import doctor
from faceindex.errors import IndexCorrupt, IndexNotFound
from faceindex.store.directory import lock_for_writing
from faceindex.store.vectors import HEADER_BYTES

ROW = 16 * 4
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def closed(index: FaceIndex) -> Iterator[Path]:
    """The directory of the index with two named people, closed."""
    index.people.name("Anna", clusters=[0])
    index.people.name("Ben", clusters=[1])
    index.close()
    yield Path(index.directory)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def contents(directory: Path) -> tuple[object, ...]:
    with FaceIndex.open(directory) as index:
        table = index.table()
        return (
            [(face.face, face.path, face.box, face.cluster, face.person) for face in index],
            index.vectors().tobytes(),
            table.quality.tobytes(),
            [repr(person) for person in index._store.decisions.people()],
            [repr(decision) for decision in index._store.decisions.decisions()],
        )


def page_of(directory: Path, table: str) -> int:
    """Return the offset of the root page of a small table, a leaf."""
    with closing(sqlite3.connect(f"file:{directory / 'catalog.sqlite'}?mode=ro", uri=True)) as database:
        ((page,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
    return (int(page) - 1) * 4096


def test_a_sound_index_is_healthy_and_unchanged(closed: Path) -> None:
    before = {path.name: path.read_bytes() for path in closed.iterdir() if path.suffix != ".sqlite-shm"}
    for repair in (False, True):
        health = FaceIndex.doctor(closed, repair=repair)
        assert health.healthy
        assert (health.rows, health.recall, health.repaired) == (12, None, ())
    for name in ("catalog.sqlite", "catalog.digests", "vectors.f32"):
        assert (closed / name).read_bytes() == before[name]
    with pytest.raises(IndexNotFound):
        FaceIndex.doctor(closed.parent / "none")


@pytest.mark.parametrize("damage", ["bit", "NaN", "short", "missing", "header"])
def test_damaged_vectors_are_embedded_again(closed: Path, fake_models: ModuleType, damage: str) -> None:
    expected = contents(closed)
    path = closed / "vectors.f32"
    if damage == "bit":
        overwrite(path, HEADER_BYTES + 5 * ROW, bytes([path.read_bytes()[HEADER_BYTES + 5 * ROW] ^ 1]))
    elif damage == "NaN":
        overwrite(path, HEADER_BYTES, np.full(3, np.nan, "<f4").tobytes())
    elif damage == "short":
        os.truncate(path, HEADER_BYTES + 7 * ROW)
    elif damage == "missing":
        path.unlink()
    else:
        overwrite(path, 10, b"other")
    with pytest.raises(IndexCorrupt, match=r"vectors\.f32.*doctor --repair"):
        contents(closed)
    (problem,) = FaceIndex.doctor(closed).problems
    assert (problem.kind, problem.file, problem.repairable) == ("vectors", "vectors.f32", True)
    health = FaceIndex.doctor(closed, repair=True)
    assert health.healthy
    assert health.embedded == 12
    assert not health.read_again + health.deleted + health.decided
    assert contents(closed) == expected


def test_photos_that_are_gone_lose_their_damaged_faces_and_are_named(
    closed: Path, fake_models: ModuleType
) -> None:
    overwrite(closed / "vectors.f32", HEADER_BYTES, b"\0" * 4)
    with FaceIndex.open(closed) as index:
        (root,) = index._store.roots()
        gone, changed = (record.relpath for record in list(index._store.photos().values())[:2])
    photo = Path(root.path, gone)
    kept = photo.read_bytes()
    photo.unlink()
    fake_models.make_photo(Path(root.path, changed), (32, 64, 96), mark=99)
    health = FaceIndex.doctor(closed, repair=True)
    assert health.healthy
    assert health.embedded == 10
    assert {Path(name).name for name in health.read_again} == {Path(gone).name, Path(changed).name}
    photo.write_bytes(kept)
    with FaceIndex.open(closed, write=True) as index:
        assert len(index) == 10
        assert len(index._store.decisions.decisions()) == 2
        summary = index.add(root.path)
        assert summary.opened == 2
        assert len(index) == 12


@pytest.mark.parametrize("table", ["assignments", "faces", "images", "people", "decisions", "meta"])
def test_a_damaged_page_of_the_catalog(closed: Path, fake_models: ModuleType, table: str) -> None:
    """A page with another value that SQLite does not notice; nothing that the user decided goes unnamed."""
    expected = contents(closed)
    path = closed / "catalog.sqlite"
    offset = page_of(closed, table)
    page = path.read_bytes()[offset : offset + 4096]
    wanted = {"people": b"Anna", "decisions": b"Anna", "meta": b"fake", "images": b"album"}.get(table)
    position = page.find(wanted) if wanted and wanted in page else 4090
    overwrite(path, offset + position, bytes([page[position] ^ 1]))
    with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite is damaged.*doctor --repair"):
        contents(closed)
    health = FaceIndex.doctor(closed)
    assert any(problem.kind == "pages" and table in problem.what for problem in health.problems)
    if table == "meta":  # the names of the models are not stored twice
        return
    health = FaceIndex.doctor(closed, repair=True)
    assert health.healthy, health.problems
    assert len(health.kept) == 1
    assert (closed / health.kept[0]).stat().st_mode & 0o777 == 0o600
    assert any(table in text for text in health.decided) == (table in ("people", "decisions"))
    after = contents(closed)
    if table == "assignments":
        assert after[1:] == expected[1:]
        assert health.deleted == ("assignments: 12 rows",)
    elif table in ("faces", "images"):
        assert after[3:] == expected[3:]
        with FaceIndex.open(closed, write=True) as index:
            index.add(closed.parent / "album")
            assert len(index) == 12
            assert {face.person for face in index} == {None, "Anna", "Ben"}
    else:
        assert after[:3] == expected[:3] or table == "people"


@pytest.mark.parametrize("damage", ["zeros", "short"])
def test_a_catalog_whose_structure_is_damaged_is_copied_row_by_row(
    closed: Path, fake_models: ModuleType, damage: str
) -> None:
    expected = contents(closed)
    overwrite(closed / "catalog.sqlite", page_of(closed, "faces"), bytes(4096))
    if damage == "short":  # by the last page, of an index
        os.truncate(closed / "catalog.sqlite", (closed / "catalog.sqlite").stat().st_size - 4096)
    health = FaceIndex.doctor(closed)
    assert {"pages", "structure"} <= {problem.kind for problem in health.problems}
    health = FaceIndex.doctor(closed, repair=True)
    assert health.healthy, health.problems
    assert any(text.startswith("faces") for text in health.deleted)
    assert contents(closed)[3:] == expected[3:]
    with FaceIndex.open(closed, write=True) as index:
        index.add(closed.parent / "album")
        assert len(index) == 12


def test_a_damaged_hnsw_index_is_built_again(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaceIndex.open(closed, write=True) as index:
        index._store.update_hnsw(always=True)
    assert FaceIndex.doctor(closed).recall == 1
    path = closed / "ann.hnsw"
    overwrite(path, path.stat().st_size - 9, b"\7")
    (problem,) = FaceIndex.doctor(closed).problems
    assert problem.kind == "hnsw"
    assert path.exists(), "a checkup changes nothing"
    monkeypatch.setattr("faceindex.store.search.EXACT_BELOW", 10)
    assert FaceIndex.doctor(closed, repair=True).recall == 1
    (closed / "vectors-7.f32").write_bytes(b"left over")
    assert [problem.kind for problem in FaceIndex.doctor(closed).problems] == ["unused"]
    assert FaceIndex.doctor(closed, repair=True).healthy
    assert not (closed / "vectors-7.f32").exists()


def test_a_missing_catalog_needs_a_backup(closed: Path) -> None:
    (closed / "catalog.sqlite").unlink()
    (problem,) = FaceIndex.doctor(closed).problems
    assert not problem.repairable
    with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite is missing.*backup"):
        FaceIndex.doctor(closed, repair=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="damage.py forks")
@pytest.mark.parametrize("name", ["damage", "compaction"])
def test_the_quick_benchmark_finds_nothing_silent(name: str, tmp_path: Path) -> None:
    assert importlib.util.find_spec("faceindex") is not None
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); sys.argv = ['{name}.py', '--quick']\n"
        f"import common, pathlib; common.RESULTS = pathlib.Path({str(tmp_path)!r})\n"
        f"import {name}; sys.exit({name}.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / f"{name}_quick.json").read_text())["benchmark"] == f"{name}_quick"


@pytest.mark.parametrize("after", [False, True])
def test_a_repair_that_is_killed_is_repeated(
    closed: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """When the damaged log is deleted, before and after the new catalog is in its place."""
    script = "import os, sys; from faceindex.store import Store; s = Store.open(sys.argv[1], write=True)\n"
    script += "s.log_run('index', {'last': 1}); getattr(os, '_exit')(0)"
    subprocess.run([sys.executable, "-c", script, str(closed)], check=True)
    expected = contents(closed)
    overwrite(closed / "catalog.sqlite", page_of(closed, "suspects") + 2000, b"?")

    def kill(new: Path, path: Path) -> None:
        if after:
            new.replace(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("faceindex.store.salvage.replace_durably", kill)
        FaceIndex.doctor(closed, repair=True)
    with pytest.raises(IndexCorrupt):
        FaceIndex.open(closed)
    health = FaceIndex.doctor(closed, repair=True)
    assert health.healthy
    assert not health.read_again + health.deleted + health.decided
    assert contents(closed) == expected
    with FaceIndex.open(closed) as index:
        assert index._store.runs(1)[0].detail == {"last": 1}


def test_files_of_a_writer_at_work_are_no_problem(closed: Path) -> None:
    new = closed / "vectors-2.f32"
    new.touch()
    with FaceIndex.open(closed, write=True):
        new.touch()
        assert FaceIndex.doctor(closed).healthy
    new.touch()
    assert not FaceIndex.doctor(closed).healthy


def test_what_another_process_has_repaired_meanwhile_is_not_repaired_again(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite(closed / "catalog.sqlite", page_of(closed, "decisions") + 4090, b"\xff")
    lock = lock_for_writing

    def wait_for_another(directory: Path, wait: float = 0.0) -> object:
        monkeypatch.setattr(doctor, "lock_for_writing", lock)
        assert FaceIndex.doctor(directory, repair=True).repaired
        return lock(directory, wait)

    monkeypatch.setattr(doctor, "lock_for_writing", wait_for_another)
    health = FaceIndex.doctor(closed, repair=True)
    assert (health.problems, health.repaired, health.kept) == ((), (), ())
