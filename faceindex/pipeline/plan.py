"""Which files have to be opened, given what the index knows of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faceindex import __version__
from faceindex.errors import ImageError, Reason
from faceindex.images import Candidate, walk
from faceindex.store import PhotoRecord, Root, Status, Store, Unchanged

__all__ = ["TRY_AGAIN", "Plan", "Stopped", "Task", "make_plan"]

# Reasons that lie in the environment and not in the file: worth another try at every run.
TRY_AGAIN = frozenset({Reason.MISSING, Reason.DENIED, Reason.UNSUPPORTED, Reason.IO_ERROR, Reason.FAILED})


class Stopped(Exception):
    """Asked to stop before anything was written."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file to open."""

    path: Path
    root_id: int
    relpath: str
    size: int
    mtime_ns: int
    known: PhotoRecord | None


@dataclass(slots=True)
class Plan:
    """What the walk found, compared with the index.

    Attributes
    ----------
    tasks : list of Task
        Files to open: new, changed or to be tried again.
    unchanged : Unchanged
        Files that need not be opened.
    failed : list of (Task, ImageError)
        Files that the walk itself could not reach.
    gone : list of PhotoRecord
        Known, in one of the places walked, and no longer there.
    missing : list of PhotoRecord
        The same, but nothing at all is left in that place: perhaps a disk is not mounted.
    tree : str or None
        What was compared, in the words of `Store.remember`; None if that could not tell it.
    recalled : bool
        Whether the tree is the same as when nothing was left to do, so that there is nothing now.
    """

    tasks: list[Task] = field(default_factory=list)
    unchanged: Unchanged = field(default_factory=Unchanged)
    failed: list[tuple[Task, ImageError]] = field(default_factory=list)
    gone: list[PhotoRecord] = field(default_factory=list)
    missing: list[PhotoRecord] = field(default_factory=list)
    tree: str | None = None
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder or file, relative to its root; '' is the root itself."""

    root_id: int
    relpath: str

    def contains(self, root_id: int, relpath: str) -> bool:
        if root_id != self.root_id:
            return False
        return not self.relpath or relpath == self.relpath or relpath.startswith(self.relpath + "/")


def make_plan(
    store: Store,
    paths: Sequence[str | os.PathLike[str]],
    *,
    retry_failed: bool,
    exclude: Collection[Path],
    on_scan: Callable[[int], None],
) -> Plan:
    """Walk the paths and compare each file's size and time with the index; opens no file.

    A tree that is just as it was when nothing was left to do is told by its digest, and the catalog's
    50,000 rows are not read for it.

    Parameters
    ----------
    on_scan : callable
        Told the number of files now and then; what it raises ends the walk.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    listing = walk(paths, exclude=exclude, on_files=on_scan)
    # Another version may find other files unreadable, or other names of no interest.
    tree = None if listing.digest is None else f"{__version__} {listing.digest}"
    if (
        tree is not None
        and (before := store.recall(tree)) is not None
        and not (retry_failed and before.unreadable)
    ):
        return Plan(unchanged=before, tree=tree, recalled=True)
    split = [_split(path) for path in paths]
    for folder, _ in split:
        store.add_root(os.path.realpath(folder), folder)
    roots = _Roots(store.roots())
    # A file that was named exists, or the walk would have refused it: only folders can miss something.
    places = [_Place(*roots.locate(folder)) for folder, name in split if name == "."]
    known = store.photos()
    plan = Plan(tree=tree)
    unchanged: list[PhotoRecord] = []
    seen: set[tuple[int, str]] = set()
    unlisted: list[_Place] = []
    for candidate in listing:
        key = root_id, relpath = roots.locate(candidate.root, candidate.relpath)
        if key in seen:
            continue
        record = known.get(key)
        if record is not None and candidate.error is None and not _must_open(record, candidate, retry_failed):
            seen.add(key)
            unchanged.append(record)
            continue
        task = Task(candidate.path, root_id, relpath, candidate.size, candidate.mtime_ns, record)
        if candidate.error is not None:
            plan.failed.append((task, candidate.error))
            unlisted.append(_Place(root_id, relpath))
            continue
        seen.add(key)
        plan.tasks.append(task)
    empty = {place for place in places if not any(place.contains(*key) for key in seen)}
    for key in sorted(known.keys() - seen):
        if any(place.contains(*key) for place in unlisted):
            continue
        within = [place for place in places if place.contains(*key)]
        if within:
            (plan.missing if empty.issuperset(within) else plan.gone).append(known[key])
    plan.unchanged = _counted(unchanged)
    return plan


def _counted(records: Sequence[PhotoRecord]) -> Unchanged:
    by_status = Counter(record.status for record in records)
    return Unchanged(
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
    """A given path as the folder that is or becomes a root, as the user typed it, and what is in it."""
    text = os.fspath(given)
    if os.path.isdir(text):  # noqa: PTH112 - Path would not keep what was typed
        return text, "."
    folder, name = os.path.split(text.rstrip(os.sep) or os.sep)
    return folder or ".", name


class _Roots:
    """Which root a folder belongs to. Roots are real paths, so that a folder has one by any name."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self._roots = roots
        self._found: dict[str | os.PathLike[str], tuple[int, str]] = {}

    def locate(self, folder: str | os.PathLike[str], relpath: str = ".") -> tuple[int, str]:
        """Id of the root and the path below it, separated by ``/``; the root itself is ''."""
        found = self._found.get(folder)
        if found is None:
            found = self._found[folder] = self._search(Path(os.path.realpath(folder)))
        root_id, prefix = found
        if relpath == ".":
            return found
        return root_id, f"{prefix}/{relpath}" if prefix else relpath

    def _search(self, folder: Path) -> tuple[int, str]:
        for root in self._roots:
            if folder.is_relative_to(root.path):
                inside = folder.relative_to(root.path).as_posix()
                return root.id, "" if inside == "." else inside
        raise AssertionError(f"{folder} was walked but belongs to no root")
