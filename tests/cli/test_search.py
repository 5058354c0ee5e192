"""``faceindex index --search``, and commands on an index that has chosen Milvus."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from faceindex.store import Store


def stored() -> str | None:
    with Store.open(".faceindex") as store:
        return store.searching.address


def test_a_wrong_address_creates_no_index(album, run) -> None:
    for wrong in ("milvus:http://root:hunter2@nas", "milvus:/elsewhere/x.db", "elsewhere"):
        result = run("index", "album", "--search", wrong)
        assert result.exit_code == 2
        assert "hunter2" not in result.stderr + result.stdout
    assert not Path(".faceindex").exists()


def test_a_missing_extra(indexed, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    result = run("index", "album", "--search", "milvus:milvus.db")
    assert result.exit_code == 2
    assert "pip install 'faceindex[milvus]'" in result.stderr
    assert stored() is None
    assert run("doctor").exit_code == 0


def test_milvus_is_chosen_once_and_left_again(indexed, run) -> None:
    pytest.importorskip("pymilvus", reason="pip install 'faceindex[milvus]'")
    pytest.importorskip("milvus_lite", reason="pip install 'faceindex[milvus]'")
    photo = sorted(Path("album").rglob("*.png"))[0]
    plain = run("identify", str(photo), "--json").stdout
    result = run("index", "album", "--search", "milvus:./milvus.db")
    assert result.exit_code == 0, result.stderr
    assert stored() == "milvus:milvus.db"
    assert run("identify", str(photo), "--json").stdout == plain
    healthy = run("doctor")
    assert "Recall of Milvus: 100.0%." in healthy.stdout
    for path in Path(".faceindex/milvus.db").rglob("*.parquet"):
        path.write_bytes(b"damage")
    assert run("identify", str(photo), "--json").stdout == plain
    assert run("doctor").exit_code == 1
    repaired = json.loads(run("doctor", "--repair", "--json").stdout)
    assert (repaired["healthy"], repaired["search_recall"]) == (True, 1.0)
    assert [problem["kind"] for problem in repaired["repaired"]] == ["search"]
    assert run("index", "album", "--search", "auto").exit_code == 0
    assert stored() is None
    assert not Path(".faceindex/milvus.db").exists()
