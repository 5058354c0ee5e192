"""Every command on photos in an object store; what is refused, and what is never stored or shown."""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from review_client import Browser, serving
from s3_server import S3, SECRET, serve

pytest.importorskip("fsspec")

Run = Callable[..., Any]
TOP = "memory://bucket/photos"


@pytest.fixture
def stored(album: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The album in a bucket in memory; the folder is deleted."""
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    system = MemoryFileSystem()
    for path in sorted(album.rglob("*.png")):
        system.pipe_file(f"/bucket/photos/{path.relative_to(album).as_posix()}", path.read_bytes())
    return TOP


def checked(done: Any, code: int = 0) -> str:
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return str(done.stdout)


def test_every_command(stored: str, index_album: Run, run: Run, tmp_path: Path, album: Path) -> None:
    assert json.loads(checked(index_album(stored, "--json")))["new"] == 12
    checked(run("cluster"))
    checked(run("people", "name", "0", "Anna"))
    checked(run("people", "name", "1", "Ben"))

    photo = f"{stored}/person0/0.png"
    (answer,) = json.loads(checked(run("identify", photo, "--json")))["photos"]
    assert (answer["photo"], answer["faces"][0]["person"]) == (photo, "Anna")
    answers = json.loads(checked(run("identify", stored, album / "person1", "--json")))["photos"]
    assert len(answers) == 16
    checked(run("identify", f"{stored}/none.png"), 1)
    assert photo in checked(run("faces"))
    assert checked(run("find", "Anna")).split() == [f"{stored}/person0/{n}.png" for n in range(4)]
    assert f"{stored}  " in checked(run("roots"))
    checked(run("status", "-v"))
    checked(run("doctor"))
    checked(run("clusters", "Anna", "--save", "a.png"))

    checked(run("export", "crops", "crops"))
    assert len([*(tmp_path / "crops").rglob("*.*g")]) == 12
    checked(run("export", "clusters", "people", "--folders"))
    assert len([*(tmp_path / "people" / "Anna").iterdir()]) == 4
    checked(run("find", "Anna", "--link", "linked"))
    found = [path for path in (tmp_path / "linked").iterdir() if path.name[0] != "."]
    assert len(found) == 4
    assert not any(path.is_symlink() for path in found)
    checked(run("gallery", "page"))
    assert len([*(tmp_path / "page").rglob("*.jpg")]) > 12

    checked(run("sidecar", "read"))
    refused = run("sidecar", "write", stored)
    assert "object store, where nothing is written" in refused.stderr
    assert refused.exit_code == 2
    assert "12" not in checked(run("sidecar", "write")).split("\n")[0]
    document = json.loads(run("forget", "Ben", "--yes", "--json").stdout)
    assert document["faces"] == 4
    assert json.loads(checked(index_album(stored, "--json")))["unchanged"] == 12
    assert "Ben" not in checked(run("people"))
    checked(run("roots", "remove", stored, "--yes"))


def test_the_page_shows_photos_of_a_store(stored: str, index_album: Run, run: Run, tmp_path: Path) -> None:
    checked(index_album(stored))
    checked(run("cluster"))
    with serving(tmp_path / ".faceindex") as review:
        browser = Browser(review.address)
        photo, chips = browser.get("photo?id=1"), browser.get("thumbnails?faces=1,2")
        record = browser.get("api/photo?id=1").document
        browser.close()
    assert (photo.status, photo.body[:2]) == (200, b"\xff\xd8")
    assert chips.body.count(b"\xff\xd8\xff") == 2
    assert record["name"].startswith(f"{stored}/person0/")


SECRETS = [
    "https://someone:pa55word@host/a.jpg",
    "s3://key:pa55word@bucket/photos",
    "https://host/a.jpg?X-Amz-Signature=pa55word",
    "https://host/a.jpg?width=3&sig=pa55word",
    "https://host/a.jpg?token=pa55word",
    "https://host/a.jpg#access_token=pa55word",
    "https://host/a.jpg?pa55wordpa55wordpa55wordpa55word",
    "az://container/a.jpg?sv=2020&se=pa55word",
]


@pytest.mark.parametrize("address", SECRETS)
def test_an_address_with_a_secret_is_refused_everywhere(
    address: str, index_album: Run, indexed: Path, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "list.txt").write_text(f"album/person0/0.png\n{address}\n")
    for words in (
        ("index", address),
        ("index", "album", address, "--dry-run"),
        ("index", "--from-list", "list.txt"),
        ("index", "--from-list", address),
        ("identify", address),
        ("identify", "--json", address),
        ("roots", "relocate", "album", address),
    ):
        done = run(*words)
        assert done.exit_code == 2, words
        assert "pa55word" not in done.stdout + done.stderr + caplog.text, words
    for path in (tmp_path / ".faceindex").iterdir():
        assert b"pa55word" not in path.read_bytes(), path


def test_what_cannot_be_an_address(index_album: Run) -> None:
    for address, words in (
        ("https://host/photos/", "--from-list"),
        ("https://host", "--from-list"),
        ("file:///tmp/photos", "Write its path"),
        ("simplecache::s3://bucket/a", "There is no file"),
        ("s3://bucket/../other", "empty part"),
        ("nosuch://bucket/a", "fsspec has no nosuch://"),
    ):
        done = index_album(address)
        assert (done.exit_code, words in done.stderr) == (2, True), done.stderr
    assert not Path(".faceindex").exists()


def test_the_missing_package_is_named(index_album: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("gcsfs") is None:
        assert "pip install gcsfs" in index_album("gs://bucket/photos").stderr
    monkeypatch.setitem(sys.modules, "fsspec", None)
    done = index_album("s3://bucket/photos")
    assert (done.exit_code, 'pip install "faceindex[remote]"' in done.stderr) == (2, True)


def test_offline_forbids_stores(index_album: Run, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(index_album(stored))
    monkeypatch.setenv("FACEINDEX_OFFLINE", "1")
    done = index_album(stored)
    assert (done.exit_code, "FACEINDEX_OFFLINE" in done.stderr) == (2, True)


def test_a_plain_run_imports_no_fsspec(indexed: Path) -> None:
    code = (
        "import sys; sys.argv = ['faceindex', 'index', 'album', '-q']\n"
        "from faceindex.cli.start import main\n"
        "try: main()\n"
        "finally: assert not {'fsspec', 's3fs', 'faceindex.images.remote'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def web(album: Path) -> Iterator[str]:
    """The album on a web server of this machine."""
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(album))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_list_of_addresses(
    web: str, album: Path, index_album: Run, run: Run, tmp_path: Path, fake_models: ModuleType
) -> None:
    photos = [f"{web}/person{n}/{m}.png" for n in range(3) for m in range(4)]
    lines = "\n".join(["# portraits", *photos, "", f"{web}/person0/none.png"])
    (album / "list.txt").write_text(lines)
    done = index_album("--from-list", f"{web}/list.txt", "--json")
    document = json.loads(checked(done, 1))
    assert (document["new"], document["unreadable_by_reason"]) == (12, {"missing": 1})
    assert [root["path"] for root in json.loads(run("roots", "--json").stdout)["roots"]] == [web]
    document = json.loads(index_album("--from-list", album / "list.txt", "--json").stdout)
    assert (document["unchanged"], document["opened"]) == (12, 0)
    fake_models.make_photo(album / "person0" / "0.png", (192, 192, 192), mark=99)
    document = json.loads(index_album("--from-list", f"{web}/list.txt", "--json").stdout)
    assert (document["changed"], document["unchanged"]) == (1, 11)
    (answer,) = json.loads(run("identify", photos[1], "--threshold", "0.5", "--json").stdout)["photos"]
    assert answer["faces"][0]["probability"] is not None or answer["faces"]
    (album / "list.txt").write_text("/etc/hostname\n")
    done = index_album("--from-list", f"{web}/list.txt")
    assert (done.exit_code, "Line 1 of" in done.stderr) == (2, True)


@pytest.fixture
def s3() -> Iterator[S3]:
    for package in ("moto", "s3fs", "flask"):
        pytest.importorskip(package, reason=f"the S3 server of these tests needs {package}")
    with serve() as server:
        yield server


def test_an_s3_server(
    s3: S3, album: Path, index_album: Run, run: Run, tmp_path: Path, fake_models: ModuleType
) -> None:
    system = s3.system()
    system.mkdir("pictures")
    for path in sorted(album.rglob("*.png")):
        system.pipe_file(f"pictures/all/{path.relative_to(album).as_posix()}", path.read_bytes())
    top = "s3://pictures/all"
    assert json.loads(checked(index_album(top, "--json")))["new"] == 12
    checked(run("cluster"))
    document = json.loads(checked(index_album(f"{top}/", "--json")))
    assert (document["unchanged"], document["opened"]) == (12, 0)

    (tmp_path / "new").mkdir()
    new = fake_models.make_photo(tmp_path / "new" / "x.png", fake_models.colour_of(2), mark=200).read_bytes()
    system.pipe_file("pictures/all/person0/0.png", new)
    added = fake_models.make_photo(tmp_path / "new" / "y.png", fake_models.colour_of(0), mark=201)
    system.pipe_file("pictures/all/added.png", added.read_bytes())
    system.rm_file("pictures/all/person1/3.png")
    document = json.loads(checked(index_album(top, "--json")))
    counts = ("new", "changed", "gone", "unchanged")
    assert tuple(document[name] for name in counts) == (1, 1, 1, 10)

    (answer,) = json.loads(checked(run("identify", f"{top}/person2/1.png", "--json")))["photos"]
    assert answer["faces"][0]["confidence"] == "certain"
    checked(run("export", "crops", "crops"))
    assert len([*(tmp_path / "crops").rglob("*.*g")]) == 12
    checked(run("people", "name", "0", "Anna"))

    s3.stop()
    done = index_album(top, "--json")
    document = json.loads(checked(done, 1))
    assert (document["gone"], document["unreadable_by_reason"]) == (0, {"input/output error": 1})
    assert "Check the network connection and the store" in done.stderr
    assert json.loads(run("roots", "--json").stdout)["roots"][0]["state"] == "missing"
    assert SECRET not in done.stderr + done.stdout
    s3.start()
    document = json.loads(checked(index_album(top, "--json")))
    assert tuple(document[name] for name in counts) == (0, 0, 0, 12)
    assert json.loads(run("forget", "Anna", "--yes", "--json").stdout)["faces"] >= 3
    assert json.loads(checked(index_album(top, "--json")))["opened"] == 0
    for path in (tmp_path / ".faceindex").iterdir():
        assert SECRET.encode() not in path.read_bytes()


def test_status_and_roots_ask_the_stores(
    web: str, stored: str, index_album: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked(index_album(stored, f"{web}/person0/0.png"))
    for command in ("status", "roots"):
        found = json.loads(checked(run(command, "--json")))["roots"]
        assert [root["path"] for root in found] == [stored, web]
        assert [root.get("exists", root.get("state")) in (True, "present") for root in found] == [True] * 2
    assert "cannot be reached" not in checked(run("status"))

    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    lines = checked(run("status")).splitlines()
    assert any(line.endswith(f"{stored} (has no objects)") for line in lines)
    monkeypatch.setenv("FACEINDEX_OFFLINE", "1")
    assert checked(run("status")).count("(cannot be reached)") == 2
    assert [root["exists"] for root in json.loads(checked(run("status", "--json")))["roots"]] == [False] * 2


def test_an_export_names_an_object_that_is_gone(stored: str, index_album: Run, run: Run) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    checked(index_album(stored))
    MemoryFileSystem().rm_file("/bucket/photos/person0/0.png")
    done = run("export", "crops", "crops")
    assert f"{stored}/person0/0.png: there is no such object" in done.stderr
    assert "The folder" not in done.stderr
