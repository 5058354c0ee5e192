"""``index --log``: a line for each event."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from faceindex.cli.log import RunLog
from faceindex.cli.render import Output
from faceindex.errors import UsageError
from faceindex.pipeline.events import PhotoDone


def lines_of(path: Path) -> list[tuple[str, str]]:
    """Event and text of each line, after a check of its time."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        time, event, text = line.split(" ", 2)
        assert datetime.fromisoformat(time).tzinfo is not None
        found.append((event.rstrip(":"), text))
    return found


def test_text_has_a_line_for_each_event(index_album, album: Path, tmp_path: Path) -> None:
    (album / "note.jpg").write_text("no photo")
    assert index_album("album", "--log", "run.log").exit_code == 1
    lines = lines_of(tmp_path / "run.log")
    photos = [text for event, text in lines if event == "photo"]
    assert photos[0] == f"{album / 'person0' / '0.png'}: 1 face"
    assert len(photos) == 12
    (failure,) = (text for event, text in lines if event == "failure")
    assert failure.startswith(f"{album / 'note.jpg'}: not an image")
    assert ("commit", "13 photos") in lines
    event, summary = lines[-1]
    assert event == "summary"
    assert re.match(
        r"photos 13, new 12, unreadable 1, new_unreadable 1, faces 12, opened 13, seconds [\d.]+, ", summary
    )
    assert (tmp_path / "run.log").stat().st_mode & 0o111 == 0


def test_a_second_run_is_appended(index_album, album: Path, tmp_path: Path) -> None:
    index_album("album", "--log", "run.log")
    for photo in album.glob("*/*.png"):
        photo.unlink()
    index_album("album", "--log", "run.log")
    lines = lines_of(tmp_path / "run.log")
    assert [event for event, _ in lines].count("summary") == 2
    (warning,) = (text for event, text in lines if event == "warning")
    assert "--prune" in warning


def test_json_lines(index_album, album: Path, tmp_path: Path) -> None:
    (album / "note.jpg").write_text("no photo")
    document = json.loads(index_album("album", "--json", "--log", "run.jsonl").stdout)
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert all(datetime.fromisoformat(line.pop("time")).tzinfo is not None for line in lines)
    assert {"event": "photo", "path": str(album / "person0" / "0.png"), "faces": 1, "note": None} in lines
    (failure,) = (line for line in lines if line["event"] == "failure")
    assert (failure["path"], failure["reason"]) == (str(album / "note.jpg"), "not an image")
    assert failure["problem"]
    assert failure["remedy"]
    assert {"event": "commit", "photos": 13} in lines
    document.pop("schema")
    assert lines[-1] == {"event": "summary", **document}


def test_errors_are_logged(run, indexed: Path, tmp_path: Path) -> None:
    assert run("index", "album", "--detector", "mtcnn", "--log", "run.log").exit_code == 2
    ((event, text),) = lines_of(tmp_path / "run.log")
    assert event == "error"
    assert "--detector" in text


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (".faceindex/run.log", "inside the index"),
        ("other/deeper/run.log", "inside the index"),
        ("album/person0/0.png", "named like a photo"),
        ("photo", "not a text file"),
        ("latin", "not a text file"),
        ("album", "cannot be opened: Is a directory"),
        ("nowhere/run.log", "cannot be opened: No such file"),
    ],
)
def test_wrong_files_are_errors_before_the_run(
    name: str, problem: str, index_album, album: Path, tmp_path: Path, fake_models
) -> None:
    other = fake_models.make_album(tmp_path / "others", people=1, photos=1)
    assert index_album(other, "--index", "other").exit_code == 0
    (tmp_path / "other" / "deeper").mkdir()
    shutil.copy(album / "person0" / "0.png", tmp_path / "photo")
    (tmp_path / "latin").write_bytes("caf\xe9\n".encode("latin-1"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = index_album("album", "--log", name)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_log_in_an_indexed_folder_is_not_indexed(index_album, album: Path) -> None:
    for _ in range(2):
        document = json.loads(index_album("album", "--json", "--log", "album/run.log").stdout)
        assert (document["photos"], document["ignored"]) == (12, 0)


def test_a_dry_run_has_no_log(run, indexed: Path, tmp_path: Path) -> None:
    assert run("index", "album", "--dry-run", "--log", "run.log").exit_code == 2
    assert not (tmp_path / "run.log").exists()


def test_text_may_be_cut_inside_a_letter(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("x" + "é" * 4000, encoding="utf-8")
    with RunLog(path, tmp_path / "index", Output()):
        pass


def test_control_characters_and_undecodable_bytes_stay_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with RunLog(path, tmp_path / "index", Output()) as log:
        log.on_event(PhotoDone("a\nb\udce9.jpg", 2))
    ((_, text),) = lines_of(path)
    assert text == "a\\nb\\udce9.jpg: 2 faces"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_the_log_and_not_the_run(index_album, album: Path) -> None:
    result = index_album("album", "--log", "/dev/full", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["new"] == 12
    assert result.stderr.count("The log /dev/full cannot be written: No space left on device.") == 1


def test_a_failure_of_the_program_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with pytest.raises(ZeroDivisionError), RunLog(path, tmp_path / "index", Output()):
        raise ZeroDivisionError("division by zero")
    assert lines_of(path) == [("error", "ZeroDivisionError: division by zero")]


def test_a_folder_above_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        RunLog(tmp_path / "a" / "b" / "run.log", tmp_path / "index", Output())
