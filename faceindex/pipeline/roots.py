"""Change where the index looks for its photos: move folders to new paths, and follow an index that moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from faceindex.addresses import absolute_path, as_path, is_address, real_path
from faceindex.errors import ImageError, UsageError
from faceindex.pipeline.events import Event, Warned
from faceindex.pipeline.places import away_in_places, path_below, photos_below
from faceindex.store import PhotoRecord, Root, Status, Store

__all__ = ["Relocation", "follow_index", "no_photos", "plan_relocation", "relocate"]

_FEWEST = 0.5  # share of these that must be there; the rest may have been deleted or changed since


@dataclass(frozen=True, slots=True)
class Relocation:
    """Photos that are elsewhere now.

    Attributes
    ----------
    old, new : str
        Absolute paths.
    photos : list of (PhotoRecord, str)
        The photos of the index in `old`, with their paths relative to it; "" is `old` itself, a single photo.
    roots : list of Root
        The roots that are `old` or in it.
    sampled, found : int
        Photos that were looked for in `new`, and those that are there.
    """

    old: str
    new: str
    photos: list[tuple[PhotoRecord, str]]
    roots: list[Root]
    sampled: int
    found: int


def plan_relocation(store: Store, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> Relocation:
    """Find the photos in a folder of the index, and check that they are in another one.

    Up to `moves.SAMPLE` of them are read, and compared by their content and their picture.

    Parameters
    ----------
    store : Store
    old : path-like
        A root, a folder in one, a folder with roots, or a photo; it need not exist.
    new : path-like
        Where these photos are now.

    Raises
    ------
    UsageError
        If there is no photo of `old` in the index, if `new` does not exist, or if less than half of the
        sample is there.
    """
    target = real_path(new)
    if is_address(new):
        from faceindex.images.remote import connect

        connect(target)  # raises if it cannot be used, or a package is missing
    elif not os.path.lexists(target):
        raise UsageError(
            f"There is no file or folder '{os.fspath(new)}'.", "Name the folder that has the photos now."
        )
    with store.snapshot():
        source, photos, roots = _find_place(store, old)
    if source == target:
        raise UsageError(f"The index has these photos in {target} already.", "There is nothing to do.")
    inside = path_below(target, source)
    if inside:  # what is in the new folder already stays
        photos = [(record, below) for record, below in photos if path_below(below, inside) is None]
    readable = [
        (record, below)
        for record, below in photos
        if record.status is Status.OK and record.content_hash is not None
    ]
    sampled, found = _count_there(readable, target)
    if sampled and found < _FEWEST * sampled:
        raise UsageError(
            f"Of {sampled:,} photos of {source} that were looked for in {target}, {found:,} are there.",
            "Name the folder that has the photos now, with the same subfolders. The index is as it was.",
        )
    return Relocation(source, target, photos, roots, sampled, found)


def no_photos(place: str | os.PathLike[str]) -> UsageError:
    """Return the error for a place of which the index has no photos."""
    return UsageError(
        f"The index has no photos of {os.fspath(place)}.", "`faceindex roots` lists its folders."
    )


def _find_place(
    store: Store, place: str | os.PathLike[str]
) -> tuple[str, list[tuple[PhotoRecord, str]], list[Root]]:
    """Return the absolute path of a place of the index, its photos and its roots.

    Raises
    ------
    UsageError
        If it is none.
    """
    for path in dict.fromkeys((absolute_path(place), real_path(place))):
        photos = photos_below(store, path)
        roots = [root for root in store.roots() if path_below(root.path, path) is not None]
        if photos or roots:
            return path, photos, roots
    raise no_photos(place)


def _count_there(photos: Sequence[tuple[PhotoRecord, str]], folder: str) -> tuple[int, int]:
    """Return how many photos were looked for in a folder, and how many were found there."""
    from faceindex.pipeline.content import read_contents
    from faceindex.pipeline.moves import SAMPLE, spread
    from faceindex.pipeline.plan import Task

    tasks = []
    for i in spread(len(photos), SAMPLE):
        record, below = photos[i]
        path = os.path.join(folder, below) if below else folder  # noqa: PTH118
        tasks.append(Task(as_path(path), folder, below, record.size, record.mtime_ns, record))
    found = 0
    pictures = {task.known.picture for task in tasks if task.known is not None}
    for task, content in read_contents(tasks, threads=4, should_stop=lambda: False, pictures=pictures):
        if not isinstance(content, ImageError) and task.known is not None:
            found += content.hash == task.known.content_hash or content.shows(task.known)
    return len(tasks), found


def relocate(store: Store, planned: Relocation, given: str | os.PathLike[str]) -> None:
    """Carry out a `plan_relocation`. Photos keep their ids, faces, clusters and decisions.

    A photo that is in the index under its new path already goes away, with its faces.

    Parameters
    ----------
    store : Store
        Open for writing.
    planned : Relocation
    given : path-like
        The new folder as the user wrote it.
    """
    old, new = planned.old, planned.new
    name = os.fspath(given)
    if planned.roots:  # each of them stays a root
        inside = [path_below(root.path, old) or "" for root in planned.roots]
        folders = [(_joined(new, below), _joined(name, below)) for below in inside]
    elif _is_folder(new):
        folders = [(new, name)]
    else:  # a single photo
        folders = [(os.path.dirname(new), os.path.dirname(name) or ".")]  # noqa: PTH120
    away = away_in_places(store, [old])
    store.relocate_photos(
        folders,
        {record.id: _joined(new, below) for record, below in planned.photos},
        {record.id: _joined(new, below) for record, below in away},
    )


def _is_folder(path: str) -> bool:
    if not is_address(path):
        return os.path.isdir(path)  # noqa: PTH112
    from faceindex.images.remote import is_photo_address

    return not is_photo_address(path)


def _joined(folder: str, below: str) -> str:
    return os.path.join(folder, below) if below else folder  # noqa: PTH118


def follow_index(store: Store, on_event: Callable[[Event], None]) -> None:
    """Find the photos of an index that was moved or copied together with them.

    The index stores where it is. If it is elsewhere now, each of its folders is looked for at the same place
    relative to the index: in it, beside it or around it. If a sample of the photos is there, the index uses
    those from now on, also if the earlier folder still exists: that is the folder of the index's original.
    """
    here = os.path.realpath(store.directory)
    before = store.known_directory()
    if before == here:
        return
    if before:
        for root in store.roots():
            new = os.path.normpath(os.path.join(here, os.path.relpath(root.path, before)))  # noqa: PTH118
            if is_address(root.path) or new == root.path or not os.path.isdir(new):  # noqa: PTH112
                continue
            try:
                planned = plan_relocation(store, root.path, new)
            except UsageError:
                continue
            if planned.found:
                relocate(store, planned, new)
                on_event(
                    Warned(
                        f"The index has moved from {before} to {here}. Its photos in {root.path} are taken "
                        f"from {new} now."
                    )
                )
    store.save_directory(here)
