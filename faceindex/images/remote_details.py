"""What a store states of an object: its size, its time, and a mark of its content."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from faceindex.images.listing import limited_time

__all__ = ["Details", "details_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Where each library states when an object was modified, and what changes with its content.
_TIMES = (
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "modified",
    "modify",
    "last_write_time",
    "Last-Modified",
    "created",
)
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "generation", "version_id")


class Details(NamedTuple):
    """What a store states of an object.

    Attributes
    ----------
    size : int
        Bytes; 0 if unknown.
    mtime_ns : int
        Nanoseconds since 1970, limited to 64 bits; 0 if unknown.
    mark : int
        63 bits of the hash of its ETag, or of what the store has in place of one; 0 if it has none.
    """

    size: int
    mtime_ns: int
    mark: int


def details_of(info: dict[str, Any]) -> Details:
    """Return what a store states of an object, from fsspec's description of it."""
    size = info.get("size", info.get("Size"))
    mark = next((info[name] for name in _MARKS if info.get(name)), None)
    digest = b"" if mark is None else blake2b(str(mark).encode(), digest_size=8).digest()
    time = next((info[name] for name in _TIMES if info.get(name)), None)
    return Details(int(size or 0), limited_time(_nanoseconds(time)), int.from_bytes(digest, "big") >> 1)


def _nanoseconds(time: object) -> int:
    if isinstance(time, str):
        with suppress(ValueError, TypeError):
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
    if isinstance(time, str):
        with suppress(ValueError):  # FTP (RFC 3659): 20200101120000, perhaps with a fraction
            time = datetime.strptime(time.partition(".")[0], "%Y%m%d%H%M%S")
    if isinstance(time, str):
        with suppress(ValueError, TypeError):
            time = parsedate_to_datetime(time)
    if isinstance(time, datetime):
        time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
        return (time - _EPOCH) // timedelta(microseconds=1) * 1_000
    return int(time * 1_000_000_000) if isinstance(time, (int, float)) else 0
