"""A folder of links to some photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.errors import ImageError, Reason
from faceindex.export.names import UniqueNames, split_photo_name
from faceindex.export.originals import Originals
from faceindex.export.source import Progress, fingerprint, ignore_progress, read_to_copy
from faceindex.images.containers import locate, status
from faceindex.paths import is_too_long

if TYPE_CHECKING:
    from faceindex.export.folder import Folder, Link, Written
    from faceindex.store.photos import Photo

__all__ = ["LinkedPhotos", "link_photos"]


@dataclass(frozen=True, slots=True)
class LinkedPhotos:
    """A folder of links to photos.

    Attributes
    ----------
    files : Written
    symlinks, hardlinks, copies : int
        Photos that are placed in each of these ways.
    failed : tuple of ImageError
        Photos whose file is missing, or has changed since it was indexed and would have been copied.
    """

    files: Written
    symlinks: int
    hardlinks: int
    copies: int
    failed: tuple[ImageError, ...]


def link_photos(
    photos: Sequence[Photo], folder: Folder, *, on_progress: Progress = ignore_progress
) -> LinkedPhotos:
    """Place photos in a folder: as symbolic links; else as hard links; else as copies.

    Some file systems have no links; Windows makes symbolic ones for few users, and a hard link must be on
    the disk of its file. Nothing can link to a photo in an archive.

    Parameters
    ----------
    photos : sequence of Photo
        Names depend on their order: the first of several photos with the same file name keeps it.
    folder : Folder
        Open; `Folder.finish` is called.
    on_progress : callable
        Called with the number of finished photos and of all photos.

    Returns
    -------
    LinkedPhotos

    Raises
    ------
    FaceIndexError
        If the folder cannot be written.
    """
    folder.total = len(photos)
    names = UniqueNames()
    placed: Counter[Link] = Counter()
    failed = []
    symlinks: bool | None = None  # whether the folder can have them
    for done, photo in enumerate(photos, 1):
        stem, suffix = split_photo_name(photo.path)
        name = names.add(stem, suffix, photo.name) + suffix
        if (missing := _missing(photo)) is not None:
            folder.include(name, _source(photo, "symlink"))  # so that an earlier link or copy stays
            failed.append(missing)
        else:
            linkable = not is_too_long(photo.path) and locate(photo.path) is None
            if symlinks is None and linkable:
                symlinks = folder.can_link(photo.path, "symlink")
            how: Link = "symlink"
            if not linkable:
                how = "copy"
            elif not symlinks:
                how = "hardlink" if folder.can_link(photo.path, "hardlink") else "copy"
            try:
                if folder.include(name, _source(photo, how)):
                    _place(photo, name, how, folder)
                placed[how] += 1
            except ImageError as error:
                failed.append(error)
        on_progress(done, len(photos))
    return LinkedPhotos(folder.finish(), placed["symlink"], placed["hardlink"], placed["copy"], tuple(failed))


def _missing(photo: Photo) -> ImageError | None:
    try:
        status(photo.path)
    except OSError as error:
        return ImageError(
            photo.path, Reason.MISSING, f"it cannot be reached ({error.strerror}).", "Check the path."
        )
    return None


def _source(photo: Photo, how: Link) -> str:
    # A symbolic link stays valid if the photo changes; a copy or hard link has one content.
    content = None if how == "symlink" else photo.content_hash
    return fingerprint("photo", how, photo.path if how != "copy" else "", content)


def _place(photo: Photo, name: str, how: Link, folder: Folder) -> None:
    if how == "symlink":
        folder.write_link(name, photo.path, how)
        return
    data = read_to_copy(photo.path, photo.content_hash)
    if how == "hardlink":
        folder.write_link(name, photo.path, how)
    else:
        original = Originals.key(photo.path, photo.content_hash)
        folder.write(name, data, mtime_ns=status(photo.path).st_mtime_ns, original=original)
