"""New metadata in files, and photos of older indexes: faces are kept, and no models are loaded."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import ModuleType

import PIL.Image
import pytest
from old_formats import downgrade
from photo_edits import edit

from faceindex import FaceIndex, images
from faceindex.errors import ImageError, Reason
from faceindex.pipeline import (
    Committed,
    Event,
    Hashing,
    Loading,
    PhotoDone,
    PhotoFailed,
    Planned,
    comparing,
    moves,
)
from faceindex.store import PhotoRecord, Store

SECONDS = 1565157904


def faces(index: FaceIndex) -> dict[str, tuple[int, int | None]]:
    return {Path(row.photo).name: (row.face, row.cluster) for row in index.faces()}


def records(index: FaceIndex) -> dict[str, PhotoRecord]:
    with Store.open(index.directory) as store:
        return {Path(record.relpath).name: record for record in store.photos().values()}


def events_of(index: FaceIndex, album: Path) -> list[Event]:
    events: list[Event] = []
    index.add(album, on_event=events.append)
    return events


def test_new_photos_have_their_pictures(index: FaceIndex, album: Path) -> None:
    photo = album / "person0" / "0.png"
    edit(photo, orientation=6)
    index.add(album)
    expected = images.read_picture(photo.read_bytes())
    assert (expected.orientation, expected.taken) == (6, SECONDS)
    with Store.open(index.directory) as store:
        (record,) = store.photos_by_picture(expected.hash)
        assert (record.picture, record.orientation, record.taken) == (expected.hash, 6, SECONDS)
        assert store.photos_by_picture(b"another") == []


def test_new_metadata_keep_faces_and_clusters(index: FaceIndex, album: Path, opened: list[str]) -> None:
    index.add(album / "person0")
    index.cluster()
    before, ids = faces(index), {name: record.id for name, record in records(index).items()}
    edit(album / "person0" / "0.png")
    edit(album / "person0" / "1.png")
    opened.clear()
    events: list[Event] = []
    summary = index.add(album / "person0", on_event=events.append)
    assert (summary.new_metadata, summary.unchanged, summary.changed, summary.moved) == (2, 2, 0, 0)
    assert (summary.photos, summary.opened, summary.faces) == (4, 2, 0)
    assert sorted(map(os.path.basename, opened)) == ["0.png", "1.png"]
    assert not any(isinstance(event, Loading) for event in events)
    assert faces(index) == before
    after = records(index)
    assert {name: record.id for name, record in after.items()} == ids
    data = (album / "person0" / "0.png").read_bytes()
    assert (after["0.png"].content_hash, after["0.png"].size) == (images.content_hash(data), len(data))
    assert (after["0.png"].taken, after["2.png"].taken) == (SECONDS, None)
    assert index.add(album / "person0").opened == 0


def test_another_orientation_is_a_change(index: FaceIndex, album: Path) -> None:
    index.add(album / "person0")
    before = faces(index)
    edit(album / "person0" / "0.png", orientation=6)
    summary = index.add(album / "person0")
    assert (summary.changed, summary.new_metadata) == (1, 0)
    assert faces(index)["0.png"] != before["0.png"]
    assert records(index)["0.png"].orientation == 6


def test_photos_that_were_renamed_and_rewritten(index: FaceIndex, album: Path, opened: list[str]) -> None:
    folder = album / "person0"
    index.add(folder)
    before = faces(index)
    edit(folder / "0.png")
    (folder / "0.png").rename(folder / "holiday.png")
    edit(folder / "1.png", note="longer than the other one")  # swapped, and both rewritten
    edit(folder / "2.png")
    for old, new in (("1.png", "x"), ("2.png", "1.png"), ("x", "2.png")):
        (folder / old).rename(folder / new)
    opened.clear()
    summary = index.add(folder)
    assert (summary.moved, summary.new_metadata, summary.new, summary.gone) == (3, 0, 0, 0)
    assert faces(index) == {
        "holiday.png": before["0.png"],
        "1.png": before["2.png"],
        "2.png": before["1.png"],
        "3.png": before["3.png"],
    }
    assert sorted(map(os.path.basename, opened)) == ["1.png", "2.png", "holiday.png"]
    found = records(index)["holiday.png"]
    assert found.content_hash == images.content_hash((folder / "holiday.png").read_bytes())
    assert found.taken == SECONDS
    assert index.add(folder).opened == 0


def test_the_backup_of_an_editor_is_a_new_photo(index: FaceIndex, album: Path) -> None:
    """The rewritten file keeps the faces, although the backup has the indexed content."""
    photo = album / "person0" / "0.png"
    index.add(album / "person0")
    before = faces(index)
    original = photo.read_bytes()
    edit(photo)
    photo.with_name("0.png_original").write_bytes(original)
    summary = index.add(album / "person0")
    assert (summary.new_metadata, summary.new, summary.moved) == (1, 1, 0)
    after = faces(index)
    assert after["0.png"] == before["0.png"]
    assert after["0.png_original"] not in before.values()


def test_new_files_are_read_twice_only_if_photos_are_gone(
    index: FaceIndex, album: Path, fake_models: ModuleType, opened: list[str]
) -> None:
    index.add(album / "person0")
    new = fake_models.make_photo(album / "person0" / "new.png", (250, 10, 10))
    with new.open("ab") as file:
        file.write(bytes(5))  # of no size that the index has
    opened.clear()
    index.add(album / "person0")
    assert [*map(os.path.basename, opened)] == ["new.png"]
    new.rename(new.with_name("newer.png"))
    edit(new.with_name("newer.png"))
    other = fake_models.make_photo(album / "person0" / "other.png", (10, 250, 10))
    with other.open("ab") as file:
        file.write(bytes(9))
    opened.clear()
    summary = index.add(album / "person0")
    assert (summary.moved, summary.new, summary.gone) == (1, 1, 0)
    assert sorted(map(os.path.basename, opened)) == ["newer.png", "other.png", "other.png"]


def test_a_large_import_is_not_read_twice_for_one_photo_that_is_gone(
    index: FaceIndex, album: Path, fake_models: ModuleType, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MOST_EXTRA", 1)
    index.add(album / "person0")
    index.cluster()
    before = faces(index)
    (album / "person0" / "0.png").rename(album / "person0" / "renamed.png")
    edit(album / "person0" / "renamed.png", note="many " * 20)
    for number in range(5):
        new = fake_models.make_photo(album / "person0" / f"new{number}.png", (32 * number, 250, 10))
        with new.open("ab") as file:
            file.write(bytes(50 + number))  # of no size that the index has
    opened.clear()
    summary = index.add(album / "person0")
    assert (summary.moved, summary.new, summary.gone, summary.opened) == (1, 5, 0, 6)
    assert len(opened) == 6
    after = faces(index)
    assert after["renamed.png"] == before["0.png"]
    assert len(after) == 9
    assert records(index)["renamed.png"].taken == SECONDS
    assert index.add(album / "person0").opened == 0


def test_a_copy_with_new_metadata_is_new(index: FaceIndex, album: Path) -> None:
    photo = album / "person0" / "0.png"
    index.add(album / "person0")
    photo.with_name("copy.png").write_bytes(photo.read_bytes())
    edit(photo.with_name("copy.png"))
    summary = index.add(album / "person0")
    assert (summary.new, summary.moved) == (1, 0)
    with Store.open(index.directory) as store:
        assert len(store.photos_by_picture(images.read_picture(photo.read_bytes()).hash)) == 2


def test_identify_finds_the_same_picture(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    index.add(album)
    index.cluster()
    photo = album / "person0" / "0.png"
    query = tmp_path / "query.png"
    query.write_bytes(photo.read_bytes())
    edit(query)
    assert index.identify(query).indexed_path == str(photo)
    assert next(iter(index.identify_many([query]))).indexed_path == str(photo)
    picture = io.BytesIO()
    PIL.Image.new("RGB", (96, 96), (5, 200, 5)).save(picture, "PNG")
    assert index.identify(picture.getvalue()).indexed_path is None


# Indexes of older formats --------------------------------------------------------------------------


@pytest.fixture
def old(index: FaceIndex, album: Path) -> Path:
    """The directory of an index of format 4, with the album."""
    edit(album / "person0" / "0.png", orientation=3)
    index.add(album)
    index.cluster()
    index.add(album)  # saves a scan
    index.close()
    downgrade(index.directory, 4)
    return index.directory


def test_photos_of_an_older_index_are_read_once(old: Path, album: Path, opened: list[str]) -> None:
    with FaceIndex.open(old) as reader:
        before = faces(reader)
        assert {(r.picture, r.orientation, r.taken) for r in records(reader).values()} == {(None, 1, None)}
        assert len(before) == 4
        assert reader.plan(album).read_once == 12
    with FaceIndex.open(old, write=True) as index:
        opened.clear()
        events: list[Event] = []
        summary = index.add(album, on_event=events.append)
        assert (summary.read_once, summary.unchanged, summary.opened, summary.photos) == (12, 12, 12, 12)
        assert len(opened) == 12
        assert not any(isinstance(event, Loading) for event in events)
        assert Planned(12) in events
        assert sum(isinstance(event, PhotoDone) for event in events) == 12
        assert events.index(Hashing()) < min(i for i, e in enumerate(events) if isinstance(e, PhotoDone))
        assert faces(index) == before
        found = records(index)["0.png"], images.read_picture((album / "person0" / "0.png").read_bytes())
        with Store.open(old) as store:
            (record,) = store.photos_by_picture(found[1].hash)
        assert (record.orientation, record.taken) == (3, SECONDS)
        opened.clear()
        assert (index.add(album).read_once, opened) == (0, [])
        assert index.plan(album).read_once == 0


def test_a_stopped_run_keeps_what_it_has_read(
    old: Path, album: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "COMMIT_PICTURES", 2)
    with FaceIndex.open(old, write=True) as index:
        done: list[Event] = []

        def on_event(event: Event) -> None:
            if isinstance(event, PhotoDone):
                done.append(event)

        summary = index.add(album, on_event=on_event, should_stop=lambda: len(done) >= 5)
        assert summary.interrupted
        with Store.open(old) as store:
            stored = sum(record.picture is not None for record in store.photos().values())
        assert 5 <= stored == summary.read_once < 12
        assert index.add(album).read_once == 12 - stored


def test_a_file_that_cannot_be_read_is_left_for_the_next_run(
    old: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = images.read
    bad = album / "person1" / "2.png"

    def deny(path: str | os.PathLike[str]) -> bytes:
        if Path(path) == bad:
            raise ImageError(path, Reason.IO_ERROR, "it cannot be read.", "Try again.")
        return read(path)

    with FaceIndex.open(old, write=True) as index:
        before = len(index.table())
        with monkeypatch.context() as patch:
            patch.setattr(images, "read", deny)
            events = events_of(index, album)
            assert [e.error.path for e in events if isinstance(e, PhotoFailed)] == [str(bad)]
            assert sum(e.photos for e in events if isinstance(e, Committed)) == 11
            summary = index.add(album)
        assert (summary.read_once, summary.unchanged, sum(summary.unreadable.values())) == (0, 11, 1)
        assert len(index.table()) == before
        assert (index.add(album).read_once, index.add(album).read_once) == (1, 0)


def test_a_file_that_changed_behind_its_size_and_time_is_a_change(
    old: Path, album: Path, fake_models: ModuleType
) -> None:
    photo = album / "person1" / "2.png"
    before = photo.stat()
    fake_models.make_photo(photo, (96, 32, 224), mark=7)
    if photo.stat().st_size != before.st_size:
        with photo.open("r+b") as file:
            file.truncate(before.st_size)
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    with FaceIndex.open(old, write=True) as index:
        summary = index.add(album)
        assert (summary.read_once, summary.unchanged, summary.changed) == (11, 11, 1)
        assert index.add(album).opened == 0


def test_new_metadata_in_an_index_without_pictures_are_a_change(old: Path, album: Path) -> None:
    edit(album / "person1" / "2.png")
    os.utime(album / "person1" / "3.png", (1, 1))
    with FaceIndex.open(old, write=True) as index:
        summary = index.add(album)
        assert (summary.changed, summary.new_metadata, summary.read_once) == (1, 0, 10)
        assert all(record.picture is not None for record in records(index).values())
        edit(album / "person1" / "2.png", note="again")
        assert index.add(album).new_metadata == 1
