"""Embed the faces that the user drew, where the index has their pictures without them.

That is so after the decisions of another index were applied, after a photo was read again, and on copies of a
photo. Modules that open photos are imported only if a box waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from faceindex.errors import ImageError
from faceindex.pipeline.events import Event, Loaded, Loading

if TYPE_CHECKING:
    from faceindex.recognition import Recogniser
    from faceindex.store import Store

__all__ = ["embed_waiting"]


def embed_waiting(
    store: Store,
    recogniser: Callable[[], Recogniser],
    *,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> int:
    """Embed the faces of `faceindex.store.drawn_faces.DrawnFaces.waiting`; each photo is a commit of its own.

    Photos that are not there, or not as they were indexed, wait for the next run. A box at which a detector
    found a face needs none.

    Parameters
    ----------
    store : Store
        Open for writing.
    recogniser : callable
        Loads the networks; called only if there is a face to embed.
    on_event, should_stop
        As in `faceindex.pipeline.index_photos`.

    Returns
    -------
    int
        Number of faces that were embedded.
    """
    waiting: dict[int, list[bytes]] = {}
    for box in store.drawn_faces.waiting():
        waiting.setdefault(box.photo, []).append(box.box)
    if not waiting:
        return 0
    import numpy as np

    from faceindex import images
    from faceindex.drawn_faces import embed_drawn
    from faceindex.matching import match_boxes
    from faceindex.store.photos import PhotoNames

    loaded: Recogniser | None = None
    names = PhotoNames(store, waiting)
    number = 0
    for photo, stored in waiting.items():
        if should_stop():
            break
        record, path = names.by_id[photo], names.path(names.by_id[photo])
        boxes = store.drawn_faces.upright_boxes(photo, stored)
        _, there = store.drawn_faces.boxes_of_faces(photo)
        boxes = boxes[[match_boxes(there, box.reshape(1, 4))[0] < 0 for box in boxes]]
        if not len(boxes):
            continue
        try:
            data = images.read(path)
            if images.content_hash(data) != record.content_hash:
                continue
            if loaded is None:
                on_event(Loading())
                loaded = recogniser()
                on_event(Loaded())
            faces = embed_drawn(loaded, loaded.decode_photo(data, path), boxes)
        except ImageError:
            continue
        if not np.isfinite(faces.vectors).all():
            continue
        store.append_vectors(faces.vectors)
        with store.deciding():
            number += len(store.insert_drawn(photo, faces))
    return number
