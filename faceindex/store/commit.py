"""The commit protocol: first the vectors, then one transaction that refers to them.

A process that is killed at any moment leaves the whole batch or none of it, and all earlier commits. Vectors
that no transaction refers to are deleted when the next writer opens the index.
"""

from __future__ import annotations

from collections.abc import Sequence

from faceindex.errors import UsageError
from faceindex.store.catalog import Catalog
from faceindex.store.decisions import DecisionTables
from faceindex.store.digests import VectorDigests
from faceindex.store.forgotten import ForgottenTables
from faceindex.store.photo_records import save_photo
from faceindex.store.records import NewPhoto
from faceindex.store.vectors import VectorFile

__all__ = ["commit_photos"]


def commit_photos(catalog: Catalog, vectors: VectorFile, photos: Sequence[NewPhoto]) -> None:
    """Store a batch of photos and their faces, as `Store.commit`."""
    with_faces = [photo.faces for photo in photos if photo.faces is not None and len(photo.faces)]
    for faces in with_faces:
        vectors.check_vectors(faces.vectors)
        arrays = (faces.vectors, faces.landmarks, faces.scores, faces.norms, faces.sharpness, faces.quality)
        if len(faces.turns) != len(faces) or any(len(array) != len(faces) for array in arrays):
            raise UsageError("The arrays of a photo's faces differ in length.", "Pass one row per face.")
    if with_faces:
        photos = [ForgottenTables(catalog).without(photo) for photo in photos]
        with_faces = [photo.faces for photo in photos if photo.faces is not None and len(photo.faces)]
    if not with_faces:
        with catalog.transaction():
            for photo in photos:
                save_photo(catalog, photo)
        return
    import numpy as np

    from faceindex.store.faces import insert_faces

    row, new = catalog.rows, np.concatenate([faces.vectors for faces in with_faces])
    vectors.append(row, new)
    with catalog.transaction():
        VectorDigests(catalog, vectors.path.name).extend(row, new)
        for photo in photos:
            photo_id = save_photo(catalog, photo)
            if photo.faces is not None and len(photo.faces):
                insert_faces(catalog, photo_id, photo.faces)
        DecisionTables(catalog).match(p.picture for p in photos if p.picture is not None)
