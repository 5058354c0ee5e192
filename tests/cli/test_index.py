from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from faceindex import FaceIndex, find_index


def test_the_summary_counts_everything(index_album, album: Path, fake_models) -> None:
    (album / "note.jpg").write_text("no photo")
    (album / "list.txt").write_text("no photo either")
    fake_models.make_photo(album / "night.png", fake_models.NOBODY)
    result = index_album("album")
    assert result.exit_code == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["14", "photos", "in"]
    assert ["new", "13"] in lines
    assert ["unreadable", "1", "not", "an", "image", "1"] in lines
    assert ["without", "a", "face", "1"] in lines
    assert ["new", "faces", "12"] in lines
    assert ["ignored", "1", "files", "that", "are", "not", "photos"] in lines
    assert result.stderr.count("note.jpg") == 1


def test_json_counts_the_same(index_album, album: Path) -> None:
    (album / "note.jpg").write_text("no photo")
    document = json.loads(index_album("album", "--json").stdout)
    assert document["schema"] == "faceindex/index/1"
    assert (document["photos"], document["new"], document["faces"]) == (13, 12, 12)
    assert document["unreadable_by_reason"] == {"not an image": 1}
    assert document["photos_per_second"] > 0
    again = json.loads(index_album("album", "--json").stdout)
    assert (again["unchanged"], again["opened"], again["known_unreadable"]) == (12, 0, 1)
    assert again["photos_per_second"] is None
    retried = json.loads(index_album("album", "--json", "--retry-failed").stdout)
    assert (retried["opened"], retried["known_unreadable"]) == (1, 0)


def test_known_unreadable_photos_are_counted_but_not_listed_again(index_album, album: Path) -> None:
    (album / "note.jpg").write_text("no photo")
    index_album("album")
    result = index_album("album")
    assert result.exit_code == 0
    assert "note.jpg" not in result.stderr
    assert "known before 1" in result.stdout


def test_changes_are_counted(index_album, indexed: Path, fake_models) -> None:
    (indexed / "person0" / "0.png").rename(indexed / "person0" / "renamed.png")
    (indexed / "person1" / "0.png").unlink()
    fake_models.make_photo(indexed / "person2" / "0.png", (128, 192, 128), mark=99)
    document = json.loads(index_album("album", "--json").stdout)
    counts = {name: document[name] for name in ("new", "changed", "moved", "unchanged", "gone")}
    assert counts == {"new": 0, "changed": 1, "moved": 1, "unchanged": 9, "gone": 1}


def test_creating_an_index_is_reported_once(index_album, album: Path) -> None:
    assert "Created an index" in index_album("album").stderr
    assert index_album("album").stderr == ""


def test_quiet_prints_only_errors(index_album, album: Path) -> None:
    result = index_album("album", "-q")
    assert (result.stdout, result.stderr) == ("", "")
    (album / "note.jpg").write_text("no photo")
    result = index_album("album", "-q")
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_verbose_names_each_photo(index_album, album: Path) -> None:
    assert str(album / "person1" / "3.png") + ": 1 face\n" in index_album("album", "-v").stderr


def test_a_missing_path_creates_no_index(index_album, album: Path, tmp_path: Path) -> None:
    result = index_album("album", "albun")
    assert result.exit_code == 2
    assert "'albun'" in result.stderr
    assert not (tmp_path / ".faceindex").exists()


def test_an_empty_folder_has_exit_code_1(index_album, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = index_album("empty")
    assert result.exit_code == 1
    assert "No photos were found" in result.stderr


def test_an_unknown_model_is_reported_with_a_similar_name(run, album: Path, tmp_path: Path) -> None:
    result = run("index", "album", "--detector", "mtcn")
    assert result.exit_code == 2
    assert "Did you mean 'mtcnn'?" in result.stderr
    assert not (tmp_path / ".faceindex").exists()


def test_models_other_than_the_pinned_ones_are_errors(run, indexed: Path) -> None:
    result = run("index", "album", "--detector", "mtcnn")
    assert result.exit_code == 2
    assert "fake" in result.stderr
    assert "mtcnn" in result.stderr


def test_wrong_options_and_devices_create_no_index(index_album, run, album: Path, tmp_path: Path) -> None:
    for wrong, said in (
        (("--device", "gpu"), "no device 'gpu'. Available devices: auto, cpu"),
        (("--upsample", "9"), "Choose one in 0..4."),
        (
            ("--detector", "mtcnn", "--upsample", "1"),
            "detector mtcnn nor the embedder fake has the option --upsample",
        ),
    ):
        result = index_album("album", *wrong)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
        assert not (tmp_path / ".faceindex").exists()


def test_options_are_pinned(index_album, album: Path) -> None:
    assert index_album("album", "--upsample", "2", "--flip", "--device", "cpu").exit_code == 0
    assert index_album("album").exit_code == 0
    refused = index_album("album", "--no-flip")
    assert refused.exit_code == 2
    assert "pinned to --flip; --no-flip was requested" in refused.stderr


def test_photos_of_an_empty_folder_are_kept_until_pruned(index_album, indexed: Path, tmp_path: Path) -> None:
    for photo in indexed.glob("*/*.png"):
        photo.unlink()
    kept = index_album("album")
    assert kept.exit_code == 1
    assert "--prune" in kept.stderr
    assert str(indexed) in kept.stderr
    assert kept.stderr.count("\n") == 1
    assert ["missing,", "kept", "12"] in [line.split()[:3] for line in kept.stdout.splitlines()]
    pruned = json.loads(index_album("album", "--prune", "--json").stdout)
    assert pruned["gone"] == 12


def test_an_indexed_folder_that_does_not_exist_is_one_error(run, indexed: Path) -> None:
    moved = indexed.rename(indexed.with_name("moved"))
    result = run("index", "album")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert f"The indexed folder {indexed} does not exist: its disk is not mounted" in result.stderr
    assert "pass --prune" in result.stderr
    document = json.loads(run("index", "--prune", "album", moved, "--json").stdout)
    assert (document["moved"], document["gone"], document["new"]) == (12, 0, 0)


def test_a_dry_run_counts_and_changes_nothing(index_album, run, album: Path, tmp_path: Path) -> None:
    first = index_album("album", "--dry-run")
    assert first.exit_code == 0
    assert first.stdout.splitlines()[0] == "12 photos; dry run, nothing was changed"
    rows = [line.split() for line in first.stdout.splitlines()]
    assert ["new", "12"] in rows
    assert ["time", "unknown", "no", "earlier", "run", "to", "measure", "by"] in rows
    assert not (tmp_path / ".faceindex").exists()

    index_album("album")
    (album / "new.png").write_bytes((album / "person0" / "0.png").read_bytes() + b"end")
    (album / "notes.txt").write_text("not a photo")
    catalog = tmp_path / ".faceindex" / "catalog.sqlite"
    before = catalog.read_bytes()
    second = run("index", "album", "--dry-run")
    assert second.exit_code == 0
    rows = [line.split() for line in second.stdout.splitlines()]
    assert ["new", "1"] in rows
    assert ["unchanged", "12"] in rows
    assert ["other", "files", "1"] in [row[:3] for row in rows]
    assert re.search(r"^  time +[\d.]+ m?s +at [\d.]+ photos/s, as on 2\d{3}-", second.stdout, re.M)
    assert re.search(r"^  disk +[\d.]+ kB +as much for each photo as in the index now$", second.stdout, re.M)
    assert catalog.read_bytes() == before

    document = json.loads(run("index", "album", "--dry-run", "--json").stdout)
    assert document["schema"] == "faceindex/index-plan/1"
    assert document["dry_run"] is True
    assert (document["photos"], document["new"], document["unchanged"]) == (13, 1, 12)
    assert document["seconds"] > 0
    assert run("index", "album", "--dry-run", "-q").stdout == ""


def test_a_dry_run_checks_paths_models_and_settings(run, index_album, album: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = run("index", "empty", "--dry-run")
    assert (empty.exit_code, empty.stderr) == (1, "warning: No photos were found there.\n")
    for wrong in (["albun"], ["album", "--detector", "mtcn"], ["album", "--min-face", "1"]):
        assert run("index", *wrong, "--dry-run").exit_code == 2
    index_album("album")
    for wrong in (["albun"], ["album", "--detector", "mtcnn"], ["album", "--flip"]):
        assert run("index", *wrong, "--dry-run").exit_code == 2


def test_a_dry_run_does_not_wait_for_a_writer(run, indexed: Path) -> None:
    with FaceIndex.open(write=True):
        assert run("index", "album").exit_code == 2
        assert run("index", "album", "--dry-run").exit_code == 0


def test_rows_that_are_zero_are_left_out(index_album, album: Path) -> None:
    index_album("album")
    lines = index_album("album").stdout.splitlines()
    assert lines[0].startswith("12 photos in ")
    assert [line.split() for line in lines[1:]] == [["unchanged", "12"], ["new", "faces", "0"]]


def test_a_tilde_in_quotes_is_the_home_folder(
    index_album, run, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = index_album("~/album", "--index", "~/people.faceindex", "--log", "~/run.log")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "people.faceindex").is_dir()
    assert (tmp_path / "run.log").is_file()
    monkeypatch.setenv("FACEINDEX_INDEX", "~/people.faceindex")
    assert run("index", "~/album").exit_code == 0
    assert find_index() == tmp_path / "people.faceindex"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_undecodable_names_are_kept_byte_by_byte(index_album, run, fake_models, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has file names that are no text")
    odd = fake_models.make_photo(tmp_path / "odd" / "plain.png", (64, 64, 128))
    odd.rename(odd.with_name("caf\udce9.png"))
    (odd.parent / "bad\udcff.jpg").write_text("no photo")
    result = index_album("odd")
    assert result.exit_code == 1
    assert "bad\\udcff.jpg" in result.stderr
    assert b"odd/caf\xe9.png" in run("faces", "--csv").stdout_bytes
    assert json.loads(run("faces", "--json").stdout)["faces"][0]["photo"] == "odd/caf\udce9.png"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_finished_work_is_kept_and_the_next_run_continues(
    number, start, index_album, fake_models, tmp_path
) -> None:
    fake_models.make_album(tmp_path / "album", people=4, photos=40)
    models = ("--detector", "fake", "--embedder", "fake")
    process = start("index", "album", "--json", "-v", *models, delay=0.02)
    first = next(line for line in process.stderr if b": 1 face" in line)
    assert first
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    document = json.loads(out)
    assert process.returncode == 1
    assert b"Stopping" in err
    assert document["interrupted"]
    assert 0 < document["new"] < 160
    rest = json.loads(index_album("album", "--json").stdout)
    assert (rest["unchanged"], rest["new"]) == (document["new"], 160 - document["new"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to one process")
def test_a_second_signal_quits_at_once(start, index_album, fake_models, tmp_path) -> None:
    fake_models.make_album(tmp_path / "album", people=4, photos=15)
    models = ("--detector", "fake", "--embedder", "fake")
    process = start("index", "album", "-v", *models, delay=0.1)
    next(line for line in process.stderr if b": 1 face" in line)
    process.send_signal(signal.SIGINT)
    next(line for line in process.stderr if b"Stopping" in line)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert index_album("album").exit_code == 0


def test_only_news_make_the_exit_code_1(index_album, album: Path) -> None:
    (album / "bad.jpg").write_text("no photo")
    assert index_album("album", "--fail-on", "never").exit_code == 0
    again = index_album("album")
    assert again.exit_code == 0
    assert "known before 1" in again.stdout
    assert "bad.jpg" not in again.stderr
    assert index_album("album", "--fail-on", "any").exit_code == 1
    asked = index_album("album", "--retry-failed")
    assert asked.exit_code == 1
    assert "bad.jpg" in asked.stderr
    assert index_album("album/bad.jpg").exit_code == 1
    wrong = index_album("album", "--fail-on", "sometimes")
    assert wrong.exit_code == 2
    assert "Choose new, any or never." in wrong.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ctime")
def test_content_changed_with_size_and_time_kept_is_counted(index_album, indexed: Path) -> None:
    path = indexed / "person0" / "0.png"
    content, before = path.read_bytes(), path.stat()
    path.write_bytes(content[:-20] + bytes(8) + content[-12:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = index_album("album", "--log", "log.txt")
    assert ["altered", "1"] in [line.split()[:2] for line in result.stdout.splitlines()]
    assert "content changed: " in Path("log.txt").read_text()
    planned = index_album("album", "--check-content", "--dry-run")
    assert ["compared", "11"] in [line.split()[:2] for line in planned.stdout.splitlines()]
    document = json.loads(index_album("album", "--check-content", "--json").stdout)
    assert (document["compared"], document["altered"]) == (11, 0)


def test_on_ray_without_the_extra_makes_no_index(index_album, album: Path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else find(name))
    result = index_album("album", "--on", "ray")
    assert result.exit_code == 2
    assert result.stderr == "error: Ray is not installed. Install it with `pip install 'faceindex[ray]'`.\n"
    assert find_index() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--actors", "2"], "--actors are of no use without --on. Pass --on ray too."),
        (["--on", "dask"], "--on is 'dask'. Choose `ray` for this machine"),
    ],
)
def test_engines_that_do_not_exist(index_album, album: Path, options: list[str], message: str) -> None:
    result = index_album("album", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert find_index() is None
