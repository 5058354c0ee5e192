"""``faceindex import``: names of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceindex.api.album_sources import READERS, read_album
from faceindex.cli.importing import app
from faceindex.errors import UsageError

TABLE = "photo,x1,y1,x2,y2,name\n"


def people(run: Callable[..., Any]) -> dict[str, int]:
    """The number of confirmed faces of each person."""
    return {row["name"]: row["confirmed"] for row in json.loads(run("people", "--json").stdout)["people"]}


def test_folders_name_the_faces(run: Callable[..., Any], indexed: Path) -> None:
    done = run("import", "folders", "album", "--dry-run")
    assert "12 photos, 12 names of photos; dry run, nothing is stored" in done.stdout
    assert done.exit_code == 0
    done = run("import", "folders", "album")
    assert "named by the photo  12  its only face" in " ".join(done.stdout.splitlines())
    assert "3 people, 3 of them new." in done.stdout
    assert run("cluster").exit_code == 0
    assert people(run) == {"person0": 4, "person1": 4, "person2": 4}
    again = json.loads(run("import", "folders", "album", "--json").stdout)
    assert again["schema"] == "faceindex/import/1"
    assert (again["placeless_known"], again["decision"], again["program"]) == (12, None, "Folders")
    assert run("people", "undo", "--yes").exit_code == 0
    assert people(run) == {}


def test_a_table_names_adds_and_reports(run: Callable[..., Any], clustered: Path, tmp_path: Path) -> None:
    rows = [
        "person0/0.png,24,24,72,72,Anna",
        "person0/1.png,2,30,24,54,Ben",
        "person9/x.png,1,1,9,9,Ben",
        ",,,,,X",
    ]
    (tmp_path / "names.csv").write_text(TABLE + "\n".join(rows))
    done = run("import", "csv", "names.csv", "--photos", "album", "-v")
    assert done.exit_code == 1
    assert "line 5: It has no photo." in done.stderr
    assert "not in the index: person9/x.png" in done.stderr
    assert people(run) == {"Anna": 1, "Ben": 1}
    (tmp_path / "names.csv").write_text(TABLE + "person0/0.png,24,24,72,72,Carla")
    done = run("import", "csv", "names.csv", "--photos", "album")
    assert done.exit_code == 1
    assert "person0/0.png, Carla: The face is Anna here." in done.stderr
    assert run("import", "csv", "names.csv", "--photos", "album", "--prefer", "file").exit_code == 0
    assert people(run) == {"Anna": 0, "Carla": 1, "Ben": 1}
    assert "import csv" in run("people", "log").stdout
    assert run("import", "csv", "names.csv", "--prefer", "both").exit_code == 2
    assert run("import", "csv", "names.csv", "--photos", "nowhere").exit_code == 2
    assert run("import", "csv", "other.csv").exit_code == 2
    assert run("import", "csv", "names.csv", "--photos", "album", "-q").stdout == ""


def test_a_table_of_faces_is_read_back(run: Callable[..., Any], clustered: Path, tmp_path: Path) -> None:
    run("people", "name", "0", "Anna")
    table = run("faces", "--csv").stdout
    assert run("people", "undo", "--yes").exit_code == 0
    assert people(run) == {}
    (tmp_path / "faces.csv").write_text(table)
    assert run("import", "csv", "faces.csv").exit_code == 0
    assert people(run) == {"Anna": 4}


def test_each_program_has_a_command_and_a_reader() -> None:
    assert {command.name for command in app.registered_commands} == READERS.keys()
    with pytest.raises(UsageError, match="no reader"):
        read_album("other", ".")


@pytest.mark.parametrize("program", sorted(READERS))
def test_each_reader_says_what_it_cannot_read(program: str, run: Callable[..., Any], indexed: Path) -> None:
    pytest.importorskip(f"faceindex.interchange.{READERS[program].partition(':')[0]}")
    done = run("import", program, "nowhere")
    assert done.exit_code == 2
    assert "nowhere" in done.stderr
