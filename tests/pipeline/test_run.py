"""Incremental indexing with fake models: which photos are opened, kept, moved and removed."""

from __future__ import annotations

import importlib
import os
import shutil
import threading
from array import array
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex, images
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.pipeline import Committed, Event, PhotoFailed, Planned, Warned, batches, plan

walk_module = importlib.import_module("faceindex.images.walk")  # `images.walk` is the function


def clusters(index: FaceIndex) -> dict[str, int | None]:
    return {row.photo: row.cluster for row in index.faces()}


def test_counts_everything(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    fake_models.make_photo(album / "nobody.png", fake_models.NOBODY)
    (album / "notes.txt").write_text("not a photo")
    (album / "lies.jpg").write_text("not a photo either")
    (album / "empty.jpg").touch()
    (album / "nowhere.jpg").symlink_to(album / "missing.jpg")
    summary = index.add(album)
    assert (summary.new, summary.faces, summary.without_face, summary.ignored) == (13, 12, 1, 1)
    assert summary.unreadable == {"not an image": 1, "empty file": 1, "missing": 1}
    assert summary.photos == 16
    assert not summary.complete
    assert not summary.interrupted


def test_unchanged_photos_are_not_opened(index: FaceIndex, album: Path, opened: list[str]) -> None:
    (album / "lies.jpg").write_text("not a photo")
    (album / "notes.txt").write_text("not a photo either")
    index.add(album)
    assert len(opened) == 14
    opened.clear()
    summary = index.add(album)
    assert opened == []
    assert (summary.unchanged, summary.opened, summary.known_unreadable, summary.ignored) == (12, 0, 1, 1)
    assert summary.unreadable == {"not an image": 1}


def test_models_are_not_loaded_when_nothing_changed(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(album)

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("loaded")

    with FaceIndex.open(index.directory) as reader:
        pass
    index.close()
    monkeypatch.setattr("faceindex.api.pins.load_recogniser", fail)
    with FaceIndex.open(reader.directory, write=True) as again:
        assert again.add(album).unchanged == 12


def test_a_new_time_alone_does_not_run_the_models(index: FaceIndex, album: Path) -> None:
    index.add(album)
    before = index.table().face.tolist()
    os.utime(album / "person0" / "0.png", (1, 1))
    summary = index.add(album)
    assert (summary.unchanged, summary.changed, summary.opened) == (12, 0, 1)
    assert index.table().face.tolist() == before
    assert index.add(album).opened == 0


def test_changed_photos_get_new_faces(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    index.add(album)
    path = fake_models.make_photo(album / "person0" / "0.png", (250, 10, 10))
    os.utime(path, (1, 1))
    before = {row.photo: row.face for row in index.faces()}
    summary = index.add(album)
    after = {row.photo: row.face for row in index.faces()}
    assert (summary.changed, summary.unchanged, summary.faces) == (1, 11, 1)
    assert len(after) == 12
    assert [photo for photo in after if after[photo] != before[photo]] == [str(path)]


def test_moved_photos_keep_faces_and_clusters(index: FaceIndex, album: Path, opened: list[str]) -> None:
    index.add(album)
    index.cluster()
    before = {row.face: row.cluster for row in index.faces()}
    opened.clear()
    (album / "person0" / "0.png").rename(album / "renamed.png")
    shutil.move(album / "person1", album / "elsewhere")
    summary = index.add(album)
    assert (summary.moved, summary.gone, summary.new, summary.faces) == (5, 0, 0, 0)
    assert len(opened) == 5
    assert {row.face: row.cluster for row in index.faces()} == before
    assert {Path(row.photo).parent.name for row in index.faces()} >= {"album", "elsewhere"}


def test_a_copy_of_a_moved_photo_is_new(index: FaceIndex, album: Path) -> None:
    index.add(album)
    shutil.copy(album / "person0" / "0.png", album / "copy.png")
    (album / "person0" / "0.png").rename(album / "renamed.png")
    summary = index.add(album)
    assert (summary.moved, summary.new, summary.gone) == (1, 1, 0)
    assert len(index.table()) == 13


def test_gone_photos_are_removed(index: FaceIndex, album: Path) -> None:
    index.add(album)
    shutil.rmtree(album / "person2")
    summary = index.add(album)
    assert (summary.gone, summary.unchanged) == (4, 8)
    assert len(index.table()) == 8


def test_photos_outside_the_walked_folders_stay(index: FaceIndex, album: Path) -> None:
    index.add(album)
    (album / "person2" / "0.png").unlink()
    assert index.add(album / "person1").gone == 0
    assert index.add(album / "person2").gone == 1


def test_photos_of_an_empty_folder_stay_because_its_disk_may_be_unmounted(
    index: FaceIndex, album: Path
) -> None:
    index.add(album)
    shutil.rmtree(album)
    album.mkdir()
    events: list[Event] = []
    summary = index.add(album, on_event=events.append)
    assert (summary.missing, summary.gone, len(index.table())) == (12, 0, 12)
    assert [type(event) for event in events if isinstance(event, Warned)] == [Warned]
    summary = index.add(album, prune=True)
    assert (summary.missing, summary.gone, len(index.table())) == (0, 12, 0)


def test_a_parent_folder_replaces_its_subfolder_as_root(
    index: FaceIndex, album: Path, opened: list[str]
) -> None:
    index.add(album / "person0")
    opened.clear()
    summary = index.add(album)
    assert (summary.unchanged, summary.new) == (4, 8)
    assert not any("person0" in name for name in opened)
    assert len({row.photo for row in index.faces()}) == 12
    assert index.add(album / "person0").unchanged == 4


def test_a_single_file_and_its_folder(index: FaceIndex, album: Path) -> None:
    assert index.add(album / "person0" / "1.png").new == 1
    summary = index.add(album / "person0")
    assert (summary.unchanged, summary.new, summary.gone) == (1, 3, 0)


def test_the_photo_is_named_as_the_user_named_its_folder(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(album.parent)
    index.add("album/")
    assert {row.photo for row in index.faces()} >= {str(Path("album", "person0", "0.png"))}
    assert all(Path(row.path).is_absolute() and Path(row.path).exists() for row in index.faces())


def test_a_photo_that_becomes_readable(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    broken = album / "broken.png"
    whole = fake_models.make_photo(album.parent / "whole.png", (128, 64, 128)).read_bytes()
    broken.write_bytes(whole[:60])
    assert index.add(album).unreadable.total() == 1
    broken.write_bytes(whole)
    summary = index.add(album)
    assert (summary.new, summary.unreadable.total()) == (1, 0)
    assert summary.complete


def test_retry_failed_opens_them_again(index: FaceIndex, album: Path, opened: list[str]) -> None:
    (album / "lies.jpg").write_text("not a photo")
    index.add(album)
    opened.clear()
    assert index.add(album).known_unreadable == 1
    assert opened == []
    assert index.add(album, retry_failed=True).known_unreadable == 0
    assert opened == [str(album / "lies.jpg")]


def test_an_error_in_the_networks_affects_only_its_photo(
    index: FaceIndex, album: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = fake_models.make_photo(album / "poison.png", (255, 0, 0))
    detect = fake_models.FakeDetector.detect_one

    def breaks(self: object, image: np.ndarray) -> object:
        if tuple(image[50, 50]) == (255, 0, 0):
            raise RuntimeError("the network fails")
        return detect(self, image)

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", breaks)
    events: list[Event] = []
    summary = index.add(album, on_event=events.append)
    failed = [event.error for event in events if isinstance(event, PhotoFailed)]
    assert summary.new == 12
    assert [error.path for error in failed] == [str(poison)]
    assert "the network fails" in failed[0].problem


def test_stopping_commits_what_is_done(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 2)
    seen: list[Event] = []
    summary = index.add(album, on_event=seen.append, should_stop=lambda: len(seen) >= 6)
    assert summary.interrupted
    assert 0 < summary.new < 12
    assert summary.gone == 0
    assert sum(event.photos for event in seen if isinstance(event, Committed)) == summary.new
    rest = index.add(album)
    assert (rest.unchanged, rest.new) == (summary.new, 12 - summary.new)


def test_the_order_of_faces_is_the_order_of_photos(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 5)
    index.add(album)
    photos = [row.photo for row in index.faces()]
    assert photos == sorted(photos)


def test_a_small_memory_budget_gives_the_same_faces(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BUDGET_BYTES", 1)
    assert index.add(album).faces == 12


def test_a_missing_path_changes_nothing(index: FaceIndex, album: Path) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        index.add([album, album / "nonsense"])
    assert len(index.table()) == 0


def test_planned_contains_the_number_of_photos_to_open(index: FaceIndex, album: Path) -> None:
    events: list[Event] = []
    index.add(album, on_event=events.append)
    assert [event.photos for event in events if isinstance(event, Planned)] == [12]


def test_a_file_that_an_older_version_ignored_is_opened(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album / "a.raf").write_bytes(b"of a format that it did not know")
    with monkeypatch.context() as older:
        older.setattr("faceindex.pipeline.run.IMAGE_SUFFIXES", frozenset({".png"}))
        assert index.add(album).ignored == 1
    (album / "another.txt").write_text("so that the walk is another one")
    summary = index.add(album)
    assert (summary.unreadable, summary.ignored) == ({"not an image": 1}, 1)
    (album / "another.txt").unlink()
    assert index.add(album).opened == 0


def test_the_index_directory_is_not_walked(tmp_path: Path, album: Path, fake_models: ModuleType) -> None:
    with FaceIndex.create(album / "own index", detector="fake", embedder="fake") as index:
        summary = index.add(album)
        assert (summary.new, summary.ignored) == (12, 0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_photo_without_permission_is_tried_at_every_run(index: FaceIndex, album: Path) -> None:
    secret = album / "person0" / "0.png"
    secret.chmod(0)
    assert index.add(album).unreadable == {"permission denied": 1}
    secret.chmod(0o600)
    assert index.add(album).new == 1


def test_denied_photos_are_tried_at_every_run(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = album / "person0" / "0.png"
    read = images.read

    def denies(path: str | os.PathLike[str]) -> bytes:
        if Path(path) == secret:
            raise ImageError(path, Reason.DENIED, "it may not be read.", "Change its mode.")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read", denies)
        assert index.add(album).unreadable == {"permission denied": 1}
    summary = index.add(album)
    assert (summary.new, summary.unreadable.total()) == (1, 0)


def test_large_files_with_small_pictures_do_not_wait_for_each_other(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget counts the bytes of files and of pixels, and a finished batch must release both."""
    for photo in album.rglob("*.png"):
        photo.write_bytes(photo.read_bytes() + bytes(80_000))
    monkeypatch.setattr(batches, "BUDGET_BYTES", 300_000)
    done: list[int] = []
    worker = threading.Thread(target=lambda: done.append(run_in_own_store(album)), daemon=True)
    worker.start()
    worker.join(60)
    assert done == [12]


def run_in_own_store(album: Path) -> int:
    with FaceIndex.create(album.parent / "own", detector="fake", embedder="fake") as index:
        return index.add(album).faces


def test_a_folder_that_cannot_be_listed_loses_nothing(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(album)
    scandir = os.scandir

    for closed in (album, album / "person1"):

        def refuses(path: str, closed: Path = closed) -> object:
            if Path(path) == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        with monkeypatch.context() as patch:
            patch.setattr(walk_module, "BY_DESCRIPTOR", False)
            patch.setattr(os, "scandir", refuses)
            summary = index.add(album)
        assert (summary.gone, summary.missing, summary.unreadable.total()) == (0, 0, 1)
        assert len(index.table()) == 12
        summary = index.add(album)
        assert summary.complete
        assert (summary.gone, summary.kept_until) == (0, None)


def test_a_rename_elsewhere_does_not_remove_the_photos_of_an_empty_folder(
    index: FaceIndex, album: Path
) -> None:
    index.add([album / "person0", album / "person1"])
    (album / "person0" / "0.png").rename(album / "person0" / "new.png")
    for photo in (album / "person1").iterdir():
        photo.unlink()
    summary = index.add([album / "person0", album / "person1"])
    assert (summary.moved, summary.missing, summary.gone) == (1, 4, 0)


def test_a_photo_out_of_reach_keeps_its_faces(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    shutil.move(album / "person0" / "0.png", disk / "0.png")
    (album / "person0" / "0.png").symlink_to(disk / "0.png")
    index.add(album)
    before = index.table().face.tolist()
    disk.rename(tmp_path / "away")
    summary = index.add(album)
    assert summary.unreadable == {"missing": 1}
    assert index.table().face.tolist() == before
    (tmp_path / "away").rename(disk)
    assert index.add(album).complete
    assert index.table().face.tolist() == before


def test_a_truncated_photo_stays_unreadable_after_every_retry(index: FaceIndex, album: Path) -> None:
    whole = (album / "person0" / "0.png").read_bytes()
    (album / "cut.png").write_bytes(whole[:-40])
    index.add(album)
    again = index.add(album, retry_failed=True)
    assert (again.unreadable.total(), again.known_unreadable, again.unchanged) == (1, 0, 12)
    (album / "cut.png").rename(album / "cut2.png")
    renamed = index.add(album)
    assert (renamed.moved, renamed.unreadable.total()) == (0, 1)


def faces_by_name(index: FaceIndex) -> dict[str, int]:
    return {Path(row.photo).name: row.face for row in index.faces()}


def test_names_may_be_swapped_shifted_and_overwritten(index: FaceIndex, album: Path) -> None:
    folder = album / "person0"
    index.add(folder)
    before = faces_by_name(index)

    for old, new in (("0.png", "x"), ("1.png", "0.png"), ("x", "1.png")):
        (folder / old).rename(folder / new)
    for i in range(4):
        os.utime(folder / f"{i}.png", (i + 1, i + 1))
    summary = index.add(folder)
    assert (summary.moved, summary.changed, summary.new, summary.gone) == (2, 0, 0, 0)
    assert faces_by_name(index) == {**before, "0.png": before["1.png"], "1.png": before["0.png"]}

    before = faces_by_name(index)
    for i in (3, 2, 1, 0):
        (folder / f"{i}.png").rename(folder / f"{i + 1}.png")
    summary = index.add(folder)
    assert (summary.moved, summary.changed, summary.new, summary.gone) == (4, 0, 0, 0)
    assert faces_by_name(index) == {f"{i + 1}.png": before[f"{i}.png"] for i in range(4)}

    before = faces_by_name(index)
    (folder / "1.png").replace(folder / "2.png")
    summary = index.add(folder)
    assert (summary.moved, summary.changed, summary.new, summary.gone) == (1, 0, 0, 1)
    assert faces_by_name(index) == {
        "2.png": before["1.png"],
        "3.png": before["3.png"],
        "4.png": before["4.png"],
    }


def test_a_photo_that_moved_away_from_its_new_content(
    index: FaceIndex, album: Path, fake_models: ModuleType
) -> None:
    folder = album / "person0"
    index.add(folder)
    before = faces_by_name(index)
    (folder / "0.png").rename(folder / "old.png")
    fake_models.make_photo(folder / "0.png", (250, 10, 10), mark=9)
    summary = index.add(folder)
    assert (summary.moved, summary.new, summary.changed, summary.gone) == (1, 1, 0, 0)
    after = faces_by_name(index)
    assert after["old.png"] == before["0.png"]
    assert after["0.png"] not in before.values()


def test_a_folder_by_another_name_is_the_same_folder(
    index: FaceIndex, album: Path, tmp_path: Path, opened: list[str]
) -> None:
    (tmp_path / "link").symlink_to(album)
    index.add(tmp_path / "link")
    opened.clear()
    summary = index.add(album)
    assert (summary.unchanged, summary.new, opened) == (12, 0, [])
    summary = index.add([album / "person0", tmp_path / "link" / "person0", album / "person1" / "0.png"])
    assert (summary.unchanged, summary.new, summary.gone) == (5, 0, 0)


def test_gone_photos_of_a_folder_whose_parent_becomes_the_root(index: FaceIndex, album: Path) -> None:
    index.add(album / "person0")
    (album / "person0" / "0.png").unlink()
    shutil.copy(album / "person1" / "0.png", album / "top.png")
    summary = index.add([album / "person0", album / "top.png"])
    assert (summary.gone, summary.unchanged, summary.new) == (1, 3, 1)


def test_ctrl_c_during_the_walk(index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "REPORT_EVERY", 1)
    summary = index.add(album, should_stop=lambda: True)
    assert summary.interrupted
    assert len(index.table()) == 0


@pytest.mark.parametrize("fault", [MemoryError("no more"), RuntimeError("the device is lost"), None])
def test_a_fault_of_the_machine_loses_no_faces(
    index: FaceIndex,
    album: Path,
    fake_models: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception | None,
) -> None:
    index.add(album)
    before = sorted(index.table().face.tolist())
    for i, photo in enumerate(sorted(album.rglob("*.png"))):
        fake_models.make_photo(photo, (64, 128, 128), mark=100 + i)
        os.utime(photo, (1, 1))

    def fails(self: object, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if fault is not None:
            raise fault
        return np.full((len(chips), fake_models.DIMENSION), np.nan, np.float32), np.ones(len(chips), "f4")

    with monkeypatch.context() as patch:
        patch.setattr(fake_models.FakeEmbedder, "embed", fails)
        summary = index.add(album)
    assert summary.unreadable == {"processing failed": 12}
    assert sorted(index.table().face.tolist()) == before
    summary = index.add(album)
    assert (summary.changed, summary.unreadable.total()) == (12, 0)


def test_a_fault_while_decoding_affects_only_that_photo_and_is_tried_again(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = album / "person0" / "0.png"
    read = images.read

    def fails(path: str | os.PathLike[str]) -> bytes:
        if Path(path) == bad:
            raise MemoryError
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(images, "read", fails)
        summary = index.add(album)
    assert (summary.new, summary.unreadable) == (11, {"processing failed": 1})
    assert index.add(album).new == 1


def test_a_parent_folder_by_another_name_becomes_the_root(
    index: FaceIndex, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(album)
    monkeypatch.chdir(tmp_path / "link")  # the current directory resolves to its real name
    index.add("person0")
    summary = index.add(tmp_path / "link")
    assert (summary.unchanged, summary.new) == (4, 8)
    assert len(index.table()) == 12


def test_ctrl_c_during_the_search_for_moves(index: FaceIndex, album: Path, opened: list[str]) -> None:
    index.add(album)
    for photo in album.rglob("*.png"):
        os.utime(photo, (1, 1))
    opened.clear()
    summary = index.add(album, should_stop=lambda: bool(opened))
    assert summary.interrupted
    assert summary.gone == 0
    assert index.add(album).unchanged == 12


def test_a_file_that_was_still_being_copied(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = images.walk

    def sees_less(*arguments: Any, **options: Any) -> object:
        listing = listed(*arguments, **options)
        for tree in listing._trees:
            for folder in tree.folders:
                folder.sizes[:] = array("q", [60] * len(folder.sizes))
                folder.times[:] = array("q", [1] * len(folder.times))
        return listing

    with monkeypatch.context() as patch:
        patch.setattr(plan, "walk", sees_less)
        index.add(album)
    before = index.table().face.tolist()
    summary = index.add(album)
    assert (summary.unchanged, summary.changed) == (12, 0)
    assert index.table().face.tolist() == before


@pytest.mark.parametrize(("limit", "sizes"), [("BATCH_BYTES", {1}), ("BATCH_PHOTOS", {3})])
def test_every_worker_gets_a_batch(
    index: FaceIndex,
    album: Path,
    fake_models: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    sizes: set[int],
) -> None:
    """Batches of large photos have few photos, and few photos are divided among the workers."""
    if limit == "BATCH_BYTES":
        monkeypatch.setattr(batches, "BATCH_BYTES", 1)
    monkeypatch.setattr(batches, "count_workers", lambda: 4)
    seen: list[int] = []
    detect = fake_models.FakeDetector.detect

    def spy(self: object, images: list[object], **settings: object) -> object:
        seen.append(len(images))
        return detect(self, images, **settings)

    monkeypatch.setattr(fake_models.FakeDetector, "detect", spy)
    assert index.add(album).new == 12
    assert set(seen) == sizes
    assert sum(seen) == 12
