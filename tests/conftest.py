from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceindex.models import registry
from faceindex.store.directory import DIGESTS


@pytest.fixture(autouse=True)
def own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the developer's own calibrations out of the tests; the folder does not exist."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture(autouse=True)
def edited_catalogs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete the digests of a catalog that a test edits with SQL, so that they do not find it damaged."""
    connect = sqlite3.connect

    def connect_without_digests(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        if not str(database).startswith("file:"):  # as faceindex itself connects
            Path(database).with_name(DIGESTS).unlink(missing_ok=True)
        connection: sqlite3.Connection = connect(database, *arguments, **options)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_without_digests)


@pytest.fixture
def fake_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Register the fake models under the name ``fake`` for one test; return the module `fakes`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import fakes

    with registry.isolated():
        fakes.register_fakes()
        yield fakes


@pytest.fixture
def onnx_messages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module `onnx_messages`, which encodes small networks."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import onnx_messages

    return onnx_messages
