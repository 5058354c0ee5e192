"""Lines of libraries on standard error."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceindex.cli.errors import session


@pytest.mark.parametrize("verbose", [False, True])
def test_records_and_warnings_become_lines_of_faceindex(
    verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger().handlers)
    with session(json=False, quiet=False, verbose=verbose, debug=False):
        logging.getLogger("faceindex.store.hnsw").warning("%s is odd\n\x1b", "ann.hnsw")
        logging.getLogger("some.library").error("odd")
        warnings.warn("old\ncall", DeprecationWarning, stacklevel=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == r"warning: ann.hnsw is odd \x1b"
    assert lines[1:] == (["some.library: odd", "DeprecationWarning: old call"] if verbose else [])
    assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize(
    ("value", "kept"), [("2", True), ("2, 1", True), ("abc", False), ("0", False), ("", False)]
)
def test_numbers_of_threads_that_openmp_refuses_are_named(
    value: str, kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with session(json=False, quiet=False, verbose=False, debug=False):
        assert os.environ.get("OMP_NUM_THREADS") == (value if kept else None)
    assert ("OMP_NUM_THREADS" in capsys.readouterr().err) is not kept


def test_a_damaged_tiff_prints_one_line(
    tmp_path: Path, fake_models: object, start: Callable[..., Any]
) -> None:
    """libtiff itself prints to the descriptor of standard error, so this needs a process of its own."""
    import PIL.Image

    path = tmp_path / "album" / "photo.tif"
    path.parent.mkdir()
    PIL.Image.new("RGB", (64, 64), "red").save(path, compression="tiff_adobe_deflate")
    data = bytearray(path.read_bytes())
    data[20:30] = bytes(10)
    path.write_bytes(data)
    process = start("index", "album", "--detector", "fake", "--embedder", "fake")
    _, stderr = process.communicate(timeout=120)
    lines = [line for line in stderr.decode().splitlines() if line.strip()]
    assert sum("photo.tif" in line for line in lines) == 1, lines
    assert not [line for line in lines if "ZIPDecode" in line or "Decoding error" in line], lines
