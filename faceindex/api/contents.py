"""What an index contains: its models, photos, faces and clusters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from faceindex.api.reader import Reader
from faceindex.store import Clustering, Counts, FaceTable, Pins, Store

if TYPE_CHECKING:
    import pandas

    from faceindex.api.album import IndexAlbum
    from faceindex.api.results import Cluster, Face
    from faceindex.errors import FaceIndexError
    from faceindex.locks import Holder
    from faceindex.types import F32, Image

__all__ = ["IndexContents"]


class IndexContents:
    """Reads what an index contains, the part of `FaceIndex` that loads no network and changes nothing.

    Parameters
    ----------
    store : Store

    Attributes
    ----------
    directory : Path
    """

    def __init__(self, store: Store) -> None:
        self.directory = store.directory
        self._store = store
        self._reader = Reader(store)

    def __len__(self) -> int:
        return self._store.count_faces()

    def __bool__(self) -> bool:
        return True  # also without faces

    def __iter__(self) -> Iterator[Face]:
        return self._reader.select()

    @property
    def pins(self) -> Pins:
        """The models and settings that the index is pinned to."""
        return self._store.pins

    @property
    def clustering(self) -> Clustering | None:
        """The current clustering; None if `cluster` has not run."""
        return self._store.active_clustering()

    @property
    def album(self) -> IndexAlbum:
        """Read all faces and photos as arrays for a page that shows them, and follow every commit."""
        from faceindex.api.album import IndexAlbum

        return IndexAlbum(self._reader)

    def counts(self) -> Counts:
        """Count photos, faces, clusters and bytes on disk."""
        return self._store.counts()

    def writer(self) -> Holder | None:
        """Return the process that is writing to the index; None if there is none."""
        return self._store.writer()

    @property
    def replaced(self) -> bool:
        """Whether the index was deleted, repaired or made anew since it was opened: open it again."""
        return self._store.replaced

    def faces(
        self,
        *,
        cluster: int | None = None,
        clustered: bool | None = None,
        photo: str | os.PathLike[str] | None = None,
        person: str | None = None,
    ) -> Iterator[Face]:
        """Iterate over faces, photo by photo in the order of indexing.

        Parameters
        ----------
        cluster : int, optional
            Only the faces of this cluster.
        clustered : bool, optional
            Only faces in some cluster (True) or in none (False).
        photo : path-like, optional
            Only the faces on this photo, given by its name in the index or by its path.
        person : str, optional
            Only the faces of this person, by name.

        Raises `NotClustered` if there are no clusters yet, `UsageError` for an unknown cluster, photo or
        person.
        """
        return self._reader.select(cluster, clustered, photo, person)

    def clusters(self) -> list[Cluster]:
        """Return all clusters, largest first; raises `NotClustered` if `cluster` has not run."""
        return self._reader.clusters()

    def unreadable(self) -> list[tuple[str, str]]:
        """Return the photos that could not be read, each with the reason, sorted by name."""
        return self._reader.unreadable()

    def notes(self) -> list[tuple[str, str]]:
        """Return the photos whose files are special, each with a note, sorted by name.

        Their metadata are damaged, or they have further pages or frames, which are not searched for faces.
        """
        return self._reader.notes()

    def known_failures(self) -> dict[str, str]:
        """Return the paths of indexed photos that the last `add` could not read, with the reasons."""
        return self._reader.known_failures()

    def missing_models(self) -> list[FaceIndexError]:
        """Return an error for each missing model or weight file that `add` and `identify` need."""
        from faceindex.api.pins import missing_models

        return missing_models(self.pins, self.directory)

    def table(self) -> FaceTable:
        """Return all faces as parallel arrays."""
        return self._reader.table()

    def vectors(self) -> F32:
        """Return the unit vectors of all faces, (n, d) float32, in the order of `table`; read-only."""
        return self._reader.vectors()

    def to_pandas(self) -> pandas.DataFrame:
        """Return all faces as a pandas DataFrame, indexed by face id; `UsageError` without pandas.

        The columns are ``photo, path, x1, y1, x2, y2, score, cluster, similarity``.
        """
        from faceindex.api.frames import faces_as_frame

        return faces_as_frame(*self._reader.faces_and_photos())

    def check_writable(self, path: str | os.PathLike[str]) -> None:
        """Raise `UsageError` if a file is one of the indexed photos, under whatever name."""
        self._reader.check_writable(path)

    def crop(self, face: Face | int, *, margin: float = 0.5, aligned: bool = False) -> Image:
        """Cut a face out of its photo.

        Parameters
        ----------
        face : Face or int
            A face of the index, or its id.
        margin : float
            Margin on each side of the box, as a share of its width and height, 0..10.
        aligned : bool
            Return the chip that the embedder gets; `margin` is ignored.

        Returns
        -------
        (h, w, 3) uint8

        Raises `UsageError` for an unknown face, and `ImageError` if its photo is unreadable or has changed.
        """
        from faceindex.api.queries import crop_face

        return crop_face(self._reader, face, margin, aligned)
