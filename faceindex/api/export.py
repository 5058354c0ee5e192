"""`FaceIndex.export`: faces, boxes, embeddings, clusters and a gallery as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from faceindex.addresses import is_address
from faceindex.api.reader import Reader
from faceindex.errors import UsageError
from faceindex.export.destination import is_archive
from faceindex.export.source import Exported, Progress, Source, ignore_progress

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.export.destination import ProtectedPaths
    from faceindex.export.embeddings import EmbeddingFormat
    from faceindex.export.folder import Written
    from faceindex.export.gallery import Gallery
    from faceindex.export.target import Target

__all__ = ["IndexExport"]

Destination: TypeAlias = "str | os.PathLike[str]"

_EMBEDDING_FORMATS: dict[str, EmbeddingFormat] = {
    ".npz": "npz",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
}


class IndexExport:
    """Writes parts of an index to files. Needs no network, and never changes the index or a photo.

    A destination can be exported into again: only changes are written, files that no longer belong to
    the export are removed, and foreign files are left alone; see `faceindex.export.folder.Folder`.
    Every method raises `UsageError` if the destination cannot be used, and `FaceIndexError` if its disk
    is full.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def crops(
        self,
        destination: Destination,
        *,
        margin: float = 0.5,
        aligned: bool = False,
        public: bool = False,
        dry_run: bool = False,
        on_progress: Progress = ignore_progress,
    ) -> Exported:
        """Write every face as an image named ``<photo stem>_<n><suffix>``, with `n` from 0.

        Parameters
        ----------
        destination : path-like
            A folder, created if missing; or a file ending in ``.zip``, replaced as a whole.
        margin : float
            Margin on each side of the box, as a share of its width and height, 0..10.
        aligned : bool
            Write the chips that the embedder gets; `margin` is ignored.
        public : bool
            Let other users of this machine read the files: modes 0644 and 0755 in place of 0600 and 0700.
        dry_run : bool
            Only count.
        on_progress : callable
            Called with the number of finished photos and of all photos.

        Returns
        -------
        Exported
            Unreadable photos are in `failed`.
        """
        from faceindex.export.crops import export_crops

        style = self._reader.crop_style(margin, aligned)

        def run(target: Target) -> Exported:
            return export_crops(source, target, style, on_progress=on_progress)

        with self._recorded(destination, "crops", dry_run, margin=margin, aligned=aligned, public=public):
            source = self._source()
            return self._export(destination, "crops", run, public=public, dry_run=dry_run)

    def clusters(
        self,
        destination: Destination,
        *,
        photos: bool = False,
        folders: bool = False,
        link: Literal["copy", "hardlink", "symlink"] = "copy",
        min_size: int = 1,
        unclustered: bool = False,
        clusters: Collection[int] = (),
        people: Collection[str] = (),
        hidden: bool = False,
        margin: float = 0.5,
        aligned: bool = False,
        public: bool = False,
        dry_run: bool = False,
        on_progress: Progress = ignore_progress,
    ) -> Exported:
        """Write the faces by person, named ``<person>_<photo stem>_<n><suffix>``.

        A cluster without a person has its number in the place of the name.

        Parameters
        ----------
        destination : path-like
            As in `crops`.
        photos : bool
            Write whole photos instead of faces, once for each person and cluster on the photo, under their
            own names.
        folders : bool
            Use a folder for each person, and a folder ``cluster-<cluster>`` for each other cluster, instead
            of the start of the name.
        link : {"copy", "hardlink", "symlink"}
            How photos are placed; faces, and photos in a ``.zip``, can only be ``"copy"``.
        min_size : int
            Skip people and clusters with fewer faces.
        unclustered : bool
            Also write faces in no cluster, as cluster ``unclustered``.
        clusters : collection of int
            Only these clusters, and those of `people`. Empty, as `people`, for all.
        people : collection of str
            Only these people, by name. Case, Unicode's form and additional spaces are ignored.
        hidden : bool
            Also write hidden people that are not in `people`.
        margin, aligned, public, dry_run, on_progress
            As in `crops`.

        Returns
        -------
        Exported
            `groups` lists the people and clusters with their folders.

        Raises
        ------
        NotClustered
            If `FaceIndex.cluster` has not run.
        UsageError
            If a chosen cluster or person does not exist. For a person, the message lists the nearest names.
        """
        from faceindex.export.clusters import ClusterLayout, export_clusters
        from faceindex.export.people import Choice

        layout = ClusterLayout(photos, folders, link, min_size, unclustered)
        if link != "copy" and is_archive(destination):
            raise UsageError(
                f"`link` is '{link}', but an archive cannot contain links.",
                "Leave out `link`, or choose a folder.",
            )
        style = self._reader.crop_style(margin, aligned)
        self._reader.clustering()
        roster = self._reader.roster()
        chosen = [roster.find(person).id for person in people]
        choice = Choice(clusters, [roster.title(person) for person in chosen], hidden)
        layout = replace(layout, choice=choice)

        def run(target: Target) -> Exported:
            return export_clusters(
                source, target, layout, style, hidden=hidden_clusters, on_progress=on_progress
            )

        with self._recorded(
            destination, "clusters", dry_run, photos=photos, folders=folders, link=link, min_size=min_size,
            unclustered=unclustered, clusters=[int(c) for c in clusters], people=chosen, hidden=hidden,
            margin=margin, aligned=aligned, public=public,
        ):  # fmt: skip
            source, hidden_clusters = self._source(), self._reader.hidden_clusters()
            choice.of(source.table.cluster, source.person_names, hidden_clusters)  # an error makes no folder
            return self._export(destination, "clusters", run, public=public, dry_run=dry_run)

    def boxes(
        self,
        destination: Destination | BinaryIO,
        *,
        format: Literal["csv", "csv-full", "json", "coco", "voc"] | None = None,
        absolute: bool = False,
        public: bool = False,
        dry_run: bool = False,
    ) -> Exported:
        """Write the boxes of all faces; see `faceindex.export.boxes.write_boxes`.

        Parameters
        ----------
        destination : path-like or binary file
            For ``voc`` a folder, or a file ending in ``.zip``.
        format : {"csv", "csv-full", "json", "coco", "voc"}, optional
            ``csv`` has exactly the columns ``image_path,y_min,x_max,y_max,x_min``; ``voc`` has a file for
            each photo (`faceindex.export.annotations.export_voc`). None means ``json`` if the destination
            ends in ``.json``, else ``csv``.
        absolute : bool
            Write absolute paths of photos instead of their names.
        public : bool
            As in `crops`.
        dry_run : bool
            Only count.

        Returns
        -------
        Exported
        """
        from faceindex.export.annotations import export_voc
        from faceindex.export.boxes import boxes_source, write_boxes
        from faceindex.export.single_file import export_file

        chosen = format or ("json" if _suffix(destination) == ".json" else "csv")
        with self._recorded(destination, "boxes", dry_run, format=chosen, absolute=absolute, public=public):
            source = self._source()
            if chosen == "voc":
                if not isinstance(destination, (str, os.PathLike)):
                    raise UsageError("Boxes for Pascal VOC are several files.", "Choose a folder.")
                return self._export(
                    destination,
                    "boxes",
                    lambda target: export_voc(source, target, absolute=absolute),
                    public=public,
                    dry_run=dry_run,
                )
            files = export_file(
                destination,
                "boxes",
                boxes_source(source, chosen, absolute=absolute),
                lambda file: write_boxes(source, file, chosen, absolute=absolute),
                self._protected(public),
                dry_run=dry_run,
            )
        return Exported(files, len(source.table), len(source.photos))

    def embeddings(
        self,
        destination: Destination | BinaryIO,
        *,
        format: EmbeddingFormat | None = None,
        absolute: bool = False,
        public: bool = False,
        dry_run: bool = False,
        on_progress: Progress = ignore_progress,
    ) -> Exported:
        """Write unit vectors and norms; see `faceindex.export.embeddings.write_embeddings`.

        Parameters
        ----------
        destination : path-like or binary file
        format : {"npz", "csv", "jsonl", "parquet"}, optional
            None means the suffix of the destination.
        absolute, public, dry_run
            As in `boxes`.
        on_progress : callable
            Called with the number of finished faces and of all faces.

        Returns
        -------
        Exported

        Raises
        ------
        UsageError
            If the suffix does not imply a format, or pyarrow is not installed.
        """
        from faceindex.export.embeddings import embeddings_source, write_embeddings
        from faceindex.export.single_file import export_file

        chosen = format or _EMBEDDING_FORMATS.get(_suffix(destination))
        if chosen is None:
            raise UsageError(
                "The name of the file does not imply a format for embeddings.",
                "Use a name that ends in .npz, .csv, .jsonl or .parquet, or choose a `format`.",
            )
        store = self._reader.store
        with self._recorded(
            destination, "embeddings", dry_run, format=chosen, absolute=absolute, public=public
        ):
            source = self._source()
            files = export_file(
                destination,
                "embeddings",
                embeddings_source(source, chosen, store.pins.embedder, absolute=absolute),
                lambda file: write_embeddings(
                    source,
                    store.vectors,
                    file,
                    chosen,
                    store.pins.embedder,
                    absolute=absolute,
                    on_progress=on_progress,
                ),
                self._protected(public),
                dry_run=dry_run,
            )
        return Exported(files, len(source.table), len(source.photos))

    def gallery(
        self,
        destination: Destination,
        *,
        copy: bool = False,
        hidden: bool = False,
        public: bool = False,
        dry_run: bool = False,
        on_progress: Progress = ignore_progress,
    ) -> Gallery:
        """Write a page that shows the people and the clusters; see `faceindex.export.gallery.write_gallery`.

        Parameters
        ----------
        destination : path-like
            A folder; created if missing, updated if it holds a gallery.
        copy : bool
            Copy the photos into it instead of linking to them.
        hidden : bool
            Also show hidden people.
        public : bool
            As in `crops`.
        dry_run : bool
            Only count.
        on_progress : callable
            Called with the number of finished faces, previews and copies, and of all of them.
        """
        from faceindex.api.gallery import gallery_source
        from faceindex.export.gallery import write_gallery

        if is_archive(destination):
            raise UsageError("A gallery cannot be written into a .zip file.", "Choose a folder.")
        with self._recorded(destination, "gallery", dry_run, copy=copy, hidden=hidden, public=public):
            return write_gallery(
                gallery_source(self._reader, hidden=hidden),
                destination,
                self._protected(public),
                copy=copy,
                dry_run=dry_run,
                on_progress=on_progress,
            )

    def record_picture(self, path: Destination, faces: Sequence[int] = ()) -> None:
        """Record a picture before it is written: `FaceIndex.forget` names it if a face of it is forgotten.

        Parameters
        ----------
        path : path-like
        faces : sequence of int
            Faces that it shows; empty if they are not known: then the next call of `forget` names it.
        """
        with self._recorded(path, "picture", False, faces=[int(face) for face in faces]):
            pass

    def remove(self, destination: Destination, kind: str) -> Written:
        """Remove what an export has written to a destination: the files that were not changed since.

        Parameters
        ----------
        destination : path-like
        kind : str
            The export: ``crops``, ``clusters``, ``gallery`` or ``find``.
        """
        from faceindex.export.folder import Folder

        path, protected = Path(destination), self._protected(False)
        if is_archive(path):
            opened = Folder(path.parent, f"archive of {kind} {path.name}", protected, single=path.name)
        else:
            opened = Folder(path, kind, protected)
        with opened as folder:
            folder.originals = self._source().originals
            return folder.finish()

    def _export(
        self,
        destination: Destination,
        kind: str,
        run: Callable[[Target], Exported],
        *,
        public: bool,
        dry_run: bool,
    ) -> Exported:
        """Export into a folder or a zip file."""
        from faceindex.export.archive import export_archive
        from faceindex.export.folder import Folder

        if is_archive(destination):
            return export_archive(destination, kind, self._protected(public), run, dry_run=dry_run)
        with Folder(destination, kind, self._protected(public), dry_run=dry_run) as folder:
            return run(folder)

    def _protected(self, public: bool) -> ProtectedPaths:
        from faceindex.export.destination import ProtectedPaths

        store = self._reader.store
        roots = tuple(Path(root.path) for root in store.roots() if not is_address(root.path))
        return ProtectedPaths(store.directory, roots, public)

    def _source(self) -> Source:
        from faceindex.export.originals import Originals

        table, names = self._reader.faces_and_photos()
        photos = {photo: names.photo(names.by_id[photo]) for photo in sorted(set(table.photo.tolist()))}
        forgotten = self._forgotten()
        originals = Originals(
            ((names.path(record), record.content_hash) for record in names.records), forgotten
        )
        return Source(table, photos, originals, self._reader.person_names(), forgotten)

    def _forgotten(self) -> set[bytes]:
        """Return the contents of the photos that show a forgotten face."""
        store = self._reader.store
        return store.forgotten.contents() | store.forgotten_contents()

    def _recorded(
        self, destination: Destination | BinaryIO, kind: str, dry_run: bool, **options: Json
    ) -> AbstractContextManager[None]:
        """Record where an export is that is read and written inside: `FaceIndex.forget` cleans it."""
        from faceindex.api.copies import recorded

        return nullcontext() if dry_run else recorded(self._reader, destination, kind, options)


def _suffix(destination: Destination | BinaryIO) -> str:
    return Path(destination).suffix.lower() if isinstance(destination, (str, os.PathLike)) else ""
