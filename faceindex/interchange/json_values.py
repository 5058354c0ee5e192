"""The values of JSON files of any size, one by one.

A list of photos is read in parts, so that 100,000 photos need the memory of one. JSON lines, and documents
one after the other, are read likewise.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from faceindex.interchange.sources import encoding_of, files_below, is_file, note, open_source, unreadable

__all__ = ["LONGEST_VALUE", "json_files", "json_values", "objects_in"]

LONGEST_VALUE = 256 << 20
"""Characters of one value: of one photo in a list, or of a whole document that is no list."""

_EXTENSIONS = (".json", ".jsonl", ".ndjson")
_DEEPEST = 6  # lists and objects around a record
_CHUNK = 1 << 20
_SPACE = " \t\r\n"
_LOOSE = 16  # characters before the end of what was read, in which an error may be due to the cut
_MOST_ERRORS = 20  # in a row, after which a file is no JSON
_CUT = "cut off"


def json_values(path: str | os.PathLike[str], problems: list[str]) -> Iterator[Any]:
    """Yield the items of a list, or the values of a file with several: one to a line, or one after the other.

    ``NaN`` and ``Infinity`` become None. What is no JSON is noted; in a file of lines, the next line follows.

    Parameters
    ----------
    path : path-like
    problems : list of str
        Gets a sentence for each part that is damaged.

    Raises
    ------
    UsageError
        If the file cannot be opened.
    """
    try:
        file = open_source(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with file:
        try:
            values = _Values(file, os.fspath(path), problems)
        except OSError as error:
            raise unreadable(path, error) from error
        yield from values


def objects_in(
    value: object, wanted: Callable[[dict[str, Any]], bool], depth: int = _DEEPEST
) -> Iterator[dict[str, Any]]:
    """Yield the outermost objects of a JSON value for which `wanted` is true, down to some depth."""
    if isinstance(value, dict):
        if wanted(value):
            yield value
            return
        children: Iterable[object] = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return
    if depth > 0:
        for child in children:
            yield from objects_in(child, wanted, depth - 1)


def json_files(root: Path, problems: list[str], extensions: tuple[str, ...] = _EXTENSIONS) -> Iterator[Path]:
    """Yield a file as it is; of a folder, the files with JSON in it and below."""
    if is_file(root):
        yield root
        return
    for folder, _, names in files_below(root, lambda name: name.lower().endswith(extensions), problems):
        yield from (Path(folder, name) for name in names)


def _nothing(_constant: str) -> None:
    return None


class _Values:
    """Iterates over the values of an open file."""

    def __init__(self, file: BufferedReader, name: str, problems: list[str]) -> None:
        self._file = file
        self._name = name
        self._problems = problems
        self._decoder = json.JSONDecoder(parse_constant=_nothing, strict=False)
        encoding = encoding_of(file.peek(4)[:4]) or "utf-8"
        self._text = codecs.getincrementaldecoder(encoding)("replace")
        self._buffer = ""
        self._start = 0  # of what is not yet parsed
        self._ended = False
        self._errors = 0
        self._value: Any = None

    def __iter__(self) -> Iterator[Any]:
        in_list = False
        while self._skip(_SPACE + "," if in_list else _SPACE):
            if in_list and self._buffer[self._start] == "]":
                self._start += 1
                in_list = False
                continue
            if not in_list and self._buffer[self._start] == "[":
                self._start += 1
                in_list = True
                continue
            found, value = self._parse()
            if found:
                self._errors = 0
                yield value
            elif in_list or not self._next_line():
                return
        if in_list:
            note(self._problems, f"{self._name}: The file is cut off.")

    def _more(self) -> bool:
        """Read as much again as there is; return False at the end of the file."""
        if self._ended:
            return False
        self._buffer = self._buffer[self._start :]
        self._start = 0
        try:
            data = self._file.read(max(_CHUNK, len(self._buffer)))
        except OSError as error:
            note(self._problems, f"{self._name}: {error.strerror or error}.")
            data = b""
        self._ended = not data
        self._buffer += self._text.decode(data, final=self._ended)
        return True

    def _skip(self, characters: str) -> bool:
        """Go to the next character that is none of these; return False at the end of the file."""
        while True:
            while self._start < len(self._buffer) and self._buffer[self._start] in characters:
                self._start += 1
            if self._start < len(self._buffer):
                return True
            if not self._more():
                return False

    def _parse(self) -> tuple[bool, Any]:
        while (problem := self._attempt()) == _CUT:
            if self._ended:
                return self._fail("the file is cut off, or is no JSON")
            if len(self._buffer) - self._start > LONGEST_VALUE:
                return self._fail(f"a value is longer than {LONGEST_VALUE:,} characters, or has no end")
            self._more()
        if problem is not None:
            return self._fail(problem)
        return True, self._value

    def _attempt(self) -> str | None:
        """Parse the next value; return what is wrong, or `_CUT` if it may be that more must be read."""
        try:
            self._value, self._start = self._decoder.raw_decode(self._buffer, self._start)
        except json.JSONDecodeError as error:
            cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _LOOSE
            return _CUT if cut else f"no JSON ({error.msg})"
        except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists in lists
            return "a number is too long, or lists are nested too deeply"
        return None

    def _fail(self, problem: str) -> tuple[bool, None]:
        note(self._problems, f"{self._name}: A part cannot be read: {problem}.")
        return False, None

    def _next_line(self) -> bool:
        """Go to the next line; return False at the end, or if nothing but errors came."""
        self._errors += 1
        if self._errors >= _MOST_ERRORS:
            note(self._problems, f"{self._name}: The rest is left out.")
            return False
        while (end := self._buffer.find("\n", self._start)) < 0:
            self._start = len(self._buffer)
            if not self._more():
                return False
        self._start = end + 1
        return True
