"""Run the commands on the pages of docs/ and write their output below them.

A block that starts with ``<!-- output -->`` is replaced: each of its lines ``$ COMMAND`` runs, and what it
prints follows. A comment ``<!-- output, after: SHELL COMMAND -->`` runs a shell command first. A line ``...``
at the end of the output keeps the lines before it and leaves out the rest. Run this after a change of the
output, with a folder of photos in one folder per person:

    python docs/make_outputs.py FOLDER [PAGE...]

Each page starts with the album of `make_session`, indexed and clustered; `make_archive.py` writes the page
that has an album of its own. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from make_session import DOCS, make_album, make_environment, run_on_terminal

_OTHER_ALBUM = "family-archive.md"

_HOME = "/home/anna"
"""Replaces the temporary folder in which the commands run, and the home of whoever runs this."""

_BLOCK = re.compile(r"<!-- output(?:, after: (?P<first>.*?))? -->\n```console\n(?P<text>.*?)```\n", re.DOTALL)


def run(command: str, folder: Path) -> str:
    """Run a shell command on a terminal without cursor movements; return what it prints."""
    _, text = run_on_terminal(command, folder, _environment())
    return text.replace(str(folder), _HOME).replace(str(Path.home()), _HOME)


def _environment() -> dict[str, str]:
    environment = {**make_environment("dumb"), "NO_COLOR": "1"}
    environment.pop("FACEINDEX_INDEX", None)
    return environment


def fill(page: str, folder: Path) -> str:
    """Return a page with the output of its commands."""

    def replace(match: re.Match[str]) -> str:
        if match["first"]:
            subprocess.run(match["first"], shell=True, cwd=folder, check=True, env=_environment())
        # Each part starts with a command; what the page has below it decides how much of the output is kept.
        parts = re.split(r"^\$ ", match["text"], flags=re.MULTILINE)[1:]
        filled = []
        for part in parts:
            command, _, shown = part.partition("\n")
            output = run(command, folder).rstrip("\n").split("\n")
            lines = shown.rstrip("\n").split("\n")
            if lines[-1] == "...":
                output = [*output[: len(lines) - 1], "..."]
            filled.append("\n".join(line.rstrip() for line in [f"$ {command}", *output]).rstrip("\n"))
        head = match[0].partition("```console\n")[0]
        return f"{head}```console\n" + "\n\n".join(filled) + "\n```\n"

    return _BLOCK.sub(replace, page)


def main() -> None:
    """Fill the pages."""
    parser = argparse.ArgumentParser(description="Write the output of the commands into the pages of docs/.")
    parser.add_argument("photos", type=Path, help="a folder with a folder of photos for each person")
    parser.add_argument("pages", nargs="*", type=Path, help="pages; all of docs/ by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        prepared, folder = Path(temporary, "prepared"), Path(temporary, "home")
        make_album(arguments.photos.resolve(), folder)
        run("faceindex index photos && faceindex cluster", folder)
        shutil.copytree(folder, prepared, symlinks=True)
        for page in arguments.pages or sorted({*DOCS.glob("*.md")} - {DOCS / _OTHER_ALBUM}):
            text = page.read_text(encoding="utf-8")
            if _BLOCK.search(text):
                shutil.rmtree(folder)
                shutil.copytree(prepared, folder, symlinks=True)  # keeps times, so no photo has changed
                page.write_text(fill(text, folder), encoding="utf-8")


if __name__ == "__main__":
    main()
