"""Downloading weight files from local servers that misbehave in many ways."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import http.server
import io
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import pytest

from faceindex.errors import FetchFailed, ModelError, WeightsInvalid, WeightsNotFound
from faceindex.models import WeightFile, fetch, find_weights, weights_folder
from faceindex.models.fetch import ensure_weights, fetch_weights
from faceindex.models.weights import acceptance_path

CONTENT = bytes(range(256)) * 4096  # 1 MiB, so several blocks
OTHER = CONTENT[::-1]


@dataclass
class Server:
    """What the server offers, how it behaves, and the requests that it received."""

    url: str = ""
    content: bytes = CONTENT
    etag: str | None = '"one"'
    ranges: bool = True
    chunked: bool = False
    cut_after: int | None = None  # bytes of the body before the connection breaks
    status: int = 200
    location: str | None = None
    shifted: int = 0  # bytes by which ranges start later than requested
    paths: list[str] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def do_GET(self) -> None:
        state = self.state
        state.paths.append(self.path)
        state.requests.append({name.lower(): value for name, value in self.headers.items()})
        self.close_connection = True
        if state.location and self.path.startswith("/old"):
            self.send_response(302)
            self.send_header("Location", state.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if state.status != 200:
            self.send_error(state.status)
            return
        start = self._start()
        if start is not None and start >= len(state.content):
            self.send_error(416)
            return
        body = state.content[(start or 0) + (state.shifted if start else 0) :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            first, total = start + state.shifted, len(state.content)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        if state.etag:
            self.send_header("ETag", state.etag)
        if state.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have closed the connection
            if state.chunked:
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            else:
                self.wfile.write(body[: state.cut_after])

    def _start(self) -> int | None:
        requested = self.headers.get("Range")
        if requested is None or not self.state.ranges:
            return None
        if (condition := self.headers.get("If-Range")) and condition != self.state.etag:
            return None
        return int(requested.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    handler = type("Bound", (Handler,), {"state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        state.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        listener.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's folder, which does not exist yet. Proxies of the environment are removed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("FACEINDEX_WEIGHTS", "FACEINDEX_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return weights_folder()


@pytest.fixture
def weight(server: Server) -> WeightFile:
    return WeightFile(
        name="test-net.pt",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        source="https://example.org/net",
        url=f"{server.url}/test-net.pt",
    )


def visible_files(folder: Path) -> list[str]:
    """Names of the files in the user's folder that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def interrupt(server: Server, weight: WeightFile, after: int = 300_000) -> None:
    server.cut_after = after
    with pytest.raises(FetchFailed, match="broke after"):
        fetch_weights(weight)
    server.cut_after = None


def test_a_file_is_downloaded_and_progress_is_reported(
    server: Server, weight: WeightFile, folder: Path
) -> None:
    reported: list[tuple[int, int]] = []
    path = fetch_weights(weight, progress=lambda done, total: reported.append((done, total)))
    assert path == folder / "test-net.pt"
    assert path.read_bytes() == CONTENT
    assert visible_files(folder) == ["test-net.pt"]
    assert reported[0] == (0, len(CONTENT))
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert reported == sorted(reported)
    assert find_weights(weight) == path
    if os.name == "posix":
        assert folder.stat().st_mode & 0o077 == 0


def test_an_interrupted_download_is_resumed(server: Server, weight: WeightFile, folder: Path) -> None:
    server.cut_after = 300_000
    with pytest.raises(FetchFailed, match=r"broke after 300,000 of 1,048,576 bytes") as info:
        fetch_weights(weight)
    assert str(folder / "test-net.pt.part") in info.value.problem
    assert (folder / "test-net.pt.part").read_bytes() == CONTENT[:300_000]
    assert info.value.remedy == "Try again: the download continues from there."
    with pytest.raises(WeightsNotFound):
        find_weights(weight)
    server.cut_after = 100_000
    with pytest.raises(FetchFailed, match=r"broke after 400,000"):
        fetch_weights(weight)
    server.cut_after = None
    assert fetch_weights(weight).read_bytes() == CONTENT
    assert [headers.get("range") for headers in server.requests] == [None, "bytes=300000-", "bytes=400000-"]
    assert server.requests[-1]["if-range"] == '"one"'
    assert visible_files(folder) == ["test-net.pt"]


def test_a_connection_that_breaks_at_once_leaves_no_partial_file(
    server: Server, weight: WeightFile, folder: Path
) -> None:
    server.cut_after = 0
    with pytest.raises(FetchFailed, match="broke before any data arrived") as info:
        fetch_weights(weight)
    assert "kept" not in info.value.problem
    assert "resume" not in info.value.remedy
    assert visible_files(folder) == []


def test_ctrl_c_keeps_the_partial_file(server: Server, weight: WeightFile, folder: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_weights(weight, progress=stop)
    assert 200_000 < (folder / "test-net.pt.part").stat().st_size < len(CONTENT)
    assert fetch_weights(weight).read_bytes() == CONTENT
    assert "range" in server.requests[-1]


def test_a_download_restarts_if_the_server_has_no_ranges(server: Server, weight: WeightFile) -> None:
    interrupt(server, weight)
    server.ranges = False
    assert fetch_weights(weight).read_bytes() == CONTENT


def test_a_download_restarts_if_the_file_changed_on_the_server(server: Server, weight: WeightFile) -> None:
    server.content = OTHER
    interrupt(server, weight)
    server.content, server.etag = CONTENT, '"two"'
    assert fetch_weights(weight).read_bytes() == CONTENT
    assert server.requests[-1]["if-range"] == '"one"'


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_change_without_a_new_etag_is_detected_by_the_hash(
    server: Server, weight: WeightFile, etag: str | None
) -> None:
    server.content, server.etag = OTHER, etag
    interrupt(server, weight)
    server.content = CONTENT
    assert fetch_weights(weight).read_bytes() == CONTENT
    assert [headers.get("range") for headers in server.requests] == [None, "bytes=300000-", None]
    assert "if-range" not in server.requests[1]


def test_a_partial_file_of_another_address_is_not_resumed(server: Server, weight: WeightFile) -> None:
    interrupt(server, weight)
    assert fetch_weights(replace(weight, url=f"{server.url}/mirror")).read_bytes() == CONTENT
    assert "range" not in server.requests[-1]


def test_a_complete_partial_file_needs_no_server(server: Server, weight: WeightFile, folder: Path) -> None:
    interrupt(server, weight)
    (folder / "test-net.pt.part").write_bytes(CONTENT)
    assert fetch_weights(weight).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_partial_file_that_is_too_long_is_deleted(server: Server, weight: WeightFile, folder: Path) -> None:
    interrupt(server, weight)
    (folder / "test-net.pt.part").write_bytes(CONTENT + b"x")
    assert fetch_weights(weight).read_bytes() == CONTENT


def test_a_file_with_a_wrong_hash_is_refused_and_deleted(
    server: Server, weight: WeightFile, folder: Path
) -> None:
    server.content = OTHER
    with pytest.raises(FetchFailed) as info:
        fetch_weights(weight)
    assert weight.sha256 in info.value.problem
    assert hashlib.sha256(OTHER).hexdigest() in info.value.problem
    assert visible_files(folder) == []


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"], ids=["shorter", "longer"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_of_a_wrong_size_is_refused_and_deleted(
    server: Server, weight: WeightFile, folder: Path, content: bytes, chunked: bool
) -> None:
    server.content, server.chunked = content, chunked
    with pytest.raises(FetchFailed, match=r"bytes instead of 1,048,576\. The download was deleted"):
        fetch_weights(weight)
    assert visible_files(folder) == []


def test_a_response_without_a_length_is_accepted(server: Server, weight: WeightFile) -> None:
    server.chunked = True
    assert fetch_weights(weight).read_bytes() == CONTENT


def test_a_download_restarts_if_the_file_shrank_on_the_server(
    server: Server, weight: WeightFile, folder: Path
) -> None:
    interrupt(server, weight)
    server.content = CONTENT[:1000]  # the range cannot be satisfied
    with pytest.raises(FetchFailed, match="it has 1,000 bytes"):
        fetch_weights(weight)
    assert visible_files(folder) == []


def test_a_range_that_was_not_requested_is_not_appended(
    server: Server, weight: WeightFile, folder: Path
) -> None:
    interrupt(server, weight)
    server.shifted = 1
    with pytest.raises(FetchFailed, match=r"a byte range of .* that was not requested"):
        fetch_weights(weight)
    assert visible_files(folder) == []


@pytest.mark.parametrize("status", [404, 503])
def test_the_error_names_the_status_of_the_server(
    server: Server, weight: WeightFile, folder: Path, status: int
) -> None:
    server.status = status
    with pytest.raises(FetchFailed, match=f"returned {status} ") as info:
        fetch_weights(weight)
    assert weight.url is not None
    assert weight.url in info.value.problem
    assert str(folder) in info.value.remedy


def test_the_error_for_an_unreachable_server_names_the_address_and_the_folder(
    weight: WeightFile, folder: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/net.pt"
    with pytest.raises(FetchFailed, match="cannot be reached") as info:
        fetch_weights(replace(weight, url=url))
    assert url in info.value.remedy
    assert f"{folder} as test-net.pt." in info.value.remedy


def test_redirects_are_followed(server: Server, weight: WeightFile) -> None:
    server.location = f"{server.url}/new"
    assert fetch_weights(replace(weight, url=f"{server.url}/old")).read_bytes() == CONTENT
    assert server.paths == ["/old", "/new"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/net.pt"])
def test_redirects_to_other_schemes_are_refused(server: Server, weight: WeightFile, target: str) -> None:
    server.location = target
    with pytest.raises(FetchFailed, match="redirect"):
        fetch_weights(replace(weight, url=f"{server.url}/old"))


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [("https", "http", False), ("https", "https", True), ("http", "https", True)],
)
def test_redirects_from_https_to_http_are_refused(before: str, after: str, allowed: bool) -> None:
    request = urllib.request.Request(f"{before}://example.org/a")
    headers = http.client.HTTPMessage()
    arguments = (request, io.BytesIO(), 302, "Found", headers, f"{after}://example.org/b")
    redirects = fetch.SafeRedirects()
    if allowed:
        followed = redirects.redirect_request(*arguments)
        assert followed is not None
        assert followed.full_url == f"{after}://example.org/b"
    else:
        with pytest.raises(urllib.error.URLError, match="not allowed"):
            redirects.redirect_request(*arguments)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/net.pt", "net.pt", None])
def test_only_http_addresses_are_accepted(weight: WeightFile, url: str | None) -> None:
    with pytest.raises(FetchFailed, match="cannot be downloaded") as info:
        fetch_weights(replace(weight, url=url))
    assert weight.source in info.value.remedy


def test_the_proxy_of_the_environment_is_used(
    server: Server, weight: WeightFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "example.com")
    assert fetch_weights(replace(weight, url="http://weights.invalid/net.pt")).read_bytes() == CONTENT
    assert server.paths == ["http://weights.invalid/net.pt"]


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_offline_does_not_use_the_network(
    server: Server, weight: WeightFile, folder: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv("FACEINDEX_OFFLINE", "1")
    with pytest.raises(FetchFailed) as info:
        fetch_weights(weight, offline=by == "argument")
    assert server.requests == []
    assert weight.url is not None
    assert weight.url in info.value.remedy
    assert (
        f"{folder} as test-net.pt." in info.value.remedy
    )  # after the address, which may end in another name
    monkeypatch.setenv("FACEINDEX_OFFLINE", "0")
    assert fetch_weights(weight).is_file()


def test_a_full_disk_keeps_the_partial_file_and_the_next_run_resumes_it(
    server: Server, weight: WeightFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fetch._write

    def full(file: IO[bytes], block: bytes) -> None:
        if file.tell() + len(block) > 600_000:
            real(file, block[: 600_000 - file.tell()])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, block)

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_write", full)
        with pytest.raises(FetchFailed, match=r"disk is full: 600,000 of 1,048,576 bytes are kept") as info:
            fetch_weights(weight)
    assert "Free 448,576 bytes" in info.value.remedy
    assert (folder / "test-net.pt.part").read_bytes() == CONTENT[:600_000]
    assert fetch_weights(weight).read_bytes() == CONTENT
    assert server.requests[-1]["range"] == "bytes=600000-"


def test_a_disk_that_is_full_from_the_start_keeps_no_partial_file(
    server: Server, weight: WeightFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, block: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetch, "_write", full)
    with pytest.raises(FetchFailed, match=r"disk is full: nothing has been downloaded\.") as info:
        fetch_weights(weight)
    assert info.value.remedy == "Free 1,048,576 bytes and run it again."


def test_a_folder_that_cannot_be_created_is_an_error(
    weight: WeightFile, server: Server, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(ModelError, match="cannot be written"):
        fetch_weights(weight)
    assert server.requests == []


def test_a_second_process_is_refused_while_the_first_downloads(
    weight: WeightFile, folder: Path, server: Server
) -> None:
    interrupt(server, weight)
    before = (folder / "test-net.pt.part").read_bytes()
    holder = (
        "import sys, pathlib\n"
        "from faceindex.locks import FileLock\n"
        "with FileLock(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(folder / ".test-net.pt.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(FetchFailed, match=r"Another process is downloading test-net\.pt"):
            fetch_weights(weight)
        process.communicate("")
    assert (folder / "test-net.pt.part").read_bytes() == before
    assert fetch_weights(weight).read_bytes() == CONTENT


def test_only_one_of_several_threads_downloads(weight: WeightFile, folder: Path) -> None:
    results: list[object] = []

    def work() -> None:
        try:
            results.append(fetch_weights(weight))
        except FetchFailed as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folder / "test-net.pt" in results
    assert all("Another process" in str(r) for r in results if isinstance(r, FetchFailed))
    assert (folder / "test-net.pt").read_bytes() == CONTENT
    assert visible_files(folder) == ["test-net.pt"]


def test_no_other_module_uses_the_network() -> None:
    clients = re.compile(
        r"^\s*(?:import|from) (?:urllib\.request|http(?!\.cookies)|ftplib|ssl|requests|httpx|urllib3)\b", re.M
    )
    package = Path(fetch.__file__).parents[1]
    users = [path.name for path in package.rglob("*.py") if clients.search(path.read_text(encoding="utf-8"))]
    assert users == ["fetch.py"]


class TestEnsure:
    def test_a_damaged_file_in_the_users_folder_by_a_relative_path_is_replaced(
        self, weight: WeightFile, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("FACEINDEX_WEIGHTS", os.path.relpath(folder))
        folder.mkdir(parents=True)
        (folder / weight.name).write_bytes(OTHER)
        path, fetched = ensure_weights(weight)
        assert fetched
        assert path.read_bytes() == CONTENT

    def test_an_existing_file_is_not_downloaded(self, server: Server, weight: WeightFile) -> None:
        path, fetched = ensure_weights(weight)
        assert fetched
        assert ensure_weights(weight) == (path, False)
        assert len(server.requests) == 1

    def test_a_damaged_file_in_the_users_folder_is_replaced(
        self, server: Server, weight: WeightFile, folder: Path
    ) -> None:
        folder.mkdir(parents=True)
        (folder / weight.name).write_bytes(OTHER)
        path, fetched = ensure_weights(weight)
        assert fetched
        assert path.read_bytes() == CONTENT

    def test_a_wrong_file_in_another_folder_is_an_error_and_is_kept(
        self, server: Server, weight: WeightFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
        (tmp_path / weight.name).write_bytes(OTHER)
        with pytest.raises(WeightsInvalid):
            ensure_weights(weight)
        assert server.requests == []
        assert (tmp_path / weight.name).read_bytes() == OTHER

    def test_a_wrong_file_of_another_program_is_kept_and_not_used(
        self, weight: WeightFile, folder: Path, tmp_path: Path
    ) -> None:
        theirs = tmp_path / "theirs.pt"
        theirs.write_bytes(OTHER)
        path, fetched = ensure_weights(replace(weight, elsewhere=(str(theirs),)))
        assert (path, fetched) == (folder / weight.name, True)
        assert path.read_bytes() == CONTENT
        assert theirs.read_bytes() == OTHER

    def test_the_file_of_another_program_saves_the_download(
        self, server: Server, weight: WeightFile, tmp_path: Path
    ) -> None:
        theirs = tmp_path / "theirs.pt"
        theirs.write_bytes(CONTENT)
        assert ensure_weights(replace(weight, elsewhere=(str(theirs),))) == (theirs, False)
        assert server.requests == []

    def test_an_accepted_file_is_kept(self, server: Server, weight: WeightFile, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / weight.name).write_bytes(OTHER)
        digest = hashlib.sha256(OTHER).hexdigest()
        acceptance_path(folder / weight.name).write_text(f'{{"sha256": "{digest}", "bytes": {len(OTHER)}}}')
        assert ensure_weights(weight) == (folder / weight.name, False)
        (folder / weight.name).write_bytes(CONTENT[:10])
        with pytest.raises(WeightsInvalid, match="no longer the file"):
            ensure_weights(weight)
        assert server.requests == []

    def test_a_variant_with_an_address_is_downloaded(self, server: Server, weight: WeightFile) -> None:
        official = replace(weight, name="official.pt", sha256="0" * 64, size=1, url=None, also=(weight,))
        path, fetched = ensure_weights(official)
        assert fetched
        assert path.name == weight.name

    def test_the_error_without_an_address_names_the_package(self, server: Server, weight: WeightFile) -> None:
        lone = replace(weight, url=None, package="no-such-package", package_path="no_such/test-net.pt")
        with pytest.raises(WeightsNotFound, match="pip install no-such-package"):
            ensure_weights(lone)
