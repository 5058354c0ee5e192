"""Compilation of kernels with and without a place for numba's cache."""

from __future__ import annotations

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


def test_kernels_of_faceindex_are_cached() -> None:
    assert type(kernels.add_block._cache).__name__ == "FunctionCache"
