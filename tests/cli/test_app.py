"""The commands, their help texts, and errors of usage."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from faceindex import __version__
from faceindex.cli.app import app
from faceindex.cli.commands import Command, Group, examples

REPOSITORY = Path(__file__).resolve().parents[2]
GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
GROUPS = [name for name in COMMANDS if isinstance(GROUP.commands[name], Group)]
LEAVES = {  # commands that are not groups, by their full names
    **{name: GROUP.commands[name] for name in COMMANDS if name not in GROUPS},
    **{
        f"{name} {sub}": command
        for name in COMMANDS
        for sub, command in getattr(GROUP.commands[name], "commands", {}).items()
    },
}
ALL = {"": GROUP, **{name: GROUP.commands[name] for name in GROUPS}, **LEAVES}
HEAVY = {"ray", "torch", "dlib", "sklearn", "numba", "hnswlib", "numpy", "scipy", "PIL"}


def help_of(name: str, run: Callable[..., Any]) -> str:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    return str(result.stdout)


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) >= {"index", "cluster", "identify", "status", "faces", "models"}


@pytest.mark.parametrize(
    "args",
    [["--help"], ["help", "index"], ["models"], ["models", "--json"], ["index", "--help"], ["idnex"]],
)
def test_no_heavy_library_and_no_store_is_imported(args: list[str]) -> None:
    light = HEAVY | {"faceindex.store", "faceindex.api", "faceindex.pipeline", "rich"}
    code = (
        "import sys\nfrom faceindex.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('imported:', *sorted({light!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "imported:"


# Help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_and_option_is_explained(command: str) -> None:
    assert LEAVES[command].help
    unexplained = [parameter.name for parameter in LEAVES[command].params if not parameter.help]
    assert not unexplained


@pytest.mark.parametrize("command", ALL)
def test_every_value_has_a_name(command: str) -> None:
    unnamed = [
        parameter.name
        for parameter in ALL[command].params
        if not parameter.metavar and not getattr(parameter, "is_flag", False)
    ]
    assert not unnamed


@pytest.mark.parametrize("command", ALL)
def test_help_has_no_types_and_no_long_lines(command: str, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(command, run)
    assert isinstance(ALL[command], Command | Group)
    assert not re.search(r"<[a-z]|INTEGER|FLOAT|BOOLEAN|<=|>=|\[required\]|env var", text)
    if command != "faces":  # --photo TEXT
        assert not re.search(r"\bTEXT\b", text)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isprintable() or set(text) - set("\n") <= set(map(chr, range(32, 127)))


@pytest.mark.parametrize("command", ALL)
def test_every_command_has_an_example_that_parses(command: str) -> None:
    found = examples(ALL[command].help) + examples(ALL[command].epilog)
    assert found
    for example in found:
        program, *words = shlex.split(example)
        words = words[: words.index("|")] if "|" in words else words  # the rest is another program
        assert program == "faceindex"
        assert words[: len(command.split())] == command.split()
        with GROUP.make_context("faceindex", list(words)) as context:
            while isinstance(context.command, Group) and (context._protected_args or context.args):
                name, sub, rest = context.command.resolve_command(
                    context, [*context._protected_args, *context.args]
                )
                context = sub.make_context(name, rest, parent=context)


@pytest.mark.parametrize("command", LEAVES)
def test_examples_are_lines_of_their_own(command: str, run) -> None:
    lines = [line.strip() for line in help_of(command, run).splitlines()]
    for example in examples(LEAVES[command].help):
        assert f"Example: {example}" in lines or any(line.startswith(example) for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    pages = [page for page in (REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md")) if page.exists()]
    if not pages:
        pytest.skip("there are no documents")
    assert any(f"faceindex {command}" in page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_has_the_common_options(command: str) -> None:
    names = {name for parameter in LEAVES[command].params for name in parameter.opts}
    common = {"--json", "--quiet", "-q", "--verbose", "-v", "--debug"}
    if command == "help":
        assert not names & common
    else:
        assert names >= common | (set() if command.startswith("models ") else {"--index"})


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_lists_of_commands_have_whole_sentences(group: str, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of(group, run).splitlines()
    for command in ALL[group].commands:
        line = next(line for line in lines if line.startswith(f"  {command} "))
        assert line.endswith(".")
        assert not line.endswith("...")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(flag: str, run) -> None:
    assert run(flag).stdout == f"faceindex {__version__}\n"


def test_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faceindex", "--version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"faceindex {__version__}\n"


@pytest.mark.parametrize("words", ["", "index", "export", "export crops", "models", "models fetch", "help"])
def test_help_command_prints_the_help(words: str, run) -> None:
    result = run("help", *words.split())
    assert result.exit_code == 0
    assert result.stdout == run(*words.split(), "--help").stdout


def test_no_arguments_prints_help_and_is_wrong_usage(run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "Usage: " in result.stdout
    assert result.stderr == ""


# Common options in front of the command --------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["--json", "clusters"], ["clusters", "--json"]),
        (["--json", "models", "path"], ["models", "path", "--json"]),
        (["models", "--json", "path"], ["models", "path", "--json"]),
        (["--json", "models"], ["models", "--json"]),
        (["--index", ".faceindex", "-q", "faces"], ["faces", "--index", ".faceindex", "-q"]),
        (["--index=.faceindex", "faces"], ["faces", "--index", ".faceindex"]),
        (["--index", "nowhere", "status"], ["status", "--index", "nowhere"]),
        (["-qv", "export", "boxes", "-"], ["export", "boxes", "-", "-qv"]),
        (["--debug", "--index", "no", "export", "boxes", "-"], ["export", "boxes", "-", "--index", "no"]),
    ],
)
def test_common_options_may_come_before_the_command(
    before: list[str], after: list[str], clustered, run
) -> None:
    first, second = run(*before), run(*after)
    assert (first.exit_code, first.stdout) == (second.exit_code, second.stdout)
    assert second.stderr in first.stderr  # --debug adds a traceback
    assert "has no option" not in first.stderr


def test_the_later_of_two_options_counts(clustered, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEINDEX_INDEX", "nowhere")
    assert run("--index", "nowhere", "status", "--index", ".faceindex").exit_code == 0
    assert run("--index", ".faceindex", "status", "--index", "nowhere").exit_code == 2
    assert run("--index", ".faceindex", "status").exit_code == 0  # rather than the environment's
    assert run("status").exit_code == 2


# Wrong usage -----------------------------------------------------------------------------------

WRONG = [
    ("clutser", "`faceindex` has no command 'clutser'. Did you mean 'cluster'? See `faceindex --help`."),
    ("xyz", "`faceindex` has no command 'xyz'. See `faceindex --help`."),
    ("help clutser", "`faceindex` has no command 'clutser'. Did you mean 'cluster'? See `faceindex --help`."),
    ("help status x", "`faceindex status` has no commands. See `faceindex status --help`."),
    (
        "export crop x",
        "`faceindex export` has no command 'crop'. Did you mean 'crops'? See `faceindex export --help`.",
    ),
    (
        "index x --retry-faild",
        "`faceindex index` has no option --retry-faild. Did you mean --retry-failed? "
        "See `faceindex index --help`.",
    ),
    (
        "identify x --neigbours 3",
        "`faceindex identify` has no option --neigbours. Did you mean --neighbours? "
        "See `faceindex identify --help`.",
    ),
    ("status -x", "`faceindex status` has no option -x. See `faceindex status --help`."),
    (
        "--threshold 0.5 cluster",
        "`faceindex` has no option --threshold. Write it after its command, as in "
        "`faceindex cluster --threshold`.",
    ),
    ("--json", "`faceindex` needs a command. See `faceindex --help`."),
    ("index", "`faceindex index` needs PATH. Example: `faceindex index ~/Pictures`."),
    ("export crops", "`faceindex export crops` needs DEST. Example: `faceindex export crops"),
    ("status extra", "`faceindex status` does not take 'extra'. Its usage is `faceindex status [OPTIONS]`."),
    (
        "gallery a b c",
        "`faceindex gallery` does not take 'b', 'c'. Its usage is `faceindex gallery [OPTIONS] DEST`.",
    ),
    ("cluster --k", "--k has no value. Write `--k N`."),
    ("status --json=1", "--json takes no value. Write only --json."),
    ("clusters --limit 0", "--limit is 0. Choose a whole number, 1 or more."),
    ("identify x --threshold 4", "--threshold is 4. Choose a number from -1 to 1."),
    ("index x --min-face small", "--min-face is 'small'. Choose a number."),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_usage_is_one_line_and_exit_code_2(words: str, message: str, run) -> None:
    result = run(*words.split())
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith((".\n", "?\n"))
    assert ("" if words != "--json" else "faceindex/error/1") in result.stdout


def test_wrong_usage_with_json_is_a_document_too(run) -> None:
    for words in (["faces", "--json", "--clsuter", "3"], ["--json", "faces", "--clsuter", "3"]):
        result = run(*words)
        document = json.loads(result.stdout)
        assert document["schema"] == "faceindex/error/1"
        assert document["exit_code"] == result.exit_code == 2
        assert document["problem"] == "`faceindex faces` has no option --clsuter."


@pytest.mark.parametrize("args", [["status"], ["faces"], ["cluster"], ["identify", "x.jpg"]])
def test_without_an_index_the_error_names_the_command_that_makes_one(
    args: list[str], run, tmp_path: Path
) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "faceindex index PATH" in result.stderr
    assert "--index" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_index(
    indexed, run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".faceindex").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("status").exit_code == 2
    monkeypatch.setenv("FACEINDEX_INDEX", str(tmp_path / "moved"))
    assert run("status").exit_code == 0
    assert run("status", "--index", "nowhere").exit_code == 2
