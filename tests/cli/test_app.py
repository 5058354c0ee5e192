from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from faceindex import __version__
from faceindex.cli.app import app

REPOSITORY = Path(__file__).resolve().parents[2]
GROUP = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
GROUPS = [name for name in COMMANDS if hasattr(GROUP.commands[name], "commands")]
RUN = {  # what answers: a command that is no group, or one of a group
    **{name: GROUP.commands[name] for name in COMMANDS if name not in GROUPS},
    **{
        f"{name} {sub}": GROUP.commands[name].commands[sub]
        for name in GROUPS
        for sub in GROUP.commands[name].commands
    },
}
HEAVY = {"torch", "dlib", "sklearn", "numba", "hnswlib", "numpy", "scipy", "PIL"}


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) >= {"index", "cluster", "identify", "status", "faces", "models"}


@pytest.mark.parametrize(
    "args", [["--help"], ["models"], ["models", "--json"], ["index", "--help"], ["idnex"]]
)
def test_nothing_heavy_is_imported(args: list[str]) -> None:
    code = (
        "import sys\nfrom faceindex.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('heavy:', *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "heavy:"


@pytest.mark.parametrize("command", RUN)
def test_every_command_and_option_is_explained(command: str) -> None:
    assert RUN[command].help
    unexplained = [parameter.name for parameter in RUN[command].params if not parameter.help]
    assert not unexplained


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    readme = REPOSITORY / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md")
    assert f"faceindex {command}" in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", RUN)
def test_the_common_options_are_everywhere(command: str) -> None:
    names = {name for parameter in RUN[command].params for name in parameter.opts}
    common = {"--json", "--quiet", "-q", "--verbose", "-v", "--debug"}
    assert names >= common | (set() if command.startswith("models ") else {"--index"})


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_shows_whole_sentences(command: str, run) -> None:
    line = next(line for line in run("--help").stdout.splitlines() if line.startswith(f"  {command} "))
    assert line.endswith(".")
    assert not line.endswith("...")


def test_version(run) -> None:
    assert run("--version").stdout == f"faceindex {__version__}\n"


def test_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faceindex", "--version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"faceindex {__version__}\n"


def test_no_arguments_is_help_and_wrong_usage(run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "Usage: " in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("args", "near"),
    [
        (["clutser"], "'cluster'"),
        (["index", "x", "--retry-faild"], "--retry-failed"),
        (["identify", "x", "--neigbours", "3"], "--neighbours"),
    ],
)
def test_typing_mistakes_name_the_near_word(args: list[str], near: str, run) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert "Did you mean" in result.stderr
    assert near in result.stderr
    assert "--help`" in result.stderr


@pytest.mark.parametrize("args", [["index"], ["identify"], ["faces", "--cluster", "x"], ["status", "extra"]])
def test_wrong_usage_is_one_line_and_2(args: list[str], run) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_wrong_usage_under_json_is_a_document_too(run) -> None:
    result = run("faces", "--json", "--clsuter", "3")
    document = json.loads(result.stdout)
    assert document["schema"] == "faceindex/error/1"
    assert document["exit_code"] == result.exit_code == 2


@pytest.mark.parametrize("args", [["status"], ["faces"], ["cluster"], ["identify", "x.jpg"]])
def test_without_an_index_the_way_to_one_is_told(args: list[str], run, tmp_path: Path) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "faceindex index PATH" in result.stderr
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
