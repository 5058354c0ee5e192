"""What commands print of photos that are read with a note."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest

NOTE = "It has 3 pages; only the first is read."


@pytest.fixture
def scans(album: Path) -> Path:
    pages = [PIL.Image.new("RGB", (96, 96), (128, 64 + i, 128)) for i in range(3)]
    pages[0].save(album / "scans.tif", save_all=True, append_images=pages[1:])
    return album


def test_a_note_is_counted_and_is_no_failure(index_album, scans: Path, run) -> None:
    result = index_album("album", "-v", "--log", "run.log")
    assert result.exit_code == 0
    assert f"scans.tif: 1 face. {NOTE}" in result.stderr
    assert f"scans.tif: 1 face. {NOTE}" in (scans.parent / "run.log").read_text()
    assert ["with", "a", "note", "1"] in [line.split()[:4] for line in result.stdout.splitlines()]
    assert f"album/scans.tif: {NOTE}" in run("status", "-v").stdout
    assert NOTE not in run("status").stdout
    document = json.loads(run("status", "--json").stdout)
    assert document["notes"] == [{"photo": "album/scans.tif", "note": NOTE}]
    answer = run("identify", "album/scans.tif", "--threshold", "0.5", "-v")
    assert f"album/scans.tif: {NOTE}" in answer.stderr
    document = json.loads(run("identify", "album/scans.tif", "--threshold", "0.5", "--json").stdout)
    assert [photo["note"] for photo in document["photos"]] == [NOTE]


def test_json_counts_notes(index_album, scans: Path) -> None:
    result = index_album("album", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["with_note"] == 1
