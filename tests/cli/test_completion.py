"""Shell completion: the scripts, and the words that are suggested."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faceindex import models
from faceindex.cli.app import app
from faceindex.store.directory import CATALOG

VARIABLE = "_FACEINDEX_COMPLETE"


def complete(line: str, monkeypatch: pytest.MonkeyPatch, shell: str = "bash") -> list[str]:
    """Return the suggestions for the last word of a command line, which may be empty."""
    words = line.split(" ")
    environment = {
        VARIABLE: f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, [])
    monkeypatch.delenv(VARIABLE)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split("\n")[:-1] if shell == "bash" else result.stdout.splitlines()


def suggested(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return [word for word in complete(line, monkeypatch) if word]


def test_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested("faceindex cl", monkeypatch) == ["cluster", "clusters"]
    assert suggested("faceindex --index x cl", monkeypatch) == ["cluster", "clusters"]
    assert suggested("faceindex export c", monkeypatch) == ["crops", "clusters"]
    assert suggested("faceindex help export c", monkeypatch) == ["crops", "clusters"]
    assert suggested("faceindex help mod", monkeypatch) == ["models"]


def test_options_and_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested("faceindex index album --de", monkeypatch) == ["--detector", "--device", "--debug"]
    assert suggested("faceindex index --detector ", monkeypatch) == models.names("detector")
    assert suggested("faceindex index --embedder d", monkeypatch) == ["dlib"]
    assert suggested("faceindex cluster --algorithm k", monkeypatch) == ["kmeans"]
    assert suggested("faceindex models fetch fac", monkeypatch) == ["facenet"]
    assert suggested("faceindex export clusters x --link s", monkeypatch) == ["symlink"]


def test_paths_are_left_to_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested("faceindex index ", monkeypatch) == []
    assert suggested("faceindex status --index ", monkeypatch) == []


def test_clusters(clustered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert suggested("faceindex clusters ", monkeypatch) == ["0", "1", "2", "diff"]
    assert suggested("faceindex clusters d", monkeypatch) == ["diff"]
    assert suggested("faceindex help clusters ", monkeypatch) == ["diff"]
    assert suggested("faceindex clusters diff --a", monkeypatch) == ["--absolute"]
    assert suggested("faceindex clusters --json diff --l", monkeypatch) == []
    assert suggested("faceindex clusters --l", monkeypatch) == ["--limit"]
    assert suggested("faceindex faces --cluster 1", monkeypatch) == ["1"]
    assert suggested("faceindex --index .faceindex clusters ", monkeypatch) == ["0", "1", "2", "diff"]
    assert "2\t4 faces" in complete("faceindex clusters ", monkeypatch, "fish")
    assert suggested("faceindex clusters --index nowhere ", monkeypatch) == ["diff"]
    (tmp_path / ".faceindex" / CATALOG).write_bytes(b"damaged")
    assert suggested("faceindex clusters ", monkeypatch) == ["diff"]


def test_completing_installs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert suggested("faceindex --install-completion zsh clu", monkeypatch) == ["cluster", "clusters"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell", "pwsh"])
def test_scripts(shell: str, run) -> None:
    result = run("--show-completion", shell)
    assert result.exit_code == 0
    assert VARIABLE in result.stdout
    assert "faceindex" in result.stdout
    assert run(f"--show-completion={shell}").stdout == result.stdout
    if shutil.which(shell) and shell in ("bash", "zsh", "fish"):
        subprocess.run([shell, "-n"], input=result.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/faceindex.sh"),
        ("zsh", ".zfunc/_faceindex"),
        ("fish", ".config/fish/completions/faceindex.fish"),
    ],
)
def test_install(shell: str, file: str, run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("--install-completion", shell)
    path = tmp_path / file
    assert result.stdout == f"Installed completion for {shell} in {path}. Start a new shell to use it.\n"
    assert path.read_text(encoding="utf-8").strip() == run("--show-completion", shell).stdout.strip()


def test_the_running_shell_is_the_default(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("fish", "/usr/bin/fish"))
    assert run("--show-completion").stdout == run("--show-completion", "fish").stdout


def test_other_shells_are_an_error(run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("--show-completion", "tcsh")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: There is no completion for the shell 'tcsh'. Name bash, ")

    def fail() -> None:
        import shellingham

        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr("shellingham.detect_shell", fail)
    assert run("--install-completion").stderr.startswith("error: The shell is unknown. Name bash, ")


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_a_command(run, tmp_path: Path) -> None:
    """The script defines a function that calls the program and fills COMPREPLY."""
    program = tmp_path / "faceindex"
    program.write_text('#!/bin/sh\nprintf "cluster\\nclusters\\n"\n')
    program.chmod(0o755)
    script = run("--show-completion", "bash").stdout
    line = f"{script}\nCOMP_WORDS=(faceindex cl); COMP_CWORD=1; _faceindex_completion {program}\n"
    done = subprocess.run(
        ["bash", "--norc", "-c", line + 'echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == "cluster clusters\n"


def test_people(clustered, run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("people", "name", "0", "Anna Maria")
    run("people", "name", "1", "Ben")
    assert suggested("faceindex people show ", monkeypatch) == ["Anna Maria", "Ben"]
    assert suggested("faceindex people rename Be", monkeypatch) == ["Ben"]
    assert suggested("faceindex people name ", monkeypatch) == ["Anna Maria", "Ben", "0", "1", "2"]
    assert suggested("faceindex people confirm f1 --as B", monkeypatch) == ["Ben"]
    assert suggested("faceindex people reject f1 --from ", monkeypatch) == ["Anna Maria", "Ben"]
    assert suggested("faceindex faces --person B", monkeypatch) == ["Ben"]
    assert suggested("faceindex clusters B", monkeypatch) == ["Ben"]
    assert suggested("faceindex people na", monkeypatch) == ["name"]


def test_people_without_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested("faceindex people show ", monkeypatch) == []
    assert suggested("faceindex --index x people show ", monkeypatch) == []


def test_names_are_completed_without_heavy_libraries(clustered, run) -> None:
    run("people", "name", "0", "Anna")
    program = (
        "import sys; from types import SimpleNamespace\n"
        "from faceindex.cli.completion import complete_people\n"
        "assert complete_people(SimpleNamespace(params={}), [], 'a') == ['Anna']\n"
        "print(*{'numpy', 'torch', 'hnswlib', 'sklearn', 'scipy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
