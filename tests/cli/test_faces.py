from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from faceindex.api import Face
from faceindex.cli.face_rows import print_faces
from faceindex.cli.render import Output

HEADER = "face,photo,x1,y1,x2,y2,score,similarity_to_cluster,cluster,quality,turn,person,confirmed,by_hand"


def test_csv_has_stable_columns(clustered, run) -> None:
    text = run("faces", "--csv").stdout
    assert text.startswith(HEADER + "\n")
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 12
    assert rows[0]["photo"] == "album/person0/0.png"
    assert [rows[0][name] for name in ("x1", "y1", "x2", "y2", "score")] == [
        "24.0",
        "24.0",
        "72.0",
        "72.0",
        "0.9000",
    ]
    assert re.fullmatch(r"[01]\.\d{6}", rows[0]["similarity_to_cluster"])
    assert {row["cluster"] for row in rows} == {"0", "1", "2"}


def test_a_pipe_gets_csv_by_default(clustered, run) -> None:
    assert run("faces").stdout == run("faces", "--csv").stdout


def test_cells_are_empty_without_a_cluster(indexed, run) -> None:
    row = next(csv.DictReader(io.StringIO(run("faces").stdout)))
    assert (row["similarity_to_cluster"], row["cluster"]) == ("", "")


def test_json_has_the_same_rows(clustered, run) -> None:
    document = json.loads(run("faces", "--json").stdout)
    assert document["schema"] == "faceindex/faces/1"
    rows = list(csv.DictReader(io.StringIO(run("faces").stdout)))
    assert [str(face["face"]) for face in document["faces"]] == [row["face"] for row in rows]
    assert {face["similarity_to_cluster"] for face in document["faces"]} == {
        float(row["similarity_to_cluster"]) for row in rows
    }
    assert all(Path(face["path"]).is_file() for face in document["faces"])


def test_filters(clustered, run) -> None:
    def photos(*args: str) -> list[str]:
        return [face["photo"] for face in json.loads(run("faces", "--json", *args).stdout)["faces"]]

    assert photos("--photo", "person1") == [f"album/person1/{n}.png" for n in range(4)]
    assert len(photos("--cluster", "2")) == 4
    assert photos("--unclustered") == []
    assert photos("--photo", "person1", "--cluster", "0") in ([], photos("--photo", "person1"))


def test_no_match_is_an_empty_answer(clustered, run) -> None:
    result = run("faces", "--photo", "person7")
    assert result.exit_code == 1
    assert result.stdout == HEADER + "\n"
    assert result.stderr == "No faces match.\n"


def test_an_index_without_faces(index_album, run, fake_models, tmp_path: Path) -> None:
    fake_models.make_photo(tmp_path / "dark" / "a.png", fake_models.NOBODY)
    index_album("dark")
    result = run("faces")
    assert (result.exit_code, result.stdout) == (1, HEADER + "\n")
    assert result.stderr == "The index has no faces.\n"


QUESTIONS = [
    ("faces", "--cluster", "{n}"),
    ("clusters", "{n}"),
    ("clusters", "--open", "{n}"),
    ("clusters", "{n}", "--save", "a.png"),
]


@pytest.mark.parametrize("number", ["99", "-1"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_every_command_reports_a_missing_cluster_alike(question, number: str, clustered, run) -> None:
    result = run(*(word.format(n=number) for word in question))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"error: There is no cluster {number}. `faceindex clusters` lists the clusters.\n"


@pytest.mark.parametrize("question", [*QUESTIONS, ("clusters",)])
def test_every_command_reports_missing_clusters_alike(question, indexed, run) -> None:
    result = run(*(word.format(n=0) for word in question))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: The faces have not been grouped into people yet. Run `faceindex cluster`.\n"
    )


def test_absolute_paths(clustered, run, tmp_path: Path) -> None:
    names = [row["photo"] for row in csv.DictReader(io.StringIO(run("faces").stdout))]
    paths = [row["photo"] for row in csv.DictReader(io.StringIO(run("faces", "--absolute").stdout))]
    assert paths == [str(tmp_path / name) for name in names]
    faces = json.loads(run("faces", "--absolute", "--json").stdout)["faces"]
    assert [face["photo"] for face in faces] == [face["path"] for face in faces] == paths
    assert run("faces", "--absolute", "--photo", paths[0]).exit_code == 0


@pytest.mark.parametrize("args", [["--csv", "--json"], ["--cluster", "1", "--unclustered"]])
def test_contradictory_options(args: list[str], indexed, run) -> None:
    assert run("faces", *args).exit_code == 2


def test_a_long_table_has_one_header_and_aligned_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "terminal", True)
    faces = [
        Face(i, f"album/{i}.png", f"/album/{i}.png", (1, 2, 30, 40), 0.9, 0.7, 0, i, 0.5) for i in range(450)
    ]
    assert print_faces(Output(), iter(faces), as_csv=False, absolute=False) == 450
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["face", "cluster", "similarity", "quality", "score", "box", "photo"]
    assert len(lines) == 451
    assert len({line.index("album/") for line in lines[1:]}) == 1
