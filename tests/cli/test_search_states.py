"""Commands on an index that has chosen Milvus, and in which something about it is missing or wrong."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faceindex.engine.milvus_embedded import Embedded
from faceindex.store import Store

INDEX, DATABASE = Path(".faceindex"), Path(".faceindex/milvus.db")


@pytest.fixture
def chosen(indexed, run) -> str:
    """An index with Milvus Lite; returns what `identify` answers without it."""
    pytest.importorskip("pymilvus", reason="pip install 'faceindex[milvus]'")
    pytest.importorskip("milvus_lite", reason="pip install 'faceindex[milvus]'")
    assert run("cluster").exit_code == 0
    plain = identified(run)
    assert run("index", "album", "--search", "milvus:milvus.db").exit_code == 0
    return plain


def identified(run) -> str:
    result = run("identify", str(sorted(Path("album").rglob("*.png"))[0]), "--json")
    assert result.exit_code == 0, result.stderr
    return str(result.stdout)


def everything() -> dict[str, bytes]:
    """Return the index but for what a reader may touch: SQLite's shared memory, and locks."""
    return {
        str(path): path.read_bytes()
        for path in INDEX.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal", "lock", "LOCK"))
    }


READERS = [
    ("clusters",),
    ("status",),
    ("export", "clusters", "out"),
    ("export", "embeddings", "out.npz"),
    ("people", "show", "nobody"),
]


@pytest.mark.parametrize("how", ["missing", "empty folder"])
def test_a_reader_makes_no_database(chosen: str, run, how: str) -> None:
    shutil.rmtree(DATABASE)
    if how == "empty folder":
        DATABASE.mkdir()
    result = run("identify", str(sorted(Path("album").rglob("*.png"))[0]), "--json")
    assert result.stdout == chosen
    assert "has no collection of this index. All faces are compared instead" in result.stderr
    for command in READERS:
        run(*command)
    assert run("doctor").exit_code == 1
    assert not DATABASE.exists() or not list(DATABASE.iterdir())


@pytest.mark.parametrize("empty", [False, True])
def test_the_next_writer_makes_a_missing_database_anew(chosen: str, run, empty: bool) -> None:
    def remove() -> None:
        shutil.rmtree(DATABASE)
        if empty:
            DATABASE.mkdir()

    remove()
    assert run("people", "name", "1", "Ada").exit_code == 0
    assert "Recall of Milvus: 100.0%." in run("doctor").stdout
    remove()
    result = run("index", "album")
    assert (result.exit_code, "Milvus" in result.stderr) == (0, False)
    assert "Recall of Milvus: 100.0%." in run("doctor").stdout


@pytest.mark.parametrize("missing", ["pymilvus", "milvus_lite"])
def test_without_the_extra(chosen: str, run, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    before = everything()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, missing, None)
        assert identified(run) == chosen
        for command in (("doctor",), ("doctor", "--repair")):
            result = run(*command)
            said = result.stdout + result.stderr
            assert result.exit_code == 1
            assert f"not checked: Search in Milvus needs the package {missing}" in said
            assert "pip install 'faceindex[milvus]'" in said
            assert "--search auto" in said
            assert "The index itself is sound" in said
            assert "cannot be repaired" not in said
            assert "backup" not in said
        (problem,) = json.loads(run("doctor", "--json").stdout)["problems"]
        assert (problem["kind"], problem["repairable"]) == ("search", False)
    assert everything() == before
    assert "Recall of Milvus: 100.0%." in run("doctor").stdout


def test_a_repair_of_the_index_without_the_extra(chosen: str, run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Milvus has the damaged faces as they were; the repair makes others in their place."""
    vectors = INDEX / "vectors.f32"
    damaged = bytearray(vectors.read_bytes())
    damaged[-40:] = bytes(40)
    vectors.write_bytes(damaged)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pymilvus", None)
        run("doctor", "--repair")
    with Store.open(INDEX) as store:
        assert store._catalog.searched(store._catalog.vectors_name) in (None, (0, 0))
    assert run("index", "album").exit_code == 0
    assert "Recall of Milvus: 100.0%." in run("doctor").stdout


def test_forgetting_without_the_extra_is_complete(chosen: str, run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(INDEX) as store:
        face = int(store.faces().face[0])
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pymilvus", None)
        forgotten = json.loads(run("forget", f"f{face}", "--yes", "--json").stdout)
        assert not DATABASE.exists()
        with Store.open(INDEX) as store:
            assert not store._catalog.search_erasing
        assert (forgotten["problem"], forgotten["complete"]) == (None, True)
    assert run("index", "album").exit_code == 0
    assert "Recall of Milvus: 100.0%." in run("doctor").stdout


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HARM: dict[str, Callable[[Path], object]] = {
    "cut": truncate,
    "garbage": lambda path: path.write_bytes(b"\0?" * 99),
}


@pytest.mark.parametrize("harm", sorted(HARM))
@pytest.mark.parametrize("pattern", ["*.json", "*.parquet", "*"])
def test_damaged_files(chosen: str, run, harm: str, pattern: str) -> None:
    for path in DATABASE.rglob(pattern):
        if path.is_file():
            HARM[harm](path)
    result = run("identify", str(sorted(Path("album").rglob("*.png"))[0]), "--json")
    assert result.stdout == chosen
    assert "All faces are compared instead" in result.stderr
    found = json.loads(run("doctor", "--json").stdout)
    assert [(each["kind"], each["repairable"]) for each in found["problems"]] == [("search", True)]
    repaired = json.loads(run("doctor", "--repair", "--json").stdout)
    assert (repaired["healthy"], repaired["search_recall"]) == (True, 1.0)


@pytest.mark.parametrize("what", ["file", "link", "link to nothing"])
def test_something_else_has_its_name(chosen: str, run, tmp_path: Path, what: str) -> None:
    shutil.rmtree(DATABASE)
    elsewhere = tmp_path / "elsewhere"
    if what == "file":
        DATABASE.write_bytes(b"not a database")
    else:
        DATABASE.symlink_to(elsewhere)
        if what == "link":
            elsewhere.mkdir()
            (elsewhere / "mine").write_text("mine")
    assert identified(run) == chosen
    assert run("doctor").exit_code == 1
    repaired = json.loads(run("doctor", "--repair", "--json").stdout)
    if what == "file":
        assert repaired["healthy"]
    else:  # whose link that is, is not for a repair to decide
        assert "Delete it." in repaired["problems"][0]["what"]
        assert DATABASE.is_symlink()
        assert [path.name for path in elsewhere.glob("*")] == (["mine"] if what == "link" else [])


def test_the_database_of_another_index(chosen: str, run) -> None:
    shutil.rmtree(DATABASE)
    other = Path("other")
    assert run("index", "album", "--index", str(other), "--search", "milvus:milvus.db").exit_code == 0
    shutil.copytree(other / "milvus.db", DATABASE)
    assert identified(run) == chosen
    (problem,) = json.loads(run("doctor", "--json").stdout)["problems"]
    assert "has no collection of this index" in problem["what"]
    assert json.loads(run("doctor", "--repair", "--json").stdout)["healthy"]


def test_in_use_by_another_process(chosen: str, run) -> None:
    other = Embedded(DATABASE, create=False)
    try:
        assert identified(run) == chosen
        for command in (("doctor",), ("doctor", "--repair")):
            result = run(*command)
            assert result.exit_code == 1
            assert "not checked: Milvus Lite in" in result.stdout
            assert "is in use by another process" in result.stdout
    finally:
        other.close()
    assert "Recall of Milvus: 100.0%." in run("doctor").stdout


def test_a_choice_whose_database_is_damaged(indexed, run) -> None:
    pytest.importorskip("milvus_lite", reason="pip install 'faceindex[milvus]'")
    DATABASE.write_bytes(b"of something else")
    result = run("index", "album", "--search", "milvus:milvus.db")
    assert result.exit_code == 2
    assert "Delete it, or choose another name." in result.stderr
    assert DATABASE.read_bytes() == b"of something else"
