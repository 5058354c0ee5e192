"""The console script, and the help that it keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceindex.cli import start

KEPT = Path(start.__file__).with_name("help.txt")
_RENEW = 'COLUMNS=80 python -c "from faceindex.cli.app import main; main()" --help > faceindex/cli/help.txt'


def program(
    *words: str, columns: str = "80", code: str = "from faceindex.cli.start import main; main()"
) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "COLUMNS": columns},
    )
    return done.stdout


def test_the_kept_help_is_what_the_commands_say() -> None:
    said = program("--help", code="from faceindex.cli.app import main; main()")
    assert KEPT.read_text(encoding="utf-8") == said, f"renew it: {_RENEW}"


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_loads_nothing_of_the_program(word: str) -> None:
    code = "import sys\nfrom faceindex.cli.start import main\nmain()\nprint(*sys.modules)"
    *text, loaded = program(word, code=code).splitlines(keepends=True)
    assert "".join(text) == KEPT.read_text(encoding="utf-8")
    ours = [name for name in loaded.split() if name.split(".")[0] in ("faceindex", "typer", "typing", "rich")]
    assert sorted(ours) == ["faceindex", "faceindex.cli", "faceindex.cli.start"]


def test_a_narrow_terminal_gets_help_of_its_width() -> None:
    assert max(map(len, program("--help", columns="60").splitlines())) <= 60
    assert program("--help", columns="200") == program("--help", columns="80")
    assert program("--help", columns="none") == program("--help", columns="80")


def test_everything_else_goes_to_the_commands() -> None:
    assert program("--version").startswith("faceindex ")
    assert "PATH" in program("index", "--help")
