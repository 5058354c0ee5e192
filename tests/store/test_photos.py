"""Names and paths of photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from faceindex.errors import UsageError
from faceindex.store import NewPhoto, Store
from faceindex.store.photos import Photo, PhotoNames
from faceindex.types import F32

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]


@pytest.fixture
def album(store: Store, make_photo: MakePhoto, unit_vectors: MakeVectors, tmp_path: Path) -> Path:
    """Three photos in a folder that the user wrote as ``../album``."""
    folder = tmp_path.resolve() / "album"
    root = store.add_root(folder, "../album").id
    photos = ["a.jpg", "2019/b.jpg", "2019/c.jpg"]
    store.commit([make_photo(root, name, unit_vectors(1, 0)) for name in photos])
    for name in photos:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_names_and_paths(store: Store, album: Path) -> None:
    names = PhotoNames(store)
    by_name = {names.name(record): record for record in names.records}
    assert sorted(by_name) == ["../album/2019/b.jpg", "../album/2019/c.jpg", "../album/a.jpg"]
    record = by_name["../album/2019/b.jpg"]
    assert names.by_id[record.id] == record
    assert names.path(record) == str(album / "2019" / "b.jpg")
    assert names.photo(record) == Photo(
        id=record.id,
        name="../album/2019/b.jpg",
        path=str(album / "2019" / "b.jpg"),
        relpath="2019/b.jpg",
        width=640,
        height=480,
        content_hash=b"2019/b.jpg",
    )
    assert names.folders() == {f"{album}/": {"a.jpg"}, f"{album}/2019": {"b.jpg", "c.jpg"}}


def test_only_the_requested_photos_are_loaded(store: Store, album: Path) -> None:
    record = PhotoNames(store).records[1]
    assert PhotoNames(store, [record.id]).records == [record]
    assert PhotoNames(store, []).records == []


def test_find_by_name_or_path(
    store: Store, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = PhotoNames(store)
    expected = next(record.id for record in names.records if record.relpath == "2019/b.jpg")
    (tmp_path / "link").symlink_to(album)
    for written in (
        "../album/2019/b.jpg",
        "../album//2019/./b.jpg",
        album / "2019/b.jpg",
        tmp_path / "link/2019/b.jpg",
    ):
        assert names.find(written) == expected
    monkeypatch.chdir(album)
    assert names.find("2019/b.jpg") == expected
    with pytest.raises(UsageError, match=r"c\.jpg is not in the index"):
        names.find("c.jpg")


def test_links_to_photos_are_followed(store: Store, album: Path, tmp_path: Path) -> None:
    names = PhotoNames(store)
    (tmp_path / "link.jpg").symlink_to(album / "a.jpg")
    (tmp_path / "folder").symlink_to(album / "2019")
    for path in (album / "a.jpg", tmp_path / "link.jpg", tmp_path / "folder" / "c.jpg"):
        assert names.leads_to_photo(path)
    assert not names.leads_to_photo(album / "d.jpg")
    (album / "a.jpg").rename(tmp_path / "real.jpg")
    (album / "a.jpg").symlink_to(tmp_path / "real.jpg")
    assert names.leads_to_photo(tmp_path / "real.jpg")  # writing it would change the photo
