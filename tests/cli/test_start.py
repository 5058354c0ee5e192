"""The console script, and the stored help text."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from faceindex.cli import start

STORED = Path(start.__file__).with_name("help.txt")
_UPDATE = 'COLUMNS=80 python -c "from faceindex.cli.app import main; main()" --help > faceindex/cli/help.txt'


START = "from faceindex.cli.start import main; main()"


def program(*words: str, columns: str = "80", code: str = START) -> str:
    done = finished(*words, code=code, COLUMNS=columns)
    done.check_returncode()
    return done.stdout


def finished(
    *words: str, code: str = START, stdout: int | TextIO = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "COLUMNS": "80", **environment},
    )


def shell(words: str, *, before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
    """The program in a line of bash."""
    line = f"({before} exec {shlex.quote(sys.executable)} -m faceindex {words}{after}"
    line = line.replace(" | ", ") | ", 1) if " | " in words else line + ")"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


def test_the_stored_help_is_up_to_date() -> None:
    generated = program("--help", code="from faceindex.cli.app import main; main()")
    assert STORED.read_text(encoding="utf-8") == generated, f"update it: {_UPDATE}"


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_loads_no_command(word: str) -> None:
    code = "import sys\nfrom faceindex.cli.start import main\nmain()\nprint(*sys.modules)"
    *text, loaded = program(word, code=code).splitlines(keepends=True)
    assert "".join(text) == STORED.read_text(encoding="utf-8")
    ours = [name for name in loaded.split() if name.split(".")[0] in ("faceindex", "typer", "typing", "rich")]
    assert sorted(ours) == ["faceindex", "faceindex.cli", "faceindex.cli.start"]


def test_a_narrow_terminal_gets_help_of_its_width() -> None:
    assert max(map(len, program("--help", columns="60").splitlines())) <= 60
    assert program("--help", columns="200") == program("--help", columns="80")
    assert program("--help", columns="none") == program("--help", columns="80")


def test_other_calls_load_the_commands() -> None:
    assert program("--version").startswith("faceindex ")
    assert "PATH" in program("index", "--help")


def test_index_with_paths_loads_no_parser_if_nothing_has_changed(indexed: Path) -> None:
    code = "import sys\nfrom faceindex.cli.start import main\nmain()\nprint(*sys.modules)"
    *summary, loaded = program("index", "album", code=code).splitlines()
    assert summary[0].startswith("12 photos in ")
    heavy = {"typer", "rich", "numpy", "PIL", "torch", "hnswlib", "faceindex.cli.app", "faceindex.models"}
    assert not heavy & set(loaded.split())


def test_index_with_paths_gives_the_same_result_as_the_parser(indexed: Path, tmp_path: Path) -> None:
    (indexed / "lie.jpg").write_text("not a photo")
    (tmp_path / "empty").mkdir()
    commands = "from faceindex.cli.app import main; main()"
    for words in (["album"], ["album", "empty"], ["empty"], ["albun"], [""], ["album", "albun"]):
        ways = [finished("index", *words, code=code) for code in (commands, START)]
        for done in ways:
            done.stdout = re.sub(r" in [\d.]+ s.*", "", done.stdout)
        first, second = ((done.returncode, done.stdout, done.stderr) for done in ways)
        assert first == second


@pytest.mark.parametrize("command", ["index", "identify"])
@pytest.mark.parametrize("words", [["a"], ["a", "b c"], ["--help.jpg", "x"], ["~/a"], ["a", "-q"], ["-"], []])
def test_only_paths_take_the_fast_way(
    command: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    monkeypatch.setattr(f"faceindex.cli.{command}.{command}", lambda paths: taken.append(paths))
    monkeypatch.setattr("faceindex.cli.app.main", lambda: taken.append("parser"))
    monkeypatch.setattr(sys, "argv", ["faceindex", command, *words])
    monkeypatch.setattr("gc.freeze", lambda: None)
    start.main()
    are_paths = bool(words) and not any(word.startswith(("-", "~")) and word != "-" for word in words)
    assert taken == [words if are_paths and os.name != "nt" else "parser"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["index", "--help"], ["--version"], ["status"], ["faces"]])
@pytest.mark.parametrize("json", [False, True])
def test_a_full_disk_is_reported_in_a_sentence(words: list[str], json: bool, indexed: Path) -> None:
    if json and words[0] in ("status", "faces"):
        words = [*words, "--json"]
    with Path("/dev/full").open("w") as full:
        done = finished(*words, stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("error: No space left on device: standard output. ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
def test_a_closed_standard_output_is_reported_in_a_sentence(indexed: Path) -> None:
    for words in ("--help", "status", "index album", "faces --json"):
        done = shell(f"{words} >&-")
        assert done.returncode == 2
        assert done.stderr.startswith("error: Bad file descriptor: standard output. ")
        assert done.stderr.count("\n") == 1
    assert (shell("index album -q >&-").returncode, shell("index album <&- 2>&-").returncode) == (0, 0)
    assert shell("index album nowhere 2>&-").returncode == 2
    assert finished("status").returncode == 0  # nothing was written into the index's files


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
@pytest.mark.parametrize("words", ["--help", "index --help", "status", "faces --csv", "index album"])
def test_a_closed_pipe_is_not_reported(words: str, indexed: Path) -> None:
    done = shell(f"{words} | true", before="sleep 0.2;", after="; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_while_modules_are_loaded_is_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("faceindex.cli.app.main", interrupt)
    monkeypatch.setattr(sys, "argv", ["faceindex", "status"])
    monkeypatch.setattr("gc.freeze", lambda: None)
    with pytest.raises(SystemExit) as caught:
        start.main()
    assert caught.value.code == 130
