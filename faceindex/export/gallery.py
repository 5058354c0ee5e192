"""Export of a gallery: a static page of the clusters that needs no server and no network.

``index.html`` contains the page and its data. ``gallery/`` contains thumbnails, packed into sprites, and
previews of photos that some browsers cannot show. ``photos/`` contains copies of the photos, if they are
copied.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from faceindex.errors import ImageError, UsageError
from faceindex.export.destination import ProtectedPaths
from faceindex.export.folder import Folder
from faceindex.export.gallery_data import config
from faceindex.export.gallery_layout import Sprite, incomplete_name, lay_out, shown_table
from faceindex.export.gallery_pictures import draw_sprites, make_preview, needs_preview
from faceindex.export.gallery_source import Gallery, GallerySource
from faceindex.export.names import clash_key, safe_name, split_photo_name
from faceindex.export.originals import Originals
from faceindex.export.source import Progress, ignore_progress, read_to_copy, read_unchanged
from faceindex.export.thumbnails import ThumbnailRenderer
from faceindex.images.containers import status
from faceindex.images.listing import limited_time
from faceindex.images.moments import split_moment
from faceindex.images.opening import open_photo
from faceindex.page.build import static_page
from faceindex.store import PhotoRecord

__all__ = ["Gallery", "GallerySource", "write_gallery"]

_KIND = "gallery"
_PAGE = "index.html"
_PICTURES = "gallery"
_COPIES = "photos"
_DIGITS = 16


def write_gallery(
    source: GallerySource,
    destination: str | os.PathLike[str],
    protected: ProtectedPaths,
    *,
    copy: bool = False,
    dry_run: bool = False,
    on_progress: Progress = ignore_progress,
) -> Gallery:
    """Write or update a gallery.

    Only sprites whose faces have changed are drawn again. Photos that cannot be read are skipped and
    reported in `Gallery.failures`.

    Parameters
    ----------
    source : GallerySource
    destination : path-like
        A folder; created if missing.
    protected : ProtectedPaths
    copy : bool
        Copy the photos into the gallery, so that it can be moved or given to other people. Otherwise the
        page links to them.
    dry_run : bool
        Only count.
    on_progress : callable
        Called with the number of finished faces, previews and copies, and of all of them.

    Raises
    ------
    UsageError
        If the destination cannot be used, or contains a foreign or changed ``index.html``.
    FaceIndexError
        If the disk is full or fails.
    """
    with Folder(destination, _KIND, protected, dry_run=dry_run) as folder:
        # Checked first: without its page, a gallery is of no use.
        if (reason := folder.conflict(_PAGE)) is not None:
            raise UsageError(
                f"{os.path.join(folder.given, _PAGE)} is left as it is: {reason}.",  # noqa: PTH118
                "Move it away, or choose another folder.",
            )
        return _Writer(source, folder, on_progress).write(copy=copy)


class _Writer:
    def __init__(self, source: GallerySource, folder: Folder, on_progress: Progress) -> None:
        self._source = source
        self._folder = folder
        folder.originals = Originals(
            ((source.path_of(record), record.content_hash) for record in source.photos), source.forgotten
        )
        self._by_id = {record.id: record for record in source.photos}
        with_faces = set(source.table.photo.tolist())
        given = {root.id: root.given for root in source.roots}
        self._photos = sorted(
            (record for record in source.photos if record.id in with_faces),
            key=lambda record: (given[record.root_id], record.relpath),
        )
        self._failures: dict[int, ImageError] = {}
        self._readable: dict[int, bool] = {}
        self._on_progress = on_progress
        self._done = self._total = 0

    def write(self, *, copy: bool) -> Gallery:
        folder, table = self._folder, self._source.table
        layout = lay_out(shown_table(table, self._source.person, self._source.label), self._by_id)
        previews = self._preview_names()
        copies = self._copy_names() if copy else None

        # Sprites with one name have the same content, for example if photos are copies of each other.
        sprites = {sprite.name: sprite for sprite in (*layout.sprites, *layout.cover_sprites)}
        names = {name: name for name in sprites}
        new_sprites = self._include_sprites(sprites, names)
        new_previews = self._include_photos(previews)
        new_copies = self._include_photos(copies or {})
        self._total = sum(len(sprite.faces) for sprite in new_sprites) + len(new_previews) + len(new_copies)
        self._write_sprites(new_sprites, names)
        self._write_previews(new_previews, previews)
        self._write_copies(new_copies, copies or {})

        html = static_page(
            config(
                self._source,
                sorted(self._photos, key=lambda record: record.id),
                layout,
                destination=folder.root,
                pictures=_PICTURES,
                sprites=[names[sprite.name] for sprite in layout.sprites],
                covers=[names[sprite.name] for sprite in layout.cover_sprites],
                previews=previews,
                copies=copies,
            )
        )
        folder.write_if_changed(_PAGE, hashlib.sha256(html).hexdigest(), lambda: html)
        files = folder.finish()
        pictures = [f"{_PICTURES}/{name}" for name in names.values()]
        return Gallery(
            page=folder.root / _PAGE,
            people=len({*self._source.cluster_person.values()}),
            clusters=len(set(table.cluster[table.cluster >= 0].tolist())),
            faces=len(table),
            unclustered=int((table.cluster < 0).sum()),
            photos=len(self._photos),
            sprites=len(names),
            previews=len(set(previews.values())),
            copies=len(set(copies.values())) if copies else 0,
            bytes=0 if files.dry_run else self._size([_PAGE, *pictures, *previews.values()]),
            copied_bytes=0 if files.dry_run or not copies else self._size(copies.values()),
            files=files,
            failures=tuple(self._failures[photo] for photo in sorted(self._failures)),
            newer_faces=self._source.newer_faces,
            withheld=0 if copies is None else len(self._photos) - len(copies),
        )

    # Sprites -----------------------------------------------------------------------------------

    def _include_sprites(self, sprites: Mapping[str, Sprite], names: dict[str, str]) -> list[Sprite]:
        """Include the sprites in the export, and return those that must be drawn.

        In a dry run, `names` gets the names of sprites on which some faces cannot be drawn.
        """
        new = []
        for name, sprite in sprites.items():
            if self._folder.dry_run and not self._folder.is_current(f"{_PICTURES}/{name}", name):
                missing = [face for face in sprite.faces.tolist() if not self._can_read(self._photo_of(face))]
                if missing:
                    names[name] = incomplete_name(name, missing)
            if self._folder.include(f"{_PICTURES}/{names[name]}", names[name]):
                new.append(sprite)
        return new

    def _photo_of(self, face: int) -> PhotoRecord:
        return self._by_id[int(self._source.table.photo[face])]

    def _write_sprites(self, sprites: Sequence[Sprite], names: dict[str, str]) -> None:
        """Draw and write sprites; `names` gets the names of those on which some faces are missing."""
        renderer = ThumbnailRenderer(self._source.table, self._by_id, self._source.path_of)
        for drawn in draw_sprites(renderer, sprites, self._advance):
            name = drawn.sprite.name
            if drawn.missing:
                name = incomplete_name(name, drawn.missing)
                names[drawn.sprite.name] = name
                if not self._folder.include(f"{_PICTURES}/{name}", name):
                    continue
            self._folder.write(f"{_PICTURES}/{name}", drawn.data)
        self._failures.update(renderer.failures)

    def _is_forgotten(self, record: PhotoRecord) -> bool:
        return record.content_hash in self._source.forgotten

    # Previews and copies -----------------------------------------------------------------------

    def _preview_names(self) -> dict[int, str]:
        """Name the preview of each photo (by id) that some browsers cannot show.

        This opens all photos, in threads. A photo that cannot be read keeps an existing preview.
        """

        def is_needed(record: PhotoRecord) -> bool | ImageError:
            try:
                return needs_preview(record, self._source.path_of(record))
            except ImageError as error:
                return error

        shown = [record for record in self._photos if not self._is_forgotten(record)]
        names = {record.id: f"{_PICTURES}/p-{_fingerprint(record)[:_DIGITS]}.jpg" for record in shown}
        wanted = set()
        with ThreadPoolExecutor(4) as pool:
            for record, needed in zip(shown, pool.map(is_needed, shown), strict=True):
                name = names[record.id]
                if isinstance(needed, ImageError):
                    self._failures[record.id] = needed
                    needed = os.path.lexists(self._folder.root / name)
                if needed:
                    wanted.add(name)
        return {photo: name for photo, name in names.items() if name in wanted}

    def _write_previews(self, groups: Sequence[Sequence[PhotoRecord]], previews: dict[int, str]) -> None:
        for records in groups:
            if (made := self._make_from_first(records, make_preview)) is not None:
                record, data = made
                self._folder.write(previews[record.id], data)
            else:
                for record in records:
                    del previews[record.id]
            self._advance(1)

    def _copy_names(self) -> dict[int, str]:
        """Name the copy of each photo, by id. Photos with the same content and stem share a copy."""
        names, used = {}, dict[str, str]()
        for record in self._photos:
            if self._is_forgotten(record):
                continue
            stem, suffix = split_photo_name(record.relpath)
            name = f"{_COPIES}/{safe_name(stem)}_{_fingerprint(record)[:_DIGITS]}{suffix.lower()}"
            names[record.id] = used.setdefault(clash_key(name), name)
        return names

    def _write_copies(self, groups: Sequence[Sequence[PhotoRecord]], copies: Mapping[int, str]) -> None:
        def read(record: PhotoRecord, path: str) -> bytes:
            return read_to_copy(path, record.content_hash)

        for records in groups:
            if (made := self._make_from_first(records, read)) is not None:
                record, data = made
                original = Originals.key(self._source.path_of(record), record.content_hash)
                self._folder.write(copies[record.id], data, mtime_ns=record.mtime_ns, original=original)
            self._advance(1)

    def _include_photos(self, names: Mapping[int, str]) -> list[list[PhotoRecord]]:
        """Include a file for each photo (by id) in `names`, and group the photos of each file to write."""
        groups: dict[str, list[PhotoRecord]] = {}
        for record in self._photos:
            if record.id in names:
                groups.setdefault(names[record.id], []).append(record)
        new = []
        for name, records in groups.items():
            source = _fingerprint(records[0])
            missing = self._folder.dry_run and not self._folder.is_current(name, source)
            if missing and not any(map(self._can_read, records)):
                continue
            if self._folder.include(name, source):
                new.append(records)
        return new

    def _make_from_first(
        self, records: Sequence[PhotoRecord], make: Callable[[PhotoRecord, str], bytes]
    ) -> tuple[PhotoRecord, bytes] | None:
        """Make content from the first photo that can be read; those before it are recorded as failures."""
        for record in records:
            with self._recording_failure(record):
                return record, make(record, self._source.path_of(record))
        return None

    @contextlib.contextmanager
    def _recording_failure(self, record: PhotoRecord) -> Iterator[None]:
        try:
            yield
        except ImageError as error:
            self._failures[record.id] = error

    def _can_read(self, record: PhotoRecord) -> bool:
        """Return whether a photo is readable and unchanged, for the counts of a dry run."""
        if record.id not in self._readable:
            path = self._source.path_of(record)
            with self._recording_failure(record):
                if not _looks_unchanged(record, path):
                    read_unchanged(path, record.content_hash)
            self._readable[record.id] = record.id not in self._failures
        return self._readable[record.id]

    # Counting ----------------------------------------------------------------------------------

    def _advance(self, steps: int) -> None:
        self._done += steps
        self._on_progress(min(self._done, self._total), self._total)

    def _size(self, names: Iterable[str]) -> int:
        paths = [self._folder.root / name for name in set(names)]
        return sum(path.stat().st_size for path in paths if path.is_file())


def _fingerprint(record: PhotoRecord) -> str:
    if record.content_hash is not None:
        return record.content_hash.hex()
    return hashlib.sha256(f"{record.id} {record.size} {record.mtime_ns}".encode()).hexdigest()[:32]


def _looks_unchanged(record: PhotoRecord, path: str) -> bool:
    try:
        found = status(path)
        open_photo((split_moment(path) or (path,))[0]).close()  # whether it may be read
    except (OSError, ImageError):
        return False
    return (found.st_size, limited_time(found.st_mtime_ns)) == (record.size, record.mtime_ns)
