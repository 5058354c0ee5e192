"""Download a weight file. Nothing else in faceindex uses the network, and this only when it is asked to."""

from __future__ import annotations

import contextlib
import errno
import http
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from faceindex import __version__
from faceindex.errors import FetchFailed, WeightsInvalid, WeightsNotFound
from faceindex.models.install import make_folder, put_in_place, remove_acceptance
from faceindex.models.spec import WeightFile
from faceindex.models.weights import (
    acceptance_path,
    find_weights,
    is_users_own,
    sha256_of,
    verify_weights,
    weights_folder,
)

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["ensure_weights", "fetch_weights", "is_offline"]

_OFFLINE = "FACEINDEX_OFFLINE"
_TIMEOUT = 30.0  # seconds without a sign of the server
_BLOCK = 1 << 18
_SCHEMES = ("http", "https")


def is_offline() -> bool:
    """Whether ``$FACEINDEX_OFFLINE`` forbids the network: set, and neither 0, false nor no."""
    return os.environ.get(_OFFLINE, "").strip().lower() not in ("", "0", "false", "no")


def ensure_weights(
    weight: WeightFile,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    offline: bool = False,
) -> tuple[Path, bool]:
    """Fetch a weight file if it is missing, or if the one in the user's folder is damaged.

    Parameters
    ----------
    weight, progress, offline
        As in `fetch_weights`.

    Returns
    -------
    Path
        Where the file is; it has been verified.
    bool
        Whether it was fetched.

    Raises
    ------
    WeightsNotFound
        If it is missing and has no address; says what brings it.
    WeightsInvalid
        If there is a wrong file that is not ours to replace.
    FetchFailed
    """
    source = next((variant for variant in (weight, *weight.also) if variant.url), None)
    try:
        return verify_weights(weight), False
    except WeightsNotFound:
        if source is None:
            raise
    except WeightsInvalid:
        found = find_weights(weight)
        if source is None or not is_users_own(found) or acceptance_path(found).exists():
            raise
    fetch_weights(source, progress=progress, offline=offline)
    return verify_weights(weight), True


def fetch_weights(
    weight: WeightFile,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    offline: bool = False,
) -> Path:
    """Download a weight file into the user's folder.

    What has come is kept in a file beside the destination (``NAME.part``) when the connection breaks or
    the disk is full, and the next call goes on from there (HTTP range requests, RFC 9110, section 14;
    ``If-Range`` where the server names a version). The file only gets its name when it is whole and
    of the published SHA-256. Proxies are those of the environment (``https_proxy``, ``no_proxy``).

    Parameters
    ----------
    weight : WeightFile
        It has a `url`.
    progress : callable
        Called with the bytes that are there and the bytes of the whole file.
    offline : bool
        Refuse to use the network; ``$FACEINDEX_OFFLINE`` does so too.

    Returns
    -------
    Path
        Where the file is now.

    Raises
    ------
    FetchFailed
        If it could not be had; the message says what is kept, and how the file gets there by hand.
    """
    url = weight.url or ""
    if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
        where = f"'{url}' is no http or https address" if url else "it has no address"
        raise FetchFailed(f"{weight.name} cannot be fetched: {where}.", f"Get it from {weight.source}.")
    if offline or is_offline():
        raise FetchFailed(
            f"{weight.name} was not fetched: --offline or ${_OFFLINE} forbids the network.",
            _by_hand(weight),
        )
    folder = make_folder()
    destination = folder / weight.name
    with _alone(folder / f".{weight.name}.lock", weight):
        if _is_good(destination, weight):  # another process was faster
            return destination
        partial = _Partial(folder / f"{weight.name}.part", url)
        if not _download(weight, partial, progress):
            _download(weight, partial, progress)  # from the start: there is nothing to resume
        put_in_place(partial.path, destination)
        remove_acceptance(destination)
        partial.forget()
        return destination


class _Partial:
    """What has come so far, and of which version on the server it is."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self._note = path.with_name(f"{path.name}.json")

    def version(self) -> str | None:
        """The server's name for the version, empty if it gave none; None if what is there is of no use."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return str(note["version"]) if note["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def size(self) -> int:
        if self.version() is None:
            return 0
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, version: str) -> None:
        self.forget()
        self._note.write_text(json.dumps({"url": self.url, "version": version}) + "\n", encoding="utf-8")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _download(weight: WeightFile, partial: _Partial, progress: Callable[[int, int], None]) -> bool:
    """Bring the partial file to its full size; false if it was resumed, came out wrong and is gone."""
    start = partial.size()
    if start > weight.size:
        partial.forget()
        start = 0
    if start < weight.size:
        with _open(weight, start, partial.version() or "") as response:
            start = _agree(response, weight, partial, start)
            _receive(response, weight, partial, start, progress)
    with partial.path.open("rb") as file:
        found, size = sha256_of(file)
    if found == weight.sha256:
        return True
    partial.forget()
    if start:
        return False  # the file was exchanged in between, on the server or here: once more from the start
    raise FetchFailed(
        f"{weight.url} is not the published {weight.name}: SHA-256 {found} ({size:,} bytes), expected "
        f"{weight.sha256} ({weight.size:,} bytes); what came was removed.",
        f"Get the file from {weight.source}.",
    )


def _open(weight: WeightFile, start: int, version: str) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"faceindex/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    request = urllib.request.Request(weight.url or "", headers=headers)
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _open(weight, 0, "")
        raise FetchFailed(
            f"{weight.url} answers {error.code} {error.reason}.", _check_network(weight)
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        told = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        raise FetchFailed(f"{weight.url} cannot be reached: {told}.", _check_network(weight)) from error
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _agree(response: http.client.HTTPResponse, weight: WeightFile, partial: _Partial, start: int) -> int:
    """From which byte the server goes on; what is there already is forgotten if that is the first."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != start:
            partial.forget()
            raise FetchFailed(
                f"{weight.url} answered with other bytes than those that were asked for.",
                "Run it again; it starts over.",
            )
        total = None if told[2] == "*" else int(told[2])
    else:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
    if total not in (None, weight.size):
        partial.forget()
        raise _wrong_size(weight, f"{total:,}")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        start = 0
        version = response.headers.get("ETag", "")
        if not version or version.startswith("W/"):  # weak ones may not be asked for
            version = response.headers.get("Last-Modified", "")
        with _writing(weight, partial):
            partial.begin(version)
    return start


def _receive(
    response: http.client.HTTPResponse,
    weight: WeightFile,
    partial: _Partial,
    size: int,
    progress: Callable[[int, int], None],
) -> None:
    lost = ""
    with _writing(weight, partial):
        file = partial.path.open("ab", buffering=0)  # so that all that came is kept, whatever happens
    with file:
        progress(size, weight.size)
        while size <= weight.size:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                lost = str(error) or type(error).__name__
                break
            if not block:
                break
            with _writing(weight, partial):
                _write(file, block)
            size += len(block)
            progress(min(size, weight.size), weight.size)
    if size > weight.size or (size < weight.size and response.chunked and not lost):
        partial.forget()
        raise _wrong_size(weight, f"{size:,}" if size < weight.size else f"more than {weight.size:,}")
    if size < weight.size:
        why = f" ({lost})" if lost else ""
        if not size:
            partial.forget()
            raise FetchFailed(
                f"The connection to {weight.url} broke before anything came{why}.", _check_network(weight)
            )
        raise FetchFailed(
            f"The connection to {weight.url} broke after {size:,} of {weight.size:,} bytes{why}; they are "
            f"kept in {partial.path}.",
            "Run it again: it goes on from there.",
        )


def _write(file: IO[bytes], block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


@contextlib.contextmanager
def _writing(weight: WeightFile, partial: _Partial) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        size = partial.size()
        kept = f"{size:,} of {weight.size:,} bytes are kept in {partial.path}" if size else "nothing came yet"
        again = "run it again: it goes on from there" if size else "run it again"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchFailed(
                f"The disk is full: {kept}.",
                f"Free {weight.size - size:,} bytes and {again}.",
            ) from error
        raise FetchFailed(
            f"{partial.path} cannot be written: {error.strerror}; {kept}.",
            f"Check the disk and the permissions, and {again}.",
        ) from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything less, and to no other scheme."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        before, after = (urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl))
        if after not in _SCHEMES or (before == "https" and after != "https"):
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not as safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _alone(lock: Path, weight: WeightFile) -> Iterator[None]:
    """One process at a time; the file stays, since deleting it would let two lock two files."""
    with lock.open("ab") as file:
        try:
            _lock(file)
        except OSError:
            raise FetchFailed(
                f"Another process is fetching {weight.name} into {lock.parent}.",
                "Wait until it has finished.",
            ) from None
        yield


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_good(path: Path, weight: WeightFile) -> bool:
    try:
        if path.stat().st_size != weight.size:
            return False
        with path.open("rb") as file:
            return sha256_of(file)[0] == weight.sha256
    except OSError:
        return False


def _wrong_size(weight: WeightFile, size: str) -> FetchFailed:
    return FetchFailed(
        f"{weight.url} is not the published {weight.name}: it has {size} bytes instead of {weight.size:,}; "
        "what came was removed.",
        f"See whether a proxy answers in its place, or get the file from {weight.source}.",
    )


def _check_network(weight: WeightFile) -> str:
    by_hand = _by_hand(weight)
    return f"Check the network, or {by_hand[0].lower()}{by_hand[1:]}"


def _by_hand(weight: WeightFile) -> str:
    return f"Get {weight.url} on another machine and put the file into {weights_folder()} as {weight.name}."
