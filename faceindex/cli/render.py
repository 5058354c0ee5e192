"""Where words go and what they look like: streams, colours, columns, numbers."""

from __future__ import annotations

import contextlib
import io
import json as json_module
import math
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TextIO, TypeAlias

__all__ = [
    "STANDARD_OUTPUT",
    "Json",
    "Output",
    "StandardOutput",
    "columns",
    "count",
    "duration",
    "finite",
    "shell_quoted",
    "size",
    "width_of",
]

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

_STYLES = {"error": "1;31", "warning": "1;33", "bold": "1", "dim": "2", "good": "32"}


STANDARD_OUTPUT = "standard output"
"""What it is called in errors, for which the system knows no file name."""


class StandardOutput:
    """Standard output, whose errors say that they are its own."""

    def write(self, text: str) -> int:
        """Write text as it is."""
        try:
            return sys.stdout.write(text)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise

    def flush(self) -> None:
        """Write out what is buffered."""
        try:
            sys.stdout.flush()
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


class Output:
    """The two streams of a command.

    Answers go to standard output; progress, notes, warnings and errors to standard error. Colours
    are used on terminals only, and never when ``NO_COLOR`` is set (https://no-color.org).

    Parameters
    ----------
    json : bool
        Whether the answer is one JSON document instead of text.
    quiet : bool
        Whether notes and warnings are left out.
    verbose : bool
        Whether details are told.

    Attributes
    ----------
    exit_code : int
        With which the command ends if nothing is raised.
    answered : bool
        Whether a JSON document has been written, or begun.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.exit_code = 0
        self.answered = False
        self._stdout = StandardOutput()
        self._live: Callable[[str], None] | None = None
        self._stop_live: Callable[[], None] | None = None
        # File names may hold bytes that are no text; a terminal shows them as escapes.
        _set_errors(sys.stdout, "backslashreplace")
        _set_errors(sys.stderr, "backslashreplace")

    # Standard output ---------------------------------------------------------------------------

    @property
    def terminal(self) -> bool:
        """Whether the answer is read by a person."""
        return sys.stdout.isatty()

    def answer(self, text: str = "") -> None:
        """A line of the answer; not under ``--json``, whose answer is `document`."""
        if not self.json:
            self._stdout.write(text + "\n")

    def document(self, schema: str, **fields: Json) -> None:
        """The whole answer as JSON. Names that are no text are escaped, NaN is null."""
        self.answered = True
        text = json_module.dumps({"schema": schema, **fields}, indent=2, allow_nan=False)
        self._stdout.write(text + "\n")
        self.flush()

    def array(self, schema: str, name: str, items: Iterable[Json]) -> int:
        """A document with one long array, written as it comes; returns its length."""
        self.answered = True
        self._stdout.write(f'{{\n  "schema": {json_module.dumps(schema)},\n  "{name}": [')
        number = 0
        for item in items:
            self._stdout.write(",\n    " if number else "\n    ")
            self._stdout.write(json_module.dumps(item, allow_nan=False))
            number += 1
        self._stdout.write("\n  ]\n}\n" if number else "]\n}\n")
        return number

    def raw(self) -> StandardOutput:
        """Standard output for tables that programs read: UTF-8, ``\\n``, file names byte by byte."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
        return self._stdout

    def flush(self) -> None:
        """Write out what is buffered, so that a closed pipe or a full disk shows now."""
        self._stdout.flush()

    def styled(self, text: str, style: str) -> str:
        """`text` for standard output in a style, where there are styles."""
        return _styled(text, style, sys.stdout)

    # Standard error ----------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A line beside the answer; not with ``--quiet``."""
        if not self.quiet:
            self._say(text)

    def hint(self, text: str) -> None:
        """What to do next, told to people only."""
        if not self.quiet and not self.json and self.terminal and sys.stderr.isatty():
            self._say(_styled(text, "dim", sys.stderr))

    def detail(self, text: str) -> None:
        """A line that is told with ``--verbose``."""
        if self.verbose and not self.quiet:
            self._say(text)

    def warning(self, text: str) -> None:
        """Something that the user should know; not with ``--quiet``."""
        self.note(f"{_styled('warning:', 'warning', sys.stderr)} {text}")

    def error(self, problem: str, remedy: str = "") -> None:
        """What is wrong, and what to do about it, on one line."""
        text = " ".join(f"{problem} {remedy}".split())
        self._say(f"{_styled('error:', 'error', sys.stderr)} {text}")

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live(text)
        else:
            # What was answered before comes first, also where both streams end in one file.
            with contextlib.suppress(OSError):  # what cannot be written shows at the next flush again
                sys.stdout.flush()
            with contextlib.suppress(OSError):
                sys.stderr.write(text + "\n")
                sys.stderr.flush()

    # Live displays -----------------------------------------------------------------------------

    @property
    def lively(self) -> bool:
        """Whether a bar or a spinner may be drawn."""
        return not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def attach(self, say: Callable[[str], None], stop: Callable[[], None]) -> None:
        """Send lines for standard error through a live display until `close`."""
        self._live, self._stop_live = say, stop

    def close(self) -> None:
        """Take a live display away. Harmless when there is none."""
        stop, self._live, self._stop_live = self._stop_live, None, None
        if stop is not None:
            stop()

    @contextlib.contextmanager
    def working(self, text: str) -> Iterator[None]:
        """A spinner on terminals while something takes its time."""
        if not self.lively:
            yield
            return
        from rich.console import Console

        with Console(stderr=True, highlight=False).status(text):
            yield


def columns(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Iterable[int] = (), indent: int = 0
) -> list[str]:
    """Lines with aligned columns, two spaces apart; the last one is as long as it likes.

    Parameters
    ----------
    rows : sequence of sequence of str
    header : sequence of str
        The first line; none if empty.
    right : iterable of int
        Columns that are flush right, as numbers are.
    indent : int
        Spaces before each line.
    """
    table = [*([list(header)] if header else []), *rows]
    if not table:
        return []
    flush_right = set(right)
    widths = [max(width_of(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = []
        for i, cell in enumerate(row):
            padding = " " * (widths[i] - width_of(cell))
            cells.append(padding + cell if i in flush_right else cell + padding)
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


def width_of(text: str) -> int:
    """Cells that a text takes on a terminal: two for wide letters, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 face``, ``1,200 faces``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(number: int) -> str:
    """``512 B``, ``1.4 MB``: decimal units, as disks are sold and file managers count."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def finite(value: float | None) -> float | None:
    """The number, or None where there is none: JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None


def shell_quoted(path: str | os.PathLike[str]) -> str:
    """A path that can be pasted into a command."""
    import shlex

    return shlex.quote(os.fspath(path))


def _styled(text: str, style: str, stream: TextIO) -> str:
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _set_errors(stream: TextIO, errors: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)
