"""Compilation of kernels with and without a place for numba's cache."""

from __future__ import annotations

import errno
import importlib
import textwrap
from pathlib import Path
from types import FunctionType

import pytest

from faceindex.clustering import kernels
from faceindex.compiled import compiled

SOURCE = textwrap.dedent(
    """
    def total(values):
        found = 0
        for value in values:
            found += value
        return found
    """
)


def test_machine_code_is_cached_beside_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    source = tmp_path / "made_up_kernel.py"
    source.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    total = compiled(nogil=True)(importlib.import_module("made_up_kernel").total)
    assert total((1, 2, 3)) == 6
    assert list((tmp_path / "__pycache__").glob("made_up_kernel.total*.nbc"))
    assert total.targetoptions["nogil"]


def test_functions_compile_without_a_place_for_the_cache() -> None:
    made: dict[str, FunctionType] = {}
    exec(compile(SOURCE, "<nowhere>", "exec"), made)
    total = compiled(nogil=True)(made["total"])  # numba cannot cache a function without a file
    assert total((1, 2, 3)) == 6
    assert total.targetoptions["nogil"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FunctionType, Path]:
    """A function of a module, and the folder of its cache, which has its machine code."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    source = tmp_path / f"made_up_{tmp_path.name}.py"
    source.write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module(source.stem).total
    total = compiled(nogil=True)(function)
    assert total((1, 2)) == 3
    assert total.stats.cache_misses
    return function, tmp_path / "cache"


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [("nbi", "cut"), ("nbi", "flipped"), ("nbc", "empty"), ("nbc", "flipped"), ("nbc", "a folder")],
)
def test_damaged_machine_code_is_compiled_again(
    made: tuple[FunctionType, Path], suffix: str, damage: str
) -> None:
    function, cache = made
    (path,) = cache.rglob(f"*.{suffix}")
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 0x10
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        ways = {"empty": b"", "cut": content[:50], "flipped": bytes(changed)}
        path.write_bytes(ways[damage])
    total = compiled(nogil=True)(function)
    assert total((1, 2)) == 3
    assert not total.stats.cache_hits
    if damage != "a folder":  # the files are sound again
        total = compiled(nogil=True)(function)
        assert total((1, 2)) == 3
        assert total.stats.cache_hits


def test_machine_code_that_cannot_be_stored(
    made: tuple[FunctionType, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    function, cache = made

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    total = compiled(nogil=True)(function)
    assert total.stats.cache_hits == {}
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", full)
    assert total((1.5, 2.0)) == 3.5  # other types
    assert len(list(cache.rglob("*.nbc"))) == 1


def test_no_home_and_a_source_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.chdir(tmp_path)
    made: dict[str, FunctionType] = {}
    exec(compile(SOURCE, str(tmp_path / "source.py"), "exec"), made)
    assert compiled()(made["total"])((1, 2)) == 3
    assert not list(tmp_path.iterdir())  # no folder named ~


def test_kernels_of_faceindex_are_cached() -> None:
    assert type(kernels.add_block._cache).__name__ == "FunctionCache"
