"""Planning a run without writing anything, and loading the models only if there is a photo to open."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.errors import UsageError
from faceindex.pipeline import Event, Loaded, Loading, PhotoDone, Planned
from faceindex.pipeline.plan import Plan, make_plan
from faceindex.store import Store

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")


def plan(index: FaceIndex | None, *paths: Path, prune: bool = False) -> Plan:
    """Plan a run with a store that cannot write at all."""
    with nullcontext() if index is None else Store.open(index.directory) as store:
        return make_plan(
            store, paths, retry_failed=False, prune=prune, exclude=(), on_scan=lambda files: None
        )


def generation(index: FaceIndex) -> int:
    with Store.open(index.directory) as store:
        return store.generation


def opened(plan: Plan) -> list[tuple[str, str]]:
    return [(task.root, task.relpath) for task in plan.tasks]


def test_planning_writes_nothing(index: FaceIndex, album: Path) -> None:
    index.add(album / "person0")
    before = generation(index), index.roots()
    planned = plan(index, album)
    assert len(planned.tasks) == 8
    assert (generation(index), index.roots()) == before


def test_without_an_index_all_files_are_opened(album: Path) -> None:
    planned = plan(None, album)
    assert len(planned.tasks) == 12
    assert planned.folders == [(str(album), str(album))]
    assert opened(planned)[0] == (str(album), "person0/0.png")


def test_a_folder_around_roots_contains_their_photos(index: FaceIndex, album: Path) -> None:
    index.add([album / "person0", album / "person1"])
    planned = plan(index, album)
    assert opened(planned) == [(str(album), f"person2/{number}.png") for number in range(4)]
    assert planned.unchanged.photos == 8
    assert not planned.gone
    index.add(album)
    assert [root.path for root in index.roots()] == [str(album)]


def test_a_folder_inside_a_root_belongs_to_it(index: FaceIndex, album: Path) -> None:
    index.add(album)
    (album / "person1" / "0.png").unlink()
    planned = plan(index, album / "person1")
    assert [record.relpath for record in planned.gone] == ["person1/0.png"]
    assert planned.unchanged.photos == 3


@needs_links
def test_a_root_that_became_a_link_keeps_its_photos(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    index.add(album)
    moved = album.rename(tmp_path / "moved")
    album.symlink_to(moved)
    planned = plan(index, album)
    assert {root for root, _ in opened(planned)} == {str(moved)}
    assert len(planned.tasks) == 12
    assert planned.unchanged.photos == 0


def test_an_indexed_folder_that_does_not_exist_is_an_error(index: FaceIndex, album: Path) -> None:
    index.add(album)
    album.rename(album.with_name("moved"))
    for lost in (album, album / "person0"):
        with pytest.raises(UsageError, match=r"indexed folder .* does not exist") as caught:
            index.add(lost)
        assert str(lost) in caught.value.problem
        assert "`prune=True`" in caught.value.remedy
    with pytest.raises(UsageError, match="no file or folder"):
        index.add(album.with_name("other"))
    with pytest.raises(UsageError, match="no file or folder"):
        index.add("", prune=True)
    assert len(index) == 12


def test_with_prune_the_photos_of_a_lost_folder_are_removed(index: FaceIndex, album: Path) -> None:
    index.add(album)
    (album / "person0").rename(album.with_name("away"))
    summary = index.add(album / "person0", prune=True)
    assert (summary.gone, len(index)) == (4, 8)
    album.rename(album.with_name("moved"))
    summary = index.add(album, prune=True)
    assert (summary.gone, len(index)) == (8, 0)
    assert index.roots() == []


def test_with_prune_the_photos_of_a_moved_folder_keep_their_faces(index: FaceIndex, album: Path) -> None:
    index.add(album)
    faces = [face.face for face in index]
    moved = album.rename(album.with_name("moved"))
    summary = index.add([album, moved], prune=True)
    assert (summary.moved, summary.gone, summary.new) == (12, 0, 0)
    assert [face.face for face in index] == faces
    assert [root.path for root in index.roots()] == [str(moved)]


def test_the_roots_in_a_missing_folder_are_named(index: FaceIndex, album: Path) -> None:
    index.add([album / "person0", album / "person1"])
    album.rename(album.with_name("moved"))
    planned = plan(index, album, prune=True)
    assert len(planned.missing) == 8
    assert planned.empty_folders == [str(album / "person0"), str(album / "person1")]
    assert planned.scan_digest is None


def test_empty_folders_are_named(index: FaceIndex, album: Path) -> None:
    index.add(album)
    for photo in (album / "person2").iterdir():
        photo.unlink()
    planned = plan(index, album / "person2")
    assert planned.empty_folders == [os.fspath(album / "person2")]
    assert len(planned.missing) == 4


def test_loading_the_models_is_reported_before_the_first_new_photo(
    index: FaceIndex, album: Path, fake_models: ModuleType
) -> None:
    def kinds(events: list[Event]) -> list[type]:
        wanted = (Planned, Loading, Loaded, PhotoDone)
        return [type(event) for event in events if isinstance(event, wanted)]

    first: list[Event] = []
    index.add(album, on_event=first.append)
    assert kinds(first) == [Planned, Loading, Loaded, *[PhotoDone] * 12]
    (album / "person0" / "0.png").rename(album / "renamed.png")
    second: list[Event] = []
    index.add(album, on_event=second.append)
    assert kinds(second) == [Planned, PhotoDone]
    fake_models.make_photo(album / "new.png", (64, 64, 128), mark=99)
    (album / "renamed.png").rename(album / "again.png")
    third: list[Event] = []
    index.add(album, on_event=third.append)
    assert kinds(third) == [Planned, PhotoDone, Loading, Loaded, PhotoDone]
