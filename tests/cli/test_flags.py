"""Parameters of the library in messages are printed as flags of the command line."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import faceindex
from faceindex.cli.app import app
from faceindex.cli.flags import FLAGS, as_flags
from faceindex.cli.render import Output

PACKAGE = Path(faceindex.__file__).parent
_OTHER_PROGRAMS = re.compile(
    r"(?:pip install|git \w+|osxphotos \w+|(?:faceindex )?doctor|benchmarks/\w+\.py)(?: --?[\w-]+)+"
)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("`min_size` is 0.", "--min-size is 0."),
        ("Pass `algorithm='kmeans'`.", "Pass --algorithm kmeans."),
        ("Pass `min_face=40`.", "Pass --min-face 40."),
        ("Pass `prune=True`.", "Pass --prune."),
        ("Pass `flip=False`.", "Pass --no-flip."),
        ("Pass another `directory`.", "Pass another --index."),
        ("Leave out `k` and `threshold`.", "Leave out --k and --threshold."),
        ("Run `faceindex cluster`.", "Run `faceindex cluster`."),
        ("Open it with `write=True`.", "Open it with `write=True`."),
        ("Pass `on_event=show`.", "Pass `on_event=show`."),
        ("The column `photo` is missing.", "The column `photo` is missing."),
        ("`", "`"),
    ],
)
def test_as_flags(text: str, printed: str) -> None:
    assert as_flags(text) == printed


def test_errors_and_warnings_are_translated(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.error("`k` is 0.", "Leave out `k`.")
    out.warning("Pass `prune=True`.")
    assert capsys.readouterr().err == "error: --k is 0. Leave out --k.\nwarning: Pass --prune.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cluster --min-size 0", "--min-size is 0. Choose 1 or more."),
        ("cluster --k 3", "Leave out --k, or pass --algorithm kmeans."),
        ("cluster --algorithm kmeans", "Pass --k, or pass --algorithm album"),
        ("eval --repeats 0", "--repeats is 0. Choose 1 or more."),
        ("eval --face left", "--face is 'left'. Choose one of: "),
        ("eval --labels missing.csv", "There is no file missing.csv. Pass a CSV file as --labels."),
        ("export crops out --margin 20", "--margin is 20. Choose a value in 0..10"),
        ("export clusters out --min-size 0", "--min-size is 0. Choose 1 or more."),
        ("export clusters out --link symlink", "Pass --photos, or leave out --link."),
        (
            "index album --detector mtcnn",
            "Leave out --detector, move the index with `faceindex migrate`, or pass another --index.",
        ),
    ],
)
def test_commands_print_flags(words: str, message: str, clustered, run) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert "`k`" not in result.stderr
    document = json.loads(run(*words.split(), "--json").stdout)
    assert message.split(". ")[-1].rstrip(".") in document["remedy"]


def test_every_flag_is_an_option_of_a_command() -> None:
    assert not sorted(set(FLAGS.values()) - set(_options(typer.main.get_command(app))))


def _options(command: Any) -> list[str]:
    found = [name for parameter in command.params for name in parameter.opts]
    for sub in getattr(command, "commands", {}).values():
        found += _options(sub)
    return found


@pytest.mark.parametrize(
    "path",
    sorted(path for path in PACKAGE.rglob("*.py") if PACKAGE / "cli" not in path.parents),
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_the_library_names_no_flags(path: Path) -> None:
    found = [
        f"line {node.lineno}: {node.value}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"(?<![\w-])--[a-z]", _OTHER_PROGRAMS.sub("", node.value))
    ]
    assert not found
