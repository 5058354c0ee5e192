"""Export of the faces, or the whole photos, of each cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.export.crops import CropStyle, photo_stems, write_crops
from faceindex.export.folder import Folder, Link
from faceindex.export.originals import Originals
from faceindex.export.source import (
    Exported,
    Progress,
    Source,
    fingerprint,
    ignore_progress,
    numbers_on_photo,
    read_unchanged,
)
from faceindex.store.photos import Photo

__all__ = ["UNCLUSTERED", "ClusterLayout", "export_clusters"]

UNCLUSTERED = "unclustered"
"""Replaces the cluster in the names of faces that are in no cluster."""


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """Which faces are exported, and how their files are named and placed.

    Attributes
    ----------
    photos : bool
        Whole photos instead of faces, once for each cluster that has faces on the photo.
    folders : bool
        A folder for each cluster, ``<cluster>/<photo stem>_<n><suffix>``, instead of
        ``<cluster>_<photo stem>_<n><suffix>``.
    link : {"copy", "hardlink", "symlink"}
        How photos are placed.
    min_size : int
        Skip clusters with fewer faces.
    unclustered : bool
        Whether faces in no cluster are exported, too.
    """

    photos: bool = False
    folders: bool = False
    link: Link = "copy"
    min_size: int = 1
    unclustered: bool = False

    def __post_init__(self) -> None:
        if self.link not in ("copy", "hardlink", "symlink"):
            raise UsageError(f"There is no link type '{self.link}'.", "Choose copy, hardlink or symlink.")
        if self.link != "copy" and not self.photos:
            raise UsageError(
                f"`link` is '{self.link}', but cut faces are new files and cannot be links.",
                "Pass `photos=True`, or leave out `link`.",
            )
        if self.min_size < 1:
            raise UsageError(f"`min_size` is {self.min_size}.", "Choose 1 or more.")


def export_clusters(
    source: Source,
    folder: Folder,
    layout: ClusterLayout,
    style: CropStyle,
    *,
    on_progress: Progress = ignore_progress,
) -> Exported:
    """Write the faces of each cluster or, with ``layout.photos``, the whole photos.

    The ``<n>`` in file names is the number of the face on its photo, as in
    `faceindex.export.crops.export_crops`. For a whole photo it is the lowest number of its faces in the
    cluster.

    Parameters
    ----------
    source : Source
    folder : Folder
        Open; `Folder.finish` is called.
    layout : ClusterLayout
    style : CropStyle
        For faces.
    on_progress : callable
        Called with the number of finished photos and of all photos.

    Returns
    -------
    Exported

    Raises
    ------
    FaceIndexError
        If the folder cannot be written. `Exported.failed` lists photos that cannot be read.
    """
    folder.originals = source.originals
    table = source.table
    labels, inverse, sizes = np.unique(table.cluster, return_inverse=True, return_counts=True)
    wanted = np.where(labels < 0, layout.unclustered, sizes >= layout.min_size)[inverse]
    stems = photo_stems(source, writable=not layout.photos)
    numbers = numbers_on_photo(table)
    separator = "/" if layout.folders else "_"

    names: dict[int, str] = {}
    named: set[tuple[int, int]] = set()
    chosen = np.flatnonzero(wanted)
    for i in chosen.tolist():
        photo, cluster = int(table.photo[i]), int(table.cluster[i])
        if layout.photos and (photo, cluster) in named:
            continue
        named.add((photo, cluster))
        stem, suffix = stems[photo]
        names[i] = f"{UNCLUSTERED if cluster < 0 else cluster}{separator}{stem}_{numbers[i]}{suffix}"
    if layout.photos:
        failed = _write_photos(source, folder, names, layout.link, on_progress)
    else:
        failed = write_crops(source, folder, names, style, on_progress)
    photos = len(np.unique(table.photo[chosen]))
    return Exported(folder.finish(), len(chosen), photos, tuple(failed))


def _write_photos(
    source: Source, folder: Folder, names: dict[int, str], link: Link, on_progress: Progress
) -> list[ImageError]:
    folder.total = len(names)
    failed: dict[str, ImageError] = {}
    for done, (i, name) in enumerate(names.items(), 1):
        photo = source.photos[int(source.table.photo[i])]
        # A symbolic link stays valid if the photo changes; a copy or hard link has one content.
        content = None if link == "symlink" else photo.content_hash
        if folder.include(name, fingerprint("photo", link, photo.path if link != "copy" else "", content)):
            try:
                _write_photo(folder, name, photo, link)
            except ImageError as error:
                failed[photo.path] = error
        on_progress(done, len(names))
    return list(failed.values())


def _write_photo(folder: Folder, name: str, photo: Photo, link: Link) -> None:
    try:
        mtime_ns = Path(photo.path).stat().st_mtime_ns
    except OSError as error:
        raise ImageError(
            photo.path, Reason.MISSING, f"it cannot be reached ({error.strerror}).", "Check the path."
        ) from error
    if link == "symlink":
        folder.write_link(name, photo.path, link)
        return
    data = read_unchanged(photo.path, photo.content_hash)
    if link == "hardlink":
        folder.write_link(name, photo.path, link)
    else:
        original = Originals.key(photo.path, photo.content_hash)
        folder.write(name, data, mtime_ns=mtime_ns, original=original)
