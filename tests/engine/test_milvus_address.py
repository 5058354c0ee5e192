"""Addresses of Milvus: what they may be, and which server an index may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceindex.engine.milvus_address import Server, embedded_path, parse_search, server_of
from faceindex.errors import SearchUnavailable, UsageError

HERE = Path("/photos/.faceindex")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MILVUS_URI", "MILVUS_TOKEN", "FACEINDEX_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("auto", None),
        ("hnsw", None),
        ("milvus:milvus.db", "milvus:milvus.db"),
        ("milvus:./milvus.db", "milvus:milvus.db"),
        ("milvus:/photos/.faceindex/m.db", "milvus:m.db"),
        ("milvus:http://nas", "milvus:http://nas:19530"),
        ("milvus:http://NAS:19531/", "milvus:http://nas:19531"),
        ("milvus:https://m.example/faces", "milvus:https://m.example:443/faces"),
        ("milvus:http://[::1]:19530", "milvus:http://[::1]:19530"),
    ],
)
def test_addresses(given: str, stored: str | None) -> None:
    assert parse_search(given, HERE) == stored


@pytest.mark.parametrize(
    "given",
    [
        "",
        "exact",
        "milvus",
        "milvus://nas",
        "milvus:",
        "milvus:milvus",
        "milvus:../milvus.db",
        "milvus:a/b.db",
        "milvus:/tmp/milvus.db",
        "milvus:.hidden.db",
        "milvus:ftp://nas",
        "milvus:http://",
        "milvus:http://nas:99999",
        "milvus:http://nas/a/b",
        "milvus:http://nas/a b",
    ],
)
def test_other_text_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        parse_search(given, HERE)


@pytest.mark.parametrize(
    "given",
    [
        "milvus:http://root:hunter2@nas:19530",
        "milvus:http://hunter2@nas",
        "milvus://root:hunter2@nas",
        "milvus:root:hunter2@nas",
        "milvus:http://nas?token=hunter2",
        "milvus:http://nas#hunter2",
        "http://root:hunter2@nas",
    ],
)
def test_a_password_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_search(given, HERE)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_where_milvus_lite_is() -> None:
    assert embedded_path("milvus:m.db", HERE) == HERE / "m.db"
    assert embedded_path("milvus:http://nas:19530", HERE) is None
    for hostile in ("milvus:../../m.db", "milvus:/etc/m.db", "sqlite:m.db", "milvus:m"):
        with pytest.raises(SearchUnavailable):
            embedded_path(hostile, HERE)


def test_an_index_may_not_name_another_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "hunter2")
    with pytest.raises(SearchUnavailable, match="nothing was sent") as caught:
        server_of("milvus:http://elsewhere:19530", given=False)
    assert "MILVUS_URI=http://elsewhere:19530" in caught.value.remedy
    assert server_of("milvus:http://elsewhere:19530", given=True) == Server(
        "http://elsewhere:19530", "hunter2"
    )
    # On this computer, but without a token that was not meant for it.
    assert server_of("milvus:http://localhost:19530", given=False) == Server("http://localhost:19530", "")
    monkeypatch.setenv("MILVUS_URI", "http://elsewhere")
    assert server_of("milvus:http://elsewhere:19530", given=False).token == "hunter2"
    with pytest.raises(SearchUnavailable):
        server_of("milvus:http://third:19530", given=False)


def test_offline_allows_only_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEINDEX_OFFLINE", "1")
    with pytest.raises(SearchUnavailable, match="FACEINDEX_OFFLINE"):
        server_of("milvus:http://elsewhere:19530", given=True)
    assert server_of("milvus:http://127.0.0.1:19530", given=True).uri == "http://127.0.0.1:19530"
