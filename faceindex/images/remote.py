"""Photos in object stores and on web servers, read through fsspec: addresses, connections and errors.

This is the only access of faceindex to a network for photos, and only to addresses that the user named.
Credentials are those that the library of each store finds by its own conventions. An address that contains a
password or a signature is refused, so that none is ever stored or shown.

An object is read from its beginning in one request. Where its name is not that of a photo, the first bytes
come alone, so that an archive or a film costs nothing.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from io import RawIOBase
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from faceindex.addresses import (
    network_is_forbidden,
    normal_path,
    scheme_of,
    secret_in,
    split_address,
    without_secrets,
)
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.containers import ARCHIVE_SUFFIXES, COMPRESSED_TARS, Inside, MemberFile
from faceindex.images.formats import IMAGE_SUFFIXES
from faceindex.images.moments import AMBIGUOUS_SUFFIXES, VIDEO_SUFFIXES
from faceindex.images.remote_details import details_of
from faceindex.images.sftp import SECONDS, failure_of_sftp, is_connected, with_known_hosts

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from faceindex.paths import Presence

__all__ = [
    "CONNECTIONS",
    "REMOTE",
    "check_address",
    "connect",
    "failure_of",
    "is_not_read",
    "is_photo_address",
    "not_read",
    "presence",
]

CONNECTIONS = 32
"""Requests at a time: with 50 ms for each, 640 photos a second, more than any CPU recognises."""

_HEAD = 1 << 14  # bytes that come first of an object that is not named like a photo
_PIECE = 64 << 20  # bytes of one request: larger than nearly every photo
_LONGEST = 4_096  # characters of an address
_UNUSABLE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")

_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "abfss": "adlfs", "http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko",
    "oss": "ossfs", "webdav": "webdav4", "hf": "huggingface_hub",
}  # fmt: skip

_CREDENTIALS = {
    "gcsfs": "GOOGLE_APPLICATION_CREDENTIALS",
    "adlfs": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "paramiko": "a key in your SSH agent",
}

_WEB = ("http", "https")
_SSH = ("sftp", "ssh")
_SFTP = "fsspec.implementations.sftp.SFTPFileSystem"
_NOT_READ = (*ARCHIVE_SUFFIXES, *COMPRESSED_TARS, *sorted(VIDEO_SUFFIXES - AMBIGUOUS_SUFFIXES))
_locks: dict[str, threading.Lock] = {}  # one for each store: one that does not answer must not block others
_silent: dict[str, float] = {}  # when a store last did not answer


def check_address(address: str | os.PathLike[str]) -> str:
    """Return an address in its one form.

    Raises
    ------
    UsageError
        If it has a secret in it, is that of a local file, or cannot be used. The message has no secret.
    """
    text = os.fspath(address)
    address = _check_form(text)
    if scheme_of(text) in _WEB and (text.endswith("/") or not split_address(address)[1]):
        raise UsageError(
            f"A web server has no list of its files, so {without_secrets(text)} is no folder of photos.",
            "Name a photo, or pass a list of addresses with `from_list`.",
        )
    return address


def _check_form(address: str) -> str:
    """As `check_address`, and take a web server without a photo, which is the root of its photos."""
    text, shown = address, without_secrets(address)
    if secret_in(text):
        raise UsageError(
            f"The address {shown} has a password, a signature or a token in it, which is not stored.",
            "Leave it out, and give the credentials as the library of the store takes them, such as "
            f"{_credentials(address)}.",
        )
    if scheme_of(text) in ("file", "local"):
        raise UsageError(f"{shown} is a file of this machine.", "Write its path.")
    address = normal_path(text)
    top, key = split_address(address)
    if "::" in text or len(text) > _LONGEST or _UNUSABLE.search(top.partition("://")[2]):
        raise UsageError(f"The address {shown[:200]} cannot be used.", "Write it as s3://BUCKET/FOLDER.")
    if key and _UNUSABLE.search(key):
        raise UsageError(
            f"The address {shown[:200]} has an empty part, '.' or '..' in it.",
            "Write it as s3://BUCKET/FOLDER, with one slash between its parts.",
        )
    return address


def is_photo_address(address: str | os.PathLike[str]) -> bool:
    """Return whether an address names one photo, archive or video, and no folder.

    Its name decides that: an address of a web server is always one.
    """
    address = normal_path(address)
    return scheme_of(address) in _WEB or is_photo_name(address) or is_not_read(address)


def is_not_read(name: str) -> bool:
    """Return whether a name in a store is that of an archive or a video: they would be copied as a whole."""
    return name.lower().endswith(_NOT_READ)


def not_read(address: str) -> ImageError:
    """Return the error for an archive or a video."""
    return ImageError(
        address,
        Reason.UNSUPPORTED,
        "an archive or a video in an object store, which is not read there.",
        "Copy it to this machine.",
    )


def connect(address: str) -> Any:
    """Return the fsspec file system of an address. fsspec keeps one for each store.

    Raises
    ------
    UsageError
        If the address cannot be used, or a package is missing.
    ImageError
        If the store cannot be reached.
    """
    return _system_of(check_address(address))


def _system_of(address: str) -> Any:
    """As `connect`, with an address that was checked."""
    scheme = scheme_of(address)
    if network_is_forbidden():
        raise UsageError(
            f"{split_address(address)[0]} is not read: FACEINDEX_OFFLINE forbids the network.",
            "Unset it to read photos in stores.",
        )
    try:
        import fsspec
        from fsspec.config import conf
    except ImportError:
        raise UsageError(
            f"{split_address(address)[0]} is an object store, and fsspec, which reads it, is not installed.",
            'Run `pip install "faceindex[remote]"`.',
        ) from None
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError:
        package = _PACKAGES.get(scheme, f"the fsspec package for {scheme}://")
        extra = '"faceindex[remote]"' if package in ("s3fs", "aiohttp") else package
        remedy = f"Run `pip install {extra}`." if scheme in _PACKAGES else "Install it with pip."
        raise UsageError(
            f"Addresses with {scheme}:// need {package}, which is not installed.", remedy
        ) from None
    except ValueError:
        raise UsageError(
            f"fsspec has no {scheme}:// addresses.", "Write s3://, gs://, az:// or another that it has."
        ) from None
    is_sftp = f"{kind.__module__}.{kind.__name__}" == _SFTP
    if is_sftp:
        kind = with_known_hosts(kind)
    options: dict[str, Any] = {"use_listings_cache": False}
    top = split_address(address)[0]
    if _PACKAGES.get(scheme) == "s3fs" and "config_kwargs" not in conf.get("s3", {}):
        options["config_kwargs"] = {"max_pool_connections": CONNECTIONS}
    try:
        with _locks.setdefault(top, threading.Lock()):
            if time.monotonic() - _silent.get(top, -math.inf) < SECONDS:
                raise TimeoutError(f"it did not within the last {SECONDS:.0f} seconds")
            place = kind._get_kwargs_from_urls(address)
            try:
                system = _make(kind, place, options)
                if is_sftp and not is_connected(system):  # the server closed it, or was away
                    kind.clear_instance_cache()
                    system = _make(kind, place, options)
            except TimeoutError:
                _silent[top] = time.monotonic()  # otherwise each photo would wait
                raise
            return system
    except ImageError:
        raise
    except Exception as error:
        raise failure_of(error, address) from error


def _make(kind: Any, place: dict[str, Any], options: dict[str, Any]) -> Any:
    """Return the file system of a class, without the options if its library does not take them.

    Those of SFTP and WebDAV pass all options on to their clients. These refuse before they connect.
    """
    try:
        return kind(**place, **options)
    except TypeError as error:
        if not any(name in str(error) for name in options):
            raise
    return kind(**place)


def _credentials(address: str) -> str:
    """Return where the library of a store looks for credentials."""
    package = _PACKAGES.get(scheme_of(address), "")
    return _CREDENTIALS.get(package, "AWS_PROFILE or AWS_ACCESS_KEY_ID")


def failure_of(error: Exception, address: str) -> ImageError:
    """Return what an error of a library means for the object at an address."""
    if scheme_of(address) in _WEB:
        error = _failure_of_web(error)
    if isinstance(error, FileNotFoundError):
        return ImageError(address, Reason.MISSING, "there is no such object.", "Check the address.")
    if scheme_of(address) in _SSH and (failure := failure_of_sftp(error, address)) is not None:
        return failure
    name = type(error).__name__
    if "Credential" in name or "Token" in name:
        return ImageError(
            address,
            Reason.DENIED,
            f"the store has no valid credentials ({name}).",
            f"Give them as its library takes them, such as {_credentials(address)}.",
        )
    if isinstance(error, PermissionError) or _status_of(error) in (401, 403):
        return ImageError(
            address,
            Reason.DENIED,
            "permission denied by the store.",
            "Check the credentials, or leave it out.",
        )
    text = " ".join(without_secrets(str(error)).split())[:200]
    remedy = "Check the network connection and the store, and try again."
    if isinstance(error, TypeError):  # of a library that does not fit the version of another
        package = _PACKAGES.get(scheme_of(address))
        remedy = f"Update fsspec{' and ' if package else ''}{package or ''} with pip."
    return ImageError(
        address, Reason.IO_ERROR, f"it cannot be read ({name}{': ' if text else ''}{text}).", remedy
    )


def _failure_of_web(error: BaseException) -> Exception:
    """Return the error that fsspec had when it reported that a file is not found on a web server.

    It reports that whatever fails, so only 404 and 410, or no other cause, mean that there is none.
    """
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return FileNotFoundError() if _status_of(error) in (404, 410) else error  # type: ignore[return-value]


def _status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error: of aiohttp, of Azure's library, or of gcsfs."""
    names = ("status", "status_code", "code")
    return next((found for name in names if isinstance(found := getattr(error, name, None), int)), None)


def presence(address: str) -> Presence:
    """Return whether a store has anything below an address; ``missing`` too if it cannot be reached.

    A web server has no list: it is ``present`` if it answers, whatever it has at this address.
    """
    from faceindex.images.remote_listing import has_objects

    try:
        if scheme_of(address) in _WEB:
            return "present" if _answers(address) else "missing"
        return "present" if has_objects(address) else "empty"
    except (ImageError, UsageError):
        return "missing"


def _answers(address: str) -> bool:
    """Return whether a web server answers. Its refusal of this address says nothing about its photos."""
    system = _system_of(_check_form(address))
    try:
        system.info(f"{address}/")
    except MemoryError:
        raise
    except Exception as error:
        failure = _failure_of_web(error)
        status = _status_of(failure)
        return isinstance(failure, FileNotFoundError) or (status is not None and status < 500)
    return True


class _Remote:
    """Opens objects; see `faceindex.images.containers.Kind`."""

    def open(self, inside: Inside) -> BinaryIO:
        if is_not_read(inside.path):
            raise not_read(inside.path)
        return MemberFile(_Object(_connect_for_photo(inside.path), inside.path), 0)

    def size_and_time(self, inside: Inside, container: os.stat_result) -> tuple[int, int]:
        system = _connect_for_photo(inside.path)
        try:
            found = details_of(system.info(system._strip_protocol(inside.path)))
        except MemoryError:
            raise
        except Exception as error:
            failure = failure_of(error, inside.path)
            if failure.reason is not Reason.MISSING:
                raise OSError(None, failure.detail.rstrip("."), inside.path) from error
            raise failure from error
        return found.size, found.mtime_ns


REMOTE = _Remote()
"""The `faceindex.images.containers.Kind` of objects."""


def _connect_for_photo(address: str) -> Any:
    """Connect, for a photo that the index may have: without its package it cannot be read today."""
    try:
        return connect(address)
    except UsageError as error:
        if secret_in(address):
            raise
        raise ImageError(address, Reason.UNSUPPORTED, error.problem, error.remedy) from error


class _Object(RawIOBase):
    """The bytes of an object. Nothing is requested before the first of them is read.

    Parameters
    ----------
    system : fsspec.AbstractFileSystem
    address : str
    """

    def __init__(self, system: Any, address: str) -> None:
        self._system = system
        self._address = address
        self._position = 0  # of what follows the piece
        self._piece = memoryview(b"")
        self._at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        if not self._piece and not self._at_end:
            self._request(_PIECE if self._position or is_photo_name(self._address) else _HEAD)
        part = self._piece[: len(target)]
        target[: len(part)] = part
        self._piece = self._piece[len(part) :]
        return len(part)

    def _request(self, size: int) -> None:
        start = self._position
        try:
            path = self._system._strip_protocol(self._address)
            data = self._system.cat_file(path, start=start, end=start + size)
        except MemoryError:
            raise
        except Exception as error:
            if _is_past_end(error):
                data = b""
            else:
                self._fail(error)
        if start and len(data) > size:  # a server that sends the whole again
            data = data[start:]
        self._at_end = len(data) != size
        self._position += len(data)
        self._piece = memoryview(data)

    def _fail(self, error: Exception) -> NoReturn:
        raise failure_of(error, self._address) from error


def is_photo_name(address: str) -> bool:
    """Return whether the name of an object is that of a photo, so that all of it is read at once."""
    return os.path.splitext(address)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def _is_past_end(error: Exception) -> bool:
    """Return whether a request failed because no byte is there: the object ends before, or is empty."""
    return (
        getattr(error, "status", None) == 416
        or "InvalidRange" in f"{error} {error.__cause__}"
        or ("not satisfiable" in str(error))
    )
