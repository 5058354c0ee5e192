"""What other pages, programs and users of the same machine can send changes nothing, and reads nothing."""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from review_client import Answer, Browser, serving

from faceindex import FaceIndex

_ALWAYS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@pytest.fixture(scope="module")
def victim(made: Path) -> Iterator[Browser]:
    """The browser of the user; all tests of this file attack its server, and none may change the index."""
    with serving(made) as review:
        browser = Browser(review.address)
        yield browser
        browser.close()
    with FaceIndex.open(made) as index:
        assert index.people.count_decisions() == 0


def _check_headers(answer: Answer) -> None:
    for name, value in _ALWAYS.items():
        assert answer.headers.get_all(name) == [value]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in answer.headers
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def _decision() -> bytes:
    act = {
        "id": uuid.uuid4().hex,
        "seen": 10**6,
        "do": "name",
        "name": "Mallory",
        "faces": [1],
        "clusters": [],
    }
    return json.dumps(act).encode()


def test_the_page_itself_is_served(victim: Browser) -> None:
    assert victim.page.status == 200
    assert "sandbox" not in victim.page.headers["content-security-policy"]
    _check_headers(victim.page)
    album = victim.get("api/album")
    assert album.status == 200
    _check_headers(album)
    assert victim.get("photo?id=1&side=64").headers["content-type"] == "image/jpeg"


def test_the_cookie_goes_to_no_other_port_and_no_script(victim: Browser) -> None:
    # Cookies do not differ by port: the random path keeps it from the other servers of this machine.
    parts = {part.strip().lower() for part in victim.set_cookie.split(";")}
    assert {"httponly", "samesite=strict", f"path={victim.root}"} <= parts
    assert re.fullmatch(r"/[0-9a-f]{16}/", victim.root)
    assert not any(part.startswith("domain") for part in parts)


Change = Callable[[Browser], Mapping[str, str | None]]

_FOREIGN: Mapping[str, Change] = {
    "another name for this machine (DNS rebinding)": lambda b: {"Host": f"evil.example:{b.port}"},
    "another name and its origin": lambda b: {"Host": "evil.example", "Origin": "http://evil.example"},
    "another port as host": lambda b: {"Host": f"127.0.0.1:{b.port + 1}"},
    "no port": lambda b: {"Host": "127.0.0.1"},
    "the host in front of another one": lambda b: {"Host": f"127.0.0.1:{b.port}.evil.example"},
    "no cookie": lambda b: {"Cookie": None},
    "a wrong cookie": lambda b: {"Cookie": "faceindex=" + "0" * 32},
    "an empty cookie": lambda b: {"Cookie": "faceindex="},
    "the cookie under another name": lambda b: {"Cookie": b.cookie.replace("faceindex", "faceindey")},
    "the token as cookie": lambda b: {"Cookie": "faceindex=" + b.door.partition("=")[2]},
    "another site": lambda b: {"Sec-Fetch-Site": "cross-site"},
    "another port of this machine": lambda b: {"Sec-Fetch-Site": "same-site"},
    "no secret": lambda b: {"faceindex-page": None},
    "a wrong secret": lambda b: {"faceindex-page": "0" * 32},
}


def _changed(browser: Browser, change: Change) -> dict[str, str]:
    headers: dict[str, str | None] = {
        **browser.headers,
        "Content-Type": "application/json",
        **change(browser),
    }
    return {name: value for name, value in headers.items() if value is not None}


@pytest.mark.parametrize("what", _FOREIGN)
def test_foreign_requests_read_and_change_nothing(victim: Browser, what: str) -> None:
    headers = _changed(victim, _FOREIGN[what])
    for method, path, body in (
        ("GET", "api/album", None),
        ("GET", "api/changes?since=0", None),
        ("GET", "thumbnails?faces=1", None),
        ("GET", "api/questions", None),
        ("POST", "api/act", _decision()),
        ("POST", "api/identify", b"x"),
    ):
        answer = victim.send(method, victim.root + path, headers, body)
        assert answer.status in (403, 421), path
        assert b"Cookie" not in answer.body
        assert victim.secret.encode() not in answer.body
        _check_headers(answer)
    if "secret" not in what:  # the browser itself asks for the page and its pictures
        for path in ("", "photo?id=1"):
            answer = victim.send("GET", victim.root + path, headers)
            assert answer.status in (403, 421), path
            assert victim.secret.encode() not in answer.body


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": None},
    ],
)
def test_decisions_come_from_the_page_alone(victim: Browser, change: dict[str, str | None]) -> None:
    filled = {name: value and value.format(port=victim.port) for name, value in change.items()}
    answer = victim.send("POST", victim.root + "api/act", _changed(victim, lambda _: filled), _decision())
    assert answer.status in (403, 415)
    _check_headers(answer)


def test_no_get_changes_anything(victim: Browser) -> None:
    act = json.loads(_decision())
    query = "&".join(f"{name}={value}" for name, value in act.items())
    assert victim.get(f"api/act?{query}").status == 405
    assert victim.get("api/identify").status == 405
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"):
        headers = {**victim.headers, "Content-Type": "application/json"}
        answer = victim.send(method, victim.root + "api/act", headers, _decision())
        assert answer.status in (400, 405), method
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_is_in_no_frame(victim: Browser) -> None:
    for where in ("iframe", "frame", "embed", "object", "script", "image", "empty"):
        headers = {"Cookie": victim.cookie, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": where}
        assert victim.send("GET", victim.root, headers).status == 403
    headers = {"Cookie": victim.cookie, "Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}
    assert victim.send("GET", victim.root, headers).status == 200


_PATHS = [
    "/",
    "/?token=",
    "/?token=" + "0" * 32,
    "/?token=" + "f" * 5000,
    "/?token={token}&token={token}",
    "/?x=1&token={token}",
    "/?token=%C3%A9",
    "/favicon.ico",
    "/0000000000000000/",
    "/0000000000000000/api/album",
    "{root}../etc/passwd",
    "{root}%2e%2e/%2e%2e/etc/passwd",
    "{root}/api/album",
    "/{root}api/album",
    "{root}api//album",
    "{root}api/album/",
    "{root}api/%61lbum",
    "{root}api/album%00",
    "{root}API/ALBUM",
    "{root}api\\album",
    "{root}photo/../api/album",
    "{root}.",
    "http://127.0.0.1:{port}{root}api/album",
    "http://evil.example{root}api/album",
    "//evil.example{root}api/album",
    "*",
    "{root}thumbnails/1.jpg",
    "{root}static/page.css",
]


def test_paths_lead_nowhere_else(victim: Browser) -> None:
    token = victim.door.partition("=")[2]
    for path in _PATHS:
        filled = path.format(root=victim.root, port=victim.port, token=token)
        answer = victim.send("GET", filled, victim.headers)
        assert answer.status in (403, 404, 421), filled
        assert b"root:" not in answer.body
        _check_headers(answer)


_QUERIES = [
    "photo?id=-1", "photo?id=1.0", "photo?id=0x1", "photo?id=", "photo?id=a", "photo?id=1&id=2",
    "photo?id=" + "9" * 19, "photo?id=" + "9" * 4000, "photo?id=1%00", "photo?id=%31&path=/etc/passwd",
    "photo?id=../../etc/passwd", "photo?path=/etc/passwd", "photo?id=1&side=0", "photo?id=1&side=999999",
    "photo?id=%EF%BC%91", "photo?id=true", "photo?id=1&side=-5", "photo?id=999999",
    "api/photo?id=999999999", "api/photo?id=1e3", "api/why?face=999999", "api/why",
    "api/split", "api/split?person=1&cluster=1", "api/split?person=99999", "api/split?cluster=99999",
    "api/changes", "api/changes?since=x", "api/changes?since=0&wait=31", "api/changes?since=0&wait=1e1",
    "api/questions?limit=51", "api/questions?limit=-1", "api/search", "api/search?words=" + "a" * 501,
    "api/search?words=%FF", "api/search?words=a&limit=10001", "thumbnails", "thumbnails?faces=",
    "thumbnails?faces=1,,2", "thumbnails?faces=1;2", "thumbnails?faces=" + ",".join(["1"] * 129),
    "thumbnails?covers=129", "thumbnails?covers=", "thumbnails?covers=1&faces=1",
    "thumbnails?faces=99999999999999999999", "thumbnails?faces=4294967296",
    "api/album?x=1", "api/album?a=1&b=2&c=3&d=4&e=5&f=6&g=7",
]  # fmt: skip


def test_what_is_not_an_id_is_refused(victim: Browser) -> None:
    for query in _QUERIES:
        answer = victim.get(query)
        assert answer.status in (400, 404), (query, answer)
        assert answer.document["problem"]
        _check_headers(answer)


def test_unknown_faces_have_no_thumbnails(victim: Browser) -> None:
    answer = victim.get("thumbnails?faces=1,4000000000")
    assert answer.status == 200
    assert (4_000_000_000).to_bytes(4, "little") + bytes(4) in answer.body


def test_a_second_host_header_is_refused(victim: Browser) -> None:
    def sent(head: str) -> bytes:
        with socket.create_connection(("127.0.0.1", victim.port), 10) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    own, album = f"Host: 127.0.0.1:{victim.port}\n", f"GET {victim.root}api/album HTTP/1.1\n"
    rest = f"Cookie: {victim.cookie}\nfaceindex-page: {victim.secret}\nConnection: close\n\n"
    assert sent(album + own + rest).startswith(b"HTTP/1.1 200")
    assert not sent(album + own + "Host: evil.example\n" + rest).startswith(b"HTTP/1.1 200")
    assert not sent(album + rest).startswith(b"HTTP/1.1 200")
    assert not sent(f"GET {victim.root}api/album HTTP/1.0\n" + rest).startswith(b"HTTP/1.0 200")
    assert sent("hello\n\n") == b""
    folded = "faceindex-page: x\nfaceindex-page: y\n"
    assert b" 400 " in sent(album + own + f"Cookie: {victim.cookie}\n" + folded + "Connection: close\n\n")


def test_a_cookie_that_another_port_set_does_not_shut_the_user_out(victim: Browser) -> None:
    headers = {**victim.headers, "Cookie": f'faceindex=planted; x="; {victim.cookie}; y=1'}
    assert victim.send("GET", victim.root + "api/album", headers).status == 200


def test_the_token_of_one_server_is_of_no_use_for_another(victim: Browser, directory: Path) -> None:
    with serving(directory) as review:
        other = Browser(review.address)
        assert other.send("GET", victim.door).status == 403
        assert other.send("GET", victim.root + "api/album", victim.headers).status in (404, 421)
        with_cookie = {**other.headers, "Cookie": victim.cookie}
        assert other.send("GET", other.root + "api/album", with_cookie).status == 403
        assert victim.root != other.root
        other.close()


def test_the_token_of_the_redirect_works_once(directory: Path) -> None:
    with serving(directory) as review:
        path = review.write_redirect()
        assert path.stat().st_mode & 0o777 == 0o600
        (address,) = set(re.findall(r"http://[^\"]+", path.read_text().replace("&quot;", '"')))
        assert review.address not in path.read_text()
        first = Browser(address)
        assert not path.exists()  # it was used
        again = first.send("GET", first.door)
        assert again.status == 403
        assert "set-cookie" not in again.headers
        second = Browser(review.address)  # its user may open another browser
        first.close()
        second.close()


def test_the_page_says_nothing_about_the_index_before_the_cookie(victim: Browser) -> None:
    answers: list[Any] = [victim.send("GET", "/"), victim.send("GET", victim.root)]
    assert {answer.status for answer in answers} == {403}
    for answer in answers:
        assert set(answer.document) == {"problem", "remedy"}
        assert "index" not in answer.document["problem"]
