"""The cache of thumbnails: what it keeps, what it drops, and that nothing planted or damaged is used."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from faceindex.errors import StoreError
from faceindex.store import thumbnail_cache, thumbnail_file
from faceindex.store.directory import THUMBNAILS
from faceindex.store.thumbnail_cache import ThumbnailCache
from faceindex.store.thumbnail_file import (
    MOST_BYTES,
    check_thumbnails,
    discard_thumbnails,
    erase_thumbnails,
)

INDEX = "0123456789abcdef" * 2


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def jpeg(number: int, size: int = 2500) -> bytes:
    return b"\xff\xd8\xff" + number.to_bytes(4, "little") * (size // 4)


def fill(cache: ThumbnailCache, numbers: range | list[int], size: int = 2500) -> int:
    wanted = {key(number): jpeg(number, size) for number in numbers}
    return cache.store(wanted, wanted.keys)


def has(cache: ThumbnailCache, numbers: range | list[int]) -> list[int]:
    found = cache.load([key(number) for number in numbers])
    return [number for number in numbers if key(number) in found]


@pytest.fixture
def cache(tmp_path: Path) -> ThumbnailCache:
    return ThumbnailCache(tmp_path, INDEX)


def test_what_was_stored_is_found_by_others(cache: ThumbnailCache, tmp_path: Path) -> None:
    assert has(cache, [1]) == []
    assert fill(cache, range(1000)) == 1000
    other = ThumbnailCache(tmp_path, INDEX)
    assert other.load([key(number) for number in (3, 999, 1000)]) == {key(3): jpeg(3), key(999): jpeg(999)}
    assert other.missing([key(3), key(1000)]) == [key(1000)]
    assert other.has_room()
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / THUMBNAILS).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [THUMBNAILS]
    assert check_thumbnails(tmp_path, INDEX) is None


def test_only_what_is_current_is_stored(cache: ThumbnailCache) -> None:
    assert cache.store({key(1): jpeg(1), key(2): jpeg(2)}, lambda: [key(2), key(3)]) == 1
    assert has(cache, [1, 2, 3]) == [2]


def test_a_thumbnail_that_is_too_large_is_left_out(cache: ThumbnailCache) -> None:
    assert fill(cache, [1], MOST_BYTES) == 0
    assert fill(cache, [2], MOST_BYTES - 8) == 1


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    limit = 2 << 20
    cache = ThumbnailCache(tmp_path, INDEX, limit)
    kept = list(range(8))
    for start in range(0, 4000, 50):
        fill(cache, range(start, start + 50))
        assert has(cache, kept) == kept  # used all the time
        assert (tmp_path / THUMBNAILS).stat().st_size <= limit
    newest = has(cache, range(3200, 4000))
    assert 400 < len(newest) <= limit // 2500
    assert newest == list(range(newest[0], 4000))
    assert has(cache, range(8, 3000)) == []
    assert not cache.has_room()
    assert fill(cache, range(5000, 5020), 60_000) == 20  # of another size
    assert has(cache, range(5000, 5020)) == list(range(5000, 5020))
    assert check_thumbnails(tmp_path, INDEX) is None


def test_several_threads_use_one_file(tmp_path: Path) -> None:
    failed: list[int] = []

    def work(first: int) -> None:
        cache = ThumbnailCache(tmp_path, INDEX)
        for start in range(first, first + 200, 20):
            numbers = list(range(start, start + 20))
            if fill(cache, numbers) != 20 or has(cache, numbers) != numbers:
                failed.append(start)

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert check_thumbnails(tmp_path, INDEX) is None


def test_of_another_index_nothing_is_found(cache: ThumbnailCache, tmp_path: Path) -> None:
    fill(cache, [1])
    other = ThumbnailCache(tmp_path, "f" * 32)
    assert has(other, [1]) == []
    assert check_thumbnails(tmp_path, "f" * 32) is not None
    assert fill(other, [2]) == 1
    assert has(ThumbnailCache(tmp_path, "f" * 32), [1, 2]) == [2]


def test_an_index_without_an_id_has_no_cache(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path, None)
    assert not cache._writable
    assert fill(cache, [1]) == 0
    assert not list(tmp_path.iterdir())


def change_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(jpeg(7)[3:40])
    content[at + 200] ^= 1
    path.write_bytes(content)


def sql(statement: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(statement)

    return change


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit": change_page,
    "cut": lambda path: os.truncate(path, 40_000),
    "zeros": lambda path: path.write_bytes(bytes(50_000)),
    "text": lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 4000),
    "no jpeg": sql("UPDATE thumbnails SET jpeg = CAST('<svg/>' AS BLOB)"),
    "not a blob": sql("UPDATE thumbnails SET jpeg = 12345, digest = 1"),
    "swapped": sql("UPDATE thumbnails SET jpeg = (SELECT jpeg FROM thumbnails WHERE id = 1)"),
    "a trigger": sql("CREATE TRIGGER t AFTER INSERT ON thumbnails BEGIN DELETE FROM owner; END"),
    "a view": sql("CREATE VIEW v AS SELECT 1"),
    "another table": sql("DROP TABLE thumbnails"),
    "another format": sql("PRAGMA user_version = 99"),
    "a log": sql("PRAGMA journal_mode = WAL"),
    "a journal": lambda path: path.with_name(path.name + "-journal").write_bytes(b"x" * 100),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_ignored_and_made_anew(kind: str, cache: ThumbnailCache, tmp_path: Path) -> None:
    fill(cache, range(100))
    DAMAGE[kind](tmp_path / THUMBNAILS)
    assert check_thumbnails(tmp_path, INDEX) is not None
    again = ThumbnailCache(tmp_path, INDEX)
    found = again.load([key(number) for number in range(100)])
    assert all(found[each] == jpeg(int.from_bytes(each, "big")) for each in found)
    fill(again, [1000])
    assert has(again, [1000]) == [1000]
    assert check_thumbnails(tmp_path, INDEX) is None
    assert [path.name for path in tmp_path.iterdir()] == [THUMBNAILS]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of Unix")
@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
@pytest.mark.parametrize("suffix", ["", "-journal", "-wal"])
def test_a_planted_file_is_not_followed(kind: str, suffix: str, tmp_path: Path) -> None:
    folder, victim = tmp_path / "index", tmp_path / "victim"
    folder.mkdir()
    fill(ThumbnailCache(folder, INDEX), [1])
    secret = (folder / THUMBNAILS).read_bytes()
    victim.write_bytes(secret)
    planted = folder / (THUMBNAILS + suffix)
    planted.unlink(missing_ok=True)
    if kind == "link":
        planted.symlink_to(victim)
    elif kind == "hard link":
        planted.hardlink_to(victim)
    else:
        os.mkfifo(planted)
    cache = ThumbnailCache(folder, INDEX)
    cache.load([key(1)])
    assert fill(cache, [2]) == 1  # made anew
    assert has(ThumbnailCache(folder, INDEX), [1, 2]) == [2]
    assert victim.read_bytes() == secret
    assert sorted(path.name for path in folder.iterdir()) == [THUMBNAILS]
    assert (folder / THUMBNAILS).is_file() and not (folder / THUMBNAILS).is_symlink()


def test_a_folder_in_its_place_means_no_cache(tmp_path: Path) -> None:
    (tmp_path / THUMBNAILS).mkdir()
    cache = ThumbnailCache(tmp_path, INDEX)
    assert fill(cache, [1]) == 0
    assert has(cache, [1]) == []


def test_a_full_disk_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ThumbnailCache(tmp_path, INDEX)
    fill(cache, [1])

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(cache, "_make_room", fail)
    for number in range(2, 6):
        assert fill(cache, [number]) == 0
    assert not cache._writable  # and it is not tried again and again
    assert has(cache, [1, 2]) == [1]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_means_no_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        cache = ThumbnailCache(tmp_path, INDEX)
        assert fill(cache, [1]) == 0 and has(cache, [1]) == []
    finally:
        tmp_path.chmod(0o700)


def test_erasing_overwrites_first(
    cache: ThumbnailCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, range(50))
    (tmp_path / "name").hardlink_to(tmp_path / THUMBNAILS)
    with pytest.raises(StoreError, match="hard link"):
        erase_thumbnails(tmp_path)
    (tmp_path / "name").unlink()
    with (tmp_path / THUMBNAILS).open("rb") as still_open:
        erase_thumbnails(tmp_path)
        assert not still_open.read().strip(b"\0")
    assert not list(tmp_path.iterdir())
    erase_thumbnails(tmp_path)
    assert has(cache, [1]) == []
    assert fill(cache, [1]) == 1


def test_erasing_waits_for_a_transaction_and_excludes_the_next(cache: ThumbnailCache, tmp_path: Path) -> None:
    """What is stored by a transaction that began before is erased; one that begins later sees the commit."""
    deleted, began = threading.Event(), threading.Event()

    def forget() -> None:
        began.wait(10)
        deleted.set()  # the commit that deletes the face
        erase_thumbnails(tmp_path)

    def current() -> list[bytes]:
        began.set()
        assert deleted.wait(10)
        return [key(1)]  # as read before the commit

    thread = threading.Thread(target=forget)
    thread.start()
    assert cache.store({key(1): jpeg(1)}, current) == 1
    thread.join()
    assert has(cache, [1]) == []
    assert not (tmp_path / THUMBNAILS).exists()


def test_another_process_that_holds_the_file_is_waited_for(
    cache: ThumbnailCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, [1])
    monkeypatch.setattr(thumbnail_file, "_ERASE_WAIT", 0.01)
    monkeypatch.setattr(thumbnail_cache, "WRITE_WAIT", 0.01)
    with closing(sqlite3.connect(tmp_path / THUMBNAILS, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert fill(cache, [2]) == 0
        with pytest.raises(StoreError, match="another process has been using it"):
            erase_thumbnails(tmp_path)
        assert has(cache, [1]) == [1]
    erase_thumbnails(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_erased_meanwhile_is_made_anew(cache: ThumbnailCache, tmp_path: Path) -> None:
    fill(cache, [1])
    assert has(cache, [1]) == [1]
    erase_thumbnails(tmp_path)
    assert fill(cache, [2]) == 1
    assert has(cache, [1, 2]) == [2]
    assert discard_thumbnails(tmp_path)
    assert not list(tmp_path.iterdir())
