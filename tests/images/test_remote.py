from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from ftplib import error_perm
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from faceindex.errors import ImageError, Reason
from faceindex.images import remote
from faceindex.images.containers import exists, locate, status
from faceindex.images.remote import connect, failure_of, presence
from faceindex.images.remote_details import details_of
from faceindex.images.remote_pages import pages

NOON = datetime(2020, 1, 1, 12, 0, 0, tzinfo=timezone.utc)
NOON_NS = int(NOON.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    "info",
    [
        {"LastModified": NOON, "ETag": '"abc"'},  # s3fs
        {"updated": "2020-01-01T12:00:00.000Z", "md5Hash": "abc"},  # gcsfs
        {"last_modified": NOON.replace(tzinfo=None), "etag": "0x8D"},  # adlfs
        {"Last-Modified": "Wed, 01 Jan 2020 12:00:00 GMT", "ETag": "1-2"},  # a web server
        {"mtime": NOON.timestamp(), "ETag": "x"},
        {"modify": "20200101120000.5", "ETag": "an FTP server has none"},
        {"last_write_time": NOON.timestamp(), "ETag": "an SMB server has none"},
    ],
)
def test_what_stores_state(info: dict[str, Any]) -> None:
    found = details_of({"size": 7, **info})
    assert (found.size, found.mtime_ns) == (7, NOON_NS)
    assert 0 < found.mark < 1 << 63
    assert found == details_of({"size": 7, **info})


def test_stores_that_state_nothing() -> None:
    assert details_of({"size": None, "Last-Modified": "some day"}) == (0, 0, 0)
    assert details_of({"ETag": "a"}).mark != details_of({"ETag": "b"}).mark


def test_errors_of_libraries() -> None:
    class NoCredentialsError(Exception):
        pass

    kinds = {
        FileNotFoundError("x"): Reason.MISSING,
        PermissionError("x"): Reason.DENIED,
        NoCredentialsError(): Reason.DENIED,
        ConnectionError("https://me:word@host/?sig=word"): Reason.IO_ERROR,
        TimeoutError(): Reason.IO_ERROR,
    }
    for error, reason in kinds.items():
        failure = failure_of(error, "s3://bucket/a.jpg")
        assert failure.reason is reason
        assert "word" not in str(failure)


def test_objects_are_located_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> Any:
        raise AssertionError(address)

    monkeypatch.setattr(remote, "connect", refuse)
    inside = locate("s3://bucket/old.zip/a.jpg")
    assert inside is not None
    assert (inside.container, inside.member) == ("s3://bucket", "old.zip/a.jpg")


def test_the_status_of_an_object() -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/status/a.jpg", b"12345")
    found = status("memory://status/a.jpg")
    assert found.st_size == 5
    assert found.st_mtime_ns > NOON_NS
    assert exists("memory://status/a.jpg")
    assert not exists("memory://status/b.jpg")
    with pytest.raises(FileNotFoundError):
        status("memory://status/b.jpg")
    fsspec.filesystem("memory").rm("/status", recursive=True)


def test_a_bucket_is_listed_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    from faceindex.images import remote_listing, walk

    class Bucket:
        """5,000 objects in two folders, 1,000 a page, as S3 lists them."""

        def __init__(self) -> None:
            self.req_kw: dict[str, str] = {}
            self.fails_at = -1

        def split_path(self, address: str) -> tuple[str, str, None]:
            return "bucket", "all", None

        def call_s3(self, method: str, *, Prefix: str, **options: Any) -> dict[str, Any]:  # noqa: N803
            assert (method, Prefix) == ("list_objects_v2", "all/")
            start = int(options.get("ContinuationToken", "0"))
            if start == self.fails_at:
                raise ConnectionError
            names = [f"all/{n % 2}/{n:05}.jpg" for n in range(start, start + 1000)]
            found = [{"Key": name, "Size": 9, "LastModified": NOON, "ETag": name} for name in names]
            token = {"NextContinuationToken": str(start + 1000)} if start < 4000 else {}
            return {"Contents": [{"Key": "all/", "Size": 0}, *found], "IsTruncated": bool(token), **token}

    bucket = Bucket()
    monkeypatch.setattr(remote_listing, "connect", lambda address: bucket)
    listing = walk(["s3://bucket/all"])
    found = [one.relpath for one in listing]
    assert len(found) == len(set(found)) == 5000
    assert found == sorted(found)
    assert listing.digest is not None
    bucket.fails_at = 3000  # a part of a list would make the rest look deleted
    listing = walk(["s3://bucket/all"])
    (failure,) = listing
    assert failure.error is not None
    assert (failure.relpath, failure.error.reason, listing.digest) == (".", Reason.IO_ERROR, None)


def test_a_folder_that_an_ftp_server_refuses_is_not_an_empty_one() -> None:
    ftp = pytest.importorskip("fsspec.implementations.ftp")

    class Server:
        """Stands for a connection of ftplib; the server lists a folder, an empty one, and refuses a third."""

        def mlsd(self, path: str) -> list[tuple[str, dict[str, str]]]:
            if path == "/top/refused":
                raise error_perm("550 Permission denied.")
            names = {"/top": ("empty", "full", "refused"), "/top/full": ("a.jpg",)}.get(path, ())
            kinds = {"type": "file" if path == "/top/full" else "dir", "size": "9"}
            return [(name, {**kinds, "modify": "20200101120000"}) for name in names]

        def dir(self, path: str, line: object) -> None:
            self.mlsd(path)

        def close(self) -> None:
            pass

    class System(ftp.FTPFileSystem):  # type: ignore[misc, name-defined]
        def _connect(self) -> None:
            self.ftp = Server()

    system = System("host", use_listings_cache=False)
    unlisted: dict[str, ImageError] = {}
    found = [one for page in pages(system, "ftp://host/top", unlisted) for one in page]
    assert [(one.name, one.details) for one in found] == [("full/a.jpg", (9, NOON_NS, 0))]
    assert [(name, error.reason) for name, error in unlisted.items()] == [("refused/", Reason.DENIED)]
    with pytest.raises(ImageError, match="permission denied by the store"):
        list(pages(system, "ftp://host/top/refused", {}))


def test_an_empty_folder_of_sftp_is_empty() -> None:
    class System:
        ftp = object()  # as that of fsspec: paramiko's client, not one of ftplib

        @staticmethod
        def _strip_protocol(address: str) -> str:
            return address.removeprefix("sftp://host")

        def ls(self, path: str, detail: bool) -> list[dict[str, str]]:
            return []

    unlisted: dict[str, ImageError] = {}
    assert list(pages(System(), "sftp://host/top", unlisted)) == [[]]
    assert not unlisted


class _Coded(BaseHTTPRequestHandler):
    """Answers every request with the HTTP status that is the first part of its path."""

    def do_GET(self) -> None:
        code = int(self.path.split("/")[1] or self.server.code_of_top)  # type: ignore[attr-defined]
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def coded() -> Iterator[ThreadingHTTPServer]:
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Coded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_only_404_and_410_of_a_web_server_mean_no_such_photo(coded: ThreadingHTTPServer) -> None:
    top = f"http://127.0.0.1:{coded.server_port}"
    reasons = {
        404: Reason.MISSING,
        410: Reason.MISSING,
        401: Reason.DENIED,
        403: Reason.DENIED,
        500: Reason.IO_ERROR,
        503: Reason.IO_ERROR,
    }
    for code, reason in reasons.items():
        address = f"{top}/{code}/a.jpg"
        system = connect(address)
        for request in (system.info, system.cat_file):
            with pytest.raises(Exception) as caught:
                request(address)
            assert failure_of(caught.value, address).reason is reason, (code, request)
        assert exists(address) == (reason is not Reason.MISSING), code
    with pytest.raises(FileNotFoundError):
        status(f"{top}/404/a.jpg")
    with pytest.raises(OSError, match="503") as found:
        status(f"{top}/503/a.jpg")
    assert not isinstance(found.value, FileNotFoundError)
    # the bare error that fsspec has for an answer with 404
    assert failure_of(FileNotFoundError("x"), "https://host/a.jpg").reason is Reason.MISSING


def test_a_web_server_is_present_if_it_answers(coded: ThreadingHTTPServer) -> None:
    top = f"http://127.0.0.1:{coded.server_port}"
    for code, state in ((200, "present"), (403, "present"), (404, "present"), (503, "missing")):
        coded.code_of_top = code  # type: ignore[attr-defined]
        assert presence(top) == state, code
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # it does not listen, so a connection is refused
        away = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert presence(away) == "missing"
        assert exists(f"{away}/a.jpg")


def test_a_library_that_takes_no_options_of_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec")

    def log_in(host: str, port: int = 22) -> None:
        assert host == "host"

    class Strict(fsspec.AbstractFileSystem):  # type: ignore[misc, name-defined]
        """Passes its options to its client, as the file systems of SFTP and WebDAV do."""

        protocol = "strict"

        def __init__(self, host: str, **options: Any) -> None:
            super().__init__(**options)
            log_in(host, **options)

        @staticmethod
        def _get_kwargs_from_urls(address: str) -> dict[str, Any]:
            return {"host": address.split("/")[2]} | ({"user": "me"} if "wrong" in address else {})

    fsspec.register_implementation("strict", Strict, clobber=True)
    assert isinstance(connect("strict://host/a.jpg"), Strict)
    with pytest.raises(ImageError, match=r"TypeError: .*'user'") as caught:
        connect("strict://host/wrong.jpg")
    assert "network" not in caught.value.remedy
    assert "Update fsspec" in caught.value.remedy


def test_sftp_gets_as_far_as_the_network() -> None:
    pytest.importorskip("paramiko")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ImageError) as caught:
            connect(f"sftp://me@127.0.0.1:{unused.getsockname()[1]}/photos")
    assert "TypeError" not in caught.value.detail
    assert "network" in caught.value.remedy
