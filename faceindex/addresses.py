"""Addresses of photos in object stores, such as ``s3://bucket/2019/a.jpg``, beside the paths of files.

An address is text with a scheme of two letters or more and ``://``. `pathlib` and `os.path` would take one
slash away, or put the current folder before it: the functions here do with an address what those do with a
path, and leave paths to them. Nothing here uses the network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

__all__ = [
    "absolute_path",
    "as_path",
    "is_address",
    "network_is_forbidden",
    "normal_path",
    "real_path",
    "scheme_of",
    "secret_in",
    "split_address",
    "without_secrets",
]

_Path: TypeAlias = "str | os.PathLike[str]"

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://+(?=[^/])")
_LOGIN = re.compile(r"(?<=://)[^/?#\s'\"]*@")
_QUERY = re.compile(r"(://[^?#\s'\"]*)[?#][^\s'\"]*")
_RANDOM = re.compile(r"[A-Za-z0-9+/=_%.~-]{24,}")  # as long as a key or a token

# Names in a query that hold a signature, a token or a key: of Amazon, Google and Azure, and of web servers.
_SECRET = re.compile(
    r"(?i)x-amz-.*|x-goog-.*|.*sig|.*signature|.*token|.*secret.*|.*passw.*|pwd|.*credential.*|.*auth.*|jwt"
    r"|.*key.*|.*accessid|policy|se|sp|spr|sv|srt?|ss|skoid|sktid|skt|ske|sks|skv|session.*|.*code"
)


def is_address(path: _Path) -> bool:
    """Return whether this is an address, and not the path of a file."""
    text = os.fspath(path)
    return "://" in text and _ADDRESS.match(text) is not None


def scheme_of(address: _Path) -> str:
    """Return the scheme of an address in lower case, such as ``s3``."""
    return os.fspath(address).partition("://")[0].lower()


def split_address(address: _Path) -> tuple[str, str]:
    """Split an address into the bucket, container or host with its scheme, and the key in it.

    The key is "" if there is none.
    """
    scheme, _, rest = normal_path(address).partition("://")
    top, _, key = rest.partition("/")
    return f"{scheme}://{top}", key


def normal_path(path: _Path) -> str:
    """Return an address in its one form; a path as `os.path.normpath` does."""
    text = os.fspath(path)
    if not is_address(text):
        return os.path.normpath(text)
    scheme, _, rest = text.partition("://")
    return f"{scheme.lower()}://{rest.strip('/')}"


def real_path(path: _Path) -> str:
    """Return an address in its one form; a path as `os.path.realpath` does."""
    return normal_path(path) if is_address(path) else os.path.realpath(path)


def absolute_path(path: _Path) -> str:
    """Return an address in its one form; a path as `os.path.abspath` does."""
    return normal_path(path) if is_address(path) else os.path.abspath(path)  # noqa: PTH100


class _Address(type(Path())):  # type: ignore[misc]
    """A path whose text is an address. What is derived from it, such as its parent, is one, too."""

    __slots__ = ()

    def __str__(self) -> str:
        text: str = super().__str__().replace(os.sep, "/")
        return text.replace(":/", "://", 1)

    def __fspath__(self) -> str:
        return str(self)

    def as_posix(self) -> str:
        return str(self)

    def is_absolute(self) -> bool:
        return True


def as_path(path: _Path) -> Path:
    """Return a `Path` that keeps the text of an address."""
    return _Address(path) if is_address(path) else Path(path)


def network_is_forbidden() -> bool:
    """Return whether ``$FACEINDEX_OFFLINE`` forbids the network: it is set, and not to 0, false or no."""
    return os.environ.get("FACEINDEX_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def secret_in(address: _Path) -> bool:
    """Return whether an address has a password, a signature or a token in it."""
    text = os.fspath(address)
    rest = text.partition("://")[2]
    host, _, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if ":" in host or (host and scheme_of(text) in ("http", "https")):
        return True
    query = re.split(r"[?#]", rest, maxsplit=1)[1:]
    fields = parse_qsl(re.sub(r"[;#?]", "&", "".join(query)), keep_blank_values=True)
    return any(
        _SECRET.fullmatch(unquote(name).strip()) or any(map(_RANDOM.fullmatch, (name, value)))
        for name, value in fields
    )


def without_secrets(text: str) -> str:
    """Return a text, such as the message of a library, without what may be secret in addresses in it."""
    return _QUERY.sub(r"\1?...", _LOGIN.sub("", text))
