"""Output of the commands: streams, colours, columns, numbers."""

from __future__ import annotations

import contextlib
import io
import json as json_module
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from faceindex.cli.escaping import STYLE, escaped, mark, shell_quoted, shown
from faceindex.cli.flags import as_flags
from faceindex.documents import Json

if TYPE_CHECKING:
    from faceindex.cli.tables import Table

__all__ = [
    "STANDARD_OUTPUT",
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

_COLOUR = re.compile(rf"\x1b\[[0-9;]*m|{STYLE}[0-9]")  # of a style, when and before it is printed
_STYLES = {"error": "1;31", "warning": "1;33", "bold": "1", "dim": "2", "good": "32"}
_CODES = ["0", *_STYLES.values()]

STANDARD_OUTPUT = "standard output"
"""The file name in errors of standard output, which has none."""


class StandardOutput:
    """Standard output. Its errors have the file name `STANDARD_OUTPUT`."""

    def write(self, text: str) -> int:
        """Write text as it is."""
        try:
            return sys.stdout.write(text)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise

    def flush(self) -> None:
        """Write buffered text."""
        try:
            sys.stdout.flush()
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


class Output:
    """The two streams of a command.

    Answers go to standard output; progress, notes, warnings and errors go to standard error. Colours are
    used on terminals only, and never if ``NO_COLOR`` is set (https://no-color.org).

    Parameters
    ----------
    json : bool
        Write the answer as one JSON document instead of text.
    quiet : bool
        Leave out notes and warnings.
    verbose : bool
        Print details.

    Attributes
    ----------
    exit_code : int
        Exit code of the command if nothing is raised.
    answered : bool
        Whether a JSON document has been written or begun.
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
        self._start_live: Callable[[], None] | None = None
        # File names may contain undecodable bytes; print them as escapes.
        _set_errors(sys.stdout, "backslashreplace")
        _set_errors(sys.stderr, "backslashreplace")

    # Standard output ---------------------------------------------------------------------------

    @property
    def terminal(self) -> bool:
        """Whether standard output is a terminal."""
        return sys.stdout.isatty()

    @property
    def width(self) -> int | None:
        """Width at which to wrap: of the terminal; None for a pipe or a file, where programs read lines."""
        return _width_of_terminal(sys.stdout)

    def paragraph(self, text: str, *, indent: int = 0, hang: int | None = None) -> None:
        """Print text of the answer, wrapped on a terminal; not with ``--json``.

        Parameters
        ----------
        text : str
        indent, hang : int
            Spaces before the first line, and before later lines; as many if not given.
        """
        for line in _wrapped(" " * indent + escaped(text), self.width, indent if hang is None else hang):
            self.answer(line)

    def answer(self, text: str = "") -> None:
        """Print a line of the answer; not with ``--json``, whose answer is a `document`.

        Control and direction characters of names are shown as escapes, as by everything here that is text.
        """
        if not self.json:
            self._stdout.write(_shown(text) + "\n")

    def picture(self, sequence: str) -> None:
        """Print a picture as an escape sequence of terminals; not with ``--json``."""
        if not self.json:
            self._stdout.write(sequence + "\n")

    def ask(self, prompt: str) -> str:
        """Print a prompt, and return the line that the user types; raises `EOFError` at the end."""
        self.flush()
        return input(_shown(prompt))

    def document(self, schema: str, **fields: Json) -> None:
        """Print the whole answer as JSON; undecodable bytes of names are escaped.

        Raises
        ------
        ValueError
            If a number is NaN or infinite.
        """
        self.answered = True
        text = json_module.dumps({"schema": schema, **fields}, indent=2, allow_nan=False)
        self._stdout.write(text + "\n")
        self.flush()

    def array(
        self, schema: str, name: str, items: Iterable[Json], *, indent: int | None = None, **fields: Json
    ) -> int:
        """Print a document that ends with one long array, item by item; return the number of items.

        Nothing is printed before the first item is there: an error until then has a document of its own.

        Parameters
        ----------
        schema, name : str
            Of the document and of the array.
        items : iterable of JSON values
        indent : int, optional
            Of the keys of an item, as in `document`; None means one line for each.
        fields : JSON values
            Come before the array.
        """
        head = json_module.dumps({"schema": schema, **fields}, indent=2, allow_nan=False)[:-2]
        head += f',\n  "{name}": ['
        number = 0
        for item in items:
            text = json_module.dumps(item, indent=indent, allow_nan=False).replace("\n", "\n    ")
            self.answered = True
            with self.aside():
                self._stdout.write(f"{',' if number else head}\n    {text}")
            number += 1
        self.answered = True
        with self.aside():
            self._stdout.write("\n  ]\n}\n" if number else f"{head}]\n}}\n")
        return number

    def raw(self) -> StandardOutput:
        """Return standard output for CSV: UTF-8, ``\\n`` line ends, undecodable bytes as they are."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
        return self._stdout

    def table(self) -> Table:
        """Return a CSV writer to standard output, whose texts are safe in spreadsheets and on terminals."""
        from faceindex.cli.tables import Table

        return Table(self.raw(), visible=self.terminal)

    def flush(self) -> None:
        """Write buffered text, so that a closed pipe or a full disk raises its error now."""
        self._stdout.flush()

    def styled(self, text: str, style: str) -> str:
        """Return `text` in a style if standard output has styles, else unchanged."""
        return _styled(text, style, sys.stdout)

    # Standard error ----------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Print a line to standard error; not with ``--quiet``."""
        if not self.quiet:
            self._print(text)

    def hint(self, text: str) -> None:
        """Print the next step, if both streams are terminals."""
        if not self.quiet and not self.json and self.terminal and sys.stderr.isatty():
            self._print(text, style="dim")

    def detail(self, text: str) -> None:
        """Print a line to standard error; only with ``--verbose``."""
        if self.verbose and not self.quiet:
            self._print(text)

    def warning(self, text: str) -> None:
        """Print a warning; not with ``--quiet``. Parameters in backticks become flags."""
        if not self.quiet:
            self._print(as_flags(text), label="warning:", style="warning")

    def error(self, problem: str, remedy: str = "") -> None:
        """Print an error and its remedy, one line off a terminal. Parameters in backticks become flags."""
        self._print(as_flags(" ".join(f"{problem} {remedy}".split())), label="error:", style="error")

    def _print(self, text: str, *, label: str = "", style: str = "") -> None:
        """Print text to standard error, wrapped on a terminal; the label has the style, or else the text."""
        text = escaped(text)
        lines = _wrapped(f"{label} {text}" if label else text, _width_of_terminal(sys.stderr), 0)
        if style and label:
            lines[0] = _styled(label, style, sys.stderr) + lines[0][len(label) :]
        elif style:
            lines = [_styled(line, style, sys.stderr) for line in lines]
        text = "\n".join(map(_shown, lines))
        if self._live is not None:
            self._live(text)
        else:
            # Keep the order of lines if both streams are the same file.
            with contextlib.suppress(OSError):  # raised again by the next flush
                sys.stdout.flush()
            with contextlib.suppress(OSError):
                sys.stderr.write(text + "\n")
                sys.stderr.flush()

    # Live displays -----------------------------------------------------------------------------

    @property
    def lively(self) -> bool:
        """Whether a bar or a spinner can be drawn."""
        return not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def attach(
        self, show: Callable[[str], None], stop: Callable[[], None], start: Callable[[], None]
    ) -> None:
        """Print lines for standard error through a live display until `close`.

        Parameters
        ----------
        show : callable
            Prints a line above the display.
        stop, start : callable
            Remove the display, and draw it again.
        """
        self._live, self._stop_live, self._start_live = show, stop, start

    def close(self) -> None:
        """Remove the live display. Does nothing if there is none."""
        stop, self._live, self._stop_live, self._start_live = self._stop_live, None, None, None
        if stop is not None:
            stop()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Remove the live display while text is written to a terminal as the answer, inside the ``with``."""
        stop, start = self._stop_live, self._start_live
        if stop is None or start is None or not self.terminal:
            yield
            return
        stop()
        try:
            yield
            self.flush()
        finally:
            start()

    @contextlib.contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show a spinner on terminals inside the ``with``."""
        if not self.lively:
            yield
            return
        from rich.console import Console

        with Console(stderr=True, highlight=False, markup=False).status(escaped(text)):
            yield


def columns(
    rows: Sequence[Sequence[str]],
    *,
    header: Sequence[str] = (),
    right: Iterable[int] = (),
    indent: int = 0,
    width: int | None = None,
) -> list[str]:
    """Align rows in columns, two spaces apart; return a line for each.

    Parameters
    ----------
    rows : sequence of sequence of str
    header : sequence of str
        First row; empty means none.
    right : iterable of int
        Right-aligned columns, such as numbers.
    indent : int
        Spaces before each line.
    width : int, optional
        Wrap the last column at this width, such as `Output.width`. Words, such as paths, are not divided.
    """
    table = [[escaped(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
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
        lines += _wrapped(
            (" " * indent + "  ".join(cells)).rstrip(), width, indent + sum(widths[:-1]) + 2 * len(widths) - 2
        )
    return lines


def _wrapped(line: str, width: int | None, hang: int) -> list[str]:
    """Wrap a line whose first `hang` characters stay as they are; later lines are indented by as many."""
    if width is None or width_of(line) <= width:
        return [line]
    import textwrap

    room = max(width - hang, 20)
    # A command in backticks stays on one line, to be copied.
    text = re.sub("`[^`]*`", lambda match: match[0].replace(" ", "\xa0"), line[hang:])
    parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    starts = [line[:hang]] + [" " * hang] * (len(parts) - 1)
    return [start + part.replace("\xa0", " ") for start, part in zip(starts, parts, strict=True)]


def _width_of_terminal(stream: TextIO) -> int | None:
    if not stream.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def width_of(text: str) -> int:
    """Return the width of a text in terminal cells: two for wide letters, none for colours and marks."""
    text = _COLOUR.sub("", text)
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: ``1 face``, ``1,200 faces``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Format a duration: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(number: int) -> str:
    """Format a number of bytes in decimal units, as file managers do: ``512 B``, ``1.4 MB``."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"


def finite(value: float | None) -> float | None:
    """Return the number; None if it is None, NaN or infinite, which JSON lacks."""
    return value if value is not None and math.isfinite(value) else None


def _styled(text: str, style: str, stream: TextIO) -> str:
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return mark(1 + list(_STYLES).index(style)) + text + mark(0)


def _shown(text: str) -> str:
    """Return text as it is printed: unsafe characters escaped, styles as escape sequences."""
    return shown(text, lambda style: f"\x1b[{_CODES[style]}m")


def _set_errors(stream: TextIO, errors: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)
