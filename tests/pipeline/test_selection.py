"""Which files a run takes in: patterns, times, files that are being written, and files of one shot."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.errors import UsageError
from faceindex.images import walk
from faceindex.images.special_files import MOST_CLIP_BYTES, companions
from faceindex.locks import is_open_for_writing
from faceindex.pipeline import Event, PhotoUnfinished, Summary, select
from faceindex.pipeline.newer_than import parse_newer_than

DAY_NS = 86_400 * 10**9


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def listed(folder: Path, *patterns: str) -> list[str]:
    return [found.relpath for found in walk([folder], patterns=patterns)]


# Patterns ------------------------------------------------------------------------------------------


def test_patterns_follow_the_rules_of_git(tmp_path: Path) -> None:
    touched(
        tmp_path, "a.jpg", "b.png", "scans/c.jpg", "scans/keep.jpg", "d/scans/e.jpg", "d/f.jpg", "x/scans"
    )
    assert listed(tmp_path, "*.png", "/scans/") == ["a.jpg", "d/f.jpg", "d/scans/e.jpg", "x/scans"]
    kept = ["a.jpg", "b.png", "d/f.jpg", "d/scans/e.jpg", "scans/keep.jpg", "x/scans"]
    assert listed(tmp_path, "scans/*", "!keep.jpg") == kept  # with a slash inside, from this folder only
    assert "scans/keep.jpg" not in listed(tmp_path, "scans/", "!scans/keep.jpg")  # what is in it stays out
    assert listed(tmp_path, "*", "!a.jpg") == ["a.jpg"]
    # A pattern for what is in a folder does not match the folder, nor one for folders their files.
    assert listed(tmp_path, "*.*", "x", "d/**", "!d/f.jpg", "scans/**", "!scans/keep.jpg") == [
        "d/f.jpg",
        "scans/keep.jpg",
    ]
    assert listed(tmp_path, "*", "!*/", "!e.jpg") == ["d/scans/e.jpg"]
    assert listed(tmp_path, "d/**/e.jpg", "**/scans", "!/scans") == [
        *("a.jpg", "b.png", "d/f.jpg", "scans/c.jpg", "scans/keep.jpg")
    ]


def test_files_in_folders_decide_from_the_inside_out(tmp_path: Path) -> None:
    touched(tmp_path, "a.png", "d/a.png", "d/b.jpg", "d/e/a.png", "d/e/b.jpg")
    (tmp_path / ".faceindexignore").write_text("# all of them\n*.png\n")
    (tmp_path / "d" / ".faceindexignore").write_text("!a.png\n/b.jpg\n")
    (tmp_path / "d" / "e" / ".faceindexignore").write_bytes(b"\xef\xbb\xbfa.png\r\n")
    assert listed(tmp_path) == ["d/a.png", "d/e/b.jpg"]
    assert listed(tmp_path, "!*.png") == [
        "a.png",
        "d/a.png",
        "d/e/a.png",
        "d/e/b.jpg",
    ]  # the caller decides first


def test_a_pattern_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'!' is not a pattern"):
        walk([tmp_path], patterns=["*.png", "!"])
    touched(tmp_path, "a.png", "b.jpg")
    (tmp_path / ".faceindexignore").write_text("!\n*.png\n")  # git passes over such lines
    assert listed(tmp_path) == ["b.jpg"]


def test_photos_that_patterns_leave_out_are_gone_and_return(index: FaceIndex, album: Path) -> None:
    index.add(album)
    summary = index.add(album, selection=select(["person1/", "person0/3.png"]))
    assert (summary.gone, summary.excluded, summary.unchanged, summary.missing) == (5, 5, 7, 0)
    assert summary.kept_until is not None
    assert index.add(album).returned == 5
    (album / ".faceindexignore").write_text("*\n")  # all of them: no reason to think of a missing disk
    summary = index.add(album)
    assert (summary.gone, summary.excluded, summary.missing) == (12, 12, 0)


# Times ---------------------------------------------------------------------------------------------


def test_newer_than_limits_what_is_read_and_removes_nothing(index: FaceIndex, album: Path) -> None:
    files = sorted(album.rglob("*.png"))
    now = time.time_ns()
    for number, file in enumerate(files):
        os.utime(file, ns=(now, now - number * DAY_NS))
    newer = select(newer_than=timedelta(days=2.5))
    summary = index.add(album, selection=newer)
    assert (summary.new, summary.older) == (3, 9)
    assert index.add(album, selection=newer).older == 9
    old = now - 300 * DAY_NS
    files[0].rename(album / "renamed.png")  # an old photo under another name is not read, but not gone either
    os.utime(album / "renamed.png", ns=(old, old))
    assert index.plan(album, selection=newer).gone == 0
    summary = index.add(album, selection=newer)
    assert (summary.unchanged, summary.gone, summary.older) == (2, 0, 10)
    summary = index.add(album)
    assert (summary.new, summary.moved, summary.gone, summary.older) == (9, 1, 0, 0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31T12:00:00+00:00", datetime(2024, 1, 31, 12, tzinfo=timezone.utc)),
        ("2024-01-31", datetime(2024, 1, 31).astimezone()),
    ],
)
def test_dates(text: str, moment: datetime) -> None:
    assert parse_newer_than(text) == int(moment.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("12h", 43_200), ("90min", 5_400), ("1.5w", 907_200)]
)
def test_durations(text: str, seconds: float) -> None:
    assert abs(time.time() - seconds - parse_newer_than(text) / 1e9) < 60


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7m", "2024-13-01", "99999999999d", "-3d"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(UsageError, match="newer_than"):
        parse_newer_than(text)


# Files that are being written ----------------------------------------------------------------------


def test_a_photo_that_a_program_is_writing_is_left_for_the_next_run(index: FaceIndex, album: Path) -> None:
    index.add(album)
    whole = (album / "person0" / "0.png").read_bytes()
    old, new = album / "person0" / "1.png", album / "new.png"
    events: list[Event] = []
    with old.open("wb") as one, new.open("wb") as other:
        for file in (one, other):
            file.write(whole[:100])
            file.flush()
        if is_open_for_writing(new) is not True:
            pytest.skip("this disk has no leases")
        summary = index.add(album, on_event=events.append)
        assert (summary.unfinished, summary.complete, dict(summary.unreadable)) == (2, False, {})
        assert {event.path for event in events if isinstance(event, PhotoUnfinished)} == {str(old), str(new)}
        assert index.add(album).unfinished == 2  # the run before did not count as settled
    assert dict(index.add(album).unreadable) == {"truncated": 2}  # nobody writes to them any more


def test_a_complete_photo_is_indexed_however_new(index: FaceIndex, album: Path) -> None:
    with (album / "person0" / "0.png").open("ab"):
        assert index.add(album).new == 12


def test_partial_downloads_are_not_opened(index: FaceIndex, album: Path, opened: list[str]) -> None:
    for name in ("a.jpg.part", "b.crdownload", "c.TMP"):
        (album / name).write_bytes(b"x")
    for _ in range(2):
        summary = index.add(album)
        assert (summary.partial, summary.photos, summary.ignored) == (3, 12, 0)
    assert not [path for path in opened if "person" not in path]


# Files of one shot ---------------------------------------------------------------------------------


def test_companions_have_the_name_of_a_picture() -> None:
    files = ["a.JPG", "A.CR2", "b.NEF", "c.heic", "c.MOV", "d.mov", "e.jpg", "e.mp4", "f.png", "f.dng"]
    assert companions((name, 1) for name in files) == {"A.CR2": "raw", "c.MOV": "clip"}
    assert companions([("film.jpg", 1), ("film.mov", MOST_CLIP_BYTES + 1)]) == {}


def test_a_shot_counts_once(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    make = fake_models.make_photo
    photo = album / "person0"
    make(photo / "s.jpg", (64, 64, 128), mark=200)
    (photo / "s.cr2").write_bytes(make(album / "x.png", (64, 64, 128), mark=201).read_bytes())
    (album / "x.png").unlink()
    (photo / "s.mov").write_bytes(b"clip")
    for _ in range(2):
        summary: Summary = index.add(album)
        assert (summary.photos, summary.raw_companions, summary.clips, summary.ignored) == (13, 1, 1, 0)
    summary = index.add(album, selection=select(all_versions=True))
    # The clip is a damaged video.
    assert (summary.photos, summary.new, summary.raw_companions, summary.ignored) == (15, 1, 0, 0)
    summary = index.add(album)
    assert (summary.photos, summary.gone, summary.raw_companions) == (13, 2, 1)
    (photo / "s.jpg").unlink()
    summary = index.add(album)
    assert (summary.photos, summary.gone, summary.raw_companions) == (14, 1, 0)
    assert summary.returned == 1  # the RAW file, with its faces
