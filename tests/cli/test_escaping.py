"""Names with control and direction characters reach no terminal as they are, by any command."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceindex import page
from faceindex.cli import render
from faceindex.cli.escaping import STYLE, escaped, mark, shown
from faceindex.cli.progress import DownloadBar
from faceindex.cli.render import Output, columns, shell_quoted, width_of
from faceindex.errors import UsageError
from faceindex.tables import restored

EVIL = "\x1b[31mE\r\n\u202egpj\u2066\x9b1m\x7f\u2028\u200f"
# What may be printed: everything that `str.isprintable` accepts, and the ends of lines.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")


def test_what_is_escaped() -> None:
    assert escaped("a\x1b[1mb\r\n\t\x85\u202e\u2028\udcff") == r"a\x1b[1mb\r\n\t\x85\u202e\u2028\udcff"
    for plain in ("Zoë", "李", "👩\u200d👧", "نمی\u200cخواهم", "שלום", "C:\\x", "`*[bold]"):
        assert escaped(plain) == plain
    assert RAW.search(escaped("".join(map(chr, range(0x3000))))) is None


def test_a_style_cannot_be_forged() -> None:
    text = f"{mark(1)}error:{mark(0)} \x1b[31mred \ufdd0"
    assert shown(text, lambda number: f"<{number}>") == "<1>error:<0> \\x1b[31mred \ufdd0"
    assert width_of(mark(1) + "ab" + mark(0)) == 2
    assert len(set(STYLE)) <= 2 and all(0xF0000 <= ord(letter) < 0xFFFFE for letter in STYLE)


def test_columns_have_the_width_of_what_is_shown() -> None:
    assert columns([("a\x1b", "b"), ("c", "d")]) == ["a\\x1b  b", "c      d"]


def test_a_quoted_word_means_the_name() -> None:
    for name in ("a b", "it's \x1b[1m \\ \u202e", "\udcff\n"):
        quoted = shell_quoted(name)
        assert RAW.search(quoted) is None
        if bash := shutil.which("bash"):
            found = subprocess.run([bash, "-c", f"printf %s {quoted}"], capture_output=True, check=True)
            assert found.stdout == os.fsencode(name)


@pytest.fixture
def evil(tmp_path: Path, fake_models: ModuleType, run: Callable[..., Any]) -> Path:
    """An index whose root, photos and people have such names, with a photo that cannot be read."""
    album = Path(fake_models.make_album(tmp_path / "plain"))
    for path in sorted(album.rglob("*.*")):
        path.rename(path.with_name(f"{path.stem}{EVIL}{path.suffix}"))
    (album / f"broken{EVIL}.jpg").write_bytes(b"\xff\xd8\xff")
    root = album.rename(tmp_path / f"album{EVIL}")
    done = run("index", "--detector", "fake", "--embedder", "fake", "-v", root.name)
    assert done.exit_code in (0, 1)
    assert run("cluster").exit_code == 0
    assert run("people", "name", "0", "Anna").exit_code == 0
    return root


def name_person(evil: Path) -> None:
    """Give a person such a name, as an index of somebody else may have it."""
    import sqlite3

    with sqlite3.connect(".faceindex/catalog.sqlite") as catalog:
        for table, column in (("people", "name"), ("decisions", "command")):
            found = catalog.execute(
                f"SELECT count(*) FROM pragma_table_info('{table}') WHERE name = ?", (column,)
            )
            if found.fetchone()[0]:
                catalog.execute(f"UPDATE {table} SET {column} = {column} || ?", (EVIL,))
    catalog.close()


def calls(root: Path) -> list[tuple[object, ...]]:
    photo = next(path for path in sorted(root.rglob("*.png")) if path.is_file())
    return [
        ("index", root.name),
        ("index", root.name, "-v", "--retry-failed"),
        ("index", f"missing{EVIL}"),
        ("cluster", "-v"),
        ("clusters",),
        ("clusters", "0"),
        ("clusters", f"x{EVIL}"),
        ("clusters", "diff"),
        ("faces",),
        ("faces", photo),
        ("find", "Anna"),
        ("find", f"nobody{EVIL}"),
        ("status",),
        ("status", "-v"),
        ("identify", photo, "-v"),
        ("identify", f"missing{EVIL}.jpg"),
        ("people",),
        ("people", "show", f"Anna{EVIL}"),
        ("people", "log"),
        ("people", "undo", "--dry-run"),
        ("people", "why", "f1"),
        ("people", "suggest"),
        ("people", "name", "1", f"Bob{EVIL}"),
        ("people", "export", f"people{EVIL}.jsonl"),
        ("people", "apply", f"people{EVIL}.jsonl", "--dry-run"),
        ("export", "crops", f"crops{EVIL}"),
        ("export", "clusters", f"groups{EVIL}", "--photos", "--folders"),
        ("export", "boxes", root / f"x{EVIL}" / "boxes.csv"),
        ("gallery", f"page{EVIL}"),
        ("eval", "--labels", f"missing{EVIL}.csv"),
        ("eval",),
        ("migrate", "--detector", f"x{EVIL}", "--dry-run"),
        ("models", "list", f"x{EVIL}"),
        ("models", "verify"),
        (f"x{EVIL}",),
        ("index", f"--x{EVIL}"),
        ("find", "Anna", "--sort", EVIL),
        ("status", "--index", f"missing{EVIL}", "--debug"),
    ]


def test_the_page_escapes_the_same_characters() -> None:
    script = (Path(page.__file__).parent / "assets" / "dom.js").read_text()
    found = re.search(r"UNPRINTABLE = /(\[.*?\])\|", script)
    assert found is not None
    for letter in map(chr, (*range(0x3000), *range(0xF000, 0xFFFE))):
        assert (re.match(found[1], letter) is not None) is (escaped(letter) != letter), hex(ord(letter))


@posix
def test_no_command_prints_a_name_as_it_is(
    evil: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name_person(evil)
    names = {f"{evil.name}/{path.relative_to(evil)}" for path in evil.rglob("*.png")}
    found = run("faces", "--csv").stdout_bytes.decode("utf-8", "surrogateescape")
    rows = list(csv.reader(io.StringIO(found, newline="")))  # for programs: the exact names
    assert {restored(row[rows[0].index("photo")]) for row in rows[1:]} == names
    found = run("people", "--csv").stdout_bytes.decode()
    assert f"Anna{EVIL}" in [restored(row[0]) for row in csv.reader(io.StringIO(found, newline=""))]

    exact = 0
    for call in calls(evil)[::3]:
        if call[:2] not in (("people", "suggest"), ("people", "export")):
            text = run(*call, "--json").stdout_bytes.decode("ascii")
            assert RAW.search(text) is None, call
            exact += EVIL in texts(json.loads(text))
    assert exact > 5

    run("index", evil.name, "--retry-failed", "--log", "index.log")
    log = Path("index.log").read_bytes().decode()
    assert RAW.search(log) is None
    assert "broken\\x1b[31mE\\r\\n\\u202e" in log

    monkeypatch.setattr(render.Output, "terminal", True)  # tables for people, not for programs
    shown_escaped = 0
    for call in calls(evil):
        done = run(*call)
        printed = (done.stdout_bytes + done.stderr_bytes).decode()
        assert RAW.search(printed) is None, (call, printed)
        assert "Unexpected error" not in printed, (call, printed)
        assert done.exit_code in (0, 1, 2), call
        shown_escaped += "\\x1b" in printed
    assert shown_escaped > 20


def texts(value: object) -> str:
    """Return all texts in a JSON document."""
    if isinstance(value, dict):
        return " ".join(map(texts, value.values()))
    return " ".join(map(texts, value)) if isinstance(value, list) else str(value)


def test_prompts_progress_and_tracebacks_are_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output()
    monkeypatch.setattr("builtins.input", lambda prompt: prompt)
    assert out.ask(f"{EVIL}? ") == f"{escaped(EVIL)}? "
    with DownloadBar(out, f"Downloading {EVIL}") as bar:
        bar._printed_at = -1e9
        bar.update(1, 2)
    from faceindex.cli.errors import session

    with pytest.raises(SystemExit), session(json=False, quiet=False, verbose=False, debug=True):
        raise UsageError(f"{EVIL} is bad.", "Choose another.")
    printed = "".join(capsys.readouterr())
    assert RAW.search(printed) is None
    assert printed.count("\\u202egpj") >= 3
