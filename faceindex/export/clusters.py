"""Export of the faces, or the whole photos, of each cluster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.export.crops import CropStyle, photo_stems, write_crops
from faceindex.export.folder import Link
from faceindex.export.names import UniqueNames, safe_name, split_photo_name
from faceindex.export.originals import Originals
from faceindex.export.people import Choice, folder_names, merge_people
from faceindex.export.source import (
    Exported,
    ExportedGroup,
    Progress,
    Source,
    fingerprint,
    ignore_progress,
    numbers_on_photo,
    read_to_copy,
)
from faceindex.export.target import Target
from faceindex.images.containers import locate, status
from faceindex.paths import is_too_long
from faceindex.store.photos import Photo
from faceindex.types import I64

__all__ = ["UNCLUSTERED", "ClusterLayout", "export_clusters"]

UNCLUSTERED = "unclustered"
"""Replaces the cluster in the names of faces that are in no cluster."""

# In one folder, names have a person, a photo, a number and a suffix: 255 bytes at most.
_LONGEST_PERSON, _LONGEST_NAME = 40, 230


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """Which faces are exported, and how their files are named and placed.

    Attributes
    ----------
    photos : bool
        Whole photos instead of faces, once for each person or cluster that has faces on the photo. They keep
        their names, without ``_<n>``.
    folders : bool
        A folder for each person, ``<person>/<photo stem>_<n><suffix>``, and for each cluster without a
        person, ``cluster-<cluster>/<photo stem>_<n><suffix>``. Otherwise names are
        ``<person>_<photo stem>_<n><suffix>`` and ``<cluster>_<photo stem>_<n><suffix>``.
    link : {"copy", "hardlink", "symlink"}
        How photos are placed.
    min_size : int
        Skip people and clusters with fewer faces.
    unclustered : bool
        Whether faces in no cluster are exported, too.
    choice : Choice
        Which clusters are exported.
    """

    photos: bool = False
    folders: bool = False
    link: Link = "copy"
    min_size: int = 1
    unclustered: bool = False
    choice: Choice = field(default_factory=Choice)

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
    folder: Target,
    layout: ClusterLayout,
    style: CropStyle,
    *,
    hidden: Collection[int] = (),
    on_progress: Progress = ignore_progress,
) -> Exported:
    """Write the faces of each person and cluster or, with ``layout.photos``, the whole photos.

    The ``<n>`` in file names is the number of the face on its photo, as in
    `faceindex.export.crops.export_crops`. The names do not depend on which clusters are exported. Of whole
    photos of one person with the same name, the one that was indexed first gets the plain name.

    Parameters
    ----------
    source : Source
    folder : Target
        Open; `Target.finish` is called.
    layout : ClusterLayout
    style : CropStyle
        For faces.
    hidden : collection of int
        Clusters of hidden people, left out as ``layout.choice`` has it.
    on_progress : callable
        Called with the number of finished photos and of all photos.

    Returns
    -------
    Exported

    Raises
    ------
    UsageError
        If a chosen cluster or person does not exist.
    FaceIndexError
        If the folder cannot be written. `Exported.failed` lists photos that cannot be read.
    """
    folder.originals = source.originals
    chosen, merged, clusters_of = _choose(source, layout, hidden)
    table, withheld = source.table, 0
    labels = _labels(source.person_names, clusters_of, folders=layout.folders)
    if layout.photos:
        names = _photo_names(source, merged, labels, folders=layout.folders)
        names = {i: names[i] for i in chosen.tolist() if i in names}
        if layout.link == "copy":
            names, withheld = _without_forgotten(source, names)
        failed = _write_photos(source, folder, names, layout.link, on_progress)
    else:
        names = _face_names(source, merged, labels, folders=layout.folders)
        names = {i: names[i] for i in chosen.tolist()}
        failed = write_crops(source, folder, names, style, on_progress)
    groups = []
    ids, sizes = np.unique(merged[chosen], return_counts=True)
    for group, size in sorted(zip(ids.tolist(), sizes.tolist(), strict=True), key=lambda found: -found[1]):
        groups.append(
            ExportedGroup(
                folder=labels[group],
                person=source.person_names.get(group),
                clusters=tuple(clusters_of.get(group, ())),
                faces=size,
                photos=len(np.unique(table.photo[chosen][merged[chosen] == group])),
            )
        )
    photos = len(np.unique(table.photo[chosen]))
    return Exported(folder.finish(), len(chosen), photos, tuple(failed), tuple(groups), withheld)


def _without_forgotten(source: Source, names: dict[int, str]) -> tuple[dict[int, str], int]:
    """Return the names of the photos without a forgotten face, and the number of the others."""
    content = {i: source.photos[int(source.table.photo[i])].content_hash for i in names}
    kept = {i: name for i, name in names.items() if content[i] not in source.forgotten}
    return kept, len({content[i] for i in names} - {content[i] for i in kept})


def _choose(
    source: Source, layout: ClusterLayout, hidden: Collection[int]
) -> tuple[I64, I64, dict[int, list[int]]]:
    """Choose the faces of the export.

    Returns
    -------
    chosen : (k,) int64
        Positions in the table.
    merged : (n,) int64
        Person or cluster of each face of the table, as the lowest cluster of the person.
    clusters : dict of int to list of int
        The clusters of each of these.
    """
    labels = source.table.cluster
    exported = layout.choice.of(labels, source.person_names, hidden)
    wanted = np.isin(labels, list(exported))
    merged, clusters = merge_people(labels, source.person_names)
    ids, sizes = np.unique(merged[wanted], return_counts=True)
    wanted &= np.isin(merged, ids[sizes >= layout.min_size])
    if layout.unclustered:
        wanted |= labels < 0
    return np.flatnonzero(wanted), merged, clusters


def _labels(names: Mapping[int, str], clusters: Mapping[int, list[int]], *, folders: bool) -> dict[int, str]:
    """Return the folder, or the start of the file names, of each person and cluster."""
    people = folder_names(names.values()) if folders else folder_names(names.values(), _LONGEST_PERSON)
    plain = "cluster-{}" if folders else "{}"
    labels = {group: people[names[group]] if names.get(group) else plain.format(group) for group in clusters}
    return labels | {-1: UNCLUSTERED}


def _photo_names(source: Source, merged: I64, labels: Mapping[int, str], *, folders: bool) -> dict[int, str]:
    """Name the photos of each person and cluster, by the position of the first face of each on it."""
    taken: dict[str, UniqueNames] = {}
    named: set[tuple[int, int]] = set()
    names = {}
    for i, (photo_id, group) in enumerate(zip(source.table.photo.tolist(), merged.tolist(), strict=True)):
        if (photo_id, group) in named:
            continue
        named.add((photo_id, group))
        photo, label = source.photos[photo_id], labels[group]
        stem, suffix = split_photo_name(photo.name)
        if folders:
            names[i] = (
                f"{label}/{taken.setdefault(label, UniqueNames()).add(stem, suffix, photo.name)}{suffix}"
            )
        else:
            unique = taken.setdefault("", UniqueNames(_LONGEST_NAME))
            names[i] = unique.add(f"{label}_{safe_name(stem)}", suffix, f"{label}/{photo.name}") + suffix
    return names


def _face_names(source: Source, merged: I64, labels: Mapping[int, str], *, folders: bool) -> dict[int, str]:
    """Name the faces, by position in the table."""
    stems = photo_stems(source, writable=True)
    numbers = numbers_on_photo(source.table).tolist()
    unique = UniqueNames(_LONGEST_NAME)
    names = {}
    for i, (photo, group) in enumerate(zip(source.table.photo.tolist(), merged.tolist(), strict=True)):
        (stem, suffix), label = stems[photo], labels[group]
        if folders:
            names[i] = f"{label}/{stem}_{numbers[i]}{suffix}"
        else:
            # The label and the stem may contain underscores: two pairs of them can give the same text.
            key = f"{label}/{source.photos[photo].name}/{numbers[i]}"
            names[i] = unique.add(f"{label}_{stem}_{numbers[i]}", suffix, key) + suffix
    return names


def _write_photos(
    source: Source, folder: Target, names: dict[int, str], link: Link, on_progress: Progress
) -> list[ImageError]:
    folder.total = len(names)
    failed: dict[str, ImageError] = {}
    # In the order of names, so that an archive lists the photos of a person together.
    for done, (i, name) in enumerate(sorted(names.items(), key=lambda item: item[1]), 1):
        photo = source.photos[int(source.table.photo[i])]
        how: Link = link if locate(photo.path) is None else "copy"  # nothing can link into an archive
        # A symbolic link stays valid if the photo changes; a copy or hard link has one content.
        content = None if how == "symlink" else photo.content_hash
        if folder.include(name, fingerprint("photo", how, photo.path if how != "copy" else "", content)):
            try:
                _write_photo(folder, name, photo, how)
            except ImageError as error:
                failed[photo.path] = error
        on_progress(done, len(names))
    return list(failed.values())


def _write_photo(folder: Target, name: str, photo: Photo, link: Link) -> None:
    try:
        mtime_ns = status(photo.path).st_mtime_ns
    except OSError as error:
        raise ImageError(
            photo.path, Reason.MISSING, f"it cannot be reached ({error.strerror}).", "Check the path."
        ) from error
    if link != "copy" and is_too_long(photo.path):
        raise ImageError(
            photo.path, Reason.FAILED, "its path is too long for a link.", "Pass `link='copy'` to copy it."
        )
    if link == "symlink":
        folder.write_link(name, photo.path, link)
        return
    data = read_to_copy(photo.path, photo.content_hash)
    if link == "hardlink":
        folder.write_link(name, photo.path, link)
    else:
        original = Originals.key(photo.path, photo.content_hash)
        folder.write(name, data, mtime_ns=mtime_ns, original=original)
