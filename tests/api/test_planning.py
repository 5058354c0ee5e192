"""`FaceIndex.plan`: counts and forecasts without changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex, IndexPlan
from faceindex.api.planning import plan_photos
from faceindex.pipeline import Event, Planned, Scanning
from faceindex.store import Store

COUNTS = (
    *("new", "changed", "to_compare", "retried", "other_files", "unchanged"),
    *("known_unreadable", "unreachable", "gone", "missing"),
)


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        yield index


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    album: Path = fake_models.make_album(tmp_path / "album", people=3, photos=4)
    return album


def counts(plan: IndexPlan) -> dict[str, int]:
    """The counts that are not zero."""
    return {name: value for name in COUNTS if (value := getattr(plan, name))}


def grow(photo: Path, by: int) -> None:
    """Append bytes that decoders ignore, so that no other photo has the same size."""
    with photo.open("ab") as file:
        file.write(bytes(by))


def test_an_index_that_does_not_exist_yet(album: Path, fake_models: ModuleType) -> None:
    (album / "notes.txt").write_text("not a photo")
    plan = plan_photos(None, [album])
    assert counts(plan) == {"new": 12, "other_files": 1}
    assert plan.photos == 12
    assert (plan.seconds, plan.photos_per_second, plan.measured_at, plan.bytes) == (None,) * 4


def test_all_kinds_of_files(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    for number, photo in enumerate(sorted(album.glob("*/*.png"))):
        grow(photo, number)
    (album / "fake.jpg").write_text("not a photo")
    (album / "notes.txt").write_text("not a photo")
    index.add(album)

    (album / "person0" / "0.png").rename(album / "renamed.png")
    os.utime(album / "person0" / "1.png", (1, 1))
    grow(album / "person0" / "2.png", 500)
    (album / "person0" / "3.png").unlink()
    grow(fake_models.make_photo(album / "new.png", (64, 64, 128), mark=99), 1000)
    (album / "more.txt").write_text("not a photo either")
    (album / "broken.jpg").symlink_to(album / "nowhere.jpg")

    plan = index.plan(album)
    assert counts(plan) == {
        "new": 1,
        "changed": 1,
        "to_compare": 2,
        "other_files": 1,
        "unchanged": 8,
        "known_unreadable": 1,
        "unreachable": 1,
        "gone": 2,  # one of them was renamed
    }
    assert counts(index.plan(album, retry_failed=True))["retried"] == 1
    assert index.plan(album, retry_failed=True).photos == plan.photos == 13
    summary = index.add(album)
    assert (summary.new, summary.moved, summary.gone) == (1, 1, 1)
    assert (summary.changed, summary.new_metadata) == (0, 1)  # what was appended is no part of the picture


def test_the_forecast_is_the_rate_of_the_largest_run(index: FaceIndex, album: Path, fake_models) -> None:
    index.add(album)
    fake_models.make_photo(album / "a.png", (64, 64, 128), mark=100)
    index.add(album)  # one photo is no measure
    grow(fake_models.make_photo(album / "b.png", (64, 64, 128), mark=101), 700)
    plan = index.plan(album)
    with Store.open(index.directory) as store:
        run = store.runs()[-1]
    assert plan.measured_at == run.at
    seconds = run.detail["seconds"]
    assert isinstance(seconds, float)
    assert plan.photos_per_second is not None
    assert plan.photos_per_second == pytest.approx(12 / seconds)
    assert plan.seconds == pytest.approx(1 / plan.photos_per_second)
    assert plan.bytes == pytest.approx(sum(index.counts().bytes.values()) / 13, rel=0.9)


def test_after_short_runs_there_is_no_rate(index: FaceIndex, album: Path) -> None:
    index.add(album / "person0")
    plan = index.plan(album)
    assert plan.seconds is None
    assert plan.photos_per_second is None
    assert plan.measured_at is None
    assert plan.bytes is not None


def test_missing_photos_are_gone_with_prune(index: FaceIndex, album: Path) -> None:
    index.add(album)
    album.rename(album.with_name("moved"))
    album.mkdir()
    assert counts(index.plan(album)) == {"missing": 12}
    assert counts(index.plan(album, prune=True)) == {"gone": 12}


def test_unreadable_photos_that_are_gone_are_counted_as_in_the_summary(index: FaceIndex, album: Path) -> None:
    (album / "fake.jpg").write_text("not a photo")
    (album / "notes.txt").write_text("not a photo")
    index.add(album)
    (album / "fake.jpg").unlink()
    (album / "notes.txt").unlink()
    assert counts(index.plan(album)) == {"unchanged": 12, "gone": 1}
    assert index.add(album).gone == 1


def test_excluded_files_are_not_counted(index: FaceIndex, album: Path) -> None:
    assert counts(index.plan(album, exclude=[album / "person0"])) == {"new": 8}
    assert index.add(album, exclude=[album / "person0", album / "person1" / "0.png"]).new == 7


def test_a_reader_plans_and_nothing_changes(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    with FaceIndex.open(tmp_path / "index") as reader:
        plan = reader.plan([album], on_event=events.append)
        assert reader.roots() == []
    assert plan.as_dict()["new"] == 12
    assert plan.as_dict()["measured_at"] is None
    assert events == [Scanning(0), Planned(0)]


def test_an_unchanged_folder_is_planned_from_the_saved_scan(index: FaceIndex, album: Path) -> None:
    index.add(album)
    assert counts(index.plan(album)) == {"unchanged": 12}
