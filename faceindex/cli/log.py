"""The log file of `index`: one line for each event, as text, or as JSON if its name ends in .jsonl."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from faceindex.cli.errors import PARTIAL
from faceindex.cli.escaping import escaped
from faceindex.cli.flags import as_flags
from faceindex.cli.render import Output, count
from faceindex.errors import FaceIndexError, UsageError
from faceindex.images import IMAGE_SUFFIXES
from faceindex.pipeline.events import (
    Committed,
    ContentChanged,
    Event,
    PhotoDone,
    PhotoFailed,
    PhotoUnfinished,
    Warned,
)
from faceindex.store import Store

if TYPE_CHECKING:
    from faceindex.documents import Json

__all__ = ["RunLog"]

_HEAD = 4096  # bytes that are checked to be text


class RunLog:
    """Appends the events of a run to a file. Use as a context manager: an error that ends the run is logged.

    If the disk is full or fails during the run, a warning is printed and the run continues without a log.

    Parameters
    ----------
    path : Path
        Created if missing, readable for this user alone.
    directory : Path
        The index directory; it need not exist.
    out : Output
        For the warning.

    Raises
    ------
    UsageError
        If the file is inside an index, is named like a photo, is not a text file, or cannot be opened.
    """

    def __init__(self, path: Path, directory: Path, out: Output) -> None:
        self.path = path
        self._out = out
        self._as_json = path.suffix.lower() == ".jsonl"
        _check_place(path, directory)
        try:
            _check_text(path)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            opened = os.open(path, flags, 0o600)  # it has the paths of photos
            self._file: BinaryIO | None = open(opened, "ab", buffering=0)  # noqa: PTH123, SIM115
        except OSError as error:
            raise UsageError(
                f"The log {path} cannot be opened: {error.strerror}.", "Choose another file for --log."
            ) from error

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FaceIndexError):
            self._write_problem("error", as_flags(error.problem), as_flags(error.remedy))
        elif error is not None and not isinstance(error, SystemExit):
            self._write_problem("error", f"{type(error).__name__}: {error}".rstrip(": "), "")
        self._close()

    def on_event(self, event: Event) -> None:
        """Append the line of one event, if it has one."""
        match event:
            case PhotoDone(path, faces, note):
                text = f"{path}: {count(faces, 'face')}" + (f". {note}" if note else "")
                self._write("photo", text, {"path": path, "faces": faces, "note": note})
            case ContentChanged(path, damaged):
                text = "not the indexed content, although size and time are unchanged"
                text += "; the file system reports no write" if damaged else ""
                self._write("content changed", f"{path}: {text}", {"path": path, "damaged": damaged})
            case PhotoFailed(error):
                self._write_problem(
                    "failure",
                    as_flags(error.problem),
                    as_flags(error.remedy),
                    {"path": error.path, "reason": error.reason.value},
                )
            case PhotoUnfinished(path):
                self._write("unfinished", f"{path}: still being written", {"path": path})
            case Warned(message):
                message = as_flags(message)
                self._write("warning", message, {"message": message})
            case Committed(photos):
                self._write("commit", count(photos, "photo"), {"photos": photos})

    def write_summary(self, fields: Mapping[str, Json]) -> None:
        """Append the summary: its numbers that are not zero as text, all fields as JSON."""
        parts = (
            name if value is True else f"{name} {value}"
            for name, value in fields.items()
            if value and isinstance(value, (int, float))
        )
        self._write("summary", ", ".join(parts), fields)

    def _write_problem(
        self, event: str, problem: str, remedy: str, fields: Mapping[str, Json] | None = None
    ) -> None:
        text = f"{problem} {remedy}".rstrip()
        self._write(event, text, {**(fields or {}), "problem": problem, "remedy": remedy})

    def _write(self, event: str, text: str, fields: Mapping[str, Json]) -> None:
        if self._file is None:
            return
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        if self._as_json:
            line = json.dumps({"time": now, "event": event, **fields})
        else:
            line = escaped(f"{now} {event}: {text}")
        try:
            # One write for each line, so that lines of two programs do not mix.
            self._file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        except OSError as error:
            self._close()
            self._out.exit_code = PARTIAL
            self._out.warning(f"The log {self.path} cannot be written: {error.strerror}. It ends here.")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _check_place(path: Path, directory: Path) -> None:
    real = Path(os.path.realpath(path))
    if real.is_relative_to(os.path.realpath(directory)) or any(map(Store.exists, real.parents)):
        raise UsageError(f"The log {path} would be inside the index.", "Choose another folder for --log.")
    if real.suffix.lower() in IMAGE_SUFFIXES:
        raise UsageError(f"The log {path} is named like a photo.", "Choose a name like index.log.")


def _check_text(path: Path) -> None:
    """Raise `UsageError` for a file that is not text, such as a photo without a suffix."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return
    if not regular:
        return  # a device or pipe
    with path.open("rb") as file:
        head = file.read(_HEAD)
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be cut.
        text = "\0" if error.start < len(head) - 3 or len(head) < _HEAD else ""
    if "\0" in text:
        raise UsageError(f"{path} exists and is not a text file.", "Choose another file for --log.")
