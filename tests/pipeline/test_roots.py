"""Photos that move between folders of the index, disks that are missing, photos that return."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from types import ModuleType

import pytest
from photo_edits import edit

from faceindex import FaceIndex, images
from faceindex.errors import UsageError
from faceindex.images.walk import Listing
from faceindex.pipeline import Event, Loading, Summary, Warned, moves
from faceindex.store import Store


@pytest.fixture
def named(index: FaceIndex, album: Path) -> FaceIndex:
    """The album, clustered; the person of ``person1`` has a name."""
    index.add(album)
    index.cluster()
    (cluster,) = {f.cluster for f in index.faces() if "person1" in f.photo}
    assert cluster is not None
    index.people.name("Anna", clusters=[cluster])
    return index


def faces(index: FaceIndex) -> dict[str, tuple[int, int | None, str | None]]:
    return {"/".join(Path(row.path).parts[-2:]): (row.face, row.cluster, row.person) for row in index.faces()}


def add(index: FaceIndex, *paths: Path, **options: object) -> tuple[Summary, list[str]]:
    """Run `index`, which must not load the networks; return the summary and the warnings."""
    events: list[Event] = []
    summary = index.add(list(paths), on_event=events.append, **options)  # type: ignore[arg-type]
    assert not any(isinstance(event, Loading) for event in events)
    return summary, [event.message for event in events if isinstance(event, Warned)]


# Between roots -------------------------------------------------------------------------------------


def test_a_renamed_root_is_recognised(named: FaceIndex, album: Path) -> None:
    before = faces(named)
    new = album.rename(album.with_name("new"))
    summary, warnings = add(named, new)
    assert (summary.moved, summary.new, summary.gone, warnings) == (12, 0, 0, [])
    assert faces(named) == before
    assert [root.path for root in named.roots()] == [str(new)]
    summary, warnings = add(named, album, prune=True)
    assert (summary.photos, len(named)) == (0, 12)
    assert warnings == [f"{album} does not exist, and no photo in the index is from there."]
    with pytest.raises(UsageError, match="no file or folder"):
        named.add(album)


def test_a_root_that_moved_and_was_tagged(named: FaceIndex, album: Path) -> None:
    before = faces(named)
    new = album.rename(album.with_name("new"))
    for number, photo in enumerate(sorted(new.rglob("*.png"))[:-1]):  # one is found by its size
        edit(photo, note="a rating" * number)
    summary, _ = add(named, new)
    assert (summary.moved, summary.new, faces(named)) == (12, 0, before)


def test_a_large_root_that_moved_is_not_read(
    named: FaceIndex, album: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "SAMPLE", 4)
    before = faces(named)
    new = album.rename(album.with_name("new"))
    (new / "person0").rename(new / "renamed")
    opened.clear()
    assert named.plan(new).to_compare == 12
    names = sorted(f"{photo.stat().st_mtime_ns}{photo.name}" for photo in new.rglob("*.png"))
    summary, _ = add(named, new)
    assert len(set(names)) == 12  # so that names, sizes and times say which is which
    assert (summary.moved, summary.opened, len(opened)) == (12, 4, 4)
    after = faces(named)
    assert {name.replace("renamed", "person0"): face for name, face in after.items()} == before


def test_names_are_not_trusted_if_the_sample_is_wrong(
    named: FaceIndex, album: Path, fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "SAMPLE", 4)
    before = {face for face, *_ in faces(named).values()}
    new = album.rename(album.with_name("new"))
    times = {}
    for photo in sorted(new.rglob("*.png")):
        status = photo.stat()
        data = photo.read_bytes()
        photo.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # in the checksum of the last chunk
        os.utime(photo, ns=(0, status.st_mtime_ns))
        times[photo] = (photo.stat().st_size, photo.stat().st_mtime_ns)
    last = sorted(times)[-1]
    fake_models.make_photo(last, fake_models.colour_of(0), mark=77)
    with last.open("r+b") as file:
        file.truncate(times[last][0])
    os.utime(last, ns=(0, times[last][1]))
    summary = named.add(new)
    assert summary.moved < 12
    assert len(before & {face for face, *_ in faces(named).values()}) == summary.moved


def test_photos_that_moved_to_a_folder_that_is_indexed_alone(
    named: FaceIndex, album: Path, tmp_path: Path
) -> None:
    before = faces(named)
    other = tmp_path / "other"
    other.mkdir()
    (album / "person1").rename(other / "person1")
    shutil.copy2(album / "person0" / "0.png", other / "copy.png")
    summary = named.add(other)  # the album is not walked
    assert (summary.moved, summary.new) == (4, 1)  # the original of the copy is still there
    after = faces(named)
    assert {name: after[name] for name in before} == before
    assert {Path(row.path).parent for row in named.faces(person="Anna")} == {other / "person1"}


def test_what_is_left_of_a_vanished_root_is_reported(named: FaceIndex, album: Path) -> None:
    new = album.rename(album.with_name("new"))
    (new / "person0" / "0.png").unlink()
    summary, warnings = add(named, new)
    assert (summary.moved, len(named)) == (11, 12)
    assert warnings[0].startswith(f"1 of the photos in {album}, which does not exist or is empty, were not")
    assert [folder.state for folder in named.roots.describe()] == ["missing", "present"]
    assert add(named, album, prune=True)[0].gone == 1
    assert [root.path for root in named.roots()] == [str(new)]


# Away and back -------------------------------------------------------------------------------------


def test_deleted_photos_return_without_work(named: FaceIndex, album: Path, tmp_path: Path) -> None:
    before, rows = faces(named), named.counts().rows
    (album / "person1").rename(tmp_path / "trash")
    summary, _ = add(named, album)
    assert (summary.gone, summary.missing, len(named)) == (4, 0, 8)
    assert summary.kept_until is not None
    assert not any("person1" in name for name in faces(named))
    assert (named.counts().away_photos, named.counts().away_faces) == (4, 4)
    (anna,) = named.people.list()
    assert anna.faces == 0
    assert named.find("Anna").photos == ()
    probe = next((tmp_path / "trash").iterdir())
    live = {face for face, *_ in faces(named).values()}
    assert {neighbour.face.face for neighbour in named.identify(probe).faces[0].neighbours} <= live
    (tmp_path / "trash").rename(album / "person1")
    summary, _ = add(named, album)
    assert (summary.returned, summary.new, summary.photos) == (4, 0, 12)
    assert faces(named) == before
    assert named.counts().rows == rows + 4  # a tombstone never becomes a live row again
    (found,) = named.identify(album / "person1" / "0.png").faces
    assert (found.neighbours[0].face.face, found.person) == (before["person1/0.png"][0], "Anna")
    assert add(named, album)[0].unchanged == 12
    named.cluster()
    assert faces(named) == before


def test_a_photo_returns_under_another_name_with_new_metadata(
    named: FaceIndex, album: Path, tmp_path: Path
) -> None:
    before = faces(named)
    photo = album / "person1" / "2.png"
    photo.rename(tmp_path / "kept.png")
    assert add(named, album)[0].gone == 1
    edit(tmp_path / "kept.png", note="larger than before")
    (tmp_path / "kept.png").rename(album / "back.png")
    summary = named.add(album)
    assert (summary.returned, summary.new, summary.faces) == (1, 0, 0)
    assert faces(named)[f"{album.name}/back.png"] == before["person1/2.png"]
    with Store.open(named.directory) as store:
        (record,) = (r for r in store.photos().values() if r.relpath == "back.png")
    assert record.content_hash == images.content_hash((album / "back.png").read_bytes())
    assert add(named, album)[0].unchanged == 12


def test_a_change_of_pixels_that_is_undone(named: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    before = faces(named)
    photo = album / "person1" / "2.png"
    original = photo.read_bytes()
    fake_models.make_photo(photo, fake_models.colour_of(0), mark=500)
    os.utime(photo, ns=(0, 10**9))
    assert named.add(album).changed == 1
    changed = faces(named)
    assert changed["person1/2.png"][0] not in {face for face, *_ in before.values()}
    other = photo.read_bytes()
    for content, expected in ((original, before), (other, changed), (original, before)):
        photo.write_bytes(content)
        os.utime(photo, ns=(0, photo.stat().st_mtime_ns + 10**9))
        summary, _ = add(named, album)
        assert (summary.returned, summary.changed) == (1, 0)
        assert {name: face for name, (face, *_) in faces(named).items()} == {
            name: face for name, (face, *_) in expected.items()
        }
    assert faces(named) == before


def test_faces_expire(named: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (album / "person1" / "2.png").unlink()
    assert add(named, album)[0].kept_until is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 89 * 86_400)
    add(named, album)
    assert named.counts().away_photos == 1
    monkeypatch.setattr(time, "time", lambda: now + 91 * 86_400)
    add(named, album)
    assert named.counts().away_photos == 0
    (album / "person1" / "1.png").unlink()
    summary, _ = add(named, album, keep_days=0)
    assert (summary.gone, summary.kept_until, named.counts().away_photos) == (1, None, 0)


@pytest.mark.parametrize("days", [1e12, 1e300, float("inf")])
def test_faces_may_be_kept_for_good(named: FaceIndex, album: Path, days: float) -> None:
    (album / "person1" / "2.png").unlink()
    assert add(named, album, keep_days=days)[0].kept_until is not None
    assert named.counts().away_photos == 1


def test_prune_keeps_nothing(named: FaceIndex, album: Path) -> None:
    (album / "person1" / "2.png").unlink()
    add(named, album)
    (album / "person1" / "1.png").unlink()
    summary, _ = add(named, album, prune=True)
    assert (summary.gone, summary.kept_until, named.counts().away_photos) == (1, None, 0)


# Disks below the folder ----------------------------------------------------------------------------


def test_an_emptied_folder_is_kept_at_any_depth(named: FaceIndex, album: Path, tmp_path: Path) -> None:
    before = faces(named)
    for number in range(4):
        (album / "person1" / f"{number}.png").rename(tmp_path / f"{number}.png")
    (album / "person1" / "sub").mkdir()
    (album / "person1" / ".hidden").touch()
    for _ in range(2):
        summary, (warning,) = add(named, album)
        assert (summary.missing, summary.gone, summary.unchanged) == (4, 0, 8)
        assert warning.startswith(f"All indexed photos in {album / 'person1'} are missing (4).")
        assert faces(named) == before
    (album / "person1" / ".nomedia").touch()  # the photos are left out by intention
    assert add(named, album)[0].gone == 4
    (album / "person1" / ".nomedia").unlink()
    for number in range(4):
        (tmp_path / f"{number}.png").rename(album / "person1" / f"{number}.png")
    assert add(named, album)[0].returned == 4
    assert faces(named) == before


@pytest.mark.parametrize("leftover", ["nothing", "a file", "no folder", "another disk"])
@pytest.mark.parametrize("place", ["person1", ""])
def test_a_disk_that_is_not_mounted(
    named: FaceIndex,
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leftover: str,
    place: str,
) -> None:
    mounted: list[tuple[str, str]] = [(str(album), place)]
    monkeypatch.setattr(Listing, "mounts", lambda listing: list(mounted))
    add(named, album)
    before = faces(named)
    disk = tmp_path / "disk"
    (album / place).rename(disk)
    if leftover != "another disk":
        mounted.clear()
    if leftover != "no folder" or not place:
        (album / place).mkdir()
    if leftover in ("a file", "another disk"):
        (album / place / "README").touch()
    for _ in range(2):
        summary = named.add(album)
        number = 4 if place else 12
        assert (summary.missing, summary.gone) == (number, 0), leftover
        assert faces(named) == before
    shutil.rmtree(album / place, ignore_errors=True)
    disk.rename(album / place)
    mounted[:] = [(str(album), place)]
    summary, warnings = add(named, album)
    assert (summary.unchanged, summary.missing, warnings) == (12, 0, [])
    (album / "person1" / "0.png").unlink()
    assert add(named, album)[0].gone == 1  # the disk is there


def test_a_folder_that_was_copied_from_its_disk_is_no_longer_one(
    named: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = [(str(album), "person1")]
    monkeypatch.setattr(Listing, "mounts", lambda listing: list(mounted))
    add(named, album)
    mounted.clear()
    assert add(named, album)[0].unchanged == 12
    shutil.rmtree(album / "person1")
    assert add(named, album)[0].gone == 4


# Relocating ----------------------------------------------------------------------------------------


def test_relocating(named: FaceIndex, album: Path, tmp_path: Path) -> None:
    before = faces(named)
    (album / "person0" / "3.png").unlink()
    add(named, album)
    new = album.rename(tmp_path / "new")
    with pytest.raises(UsageError, match="were looked for") as caught:
        named.roots.relocate(album, tmp_path)
    assert "0 are there" in caught.value.problem
    with pytest.raises(UsageError, match="no file or folder"):
        named.roots.relocate(album, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="has no photos of"):
        named.roots.relocate(tmp_path / "nowhere", new)
    assert named.roots.relocate(album, new, dry_run=True).photos == 11
    assert [root.path for root in named.roots()] == [str(album)]
    commits = named._store.generation
    done = named.roots.relocate(album, new)
    assert named._store.generation == commits + 1  # a kill leaves no root without photos
    assert (done.photos, done.faces, done.sampled, done.found) == (11, 11, 11, 11)
    assert [(f.path, f.photos, f.gone) for f in named.roots.describe()] == [(str(new), 11, 1)]
    del before["person0/3.png"]
    assert faces(named) == before
    assert add(named, new)[0].unchanged == 11
    with pytest.raises(UsageError, match="The index has these photos in"):
        named.roots.relocate(new, new)


def test_relocating_a_subfolder_and_a_photo(named: FaceIndex, album: Path, tmp_path: Path) -> None:
    before = faces(named)
    (album / "person1").rename(tmp_path / "person1")
    named.roots.relocate(album / "person1", tmp_path / "person1")
    assert faces(named) == before
    (album / "person0" / "0.png").rename(tmp_path / "single.png")
    named.roots.relocate(album / "person0" / "0.png", tmp_path / "single.png")
    assert {f.path: f.photos for f in named.roots.describe()} == {str(tmp_path): 12}
    summary, _ = add(named, album, tmp_path / "person1", tmp_path / "single.png")
    assert (summary.unchanged, summary.gone) == (12, 0)


def test_relocating_onto_photos_that_were_indexed_again(
    index: FaceIndex, album: Path, tmp_path: Path
) -> None:
    """As an older version did: the folder moved, and everything is in the index twice."""
    index.add(album)
    before = faces(index)
    shutil.copytree(album, tmp_path / "new")
    assert index.add(tmp_path / "new").new == 12
    shutil.rmtree(album)
    index.roots.relocate(album, tmp_path / "new")
    assert faces(index) == before
    assert [root.path for root in index.roots()] == [str(tmp_path / "new")]


def test_relocating_overlapping_roots(index: FaceIndex, album: Path, tmp_path: Path) -> None:
    index.add([album / "person0", album / "person1"])
    before = faces(index)
    new = album.rename(tmp_path / "new")
    index.roots.relocate(album, new)  # a folder with two roots
    assert [root.path for root in index.roots()] == [str(new / "person0"), str(new / "person1")]
    assert faces(index) == before
    (new / "person0").rename(new / "person1" / "person0")  # one root moves into the other
    index.roots.relocate(new / "person0", new / "person1" / "person0")
    assert [root.path for root in index.roots()] == [str(new / "person1")]
    assert faces(index) == before
    (new / "person1").rename(tmp_path / "x")
    (new / "person1").mkdir()
    (tmp_path / "x").rename(new / "person1" / "inner")  # into itself
    index.roots.relocate(new / "person1", new / "person1" / "inner")
    assert add(index, new / "person1")[0].unchanged == 8
    assert faces(index).keys() - before.keys() == {f"inner/{number}.png" for number in range(4)}


def test_removing(named: FaceIndex, album: Path) -> None:
    shutil.rmtree(album / "person1")
    planned = named.roots.remove(album / "person1", dry_run=True)
    assert (planned.photos, planned.faces, planned.people, planned.decisions) == (4, 4, ("Anna",), 4)
    assert len(named) == 12
    add(named, album)  # they are away now
    (album / "person1").mkdir()
    shutil.copy(album / "person0" / "0.png", album / "person1" / "new.png")
    named.add(album)
    commits = named._store.generation
    done = named.roots.remove(album / "person1")
    assert named._store.generation == commits + 1
    assert (done.photos, done.gone, named.counts().away_photos, len(named)) == (1, 4, 0, 8)
    shutil.rmtree(album)
    assert named.roots.remove(album).photos == 8
    assert named.roots() == []
    assert [person.name for person in named.people.list()] == ["Anna"]
    with pytest.raises(UsageError, match="has no photos of"):
        named.roots.remove(album)


# Indexes that move with their photos ---------------------------------------------------------------


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_an_index_and_its_photos_in_another_place(
    tmp_path: Path, fake_models: ModuleType, opened: list[str], where: str, copied: bool
) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    photos = fake_models.make_album(home / "photos", people=2, photos=2)
    directory = (photos if where == "inside" else home) / ".faceindex"
    with FaceIndex.create(directory, detector="fake", embedder="fake") as index:
        index.add(photos)
        before = faces(index)
    if copied:
        shutil.copytree(home, new)  # with other times
    else:
        home.rename(new)
    with FaceIndex.open(new / directory.relative_to(home), write=True) as index:
        summary, warnings = add(index, new / "photos")
        assert (summary.unchanged, summary.new, summary.moved) == (4, 0, 0)
        assert faces(index) == before
        assert [root.path for root in index.roots()] == [str(new / "photos")]
        assert len(warnings) == 1
        assert warnings[0].endswith(f"Its photos in {photos} are taken from {new / 'photos'} now.")
        assert add(index, new / "photos")[1] == []


def test_an_index_that_moved_alone_keeps_its_folders(named: FaceIndex, album: Path, tmp_path: Path) -> None:
    named.close()
    (tmp_path / "elsewhere").mkdir()
    named.directory.rename(tmp_path / "elsewhere" / "index")
    with FaceIndex.open(tmp_path / "elsewhere" / "index", write=True) as index:
        assert add(index, album)[0].unchanged == 12
        assert [root.path for root in index.roots()] == [str(album)]
