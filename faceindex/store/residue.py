"""Search files for the bytes of vectors and of names, wherever they are in a file.

A vector is divided into fragments of 16 bytes. A file with any run of 31 bytes of a vector has one of them,
whatever its alignment. So free pages, write-ahead logs, HNSW indexes and unfinished files are searched like
the file of the vectors. The members of zip files (``.npz`` too) are searched as they are unpacked.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shlex
import stat
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from faceindex.store.raw_files import reading
from faceindex.types import F32, U8

__all__ = ["LEAST_NAME", "Found", "Residue", "files_below", "forms_of_text", "search_file"]

LEAST_NAME = 4
"""Bytes of the shortest name that is searched for in files: shorter ones occur everywhere by chance."""

_FRAGMENT = 16  # bytes
_CHUNK = 1 << 22
_HASH_BITS = 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: spreads the keys over the table
_LONGEST_UNPACKED = 1 << 32  # bytes of a member of an archive


@dataclass(slots=True)
class Found:
    """What was found in some files.

    Attributes
    ----------
    files, bytes : int
        What was searched.
    fragments : int
        Places with a fragment of a vector or of the measures of a face.
    names : int
        Places with a name that nothing else explains.
    places : Counter of str
        Number of both by file.
    unreadable : list of str
        Files that could not be searched.
    """

    files: int = 0
    bytes: int = 0
    fragments: int = 0
    names: int = 0
    places: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)


class Residue:
    """What is searched for.

    Parameters
    ----------
    vectors : sequence of (n, d) float32
        Of one or several models.
    measures : sequence of bytes
        What the detector measured, as the catalog stores it.
    texts : iterable of str
        Names and other texts.
    living : iterable of str
        Texts that stay and may contain these: names of other people, and paths of photos.
    stems : iterable of str
        Names of photos without suffix that stay: exports add a number and a suffix to them.

    Attributes
    ----------
    fragments : int
        Number of different fragments.
    """

    def __init__(
        self,
        vectors: Sequence[F32],
        measures: Sequence[bytes] = (),
        texts: Iterable[str] = (),
        living: Iterable[str] = (),
        stems: Iterable[str] = (),
    ) -> None:
        parts = [_fragments(np.ascontiguousarray(v, "<f4").view(np.uint8)) for v in vectors if v.size]
        parts += [_as_base64(v) for v in vectors if v.size]
        parts += [_as_text(v) for v in vectors if v.size]
        for length in {*map(len, measures)}:
            block = np.frombuffer(b"".join(m for m in measures if len(m) == length), np.uint8)
            parts.append(_fragments(block.reshape(-1, length)))
        found = np.concatenate(parts) if parts else np.empty((0, _FRAGMENT), np.uint8)
        self._set(_without_plain(np.unique(found, axis=0)))
        self.texts = {text: forms_of_text(text) for text in dict.fromkeys(texts) if text}
        self._words = [
            re.compile(_bounded(form))
            for forms in self.texts.values()
            for form in forms
            if len(form) >= LEAST_NAME
        ]
        every = {form for text in living for form in forms_of_text(text)}
        self._living = [re.compile(re.escape(text)) for text in sorted(every, key=len, reverse=True)]
        self._living += [
            re.compile(re.escape(form) + rb"_[0-9a-f]{1,16}\.[A-Za-z0-9]{2,4}(?![0-9A-Za-z])")
            for stem in stems
            for form in forms_of_text(stem)
        ]

    def _set(self, fragments: U8) -> None:
        self._wanted = {row.tobytes() for row in fragments}
        self._keys = np.unique(fragments[:, :8].copy().view("<u8").ravel())
        self._table = np.zeros(1 << _HASH_BITS, np.bool_)
        self._table[_slots(self._keys)] = True

    @property
    def fragments(self) -> int:
        """Number of different fragments."""
        return len(self._wanted)

    def leave_out(self, vectors: F32, measures: Sequence[bytes] = ()) -> None:
        """Do not search for fragments that faces of the index have, too, such as those of equal photos."""
        if vectors.size:
            self._leave_out(_fragments(np.ascontiguousarray(vectors, "<f4").view(np.uint8)))
        for length in {*map(len, measures)}:
            block = np.frombuffer(b"".join(m for m in measures if len(m) == length), np.uint8)
            self._leave_out(_fragments(block.reshape(-1, length)))

    def _leave_out(self, live: U8) -> None:
        if not self._wanted:
            return
        keys = live[:, :8].copy().view("<u8").ravel()
        shared = {row.tobytes() for row in live[np.isin(keys, self._keys)]}
        if shared & self._wanted:
            left = sorted(self._wanted - shared)
            self._set(np.frombuffer(b"".join(left), np.uint8).reshape(-1, _FRAGMENT))

    def count_fragments(self, content: bytes) -> int:
        """Count the fragments in some bytes, at any position."""
        if not self._wanted or len(content) < _FRAGMENT:
            return 0
        number = 0
        raw = np.frombuffer(content, np.uint8)
        for offset in range(8):
            keys = raw[offset : offset + (len(raw) - offset) // 8 * 8].view("<u8")
            for at in np.flatnonzero(self._table[_slots(keys)]).tolist():
                start = offset + 8 * at
                number += content[start : start + _FRAGMENT] in self._wanted
        return number

    def count_names(self, content: bytes) -> int:
        """Count the names in some bytes as whole words, without those inside texts that stay."""
        if not self._words:
            return 0
        if not any(word.search(content) for word in self._words):
            return 0
        for text in self._living:
            content = text.sub(b"\x00", content)
        return sum(sum(1 for _ in word.finditer(content)) for word in self._words)


def search_file(path: Path, residue: Residue, found: Found, *, names: bool = True) -> None:
    """Search a file, and the members of an archive.

    Parameters
    ----------
    path : Path
        A regular file; other files, and links, are not opened.
    residue : Residue
    found : Found
        Gets the result.
    names : bool
        Whether to search for names as well.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return
        with reading(path) as file:
            found.files += 1
            _search(file, str(path), residue, found, names)
        if path.suffix.lower() in (".zip", ".npz") and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.compress_type != zipfile.ZIP_STORED and member.file_size <= _LONGEST_UNPACKED:
                        with archive.open(member) as unpacked:
                            _search(unpacked, str(path), residue, found, names)  # type: ignore[arg-type]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        found.unreadable.append(str(path))


def _search(file: BinaryIO, name: str, residue: Residue, found: Found, names: bool) -> None:
    overlap = max([_FRAGMENT, *(len(form) + 2 for forms in residue.texts.values() for form in forms)]) - 1
    for chunk, before in _chunks(file, overlap):
        found.bytes += len(chunk) - before
        fragments = residue.count_fragments(chunk)
        words = residue.count_names(chunk) if names else 0
        if fragments or words:
            found.fragments += fragments
            found.names += words
            found.places[name] += fragments + words


def _chunks(file: BinaryIO, overlap: int) -> Iterator[tuple[bytes, int]]:
    """Yield the content in parts that overlap, each with the number of bytes that the last one had, too."""
    before = b""
    while content := file.read(_CHUNK):
        yield before + content, len(before)
        before = (before + content)[-overlap:]


def forms_of_text(text: str) -> set[bytes]:
    """Return how a text may be written in a file: encodings, Unicode forms, and the escapes of formats."""
    found: set[bytes] = set()
    for form in {text, text.casefold(), *(unicodedata.normalize(f, text) for f in ("NFC", "NFD", "NFKC"))}:
        escaped = json.dumps(form)[1:-1]
        shell = shlex.quote(f"{form} ")[1:-2]  # inside the quotes of a command
        url = quote(form, safe="/", errors="surrogatepass")
        plain = (form, shell, form.replace('"', '""'), html.escape(form), url)
        for written in (*plain, escaped, json.dumps(shell)[1:-1]):
            found.add(written.encode("utf-8", "surrogateescape"))
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
            found.add(form.encode(encoding, "surrogatepass"))
    return found


def _bounded(form: bytes) -> bytes:
    """Return a pattern of a text that is not a part of a longer word."""
    if b"\x00" in form:  # UTF-16 and UTF-32
        return re.escape(form)
    return rb"(?<![0-9A-Za-z\x80-\xff])" + re.escape(form) + rb"(?![0-9A-Za-z\x80-\xff])"


def _slots(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        slots: NDArray[np.uint64] = (keys * _FACTOR) >> np.uint64(64 - _HASH_BITS)
    return slots


def _fragments(rows: U8) -> U8:
    """Divide rows of bytes into fragments; what is left at their ends counts with the bytes before it."""
    width = rows.shape[1]
    if width < _FRAGMENT:
        return np.empty((0, _FRAGMENT), np.uint8)
    whole = width // _FRAGMENT * _FRAGMENT
    parts = [rows[:, :whole].reshape(-1, _FRAGMENT)]
    if whole < width:
        parts.append(rows[:, width - _FRAGMENT :])
    return np.concatenate(parts)


def _as_base64(vectors: F32) -> U8:
    """Return fragments of the vectors as base64, for each of the three places at which a group may begin."""
    own = np.ascontiguousarray(vectors, "<f4").view(np.uint8)
    starts = [s for s in (0, 1, 2, *(own.shape[1] // 2 + s for s in range(3))) if s + 12 <= own.shape[1]]
    text = b"".join(base64.b64encode(row[s : s + 12].tobytes()) for row in own for s in starts)
    return np.frombuffer(text, np.uint8).reshape(-1, _FRAGMENT)


def _as_text(vectors: F32) -> U8:
    """Return fragments of the vectors as text, as in CSV and JSON: the shortest decimal numbers."""
    texts = []
    for start in sorted({0, max(0, vectors.shape[1] // 2 - 2)}):
        for row in vectors[:, start : start + 4]:
            numbers = [str(number) for number in row]
            texts += [joined for sep in (",", ", ") if len(joined := sep.join(numbers).encode()) >= _FRAGMENT]
    return np.frombuffer(b"".join(t[:_FRAGMENT] for t in texts), np.uint8).reshape(-1, _FRAGMENT)


def _without_plain(fragments: U8) -> U8:
    """Leave out fragments that say nothing: zeros, NaN, one number repeated."""
    words = fragments.copy().view("<u4")
    plain = (words == words[:, :1]).all(axis=1) | (words[:, :2] == 0).all(axis=1)
    kept: U8 = fragments[~plain]
    return kept


def files_below(path: Path) -> Iterator[Path]:
    """Yield a file, or all regular files below a folder, without following links."""
    if not path.is_dir() or path.is_symlink():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield Path(folder) / name
