"""The output of every command as a person sees it, compared with text files in `snapshots`.

After a deliberate change of words, update the files and read the difference::

    UPDATE_SNAPSHOTS=1 python -m pytest tests/cli/test_snapshots.py
    git diff tests/cli/snapshots

A file holds calls of one kind, each with its output and its exit code. On a terminal (80 columns), standard
output and standard error appear together; in a pipe, lines of standard error are marked with ``2>``. Times,
rates, sizes, dates, the version and the path of the temporary folder are masked.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from faceindex import __version__, models
from faceindex.cli import render
from faceindex.cli.app import app
from faceindex.models import WeightFile, plugins, registry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the paths of the snapshots are of Unix")

SNAPSHOTS = Path(__file__).with_name("snapshots")
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
COLUMNS = 80

INDEX = "index album --detector fake --embedder fake"
BEFORE: dict[str, tuple[str, ...]] = {  # calls whose output is not recorded
    "index_again": (INDEX,),
    "without_clusters": (INDEX,),
    "cluster": (INDEX,),
    "clusters": (INDEX, "cluster"),
    "faces": (INDEX, "cluster"),
    "find": (INDEX, "cluster"),
    "status": (INDEX, "cluster"),
    "identify": (INDEX, "cluster"),
    "eval": (INDEX, "cluster"),
    "export": (INDEX, "cluster"),
    "gallery": (INDEX, "cluster"),
    "migrate": (INDEX, "cluster"),
    "forget": (INDEX, "cluster", "people name 0 Anna", "people name 1 Ben", "export crops faces"),
    "people": (INDEX, "cluster"),
    "people_undo": (INDEX, "cluster"),
    "import": (INDEX,),
}
CALLS: dict[str, tuple[str, ...]] = {
    "index": (
        f"{INDEX} --dry-run",
        INDEX,
        "index album",
        "index album --dry-run",
        "index album --detector mtcnn",
        "index albun",
    ),
    "index_again": (
        "index album more",
        "index album more -v",
        "index more --retry-failed",
        "status",
        "status -v",
        "index album more lost",
    ),
    "index_empty": (
        "index empty --detector fake --embedder fake",
        "status",
        "faces",
        "cluster",
        "clusters",
        "identify album/person0/0.png",
        "eval",
        "gallery page",
        "export crops faces",
    ),
    "without_index": (
        "status",
        "faces",
        "find Anna",
        "cluster",
        "clusters",
        "people",
        "people name 7 Anna",
        "people log",
        "identify album/person0/0.png",
        "eval",
        "gallery page",
        "review --port 8765",
        "export crops faces",
        "--index elsewhere status",
    ),
    "without_clusters": (
        "status",
        "clusters",
        "clusters 1",
        "people",
        "people name 1 Anna",
        "faces --cluster 1",
        "faces --unclustered",
        "identify album/person0/0.png --neighbours 2",
        "eval",
        "gallery page",
        "export clusters people",
    ),
    "cluster": (
        "cluster",
        "cluster",
        "cluster --rebuild",
        "cluster -v",
        "cluster --algorithm kmeans --k 2",
        "cluster --threshold 2",
        "clusters diff",
        "cluster --restore",
        "cluster --restore --dry-run",
        "cluster --restore --k 2",
        "cluster --dry-run --rebuild",
        "cluster --algorithm kmean",
    ),
    "clusters": (
        "clusters",
        "clusters --limit 2",
        "clusters 1",
        "clusters 1 --limit 2",
        "clusters 99",
        "clusters diff",
        "clusters 99 --show",
        "clusters --open",
        "clusters --csv --json",
        "clusters 1 --save cluster.gif",
        "clusters 1 --save cluster.png",
    ),
    "faces": (
        "faces",
        "faces --cluster 1",
        "faces --photo person2",
        "faces --photo nobody",
        "faces --cluster 99",
        "faces --cluster 1 --unclustered",
    ),
    "find": (
        "find c1",
        "find c1 --count",
        "find c1 and not c2 --absolute",
        "find 'c1 & c2'",
        "find unnamed --since 1950",
        "find c1 --link links --count",
        "find c1 --json",
        "find 'c1 &'",
        "find '(c1 | Anna'",
        "find Anna",
        "find f3",
        "find anybody --open",
    ),
    "status": ("status", "status -v", "status --plot similarities.txt"),
    "identify": (
        "identify album/person0/0.png",
        "identify more/stranger.png --neighbours 2",
        "identify more/black.png more/broken.jpg album/person1/0.png --neighbours 1",
        "identify missing.jpg",
        "identify album/person0 empty --neighbours 0",
        "identify more/stranger.png --show",
        "identify more/stranger.png --save stranger.png --neighbours 1",
        "identify more/stranger.png --save album/person0/0.png",
    ),
    "eval": (
        "eval",
        "eval --all",
        "eval --sweep",
        "eval --labels missing.csv",
        "eval --face middle",
        "eval --plot plot.txt",
    ),
    "export": (
        "export crops faces",
        "export crops faces",
        "export crops faces --dry-run",
        "export clusters people --folders",
        "export clusters people --photos --folders",
        "export clusters linked --link symlink",
        "export boxes boxes.csv",
        "export boxes -",
        "export boxes boxes.txt --format xml",
        "export embeddings vectors.npz",
        "export embeddings vectors.txt",
        "export crops album",
    ),
    "gallery": ("gallery page", "gallery page", "gallery page --dry-run", "gallery page --open --dry-run"),
    "migrate": (
        "migrate",
        "migrate --embedder fake",
        "migrate --embedder other --dry-run",
        "migrate --embedder other",
        "clusters",
        "migrate --detector other",
        "status",
        "migrate --cancel",
    ),
    "import": (
        "import folders album --dry-run",
        "import folders album",
        "cluster",
        "import folders album",
        "import folders nowhere",
        "import folders more",
        "import",
        "import lightroom x",
    ),
    "people": (
        "people",
        "people name 0 Anna",
        "people name 1 'Ben Smith' --dry-run",
        "people name 1 'Ben Smith'",
        "people name f9 anna",
        "people name 0 Anna",
        "people name 2 Anna Maria",
        "people name 7 Carl",
        "people name f99 Carl",
        "people name Anna",
        "people name 1 2",
        "people name",
        "people name --from people.csv",
        "people",
        "people show Ana",
        "people show anna",
        "people Anna",
        "people reject f9",
        "people confirm f1 f2",
        "people confirm f10",
        "people confirm f10 --as Bne",
        "people reject anna",
        "people ignore f12",
        "people not-a-face 2 --dry-run",
        "people same 0 1",
        "people different 0 2",
        "people rename anna 'Anna Maria'",
        "people rename 'ben smith' 'anna maria'",
        "people born 'anna maria' 14.6.1950",
        "people born 'anna maria' 1950-6",
        "people died 'anna maria' 2001",
        "people note 'anna maria' 'sister of Ben'",
        "people show 'anna maria'",
        "people hide 'ben smith'",
        "people",
        "people --all",
        "people merge 'Anna Maria' 'Ben Smith'",
        "people merge 'Anna Maria'",
        "clusters",
        "clusters 'anna maria'",
        "clusters f1",
        "faces --person 'anna maria'",
        "status",
    ),
    "forget": (
        "forget Anna --dry-run",
        "forget Anna",
        "forget Anna --yes --verify",
        "forget f5 --yes",
        "people",
        "people log",
        "forget Anna --yes",
    ),
    "people_undo": (
        "people log",
        "people undo",
        "people undo --yes",
        "people name 0 Anna",
        "people name 1 Anna",
        "people reject f5 f6",
        "people hide Anna",
        "people",
        "people log -n 2",
        "people undo",
        "people undo 2 --dry-run",
        "people undo 2 --yes",
        "people log",
        "people export people.jsonl",
        "people apply people.jsonl",
        "people apply people.csv",
    ),
    "models": (
        "models",
        "models list fake",
        "models list lacking",
        "models list fakes",
        "models path fake",
        "models path lacking",
        "models verify",
        "models fetch fake",
        "models fetch lacking",
        "models add lacking more/broken.jpg",
        "models add lacking more/broken.jpg --unverified",
        "models verify lacking",
    ),
    "usage": (
        "",
        "--version",
        "clutser",
        "help clutser",
        "index",
        "index album --detektor mtcnn",
        "--threshold 0.5 cluster",
        "cluster --k",
        "cluster --k three",
        "clusters one",
        "clusters --limit 0",
        "status now",
        "status --json=yes",
        "--show-completion tcsh",
    ),
}


class Stream(io.TextIOWrapper):
    """A standard stream that writes at once to a file in memory."""

    def __init__(self, file: io.BytesIO, *, terminal: bool) -> None:
        super().__init__(file, encoding="utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def folder(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The current folder, with albums, a few models and no traces of this machine."""
    fake_models.make_album(tmp_path / "album")
    fake_models.make_photo(tmp_path / "more" / "stranger.png", (250, 10, 10))
    fake_models.make_photo(tmp_path / "more" / "black.png", fake_models.NOBODY)
    (tmp_path / "more" / "broken.jpg").write_bytes(b"\xff\xd8 not a photo")
    (tmp_path / "empty").mkdir()
    file = WeightFile("lacking.pt", 1_500_000, "0" * 64, "https://example.org/lacking.pt")
    few = [
        fake_models.DETECTOR,
        dataclasses.replace(fake_models.DETECTOR, name="lacking", weights=(file,)),
        fake_models.EMBEDDER,
        models.get("clusterer", "album"),
        models.get("clusterer", "chinese-whispers"),
        models.get("clusterer", "kmeans"),
    ]
    monkeypatch.setattr(plugins, "plugins", lambda kind: {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Lines end where they would end if the masked texts were the real ones.
    wrap, width_of = textwrap.wrap, render.width_of
    monkeypatch.setattr(render, "width_of", lambda text: width_of(masked(text, tmp_path)))
    monkeypatch.setattr(
        textwrap, "wrap", lambda text, *args, **how: wrap(masked(text, tmp_path), *args, **how)
    )
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("TERM", "dumb")  # no colours, no bar, no pictures
    for name in ("KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with registry.isolated(few):
        yield tmp_path


def masked(text: str, folder: Path) -> str:
    for path in (str(folder), str(folder.resolve())):
        text = text.replace(path, "/home/ada")
    for pattern, mask in (
        (rf"\b{re.escape(__version__)}$", "1.2.3"),
        (r"\d+-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", "2030-01-01T12:00:00"),
        (r"\d+-\d\d-\d\d \d\d:\d\d(:\d\d)?", "2030-01-01 12:00"),
        (r"\b\d\d:\d\d:\d\d\b", "12:00:00"),
        (r"\b[\d,]+\.\d photos/s", "10.0 photos/s"),
        (r"\b(\d+ min )?\d+(\.\d)? s\b", "1.0 s"),
        (r"\b\d+\.\d [kM]B\b", "1.0 MB"),
        (r"\b\d+ B\b", "1.0 MB"),
    ):
        text = re.sub(pattern, mask, text, flags=re.MULTILINE)
    return text


def on_terminal(words: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command on a pretended terminal; return what it shows."""
    screen = io.BytesIO()
    code = exit_code(words, screen, screen, monkeypatch, terminal=True)
    return section(words, masked(screen.getvalue().decode(), folder), code)


def in_pipe(words: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command in a pipe; return what it prints, with standard error marked."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    code = exit_code(words, stdout, stderr, monkeypatch, terminal=False)
    errors = masked(stderr.getvalue().decode(), folder).splitlines()
    text = masked(stdout.getvalue().decode(), folder) + "".join(f"2> {line}\n" for line in errors)
    return section(words, text, code)


def exit_code(
    words: str, stdout: io.BytesIO, stderr: io.BytesIO, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> int:
    """Run a command with these streams; return its exit code."""
    with monkeypatch.context() as patch:
        # Kept until the end: a stream that is deleted closes its file.
        streams = Stream(stdout, terminal=terminal), Stream(stderr, terminal=terminal)
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as raised:
            app(shlex.split(words))
        for stream in streams:
            stream.detach()
    return int(raised.value.code or 0)


def section(words: str, text: str, code: int) -> str:
    status = f"(exit code {code})\n" if code else ""
    return f"$ faceindex {words}".rstrip() + f"\n{text}{status}"


def compare(name: str, sections: list[str]) -> None:
    file = SNAPSHOTS / f"{name}.txt"
    text = "\n".join(sections)
    if UPDATE:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    assert file.exists(), "no snapshot; see the head of this file"
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("where", [on_terminal, in_pipe], ids=["terminal", "pipe"])
@pytest.mark.parametrize("name", CALLS)
def test_output(
    name: str,
    where: Callable[[str, Path, pytest.MonkeyPatch], str],
    folder: Path,
    fake_models: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "migrate":
        fake_models.register_others()
    for words in BEFORE.get(name, ()):
        where(words, folder, monkeypatch)
    kind = "terminal" if where is on_terminal else "pipe"
    compare(f"{kind}/{name}", [where(words, folder, monkeypatch) for words in CALLS[name]])


def test_help(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare("help", [on_terminal(f"{name} --help".strip(), folder, monkeypatch) for name in all_commands()])


@pytest.mark.parametrize("file", sorted(SNAPSHOTS.glob("terminal/*.txt")), ids=lambda file: file.stem)
def test_lines_fit_on_a_terminal(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > COLUMNS and not line.startswith("$ ")]
    # Only words that cannot be divided, such as paths, SHA-256 sums and commands, are longer.
    assert [line for line in long if not re.search(r"`[^`]*`|/\S+|[0-9a-f]{64}", line)] == []


def test_every_snapshot_is_in_use() -> None:
    used = {"help", *(f"{kind}/{name}" for kind in ("terminal", "pipe") for name in CALLS)}
    found = {file.relative_to(SNAPSHOTS).with_suffix("").as_posix() for file in SNAPSHOTS.rglob("*.txt")}
    assert found == used


def all_commands() -> list[str]:
    found = [""]
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(None):
        command = group.commands[name]
        found.append(name)
        found += [f"{name} {sub}" for sub in getattr(command, "commands", ())]
    return found
