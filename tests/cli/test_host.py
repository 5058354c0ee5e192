"""The settings of the process: freed memory returns to the operating system, and `index` makes sure of it."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.cli import host
from faceindex.cli.host import HeapKeeper, collection_paused
from faceindex.pipeline import batches
from faceindex.pipeline import run as pipeline_run

STATM = Path("/proc/self/statm")
needs_glibc = pytest.mark.skipif(not STATM.exists() or host.glibc() is None, reason="needs Linux with glibc")

_RESIDENT = """
import os
from pathlib import Path
from faceindex.cli.host import HeapKeeper

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""


def in_a_new_process(script: str) -> None:
    """Run a script that measures its own memory, without the heap of other tests."""
    done = subprocess.run(
        [sys.executable, "-c", _RESIDENT + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@needs_glibc
def test_holes_in_the_heap_return_to_the_system() -> None:
    in_a_new_process(
        """
        heap = HeapKeeper()
        blocks = [bytearray(b"x" * 100_000) for _ in range(1000)]  # below malloc's least mmap threshold
        kept = blocks[::20]
        del blocks
        before = resident()
        heap.on_commit()
        heap.on_commit()
        assert before - resident() > 60_000_000
        assert all(block[-1] == ord("x") for block in kept)
        """
    )


@needs_glibc
def test_large_blocks_do_not_stay_on_the_heap() -> None:
    in_a_new_process(
        """
        HeapKeeper().start()
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


@needs_glibc
def test_arrays_have_pages_of_their_own() -> None:
    in_a_new_process(
        """
        from faceindex.cli.host import map_arrays
        bytearray(b"x" * (24 << 20))  # freed at once; glibc's own threshold would be 24 MiB from now on
        map_arrays()
        blocks = [bytearray(b"x" * (3 << 20)) for _ in range(20)]
        kept = blocks[1::2]
        before = resident()
        del blocks
        assert before - resident() > 24 << 20
        assert all(block[-1] == ord("x") for block in kept)
        """
    )


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    host.glibc.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    try:
        assert host.glibc() is None
        host.map_arrays()
        heap = HeapKeeper()
        heap.start()
        heap.on_commit()
        heap.on_commit()
    finally:
        host.glibc.cache_clear()


class CountingLibc:
    def __init__(self) -> None:
        self.thresholds = self.trims = 0

    def mallopt(self, parameter: int, value: int) -> int:
        self.thresholds += 1
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.trims += 1
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> CountingLibc:
    libc = CountingLibc()
    monkeypatch.setattr(host, "glibc", lambda: libc)
    return libc


def test_a_run_of_index_fixes_the_thresholds_and_trims_after_some_commits(
    album: Path, index_album: Callable[..., object], libc: CountingLibc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 1)
    monkeypatch.setattr(pipeline_run, "COMMIT_PHOTOS", 1)
    index_album("album")
    assert libc.thresholds == 2
    assert 1 <= libc.trims <= 12 // host.TRIM_COMMITS


def test_a_run_without_new_photos_leaves_the_heap_alone(
    indexed: Path, run: Callable[..., object], libc: CountingLibc
) -> None:
    run("index", "album")
    assert (libc.thresholds, libc.trims) == (0, 0)


def test_garbage_collection_pauses_and_resumes() -> None:
    assert gc.isenabled()
    with collection_paused() as resume:
        assert not gc.isenabled()
        resume()
        assert gc.isenabled()
    with pytest.raises(RuntimeError), collection_paused():
        raise RuntimeError
    assert gc.isenabled()


def test_a_pause_keeps_disabled_collection_disabled() -> None:
    gc.disable()
    try:
        with collection_paused() as resume:
            resume()
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.fixture
def collecting(monkeypatch: pytest.MonkeyPatch, fake_models: ModuleType) -> list[bool]:
    """Whether garbage collection was enabled while the fake detector was made, and in its first batch."""
    states: list[bool] = []
    make, detect = fake_models.FakeDetector.__init__, fake_models.FakeDetector.detect

    def spy_on_make(self: object, *args: object, **options: object) -> None:
        states.append(gc.isenabled())
        make(self, *args, **options)

    def spy_on_detect(self: object, *args: object, **options: object) -> object:
        states.append(gc.isenabled())
        return detect(self, *args, **options)

    monkeypatch.setattr(fake_models.FakeDetector, "__init__", spy_on_make)
    monkeypatch.setattr(fake_models.FakeDetector, "detect", spy_on_detect)
    return states


def test_index_pauses_garbage_collection_until_the_models_are_loaded(
    album: Path, index_album: Callable[..., object], collecting: list[bool]
) -> None:
    index_album("album/person0")
    assert collecting[0] is False
    assert all(collecting[1:])
    collecting.clear()
    index_album("album")  # an index that exists
    assert collecting[0] is False
    assert all(collecting[1:])
    assert gc.isenabled()


def test_the_library_leaves_the_process_alone(
    album: Path, tmp_path: Path, collecting: list[bool], libc: CountingLibc
) -> None:
    for _ in range(2):
        with FaceIndex.open_or_create(tmp_path / "index", detector="fake", embedder="fake") as index:
            assert index.add(album).photos == 12
            index.identify(album / "person0" / "0.png")
    assert collecting
    assert all(collecting)
    assert (libc.thresholds, libc.trims) == (0, 0)
