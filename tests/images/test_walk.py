from __future__ import annotations

import importlib
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from deep_folders import make_deep, remove_deep

from faceindex.errors import Reason, UsageError
from faceindex.images import Candidate, walk
from faceindex.images.volumes import CTIME, INODE, FileIds, Volumes

walk_module = importlib.import_module("faceindex.images.walk")  # `images.walk` is the function


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def relpaths(*paths: str | Path, exclude: tuple[Path, ...] = ()) -> list[str]:
    return [candidate.relpath for candidate in walk(paths, exclude=exclude)]


def test_files_are_sorted_by_relative_path(tmp_path: Path) -> None:
    names = ["a.jpg", "a/z.jpg", "a b.jpg", "a-1/x.jpg", "b/c/d.jpg", "b.jpg", "Ä.jpg", "B.jpg", "z"]
    make(tmp_path, *names)
    assert relpaths(tmp_path) == sorted(names)


def test_a_candidate_has_the_size_and_time_of_the_file(tmp_path: Path) -> None:
    make(tmp_path, "x/photo.jpg")
    os.utime(tmp_path / "x/photo.jpg", ns=(1, 1_600_000_000_123_456_789))
    (candidate,) = walk([tmp_path])
    status = (tmp_path / "x/photo.jpg").stat()
    ids = FileIds(status.st_ctime_ns, status.st_ino)
    assert candidate[:-1] == Candidate(tmp_path, "x/photo.jpg", 11, status.st_mtime_ns, None, ids)[:-1]
    assert candidate.volume is not None
    assert tmp_path.is_relative_to(candidate.volume.path)
    assert candidate.path == tmp_path / "x" / "photo.jpg"


def test_the_root_of_a_single_file_is_its_folder(tmp_path: Path) -> None:
    make(tmp_path, "x/photo.jpg")
    (candidate,) = walk([str(tmp_path / "x" / "photo.jpg")])
    assert (candidate.root, candidate.relpath) == (tmp_path / "x", "photo.jpg")


def test_the_root_is_absolute_and_normalised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "x/photo.jpg")
    monkeypatch.chdir(tmp_path / "x")
    (candidate,) = walk(["../x/."])
    assert candidate.root == tmp_path / "x"


def test_hidden_files_and_junk_are_skipped(tmp_path: Path) -> None:
    make(
        tmp_path,
        "photo.jpg",
        ".hidden.jpg",
        ".cache/photo.jpg",
        "@eaDir/photo.jpg",
        "sub/@eaDir/photo.jpg",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/photo.jpg",
        "$RECYCLE.BIN/photo.jpg",
        "private/.nomedia",
        "private/photo.jpg",
        "private/deeper/photo.jpg",
        "notes.txt",
    )
    assert relpaths(tmp_path) == ["notes.txt", "photo.jpg"]


def test_paths_passed_to_walk_are_never_skipped(tmp_path: Path) -> None:
    make(
        tmp_path,
        ".hidden/photo.jpg",
        ".hidden/.more/photo.jpg",
        ".one.jpg",
        "private/.nomedia",
        "private/p.jpg",
    )
    make(tmp_path, "@eaDir/photo.jpg")
    assert relpaths(tmp_path / ".hidden") == ["photo.jpg"]
    assert relpaths(tmp_path / ".one.jpg") == [".one.jpg"]
    assert relpaths(tmp_path / "@eaDir") == ["photo.jpg"]
    # ... even if an earlier path of the same walk skipped them.
    assert relpaths(tmp_path, tmp_path / "private", tmp_path / ".hidden") == ["p.jpg", "photo.jpg"]


def test_excluded_paths_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, "a/photo.jpg", "index/crop.jpg", "b.jpg")
    (tmp_path / "alias").symlink_to("index")
    exclude = (tmp_path / "index", tmp_path / "b.jpg", tmp_path / "not there")
    assert relpaths(tmp_path, exclude=exclude) == ["a/photo.jpg"]
    assert relpaths(tmp_path / "index", exclude=exclude) == []


def test_overlapping_paths_yield_each_file_once(tmp_path: Path) -> None:
    make(tmp_path, "photos/2020/a.jpg", "photos/b.jpg")
    photos = tmp_path / "photos"
    assert relpaths(photos, photos / "2020") == ["2020/a.jpg", "b.jpg"]
    assert relpaths(photos / "2020", photos) == ["a.jpg", "b.jpg"]
    assert relpaths(photos, photos) == ["2020/a.jpg", "b.jpg"]
    assert relpaths(photos, photos / "2020" / "a.jpg") == ["2020/a.jpg", "b.jpg"]
    assert relpaths(photos / "2020" / "a.jpg", photos) == ["a.jpg", "b.jpg"]
    assert relpaths(photos / "b.jpg", photos / "b.jpg") == ["b.jpg"]


def test_paths_that_overlap_by_a_link_yield_each_file_once(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg")
    (tmp_path / "alias").symlink_to("photos")
    assert relpaths(tmp_path / "photos", tmp_path / "alias") == ["a.jpg"]
    assert relpaths(tmp_path / "photos", tmp_path / "alias" / "a.jpg") == ["a.jpg"]
    assert [c.root for c in walk([tmp_path / "alias"])] == [tmp_path / "alias"]


def test_hard_links_are_separate_files(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert relpaths(tmp_path / "a.jpg", tmp_path) == ["a.jpg", "b.jpg"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg", "elsewhere/b.jpg", "elsewhere/c.jpg")
    photos = tmp_path / "photos"
    (photos / "loop").symlink_to(".")
    (photos / "up").symlink_to(tmp_path)
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "one.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    found = list(walk([photos]))
    assert [c.relpath for c in found] == ["a.jpg", "linked/b.jpg", "linked/c.jpg", "one.jpg"]
    assert all(c.error is None and c.size > 0 for c in found)


def test_broken_links_are_reported(tmp_path: Path) -> None:
    make(tmp_path, "z.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    found = {c.relpath: c for c in walk([tmp_path])}
    assert list(found) == ["broken.jpg", "self.jpg", "z.jpg"]
    for name in ("broken.jpg", "self.jpg"):
        error = found[name].error
        assert error is not None
        assert error.reason is Reason.MISSING
        assert name in str(error)
        assert error.remedy
        assert found[name].size == 0
    (given,) = walk([tmp_path / "broken.jpg"])
    assert given.error is not None
    assert given.error.reason is Reason.MISSING


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert relpaths(tmp_path, tmp_path / "pipe.jpg") == ["a.jpg"]


@pytest.mark.parametrize("by_descriptor", [False, True])
def test_folders_that_cannot_be_listed_are_reported(
    by_descriptor: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_descriptor and not walk_module.BY_DESCRIPTOR:
        pytest.skip("this system does not list open folders")
    monkeypatch.setattr(walk_module, "BY_DESCRIPTOR", by_descriptor)
    make(tmp_path, "a/x.jpg", "b/x.jpg", "c/x.jpg")
    function = "open" if by_descriptor else "scandir"
    original = getattr(os, function)

    def refuse(path: str, *flags: int) -> object:
        if path.rstrip("/").endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return original(path, *flags)

    monkeypatch.setattr(os, function, refuse)
    found = list(walk([tmp_path]))
    assert [(c.relpath, c.error.reason if c.error else None) for c in found] == [
        ("a/x.jpg", None),
        ("b", Reason.DENIED),
        ("c/x.jpg", None),
    ]
    (root,) = walk([tmp_path / "b"])
    assert root.relpath == "."
    assert root.path == tmp_path / "b"
    assert root.error is not None


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="permissions do not bind root")
def test_folders_without_permission_are_reported(tmp_path: Path) -> None:
    make(tmp_path, "closed/x.jpg", "open/x.jpg")
    (tmp_path / "closed").chmod(0)
    try:
        found = list(walk([tmp_path]))
        inside = list(walk([tmp_path / "closed" / "x.jpg"]))
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [(c.relpath, c.error.reason if c.error else None) for c in found] == [
        ("closed", Reason.DENIED),
        ("open/x.jpg", None),
    ]
    assert [c.error.reason for c in inside if c.error] == [Reason.DENIED]


@pytest.mark.parametrize("bad", ["missing", "a.jpg/below", "", "nul\0byte"])
def test_a_missing_path_is_an_error_before_the_walk(
    tmp_path: Path, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        walk(["a.jpg", bad])
    assert f"'{bad}'" in caught.value.problem
    assert caught.value.remedy


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names are Unicode here")
def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    make(tmp_path, "z.jpg")
    (tmp_path / name).write_bytes(b"x")
    found = list(walk([tmp_path, tmp_path / name]))
    assert [c.relpath for c in found] == [name, "z.jpg"]
    assert found[0].path.read_bytes() == b"x"


def test_deep_folders_are_walked(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 400)
    deep.mkdir(parents=True)
    (deep / "photo.jpg").write_bytes(b"x")
    assert relpaths(tmp_path) == ["d/" * 400 + "photo.jpg"]


def test_walking_imports_neither_numpy_nor_pillow() -> None:
    code = (
        "import sys; from faceindex.images.walk import walk; from faceindex.images import sniff;"
        "print(sorted({'numpy', 'PIL'} & set(sys.modules)));"
        "from faceindex.images import decode, DecodedImage; import faceindex.images as i;"
        "print(callable(decode), callable(i.walk), sorted({'numpy', 'PIL'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["[]", "True True ['PIL', 'numpy']"]


def test_progress_is_reported_and_may_end_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *(f"{folder}/{number}.jpg" for folder in "ab" for number in range(5)))
    monkeypatch.setattr(walk_module, "REPORT_EVERY", 3)
    reported: list[int] = []
    walk([tmp_path], on_files=reported.append)
    assert reported == [3, 8]

    def stop(files: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk([tmp_path], on_files=stop)


def test_digests_are_equal_exactly_if_the_candidates_are(tmp_path: Path) -> None:
    """In a random sequence of changes, two listings have equal digests exactly if their files are equal."""
    rng = random.Random(0)
    tree = tmp_path / "tree"
    tree.mkdir()
    distrust = {str(Volumes({}).of_folder(str(tree), tree.stat().st_dev).path): [CTIME, INODE]}
    by_content: dict[tuple[object, ...], str | None] = {}
    seen_again = 0
    for _ in range(300):
        path = tree / rng.choice(["", "a", "b/c", "b c"]) / f"{rng.randrange(3)}.jpg"
        act = rng.randrange(5)
        if act == 0:
            path.unlink(missing_ok=True)
        elif act == 1 and path.exists():
            path.rename(path.with_name(f"{rng.randrange(3)}.jpg"))
        elif act == 2:
            shutil.rmtree(tree / "b", ignore_errors=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * rng.randrange(2))
            os.utime(path, ns=(0, rng.randrange(2)))
        listing = walk([tree], distrust=distrust)
        assert listing.digest is not None
        content = tuple(candidate[:5] for candidate in listing)
        seen_again += content in by_content
        assert by_content.setdefault(content, listing.digest) == listing.digest
    assert seen_again > 20
    assert len(set(by_content.values())) == len(by_content) > 50


def test_the_digest_depends_on_real_folders_and_their_order(tmp_path: Path) -> None:
    make(tmp_path, "x/a.jpg", "y/a.jpg")
    for folder in "xy":
        os.utime(tmp_path / folder / "a.jpg", (1, 1))
    (tmp_path / "link").symlink_to("x")
    x, y, link = tmp_path / "x", tmp_path / "y", tmp_path / "link"
    digests = [walk(paths).digest for paths in ([x], [y], [x, y], [y, x])]
    assert len(set(digests)) == 4
    assert walk([link]).digest == digests[0]
    link.unlink()
    link.symlink_to("y")
    assert walk([link]).digest == digests[1]


def test_there_is_no_digest_for_single_files_and_after_errors(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    assert walk([tmp_path / "a.jpg"]).digest is None
    assert walk([tmp_path]).digest is not None
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    assert walk([tmp_path]).digest is None


def test_an_excluded_folder_may_be_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jpg", "index/x.jpg")
    original = os.open

    def refuse(path: str, *flags: int) -> int:
        if path.rstrip("/").endswith("index"):
            raise PermissionError(13, "Permission denied", path)
        return original(path, *flags)

    monkeypatch.setattr(os, "open", refuse)
    assert relpaths(tmp_path, exclude=(tmp_path / "index",)) == ["a.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs open folders")
def test_folders_of_any_depth_are_walked(tmp_path: Path) -> None:
    deep = make_deep(tmp_path / "top", {"photo.jpg": b"x"})
    try:
        found = list(walk([tmp_path]))
        (single,) = walk([deep + "/photo.jpg"])
    finally:
        remove_deep(tmp_path / "top")
    assert [str(candidate.path) for candidate in (*found, single)] == [deep + "/photo.jpg"] * 2
    assert found[0].error is None


def invent_inodes(monkeypatch: pytest.MonkeyPatch, inode: int) -> None:
    """Let all folders have one inode, as on some network and FUSE disks."""

    def altered(status: os.stat_result) -> os.stat_result:
        if not stat.S_ISDIR(status.st_mode):
            return status
        return os.stat_result((status[0], inode, *status[2:10]), {"st_mtime_ns": status.st_mtime_ns})

    original, of_open = os.stat, os.fstat
    monkeypatch.setattr(os, "stat", lambda *args, **named: altered(original(*args, **named)))
    monkeypatch.setattr(os, "fstat", lambda fd: altered(of_open(fd)))


@pytest.mark.parametrize("inode", [0, 1])
def test_folders_with_one_inode_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inode: int
) -> None:
    make(tmp_path, "index/crop.jpg", *(f"photos/{folder}/{i}.jpg" for folder in "abc" for i in range(2)))
    photos = tmp_path / "photos"
    make(tmp_path, "photos/a/inner/0.jpg", "photos/single/0.jpg")
    (photos / "loop").symlink_to(".")
    (photos / "a" / "up").symlink_to(tmp_path)
    (photos / "again").symlink_to("b")
    expected = relpaths(photos, exclude=(tmp_path / "index",))
    assert len(expected) == 8
    invent_inodes(monkeypatch, inode)
    assert relpaths(photos, exclude=(tmp_path / "index",)) == expected
    single = relpaths(photos / "a" / "0.jpg", photos, exclude=(tmp_path / "index",))
    assert single == ["0.jpg", *expected[1:]]


@pytest.mark.parametrize("inode", [0, 1])
def test_copies_of_folders_with_one_inode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inode: int
) -> None:
    """Two folders with the same names are two folders, unless sizes and times agree as well."""
    make(tmp_path, "x/a.jpg", "y/a.jpg")
    for folder in "xy":
        os.utime(tmp_path / folder, (1, 1))
    invent_inodes(monkeypatch, inode)
    assert relpaths(tmp_path) == ["x/a.jpg", "y/a.jpg"]


@pytest.mark.parametrize("time", [10_413_792_000, -17_000_000_000, 2**62 // 10**9])
def test_times_outside_64_bits_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time: int
) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    os.utime(tmp_path / "a.jpg", (time, time))
    real = (tmp_path / "a.jpg").stat().st_mtime_ns  # the file system may limit it too
    (found, other) = walk([tmp_path])
    assert found.mtime_ns == min(max(real, -(2**63)), 2**63 - 1)
    assert other.mtime_ns == (tmp_path / "b.jpg").stat().st_mtime_ns
    first = walk([tmp_path]).digest
    assert first is not None
    assert walk([tmp_path]).digest == first


def test_the_digest_depends_on_ctimes_and_inodes_unless_they_are_distrusted(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    (first, _) = walk([tmp_path])
    assert first.volume is not None
    volume = first.volume.path
    both, only_inodes = {volume: [CTIME, INODE]}, {volume: [CTIME]}
    before = [walk([tmp_path], distrust=distrust).digest for distrust in ({}, only_inodes, both)]
    assert len(set(before)) == 3
    (tmp_path / "a.jpg").chmod(0o600)
    after = [walk([tmp_path], distrust=distrust).digest for distrust in ({}, only_inodes, both)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]
    os.utime(tmp_path / "a.jpg", ns=(1, first.mtime_ns))
    (tmp_path / "a.jpg").replace(tmp_path / "c.jpg")
    (tmp_path / "a.jpg").write_bytes(b"other")
    os.utime(tmp_path / "a.jpg", ns=(1, first.mtime_ns))
    (tmp_path / "c.jpg").unlink()
    last = [walk([tmp_path], distrust=distrust).digest for distrust in ({}, only_inodes, both)]
    assert [one == other for one, other in zip(after, last, strict=True)] == [False, False, True]


def test_volumes_are_named_by_their_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, device = str(tmp_path), tmp_path.stat().st_dev
    (candidate,) = walk([make_one(tmp_path)])
    assert candidate.volume is not None
    mount = candidate.volume.path
    for kind, remote, without in (
        ("ext4", False, set()),
        ("vfat", True, {INODE}),
        ("fuse.sshfs", True, {INODE}),
        ("nfs4", True, set()),
        ("fuseblk", True, set()),
    ):
        table = tmp_path / "mounts"
        escaped = mount.replace(" ", "\\040")
        table.write_text(
            f"20 1 8:1 / /other rw - xfs /dev/a rw\n21 1 8:2 / {escaped} rw - {kind} /dev/b rw\n"
        )
        monkeypatch.setattr("faceindex.images.volumes._MOUNTS", str(table))
        found = Volumes({mount: [CTIME]}).of_folder(path, device)
        assert found == (mount, remote, {CTIME, *without})
    monkeypatch.setattr("faceindex.images.volumes._MOUNTS", str(tmp_path / "none"))
    assert Volumes({}).of_folder(path, device) == (mount, False, frozenset())


def make_one(folder: Path) -> Path:
    make(folder, "one.jpg")
    return folder / "one.jpg"
