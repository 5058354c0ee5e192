from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex


@pytest.fixture(autouse=True)
def other_models(fake_models: ModuleType) -> None:
    """Register the models named ``other``."""
    fake_models.register_others()


@pytest.fixture
def index(clustered: Path) -> Path:
    """The index of the album with the fake models, clustered."""
    return Path(".faceindex").absolute()


def test_the_summary_lists_faces_in_other_clusters(run, index: Path) -> None:
    result = run("migrate", "--embedder", "other")
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.stdout.startswith("fake + fake -> fake + other in ")
    assert ["photos", "read", "12"] in lines
    assert ["in", "another", "cluster", "4"] in lines
    assert ["4", "2", "1", "album/person2/0.png"] in lines
    assert run("faces", "--csv").stdout.count("album/person2") == 4


def test_json(run, index: Path) -> None:
    plan = json.loads(run("migrate", "--embedder", "other", "--dry-run", "--json").stdout)
    assert plan["schema"] == "faceindex/migrate-plan/1"
    assert (plan["photos"], plan["faces"], plan["bytes"], plan["dry_run"]) == (12, 12, 12 * 24 * 4, True)
    document = json.loads(run("migrate", "--embedder", "other", "--json").stdout)
    assert document["schema"] == "faceindex/migrate/1"
    assert document["switched"] is True
    assert document["models"]["old_embedder"] == "fake"
    assert len(document["moved"]) == 4
    assert {(face["old_cluster"], face["new_cluster"]) for face in document["moved"]} == {(2, 1)}
    assert document["moved"][0].keys() == {"face", "photo", "path", "old_cluster", "new_cluster"}
    again = run("migrate", "--embedder", "other", "--json")
    assert again.exit_code == 2
    assert "already has fake and other" in json.loads(again.stdout)["problem"]


def test_missing_photos_stop_the_switch(run, index: Path, album: Path) -> None:
    (album / "person0" / "1.png").unlink()
    dry = run("migrate", "--embedder", "other", "--dry-run")
    assert dry.exit_code == 0
    assert "album/person0/1.png: missing" in dry.stdout
    result = run("migrate", "--embedder", "other")
    assert result.exit_code == 1
    assert "1.png" in result.stderr
    assert "--drop-missing" in result.stderr
    assert "not switched yet" in result.stdout
    status = json.loads(run("status", "--json").stdout)
    assert (status["embedder"], status["migration"]["done"]) == ("fake", 11)
    assert "11 of 12 photos; `faceindex migrate` goes on" in run("status").stdout
    done = run("migrate", "--drop-missing")
    assert done.exit_code == 0
    assert ["removed", "1", "missing", "1"] in [line.split() for line in done.stdout.splitlines()]
    assert json.loads(run("status", "--json").stdout)["migration"] is None
    with FaceIndex.open(index) as opened:
        assert (opened.pins.embedder, len(opened)) == ("other", 11)


def test_a_disk_that_is_not_mounted_stops_the_switch(run, index: Path, album: Path) -> None:
    album.rename(album.with_name("away"))
    result = run("migrate", "--embedder", "other", "--drop-missing")
    assert result.exit_code == 1
    assert f"No photo in {album} can be read: is its disk mounted?" in result.stderr
    assert "`faceindex index --prune`" in result.stderr
    with FaceIndex.open(index) as opened:
        assert (opened.pins.embedder, len(opened)) == ("fake", 12)


def test_cancel(run, index: Path, album: Path) -> None:
    assert run("migrate", "--cancel").exit_code == 2
    (album / "person0" / "1.png").unlink()
    run("migrate", "--embedder", "other")
    assert run("migrate", "--cancel", "--dry-run").exit_code == 2
    document = json.loads(run("migrate", "--cancel", "--json").stdout)
    assert (document["schema"], document["photos"]) == ("faceindex/migrate-cancel/1", 11)
    refused = run("migrate")
    assert refused.exit_code == 2
    assert "--embedder or --detector" in refused.stderr


def test_quiet_prints_nothing(run, index: Path) -> None:
    result = run("migrate", "--embedder", "other", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_warning_about_a_constant_threshold(run, index: Path) -> None:
    run("cluster", "--threshold", "0.5")
    assert "--threshold 0.5" in run("migrate", "--embedder", "other").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
def test_an_interrupt_keeps_what_is_done(run, start, index_album, fake_models, tmp_path: Path) -> None:
    fake_models.make_album(tmp_path / "album", people=3, photos=40)
    index_album("album")
    models = ("--detector", "other", "--embedder", "other")
    process = start("migrate", "--json", "-v", *models, delay=0.02, before="fakes.register_others()")
    assert next(line for line in process.stderr if b".png: " in line)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    document = json.loads(out)
    assert process.returncode == 1
    assert b"`faceindex migrate` goes on" in err
    assert (document["interrupted"], document["switched"]) == (True, False)
    assert 0 < document["read"] < 120
    rest = json.loads(run("migrate", "--json").stdout)
    assert rest["switched"]
    assert (rest["done_before"], rest["read"]) == (document["read"], 120 - document["read"])
