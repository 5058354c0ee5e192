"""Decide which files to open, by comparing a walk of the folders with the index."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

from faceindex import __version__, images
from faceindex.addresses import as_path, is_address, real_path
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images import Candidate, walk
from faceindex.images.limits import limit_is_raised
from faceindex.images.moments import videos_are_readable
from faceindex.images.walk import Listing
from faceindex.pipeline.counting import count_records
from faceindex.pipeline.file_ids import Compared, FileChecks, compare_file_ids, nobody_wrote
from faceindex.pipeline.held import Held
from faceindex.pipeline.missing import Place, find_absent
from faceindex.pipeline.root_paths import Roots, compare_roots, is_archive_path, lost_places, split_path
from faceindex.pipeline.selection import Selection
from faceindex.pipeline.video_rows import Moments, may_be_video, take_moments
from faceindex.store import PhotoRecord, ScanCounts, Status, Store

__all__ = ["TRY_AGAIN", "Plan", "Stopped", "Task", "make_plan"]

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
    held: Held | None = field(default=None, compare=False, repr=False)

    at_once: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    def read(self) -> bytes:
        """Read the file, unless that was done; raises `ImageError`."""
        found = None if self.held is None else self.held.take(self.name)
        if isinstance(found, ImageError):
            raise found
        return images.read(self.path) if found is None else found


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
        Root and relative path of the files and the addresses that were named themselves.
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
    excluded : set of int
        The ids of those photos in `gone` that patterns leave out.
    companions : Counter of str
        Files that are the second file of a shot and are not indexed: ``"raw"`` and ``"clip"``; and
        ``"store"``: archives and videos in object stores.
    partial : int
        Files that are not complete yet, by their names.
    older : int
        Files that are new or changed, and are not read because they were modified too long ago.
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
    excluded: set[int] = field(default_factory=set)
    companions: Counter[str] = field(default_factory=Counter)
    held: Held = field(default_factory=Held)
    partial: int = 0
    older: int = 0
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
    selection: Selection | None = None,
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
    selection : Selection, optional

    Raises
    ------
    UsageError
        If a path does not exist, or a pattern is none.
    """
    selection = selection or Selection()
    lost, unknown = ([], []) if store is None else lost_places(store, paths)
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
    listing = walk(
        paths,
        exclude=exclude,
        patterns=selection.patterns,
        all_versions=selection.all_versions,
        on_files=on_scan,
        distrust=distrust,
    )
    videos = selection.videos and videos_are_readable()
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
        plan = Plan(unchanged=before, scan_digest=digest, videos=videos, nothing_changed=True)
        plan.companions = Counter(before.companions)
        plan.partial = sum(len(kept.unfinished) for _, kept in listing.kept_out())
        return plan
    split = [split_path(path) for path in paths]
    folders = list(dict.fromkeys((real_path(folder), folder) for folder, _ in split))
    roots, known = compare_roots(store, [path for path, _ in folders])
    # A file that is passed exists, or the walk raises: only folders and archives can lack photos.
    places = [Place(*roots.locate(*one)) for one in split if one[1] == "." or is_archive_path(one[1])]
    for path in map(os.path.realpath, lost):
        inside = [root for root in roots.paths if root.is_relative_to(path)]
        places += [Place(*roots.find(root)) for root in inside or [Path(path)]]
    plan = Plan(folders=folders, scan_digest=digest, unknown=[os.fspath(path) for path in unknown if prune])
    plan.videos, plan.moments = videos, take_moments(known)
    plan.pruned = places if prune else []
    plan.asked = {roots.locate(*one) for one in split if one[1] != "." or is_address(one[0])}
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
        must_open = record is None or _must_open(record, candidate, retry, videos)
        if selection.is_too_old(candidate.mtime_ns) and candidate.error is None and must_open:
            seen.add(key)
            plan.older += 1
            continue
        if candidate.error is not None and candidate.ids is not None:  # an archive
            seen.add(key)
            if candidate.error.reason is not Reason.MEMBER_NAMES:
                unlisted[Place(root, relpath)] = candidate.error.reason.value
            if record is not None and not must_open:
                unchanged.append(record)
            else:
                plan.failed.append((_task(candidate, *key, record), candidate.error))
            continue
        if record is not None and candidate.error is None and not must_open:
            seen.add(key)
            unchanged.append(record)
            if selection.is_too_old(candidate.mtime_ns):
                pass
            elif record.picture is None and record.status is Status.OK:
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
    excluded = _note_kept_out(plan, listing, roots, known, seen, unchanged)
    plan.unchanged = count_records(unchanged)
    if plan.older:
        plan.scan_digest = None
    if store is not None:
        mounts = {roots.locate(top, folder or ".") for top, folder in listing.mounts()}
        _compare_disks(plan, store, roots, places, mounts, known, seen, unlisted, excluded)
    return plan


def _note_kept_out(
    plan: Plan,
    listing: Listing,
    roots: Roots,
    known: Mapping[tuple[str, str], PhotoRecord],
    seen: set[tuple[str, str]],
    unchanged: list[PhotoRecord],
) -> set[tuple[str, str]]:
    """Add to a plan what a walk found and does not list; return the files and folders that are left out."""
    excluded: set[tuple[str, str]] = set()
    for top, kept in listing.kept_out():
        plan.companions.update(kept.companions)
        excluded.update(roots.locate(top, relpath.rstrip("/")) for relpath in kept.excluded)
        for relpath in kept.unfinished:
            key = roots.locate(top, relpath)
            record = known.get(key)
            if record is not None and record.status is Status.OK:  # indexed by a version that read them
                seen.add(key)
                unchanged.append(record)
            else:
                plan.partial += 1
    return excluded


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
    roots: Roots,
    places: Sequence[Place],
    mounts: set[tuple[str, str]],
    known: Mapping[tuple[str, str], PhotoRecord],
    seen: set[tuple[str, str]],
    unlisted: Mapping[Place, str],
    excluded: Collection[tuple[str, str]],
) -> None:
    """Add to a plan what a walk did not find: gone and missing photos, and those in other folders."""
    with store.snapshot():
        plan.roots = {root.id: root.path for root in store.roots()}
        before = {
            (path, "/".join(filter(None, (prefix, folder)))): last
            for (root_id, folder), last in store.mounts().items()
            for path, prefix in [roots.find(as_path(plan.roots[root_id]))]
        }
        unseen = known.keys() - seen
        left_out = {key for key in unseen if _is_in(key, excluded)} if excluded else set()
        unseen -= left_out
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
        plan.gone = [known[key] for key in (*absent.gone, *sorted(left_out))]
        plan.excluded = {known[key].id for key in left_out}
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
        if not is_address(plan.roots[root_id]) and not _has_entries(plan.roots[root_id])
    }


def _is_in(key: tuple[str, str], places: Collection[tuple[str, str]]) -> bool:
    """Return whether a file, or a folder above it, is one of some places."""
    root, relpath = key
    while relpath:
        if (root, relpath) in places:
            return True
        relpath = relpath.rpartition("/")[0]
    return False


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


def _must_open(record: PhotoRecord, candidate: Candidate, retry_failed: bool, videos: bool) -> bool:
    if (record.size, record.mtime_ns) != (candidate.size, candidate.mtime_ns):
        return True
    if videos and may_be_video(record) and not is_address(candidate.root):
        return True
    if record.status is Status.IGNORED:  # a file with such a name never is, unless an older version did
        return os.path.splitext(candidate.relpath)[1].lower() in images.IMAGE_SUFFIXES  # noqa: PTH122
    if record.status is not Status.UNREADABLE:
        return False
    if record.reason == Reason.MEMORY.value and limit_is_raised():
        return True
    return retry_failed or record.reason in TRY_AGAIN
