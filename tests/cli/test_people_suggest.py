"""`people suggest`, `split` and `why`, with a scripted terminal."""

from __future__ import annotations

import builtins
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceindex import FaceIndex
from faceindex.cli.render import Output

Script = Callable[..., None]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Make standard input and output a terminal on which these lines are typed; an exception is raised."""

    def script(*lines: str | type[BaseException]) -> None:
        typed = iter(lines)

        def answer(prompt: str = "") -> str:
            line = next(typed, EOFError)
            if not isinstance(line, str):
                raise line
            return line

        monkeypatch.setattr(builtins, "input", answer)
        monkeypatch.setattr(Output, "terminal", True)

    monkeypatch.setattr("faceindex.cli.people_suggest._is_terminal", lambda: True)
    monkeypatch.setattr("faceindex.cli.people_split._is_terminal", lambda: True)
    return script


def shown() -> dict[int, str | None]:
    with FaceIndex.open() as index:
        return {face.face: face.person for face in index.faces()}


def test_names_until_all_is_named(clustered: Path, run: Callable[..., Any], terminal: Script) -> None:
    terminal("Anna", "Ben", "Carl")
    result = run("people", "suggest", "--no-pictures")
    assert result.exit_code == 0, result.output
    assert "1. Who is this?" in result.stdout
    assert "settles 4 faces" in result.stdout
    assert "100% of the faces are named" in result.stdout
    assert "3 answers kept. 12 of 12 faces are named." in result.stdout
    assert sorted(set(filter(None, shown().values()))) == ["Anna", "Ben", "Carl"]
    assert run("people", "suggest").exit_code == 1


def test_others_decide_during_a_session(
    clustered: Path, run: Callable[..., Any], terminal: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is locked only while an answer is stored, and undo does not take back what others decided."""
    terminal("Anna", "u", "q")
    typed = builtins.input
    others = iter([("Ben", 1), ("Carl", 2)])

    def answer(prompt: str = "") -> str:
        for name, cluster in itertools.islice(others, 1):
            with FaceIndex.open(write=True) as index:
                index.people.name(name, clusters=[cluster])
        return typed(prompt)

    monkeypatch.setattr(builtins, "input", answer)
    result = run("people", "suggest", "--no-pictures")
    assert "Decision 2 is not the newest: decision 3 would be undone" in result.stdout
    assert "12 of 12 faces are named" in result.stdout


def test_undo_skip_and_slips(clustered: Path, run: Callable[..., Any], terminal: Script) -> None:
    terminal("u", "Joanna", "u", "Joanna", "Johanna", "n", "s", "q")
    result = run("people", "suggest", "--no-pictures")
    assert result.exit_code == 0, result.output
    assert "nothing to undo here" in result.stdout
    assert "Undone: people name" in result.stdout
    people = list(shown().values())
    assert (people.count("Joanna"), people.count(None)) == (8, 4)


def test_ignore_and_answers_that_do_not_fit(
    clustered: Path, run: Callable[..., Any], terminal: Script
) -> None:
    terminal("y", "?", "i", "7", "q")
    result = run("people", "suggest", "--no-pictures")
    assert "The question is who this is." in result.stdout
    assert "That is none of the answers." in result.stdout
    assert "looks like a cluster" in result.stdout
    assert "1 answer kept. 0 of 8 faces are named." in result.stdout


def test_interrupted_answers_are_kept(clustered: Path, run: Callable[..., Any], terminal: Script) -> None:
    terminal("Anna", KeyboardInterrupt)
    result = run("people", "suggest", "--no-pictures")
    assert result.exit_code == 130
    assert "1 answer kept." in result.stdout
    assert list(shown().values()).count("Anna") == 4


def test_lists_without_a_terminal(clustered: Path, run: Callable[..., Any]) -> None:
    text = run("people", "suggest", "--limit", "2")
    assert text.exit_code == 0
    assert text.stdout.count("Who is this?") == 2
    document = json.loads(run("people", "suggest", "--json").stdout)
    assert document["schema"] == "faceindex/suggest/1"
    assert [question["settles"] for question in document["questions"]] == [4, 4, 4]
    assert document["progress"] == {"faces": 12, "named": 0, "questions": 3, "share": 0.0}
    assert set(shown().values()) == {None}


def test_split_asks(clustered: Path, run: Callable[..., Any], terminal: Script) -> None:
    with FaceIndex.open(write=True) as index:
        one, other, _ = [row.cluster for row in index.clusters()]
        index.people.name("Anna", clusters=[one, other])
    terminal("n")
    refused = run("people", "split", "Anna")
    assert refused.exit_code == 1
    assert "4 faces would be split off, 4 stay" in refused.stdout
    assert "Nothing is changed." in refused.stdout
    terminal("y")
    done = run("people", "split", "Anna", "--name", "Ben")
    assert done.exit_code == 0, done.output
    assert "4 faces split off; they are Ben." in done.stdout
    assert list(shown().values()).count("Ben") == 4


def test_split_without_a_terminal(clustered: Path, run: Callable[..., Any]) -> None:
    refused = run("people", "split", "0")
    assert refused.exit_code == 2
    assert "Add --yes, or --dry-run" in refused.stderr
    chance = run("people", "split", "0", "--yes")
    assert chance.exit_code == 2
    assert "cannot be divided" in chance.stderr
    both = run("people", "split", "0", "1", "--yes")
    assert both.exit_code == 2
    assert "divides one person or one cluster" in both.stderr


def test_split_as_a_document(clustered: Path, run: Callable[..., Any]) -> None:
    with FaceIndex.open(write=True) as index:
        one, other, _ = [row.cluster for row in index.clusters()]
        index.people.name("Anna", clusters=[one, other])
    document = json.loads(run("people", "split", "Anna", "--dry-run", "--json").stdout)
    assert (document["schema"], document["decision"]) == ("faceindex/people-split/1", None)
    assert len(document["part"]) == len(document["rest"]) == 4
    assert document["clear"] is True


def test_why(clustered: Path, run: Callable[..., Any]) -> None:
    with FaceIndex.open(write=True) as index:
        face = next(iter(index.faces()))
        index.people.name("Anna", clusters=[face.cluster or 0])
    text = run("people", "why", f"f{face.face}")
    assert text.exit_code == 0, text.output
    assert "You named a cluster Anna that this face was in." in text.stdout
    assert "people name" in text.stdout
    document = json.loads(run("people", "why", f"f{face.face}", "--json").stdout)
    assert document["schema"] == "faceindex/people-why/1"
    assert document["best"] == "Anna"
    wrong = run("people", "why", "Anna")
    assert wrong.exit_code == 2
    assert "Anna is not a face." in wrong.stderr
