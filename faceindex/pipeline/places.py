"""Photos of the index by place: a folder or file that need not exist any more."""

from __future__ import annotations

import os
from collections.abc import Iterable

from faceindex.pipeline.missing import Place
from faceindex.store import PhotoRecord, Store

__all__ = ["away_in_places", "ids_in_places", "path_below", "photos_below"]


def path_below(path: str, folder: str) -> str | None:
    """Return a path relative to a folder, "" if they are equal, None if it is not in the folder."""
    if path == folder:
        return ""
    start = folder if folder.endswith(os.sep) else folder + os.sep
    return path[len(start) :] if path.startswith(start) else None


def photos_below(store: Store, folder: str) -> list[tuple[PhotoRecord, str]]:
    """Return the photos of the index in a folder, or the one at a path, with their paths relative to it."""
    roots = {root.id: root.path for root in store.roots()}
    found = []
    for record in store.photos().values():
        below = path_below(os.path.join(roots[record.root_id], record.relpath), folder)  # noqa: PTH118
        if below is not None:
            found.append((record, below))
    return found


def away_in_places(store: Store, folders: Iterable[str]) -> list[tuple[PhotoRecord, str]]:
    """Return the photos that are away and were in some folders, with their paths relative to these."""
    roots = {root.id: root.path for root in store.roots()}
    places = [*folders]
    found = []
    for record in store.away_photos():
        path = os.path.join(roots.get(record.root_id, ""), record.relpath)  # noqa: PTH118
        below = next((b for place in places if (b := path_below(path, place)) is not None), None)
        if below is not None:
            found.append((record, below))
    return found


def ids_in_places(store: Store, places: Iterable[Place]) -> list[int]:
    """Return the ids of the photos that are away and were in some places."""
    return [record.id for record, _ in away_in_places(store, [place.path for place in places])]
