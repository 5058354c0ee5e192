from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from faceindex.cli.inspect import _write_table
from faceindex.cli.render import Output

HEADER = "face,photo,x1,y1,x2,y2,score,similarity_to_cluster,cluster"


def test_csv_is_what_scripts_build_on(clustered, run) -> None:
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


def test_a_pipe_gets_csv_unasked(clustered, run) -> None:
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


def test_no_such_face_is_an_empty_answer(clustered, run) -> None:
    result = run("faces", "--cluster", "99")
    assert result.exit_code == 1
    assert result.stdout == HEADER + "\n"
    assert result.stderr


@pytest.mark.parametrize("args", [["--csv", "--json"], ["--cluster", "1", "--unclustered"]])
def test_contradictions_are_refused(args: list[str], indexed, run) -> None:
    assert run("faces", *args).exit_code == 2


def test_the_table_has_one_header(clustered, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from faceindex import FaceIndex

    monkeypatch.setattr("faceindex.cli.inspect._PAGE", 5)
    with FaceIndex.open() as index:
        assert _write_table(Output(), index.faces()) == 12
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["face", "cluster", "similarity", "score", "box", "photo"]
    assert len(lines) == 13
    assert len({line.index("album/") for line in lines[1:]}) == 1


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
    assert "chinese-whispers, min-size 3, seed 0" in after


def test_status_tells_of_the_unreadable(index_album, album, run) -> None:
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
    assert document["clustering"]["algorithm"] == "chinese-whispers"
    assert document["roots"][0]["given"] == "album"
    assert document["last_run"]["command"]
    assert document["bytes"]["vectors.f32"] == 12 * 16 * 4
