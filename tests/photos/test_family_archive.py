"""The session of docs/family-archive.md, run as it is written: every command prints what the page shows."""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")


def masked(page: str) -> list[str]:
    """Return the lines of a page without numbers and progress, which depend on the machine."""
    progress = re.compile(r"[\d,]+ of [\d,]+ photos$")  # printed where a command takes long
    lines = [line for line in page.splitlines() if "photos/s" not in line and not progress.match(line)]
    return [re.sub(r" +", " ", re.sub(r"[0-9][0-9.,:]*%?", "#", line)) for line in lines]


def test_the_page_shows_what_the_commands_print(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(DOCS)
    archive, outputs = (importlib.import_module(name) for name in ("make_archive", "make_outputs"))
    monkeypatch.delenv("FACEINDEX_WEIGHTS", raising=False)
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    page = archive.PAGE.read_text(encoding="utf-8")
    assert page.count("$ faceindex people name") >= 11
    with tempfile.TemporaryDirectory() as temporary:  # as short as that of the script: lines are wrapped
        archive.make_archive(data, Path(temporary, "home"))
        assert masked(outputs.fill(page, Path(temporary, "home"))) == masked(page)
