"""A gallery: one static page to look at clusters, opened from disk, with no server and no network.

``index.html`` holds the page and its data; ``gallery/`` beside it holds thumbnails, packed into
sprites, and previews of photos that browsers do not show; ``photos/`` holds copies where they are asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from faceindex import images
from faceindex.errors import ImageError, UsageError
from faceindex.export.folder import Folder, Surroundings, Written
from faceindex.export.gallery_data import document
from faceindex.export.gallery_layout import Sprite, incomplete_name, lay_out
from faceindex.export.gallery_page import page
from faceindex.export.gallery_pictures import Painter, needs_preview, preview
from faceindex.export.names import safe_name, split_suffix
from faceindex.store import FaceTable, ImageRecord, Root

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
    photos : sequence of ImageRecord
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
    photos: Sequence[ImageRecord]
    roots: Sequence[Root]
    path_of: Callable[[ImageRecord], str]
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
    surroundings: Surroundings,
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
    surroundings : Surroundings
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
        If the destination cannot be used.
    FaceIndexError
        If the disk is full or fails.
    """
    dest = Path(destination).resolve()
    if os.path.lexists(dest / _PAGE) and not (dest / ".faceindex-export").is_dir():
        raise UsageError(
            f"{Path(destination) / _PAGE} exists and is none of faceindex.", "Name another folder."
        )
    writer = _Writer(source, dest, on_progress)
    with Folder(destination, _KIND, surroundings, dry_run=dry_run) as folder:
        return writer.write(folder, copy=copy)


class _Writer:
    def __init__(self, source: GallerySource, dest: Path, on_progress: Callable[[int, int], None]) -> None:
        self._source = source
        self._dest = dest
        self._by_id = {record.id: record for record in source.photos}
        shown = {int(image) for image in source.table.image}
        given = {root.id: root.given for root in source.roots}
        self._photos = sorted(
            (record for record in source.photos if record.id in shown),
            key=lambda record: (given[record.root_id], record.relpath),
        )
        self._failures: dict[int, ImageError] = {}
        self._on_progress = on_progress
        self._done = self._total = 0

    def write(self, folder: Folder, *, copy: bool) -> Gallery:
        table = self._source.table
        layout = lay_out(table, self._by_id)
        previews = self._preview_names()
        copies = self._copy_names() if copy else None

        # Sprites with the same name show the same: copies of photos, or a cover that is all of a cluster.
        sprites = {sprite.name: sprite for sprite in (*layout.sprites, *layout.cover_sprites)}
        names = {name: name for name in sprites}
        todo = [sprite for name, sprite in sprites.items() if folder.claim(f"{_PICTURES}/{name}", name)]
        new_previews = self._claim(folder, previews)
        new_copies = self._claim(folder, copies or {})
        self._total = sum(len(sprite.faces) for sprite in todo) + len(new_previews) + len(new_copies)
        self._draw(folder, todo, names)
        self._write_previews(folder, new_previews, previews)
        self._write_copies(folder, new_copies, copies or {})

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

    def _draw(self, folder: Folder, todo: Sequence[Sprite], names: dict[str, str]) -> None:
        painter = Painter(self._source.table, self._by_id, self._source.path_of)
        for drawn in painter.sprites(todo, self._advance):
            name = drawn.sprite.name
            if drawn.missing:
                name = incomplete_name(name, drawn.missing)
                names[drawn.sprite.name] = name
                if not folder.claim(f"{_PICTURES}/{name}", name):
                    continue
            folder.write(f"{_PICTURES}/{name}", drawn.data)
        self._failures.update(painter.failures)

    # Previews and copies -----------------------------------------------------------------------

    def _preview_names(self) -> dict[int, str]:
        """For each photo that browsers do not show, its preview; many files are opened, in threads."""
        with ThreadPoolExecutor(4) as pool:
            needed = pool.map(
                lambda record: needs_preview(record, self._source.path_of(record)), self._photos
            )
            return {
                record.id: f"{_PICTURES}/p-{_fingerprint(record)[:_DIGITS]}.jpg"
                for record, wanted in zip(self._photos, needed, strict=True)
                if wanted
            }

    def _write_previews(
        self, folder: Folder, records: Sequence[ImageRecord], previews: dict[int, str]
    ) -> None:
        for record in records:
            try:
                folder.write(previews[record.id], preview(record, self._source.path_of(record)))
            except ImageError as error:
                self._failures[record.id] = error
                del previews[record.id]
            self._advance(1)

    def _copy_names(self) -> dict[int, str]:
        """For each photo the name of its copy; photos that are copies of each other share one."""
        names = {}
        for record in self._photos:
            stem, suffix = split_suffix(record.relpath.rpartition("/")[2])
            names[record.id] = f"{_COPIES}/{safe_name(stem)}_{_fingerprint(record)[:_DIGITS]}{suffix.lower()}"
        return names

    def _write_copies(
        self, folder: Folder, records: Sequence[ImageRecord], copies: Mapping[int, str]
    ) -> None:
        for record in records:
            try:
                data = images.read(self._source.path_of(record))
                folder.write(copies[record.id], data, mtime_ns=record.mtime_ns)
            except ImageError as error:
                self._failures[record.id] = error
            self._advance(1)

    def _claim(self, folder: Folder, names: Mapping[int, str]) -> list[ImageRecord]:
        """Photos whose file is to be written; copies of a photo have one file among them."""
        claimed: set[str] = set()
        new = []
        for record in self._photos:
            name = names.get(record.id)
            if name is None or name.casefold() in claimed:
                continue
            claimed.add(name.casefold())
            if folder.claim(name, _fingerprint(record)):
                new.append(record)
        return new

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


def _fingerprint(record: ImageRecord) -> str:
    if record.content_hash is not None:
        return record.content_hash.hex()
    return hashlib.sha256(f"{record.id} {record.size} {record.mtime_ns}".encode()).hexdigest()[:32]
