"""Photos in object stores in runs of `index`: what is read again, moved, gone or missing, and what fails."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceindex import FaceIndex, images
from faceindex.errors import Reason, UsageError
from faceindex.images import remote
from faceindex.store import Status, Store

fsspec = pytest.importorskip("fsspec")

COLOURS = [(64, 64, 128), (128, 64, 128), (192, 64, 128)]
TOP = "memory://bucket/photos"


class Bucket:
    """A bucket in memory, and what was requested of it."""

    def __init__(self, system: Any, portrait) -> None:
        self.system = system
        self.requests: list[str] = []
        self.portrait = portrait
        self.away = False
        self.delay = 0.0
        self.refused: set[str] = set()
        self.unlisted: dict[str, OSError] = {}
        self._lock = threading.Lock()

    def put(self, name: str, person: int, mark: int = 0) -> None:
        self.system.pipe_file(f"/bucket/photos/{name}", self.portrait(person, mark))

    def delete(self, name: str) -> None:
        self.system.rm_file(f"/bucket/photos/{name}")

    def note(self, path: str) -> None:
        time.sleep(self.delay)
        with self._lock:
            self.requests.append(path.removeprefix("/bucket/photos/"))
        if self.away or any(path.endswith(name) for name in self.refused):
            raise ConnectionError("the server at https://me:password@host/?sig=secret is away")


@pytest.fixture
def bucket(tmp_path: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])

    def portrait(person: int, mark: int) -> bytes:
        photo: Path = fake_models.make_photo(tmp_path / "one.png", COLOURS[person], mark=mark)
        return photo.read_bytes()

    found = Bucket(fsspec.filesystem("memory"), portrait)
    cat_file, ls = MemoryFileSystem.cat_file, MemoryFileSystem.ls

    def read(self: Any, path: str, *arguments: Any, **options: Any) -> bytes:
        found.note(path)
        data: bytes = cat_file(self, path, *arguments, **options)
        return data

    def listed(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        if found.away:
            raise ConnectionError("the server at https://me:password@host/?sig=secret is away")
        for name, error in found.unlisted.items():
            if path.rstrip("/").endswith(f"/{name}"):
                raise error
        return ls(self, path, *arguments, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", read)
    monkeypatch.setattr(MemoryFileSystem, "ls", listed)
    for number, name in enumerate(("a.png", "1987/b.png", "1987/c.png")):
        found.put(name, number, mark=number + 1)
    yield found


def faces(index: FaceIndex) -> dict[str, int]:
    """The face of each photo, by the path of the photo below the root."""
    with Store.open(index.directory) as store:
        names = {record.id: record.relpath for record in store.photos().values()}
        table = store.faces()
    return {names[int(photo)]: int(face) for photo, face in zip(table.photo, table.face, strict=True)}


def test_each_object_is_read_once_and_only_if_it_is_new_or_changed(index: FaceIndex, bucket: Bucket) -> None:
    summary = index.add(TOP)
    assert (summary.new, summary.faces) == (3, 3)
    assert sorted(bucket.requests) == ["1987/b.png", "1987/c.png", "a.png"]
    assert [root.path for root in index.roots()] == [TOP]
    bucket.requests.clear()
    assert index.add(f"{TOP}/").unchanged == 3
    assert index.add([TOP, f"{TOP}/1987"]).unchanged == 3
    assert bucket.requests == []
    before = faces(index)
    bucket.put("a.png", 1, mark=9)
    bucket.put("new.png", 2, mark=8)
    bucket.delete("1987/b.png")
    summary = index.add(TOP)
    assert sorted(bucket.requests) == ["a.png", "new.png"]
    assert (summary.new, summary.changed, summary.gone, summary.unchanged) == (1, 1, 1, 1)
    after = faces(index)
    assert sorted(after) == ["1987/c.png", "a.png", "new.png"]
    assert after["1987/c.png"] == before["1987/c.png"]
    assert after["a.png"] != before["a.png"]


def test_a_moved_object_keeps_its_face(index: FaceIndex, bucket: Bucket) -> None:
    index.add(TOP)
    before = faces(index)
    bucket.delete("a.png")
    bucket.put("2001/renamed.png", 0, mark=1)
    summary = index.add(TOP)
    assert (summary.moved, summary.new, summary.gone) == (1, 0, 0)
    assert faces(index)["2001/renamed.png"] == before["a.png"]


def test_a_new_etag_alone_makes_an_object_read_again(
    index: FaceIndex, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceindex.images import remote_details, remote_listing, remote_pages

    marks = {"/bucket/photos/a.png": "one"}

    def details(info: dict[str, Any]) -> remote_details.Details:
        fixed = {"size": info["size"], "mtime": 1.0, "ETag": marks.get(info["name"], "same")}
        return remote_details.details_of(fixed)

    monkeypatch.setattr(remote_listing, "details_of", details)
    monkeypatch.setattr(remote_pages, "details_of", details)
    index.add(TOP)
    bucket.requests.clear()
    assert index.add(TOP).unchanged == 3
    assert bucket.requests == []
    old = bucket.portrait(0, 1)
    new = bucket.portrait(1, 7)
    padded = max(len(old), len(new))  # data behind the end of a PNG change nothing
    bucket.system.pipe_file("/bucket/photos/a.png", old + bytes(padded - len(old)))
    index.add(TOP)
    bucket.system.pipe_file("/bucket/photos/a.png", new + bytes(padded - len(new)))
    marks["/bucket/photos/a.png"] = "two"
    bucket.requests.clear()
    summary = index.add(TOP)
    assert summary.altered == 1
    assert bucket.requests == ["a.png"]  # compared and recognised
    bucket.requests.clear()
    assert index.add(TOP).unchanged == 3
    assert bucket.requests == []


def test_a_store_that_is_away_loses_nothing(index: FaceIndex, bucket: Bucket) -> None:
    assert index.add(TOP).new == 3
    before = faces(index)
    bucket.away = True
    summary = index.add(TOP)
    assert (summary.gone, summary.unreadable["input/output error"]) == (0, 1)
    assert faces(index) == before
    (root,) = index.roots.describe()
    assert (root.state, root.photos) == ("missing", 3)
    with Store.open(index.directory) as store:
        assert {record.failed for record in store.photos().values() if record.status is Status.OK} == {
            Reason.IO_ERROR.value
        }
        text = b"".join(path.read_bytes() for path in index.directory.iterdir() if path.is_file())
    assert b"password" not in text
    bucket.away = False
    summary = index.add(TOP)
    assert (summary.unchanged, summary.gone, summary.new) == (3, 0, 0)
    assert faces(index) == before
    assert index.roots.describe()[0].state == "present"
    assert index.add(TOP).unchanged == 3


def test_a_folder_that_cannot_be_listed_loses_nothing(
    index: FaceIndex, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("1987/june/d.png", 0, mark=8)
    assert index.add(TOP).new == 4
    before = faces(index)
    for error, reason in (
        (PermissionError(13, "denied"), "permission denied"),
        (OSError(110, "Connection timed out"), "input/output error"),
    ):
        for name, unread in (("1987", 3), ("1987/june", 1)):
            bucket.unlisted = {name: error}
            summary = index.add(TOP)
            assert (summary.gone, summary.missing, summary.unchanged) == (0, 0, 4 - unread)
            assert summary.unreadable == {reason: 1}
            assert faces(index) == before
            with Store.open(index.directory) as store:
                records = store.photos().values()
            failed = {one.relpath for one in records if one.failed and one.status is Status.OK}
            assert failed == {photo for photo in before if photo.startswith(name)}
    bucket.unlisted = {"1987/june": FileNotFoundError()}  # deleted while the store is listed
    assert index.add(TOP).gone == 1

    bucket.unlisted = {"1987": PermissionError(13, "denied")}
    bucket.system.pipe_file("/bucket/photos/.faceindexignore", b"1987/")
    summary = index.add(TOP)
    assert (summary.unreadable, sorted(faces(index))) == ({}, ["a.png"])
    bucket.delete(".faceindexignore")
    bucket.delete("a.png")
    assert remote.presence(TOP) == "missing"  # nothing is known of what it has

    def away(self: Any, path: str, **options: Any) -> Any:
        raise ConnectionError

    # If the store does not answer any more, the rest of its folders need not be tried.
    bucket.unlisted = {"1987": OSError(110, "Connection timed out")}
    monkeypatch.setattr(type(bucket.system), "info", away)
    (failure,) = images.walk([TOP])
    assert (failure.relpath, failure.error and failure.error.reason) == (".", Reason.IO_ERROR)


def test_an_emptied_bucket_counts_as_missing(index: FaceIndex, bucket: Bucket) -> None:
    index.add(TOP)
    before = faces(index)
    for name in before:
        bucket.delete(name)
    summary = index.add(TOP)
    assert (summary.missing, summary.gone) == (3, 0)
    assert faces(index) == before
    assert index.add(TOP, prune=True).gone == 3
    assert faces(index) == {}


def test_a_folder_of_a_web_server_is_refused(index: FaceIndex) -> None:
    for address in ("https://host/folder/", "https://host"):
        with pytest.raises(UsageError, match="has no list of its files"):
            index.add(address)
    assert index.roots() == []


def test_what_is_held_is_limited() -> None:
    from faceindex.errors import ImageError
    from faceindex.pipeline.held import Held

    held = Held(10_000)
    error = ImageError("x", Reason.MISSING, "there is no such object.", "Check the address.")
    held.put("a", bytes(6_000))
    held.put("b", bytes(6_000))
    held.put("c", error)
    assert ("a" in held, "b" in held, held.get("c")) == (True, False, error)
    assert held.take("a") == bytes(6_000)
    assert held.take("a") is None
    held.put("b", bytes(6_000))
    assert "b" in held


def test_an_object_that_fails_is_tried_again(index: FaceIndex, bucket: Bucket) -> None:
    bucket.refused.add("b.png")
    summary = index.add(TOP)
    assert (summary.new, summary.unreadable["input/output error"]) == (2, 1)
    bucket.refused.clear()
    bucket.requests.clear()
    summary = index.add(TOP)
    assert (summary.new, summary.unchanged) == (1, 2)
    assert set(bucket.requests) == {"1987/b.png"}


def test_photos_are_requested_ahead(index: FaceIndex, bucket: Bucket) -> None:
    for number in range(60):
        bucket.put(f"many/{number}.png", number % 3, mark=number + 10)
    with FaceIndex.open(index.directory) as other:
        other.identify(bucket.portrait(0, 1), threshold=0.5)  # whatever is loaded once
    bucket.delay = 0.05
    started = time.monotonic()
    assert index.add(TOP).new == 63
    seconds = time.monotonic() - started
    assert seconds < 63 * 0.05 * 0.7


def test_what_a_walk_leaves_out(index: FaceIndex, bucket: Bucket) -> None:
    bucket.put(".hidden/x.png", 0)
    bucket.put("private/.nomedia", 0)
    bucket.put("private/x.png", 0)
    bucket.put("scans/x.png", 0)
    bucket.put("drafts/deep/x.png", 0)
    bucket.put("drafts/keep.png", 0, mark=50)
    bucket.put("down.png.part", 0)
    bucket.put("a//b.png", 0)
    bucket.system.pipe_file("/bucket/photos/.faceindexignore", b"scans/\n")
    bucket.system.pipe_file("/bucket/photos/drafts/.faceindexignore", b"deep\n")
    bucket.system.pipe_file("/bucket/photos/old.zip", b"PK\5\6" + bytes(18))
    bucket.system.pipe_file("/bucket/photos/film.mp4", bytes(1 << 20))
    bucket.system.pipe_file("/bucket/photos/notes.txt", b"notes " * 100_000)
    summary = index.add(TOP)
    assert sorted(faces(index)) == ["1987/b.png", "1987/c.png", "a.png", "drafts/keep.png"]
    assert (summary.unreadable, summary.in_stores) == ({}, 2)
    assert (summary.videos_left_out, summary.ignored, summary.partial) == (0, 1, 1)
    assert not {"old.zip", "film.mp4", "scans/x.png", "private/x.png"} & set(bucket.requests)
    bucket.requests.clear()
    summary = index.add(TOP)
    assert (summary.in_stores, summary.unchanged) == (2, 4)
    assert bucket.requests == [".faceindexignore", "drafts/.faceindexignore"]
    bucket.system.pipe_file("/bucket/photos/clip.MOV", bytes(100))
    bucket.delete("old.zip")
    bucket.delete("film.mp4")
    assert index.add(TOP).in_stores == 1
    assert index.add(f"{TOP}/clip.MOV").in_stores == 1


def test_single_photos_belong_to_their_bucket(index: FaceIndex, bucket: Bucket) -> None:
    summary = index.add([f"{TOP}/a.png", f"{TOP}/1987/b.png", f"{TOP}/none.png"])
    assert (summary.new, summary.unreadable) == (2, {"missing": 1})
    assert [root.path for root in index.roots()] == ["memory://bucket"]
    assert sorted(faces(index)) == ["photos/1987/b.png", "photos/a.png"]
    assert index.add(TOP).new == 1
    assert [root.path for root in index.roots()] == ["memory://bucket"]


def test_a_renamed_bucket(index: FaceIndex, bucket: Bucket) -> None:
    index.add(TOP)
    before = faces(index)
    bucket.system.mv("/bucket/photos", "/other/pictures", recursive=True)
    done = index.roots.relocate(TOP, "memory://other/pictures")
    assert (done.photos, done.found) == (3, 3)
    assert [root.path for root in index.roots()] == ["memory://other/pictures"]
    assert faces(index) == before
    bucket.requests.clear()
    index.add("memory://other/pictures")
    assert faces(index) == before
    with pytest.raises(UsageError, match="are there"):
        index.roots.relocate("memory://other/pictures", "memory://nowhere")
    assert index.roots.remove("memory://other/pictures").photos == 3


def test_a_folder_that_was_copied_to_a_store_keeps_its_faces(
    index: FaceIndex, bucket: Bucket, tmp_path: Path
) -> None:
    for name in ("a.png", "1987/b.png", "1987/c.png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.system.store[f"/bucket/photos/{name}"].getvalue())
    index.add(tmp_path / "album")
    before = faces(index)
    index.roots.relocate(tmp_path / "album", TOP)
    assert index.add(TOP).unchanged == 3
    assert faces(index) == before


def test_an_object_is_read_in_one_request(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceindex.images import remote

    data = os.urandom(100_000)
    photo = bucket.portrait(0, 1)
    bucket.system.pipe_file("/bucket/photos/no-suffix", photo + data)
    bucket.system.pipe_file("/bucket/photos/large.png", photo + data)
    assert images.read(f"{TOP}/large.png") == photo + data
    assert len(bucket.requests) == 1
    assert images.read(f"{TOP}/no-suffix") == photo + data
    assert len(bucket.requests) == 3  # the first bytes, and the rest
    monkeypatch.setattr(remote, "_PIECE", 1000)
    assert images.read(f"{TOP}/large.png") == photo + data


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_photo_on_a_web_server_that_is_down_has_not_moved(
    index: FaceIndex, bucket: Bucket, tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp")
    served = tmp_path / "served"
    for name in ("a.png", "1987/b.png", "1987/c.png"):
        (served / name).parent.mkdir(parents=True, exist_ok=True)
        (served / name).write_bytes(bucket.system.store[f"/bucket/photos/{name}"].getvalue())
    shutil.copytree(served, tmp_path / "copies")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
    top = f"http://127.0.0.1:{server.server_port}"
    photos = [f"{top}/{name}" for name in ("a.png", "1987/b.png", "1987/c.png")]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert index.add(photos).new == 3
        assert [(root.path, root.state) for root in index.roots.describe()] == [(top, "present")]
    finally:
        server.shutdown()
        server.server_close()
    summary = index.add(photos)
    assert (summary.gone, summary.unreadable) == (0, {"input/output error": 3})
    summary = index.add(tmp_path / "copies")
    assert (summary.moved, summary.gone) == (0, 0)
    web, copies = index.roots.describe()
    assert (web.path, web.faces, web.state) == (top, 3, "missing")
    assert copies.faces == 3
