"""Read requests strictly: what is missing, of a wrong kind, too large or not expected is refused."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from faceindex.review.answers import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Fields", "read_body", "read_document", "read_query"]

_MOST_ID: Final = 2**63 - 1  # that SQLite stores
_MOST_IDS: Final = 200_000  # in one request
_LONGEST_TEXT: Final = 20_000  # characters; the library limits names and notes further
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_MOST_DOCUMENT: Final = 4 << 20  # bytes
_SECONDS: Final = 10.0  # for a document to arrive


class Fields:
    """The fields of a request. Each is taken once; `end` refuses what is left.

    Parameters
    ----------
    values : mapping
        Of JSON values, or of the texts of a query.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def integer(self, name: str, default: int | None = None, *, most: int = _MOST_ID) -> int:
        """Take an integer from 0 to `most`, written as such in a query."""
        value = self._take(name, default)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise _wrong(name, "a whole number")
        return value

    def integers(self, name: str, *, least: int = 0, most: int = _MOST_IDS) -> list[int]:
        """Take a list of ids: of numbers, or separated by commas in a query; empty if it is missing."""
        value = self._take(name, [])
        if isinstance(value, str):
            parts = value.split(",") if value else []
            value = [int(part) for part in parts if _NUMBER.fullmatch(part)]
            if len(value) != len(parts):
                raise _wrong(name, "numbers separated by commas")
        if not isinstance(value, list) or any(
            isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= _MOST_ID for each in value
        ):
            raise _wrong(name, "a list of whole numbers")
        if not least <= len(value) <= most:
            raise Refusal(400, f"`{name}` has {len(value):,} values.", f"Give {least} to {most:,}.")
        return value

    def box(self, name: str) -> tuple[float, float, float, float]:
        """Take four finite numbers."""
        value = self._take(name, None)
        if not isinstance(value, list) or len(value) != 4:
            raise _wrong(name, "a list of four numbers")
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not abs(v) < 1e9 for v in value):
            raise _wrong(name, "a list of four numbers")
        one, two, three, four = map(float, value)
        return one, two, three, four

    def text(self, name: str, *, most: int = _LONGEST_TEXT) -> str:
        """Take a text."""
        value = self._take(name, None)
        if not isinstance(value, str) or len(value) > most:
            raise _wrong(name, f"a text of at most {most:,} characters")
        return value

    def text_or_none(self, name: str) -> str | None:
        """Take a text, which may be missing or null."""
        if name in self:
            return self.text(name)
        self._values.pop(name, None)
        return None

    def flag(self, name: str) -> bool:
        """Take true or false."""
        value = self._take(name, None)
        if not isinstance(value, bool):
            raise _wrong(name, "true or false")
        return value

    def end(self) -> None:
        """Refuse fields that were not taken."""
        if self._values:
            raise Refusal(400, f"The field `{min(self._values)[:40]}` is not expected here.")

    def _take(self, name: str, default: Any) -> Any:
        value = self._values.pop(name, None)
        if value is None:
            if default is None:
                raise Refusal(400, f"The field `{name}` is missing.")
            return default
        return value


def _wrong(name: str, what: str) -> Refusal:
    return Refusal(400, f"The field `{name}` must be {what}.")


def read_query(request: Request) -> Fields:
    """Return the fields of the query of a request."""
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            max_num_fields=10,
            errors="strict",
        )
    except ValueError:  # also of undecodable bytes
        raise Refusal(400, "The address is not valid.") from None
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refusal(400, "The address has a field twice.")
    return Fields(dict(pairs))


async def read_document(request: Request) -> Fields:
    """Return the fields of the JSON object in the body of a request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # forms of other pages can only send other types
        raise Refusal(415, "The request is not JSON.")
    body = await read_body(request, _MOST_DOCUMENT, _SECONDS)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "The request is not JSON.") from None
    if not isinstance(document, dict):
        raise Refusal(400, "The request is not a JSON object.")
    return Fields(document)


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """Read the body of a request into memory.

    Parameters
    ----------
    request : Request
    most : int
        Bytes after which it is refused; nothing is read if its stated length is more.
    seconds : float
        Time in which it must arrive.
    """
    stated = request.headers.get("content-length", "0")
    if not _NUMBER.fullmatch(stated) or int(stated) > most:
        raise _too_large(most)
    until, body = time.monotonic() + seconds, bytearray()
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), max(until - time.monotonic(), 0.01))
        except asyncio.TimeoutError:
            raise Refusal(408, "The request takes too long.", "Send it again.") from None
        if message["type"] != "http.request":
            raise Refusal(400, "The request is not complete.")
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        more = message.get("more_body", False)
    return bytes(body)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"The request has more than {most:,} bytes.", "Send less at once.")
