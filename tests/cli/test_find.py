from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faceindex import FaceIndex
from faceindex.cli import find as command
from faceindex.cli.find import complete_query
from faceindex.errors import FaceIndexError
from faceindex.export.state import StateFolder
from faceindex.people.dates import first_second
from faceindex.store import Store

Run = Callable[..., Any]
CONTEXT = SimpleNamespace(params={"index": None})


@pytest.fixture
def named(clustered: Path) -> Path:
    """Anna, Ben and an unnamed cluster on four photos each; one photo of Anna has a date."""
    with FaceIndex.open(".faceindex", write=True) as index:
        faces = {Path(face.path).parent.name: face for face in index}
        for folder, name in (("person0", "Anna Maria"), ("person1", "Ben & Co.")):
            cluster = faces[folder].cluster
            assert cluster is not None
            index.people.name(name, clusters=[cluster])
    return clustered


def lines(folder: str) -> list[str]:
    return [f"album/{folder}/{number}.png" for number in range(4)]


def test_prints_paths(named: Path, run: Run) -> None:
    result = run("find", "anna maria")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == lines("person0")
    assert result.stderr == ""
    assert run("find", "Anna", "Maria", "or", "'ben & co.'").stdout.splitlines() == [
        *lines("person0"),
        *lines("person1"),
    ]
    assert run("find", "!'Ben & Co.' & anybody", "--only").exit_code == 0


def test_other_forms(named: Path, run: Run) -> None:
    assert run("find", "unnamed", "--count").stdout == "4\n"
    zero = run("find", "Anna Maria", "-0", "--absolute").stdout
    assert zero.split("\0") == [*(str(named.parent / line) for line in lines("person0")), ""]
    document = json.loads(run("find", "Anna Maria", "--json").stdout)
    assert document["schema"] == "faceindex/find/1"
    assert document["query"] == "Anna Maria"
    assert [photo["photo"] for photo in document["photos"]] == lines("person0")
    first = document["photos"][0]
    assert first["path"] == str(named / "person0" / "0.png")
    assert (first["people"], first["taken"], len(first["faces"])) == (["Anna Maria"], None, 1)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode")
def test_a_pipe_gets_the_bytes_of_names(named: Path, run: Run) -> None:
    (named / "person0" / "0.png").rename(named / "person0" / os.fsdecode(b"\xff.png"))
    assert run("index", "album").exit_code == 0
    assert b"album/person0/\xff.png\n" in run("find", "Anna Maria").stdout_bytes


def test_nothing_found(named: Path, run: Run) -> None:
    for words in (("Anna Maria & 'Ben & Co.'",), ("nobody", "--json"), ("nobody", "--count")):
        result = run("find", *words)
        assert result.exit_code == 1
        assert result.stderr == "No photos found.\n"
    assert run("find", "nobody").stdout == ""
    assert run("find", "nobody", "--count").stdout == "0\n"
    assert json.loads(run("find", "nobody", "--json").stdout)["photos"] == []


def test_dates(named: Path, run: Run) -> None:
    result = run("find", "Anna Maria", "--since", "1950")
    assert result.exit_code == 1
    assert result.stderr == "No photos found; 4 photos without a capture date left out.\n"
    with Store.open(".faceindex", write=True) as store:
        record = next(p for p in store.photos().values() if p.relpath == "person0/2.png")
        store._catalog.execute(
            "UPDATE images SET taken = ? WHERE id = ?", (first_second("1950-12-31"), record.id)
        )
    result = run("find", "Anna Maria", "--until", "1950")
    assert (result.exit_code, result.stdout) == (0, "album/person0/2.png\n")
    assert result.stderr == "3 photos without a capture date left out.\n"
    with FaceIndex.open(".faceindex", write=True) as index:
        index.people.born("Anna Maria", "1946")
    for ages, code in (("4", 0), ("3..5", 0), ("3-5", 0), ("4..", 0), ("..4", 0), ("5..", 1), ("..2", 1)):
        assert run("find", "--age-of", "Anna Maria", ages).exit_code == code, ages
    assert run("find", "Anna Maria", "--sort", "date").stdout.splitlines()[0] == "album/person0/2.png"


def test_link(named: Path, run: Run) -> None:
    result = run("find", "Anna Maria", "--link", "links")
    assert result.stdout.splitlines() == lines("person0")
    assert result.stderr == "links: 4 symbolic links; 4 written, 0 unchanged, 0 removed\n"
    assert sorted(p.name for p in Path("links").glob("*.png")) == ["0.png", "1.png", "2.png", "3.png"]
    assert Path("links/0.png").resolve() == named / "person0" / "0.png"
    # Ours are brought up to date; foreign files stay.
    (Path("links") / "2.png").unlink()
    (Path("links") / "2.png").write_text("mine")
    result = run("find", "Anna Maria | unnamed", "--link", "links", "--count")
    assert result.stdout == "8\n"
    assert result.exit_code == 1
    assert "2.png is left as it is" in result.stderr
    assert (Path("links") / "2.png").read_text() == "mine"
    assert len(list(Path("links").glob("*.png"))) == 8
    assert run("find", "unnamed", "--link", "links").exit_code == 1  # one of them has the name of mine
    assert (Path("links") / "2.png").read_text() == "mine"
    assert {p.resolve().parent.name for p in Path("links").glob("*.png") if p.is_symlink()} == {"person2"}


@pytest.mark.parametrize("possible", ["hardlink", "copy"])
def test_link_where_symbolic_links_are_impossible(
    named: Path, run: Run, possible: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_part = StateFolder.link_part

    def refuse(self: StateFolder, target: Any, how: Any) -> str:
        if how == possible:
            return link_part(self, target, how)
        raise FaceIndexError("Impossible.", "Copy it.")

    monkeypatch.setattr(StateFolder, "link_part", refuse)
    for written in (4, 0):
        result = run("find", "Anna Maria", "--link", "links")
        kind = "hard links" if possible == "hardlink" else "copies"
        assert result.stderr == f"links: 4 {kind}; {written} written, {4 - written} unchanged, 0 removed\n"
    for number in range(4):
        made, photo = Path(f"links/{number}.png"), named / "person0" / f"{number}.png"
        assert not made.is_symlink()
        assert made.read_bytes() == photo.read_bytes()
        assert made.samefile(photo) == (possible == "hardlink")


def test_link_keeps_links_to_photos_that_are_gone(named: Path, run: Run) -> None:
    assert run("find", "Anna Maria", "--link", "links").exit_code == 0
    (named / "person0" / "1.png").unlink()
    result = run("find", "Anna Maria", "--link", "links")
    assert result.exit_code == 1
    assert "1.png" in result.stderr
    assert (Path("links") / "1.png").is_symlink()
    assert result.stdout.splitlines() == lines("person0")  # until `index` runs again


def test_link_refuses_the_album(named: Path, run: Run) -> None:
    result = run("find", "Anna Maria", "--link", "album")
    assert result.exit_code == 2
    assert "Choose a new folder" in result.stderr


def test_open(named: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(command, "open_in_viewer", lambda path: opened.append(path.name))
    (named / "person0" / "1.png").unlink()
    result = run("find", "Anna Maria", "--open")
    assert opened == ["0.png", "2.png", "3.png"]
    assert result.exit_code == 1
    assert "1.png is gone" in result.stderr
    assert result.stdout.splitlines() == lines("person0")
    opened.clear()
    result = run("find", "anybody", "--open")
    assert (result.exit_code, result.stdout, opened) == (2, "", [])
    assert "12 photos would be opened" in result.stderr
    run("find", "anybody", "--open", "--yes")
    assert len(opened) == 11


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Nothing is given to find"),
        (["Anna", "&"], "The query lacks a name after `&` at character 6."),
        (["Anna"], "Did you mean 'Anna Maria'?"),
        (["f3"], "is one face"),
        (["c99"], "There is no cluster 99"),
        (["c1", "--json", "--count"], "--json and --count exclude each other"),
        (["c1", "-0", "--count"], "--print0 and --count exclude each other"),
        (["c1", "--sort", "size"], "no order 'size'"),
        (["c1", "--since", "June"], "'June' is not a date"),
        (["c1", "--since", "1960", "--until", "1950"], "--since 1960 is after --until 1950"),
        (["!c1", "--only"], "--only needs a name"),
        (["--age-of", "Anna Maria", "young"], "'young' in --age-of is no age"),
        (["--age-of", "Anna Maria", ".."], "'..' in --age-of is no age"),
        (["--age-of", "Anna Maria", "3"], "`faceindex people born NAME DATE`"),
        (["--age-of", "Anna Maria"], "--age-of"),
    ],
)
def test_errors(named: Path, run: Run, words: list[str], message: str) -> None:
    result = run("find", *words)
    assert result.exit_code == 2
    if "--json" not in words:
        assert result.stdout == ""
    assert message in result.stderr


def test_completion(named: Path) -> None:
    def complete(word: str) -> list[str]:
        return complete_query(CONTEXT, [], word)

    assert complete("") == ["Anna Maria", '"Ben & Co."']
    assert complete("an") == ["Anna Maria"]
    assert complete("anna m") == ["Anna Maria"]
    assert complete("Anna Maria & b") == ['Anna Maria & "Ben & Co."']
    assert complete("!(A") == ["!(Anna Maria"]
    assert complete("Anna Maria or not 'be") == ['Anna Maria or not "Ben & Co."']
    assert complete("x") == []


def test_completion_without_an_index() -> None:
    assert complete_query(CONTEXT, [], "a") == []
