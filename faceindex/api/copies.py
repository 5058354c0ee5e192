"""Copies outside the index: recorded when they are written, and cleaned when something is forgotten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from faceindex.api.forgetting_results import CleanedCopy
from faceindex.errors import FaceIndexError, ImageError, StoreError, UsageError
from faceindex.export.destination import visible_files
from faceindex.files import sha256_of
from faceindex.people.exchange import SCHEMA
from faceindex.store import Store
from faceindex.store.copies import record_copy, remove_record

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.documents import Json
    from faceindex.export.folder import Written
    from faceindex.store.copies import Copy

__all__ = ["clean_copies", "recorded"]

_EXPORTS: Final = ("crops", "clusters", "boxes", "embeddings", "gallery")

_REMOVING: Final = "removing"
_OPTIONS: Final[Mapping[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("aligned", "photos", "folders", "unclustered", "hidden", "public"), bool),
    **dict.fromkeys(("absolute", "copy", _REMOVING), bool),
    **dict.fromkeys(("link", "format", "sha256"), str),
    **dict.fromkeys(("people", "clusters", "faces"), list),
    "margin": (int, float),
    "min_size": int,
}
_MOST: Final = (1 << 63) - 1


@contextmanager
def recorded(reader: Reader, path: object, kind: str, options: Mapping[str, Json]) -> Iterator[None]:
    """Record a copy, and write it inside the ``with``; see `faceindex.store.copies.record_copy`.

    Read the index inside, too: what is forgotten before is not read then, and what is forgotten later finds
    the copy. An index of an older format is brought to the current one first, if no other process is writing
    to it. The entry is deleted if the destination is refused.

    Parameters
    ----------
    reader : Reader
    path : path-like
        Nothing is recorded for anything else, such as an open file.
    kind : str
    options : mapping
    """
    directory = reader.store.directory
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        yield
        return
    done = record_copy(directory, path, kind, options)
    if done == "not" and not reader.store.writable and not reader.store.copies.exists:
        with suppress(StoreError):
            Store.open(directory, write=True).close()
            done = record_copy(directory, path, kind, options)
    try:
        yield
    except UsageError:
        if done == "new" and not _has_export(Path(path)):
            remove_record(directory, path, kind)
        raise


def _has_export(path: Path) -> bool:
    """Whether a folder, or the folder of a file, has the manifest of an export."""
    return any((folder / ".faceindex-export").exists() for folder in (path, path.parent))


def clean_copies(
    reader: Reader,
    copies: Sequence[Copy],
    *,
    on_copy: Callable[[int, int], None] = lambda done, total: None,
) -> list[CleanedCopy]:
    """Make copies hold nothing any more that was forgotten.

    An export is written again, from what the index has now: files of the forgotten are removed, and the
    others stay. What cannot be written again is reported.

    Parameters
    ----------
    reader : Reader
    copies : sequence of Copy
    on_copy : callable
        Called with the number of finished copies and of all copies.
    """
    found = []
    for done, copy in enumerate(copies, 1):
        found.append(_clean(reader, copy))
        on_copy(done, len(copies))
    return found


def _clean(reader: Reader, copy: Copy) -> CleanedCopy:
    if not os.path.isabs(copy.path) or not os.path.lexists(copy.path):  # noqa: PTH117
        if copy.options.get(_REMOVING) and Path(copy.path).parent.is_dir():
            return CleanedCopy(copy.path, copy.kind, "removed", "")  # by a process that was killed then
        return CleanedCopy(
            copy.path, copy.kind, "missing", "it was moved or deleted, or its disk is not there"
        )
    if not _are_valid(copy.options):
        return CleanedCopy(copy.path, copy.kind, "kept", "the index does not say how it was written")
    try:
        if copy.kind == "journal":
            return _clean_journal(reader, copy)
        if (copy.kind in _EXPORTS or copy.kind == "find") and not _was_exported(reader, copy):
            if Path(copy.path).is_dir() and not any(visible_files(Path(copy.path))):
                return CleanedCopy(copy.path, copy.kind, "removed", "")
            return CleanedCopy(copy.path, copy.kind, "kept", "it was changed, or this index did not write it")
        if copy.kind == "find":
            return _clean_links(reader, copy)
        if copy.kind not in _EXPORTS:
            return _clean_picture(reader, copy)
        return _export_again(reader, copy)
    except (FaceIndexError, OSError) as error:
        problem = error.problem if isinstance(error, FaceIndexError) else error.strerror or str(error)
        return CleanedCopy(copy.path, copy.kind, "failed", problem)


def _export_again(reader: Reader, copy: Copy) -> CleanedCopy:
    from faceindex.api.export import IndexExport

    export = IndexExport(reader)
    options = {key: value for key, value in copy.options.items() if key != _REMOVING}
    failures: Sequence[ImageError] = ()
    if copy.kind == "clusters":
        chosen = _still_there(reader, options)
        if chosen is None:
            files = _remove(reader, copy)
        else:
            done = export.clusters(copy.path, **chosen)
            files, failures = done.files, done.failed
    elif copy.kind == "gallery":
        gallery = export.gallery(copy.path, **options)
        files, failures = gallery.files, gallery.failures
    else:
        done = getattr(export, copy.kind)(copy.path, **options)
        files, failures = done.files, done.failed
    return _outcome(copy, files, len(failures))


def _still_there(reader: Reader, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the options of an export of clusters with the chosen ones that exist; None if none does."""
    people, clusters = options.pop("people", []), options.pop("clusters", [])
    roster = reader.roster()
    roots = [roster.roots[person] for person in people if person in roster.roots]
    known = set(reader.people().of_cluster.values())
    names = [roster.title(person) for person in dict.fromkeys(roots) if person in known]
    present = set(reader.table().cluster.tolist())
    left = [cluster for cluster in clusters if cluster in present]
    if (people or clusters) and not (names or left):
        return None
    return {**options, "people": names, "clusters": left}


def _outcome(copy: Copy, files: Written, failures: int) -> CleanedCopy:
    if files.kept:
        names = ", ".join(name for name, _ in files.kept[:3])
        more = f" and {len(files.kept) - 3} more" if len(files.kept) > 3 else ""
        return CleanedCopy(
            copy.path, copy.kind, "kept",
            f"files that you changed, or that faceindex did not write, stay as they are: {names}{more}",
        )  # fmt: skip
    note = f"{failures} photos could not be read" if failures else ""
    if not os.path.lexists(copy.path) or not any(_files_of(Path(copy.path))):
        return CleanedCopy(copy.path, copy.kind, "removed", note)
    return CleanedCopy(copy.path, copy.kind, "updated", note)


def _files_of(path: Path) -> Sequence[Path]:
    return [path] if path.is_file() else sorted(path.iterdir())


def _clean_journal(reader: Reader, copy: Copy) -> CleanedCopy:
    """Write a journal again. Entries are only ever added, so the new one has all that the old one had."""
    from faceindex.api.people_journal import export_journal

    if not _is_ours(copy):
        return CleanedCopy(copy.path, copy.kind, "kept", "it was changed since `people export` wrote it")
    export_journal(reader, copy.path, public=bool(copy.options.get("public")))
    return CleanedCopy(copy.path, copy.kind, "updated", "")


def _clean_picture(reader: Reader, copy: Copy) -> CleanedCopy:
    faces = copy.options.get("faces", [])
    if faces and _are_there(reader, faces):
        return CleanedCopy(copy.path, copy.kind, "updated", "")
    return CleanedCopy(copy.path, copy.kind, "kept", "it may show them, and cannot be edited: delete it")


def _clean_links(reader: Reader, copy: Copy) -> CleanedCopy:
    """Remove the links of `find` to the photos of faces of which one is gone: the query cannot run again."""
    faces = copy.options.get("faces", [])
    if _are_there(reader, faces):
        return CleanedCopy(copy.path, copy.kind, "updated", "")
    return _outcome(copy, _remove(reader, copy), 0)


def _remove(reader: Reader, copy: Copy) -> Written:
    """Remove all files of an export; kept in the entry before, so that a missing copy is not waited for."""
    from faceindex.api.export import IndexExport

    with reader.store.deciding():
        reader.store.copies.set_options(copy.id, {**copy.options, _REMOVING: True})
    return IndexExport(reader).remove(copy.path, copy.kind)


def _are_there(reader: Reader, faces: Sequence[int]) -> bool:
    """Whether all of some faces are in the index."""
    return {face for face, _ in reader.store.decisions.rows_of_faces(faces)}.issuperset(faces)


def _are_valid(options: Mapping[str, Any]) -> bool:
    """Whether options have the types that they are written with; an index may be damaged, or a stranger's."""
    return all(
        key in _OPTIONS
        and isinstance(value, _OPTIONS[key])
        and (not isinstance(value, list) or all(type(id) is int and 0 <= id <= _MOST for id in value))
        for key, value in options.items()
    )


def _was_exported(reader: Reader, copy: Copy) -> bool:
    """Whether the destination, too, says that this index wrote it: the index alone may be a stranger's."""
    from faceindex.export.ownership import is_export_of

    return is_export_of(Path(copy.path), copy.kind, reader.store.directory)


def _is_ours(copy: Copy) -> bool:
    """Whether a file is a journal, as it was written; a file whose writing was interrupted is not."""
    digest = copy.options.get("sha256")
    path = Path(copy.path)
    if not path.is_file() or path.is_symlink() or digest != sha256_of(path):
        return False
    with path.open("rb") as file:  # a stranger may know the digest of another file
        return file.readline().startswith(f'{{"schema": "{SCHEMA}"'.encode())
