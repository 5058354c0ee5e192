"""`faceindex people` and its commands, on an album of three people with four photos each."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceindex import FaceIndex

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def decide(clustered: Path, run: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Run a command that makes a decision; return its document."""

    def decide(*args: str) -> dict[str, Any]:
        result = run("people", *args, "--json")
        assert result.exit_code == 0, result.stderr
        document: dict[str, Any] = json.loads(result.stdout)
        assert document["schema"] == "faceindex/people-decision/1"
        assert document["verb"] == args[0]
        return document

    return decide


def people(run: Callable[..., Any], *args: str) -> dict[str, dict[str, Any]]:
    document = json.loads(run("people", "--json", *args).stdout)
    assert document["schema"] == "faceindex/people/1"
    return {person["name"]: person for person in document["people"]}


def shown(run: Callable[..., Any]) -> dict[int, str]:
    rows = csv.DictReader(io.StringIO(run("faces").stdout))
    return {int(row["face"]): row["person"] for row in rows if row["person"]}


def test_a_cluster_is_named(decide, run) -> None:
    document = decide("name", "1", "Anna  Maria")
    assert (document["people"], document["faces"], document["moved"]) == (["Anna Maria"], 4, 0)
    assert document["decision"] == 1
    assert document["summary"] == "Anna Maria: 4 faces named."
    (anna,) = people(run).values()
    assert (anna["clusters"], anna["faces"], anna["photos"]) == ([1], 4, 4)
    assert (anna["named"], anna["confirmed"]) == (4, 0)
    assert shown(run) == dict.fromkeys((5, 6, 7, 8), "Anna Maria")


def test_faces_that_are_named_one_by_one_are_confirmed(decide, run) -> None:
    decide("name", "f1", "face:2", "Anna")
    rows = list(csv.DictReader(io.StringIO(run("faces", "--person", "ANNA").stdout)))
    assert [(row["face"], row["confirmed"]) for row in rows] == [
        *(("1", "yes"), ("2", "yes"), ("3", ""), ("4", ""))
    ]
    assert people(run)["Anna"]["confirmed"] == 2


def test_naming_takes_faces_from_another_person(decide, run) -> None:
    decide("name", "0", "Anna")
    document = decide("name", "f1", "Ben")
    assert document["summary"] == "Ben: 1 face named, 1 of them Anna until now; 1 face changed cluster."
    assert shown(run) == {1: "Ben", 2: "Anna", 3: "Anna", 4: "Anna"}


def test_a_dry_run_stores_nothing(decide, run) -> None:
    for command in (("name", "0", "Anna"), ("ignore", "1"), ("same", "f1", "f5"), ("not-a-face", "f3")):
        document = decide(*command, "--dry-run")
        assert document["dry_run"]
        assert document["decision"] is None
        assert document["faces"]
        assert run("people", *command, "--dry-run").stdout.startswith("Dry run, nothing is stored.")
    assert people(run) == {}
    assert json.loads(run("people", "log", "--json").stdout)["decisions"] == []


def test_a_rejected_face_leaves_and_can_be_named_again(decide, run) -> None:
    decide("name", "0", "1", "Anna")
    document = decide("reject", "f1")
    assert document["people"] == ["Anna"]
    assert 1 not in shown(run)
    run("cluster", "--rebuild")
    assert 1 not in shown(run)
    decide("name", "f1", "anna")
    assert shown(run)[1] == "Anna"


def test_confirm_as_and_reject_from(decide, run) -> None:
    decide("name", "0", "Anna")
    decide("name", "1", "Ben")
    assert decide("confirm", "f1", "--as", "ben")["people"] == ["Ben"]
    assert shown(run)[1] == "Ben"
    assert decide("confirm", "0")["summary"] == "Anna: 3 faces confirmed."
    decide("reject", "f1", "--from", "Ben")
    assert shown(run).get(1) != "Ben"


def test_nobody_is_in_no_cluster(decide, run) -> None:
    assert decide("ignore", "f1", "1")["faces"] == 5
    assert decide("not-a-face", "f9")["moved"] == 1
    rows = csv.DictReader(io.StringIO(run("faces", "--unclustered").stdout))
    assert [int(row["face"]) for row in rows] == [1, 5, 6, 7, 8, 9]
    assert run("people", "ignore", "f1").stdout == "Nothing changes: the faces are ignored already.\n"


def test_same_and_different_take_the_middle_of_clusters(decide, run) -> None:
    decide("same", "0", "1")
    with FaceIndex.open() as index:
        assert len({face.cluster for face in index.faces() if face.face in (1, 5)}) == 1
    decide("name", "f9", "Anna")
    document = decide("different", "anna", "f1")
    assert document["summary"] == "anna and f1 show two people."
    assert run("people", "same", "anna", "f1").exit_code == 0  # the later word counts


def test_rename_merge_and_fields(decide, run) -> None:
    decide("name", "0", "Anna")
    decide("name", "1", "Ben")
    assert decide("rename", "anna", "Anna Maria")["summary"] == "Anna is called Anna Maria now."
    decide("born", "anna maria", "1950-6-1")
    decide("died", "Anna Maria", "2001")
    decide("note", "Anna Maria", "a note")
    anna = people(run)["Anna Maria"]
    assert (anna["born"], anna["died"], anna["note"]) == ("1950-06-01", "2001", "a note")
    decide("born", "anna maria", "-")
    decide("note", "anna maria", "-")
    person = json.loads(run("people", "show", "anna maria", "--json").stdout)["person"]
    assert (person["born"], person["note"]) == (None, None)
    decide("hide", "ben")
    assert list(people(run)) == ["Anna Maria"]
    assert people(run, "--all")["Ben"]["hidden"]
    decide("unhide", "ben")
    assert len(people(run)) == 2
    decide("merge", "anna maria", "ben")
    assert people(run)["Anna Maria"]["faces"] == 8


def test_csv_in_a_pipe(decide, run) -> None:
    result = run("people")
    assert result.exit_code == 1
    assert "faceindex people name 0 Anna" in result.stderr
    decide("name", "0", "2", "Anna, the elder")
    (row,) = csv.DictReader(io.StringIO(run("people").stdout))
    assert (row["name"], row["faces"], row["clusters"]) == ("Anna, the elder", "8", "0 2")
    assert run("people", "--csv").stdout == run("people").stdout


_WRONG = (
    (("name", "0", "Anna", "Maria"), "'Anna Maria'"),
    (("name", "Anna"), "nothing to give the name"),
    (("name", "0", "1"), "The name is missing"),
    (("name", "99", "Anna"), "There is no cluster 99"),
    (("name", "f99", "Anna"), "There is no face 99"),
    (("name", "9" * 30, "Anna"), "too large"),
    (("name", "0", "  "), "empty"),
    (("rename", "bob", "Ben"), "Did you mean 'Bo Derek'?"),
    (("rename", "Bo Derek", "clara"), "merge the two"),
    (("confirm", "f1", "--as", "Klara"), "Did you mean 'Clara'?"),
    (("confirm", "f9"), "in no cluster of a person"),
    (("confirm", "clara"), "Clara is a person"),
    (("merge", "clara"), "two or more"),
    (("merge", "clara", "Clara"), "itself"),
    (("same", "0", "1"), "Merge these people"),
    (("same", "0"), "two or more"),
    (("born", "clara", "1.1.1950"), "1950-06-14"),
    (("show", "7"), "Nobody has the name '7'"),
    (("Clara",), "faceindex people show Clara"),
    (("undo",), "--yes"),
    (("undo", "0", "--yes"), "1 or more"),
    (("--csv", "--json"), "Choose one"),
)


def test_wrong_usage_changes_nothing(decide, run) -> None:
    decide("name", "0", "Bo Derek")
    decide("name", "1", "Clara")
    before = run("people", "log").stdout, run("people").stdout
    for args, word in _WRONG:
        result = run("people", *args)
        assert (args, result.exit_code) == (args, 2)
        assert word in result.stderr, args
    assert (run("people", "log").stdout, run("people").stdout) == before


def test_without_clusters_and_without_an_index(indexed, run, tmp_path: Path) -> None:
    for command in ("people", "people name 1 Anna", "people confirm f1 --as Anna", "people ignore 1"):
        result = run(*command.split())
        assert result.exit_code in (1, 2)
        assert result.stdout == ""
    assert "Run `faceindex cluster`" in run("people", "name", "f1", "Anna").stderr
    assert "faceindex index" in run("people", "name", "1", "Anna", "--index", tmp_path / "none").stderr


def test_another_writer(clustered, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceindex.cli.people_name.WAIT", 0.01)
    with FaceIndex.open(write=True):
        result = run("people", "name", "0", "Anna")
        assert run("people").exit_code == 1  # readers do not wait
    assert result.exit_code == 2
    assert str(os.getpid()) in result.stderr


def test_undo_restores_and_is_a_decision_itself(decide, run) -> None:
    decide("name", "0", "Anna")
    before = shown(run)
    decide("name", "f1", "f5", "Ben")
    decide("rename", "Anna", "Ann")
    planned = json.loads(run("people", "undo", "2", "--dry-run", "--json").stdout)
    assert planned["schema"] == "faceindex/people-undo/1"
    assert planned["dry_run"]
    assert [each["entry"]["number"] for each in planned["undone"]] == [3, 2]
    assert shown(run) != before
    done = json.loads(run("people", "undo", "2", "--yes", "--json").stdout)
    assert [each["change"]["number"] for each in done["undone"]] == [4, 5]
    assert shown(run) == before
    rows = list(csv.DictReader(io.StringIO(run("people", "log").stdout)))
    assert [row["undone_by"] for row in rows] == ["", "", "4", "5", ""]
    assert rows[2]["command"] == "people rename Anna Ann"
    assert len(list(csv.DictReader(io.StringIO(run("people", "log", "-n", "2").stdout)))) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX systems")
@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 1)])
def test_undo_waits_for_an_answer(decide, run, tmp_path: Path, answer: bytes, code: int) -> None:
    import pty

    decide("name", "0", "Anna")
    master, slave = pty.openpty()
    program = "import fakes; fakes.register_fakes(); from faceindex.cli.app import main; main()"
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    os.write(master, answer)
    done = subprocess.run(
        [sys.executable, "-c", program, "people", "undo"], stdin=slave, capture_output=True, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    os.close(slave)
    os.close(master)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith("This will be undone:\n  1. people name 0 Anna\n")
    assert bool(people(run)) is (code != 0)


# Names from CSV --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "face,person\nf1,Anna\n2,Anna\n3,\nf5,Ben\n",
        "\ufefface;Person;more\r\nf1;Anna;x\r\n2;Anna;x\r\n3;;x\r\nf5;Ben;x\r\n",
        'person\tface\n"Anna"\t1\nAnna\tface:2\n\nBen\tf5\n',
    ],
)
def test_names_from_csv_are_one_decision(decide, run, tmp_path: Path, text: str) -> None:
    (tmp_path / "names.csv").write_text(text.replace("\ufefface", "\ufeffface"), "utf-8", newline="")
    assert decide("name", "--from", "names.csv", "--dry-run")["people"] == ["Anna", "Ben"]
    document = decide("name", "--from", "names.csv")
    assert (document["people"], document["faces"]) == (["Anna", "Ben"], 3)
    assert (people(run)["Anna"]["confirmed"], people(run)["Ben"]["confirmed"]) == (2, 1)
    run("people", "undo", "--yes")
    assert people(run) == {}


def test_clusters_from_csv(decide, run, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("cluster,person\n0,Anna\nc1,Ben\n2,anna\n")
    assert decide("name", "--from", "names.csv")["faces"] == 12
    assert people(run)["Anna"]["clusters"] == [0, 2]


def test_all_wrong_rows_are_listed_and_nothing_is_stored(clustered, run, tmp_path: Path) -> None:
    rows = b"face,person\n1,Anna\n99,Anna\nx,Anna\nc1,Anna\n1,Ben\n2,f7\n3,\xfcml\n4,anna\n"
    (tmp_path / "names.csv").write_bytes(rows)
    result = run("people", "name", "--from", "names.csv")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines[:-1]] == [
        f"names.csv, line {line}" for line in (3, 4, 5, 6, 7, 8)
    ]
    assert lines[-1].startswith("error: 6 rows are wrong in names.csv; nothing is stored.")
    assert people(run) == {}
    assert json.loads(run("people", "name", "--from", "names.csv", "--json").stdout)["exit_code"] == 2


def test_an_edited_table_of_faces_is_read_back(decide, run, tmp_path: Path) -> None:
    decide("name", "0", "Anna")
    text = run("faces").stdout
    (tmp_path / "faces.csv").write_text(text)
    result = run("people", "name", "--from", "faces.csv")
    assert result.exit_code == 1
    assert "nothing is stored" in result.stderr
    lines = text.splitlines()
    lines[5] = lines[5].removesuffix(",,,") + ",Ben,,"
    (tmp_path / "faces.csv").write_text("\n".join(lines))
    assert decide("name", "--from", "faces.csv")["faces"] == 1
    assert shown(run)[5] == "Ben"
    assert people(run)["Anna"]["confirmed"] == 0


@pytest.mark.parametrize(
    ("text", "word"), [("photo,label\na,b\n", "photo, label"), ("", "nothing"), ("face\n1\n", "face")]
)
def test_files_without_the_columns(clustered, run, tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "names.csv").write_text(text)
    result = run("people", "name", "--from", "names.csv")
    assert result.exit_code == 2
    assert f"its first line has: {word}" in result.stderr


# Journals --------------------------------------------------------------------------------------


def test_decisions_move_to_another_index(decide, run, index_album) -> None:
    decide("name", "0", "Anna")
    decide("confirm", "f2")
    assert run("people", "export", "people.jsonl").stdout == "Wrote 2 decisions to people.jsonl.\n"
    index_album("album", "--index", "other")
    run("cluster", "--index", "other")
    planned = json.loads(
        run("people", "apply", "people.jsonl", "--dry-run", "--json", "--index", "other").stdout
    )
    assert (planned["schema"], planned["decisions"], planned["dry_run"]) == (
        *("faceindex/people-apply/1", 2, True),
    )
    assert people(run, "--index", "other") == {}
    assert run("people", "apply", "people.jsonl", "--index", "other").exit_code == 0
    assert people(run, "--index", "other")["Anna"]["confirmed"] == 1
    again = run("people", "apply", "people.jsonl", "--index", "other")
    assert again.stdout == "0 decisions applied, 2 known already.\n"


def test_conflicts_are_listed_and_left_out(decide, run, index_album) -> None:
    index_album("album", "--index", "other")
    run("cluster", "--index", "other")
    decide("name", "f1", "Anna")
    run("people", "export", "people.jsonl")
    run("people", "name", "f1", "Ben", "--index", "other")
    result = run("people", "apply", "people.jsonl", "--index", "other")
    assert result.exit_code == 1
    assert "warning: `people name f1 Anna`" in result.stderr
    assert "1 conflict" in result.stdout
    result = run("people", "apply", "people.jsonl", "--prefer", "other", "--index", "other")
    assert result.exit_code == 2
    assert "Choose file or index" in result.stderr


# Names in other commands -----------------------------------------------------------------------


def test_clusters_and_faces_take_names(decide, run) -> None:
    decide("name", "0", "1", "Anna")
    rows = list(csv.DictReader(io.StringIO(run("clusters").stdout)))
    assert [row["person"] for row in rows] == ["Anna", "Anna", ""]
    found = json.loads(run("clusters", "--json").stdout)["clusters"]
    assert [cluster["person"] for cluster in found] == ["Anna", "Anna", None]
    faces = run("faces", "--person", "Anna").stdout
    assert len(faces.splitlines()) == 9
    assert run("faces", "--cluster", "anna").stdout == faces
    assert run("faces", "--cluster", "c1").stdout == run("faces", "--cluster", "1").stdout
    assert sorted(run("clusters", "anna").stdout.splitlines()) == sorted(faces.splitlines())
    assert run("clusters", "anna", "--save", "anna.png").exit_code == 0
    assert Path("anna.png").stat().st_size
    assert "f1' is a face" in run("clusters", "f1").stderr
    result = run("faces", "--person", "Hanna")
    assert result.exit_code == 2
    assert "Did you mean 'Anna'?" in result.stderr
    status = json.loads(run("status", "--json").stdout)
    assert (status["people"], status["decisions"]) == (1, 1)


def test_a_face_that_was_missed_is_added(decide, run, clustered: Path) -> None:
    photo = json.loads(run("faces", "--json").stdout)["faces"][0]["photo"]
    decide("name", "0", "Anna")
    document = decide("add-face", photo, "2,30,24,54", "Anna", "--dry-run")
    assert (document["decision"], document["dry_run"], len(shown(run))) == (None, True, 4)
    document = decide("add-face", photo, "2,30,24,54", "Anna")
    assert (document["decision"], document["faces"], document["moved"]) == (2, 1, 1)
    assert document["summary"] == f"Anna: face {document['face']} is added."
    rows = list(csv.DictReader(io.StringIO(run("faces").stdout)))
    assert {row["by_hand"]: row["person"] for row in rows[-1:]} == {"yes": "Anna"}
    assert not any(row["by_hand"] for row in rows[:-1])
    undone = run("people", "undo", "--yes")
    assert "removes 1 face that you drew" in " ".join(undone.stdout.split())
    for box in ("1,2,3", "a,b,c,d", "10"):
        result = run("people", "add-face", photo, box)
        assert (result.exit_code, "is not a box" in result.stderr) == (2, True)
    assert "is at this place already" in run("people", "add-face", photo, "26,26,70,70").stderr
    known = decide("add-face", photo, "26,26,70,70", "Ben")
    assert known["summary"].startswith("Ben: face 1, which the index had already, is named")


def test_a_short_writer_is_waited_for(clustered: Path, run: Callable[..., Any]) -> None:
    writer = FaceIndex.open(write=True)
    timer = threading.Timer(0.05, writer.close)
    timer.start()
    result = run("people", "name", "0", "Anna")
    timer.join()
    assert result.exit_code == 0, result.output
