"""The data of a gallery's page, as one JSON document; ``assets/static.js`` of the page reads it.

The faces are the columns of an album (`faceindex.page.bundle`), in base 64: 50,000 faces take some 3 MB.
Names are text, so that ``forget`` finds them.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

import numpy as np

from faceindex.addresses import is_address, normal_path
from faceindex.documents import Json
from faceindex.export.gallery_layout import COLUMNS, MAX_FACES, Layout
from faceindex.page.bundle import join_bundle, pack_album
from faceindex.store import PhotoRecord, Root

if TYPE_CHECKING:
    from faceindex.export.gallery_source import GallerySource

__all__ = ["SCHEMA", "config", "file_url", "relative_url"]

SCHEMA = "faceindex/gallery/2"

_PICTURE = 16  # bytes of the hash of a picture


def config(
    source: GallerySource,
    photos: Sequence[PhotoRecord],
    layout: Layout,
    *,
    destination: Path,
    pictures: str,
    sprites: Sequence[str],
    covers: Sequence[str],
    previews: Mapping[int, str],
    copies: Mapping[int, str] | None,
) -> dict[str, Json]:
    """Make the configuration of the page.

    Parameters
    ----------
    source : GallerySource
    photos : sequence of PhotoRecord
        Photos with faces, by ascending id.
    layout : Layout
    destination : Path
        Absolute; links to photos are relative to it.
    pictures : str
        Folder of the sprites, relative to `destination`.
    sprites, covers : sequence of str
        File names of the sprites and cover sprites of `layout`. They differ from the names in `layout`
        if some faces could not be drawn.
    previews : mapping of int to str
        Preview of each photo (by id) that some browsers cannot show, relative to `destination`.
    copies : mapping of int to str, optional
        Copy of each photo (by id), relative to `destination`; None if photos are linked. With copies,
        the page can be given to other people: it contains the names of the indexed folders and the
        paths of photos in them, but not the paths of the folders; and of each person the name only. It has
        the hashes of the pictures that are copied, so that decisions can come back: who has a copy can
        compute its hash.

    Returns
    -------
    dict
        Plain JSON values. Undecodable bytes of paths are lone surrogates.
    """
    roots = source.roots
    root_positions = {root.id: position for position, root in enumerate(roots)}
    positions = {record.id: position for position, record in enumerate(photos)}
    private = copies is not None
    known = positions.keys() if copies is None else copies.keys()
    header, columns = _album(source, photos, layout, private=private, known=known)
    return {
        "mode": "static",
        "schema": SCHEMA,
        "index": source.index_id,
        "write": hashlib.blake2b(join_bundle(header, columns), digest_size=8).hexdigest(),
        "seen": source.decision,
        "private": private,
        "linked": sorted(source.linked),
        "header": header,
        "album": base64.b64encode(columns).decode(),
        "folder": pictures,
        "columns": COLUMNS,
        "sprites": _with_sizes(sprites, [len(sprite.faces) for sprite in layout.sprites]),
        "covers": _with_sizes(covers, [len(sprite.faces) for sprite in layout.cover_sprites]),
        "cover_faces": [
            int(face) for sprite in layout.cover_sprites for face in source.table.face[sprite.faces]
        ],
        "roots": [_root(root, destination, private=private) for root in roots],
        "photos": {
            "root": [root_positions[record.root_id] for record in photos],
            "path": [record.relpath for record in photos],
            "width": [record.width for record in photos],
            "height": [record.height for record in photos],
        },
        "previews": _by_position(previews, positions),
        "copies": _by_position(copies or {}, positions),
        "questions": list(source.questions),
    }


def _album(
    source: GallerySource,
    photos: Sequence[PhotoRecord],
    layout: Layout,
    *,
    private: bool,
    known: Collection[int],
) -> tuple[dict[str, Json], bytes]:
    """Pack the faces, as the live page gets them, and what only a gallery has.

    The boxes are in pixels of the upright photos. ``place`` is where a face is drawn: the number of the
    sprite times `MAX_FACES`, and the slot. A ``picture`` of zeros is unknown.
    """
    table = source.table
    order = np.argsort(table.face, kind="stable")
    ids = np.array([record.id for record in photos], np.int64)
    place = np.empty(len(table), np.int64)
    for number, sprite in enumerate(layout.sprites):
        place[sprite.faces] = number * MAX_FACES + np.arange(len(sprite.faces))
    shown = [
        record.picture
        if record.picture is not None and record.id in known and record.content_hash not in source.forgotten
        else bytes(_PICTURE)
        for record in photos
    ]
    people = [
        {**person, "born": None, "died": None, "note": None} if private else dict(person)
        for person in source.people
    ]
    header: dict[str, Json] = {
        "generation": 0,
        "decision": 0,
        "clustered": source.clustered,
        "newer_faces": source.newer_faces,
        "undo": None,
        "undo_number": None,
        "people": people,
        "cluster_person": [list(pair) for pair in sorted(source.cluster_person.items())],
    }
    return pack_album(
        header,
        face=table.face[order],
        face_photo=np.searchsorted(ids, table.photo[order]),
        cluster=table.cluster[order],
        person=source.person[order],
        label=source.label[order],
        similarity=table.similarity[order],
        quality=table.quality[order],
        photo=ids,
        taken=np.array([np.nan if r.taken is None else r.taken for r in photos], np.float64),
        box=table.boxes[order].astype("<f4", copy=False),
        turn=table.turns[order].astype(np.int16),
        by_hand=table.by_hand[order].astype(np.uint8),
        place=place[order].astype(np.uint32),
        orientation=np.array([record.orientation or 1 for record in photos], np.uint8),
        picture=np.frombuffer(b"".join(shown), np.uint8),
    )


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
    if is_address(root.path):  # a page cannot open it; the previews are in the gallery
        return {"name": normal_path(root.given), "urls": []}
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
