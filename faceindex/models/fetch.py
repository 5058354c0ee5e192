"""Download weight files. This is the only module of faceindex that uses the network."""

from __future__ import annotations

import contextlib
import errno
import http
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from faceindex import __version__
from faceindex.addresses import network_is_forbidden
from faceindex.errors import FetchFailed, WeightsInvalid, WeightsNotFound
from faceindex.locks import AlreadyLocked, FileLock
from faceindex.models.install import make_folder, move_into_place, remove_acceptance
from faceindex.models.spec import WeightFile
from faceindex.models.weights import (
    acceptance_path,
    digest_and_size,
    find_weights,
    is_foreign,
    is_in_weights_folder,
    verify_weights,
    weights_folder,
)

__all__ = ["ensure_weights", "fetch_weights"]

_TIMEOUT = 30.0  # seconds without any data from the server
_BLOCK = 1 << 18
_SCHEMES = ("http", "https")


def ensure_weights(
    weight: WeightFile,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    offline: bool = False,
) -> tuple[Path, bool]:
    """Download a weight file if it is missing, or if the one in the user's folder is damaged.

    Parameters
    ----------
    weight, progress, offline
        As in `fetch_weights`.

    Returns
    -------
    Path
        The verified file.
    bool
        Whether it was downloaded.

    Raises
    ------
    WeightsNotFound
        If the file is missing and has no address. The message names the package or the source to get it
        from.
    WeightsInvalid
        If there is a wrong file that must not be replaced: it is in the folder of ``$FACEINDEX_WEIGHTS``, a
        package or a source checkout, the user accepted it unverified, or the right one has no address.
    FetchFailed
        As in `fetch_weights`.
    """
    source = next((variant for variant in (weight, *weight.also) if variant.url), None)
    try:
        return verify_weights(weight), False
    except WeightsNotFound:
        if source is None:
            raise
    except WeightsInvalid:
        found = find_weights(weight)
        if source is None or acceptance_path(found).exists():
            raise
        if not is_in_weights_folder(found) and not is_foreign(weight, found):
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

    Data goes to ``NAME.part`` beside the destination. If the connection breaks or the disk is full, this
    file is kept, and the next call resumes it (HTTP range requests, RFC 9110, section 14; with ``If-Range``
    if the server names a version). The file is renamed to its final name once it is complete and has the
    published SHA-256. Proxies are taken from the environment (``https_proxy``, ``no_proxy``).

    Parameters
    ----------
    weight : WeightFile
        Needs a `url`.
    progress : callable
        Called with the number of bytes downloaded so far and the size of the file.
    offline : bool
        Do not use the network. The environment variable ``$FACEINDEX_OFFLINE`` has the same effect.

    Returns
    -------
    Path
        The downloaded file.

    Raises
    ------
    FetchFailed
        If the download fails. The message states what is kept, or how to get the file by hand.
    ModelError
        If the folder cannot be written.
    """
    url = weight.url or ""
    if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
        reason = f"'{url}' is not an http or https address" if url else "it has no address"
        raise FetchFailed(f"{weight.name} cannot be downloaded: {reason}.", f"Get it from {weight.source}.")
    if offline or network_is_forbidden():
        setting = "`offline=True`" if offline else "$FACEINDEX_OFFLINE"
        raise FetchFailed(
            f"{weight.name} was not downloaded: {setting} forbids network access.", _manual_remedy(weight)
        )
    folder = make_folder()
    destination = folder / weight.name
    with _lock(folder / f".{weight.name}.lock", weight):
        if _is_valid(destination, weight):  # another process has downloaded it
            return destination
        partial = _PartialFile(folder / f"{weight.name}.part", url)
        if not _download(weight, partial, progress):
            _download(weight, partial, progress)  # from the start
        move_into_place(partial.path, destination)
        remove_acceptance(destination)
        partial.delete()
        return destination


class _PartialFile:
    """The part of a file that has been downloaded, and a JSON file with its address and version."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self._info_path = path.with_name(f"{path.name}.json")

    def version(self) -> str | None:
        """Return the server's version of the file, empty if it sent none; None if nothing can be resumed."""
        try:
            info = json.loads(self._info_path.read_text(encoding="utf-8"))
            return str(info["version"]) if info["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def size(self) -> int:
        """Return the number of bytes that can be resumed."""
        if self.version() is None:
            return 0
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, version: str) -> None:
        """Delete the partial file, and store the version of a new download."""
        self.delete()
        info = {"url": self.url, "version": version}
        self._info_path.write_text(json.dumps(info) + "\n", encoding="utf-8")

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self._info_path.unlink(missing_ok=True)


def _download(weight: WeightFile, partial: _PartialFile, progress: Callable[[int, int], None]) -> bool:
    """Complete the partial file and verify it.

    Returns
    -------
    bool
        False if the file was resumed and has the wrong content; it is then deleted.

    Raises
    ------
    FetchFailed
    """
    start = partial.size()
    if start > weight.size:
        partial.delete()
        start = 0
    if start < weight.size:
        with _open(weight, start, partial.version() or "") as response:
            start = _prepare(response, weight, partial, start)
            _receive(response, weight, partial, start, progress)
    with partial.path.open("rb") as file:
        found, size = digest_and_size(file)
    if found == weight.sha256:
        return True
    partial.delete()
    if start:
        return False  # the file changed since the first part was downloaded, on the server or here
    raise FetchFailed(
        f"{weight.url} is not the published {weight.name}: SHA-256 {found} ({size:,} bytes), expected "
        f"{weight.sha256} ({weight.size:,} bytes). The download was deleted.",
        f"Get the file from {weight.source}.",
    )


def _open(weight: WeightFile, start: int, version: str) -> http.client.HTTPResponse:
    """Request a file from byte `start` on, if it still has this version; otherwise from the first byte."""
    headers = {"User-Agent": f"faceindex/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    request = urllib.request.Request(weight.url or "", headers=headers)
    opener = urllib.request.build_opener(SafeRedirects)
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _open(weight, 0, "")
        raise FetchFailed(
            f"The server returned {error.code} {error.reason} for {weight.url}.", _network_remedy(weight)
        ) from error
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        reason = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
        raise FetchFailed(f"{weight.url} cannot be reached: {reason}.", _network_remedy(weight)) from error
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _prepare(
    response: http.client.HTTPResponse, weight: WeightFile, partial: _PartialFile, start: int
) -> int:
    """Check the headers of a response; return the offset of its first byte in the file.

    If the response starts at the first byte, the partial file is emptied.
    """
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if content_range is None or int(content_range[1]) != start:
            partial.delete()
            raise FetchFailed(
                f"The server sent a byte range of {weight.url} that was not requested.",
                "Try again: the download starts from the beginning.",
            )
        total = None if content_range[2] == "*" else int(content_range[2])
    else:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
    if total not in (None, weight.size):
        partial.delete()
        raise _wrong_size(weight, f"{total:,}")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        start = 0
        version = response.headers.get("ETag", "")
        if not version or version.startswith("W/"):  # If-Range does not allow weak ETags
            version = response.headers.get("Last-Modified", "")
        with _write_errors(weight, partial):
            partial.begin(version)
    return start


def _receive(
    response: http.client.HTTPResponse,
    weight: WeightFile,
    partial: _PartialFile,
    size: int,
    progress: Callable[[int, int], None],
) -> None:
    """Append the body of a response to the partial file, which has `size` bytes."""
    lost = ""
    with _write_errors(weight, partial):
        file = partial.path.open("ab", buffering=0)  # without a buffer, everything received is kept
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
            with _write_errors(weight, partial):
                _write(file, block)
            size += len(block)
            progress(min(size, weight.size), weight.size)
    if size > weight.size or (size < weight.size and response.chunked and not lost):
        partial.delete()
        raise _wrong_size(weight, f"{size:,}" if size < weight.size else f"more than {weight.size:,}")
    if size < weight.size:
        reason = f" ({lost})" if lost else ""
        if not size:
            partial.delete()
            raise FetchFailed(
                f"The connection to {weight.url} broke before any data arrived{reason}.",
                _network_remedy(weight),
            )
        raise FetchFailed(
            f"The connection to {weight.url} broke after {size:,} of {weight.size:,} bytes{reason}; they are "
            f"kept in {partial.path}.",
            "Try again: the download continues from there.",
        )


def _write(file: IO[bytes], block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


@contextlib.contextmanager
def _write_errors(weight: WeightFile, partial: _PartialFile) -> Iterator[None]:
    """Turn an `OSError` of writing the partial file into `FetchFailed`."""
    try:
        yield
    except OSError as error:
        size = partial.size()
        kept = (
            f"{size:,} of {weight.size:,} bytes are kept in {partial.path}"
            if size
            else "nothing has been downloaded"
        )
        again = "run it again to resume" if size else "run it again"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchFailed(
                f"The disk is full: {kept}.", f"Free {weight.size - size:,} bytes and {again}."
            ) from error
        raise FetchFailed(
            f"{partial.path} cannot be written: {error.strerror}; {kept}.",
            f"Check the disk and the permissions, and {again}.",
        ) from error


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https, but not from https to http."""

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
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not allowed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _lock(path: Path, weight: WeightFile) -> FileLock:
    try:
        return FileLock(path)
    except AlreadyLocked as error:
        raise FetchFailed(
            f"Another process is downloading {weight.name} to {path.parent}: {error.holder}.",
            "Wait until it has finished.",
        ) from None
    except OSError as error:
        raise FetchFailed(f"{path} cannot be locked: {error.strerror}.", _manual_remedy(weight)) from error


def _is_valid(path: Path, weight: WeightFile) -> bool:
    try:
        if path.stat().st_size != weight.size:
            return False
        with path.open("rb") as file:
            return digest_and_size(file)[0] == weight.sha256
    except OSError:
        return False


def _wrong_size(weight: WeightFile, size: str) -> FetchFailed:
    return FetchFailed(
        f"{weight.url} is not the published {weight.name}: it has {size} bytes instead of "
        f"{weight.size:,}. The download was deleted.",
        f"Check whether a proxy sent another file, or get the file from {weight.source}.",
    )


def _network_remedy(weight: WeightFile) -> str:
    manual = _manual_remedy(weight)
    return f"Check the network, or {manual[0].lower()}{manual[1:]}"


def _manual_remedy(weight: WeightFile) -> str:
    return f"Download {weight.url} on another machine and put it into {weights_folder()} as {weight.name}."
