"""A gallery: one static page to look at clusters, opened from disk, with no server and no network.

``index.html`` holds the page and its data; ``gallery/`` beside it holds thumbnails, packed into
sprites, and previews of photos that browsers do not show; ``photos/`` holds copies where they are asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faceindex.errors import ImageError, UsageError
from faceindex.export.folder import Folder, ProtectedPaths, Written
from faceindex.export.gallery_data import document
from faceindex.export.gallery_layout import Sprite, incomplete_name, lay_out
from faceindex.export.gallery_page import page
from faceindex.export.gallery_pictures import Painter, needs_preview, preview
from faceindex.export.names import clash_key, safe_name, split_suffix
from faceindex.export.originals import Originals
from faceindex.export.source import read_unchanged
from faceindex.store import FaceTable, PhotoRecord, Root

__all__ = ["Gallery", "GallerySource", "write_gallery"]

_KIND = "gallery"
_PAGE = "index.html"
_PICTURES = "gallery"
_COPIES = "photos"
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class GallerySource:
    """What a gallery is made of.

    Attributes
    ----------
    table : FaceTable
    photos : sequence of PhotoRecord
        All photos of the index.
    roots : sequence of Root
    path_of : callable
        Where a photo is, absolute.
    clustered : bool
        Whether the faces were ever clustered.
    names : mapping of int to str
        Names of clusters that have one.
    """

    table: FaceTable
    photos: Sequence[PhotoRecord]
    roots: Sequence[Root]
    path_of: Callable[[PhotoRecord], str]
    clustered: bool
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was written.

    Attributes
    ----------
    page : Path
        To be opened.
    clusters, faces, unclustered, photos : int
        What is on it; photos are those with faces.
    sprites, previews, copies : int
        Files that belong to it.
    bytes : int
        Weight of the page with its pictures, without copied photos; 0 with `dry_run`.
    copied_bytes : int
        Weight of the copied photos; 0 with `dry_run`.
    files : Written
        What became of the files.
    failures : tuple of ImageError
        Photos that could not be read; their faces are grey, or as they were drawn before.
    """

    page: Path
    clusters: int
    faces: int
    unclustered: int
    photos: int
    sprites: int
    previews: int
    copies: int
    bytes: int
    copied_bytes: int
    files: Written
    failures: tuple[ImageError, ...]


def write_gallery(
    source: GallerySource,
    destination: str | os.PathLike[str],
    protected: ProtectedPaths,
    *,
    copy: bool = False,
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Gallery:
    """Write a gallery, or bring one up to date.

    Only sprites whose faces have changed are drawn again. A photo that cannot be read never stops it.

    Parameters
    ----------
    source : GallerySource
    destination : path-like
        A folder; made if missing.
    protected : ProtectedPaths
        What the destination must not get into the way of.
    copy : bool
        Whether photos are copied into the gallery, which then can be moved and given away. Otherwise
        they are linked.
    dry_run : bool
        Only count.
    on_progress : callable
        Told how many faces, previews and copies are done, and of how many.

    Raises
    ------
    UsageError
        If the destination cannot be used, or the page in it is not ours or was changed.
    FaceIndexError
        If the disk is full or fails.
    """
    with Folder(destination, _KIND, protected, dry_run=dry_run) as folder:
        # First of all: without its page, nothing else of a gallery is of use.
        if (reason := folder.obstacle(_PAGE)) is not None:
            raise UsageError(
                f"{os.path.join(folder.given, _PAGE)} is left as it is: {reason}.",  # noqa: PTH118
                "Move it away, or name another folder.",
            )
        return _Writer(source, folder, on_progress).write(copy=copy)


class _Writer:
    def __init__(
        self, source: GallerySource, folder: Folder, on_progress: Callable[[int, int], None]
    ) -> None:
        self._source = source
        self._folder = folder
        self._dest = folder.root
        folder.originals = Originals(
            (source.path_of(record), record.content_hash) for record in source.photos
        )
        self._by_id = {record.id: record for record in source.photos}
        shown = {int(image) for image in source.table.photo}
        given = {root.id: root.given for root in source.roots}
        self._photos = sorted(
            (record for record in source.photos if record.id in shown),
            key=lambda record: (given[record.root_id], record.relpath),
        )
        self._failures: dict[int, ImageError] = {}
        self._readable: dict[int, bool] = {}
        self._on_progress = on_progress
        self._done = self._total = 0

    def write(self, *, copy: bool) -> Gallery:
        folder, table = self._folder, self._source.table
        layout = lay_out(table, self._by_id)
        previews = self._preview_names()
        copies = self._copy_names() if copy else None

        # Sprites with the same name show the same: copies of photos, or a cover that is all of a cluster.
        sprites = {sprite.name: sprite for sprite in (*layout.sprites, *layout.cover_sprites)}
        names = {name: name for name in sprites}
        todo = self._claim_sprites(sprites, names)
        new_previews = self._claim(previews)
        new_copies = self._claim(copies or {})
        self._total = sum(len(sprite.faces) for sprite in todo) + len(new_previews) + len(new_copies)
        self._draw(todo, names)
        self._write_previews(new_previews, previews)
        self._write_copies(new_copies, copies or {})

        html = page(
            document(
                table,
                self._photos,
                self._source.roots,
                layout,
                dest=self._dest,
                pictures=_PICTURES,
                sprites=[names[sprite.name] for sprite in layout.sprites],
                covers=[names[sprite.name] for sprite in layout.cover_sprites],
                names=self._source.names,
                clustered=self._source.clustered,
                previews=previews,
                copies=copies,
            )
        )
        folder.put(_PAGE, hashlib.sha256(html).hexdigest(), lambda: html)
        files = folder.finish()
        pictures = [f"{_PICTURES}/{name}" for name in names.values()]
        return Gallery(
            page=self._dest / _PAGE,
            clusters=len(layout.clusters),
            faces=len(table),
            unclustered=int((table.cluster < 0).sum()),
            photos=len(self._photos),
            sprites=len(names),
            previews=len(set(previews.values())),
            copies=len(set(copies.values())) if copies else 0,
            bytes=0 if files.dry_run else self._weigh([_PAGE, *pictures, *previews.values()]),
            copied_bytes=0 if files.dry_run or not copies else self._weigh(copies.values()),
            files=files,
            failures=tuple(self._failures[image] for image in sorted(self._failures)),
        )

    # Sprites -----------------------------------------------------------------------------------

    def _claim_sprites(self, sprites: Mapping[str, Sprite], names: dict[str, str]) -> list[Sprite]:
        todo = []
        for name, sprite in sprites.items():
            if self._folder.dry_run and not self._folder.has(f"{_PICTURES}/{name}", name):
                missing = [face for face in sprite.faces.tolist() if not self._can_read(self._photo_of(face))]
                if missing:
                    names[name] = incomplete_name(name, missing)
            if self._folder.claim(f"{_PICTURES}/{names[name]}", names[name]):
                todo.append(sprite)
        return todo

    def _photo_of(self, face: int) -> PhotoRecord:
        return self._by_id[int(self._source.table.photo[face])]

    def _draw(self, todo: Sequence[Sprite], names: dict[str, str]) -> None:
        painter = Painter(self._source.table, self._by_id, self._source.path_of)
        for drawn in painter.sprites(todo, self._advance):
            name = drawn.sprite.name
            if drawn.missing:
                name = incomplete_name(name, drawn.missing)
                names[drawn.sprite.name] = name
                if not self._folder.claim(f"{_PICTURES}/{name}", name):
                    continue
            self._folder.write(f"{_PICTURES}/{name}", drawn.data)
        self._failures.update(painter.failures)

    # Previews and copies -----------------------------------------------------------------------

    def _preview_names(self) -> dict[int, str]:
        """For each photo that browsers do not show, its preview; many files are opened, in threads.

        A photo that cannot be read keeps the preview that it has.
        """

        def is_needed(record: PhotoRecord) -> bool | ImageError:
            try:
                return needs_preview(record, self._source.path_of(record))
            except ImageError as error:
                return error

        names = {record.id: f"{_PICTURES}/p-{_fingerprint(record)[:_DIGITS]}.jpg" for record in self._photos}
        wanted = set()
        with ThreadPoolExecutor(4) as pool:
            for record, needed in zip(self._photos, pool.map(is_needed, self._photos), strict=True):
                name = names[record.id]
                if isinstance(needed, ImageError):
                    self._failures[record.id] = needed
                    needed = os.path.lexists(self._dest / name)
                if needed:
                    wanted.add(name)
        return {image: name for image, name in names.items() if name in wanted}

    def _write_previews(self, groups: Sequence[Sequence[PhotoRecord]], previews: dict[int, str]) -> None:
        for records in groups:
            if (made := self._first(records, preview)) is not None:
                record, data = made
                self._folder.write(previews[record.id], data)
            else:
                for record in records:
                    del previews[record.id]
            self._advance(1)

    def _copy_names(self) -> dict[int, str]:
        """For each photo the name of its copy; photos that are copies of each other share one."""
        names, spelled = {}, dict[str, str]()
        for record in self._photos:
            stem, suffix = split_suffix(record.relpath.rpartition("/")[2])
            name = f"{_COPIES}/{safe_name(stem)}_{_fingerprint(record)[:_DIGITS]}{suffix.lower()}"
            names[record.id] = spelled.setdefault(clash_key(name), name)
        return names

    def _write_copies(self, groups: Sequence[Sequence[PhotoRecord]], copies: Mapping[int, str]) -> None:
        def read(record: PhotoRecord, path: str) -> bytes:
            return read_unchanged(path, record.content_hash)

        for records in groups:
            if (made := self._first(records, read)) is not None:
                record, data = made
                mark = Originals.mark(self._source.path_of(record), record.content_hash)
                self._folder.write(copies[record.id], data, mtime_ns=record.mtime_ns, original=mark)
            self._advance(1)

    def _claim(self, names: Mapping[int, str]) -> list[list[PhotoRecord]]:
        """Photos whose file is to be written; copies of a photo have one file among them."""
        groups: dict[str, list[PhotoRecord]] = {}
        for record in self._photos:
            if record.id in names:
                groups.setdefault(names[record.id], []).append(record)
        new = []
        for name, records in groups.items():
            source = _fingerprint(records[0])
            unplanned = self._folder.dry_run and not self._folder.has(name, source)
            if unplanned and not any(map(self._can_read, records)):
                continue
            if self._folder.claim(name, source):
                new.append(records)
        return new

    def _first(
        self, records: Sequence[PhotoRecord], make: Callable[[PhotoRecord, str], bytes]
    ) -> tuple[PhotoRecord, bytes] | None:
        """What can be made of the first of equal photos that is there; the others are failures."""
        for record in records:
            with self._noting_failure(record):
                return record, make(record, self._source.path_of(record))
        return None

    @contextlib.contextmanager
    def _noting_failure(self, record: PhotoRecord) -> Iterator[None]:
        try:
            yield
        except ImageError as error:
            self._failures[record.id] = error

    def _can_read(self, record: PhotoRecord) -> bool:
        """Whether a photo will be found as it was indexed, for counting beforehand."""
        if record.id not in self._readable:
            path = self._source.path_of(record)
            with self._noting_failure(record):
                if not _looks_unchanged(record, path):
                    read_unchanged(path, record.content_hash)
            self._readable[record.id] = record.id not in self._failures
        return self._readable[record.id]

    # Counting ----------------------------------------------------------------------------------

    def _advance(self, steps: int) -> None:
        self._done += steps
        self._on_progress(min(self._done, self._total), self._total)

    def _weigh(self, names: Iterable[str]) -> int:
        total = 0
        for name in set(names):
            path = self._dest / name
            total += path.stat().st_size if path.is_file() else 0
        return total


def _fingerprint(record: PhotoRecord) -> str:
    if record.content_hash is not None:
        return record.content_hash.hex()
    return hashlib.sha256(f"{record.id} {record.size} {record.mtime_ns}".encode()).hexdigest()[:32]


def _looks_unchanged(record: PhotoRecord, path: str) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    same = (found.st_size, found.st_mtime_ns) == (record.size, record.mtime_ns)
    return same and os.access(path, os.R_OK)
