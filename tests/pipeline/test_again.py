"""Running `index` again: a scan that matches a saved one, against a comparison file by file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex
from faceindex.pipeline import Event, Planned, Summary, Warned
from faceindex.store import Store, search

COLOURS = [(64, 64, 128), (128, 64, 128), (192, 64, 128)]
ACTS = (
    *("nothing", "nothing", "nothing", "new", "touch", "change", "delete", "rename", "junk", "lie"),
    *("hidden", "nomedia", "broken", "link", "folderlink", "unplug"),
)


@pytest.fixture
def saved(index: FaceIndex, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each run, whether it found a saved scan with its digest."""
    found: list[bool] = []
    load_scan = Store.load_scan

    def spy(store: Store, digest: str) -> object:
        counts = load_scan(store, digest)
        if store.directory == index.directory:
            found.append(counts is not None)
        return counts

    monkeypatch.setattr(Store, "load_scan", spy)
    return found


def counted(summary: Summary) -> dict[str, object]:
    return {
        name: value
        for name in Summary.__dataclass_fields__
        if name != "seconds" and (value := getattr(summary, name)) is not None
    }


def known(index: FaceIndex) -> set[tuple[object, ...]]:
    """All records of photos in the catalog, without their ids."""
    roots = {root.id: root.path for root in index.roots()}
    with Store.open(index.directory) as store:
        photos = store.photos()
    return {
        (roots[r.root_id], r.relpath, r.size, r.mtime_ns, r.content_hash, r.status, r.reason, r.faces)
        for r in photos.values()
    }


def last_run(index: FaceIndex) -> Mapping[str, object]:
    """The details of the last run in the journal."""
    with Store.open(index.directory) as store:
        return store.runs(1)[0].detail


class Mutator:
    """Changes a folder at random, and back again."""

    def __init__(self, album: Path, fakes: ModuleType, seed: int) -> None:
        self.album = album
        self.aside = album.with_name("aside")
        self.rng = random.Random(seed)
        self._fakes = fakes
        self._marks = iter(range(100, 60_000))

    def mutate(self) -> None:
        rng, album = self.rng, self.album
        photos = sorted(path for path in album.rglob("*.png") if path.is_file())
        folder = rng.choice([album, album / "person0", album / "person1", album / "x" / "y", album / "x z"])
        photo = rng.choice(photos) if photos else None
        match rng.choice(ACTS):
            case "new":
                self._photo(folder / f"{rng.randrange(6)}.png")
            case "touch" if photo is not None:
                os.utime(photo, ns=(0, rng.randrange(3) * 10**9))
            case "change" if photo is not None:
                self._photo(photo)
                os.utime(photo, ns=(0, rng.randrange(3) * 10**9))
            case "delete" if photo is not None:
                photo.unlink()
            case "rename" if photo is not None and folder.is_dir():
                photo.rename(folder / f"{rng.randrange(6)}.png")
            case "junk":
                self._toggle(album / "notes.txt", "no photo")
            case "lie":
                self._toggle(album / "lie.jpg", rng.choice(["no photo", ""]))
            case "hidden":
                self._toggle(album / ".hidden.png", "no photo")
            case "nomedia" if (album / "person0").is_dir():
                self._toggle(album / "person0" / ".nomedia", "")
            case "broken":
                self._link(album / "broken.png", "nowhere.png")
            case "link" if photo is not None:
                self._link(album / "link.png", os.path.relpath(photo, album))
            case "folderlink":
                self._link(album / "again", rng.choice(["person0", ".", "../aside"]))
            case "unplug":
                if self.aside.exists():
                    shutil.rmtree(album)
                    self.aside.rename(album)
                else:
                    album.rename(self.aside)
                    album.mkdir()

    def _photo(self, path: Path) -> None:
        if not path.is_symlink():
            self._fakes.make_photo(path, self.rng.choice(COLOURS), mark=next(self._marks))

    def _toggle(self, path: Path, text: str) -> None:
        if path.exists():
            path.unlink()
        else:
            path.write_text(text)

    def _link(self, path: Path, target: str) -> None:
        if path.is_symlink():
            path.unlink()
        elif not path.exists():
            path.symlink_to(target)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("seed", range(3))
def test_a_saved_scan_and_a_comparison_file_by_file_agree(
    seed: int,
    index: FaceIndex,
    album: Path,
    saved: list[bool],
    tmp_path: Path,
    fake_models: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = Mutator(album, fake_models, seed)
    (tmp_path / "by another name").symlink_to("album")
    with FaceIndex.create(tmp_path / "slow", detector="fake", embedder="fake") as slow:
        load_scan = Store.load_scan

        def without_scans(store: Store, digest: str) -> object:
            return None if store.directory == slow.directory else load_scan(store, digest)

        monkeypatch.setattr(Store, "load_scan", without_scans)
        for _ in range(40):
            tree.mutate()
            if tree.rng.random() < 0.1:
                index.cluster()
                slow.cluster()  # commits that change no photo
            inner = album / "person0"
            paths = tree.rng.choice(
                [
                    [album],
                    [album],
                    [tmp_path / "by another name"],
                    [inner, album] if inner.is_dir() else [album],
                    [album, album / "lie.jpg"] if (album / "lie.jpg").exists() else [album],
                ]
            )
            retry, prune = tree.rng.random() < 0.2, tree.rng.random() < 0.2
            events: dict[str, list[Event]] = {"quick": [], "slow": []}
            one = index.add(paths, on_event=events["quick"].append, retry_failed=retry, prune=prune)
            other = slow.add(paths, on_event=events["slow"].append, retry_failed=retry, prune=prune)
            assert counted(one) == counted(other)
            assert known(index) == known(slow)
            reported = [
                Counter(repr(event) for event in each if isinstance(event, Planned | Warned))
                for each in events.values()
            ]
            assert reported[0] == reported[1]
    assert saved.count(True) > 5  # otherwise nothing was compared
    assert saved.count(False) > 5


def test_the_first_run_after_a_change_is_saved_too(
    index: FaceIndex, album: Path, saved: list[bool], fake_models: ModuleType
) -> None:
    index.add(album)
    index.add(album)
    fake_models.make_photo(album / "new.png", COLOURS[0], mark=77)
    index.add(album)
    assert index.add(album).unchanged == 13
    assert saved == [False, True, False, True]


def test_clustering_and_other_folders_keep_the_saved_scan(
    index: FaceIndex, album: Path, saved: list[bool], tmp_path: Path, fake_models: ModuleType
) -> None:
    other = fake_models.make_album(tmp_path / "other", people=1)
    index.add(album)
    index.add(other)
    index.add(album)  # a root has been added since
    index.cluster()
    assert index.add(album).unchanged == 12
    assert index.add(other).unchanged == 4
    assert index.add(album).unchanged == 12
    assert saved == [False, False, False, True, True, True]


def test_a_scan_with_files_that_every_run_tries_again_is_not_saved(
    index: FaceIndex, album: Path, saved: list[bool]
) -> None:
    (album / "broken.png").symlink_to("nowhere.png")
    for known in range(2):
        summary = index.add(album)
        assert summary.unreadable == {"missing": 1}
        assert summary.known_unreadable == known
    assert not any(saved)


def test_retry_failed_opens_unreadable_files_of_a_saved_scan(
    index: FaceIndex, album: Path, saved: list[bool]
) -> None:
    index.add(album)
    assert index.add(album, retry_failed=True).opened == 0
    assert saved == [False, True]
    (album / "lie.jpg").write_text("no photo")
    index.add(album)
    assert index.add(album, retry_failed=True).opened == 1
    again = index.add(album)
    assert (again.opened, again.known_unreadable) == (0, 1)


def test_every_run_reports_the_photos_that_are_kept_because_all_are_missing(
    index: FaceIndex, album: Path, saved: list[bool]
) -> None:
    index.add(album)
    album.rename(album.with_name("unplugged"))
    album.mkdir()
    for _ in range(3):
        assert index.add(album).missing == 12
    assert not any(saved)
    album.rmdir()
    album.with_name("unplugged").rename(album)
    assert index.add(album).unchanged == 12


def test_an_interrupted_run_is_not_saved(index: FaceIndex, album: Path, saved: list[bool]) -> None:
    answers = iter([False] * 6 + [True] * 1000)
    first = index.add(album, should_stop=lambda: next(answers))
    assert first.interrupted
    rest = index.add(album)
    assert rest.new + rest.unchanged == 12
    assert saved == [False, False]
    assert index.add(album).unchanged == 12


def test_every_run_is_in_the_journal(index: FaceIndex, album: Path) -> None:
    for _ in range(3):
        index.add(album)
    with Store.open(index.directory) as store:
        runs = store.runs()
    assert [run.kind for run in runs] == ["index"] * 3
    assert [run.detail["unchanged"] for run in runs] == [12, 12, 0]


def test_a_lost_hnsw_index_is_built_again(
    index: FaceIndex, album: Path, saved: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "EXACT_BELOW", 10)
    index.add(album)
    index.add(album)
    hnsw = index.directory / "ann.hnsw"
    hnsw.unlink()
    index.close()  # which frees the HNSW index in memory
    with FaceIndex.open(index.directory, write=True) as again:
        assert again.add(album).unchanged == 12
        assert hnsw.exists()
    assert saved == [False, True, False]  # a scan is not valid for another HNSW index


def test_a_run_without_changes_imports_nothing_that_opens_photos(index: FaceIndex, album: Path) -> None:
    index.add(album)
    index.close()
    program = (
        "import sys\nfrom faceindex import FaceIndex\n"
        f"with FaceIndex.open_or_create({str(index.directory)!r}) as index:\n"
        f"    print(index.add({str(album)!r}).unchanged)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    unchanged, loaded = done.stdout.splitlines()
    assert unchanged == "12"
    heavy = {"numpy", "PIL", "torch", "hnswlib", "typer", "rich", "faceindex.models", "faceindex.recognition"}
    assert not heavy & set(loaded.split())


def test_the_journal_is_the_same_with_and_without_a_saved_scan(
    index: FaceIndex, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album / "lie.jpg").write_text("no photo")
    for _ in range(2):
        index.add(album)
    with_scan = last_run(index)
    monkeypatch.setattr(Store, "load_scan", lambda store, digest: None)
    index.add(album)
    without_scan = last_run(index)
    assert {**with_scan, "seconds": 0} == {**without_scan, "seconds": 0}
    assert asdict(index.add(album))["known_unreadable"] == 1
