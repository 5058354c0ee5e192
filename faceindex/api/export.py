"""The exports of `FaceIndex`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from faceindex import models
from faceindex.api.clusters import cluster_sheet, face_sheet, query_sheet
from faceindex.api.reading import Reading
from faceindex.api.results import Query
from faceindex.errors import UsageError
from faceindex.models import DetectorSpec
from faceindex.types import Image

if TYPE_CHECKING:
    from faceindex.export.crops import CropStyle
    from faceindex.export.folder import ProtectedPaths
    from faceindex.export.gallery import Gallery
    from faceindex.export.source import Exported, Source

__all__ = ["Exporting"]

Destination: TypeAlias = "str | os.PathLike[str]"


def _silent(done: int, total: int) -> None:
    """No progress is told."""


class Exporting(Reading):
    """What `FaceIndex` can give away. Needs no network, and never changes the index or a photo.

    Destinations may be exported into again: only what changed is written, what no longer belongs
    there is removed, and files that faceindex did not write are left alone; see
    `faceindex.export.folder.Folder`. Every method raises `UsageError` if the destination cannot be used, and
    `FaceIndexError` if its disk is full.
    """

    def export_crops(
        self,
        destination: Destination,
        *,
        margin: float = 0.5,
        aligned: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] = _silent,
    ) -> Exported:
        """Write every face as an image named ``<photo stem>_<n><suffix>``, `n` from 0.

        Parameters
        ----------
        destination : path-like
            A folder, made if missing.
        margin : float
            What is added on each side of the box, as a share of its width and height, 0..10.
        aligned : bool
            Write the chips that the embedder sees instead; `margin` has no say then.
        dry_run : bool
            Only count.
        on_progress : callable
            Called with photos done and photos to do.

        Returns
        -------
        Exported
            Photos that could not be read are in `failed`.
        """
        from faceindex.export.crops import export_crops
        from faceindex.export.folder import Folder

        style = self._crop_style(margin, aligned)
        with Folder(destination, "crops", self._surroundings(), dry_run=dry_run) as folder:
            return export_crops(self._source(), folder, style, on_progress=on_progress)

    def export_clusters(
        self,
        destination: Destination,
        *,
        photos: bool = False,
        folders: bool = False,
        link: Literal["copy", "hardlink", "symlink"] = "copy",
        min_size: int = 1,
        unclustered: bool = False,
        margin: float = 0.5,
        aligned: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] = _silent,
    ) -> Exported:
        """Write the faces by cluster, named ``<cluster>_<photo stem>_<n><suffix>``.

        Parameters
        ----------
        destination : path-like
            A folder, made if missing.
        photos : bool
            Whole photos instead of faces, each once for each cluster that it has faces of.
        folders : bool
            A folder for each cluster instead of its number in front of the name.
        link : {"copy", "hardlink", "symlink"}
            How photos get there; cut faces are files of their own and can only be ``"copy"``.
        min_size : int
            Least number of faces of a cluster.
        unclustered : bool
            Whether faces in no cluster are written too, as cluster ``unclustered``.
        margin, aligned, dry_run, on_progress
            As in `export_crops`.

        Returns
        -------
        Exported

        Raises
        ------
        NotClustered
            If `cluster` has not run.
        """
        from faceindex.export.clusters import ClusterLayout, export_clusters
        from faceindex.export.folder import Folder

        layout = ClusterLayout(photos, folders, link, min_size, unclustered)
        style = self._crop_style(margin, aligned)
        self.require_clusters()
        with Folder(destination, "clusters", self._surroundings(), dry_run=dry_run) as folder:
            return export_clusters(self._source(), folder, layout, style, on_progress=on_progress)

    def export_boxes(
        self,
        destination: Destination | BinaryIO,
        *,
        format: Literal["csv", "csv-full", "json"] | None = None,
        absolute: bool = False,
        dry_run: bool = False,
    ) -> Exported:
        """Write where the faces are; see `faceindex.export.boxes.write_boxes`.

        Parameters
        ----------
        destination : path-like or binary file
        format : {"csv", "csv-full", "json"}, optional
            ``csv`` has exactly the columns ``image_path,y_min,x_max,y_max,x_min``. None goes by the
            suffix of the destination: ``json`` for ``.json``, else ``csv``.
        absolute : bool
            Absolute paths of photos, instead of as they were named when they were indexed.
        dry_run : bool

        Returns
        -------
        Exported
        """
        from faceindex.export.boxes import boxes_source, write_boxes
        from faceindex.export.files import export_file
        from faceindex.export.source import Exported

        chosen = format or ("json" if _suffix(destination) == ".json" else "csv")
        source = self._source()
        files = export_file(
            destination,
            "boxes",
            boxes_source(source, chosen, absolute=absolute),
            lambda file: write_boxes(source, file, chosen, absolute=absolute),
            self._surroundings(),
            dry_run=dry_run,
        )
        return Exported(files, len(source.table), len(source.photos))

    def export_embeddings(
        self,
        destination: Destination | BinaryIO,
        *,
        format: Literal["npz", "csv", "parquet"] | None = None,
        absolute: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] = _silent,
    ) -> Exported:
        """Write the unit vectors and norms; see `faceindex.export.embeddings.write_embeddings`.

        Parameters
        ----------
        destination : path-like or binary file
        format : {"npz", "csv", "parquet"}, optional
            None goes by the suffix of the destination.
        absolute, dry_run
            As in `export_boxes`.
        on_progress : callable
            Called with faces done and faces to do.

        Returns
        -------
        Exported

        Raises
        ------
        UsageError
            If the suffix tells no format, or pyarrow is not installed.
        """
        from faceindex.export.embeddings import embeddings_source, write_embeddings
        from faceindex.export.files import export_file
        from faceindex.export.source import Exported

        chosen = format or _EMBEDDINGS.get(_suffix(destination))
        if chosen is None:
            raise UsageError(
                "The name of the file does not tell the format of the embeddings.",
                "End it in .npz, .csv or .parquet, or choose one with --format.",
            )
        embedder = self._store.pins.embedder
        source = self._source()
        files = export_file(
            destination,
            "embeddings",
            embeddings_source(source, chosen, embedder, absolute=absolute),
            lambda file: write_embeddings(
                source,
                self._store.vectors,
                file,
                chosen,
                embedder,
                absolute=absolute,
                on_progress=on_progress,
            ),
            self._surroundings(),
            dry_run=dry_run,
        )
        return Exported(files, len(source.table), len(source.photos))

    def export_gallery(
        self,
        destination: Destination,
        *,
        copy: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] = _silent,
    ) -> Gallery:
        """Write a page to look at the clusters; see `faceindex.export.gallery.write_gallery`.

        Parameters
        ----------
        destination : path-like
            A folder; made if missing, and brought up to date if there is a gallery in it.
        copy : bool
            Whether photos are copied into it, instead of linked.
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
        from faceindex.export.gallery import GallerySource, write_gallery

        table, naming = self._catalog()
        source = GallerySource(
            table=table,
            photos=naming.records,
            roots=self.roots(),
            path_of=naming.path,
            clustered=self.clustering is not None,
        )
        return write_gallery(
            source, destination, self._surroundings(), copy=copy, dry_run=dry_run, on_progress=on_progress
        )

    # Pictures ----------------------------------------------------------------------------------

    def contact_sheet(self, faces: Sequence[int]) -> Image:
        """Faces of the index side by side, (h, w, 3) uint8.

        Parameters
        ----------
        faces : sequence of int
            Ids; at least one.

        Raises
        ------
        ImageError
            If none of their photos can be read. A face whose photo cannot is grey.
        """
        return face_sheet(*self._catalog(), faces)

    def cluster_sheet(self, cluster: int, *, most: int = 48) -> Image:
        """The faces of a cluster side by side, (h, w, 3) uint8, the most alike to it first.

        Parameters
        ----------
        cluster : int
        most : int
            How many faces at most.

        Raises
        ------
        UsageError
            If there is no such cluster.
        ImageError
            As `contact_sheet`.
        """
        return cluster_sheet(*self._catalog(), cluster, most)

    def query_sheet(self, query: Query) -> Image:
        """A line for each face of a query photo, (h, w, 3) uint8: the face, and the nearest indexed ones.

        Parameters
        ----------
        query : Query
            From `identify`; its photo is read again.

        Raises
        ------
        UsageError
            If it has no face.
        ImageError
            If the photo cannot be read.
        """
        return query_sheet(*self._catalog(), query)

    # Details -----------------------------------------------------------------------------------

    def _crop_style(self, margin: float, aligned: bool) -> CropStyle:
        from faceindex.export.crops import CropStyle

        if not aligned:
            return CropStyle(margin)
        embedder = self._embedder_spec
        detector = models.get("detector", self._store.pins.detector)
        assert isinstance(detector, DetectorSpec)
        return CropStyle(margin, embedder.alignment, detector.box)

    def _surroundings(self) -> ProtectedPaths:
        from faceindex.export.folder import ProtectedPaths

        return ProtectedPaths(self._store.directory, tuple(Path(root.path) for root in self._store.roots()))

    def _source(self) -> Source:
        from faceindex.export.originals import Originals
        from faceindex.export.source import Source, SourcePhoto

        table, naming = self._catalog()
        photos = {
            image: SourcePhoto(
                naming.name(record), naming.path(record), record.content_hash, record.width, record.height
            )
            for image in sorted(set(table.photo.tolist()))
            if (record := naming.by_id[image])
        }
        originals = Originals((naming.path(record), record.content_hash) for record in naming.records)
        return Source(table, photos, originals)


_EMBEDDINGS: dict[str, Literal["npz", "csv", "parquet"]] = {
    ".npz": "npz",
    ".csv": "csv",
    ".parquet": "parquet",
}


def _suffix(destination: Destination | BinaryIO) -> str:
    return Path(destination).suffix.lower() if isinstance(destination, (str, os.PathLike)) else ""
