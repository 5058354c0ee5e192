"""Which files have to be opened, given what the index knows of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faceindex.errors import ImageError, Reason
from faceindex.images.walk import Candidate, walk
from faceindex.store import ImageRecord, Root, Status, Store

__all__ = ["Plan", "Task", "make_plan"]

# Reasons that lie in the environment and not in the file: worth another try at every run.
_TRY_AGAIN = {Reason.MISSING, Reason.DENIED, Reason.UNSUPPORTED, Reason.IO_ERROR}

_REPORT_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """One file to open."""

    path: Path
    root_id: int
    relpath: str
    size: int
    mtime_ns: int
    known: ImageRecord | None


@dataclass(slots=True)
class Plan:
    """What the walk found, compared with the index.

    Attributes
    ----------
    tasks : list of Task
        Files to open: new, changed or to be tried again.
    unchanged : list of ImageRecord
        Files that need not be opened; `status` may be any.
    failed : list of (Task, ImageError)
        Files that the walk itself could not reach.
    gone : list of ImageRecord
        Known, in one of the places walked, and no longer there.
    missing : list of ImageRecord
        The same, but nothing at all is left in that place: perhaps a disk is not mounted.
    """

    tasks: list[Task] = field(default_factory=list)
    unchanged: list[ImageRecord] = field(default_factory=list)
    failed: list[tuple[Task, ImageError]] = field(default_factory=list)
    gone: list[ImageRecord] = field(default_factory=list)
    missing: list[ImageRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder or file given by the user, relative to its root; '' is the root itself."""

    root: Root
    relpath: str

    def contains(self, relpath: str) -> bool:
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

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    candidates = walk(paths, exclude=exclude)
    places = [_place(store, path) for path in paths]
    known = store.images()
    roots: dict[Path, tuple[Root, str]] = {}
    plan = Plan()
    seen: set[tuple[int, str]] = set()
    unlisted: list[tuple[int, str]] = []
    for count, candidate in enumerate(candidates, 1):
        if count % _REPORT_EVERY == 0:
            on_scan(count)
        if candidate.root not in roots:
            roots[candidate.root] = _root_and_prefix(store, candidate.root)
        root, prefix = roots[candidate.root]
        relpath = prefix + candidate.relpath
        if (root.id, relpath) in seen:
            continue
        seen.add((root.id, relpath))
        record = known.get((root.id, relpath))
        task = Task(candidate.path, root.id, relpath, candidate.size, candidate.mtime_ns, record)
        if candidate.error is not None:
            plan.failed.append((task, candidate.error))
            unlisted.append((root.id, relpath + "/"))
        elif record is None or _must_open(record, candidate, retry_failed):
            plan.tasks.append(task)
        else:
            plan.unchanged.append(record)
    for key, record in known.items():
        if key in seen or any(key[0] == root and key[1].startswith(folder) for root, folder in unlisted):
            continue
        within = [place for place in places if place.root.id == key[0] and place.contains(key[1])]
        if within:
            empty = not any(root == key[0] and within[0].contains(relpath) for root, relpath in seen)
            (plan.missing if empty else plan.gone).append(record)
    return plan


def _must_open(record: ImageRecord, candidate: Candidate, retry_failed: bool) -> bool:
    if (record.size, record.mtime_ns) != (candidate.size, candidate.mtime_ns):
        return True
    return record.status is Status.UNREADABLE and (retry_failed or record.reason in _TRY_AGAIN)


def _place(store: Store, given: str | os.PathLike[str]) -> _Place:
    """Register the root that a given path belongs to: the folder itself, or a file's folder."""
    text = os.fspath(given)
    is_folder = Path(text).is_dir()
    folder = text if is_folder else os.path.dirname(text)  # noqa: PTH120 - keeps what the user typed
    # Not Path.resolve: a root that is a symbolic link stays the place that the user named.
    root = store.add_root(os.path.abspath(folder or "."), folder or ".")  # noqa: PTH100
    relpath = os.path.relpath(os.path.abspath(text), root.path)  # noqa: PTH100
    return _Place(root, "" if relpath == "." else Path(relpath).as_posix())


def _root_and_prefix(store: Store, folder: Path) -> tuple[Root, str]:
    for root in store.roots():
        if folder == Path(root.path):
            return root, ""
        if folder.is_relative_to(root.path):
            return root, folder.relative_to(root.path).as_posix() + "/"
    raise AssertionError(f"{folder} was walked but belongs to no root")
