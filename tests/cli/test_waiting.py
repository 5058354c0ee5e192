"""Commands that write wait for a writer that is soon done, such as an open page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faceindex.locks import FileLock
from faceindex.store import directory

COMMANDS = (
    "index album",
    "cluster",
    "people name 0 Anna",
    "forget f1 --yes",
    "roots relocate album moved",
    "doctor --repair",
)


def test_every_writer_waits_for_another_one(
    clustered: Path, run: Callable[..., Any], monkeypatch: Any
) -> None:
    waited = []

    def locked(path: Path, wait: float = 0.0) -> object:
        waited.append(wait)
        return FileLock(path, wait)

    monkeypatch.setattr(directory, "FileLock", locked)
    for command in COMMANDS:
        if command.startswith("roots"):
            clustered.rename(clustered.with_name("moved"))
        if command.startswith("doctor"):
            for path in Path(".faceindex").glob("*.hnsw"):
                path.write_bytes(b"damaged")
            vectors = next(Path(".faceindex").glob("vectors*"))
            vectors.write_bytes(b"\xff" * vectors.stat().st_size)
        writer = FileLock(Path(".faceindex") / directory.LOCK)
        closing = threading.Timer(0.05, writer.release)
        waited.clear()
        closing.start()
        result = run(*command.split())
        closing.join()
        assert result.exit_code in (0, 1), (command, result.stderr)
        assert "is being written" not in result.stderr, command
        assert waited, command
        assert min(waited) > 1, command
