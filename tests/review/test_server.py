"""The server as a process: how it starts, what it loads, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fakes
import pytest
from review_client import Browser, serving

from faceindex import FaceIndex
from faceindex.errors import IndexNotFound, UsageError
from faceindex.review import Review

_HEAVY = ("torch", "onnxruntime", "dlib", "sklearn", "hnswlib", "numba", "pandas", "matplotlib")

_PROGRAM = """
import signal, sys
sys.path.insert(0, sys.argv[2])
import fakes
fakes.register_fakes()
from faceindex.review import Review
with Review(sys.argv[1]) as review:
    review.write_redirect()
    signal.signal(signal.SIGTERM, lambda *_: review.stop())
    print(review.address, flush=True)
    review.run()
print(*sorted(sys.modules), flush=True)
"""

_COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import fakes
fakes.register_fakes()
from faceindex.cli.app import main
main()
"""


@contextmanager
def _process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _redirects(directory: Path) -> list[Path]:
    return sorted(directory.glob(".review-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
def test_a_kill_loses_no_decision_and_the_next_server_cleans_up(directory: Path) -> None:
    with _process(_PROGRAM, str(directory), str(Path(fakes.__file__).parent)) as process:
        assert process.stdout is not None
        browser = Browser(process.stdout.readline().strip())
        seen = browser.generation()
        for number in range(3):
            answer = browser.act("name", seen, name=f"Person {number}", clusters=[number])
            assert answer.status == 200
            seen = answer.document["changes"]["generation"]
        # A decision that is being made at the kill is made whole or not at all.
        connection = socket.create_connection(("127.0.0.1", browser.port))
        act = {"id": uuid.uuid4().hex, "seen": seen, "do": "name", "name": "Last", "faces": [1]}
        body = json.dumps(act).encode()
        head = {**browser.headers, "Host": f"127.0.0.1:{browser.port}", "Content-Length": str(len(body))}
        head["Content-Type"] = "application/json"
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        connection.sendall(f"POST {browser.root}api/act HTTP/1.1\r\n{lines}\r\n".encode() + body)
        process.kill()
        process.wait()
        connection.close()
        browser.close()
    assert _redirects(directory) == []  # it was used by the browser: any token deletes it
    (directory / f".review-{browser.port}-{'0' * 16}.html").touch()
    (directory / f".review-99999-{'0' * 16}.html").touch()
    (directory / f".review-notes-{'0' * 16}.html").touch()
    with FaceIndex.open(directory, write=True) as index:
        kept = {"Person 0", "Person 1", "Person 2"}
        assert set(index.people.names()) in (kept, kept | {"Last"})
    assert FaceIndex.doctor(directory).healthy
    with serving(directory):
        assert [path.name for path in _redirects(directory)] == [f".review-notes-{'0' * 16}.html"]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGTERM")
def test_a_server_loads_no_network_until_a_picture_comes(directory: Path) -> None:
    with _process(_PROGRAM, str(directory), str(Path(fakes.__file__).parent)) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        (redirect,) = _redirects(directory)
        assert redirect.stat().st_mode & 0o777 == 0o600
        browser = Browser(address)
        seen = browser.generation()
        assert browser.get("thumbnails?faces=1,2,3").status == 200
        assert browser.get("photo?id=1&side=64").status == 200
        assert browser.get(f"api/questions?seen={seen}").status == 200
        assert browser.act("name", seen, name="Anna", clusters=[0]).status == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
        browser.close()
    assert process.returncode == 0, err
    assert [name for name in _HEAVY if name in out.split()] == []
    assert err == ""
    assert _redirects(directory) == []


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGTERM")
def test_the_command_prints_the_address_and_ends_with_a_signal(directory: Path) -> None:
    arguments = ("review", "--no-open", "--json", "--index", str(directory))
    with _process(_COMMAND, str(Path(fakes.__file__).parent), *arguments) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != "}\n":
            lines.append(process.stdout.readline())
        document = json.loads("".join(lines))
        assert document["schema"] == "faceindex/review/1"
        assert (document["pid"], document["index"]) == (process.pid, str(directory))
        browser = Browser(document["address"])
        assert browser.port == document["port"]
        started = time.monotonic()
        waiting = socket.create_connection(("127.0.0.1", browser.port))  # an open connection
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out) == (0, "")
        assert time.monotonic() - started < 8  # an open connection may stay for longer
        assert "Ctrl-C ends it" in err
        waiting.close()
        browser.close()


def test_ports(directory: Path) -> None:
    with Review(directory) as first:
        assert first.port > 0
        with pytest.raises(UsageError, match=f"Port {first.port} is used by another program") as error:
            Review(directory, port=first.port)
        assert "`port`" in error.value.remedy
    with Review(directory, port=first.port) as again:
        assert again.port == first.port
    with pytest.raises(UsageError, match="There is no port 70000"):
        Review(directory, port=70_000)


def test_only_this_machine_is_listened_to(directory: Path) -> None:
    with Review(directory) as review:
        assert review._socket.getsockname() == ("127.0.0.1", review.port)
        assert f"//127.0.0.1:{review.port}/?token=" in review.address


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound):
        Review(tmp_path)


def test_it_ends_when_no_page_is_open(directory: Path) -> None:
    with Review(directory, idle_exit=0.2) as review:
        started = time.monotonic()
        thread = threading.Thread(target=review.run)
        thread.start()
        thread.join(10)
        assert 0.2 <= time.monotonic() - started < 3


def test_requests_are_reported_without_their_values(directory: Path) -> None:
    requests: list[tuple[Any, ...]] = []
    with serving(directory, on_request=lambda *request: requests.append(request)) as review:
        browser = Browser(review.address)
        browser.get("api/search?words=secret")
        browser.get("../../etc/passwd")
        browser.close()
    shown = [request[:3] for request in requests]
    assert shown == [
        ("GET", "/", 200), ("GET", "/", 200), ("GET", "/api/search", 200), ("GET", "?", 404)
    ]  # fmt: skip


def test_large_and_slow_requests(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceindex.review.fields._SECONDS", 0.1)
    with serving(directory) as review:
        browser = Browser(review.address)

        def sent(head: dict[str, str], body: bytes) -> bytes:
            lines = "".join(f"{name}: {value}\r\n" for name, value in {**browser.headers, **head}.items())
            first = f"POST {browser.root}api/act HTTP/1.1\r\nHost: 127.0.0.1:{browser.port}\r\n"
            with socket.create_connection(("127.0.0.1", browser.port), 10) as connection:
                connection.sendall(f"{first}Content-Type: application/json\r\n{lines}\r\n".encode() + body)
                return connection.recv(65536)

        assert b" 413 " in sent({"Content-Length": str(5 << 20)}, b"")  # before it is sent
        assert b" 413 " in sent({"Transfer-Encoding": "chunked"}, b"500001\r\n" + b"x" * 0x500001 + b"\r\n")
        assert b" 408 " in sent({"Content-Length": "100"}, b"{")
        assert b" 400 " in sent({"Content-Length": "2"}, b"{}")
        assert sent({"Content-Length": "-1"}, b"") == b""  # not HTTP
        with suppress(ConnectionError):  # before all of it was read
            assert sent({"X": "x" * 3_000_000}, b"") == b""
        assert browser.get("api/album").status == 200
        browser.close()


def test_connections_that_send_no_whole_request_are_closed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceindex.review.server._HEAD_SECONDS", 0.2)
    with serving(directory) as review:
        whole = f"GET /x HTTP/1.1\r\nHost: 127.0.0.1:{review.port}\r\n"
        for sent, then in (
            ("", ""), ("GET", ""), (whole + "\r\n", "GET"), (whole + "Content-Length: 9\r\n\r\n", "")
        ):  # fmt: skip
            with socket.create_connection(("127.0.0.1", review.port), 10) as connection:
                connection.sendall(sent.encode())
                received = connection.recv(65536) if then else b""
                connection.sendall(then.encode())
                with suppress(ConnectionError):
                    while part := connection.recv(65536):  # else, the time is up
                        received += part
                assert (b" 421 " in received or b" 404 " in received) is sent.startswith(whole)


def test_a_failure_is_answered_and_reported(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("of the test")

    errors: list[Exception] = []
    with serving(directory, on_error=errors.append) as review:
        browser = Browser(review.address)
        monkeypatch.setattr("faceindex.review.album.LiveAlbum.bundle", fail)
        answer = browser.get("api/album")
        assert (answer.status, list(answer.document)) == (500, ["problem", "remedy"])
        assert "of the test" not in answer.document["problem"]
        assert answer.headers["cache-control"] == "no-store"
        browser.close()
    assert [str(error) for error in errors] == ["of the test"]
