"""The data of a gallery's page, as one JSON document; ``assets/data.js`` reads it.

Parallel lists, and integers where possible, keep it small: 50,000 faces take some 5 MB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np

from faceindex.documents import Json
from faceindex.export.gallery_layout import COLUMNS, Layout
from faceindex.store import FaceTable, PhotoRecord, Root

__all__ = ["SCHEMA", "document", "file_url", "relative_url"]

SCHEMA = "faceindex/gallery/1"


def document(
    table: FaceTable,
    photos: Sequence[PhotoRecord],
    roots: Sequence[Root],
    layout: Layout,
    *,
    destination: Path,
    pictures: str,
    sprites: Sequence[str],
    covers: Sequence[str],
    clusters: Mapping[int, Sequence[int]],
    names: Mapping[int, str],
    clustered: bool,
    newer_faces: int,
    previews: Mapping[int, str],
    copies: Mapping[int, str] | None,
) -> dict[str, Json]:
    """Make the document.

    Parameters
    ----------
    table : FaceTable
    photos : sequence of PhotoRecord
        Photos with faces, in the order of the page.
    roots : sequence of Root
    layout : Layout
    destination : Path
        Absolute; links to photos are relative to it.
    pictures : str
        Folder of the sprites, relative to `destination`.
    sprites, covers : sequence of str
        File names of the sprites and cover sprites of `layout`. They differ from the names in `layout`
        if some faces could not be drawn.
    clusters : mapping of int to sequence of int
        All clusters of the person whom each of the clusters of `layout` shows.
    names : mapping of int to str
        Names of people, by their clusters.
    clustered : bool
        Whether the index has a clustering.
    newer_faces : int
        Number of faces that are newer than the clustering.
    previews : mapping of int to str
        Preview of each photo (by id) that some browsers cannot show, relative to `destination`.
    copies : mapping of int to str, optional
        Copy of each photo (by id), relative to `destination`; None if photos are linked. With copies,
        the document can be given to other people: it contains the names of the indexed folders and the
        paths of photos in them, but not the paths of the folders.

    Returns
    -------
    dict
        Plain JSON values. Undecodable bytes of paths are lone surrogates.
    """
    root_positions = {root.id: position for position, root in enumerate(roots)}
    photo_positions = {record.id: position for position, record in enumerate(photos)}
    order = layout.order
    similarity = np.rint(np.nan_to_num(table.similarity[order]) * 10_000).astype(int)
    boxes = np.rint(table.boxes[order]).astype(int)
    return {
        "schema": SCHEMA,
        "folder": pictures,
        "columns": COLUMNS,
        "clustered": clustered,
        "newer_faces": newer_faces,
        "roots": [_root(root, destination, private=copies is not None) for root in roots],
        "photos": {
            "root": [root_positions[record.root_id] for record in photos],
            "path": [record.relpath for record in photos],
            "width": [record.width for record in photos],
            "height": [record.height for record in photos],
        },
        "faces": {
            "id": table.face[order].tolist(),
            "photo": [photo_positions[photo] for photo in table.photo[order].tolist()],
            "x1": boxes[:, 0].tolist(),
            "y1": boxes[:, 1].tolist(),
            "x2": boxes[:, 2].tolist(),
            "y2": boxes[:, 3].tolist(),
            "cluster": table.cluster[order].tolist(),
            "similarity": similarity.tolist(),
        },
        # A person has the lowest of its clusters as its id.
        "clusters": {"id": layout.clusters.tolist()},
        "joined": {str(cluster): list(all) for cluster, all in clusters.items() if len(all) > 1},
        "names": {str(cluster): names[cluster] for cluster in clusters if names.get(cluster)},
        "sprites": _with_sizes(sprites, [len(sprite.faces) for sprite in layout.sprites]),
        "covers": _with_sizes(covers, [len(sprite.faces) for sprite in layout.cover_sprites]),
        "previews": _by_position(previews, photo_positions),
        "copies": _by_position(copies or {}, photo_positions),
    }


def relative_url(path: str, start: str) -> str | None:
    """Make the relative URL of a file or folder; None if it is on another drive.

    Undecodable bytes are percent-encoded.
    """
    try:
        relative = os.path.relpath(path, start)
    except ValueError:
        return None
    return _quoted(relative.replace(os.sep, "/"))


def file_url(path: str) -> str:
    """Make the ``file:`` URL (RFC 8089) of an absolute path. Undecodable bytes are percent-encoded."""
    slashed = path.replace(os.sep, "/")
    if slashed.startswith("//"):  # a Windows share, whose host is part of the URL
        return "file:" + _quoted(slashed)
    if not slashed.startswith("/"):
        drive, colon, rest = slashed.partition(":")
        return f"file:///{_quoted(drive)}{colon}{_quoted(rest)}"
    return "file://" + _quoted(slashed)


def _quoted(path: str) -> str:
    return quote_from_bytes(os.fsencode(path), safe="/")


def _root(root: Root, destination: Path, *, private: bool) -> Json:
    if private:
        return {"name": Path(root.path).name, "urls": []}
    relative = relative_url(root.path, os.fspath(destination))
    # The relative URL stays valid if the gallery and the photos move together, the absolute one if only
    # the gallery moves.
    urls = [relative, file_url(root.path)] if relative is not None else [file_url(root.path)]
    name = "" if os.path.normpath(root.given) == os.curdir else os.path.normpath(root.given)
    return {"name": name, "urls": [url.rstrip("/") + "/" for url in urls]}


def _with_sizes(names: Sequence[str], sizes: Sequence[int]) -> list[Json]:
    return [[name, size] for name, size in zip(names, sizes, strict=True)]


def _by_position(files: Mapping[int, str], positions: Mapping[int, int]) -> dict[str, Json]:
    return {str(positions[photo]): _quoted(file) for photo, file in files.items()}
