from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest

from faceindex import FaceIndex
from faceindex.models import registry


def test_status_before_and_after_clustering(indexed, run) -> None:
    before = run("status")
    assert before.exit_code == 0
    assert "none yet; run `faceindex cluster`" in before.stdout
    run("cluster", "--min-size", "3")
    after = run("status").stdout
    assert re.search(r"^index +\S*\.faceindex$", after, re.M)
    assert re.search(r"^models +fake, fake \(min-face 30, upsample 1, no flip\)$", after, re.M)
    assert re.search(r"^folders +\S*album$", after, re.M)
    assert re.search(r"^photos +12 indexed$", after, re.M)
    assert re.search(r"^clusters +3; 0 faces in none$", after, re.M)
    assert "album, min-size 3, seed 0" in after


def test_unreadable_photos_are_counted_and_listed_with_verbose(index_album, album, run) -> None:
    (album / "note.jpg").write_text("no photo")
    index_album("album")
    assert "12 indexed, 1 unreadable (not an image 1)" in run("status").stdout
    assert "album/note.jpg" not in run("status").stdout
    assert "album/note.jpg: " in run("status", "-v").stdout


def test_status_as_json(clustered, run) -> None:
    document = json.loads(run("status", "--json").stdout)
    assert document["schema"] == "faceindex/status/1"
    assert document["photos"] == {"ok": 12, "unreadable": 0, "ignored": 0}
    assert (document["faces"], document["clustered"], document["clusters"]) == (12, 12, 3)
    assert document["clustering"]["algorithm"] == "album"
    assert document["roots"][0]["given"] == "album"
    assert document["roots"][0]["exists"] is True
    assert document["newer_faces"] == 0
    assert document["writer"] is None
    assert document["last_run"]["command"]
    assert document["bytes"]["vectors.f32"] == 64 + 12 * 16 * 4


def test_faces_added_after_clustering_are_counted(clustered: Path, run, fake_models) -> None:
    assert "newer than" not in run("status").stdout
    fake_models.make_photo(clustered / "a.png", (64, 64, 128), mark=100)
    run("index", "album")
    assert "1 face is newer than the clusters; run `faceindex cluster`" in run("status").stdout
    fake_models.make_photo(clustered / "b.png", (64, 64, 128), mark=101)
    run("index", "album")
    assert "2 faces are newer than the clusters" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["newer_faces"] == 2
    run("cluster")
    assert "newer than" not in run("status").stdout


def test_the_writing_process_is_named(indexed, run, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaceIndex.open(write=True):
        text = run("status").stdout
        document = json.loads(run("status", "--json").stdout)
    assert re.search(rf"^writer +process {os.getpid()} on \S+$", text, re.M)
    assert document["writer"]["pid"] == os.getpid()
    assert "writer" not in run("status").stdout

    def fail(path: Path) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("faceindex.store.store.find_holder", fail)
    assert run("status").exit_code == 0


def test_a_folder_that_does_not_exist_is_marked(indexed: Path, run) -> None:
    away = indexed.rename(indexed.with_name("away"))
    text = run("status").stdout
    assert f"{indexed} (does not exist: its disk may not be mounted, or it was moved or deleted)" in text
    assert json.loads(run("status", "--json").stdout)["roots"][0]["exists"] is False
    indexed.mkdir()
    assert f"{indexed} (is empty: its disk may not be mounted)" in run("status").stdout
    run("index", "--prune", indexed, away)
    assert re.search(rf"^folders +{away}$", run("status").stdout, re.M)


def test_a_plot_in_the_home_folder(clustered, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    result = run("status", "--plot", "~/alike.png")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "home" / "alike.png").is_file()


def test_a_migration_that_has_begun_without_its_detector(clustered: Path, run, fake_models) -> None:
    fake_models.register_others()
    fake_models.make_photo(clustered / "black.png", fake_models.NOBODY)  # not read if the boxes stay
    run("index", "album")
    (clustered / "person0" / "1.png").unlink()
    assert run("migrate", "--embedder", "other").exit_code == 1
    with registry.isolated([fake_models.EMBEDDER, fake_models.OTHER_EMBEDDER]):
        result = run("status")
        document = json.loads(run("status", "--json").stdout)
    assert result.exit_code == 0, result.stderr
    assert "the detector 'fake', which is not installed" in result.stdout
    assert "to fake, other: 11 of 12 photos; `faceindex migrate` goes on" in result.stdout
    assert document["migration"]["models"]["boxes_kept"] is True
