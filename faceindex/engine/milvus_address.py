"""Addresses of Milvus: what they may be, and which of them may be used.

An index directory may come from somebody else. An address in it must not make this computer send faces, or a
password, to a server that its user never chose. So a server that an index names is used only if it is on this
computer, or the environment variable ``MILVUS_URI`` names it too; and the token goes only to a server that
``MILVUS_URI`` or the command itself names.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from faceindex.addresses import network_is_forbidden
from faceindex.errors import SearchUnavailable, UsageError

__all__ = ["BUILT_IN", "PREFIX", "Server", "embedded_path", "parse_search", "server_of"]

PREFIX = "milvus:"
BUILT_IN = ("auto", "hnsw")
"""Names of the built-in search."""

_PORT = 19530
_LOCAL = ("localhost", "127.0.0.1", "::1")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.db")
_DATABASE = re.compile(r"/?|/[A-Za-z0-9_]{1,100}/?")


@dataclass(frozen=True, slots=True)
class Server:
    """A Milvus server.

    Attributes
    ----------
    uri : str
        Without credentials.
    token : str
        Empty without one.
    """

    uri: str
    token: str


def parse_search(text: str, directory: Path) -> str | None:
    """Check and normalise what the user chose.

    Parameters
    ----------
    text : str
        ``auto`` or ``hnsw``; ``milvus:NAME.db`` for Milvus Lite in the index directory; or
        ``milvus:http://HOST:PORT``.
    directory : Path
        Of the face index.

    Returns
    -------
    str or None
        None for the built-in search.

    Raises
    ------
    UsageError
        If it is none of these. The message does not repeat it: it may contain a password.
    """
    if text in BUILT_IN:
        return None
    if not text.startswith(PREFIX):
        raise UsageError(
            "`search` is not auto, hnsw or an address of Milvus.",
            "Give auto, milvus:milvus.db or milvus:http://HOST:19530.",
        )
    rest = text[len(PREFIX) :]
    if "://" in rest or "@" in rest:
        return PREFIX + _server_uri(rest)
    path = Path(rest)
    if path.is_absolute():
        if path.parent.resolve() != directory.resolve():
            raise _not_inside(directory)
        path = Path(path.name)
    if len(path.parts) != 1 or not _FILE.fullmatch(path.name):
        raise _not_inside(directory)
    return PREFIX + path.name


def _not_inside(directory: Path) -> UsageError:
    return UsageError(
        "A database of Milvus Lite is a file name that ends in .db, without a folder: it is made in the index"
        " directory, which only you may read.",
        f"Give milvus:milvus.db, which makes {directory / 'milvus.db'}.",
    )


def _server_uri(text: str) -> str:
    if "@" in text:
        raise UsageError(
            "The address of the Milvus server contains a user name or a password.",
            "Leave it out, and set the environment variable MILVUS_TOKEN to user:password or to the API key.",
        )
    wrong = UsageError(
        "The address of the Milvus server is not of the form http://HOST:PORT or https://HOST:PORT/DATABASE.",
        "Give for example milvus:http://localhost:19530.",
    )
    try:
        found = urlsplit(text)
        host, port = found.hostname, found.port
    except ValueError:
        raise wrong from None
    parts_are_right = found.scheme in ("http", "https") and host and not found.query and not found.fragment
    if not parts_are_right or not text.isprintable() or not _DATABASE.fullmatch(found.path):
        raise wrong
    host = f"[{host}]" if ":" in str(host) else host
    port = port or (443 if found.scheme == "https" else _PORT)
    return f"{found.scheme}://{host}:{port}{found.path.rstrip('/')}"


def embedded_path(address: str, directory: Path) -> Path | None:
    """Return the path of the database of Milvus Lite; None for the address of a server.

    Raises
    ------
    SearchUnavailable
        If the address is not one that `parse_search` returns.
    """
    rest = address.removeprefix(PREFIX)
    if not address.startswith(PREFIX) or ("://" not in rest and not _FILE.fullmatch(rest)):
        raise SearchUnavailable(
            "The index names a neighbour index that is not Milvus.",
            "Choose another one with `search`.",
        )
    return None if "://" in rest else directory / rest


def server_of(address: str, *, given: bool) -> Server:
    """Return the server of an address, with the token that it may get.

    Parameters
    ----------
    address : str
    given : bool
        Whether the user gave it in this very command.

    Raises
    ------
    SearchUnavailable
        If it is on another computer, and only the index names it or the network is forbidden.
    """
    try:
        uri = _server_uri(address.removeprefix(PREFIX))
    except UsageError as error:
        raise SearchUnavailable(error.problem, error.remedy) from None
    local = urlsplit(uri).hostname in _LOCAL
    if not local and network_is_forbidden():
        raise SearchUnavailable(
            f"The network is forbidden by $FACEINDEX_OFFLINE, and Milvus is at {uri}.",
            "Unset the variable, or choose the built-in search: `search='auto'`.",
        )
    chosen = given or _environment_uri() == uri
    if not chosen and not local:
        raise SearchUnavailable(
            f"The index names Milvus at {uri}, and MILVUS_URI does not: nothing was sent there.",
            f"If it is yours, set the environment variable MILVUS_URI={uri}.",
        )
    return Server(uri, os.environ.get("MILVUS_TOKEN", "") if chosen else "")


def _environment_uri() -> str | None:
    try:
        return _server_uri(os.environ.get("MILVUS_URI", ""))
    except UsageError:
        return None
