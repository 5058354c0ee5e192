"""Remove what faceindex wrote about forgotten people from sidecars and photos; a step of `forget`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from faceindex import images
from faceindex.addresses import is_address
from faceindex.api.forgetting_results import CleanedCopy
from faceindex.api.sidecar_state import pair, read_files, unpacked
from faceindex.api.sidecar_writing import merged_packet
from faceindex.errors import FaceIndexError
from faceindex.interchange.sidecar_files import embed_packet, file_status, find_exiftool, write_sidecar
from faceindex.interchange.xmp import SidecarFinder, embedded_xmp, read_sidecar
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.interchange.regions import Region
    from faceindex.store import PhotoRecord
    from faceindex.store.exchanged import ExchangedRegion

__all__ = ["clean_sidecars", "sidecars_found"]

_SIDECAR, _PHOTO = "sidecar", "photo"


def sidecars_found(reader: Reader, regions: Sequence[ExchangedRegion]) -> tuple[CleanedCopy, ...]:
    """Return the files that have regions of people who would be forgotten, for a dry run."""
    found = []
    for record, path, rows in _photos(reader, [row for row in regions if row.state]):
        if record is not None:
            kind = _PHOTO if any(row.embedded for row in rows) else _SIDECAR
            found.append(CleanedCopy(path, kind, "found", ""))
    return tuple(_by_folder(found))


def clean_sidecars(reader: Reader) -> list[CleanedCopy]:
    """Remove the regions that must leave their files.

    A file that is not there, or cannot be written, is tried again by the next command that changes the index.

    Returns
    -------
    list of CleanedCopy
        One for the files of each folder that were written, and one for each that could not be.
    """
    store = reader.store
    done: list[int] = []
    found: list[CleanedCopy] = []
    for record, path, rows in _photos(reader, store.exchanged.to_remove()):
        if record is None:  # the photo was removed from the index
            done += [row.id for row in rows]
            continue
        finished, files = _clean_photo(record, path, rows)
        found += files
        if finished:
            done += [row.id for row in rows]
    if done:
        with store.deciding():
            store.exchanged.delete(done)
    return _by_folder(found)


def _by_folder(files: Sequence[CleanedCopy]) -> list[CleanedCopy]:
    """Return one entry for the files of each folder of which all is well."""
    number = Counter(
        (os.path.dirname(file.path), file.kind, file.state)  # noqa: PTH120
        for file in files
        if file.state in ("updated", "found")
    )
    joined = [
        CleanedCopy(folder, f"{kind}s", state, f"{files:,} file{'' if files == 1 else 's'}")
        for (folder, kind, state), files in number.items()
    ]
    return joined + [file for file in files if file.state not in ("updated", "found")]


def _photos(
    reader: Reader, rows: Sequence[ExchangedRegion]
) -> list[tuple[PhotoRecord | None, str, list[ExchangedRegion]]]:
    by_photo: dict[int, list[ExchangedRegion]] = {}
    for row in rows:
        by_photo.setdefault(row.photo, []).append(row)
    if not by_photo:
        return []
    away = {record.id: record for record in reader.store.away_photos() if record.id in by_photo}
    names = PhotoNames(reader.store, by_photo)
    every = {**away, **dict(names.by_id)}
    roots = {root.id for root in reader.store.roots()}
    found = []
    for photo, regions in sorted(by_photo.items()):
        record = every.get(photo)
        path = "" if record is None else names.path(record) if record.root_id in roots else record.relpath
        found.append((record, path, regions))
    return found


def _clean_photo(
    record: PhotoRecord, path: str, rows: Sequence[ExchangedRegion]
) -> tuple[bool, list[CleanedCopy]]:
    """Remove regions from the files of a photo; return whether that is finished."""
    files: list[CleanedCopy] = []
    at = path
    embedded = any(row.embedded for row in rows)
    try:
        before = file_status(path)
        found = read_files(record, path, SidecarFinder())
        if found is None:
            return False, [CleanedCopy(path, _SIDECAR, "missing", "its photo is not there")]
        if len(found.problems) and len(found.packets) < len(found.sidecars):
            return False, [CleanedCopy(found.sidecars[0], _SIDECAR, "failed", found.problems[0])]
        for at in found.sidecars:
            gone = _regions_at(rows, [r for name, p in found.packets if name == at for r in p.regions])
            status = file_status(at)
            packet = merged_packet(path, record, read_sidecar(at), [], gone, at) if gone else None
            if packet is not None:
                write_sidecar(at, packet, before=status, photo=path)
                files.append(CleanedCopy(at, _SIDECAR, "updated", ""))
        at = path
        gone = _regions_at(rows, found.regions(embedded=True)) if embedded else []
        if gone:
            packet = merged_packet(path, record, embedded_xmp(images.read(path)), [], gone, path)
            if packet is not None and is_address(path):
                problem = "it is in an object store, where nothing is written; change it there"
                return False, [*files, CleanedCopy(path, _PHOTO, "failed", problem)]
            if packet is not None:
                embed_packet(
                    find_exiftool(),
                    path,
                    packet,
                    before=before,
                    check=lambda data: images.read_picture(data).hash == record.picture,
                )
                files.append(CleanedCopy(path, _PHOTO, "updated", ""))
    except (FaceIndexError, OSError) as error:
        problem = f"{error.problem} {error.remedy}" if isinstance(error, FaceIndexError) else str(error)
        return False, [*files, CleanedCopy(at, _PHOTO if at == path else _SIDECAR, "failed", problem)]
    return True, files


def _regions_at(rows: Sequence[ExchangedRegion], regions: Sequence[Region]) -> list[Region]:
    """Return the regions with a name at the places of some rows."""
    named = [region for region in regions if region.name]
    found = pair([unpacked(row.box) for row in rows], [region.box for region in named])
    return [named[at] for at in sorted(found.values())]
