"""How much memory reading and decoding may take."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from faceindex import images
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images import limits

MIB = 1 << 20
LEAST = limits.BASE_BYTES + 64 * MIB  # file limit: 32 MiB


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 << 30), ("1.5 GiB", 3 << 29), ("800m", 800 << 20), ("100", 100), ("4KB", 4096), ("7b", 7)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert limits.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "two", "-1G", "1X", "1e9", "1GG"])
def test_a_text_that_is_no_size_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        limits.parse_bytes(text)


def test_the_limit_is_what_the_networks_leave() -> None:
    before = limits.decode_limit()
    with limits.limit_memory("3G"):
        assert limits.decode_limit() == (3 << 30) - limits.BASE_BYTES
        assert limits.file_limit() == limits.decode_limit() // 2
    assert limits.decode_limit() == before <= limits.DECODE_BYTES


def test_a_limit_that_no_photo_fits_is_an_error() -> None:
    message = r"`max_memory` is 100 MiB\. Choose at least 832 MiB\."
    with pytest.raises(UsageError, match=message), limits.limit_memory(100 * MIB):
        pass


@pytest.mark.parametrize(("available", "expected"), [(1536 * MIB, 768 * MIB), (300 * MIB, 64 * MIB)])
def test_a_small_container_lowers_the_limit(
    available: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "available_memory", lambda: available)
    with limits.limit_memory(None):
        assert limits.decode_limit() == expected


def test_the_lowest_limit_of_all_groups_counts(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("9:pids:/x\n4:cpu,memory:/a/b\n0::/c/d\n", encoding="utf-8")
    for name, text in {
        "memory/a/b/memory.limit_in_bytes": "9223372036854771712",  # no limit
        "memory/a/memory.limit_in_bytes": "5000",
        "c/d/memory.max": "max",
        "c/memory.max": "4000",
        "pids/x/memory.max": "1",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
    assert limits._cgroup_limits(tmp_path / "cgroup", tmp_path) == [5000, 4000]
    assert limits._cgroup_limits(tmp_path / "absent", tmp_path) == []


def test_decodes_wait_for_each_other() -> None:
    entered, leave, second = threading.Event(), threading.Event(), threading.Event()
    limit = limits.decode_limit()

    def hold() -> None:
        with limits.reserve(limit * 2 // 3, "a.png"):
            entered.set()
            leave.wait()

    def wait() -> None:
        with limits.reserve(limit * 2 // 3, "b.png"):
            second.set()

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    entered.wait()
    with limits.reserve(limit // 4, "small.png"):  # fits beside it
        threads[1].start()
        assert not second.wait(0.05)
    leave.set()
    assert second.wait(10)
    for thread in threads:
        thread.join()


def test_more_than_the_limit_is_refused_with_a_remedy() -> None:
    with pytest.raises(ImageError) as caught, limits.limit_memory(LEAST), limits.reserve(200 * MIB, "a.png"):
        pass
    assert caught.value.reason is Reason.MEMORY
    assert str(caught.value) == (
        "a.png: decoding it takes 200 MiB of memory, more than the limit of 64 MiB. Make a smaller copy, or "
        "pass `max_memory=1G` if there is so much memory."
    )


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(8 << 30)
    with pytest.raises(ImageError, match=r"the file has 8 GiB, more than the limit of .* MiB\.") as caught:
        images.read(path)
    assert caught.value.reason is Reason.MEMORY


def test_a_file_that_grows_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grows.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(1000))
    assert len(images.read(path)) == 1004
    sizes = iter([10])

    class Stat:
        st_mode = stat.S_IFREG
        st_size = 10  # when it was looked at

    monkeypatch.setattr("faceindex.images.formats.os.fstat", lambda _: Stat)
    assert images.read(path) == path.read_bytes()
    monkeypatch.setattr("faceindex.images.formats.file_limit", lambda: next(sizes))
    with pytest.raises(ImageError, match="the file has"):
        images.read(path)
