"""Decide which files to open, by comparing a walk of the folders with the index."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from faceindex import __version__, images
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images import Candidate, walk
from faceindex.paths import is_folder, stat
from faceindex.pipeline.file_ids import Compared, FileChecks, compare_file_ids, nobody_wrote
from faceindex.store import PhotoRecord, ScanCounts, Status, Store

__all__ = ["TRY_AGAIN", "Plan", "Stopped", "Task", "count_photos", "make_plan"]

# Reasons outside the file itself: every run tries again.
TRY_AGAIN = frozenset({Reason.MISSING, Reason.DENIED, Reason.UNSUPPORTED, Reason.IO_ERROR, Reason.FAILED})


class Stopped(Exception):
    """The run was stopped before anything was written."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file to open, a `faceindex.pipeline.load.Source`; `root` is the absolute path of its root."""

    path: Path
    root: str
    relpath: str
    size: int
    mtime_ns: int
    known: PhotoRecord | None
    ctime_ns: int | None = None
    inode: int | None = None

    at_once: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    def read(self) -> bytes:
        """Read the file; raises `ImageError`."""
        return images.read(self.path)


@dataclass(slots=True)
class Plan:
    """The result of a walk, compared with the index.

    Attributes
    ----------
    tasks : list of Task
        Files to open: new, changed, or unreadable before.
    folders : list of (str, str)
        Arguments of `Store.add_root` for each path, to call before the tasks are carried out.
    unchanged : ScanCounts
        Files that are as indexed.
    without_picture : list of Task
        The unchanged photos of which the index lacks the picture, because an older version indexed them.
        They are read once.
    to_compare : list of Task
        Other unchanged photos whose content is to be compared, by their ctimes and inodes or on request.
    checks : FileChecks
        What else the ctimes and inodes show.
    untouched : set of int
        Ids of those photos in `to_compare` to which, by the system, nobody wrote.
    asked : set of (str, str)
        Root and relative path of the files that were named themselves.
    failed : list of (Task, ImageError)
        Files that the walk could not reach.
    unreached : list of (PhotoRecord, str)
        Indexed photos in folders that it could not list, with the reason.
    gone : list of PhotoRecord
        Indexed photos in the walked folders that no longer exist.
    missing : list of PhotoRecord
        The same, where the whole folder is empty or missing: its disk may not be mounted.
    empty_folders : list of str
        Absolute paths of the folders of `missing`.
    scan_digest : str or None
        Digest of the walk, for `Store.save_scan`; None if the walk has none.
    nothing_changed : bool
        Whether a saved scan has the same digest, so that there is nothing to do.
    """

    tasks: list[Task] = field(default_factory=list)
    folders: list[tuple[str, str]] = field(default_factory=list)
    unchanged: ScanCounts = field(default_factory=ScanCounts)
    without_picture: list[Task] = field(default_factory=list)
    to_compare: list[Task] = field(default_factory=list)
    checks: FileChecks = field(default_factory=FileChecks)
    untouched: set[int] = field(default_factory=set)
    asked: set[tuple[str, str]] = field(default_factory=set)
    failed: list[tuple[Task, ImageError]] = field(default_factory=list)
    unreached: list[tuple[PhotoRecord, str]] = field(default_factory=list)
    gone: list[PhotoRecord] = field(default_factory=list)
    missing: list[PhotoRecord] = field(default_factory=list)
    empty_folders: list[str] = field(default_factory=list)
    scan_digest: str | None = None
    nothing_changed: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder or file, relative to its root; "" is the root itself."""

    root: str
    relpath: str

    def contains(self, root: str, relpath: str) -> bool:
        if root != self.root:
            return False
        return not self.relpath or relpath == self.relpath or relpath.startswith(self.relpath + "/")


def make_plan(
    store: Store | None,
    paths: Sequence[str | os.PathLike[str]],
    *,
    retry_failed: bool,
    prune: bool,
    exclude: Collection[Path],
    on_scan: Callable[[int], None],
    check_content: bool = False,
) -> Plan:
    """Walk the paths and compare each file's size and time with the index; opens no file and writes nothing.

    If a saved scan has the digest of the walk, nothing has changed, and no records of photos are read.

    Parameters
    ----------
    store : Store or None
        None for an index that does not exist yet.
    prune : bool
        Allow indexed folders that do not exist: all their photos are missing.
    on_scan : callable
        Called now and then with the number of files; an exception from it ends the walk.
    check_content : bool
        Read all unchanged files to compare their content.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    lost = [] if store is None else _lost_folders(store, paths)
    if lost and not prune:
        raise UsageError(
            f"The indexed folder {os.path.realpath(lost[0])} does not exist: its disk is not mounted, or it "
            "was moved or deleted.",
            "Mount the disk, or pass `prune=True`: photos that are found in the other paths keep their faces "
            "and clusters, and the rest are removed.",
        )
    paths = [path for path in paths if path not in lost]
    volumes = {} if store is None else store.volumes()
    distrust = {path: volume.distrusted for path, volume in volumes.items()}
    listing = walk(paths, exclude=exclude, on_files=on_scan, distrust=distrust)
    # Another version may find other files unreadable, or ignore other names.
    digest = None if lost or listing.digest is None else f"{__version__} {listing.digest}"
    if (
        store is not None
        and digest is not None
        and (before := store.load_scan(digest)) is not None
        and not (retry_failed and before.unreadable)
        and not check_content
    ):
        return Plan(unchanged=before, scan_digest=digest, nothing_changed=True)
    split = [_split(path) for path in paths]
    folders = [(os.path.realpath(folder), folder) for folder, _ in split]
    roots, known = _compare_roots(store, [path for path, _ in folders])
    # A file that is passed exists, or the walk raises: only folders can lack photos.
    places = [_Place(*roots.locate(folder)) for folder, name in split if name == "."]
    for path in map(os.path.realpath, lost):
        inside = [root for root in roots.paths if root.is_relative_to(path)]
        places += [_Place(*roots.find(root)) for root in inside or [Path(path)]]
    plan = Plan(folders=folders, scan_digest=digest)
    plan.asked = {roots.locate(folder, name) for folder, name in split if name != "."}
    unchanged: list[PhotoRecord] = []
    differing: list[Compared] = []
    seen: set[tuple[str, str]] = set()
    unlisted: list[tuple[_Place, str]] = []
    for candidate in listing:
        key = root, relpath = roots.locate(candidate.root, candidate.relpath)
        if key in seen:
            continue
        record = known.get(key)
        retry = retry_failed or key in plan.asked
        if record is not None and candidate.error is None and not _must_open(record, candidate, retry):
            seen.add(key)
            unchanged.append(record)
            if record.picture is None and record.status is Status.OK:
                plan.without_picture.append(_task(candidate, *key, record))
            elif check_content or record.failed or (record.ctime_ns, record.inode) != candidate.ids:
                differing.append(Compared(candidate, *key, record))
            continue
        task = _task(candidate, *key, record)
        if candidate.error is not None:
            plan.failed.append((task, candidate.error))
            unlisted.append((_Place(root, relpath), candidate.error.reason.value))
            continue
        seen.add(key)
        plan.tasks.append(task)
    empty = {place for place in places if not any(place.contains(*key) for key in seen)}
    lacking: set[_Place] = set()
    for key in sorted(known.keys() - seen):
        reason = next((reason for place, reason in unlisted if place.contains(*key)), None)
        if reason is not None:
            plan.unreached.append((known[key], reason))
            continue
        within = [place for place in places if place.contains(*key)]
        if within and empty.issuperset(within):
            plan.missing.append(known[key])
            lacking.update(within)
        elif within:
            plan.gone.append(known[key])
    plan.empty_folders = sorted(os.path.join(place.root, place.relpath).rstrip(os.sep) for place in lacking)  # noqa: PTH118
    if differing:
        checks = plan.checks = compare_file_ids(
            differing, listing.files_on(), volumes, check_content=check_content
        )
        plan.to_compare = [_task(*one) for one in checks.read]
        plan.untouched = {one.record.id for one in checks.read if nobody_wrote(one)}
        plan.tasks += [_task(*one) for one in checks.open_again]
        opened = {one.record.id for one in checks.open_again}
        unchanged = [record for record in unchanged if record.id not in opened]
    plan.unchanged = _counted(unchanged)
    return plan


def _task(candidate: Candidate, root: str, relpath: str, record: PhotoRecord | None) -> Task:
    ids = candidate.ids or (None, None)
    return Task(candidate.path, root, relpath, candidate.size, candidate.mtime_ns, record, *ids)


def _compare_roots(
    store: Store | None, folders: Sequence[str]
) -> tuple[_Roots, dict[tuple[str, str], PhotoRecord]]:
    """Return the roots as they will be with `folders`, and the indexed photos by root and relative path."""
    roots = _Roots()
    if store is None:
        roots.add(folders)
        return roots, {}
    with store.snapshot():
        existing, photos = store.roots(), store.photos().values()
    roots.add(root.path for root in existing)
    roots.add(folders)
    inside = {root.id: roots.find(Path(root.path)) for root in existing}
    known = {}
    for record in photos:
        path, prefix = inside[record.root_id]
        known[path, f"{prefix}/{record.relpath}" if prefix else record.relpath] = record
    return roots, known


def _lost_folders(store: Store, paths: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """Return the paths that do not exist, but that are folders with photos in the index."""
    absent = [path for path in paths if os.fspath(path) and not _exists(path)]
    if not absent:
        return []
    roots = {root.id: Path(root.path) for root in store.roots()}
    folders = {parent for root_id, relpath in store.photos() for parent in (roots[root_id] / relpath).parents}
    return [path for path in absent if Path(os.path.realpath(path)) in folders]


def _exists(path: str | os.PathLike[str]) -> bool:
    try:
        stat(path, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        pass  # reported by the walk
    return True


def count_photos(records: Collection[PhotoRecord]) -> int:
    """Count records as `faceindex.pipeline.Summary` does: unreadable photos too, ignored files not."""
    return sum(record.status is not Status.IGNORED for record in records)


def _counted(records: Sequence[PhotoRecord]) -> ScanCounts:
    by_status = Counter(record.status for record in records)
    return ScanCounts(
        photos=by_status[Status.OK],
        ignored=by_status[Status.IGNORED],
        unreadable=Counter(
            record.reason or Reason.CORRUPT.value for record in records if record.status is Status.UNREADABLE
        ),
    )


def _must_open(record: PhotoRecord, candidate: Candidate, retry_failed: bool) -> bool:
    if (record.size, record.mtime_ns) != (candidate.size, candidate.mtime_ns):
        return True
    return record.status is Status.UNREADABLE and (retry_failed or record.reason in TRY_AGAIN)


def _split(given: str | os.PathLike[str]) -> tuple[str, str]:
    """Split a path into the folder that is or becomes a root, as the user typed it, and the rest."""
    text = os.fspath(given)
    if is_folder(text):
        return text, "."
    folder, name = os.path.split(text.rstrip(os.sep) or os.sep)
    return folder or ".", name


class _Roots:
    """The roots of an index as real paths, so that each folder has one root under all its names."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self._found: dict[str | os.PathLike[str], tuple[str, str]] = {}

    def add(self, folders: Iterable[str]) -> None:
        """Add folders in the way of `Store.add_root`: a new root replaces the roots inside it."""
        for folder in map(Path, folders):
            if not any(folder.is_relative_to(path) for path in self.paths):
                self.paths = [path for path in self.paths if not path.is_relative_to(folder)]
                self.paths.append(folder)

    def locate(self, folder: str | os.PathLike[str], relpath: str = ".") -> tuple[str, str]:
        """Return the root of a folder and the path below it, separated by ``/``; "" is the root itself."""
        found = self._found.get(folder)
        if found is None:
            found = self._found[folder] = self.find(Path(os.path.realpath(folder)))
        root, prefix = found
        if relpath == ".":
            return found
        return root, f"{prefix}/{relpath}" if prefix else relpath

    def find(self, folder: Path) -> tuple[str, str]:
        """As `locate`, for a real path or the path of a root, which may have become a link since."""
        for path in self.paths:
            if folder.is_relative_to(path):
                inside = folder.relative_to(path).as_posix()
                return str(path), "" if inside == "." else inside
        raise AssertionError(f"{folder} was walked but belongs to no root")
