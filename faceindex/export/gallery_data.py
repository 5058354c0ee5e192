"""What a gallery's page knows, as one JSON document; ``assets/data.js`` reads it.

Parallel lists, and whole numbers where they will do: 50,000 faces take some 5 MB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np

from faceindex.export.gallery_layout import COLUMNS, Layout
from faceindex.export.gallery_page import Json
from faceindex.store import FaceTable, PhotoRecord, Root

__all__ = ["SCHEMA", "document", "file_url", "relative_url"]

SCHEMA = "faceindex/gallery/1"


def document(
    table: FaceTable,
    photos: Sequence[PhotoRecord],
    roots: Sequence[Root],
    layout: Layout,
    *,
    dest: Path,
    pictures: str,
    sprites: Sequence[str],
    covers: Sequence[str],
    names: Mapping[int, str],
    clustered: bool,
    previews: Mapping[int, str],
    copies: Mapping[int, str] | None,
) -> dict[str, Json]:
    """Put together what the page shows.

    Parameters
    ----------
    table : FaceTable
    photos : sequence of PhotoRecord
        Those with faces, in the order in which the page shows them.
    roots : sequence of Root
    layout : Layout
    dest : Path
        Absolute; links to photos are relative to it.
    pictures : str
        Folder of the sprites, relative to `dest`.
    sprites, covers : sequence of str
        File names, parallel to those of `layout`: others where not all faces could be drawn.
    names : mapping of int to str
        Names of clusters that have one.
    clustered : bool
        Whether faces were ever clustered.
    previews : mapping of int to str
        For photos (by id) that browsers do not show: a file that they do, relative to `dest`.
    copies : mapping of int to str, optional
        For each photo its copy, relative to `dest`. None if photos are linked. With copies the
        document can be given away: it names the indexed folders and the paths of photos in them,
        but not where those folders are.

    Returns
    -------
    dict
        JSON-ready. Undecodable bytes of paths are lone surrogates.
    """
    place_of_root = {root.id: place for place, root in enumerate(roots)}
    place_of_photo = {record.id: place for place, record in enumerate(photos)}
    order = layout.order
    similarity = np.rint(np.nan_to_num(table.similarity[order]) * 10_000).astype(int)
    boxes = np.rint(table.boxes[order]).astype(int)
    return {
        "schema": SCHEMA,
        "folder": pictures,
        "columns": COLUMNS,
        "clustered": clustered,
        "roots": [_root(root, dest, copies is not None) for root in roots],
        "photos": {
            "root": [place_of_root[record.root_id] for record in photos],
            "path": [record.relpath for record in photos],
            "width": [record.width for record in photos],
            "height": [record.height for record in photos],
        },
        "faces": {
            "id": table.face[order].tolist(),
            "photo": [place_of_photo[image] for image in table.photo[order].tolist()],
            "x1": boxes[:, 0].tolist(),
            "y1": boxes[:, 1].tolist(),
            "x2": boxes[:, 2].tolist(),
            "y2": boxes[:, 3].tolist(),
            "cluster": table.cluster[order].tolist(),
            "similarity": similarity.tolist(),
        },
        "clusters": {"id": layout.clusters.tolist()},
        "names": {str(cluster): name for cluster, name in names.items()},
        "sprites": _with_sizes(sprites, [len(sprite.faces) for sprite in layout.sprites]),
        "covers": _with_sizes(covers, [len(sprite.faces) for sprite in layout.cover_sprites]),
        "previews": _by_place(previews, place_of_photo),
        "copies": _by_place(copies or {}, place_of_photo),
    }


def relative_url(path: str, start: str) -> str | None:
    """Address of a file or folder relative to another folder; None if there is none (another drive).

    Bytes that are no text are percent-encoded like all others that need it.
    """
    try:
        relative = os.path.relpath(path, start)
    except ValueError:
        return None
    return _quoted(relative.replace(os.sep, "/"))


def file_url(path: str) -> str:
    """``file:`` address (RFC 8089) of an absolute path, byte by byte where it is no text."""
    slashed = path.replace(os.sep, "/")
    if slashed.startswith("//"):  # a Windows share; its host is part of the address
        return "file:" + _quoted(slashed)
    if not slashed.startswith("/"):
        drive, colon, rest = slashed.partition(":")
        return f"file:///{_quoted(drive)}{colon}{_quoted(rest)}"
    return "file://" + _quoted(slashed)


def _quoted(path: str) -> str:
    return quote_from_bytes(os.fsencode(path), safe="/")


def _root(root: Root, dest: Path, anonymous: bool) -> Json:
    if anonymous:
        return {"name": Path(root.path).name, "urls": []}
    relative = relative_url(root.path, os.fspath(dest))
    # The relative one outlives a move of the whole tree, the absolute one a move of the gallery.
    urls = [relative, file_url(root.path)] if relative is not None else [file_url(root.path)]
    name = "" if os.path.normpath(root.given) == os.curdir else os.path.normpath(root.given)
    return {"name": name, "urls": [url.rstrip("/") + "/" for url in urls]}


def _with_sizes(names: Sequence[str], sizes: Sequence[int]) -> list[Json]:
    return [[name, size] for name, size in zip(names, sizes, strict=True)]


def _by_place(files: Mapping[int, str], places: Mapping[int, int]) -> dict[str, Json]:
    return {
        str(places[image]): quote_from_bytes(os.fsencode(file), safe="/") for image, file in files.items()
    }
