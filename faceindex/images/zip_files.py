"""Zip files (APPNOTE.TXT 6.3.10): their members, and their bytes.

`zipfile` refuses a whole archive for one bad name or one damaged extra field, and reads a list of any size
into memory. So the list is read here, and `zipfile` unpacks the members.
"""

from __future__ import annotations

import calendar
import os
import stat
import struct
import zipfile
from io import FileIO
from itertools import pairwise
from typing import BinaryIO, cast

from faceindex.images.members import MOST_MEMBERS, ArchiveError, Contents, Entry

__all__ = ["list_members", "unpack"]

_END = struct.Struct("<4s4H2LH")  # 4.3.16, end of central directory record
_END_64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14, zip64 end of central directory record
_LOCATOR_BYTES = 20  # 4.3.15
_MEMBER = struct.Struct("<4s4B4H3L5H2L")  # 4.3.12, central directory header
_LOCAL = struct.Struct("<4s2B4H3L2H")  # 4.3.7, local file header
_COMMENT = 0xFFFF  # bytes at most
_MOST_BYTES = 160 * MOST_MEMBERS  # of the list; a header has 46 and a name

_EXPORT = b'{"faceindex-export"'  # begins the comment of `faceindex.export.archive`
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF_8 = 0x800
_DOS, _UNIX = 0, 3  # systems on which a member was made
_ZIP_64, _TIMES = 0x0001, 0x5455  # extra fields: 4.5.3, and the extended timestamp of Info-ZIP
_FULL = 0xFFFFFFFF  # the number is in the extra field
_NEWEST = calendar.timegm((2108, 1, 1, 0, 0, 0))  # the first time that a zip cannot state


def list_members(file: FileIO) -> Contents:
    """List a zip.

    Raises
    ------
    ArchiveError
        If it has no list, or one of more than `MOST_MEMBERS` members, or if members overlap (a zip bomb).
    """
    start, shift, data, comment = _read_list(file)
    contents = Contents(is_export=comment.startswith(_EXPORT))
    spans: list[tuple[int, int]] = []
    position = 0
    while position < len(data):
        if position + _MEMBER.size > len(data):
            raise ArchiveError("its list is cut short")
        fields = _MEMBER.unpack_from(data, position)
        if fields[0] != b"PK\1\2":
            raise ArchiveError("its list is damaged")
        middle = position + _MEMBER.size + fields[12]
        end = middle + fields[13]
        name, extra = data[position + _MEMBER.size : middle], data[middle:end]
        position = end + fields[14]
        offset, packed, size = _large_numbers(extra, fields[18], fields[10], fields[11])
        offset += shift
        if offset + _LOCAL.size + len(name) + packed > start:
            raise ArchiveError("a member is outside of it")
        spans.append((offset, offset + _LOCAL.size + len(name) + packed))
        text = _decoded(name, fields[5], fields[2])
        mode = fields[17] >> 16 if fields[2] == _UNIX else 0
        if text.endswith("/") or stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            continue
        contents.add(
            text,
            Entry(
                offset,
                packed,
                size,
                _modified(extra, fields[7], fields[8]),
                check=fields[9],
                method=fields[6],
                encrypted=bool(fields[5] & _ENCRYPTED),
            ),
        )
    spans.sort()
    if any(following[0] < before[1] for before, following in pairwise(spans)):
        raise ArchiveError("its members overlap, as in a zip bomb")
    return contents


def _read_list(file: FileIO) -> tuple[int, int, bytes, bytes]:
    """Return where the list begins, what is added to the offsets in it, the list, and the comment."""
    length = file.seek(0, os.SEEK_END)
    tail_start = max(0, length - _END.size - _COMMENT)
    tail = _read_at(file, tail_start, length - tail_start)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or found + _END.size > len(tail):
        raise ArchiveError("its end is missing" if length else "the file is empty")
    _, disk, first_disk, _, _, size, stated, _ = _END.unpack_from(tail, found)
    end = tail_start + found
    before = end - _LOCATOR_BYTES - _END_64.size
    if before >= 0 and (record := _read_at(file, before, _END_64.size)).startswith(b"PK\6\6"):
        _, _, _, _, disk, first_disk, _, _, size, stated = _END_64.unpack(record)
        end = before
    if disk or first_disk:
        raise ArchiveError("it is one part of several")
    if size > _MOST_BYTES:
        raise ArchiveError(f"it has more than {MOST_MEMBERS:,} members")
    start = end - size
    if start < 0 or stated > start:
        raise ArchiveError("its list is damaged")
    return start, start - stated, _read_at(file, start, size), tail[found + _END.size :]


def _read_at(file: FileIO, position: int, size: int) -> bytes:
    file.seek(position)
    parts = b""
    while len(parts) < size and (part := file.read(size - len(parts))):
        parts += part
    if len(parts) < size:
        raise ArchiveError("it is cut short")
    return parts


def _decoded(name: bytes, flags: int, system: int) -> str:
    """Return a name as text; without the flag as UTF-8 if it is valid, else in the encoding of DOS."""
    if flags & _UTF_8:
        text = name.decode("utf-8", "surrogateescape")
    else:
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError:
            text = name.decode("cp437")
    return text.replace("\\", "/") if system == _DOS and "/" not in text else text


def _fields(extra: bytes) -> dict[int, bytes]:
    """Return the extra fields by their ids; what is damaged is left out."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, position)
        found.setdefault(kind, extra[position + 4 : position + 4 + size])
        position += 4 + size
    return found


def _large_numbers(extra: bytes, offset: int, packed: int, size: int) -> tuple[int, int, int]:
    """Return the numbers of a member, from the zip64 field if they do not fit into 32 bits."""
    if _FULL not in (offset, packed, size):
        return offset, packed, size
    rest = _fields(extra).get(_ZIP_64, b"")
    numbers = []
    for number in (size, packed, offset):  # the order of the field
        if number == _FULL and len(rest) >= 8:
            number, rest = int.from_bytes(rest[:8], "little"), rest[8:]
        numbers.append(number)
    return numbers[2], numbers[1], numbers[0]


def _modified(extra: bytes, time: int, date: int) -> int:
    """Return the time of modification in nanoseconds since 1970; local time of DOS is read as UTC."""
    if extra:
        stated = _fields(extra).get(_TIMES, b"")
        if len(stated) >= 5 and stated[0] & 1:
            return int.from_bytes(stated[1:5], "little", signed=True) * 1_000_000_000
    day = (1980 + (date >> 9), min(max(date >> 5 & 15, 1), 12), max(date & 31, 1))
    seconds = calendar.timegm((*day, time >> 11, time >> 5 & 63, (time & 31) * 2))
    return min(seconds, _NEWEST) * 1_000_000_000


def unpack(file: FileIO, entry: Entry) -> BinaryIO:
    """Return the unpacked bytes of a member, as a file whose content is checked at its end.

    Raises
    ------
    ArchiveError, NotImplementedError
        If there is no member there, or its compression is none of those of `zipfile`.
    """
    header = _read_at(file, entry.offset, _LOCAL.size)
    fields = _LOCAL.unpack(header)
    if fields[0] != b"PK\3\4":
        raise ArchiveError("its header is damaged")
    file.seek(fields[10] + fields[11], os.SEEK_CUR)
    info = zipfile.ZipInfo("member")
    info.compress_type = entry.method
    info.compress_size, info.file_size = entry.packed, entry.size
    info.CRC = entry.check or 0
    return cast("BinaryIO", zipfile.ZipExtFile(cast("BinaryIO", file), "r", info))
