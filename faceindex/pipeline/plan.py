"""Decide which files to open, by comparing a walk of the folders with the index."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar, TypeAlias

from faceindex import __version__, images
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images import Candidate, walk
from faceindex.images.limits import limit_is_raised
from faceindex.images.moments import videos_are_readable
from faceindex.images.walk import Listing
from faceindex.paths import is_folder, stat
from faceindex.pipeline.file_ids import Compared, FileChecks, compare_file_ids, nobody_wrote
from faceindex.pipeline.missing import Place, find_absent
from faceindex.pipeline.video_rows import Moments, may_be_video, take_moments
from faceindex.store import PhotoRecord, ScanCounts, Status, Store

__all__ = ["TRY_AGAIN", "Plan", "Stopped", "Task", "count_photos", "make_plan"]

# Reasons that are not about the photo: every run tries again, and its faces are kept until it can be read.
# UNSUPPORTED: the decoder that read it before is not installed now.
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
    missing_in : dict of int to str
        The absolute path of the empty or missing folder, by the id of each photo of `missing`.
    elsewhere : list of PhotoRecord
        Indexed photos that are not in the walked folders. A new file may be one of them that was moved. Empty
        if there is no file to open or to compare; and so is `away`.
    away : list of PhotoRecord
        Photos that are away, which may come back.
    roots : dict of int to str
        The paths of all roots at present, by id.
    vanished : set of int
        The roots that do not exist, or are empty, and are not in the walked folders.
    unknown : list of str
        Paths that do not exist, and from which there is no photo in the index.
    pruned : list of Place
        The places whose photos are removed if they are not found, if `prune` is true.
    mounts : dict of (str, str) to int or None; or None
        The folders of all roots that are on another device than the folder above, by the paths of their
        roots; the values as in `Store.mounts`. None if these are the stored ones.
    scan_digest : str or None
        Digest of the walk, for `Store.save_scan`; None if the walk has none.
    moments : Moments
        The moments of the indexed videos. They are in no other list.
    videos : bool
        Whether videos are read.
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
    missing_in: dict[int, str] = field(default_factory=dict)
    elsewhere: list[PhotoRecord] = field(default_factory=list)
    away: list[PhotoRecord] = field(default_factory=list)
    roots: dict[int, str] = field(default_factory=dict)
    vanished: set[int] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    pruned: list[Place] = field(default_factory=list)
    mounts: dict[tuple[str, str], int | None] | None = None
    scan_digest: str | None = None
    moments: Moments = field(default_factory=Moments)
    videos: bool = False
    nothing_changed: bool = False

    @property
    def empty_folders(self) -> list[str]:
        """Absolute paths of the folders of `missing`."""
        return sorted({*self.missing_in.values()})

    def path_of(self, record: PhotoRecord) -> str:
        """Return the absolute path of a photo of the index."""
        return os.path.join(self.roots.get(record.root_id, ""), record.relpath)  # noqa: PTH118


def make_plan(
    store: Store | None,
    paths: Sequence[str | os.PathLike[str]],
    *,
    retry_failed: bool,
    prune: bool,
    exclude: Collection[Path],
    on_scan: Callable[[int], None],
    check_content: bool = False,
    videos: bool = True,
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
    videos : bool
        Read videos, if PyAV is installed.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    lost, unknown = ([], []) if store is None else _lost_places(store, paths)
    if lost and not prune:
        raise UsageError(
            f"The indexed folder {os.path.realpath(lost[0])} does not exist: its disk is not mounted, or it "
            "was moved or deleted.",
            "Mount the disk; or index the folder to which it was moved; or pass `prune=True`: photos that "
            "are found in the other paths keep their faces and clusters, and the rest are removed.",
        )
    left_out = {*lost, *(unknown if prune else ())}
    paths = [path for path in paths if path not in left_out]
    volumes = {} if store is None else store.volumes()
    distrust = {path: volume.distrusted for path, volume in volumes.items()}
    listing = walk(paths, exclude=exclude, on_files=on_scan, distrust=distrust)
    videos = videos and videos_are_readable()
    digest = None if lost else _scan_digest(listing, videos)
    if (
        store is not None
        and digest is not None
        and (before := store.load_scan(digest)) is not None
        and not (retry_failed and before.unreadable)
        and not (prune and store.count_away().photos)
        and not check_content
        and not (before.unreadable.get(Reason.MEMORY.value) and limit_is_raised())
    ):
        return Plan(unchanged=before, scan_digest=digest, videos=videos, nothing_changed=True)
    split = [_split(path) for path in paths]
    folders = [(os.path.realpath(folder), folder) for folder, _ in split]
    roots, known = _compare_roots(store, [path for path, _ in folders])
    # A file that is passed exists, or the walk raises: only folders can lack photos.
    places = [Place(*roots.locate(folder)) for folder, name in split if name == "."]
    for path in map(os.path.realpath, lost):
        inside = [root for root in roots.paths if root.is_relative_to(path)]
        places += [Place(*roots.find(root)) for root in inside or [Path(path)]]
    plan = Plan(folders=folders, scan_digest=digest, unknown=[os.fspath(path) for path in unknown if prune])
    plan.videos, plan.moments = videos, take_moments(known)
    plan.pruned = places if prune else []
    plan.asked = {roots.locate(folder, name) for folder, name in split if name != "."}
    unchanged: list[PhotoRecord] = []
    differing: list[Compared] = []
    seen: set[tuple[str, str]] = set()
    unlisted: dict[Place, str] = {}
    for candidate in listing:
        key = root, relpath = roots.locate(candidate.root, candidate.relpath)
        if key in seen:
            continue
        record = known.get(key)
        retry = retry_failed or key in plan.asked
        new_video = videos and record is not None and may_be_video(record)
        must_open = record is None or candidate.error or new_video or _must_open(record, candidate, retry)
        if record is not None and not must_open:
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
            unlisted[Place(root, relpath)] = candidate.error.reason.value
            continue
        seen.add(key)
        plan.tasks.append(task)
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
    if store is not None:
        mounts = {roots.locate(top, folder or ".") for top, folder in listing.mounts()}
        _compare_disks(plan, store, roots, places, mounts, known, seen, unlisted)
    return plan


def _scan_digest(listing: Listing, videos: bool) -> str | None:
    """Return the digest of a walk, and of what else decides whether a run has something to do."""
    if listing.digest is None:
        return None
    # Another version may find other files unreadable, or ignore other names.
    mounts = blake2b(repr(listing.mounts()).encode(), digest_size=8).hexdigest()
    return f"{__version__} {listing.digest} {mounts}{'' if videos else ' without videos'}"


def _compare_disks(
    plan: Plan,
    store: Store,
    roots: _Roots,
    places: Sequence[Place],
    mounts: set[tuple[str, str]],
    known: Mapping[tuple[str, str], PhotoRecord],
    seen: set[tuple[str, str]],
    unlisted: Mapping[Place, str],
) -> None:
    """Add to a plan what a walk did not find: gone and missing photos, and those in other folders."""
    with store.snapshot():
        plan.roots = {root.id: root.path for root in store.roots()}
        before = {
            (path, "/".join(filter(None, (prefix, folder)))): last
            for (root_id, folder), last in store.mounts().items()
            for path, prefix in [roots.find(Path(plan.roots[root_id]))]
        }
        unseen = known.keys() - seen
        for key in sorted(unseen) if unlisted else ():
            reason = next((reason for place, reason in unlisted.items() if place.contains(*key)), None)
            if reason is not None:
                plan.unreached.append((known[key], reason))
        absent = find_absent(
            unseen,
            seen=seen,
            known=known,
            places=places,
            unlisted=unlisted,
            mounts={**dict.fromkeys(mounts), **before},
        )
        plan.gone = [known[key] for key in absent.gone]
        plan.missing = [known[key] for key in absent.missing]
        plan.missing_in = {known[key].id: folder for key, folder in absent.missing.items()}
        now: dict[tuple[str, str], int | None] = dict.fromkeys(mounts)
        newest = max((record.id for record in known.values()), default=0)
        for (root, folder), last in before.items():
            # What was on a disk is still known to be on one while it is missing.
            if os.path.join(root, folder).rstrip(os.sep) in absent.missing.values():  # noqa: PTH118
                now[root, folder] = newest if last is None else last
            elif not any(place.contains(root, folder) for place in places):
                now[root, folder] = last
        if now != before:
            plan.mounts = now
        if not (
            plan.tasks or plan.to_compare or plan.without_picture
        ):  # of these, some may have to be opened
            return
        plan.away = plan.moments.take_away(store.away_photos())
        plan.elsewhere = [
            known[key] for key in sorted(unseen) if not any(p.contains(*key) for p in (*places, *unlisted))
        ]
    plan.vanished = {
        root_id
        for root_id in {record.root_id for record in plan.elsewhere}
        if not _has_entries(plan.roots[root_id])
    }


def _has_entries(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


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


_Path: TypeAlias = "str | os.PathLike[str]"


def _lost_places(store: Store, paths: Sequence[_Path]) -> tuple[list[_Path], list[_Path]]:
    """Return the paths that do not exist: those from which there are photos in the index, and the others."""
    absent = [path for path in paths if os.fspath(path) and not _exists(path)]
    if not absent:
        return [], []
    roots = {root.id: Path(root.path) for root in store.roots()}
    photos = [roots[root_id] / relpath for root_id, relpath in store.photos()]
    indexed = {place for path in (*photos, *roots.values()) for place in (path, *path.parents)}
    lost = [path for path in absent if Path(os.path.realpath(path)) in indexed]
    return lost, [path for path in absent if path not in lost]


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
        videos=sum(r.status is Status.IGNORED and r.reason == Reason.VIDEO.value for r in records),
        unreadable=Counter(
            record.reason or Reason.CORRUPT.value for record in records if record.status is Status.UNREADABLE
        ),
    )


def _must_open(record: PhotoRecord, candidate: Candidate, retry_failed: bool) -> bool:
    if (record.size, record.mtime_ns) != (candidate.size, candidate.mtime_ns):
        return True
    if record.status is not Status.UNREADABLE:
        return False
    if record.reason == Reason.MEMORY.value and limit_is_raised():
        return True
    return retry_failed or record.reason in TRY_AGAIN


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
