"""The faces, or the photos, of each cluster."""

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
    SourcePhoto,
    fingerprint,
    numbers_on_photo,
    read_unchanged,
)

__all__ = ["UNCLUSTERED", "ClusterLayout", "export_clusters"]

UNCLUSTERED = "unclustered"
"""What stands for the cluster of faces in none."""


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """Which faces are exported, and where to.

    Attributes
    ----------
    photos : bool
        Whole photos instead of faces. A photo is there once for each cluster that it has faces of.
    folders : bool
        A folder per cluster, ``<cluster>/<photo stem>_<n><suffix>``, instead of
        ``<cluster>_<photo stem>_<n><suffix>``.
    link : {"copy", "hardlink", "symlink"}
        How photos get there.
    min_size : int
        Least number of faces of a cluster.
    unclustered : bool
        Whether faces in no cluster are exported too.
    """

    photos: bool = False
    folders: bool = False
    link: Link = "copy"
    min_size: int = 1
    unclustered: bool = False

    def __post_init__(self) -> None:
        if self.link not in ("copy", "hardlink", "symlink"):
            raise UsageError(f"There is no link '{self.link}'.", "Choose copy, hardlink or symlink.")
        if self.link != "copy" and not self.photos:
            raise UsageError(
                f"A {self.link} needs a file to point to, and cut faces are new files.",
                "Add --photos, or leave --link out.",
            )
        if self.min_size < 1:
            raise UsageError(f"--min-size {self.min_size} is not a size.", "Choose 1 or more.")


def export_clusters(
    source: Source,
    folder: Folder,
    layout: ClusterLayout,
    style: CropStyle,
    *,
    on_progress: Progress = lambda done, total: None,
) -> Exported:
    """The faces by cluster, or with ``layout.photos`` the whole photos.

    `n` is the number of the face on its photo, as in `faceindex.export.crops.export_crops`; of a whole
    photo the lowest of those in the cluster.

    Parameters
    ----------
    source : Source
    folder : Folder
        Open; it is finished.
    layout : ClusterLayout
    style : CropStyle
        Of faces.
    on_progress : callable
        Called with photos done and photos to do.

    Returns
    -------
    Exported

    Raises
    ------
    FaceIndexError
        If the folder cannot be written. Photos that cannot be read are told in `Exported.failed`.
    """
    folder.originals = source.originals
    table = source.table
    labels, inverse, sizes = np.unique(table.cluster, return_inverse=True, return_counts=True)
    wanted = np.where(labels < 0, layout.unclustered, sizes >= layout.min_size)[inverse]
    stems = photo_stems(source, writable=not layout.photos)
    numbers = numbers_on_photo(table)
    between = "/" if layout.folders else "_"

    names: dict[int, str] = {}
    there: set[tuple[int, int]] = set()
    chosen = np.flatnonzero(wanted)
    for i in chosen.tolist():
        image, cluster = int(table.photo[i]), int(table.cluster[i])
        if layout.photos and (image, cluster) in there:
            continue
        there.add((image, cluster))
        stem, suffix = stems[image]
        names[i] = f"{UNCLUSTERED if cluster < 0 else cluster}{between}{stem}_{numbers[i]}{suffix}"
    if layout.photos:
        failed = _place_photos(source, folder, names, layout.link, on_progress)
    else:
        failed = write_crops(source, folder, names, style, on_progress)
    photos = len(np.unique(table.photo[chosen]))
    return Exported(folder.finish(), len(chosen), photos, tuple(failed))


def _place_photos(
    source: Source, folder: Folder, names: dict[int, str], link: Link, on_progress: Progress
) -> list[ImageError]:
    folder.total = len(names)
    failed: dict[str, ImageError] = {}
    for done, (i, name) in enumerate(names.items(), 1):
        photo = source.photos[int(source.table.photo[i])]
        # A symbolic link shows whatever is there; copies and hard links are of one content.
        content = None if link == "symlink" else photo.content_hash
        if folder.claim(name, fingerprint("photo", link, photo.path if link != "copy" else "", content)):
            try:
                _place(folder, name, photo, link)
            except ImageError as error:
                failed[photo.path] = error
        on_progress(done, len(names))
    return list(failed.values())


def _place(folder: Folder, name: str, photo: SourcePhoto, link: Link) -> None:
    try:
        mtime_ns = Path(photo.path).stat().st_mtime_ns
    except OSError as error:
        raise ImageError(
            photo.path, Reason.MISSING, f"it cannot be reached ({error.strerror}).", "Check the path."
        ) from error
    if link == "symlink":
        folder.link(name, photo.path, link)
        return
    data = read_unchanged(photo.path, photo.content_hash)
    if link == "hardlink":
        folder.link(name, photo.path, link)
    else:
        mark = Originals.mark(photo.path, photo.content_hash)
        folder.write(name, data, mtime_ns=mtime_ns, original=mark)
