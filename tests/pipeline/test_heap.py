"""Freed memory goes back to the operating system, and `index` sees to it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.pipeline import heap, run
from faceindex.pipeline.heap import keep_level, trim

STATM = Path("/proc/self/statm")
needs_glibc = pytest.mark.skipif(not STATM.exists() or heap._glibc() is None, reason="needs Linux with glibc")

_RESIDENT = """
import os
from pathlib import Path
from faceindex.pipeline.heap import keep_level, trim

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""


def in_a_fresh_process(script: str) -> None:
    """Run a script that measures its own memory: what other tests left on the heap is not there."""
    done = subprocess.run(
        [sys.executable, "-c", _RESIDENT + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_glibc
def test_holes_in_the_heap_are_given_back() -> None:
    in_a_fresh_process(
        """
        blocks = [bytearray(b"x" * 100_000) for _ in range(1000)]  # below malloc's least mmap threshold
        kept = blocks[::20]
        del blocks
        before = resident()
        trim()
        assert before - resident() > 60_000_000
        assert all(block[-1] == ord("x") for block in kept)
        """
    )


@needs_glibc
def test_large_blocks_do_not_stay_on_the_heap() -> None:
    in_a_fresh_process(
        """
        keep_level()
        bytearray(b"x" * (24 << 20))  # freed at once; glibc's own threshold would be 24 MiB from now on
        before = resident()
        block = bytearray(b"x" * (20 << 20))
        behind = bytearray(b"x" * 100_000)
        assert resident() - before > 19 << 20
        del block
        assert resident() - before < 4 << 20
        assert behind[-1] == ord("x")
        """
    )


def test_nothing_happens_where_there_is_no_such_function(monkeypatch: pytest.MonkeyPatch) -> None:
    heap._glibc.cache_clear()
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    try:
        assert heap._glibc() is None
        trim()
        keep_level()
    finally:
        heap._glibc.cache_clear()


def test_a_run_trims_now_and_then(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[None] = []
    monkeypatch.setattr(run, "trim", lambda: trims.append(None))
    monkeypatch.setattr(run, "_BATCH_PHOTOS", 1)
    monkeypatch.setattr(run, "_COMMIT_PHOTOS", 1)
    album = fake_models.make_album(tmp_path / "album", people=3, photos=4)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        assert index.add(album).new == 12
    assert 1 <= len(trims) <= 12 // run._TRIM_COMMITS


@pytest.mark.parametrize(("limit", "sizes"), [("_BATCH_BYTES", {1}), ("_BATCH_PHOTOS", {3})])
def test_every_worker_gets_some(
    tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, limit: str, sizes: set[int]
) -> None:
    """Large photos go in batches of a few, and a few photos in a batch for each worker."""
    if limit == "_BATCH_BYTES":
        monkeypatch.setattr(run, "_BATCH_BYTES", 1)
    monkeypatch.setattr(run, "_workers", lambda: 4)
    seen: list[int] = []
    album = fake_models.make_album(tmp_path / "album", people=3, photos=4)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        detect = fake_models.FakeDetector.detect

        def spy(self: object, images: list[object], **settings: object) -> object:
            seen.append(len(images))
            return detect(self, images, **settings)

        monkeypatch.setattr(fake_models.FakeDetector, "detect", spy)
        assert index.add(album).new == 12
    assert set(seen) == sizes
    assert sum(seen) == 12
