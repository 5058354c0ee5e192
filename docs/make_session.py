"""Record a real terminal session: the picture `docs/session.svg` and the first session in README.md.

Run it after a change of the output, with a folder of photos in one folder per person:

    python docs/make_session.py FOLDER

It copies 12 photos of each of four people to a temporary folder, runs the commands there on a terminal of
80 columns, and writes both files. Needs Linux or macOS, and rich.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"

PEOPLE, PHOTOS = 4, 12
COLUMNS = 80
SESSION = (
    "faceindex index photos",
    "faceindex cluster",
    "faceindex identify new/someone.jpg",
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def make_album(source: Path, target: Path) -> None:
    """Copy photos of a few people, and one more photo of the second person to identify."""
    people = sorted(folder for folder in source.iterdir() if folder.is_dir())[:PEOPLE]
    for person in people:
        folder = target / "photos" / person.name.lower().replace(" ", "-")
        folder.mkdir(parents=True)
        for number, photo in enumerate(sorted(person.iterdir())[:PHOTOS], 1):
            shutil.copy(photo, folder / f"{number:02}.jpg")
    (target / "new").mkdir()
    shutil.copy(sorted(people[1].iterdir())[PHOTOS], target / "new" / "someone.jpg")


def make_environment(terminal: str) -> dict[str, str]:
    """Return the environment of a command on a kind of terminal; this Python's programs come first."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "COLUMNS": str(COLUMNS), "TERM": terminal, "PATH": programs}


def run_on_terminal(
    command: str, folder: Path, environment: dict[str, str], errors: IO[bytes] | None = None
) -> tuple[int, str]:
    """Run a shell command on a terminal; return its exit code and what it prints there.

    Standard error goes to `errors`; by default to the terminal, too.
    """
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        command, shell=True, cwd=folder, stdout=writer, stderr=errors or writer, env=environment
    )
    os.close(writer)
    output = b""
    while True:
        try:
            if select.select([reader], [], [], 0.1)[0]:
                block = os.read(reader, 4096)
                if not block:
                    break
                output += block
        except OSError:  # the terminal is closed
            break
    os.close(reader)
    return process.wait(), output.decode().replace("\r\n", "\n")


def run(command: str, folder: Path) -> str:
    """Run a command; return what its standard output shows on a terminal with colours."""
    environment = make_environment("xterm-256color")
    environment.pop("NO_COLOR", None)
    with tempfile.TemporaryFile() as errors:
        code, output = run_on_terminal(command, folder, environment, errors)
        if code:
            errors.seek(0)
            raise SystemExit(f"{command}: exit code {code}\n{errors.read().decode()}")
    return output.rstrip("\n")


def main() -> None:
    """Write the picture and the session in README.md."""
    parser = argparse.ArgumentParser(description="Record docs/session.svg and the session in README.md.")
    parser.add_argument("photos", type=Path, help="a folder with a folder of photos for each person")
    source = parser.parse_args().photos.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_album(source, folder)
        session = [(command, run(command, folder)) for command in SESSION]

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for command, output in session:
            console.print(Text.assemble(("$ ", "green"), (command, "bold")))
            console.print(Text.from_ansi(output), soft_wrap=True)
            console.print()
        svg = console.export_svg(title="faceindex", unique_id="session")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # rich refers to fonts on the web
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    (DOCS / "session.svg").write_text(svg, encoding="utf-8")

    text = "\n\n".join(f"$ {command}\n{_ESCAPES.sub('', output)}" for command, output in session)
    readme = README.read_text(encoding="utf-8")
    block = f"<!-- session -->\n```console\n{text}\n```\n"
    readme, found = re.subn(r"<!-- session -->\n```console\n.*?```\n", lambda _: block, readme, flags=re.S)
    if not found:
        raise SystemExit("README.md has no <!-- session --> block.")
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
