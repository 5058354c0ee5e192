"""What `FaceIndex` says of an index that is open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeVar

from faceindex.api.adding import Opened
from faceindex.api.clusters import Cluster, cluster_rows
from faceindex.api.pins import missing_models, pinned_embedder
from faceindex.api.results import Face
from faceindex.api.rows import Naming, face_rows
from faceindex.errors import FaceIndexError, NotClustered, UsageError
from faceindex.models import EmbedderSpec
from faceindex.store import Clustering, Counts, FaceTable, Status, Store
from faceindex.types import F32

__all__ = ["Reading"]

_Self = TypeVar("_Self", bound="Reading")


class Reading(Opened):
    """What is in an index. Needs no network.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store, *, device: str = "auto") -> None:
        super().__init__(store, device=device)
        self._read: tuple[int, FaceTable] | None = None
        self._named: tuple[FaceTable, Naming] | None = None

    # What is in it -----------------------------------------------------------------------------

    def missing_models(self) -> list[FaceIndexError]:
        """What stands in the way of `add` and `identify`: models or weights that are not installed.

        Everything else works without them, but `cluster` may need the embedder's spec.

        Returns
        -------
        list of FaceIndexError
            As they would be raised; empty if all is there.
        """
        return missing_models(self.pins, self.directory)

    @property
    def clustering(self) -> Clustering | None:
        """How the faces were last clustered; None if never."""
        return self._store.active_clustering()

    def counts(self) -> Counts:
        """How much there is of everything."""
        return self._store.counts()

    def count_faces(self) -> int:
        """How many faces there are, without counting anything else."""
        return self._store.count_faces()

    def unreadable(self) -> list[tuple[str, str]]:
        """Photos that could not be used, each with the reason, in order of their names."""
        _, naming = self._catalog()
        return sorted(
            (naming.name(record), record.detail or record.reason or "")
            for record in naming.records
            if record.status is Status.UNREADABLE
        )

    def check_writable(self, path: str | os.PathLike[str]) -> None:
        """Refuse to write over an original.

        Raises
        ------
        UsageError
            If the file is one of the indexed photos, by whatever name it is reached.
        """
        real = os.path.realpath(path)
        parent, name = os.path.split(real)
        _, naming = self._catalog()
        # The way to a photo is resolved once for its folder: for each photo it would take seconds.
        for folder, names in naming.folders().items():
            here = os.path.realpath(folder)
            if (here == parent and name in names) or any(
                os.path.realpath(os.path.join(here, link)) == real  # noqa: PTH118
                for link in names & _links(here)
            ):
                raise UsageError(f"{os.fspath(path)} is one of the indexed photos.", "Name another file.")

    def table(self) -> FaceTable:
        """All faces as parallel arrays."""
        return self._faces()

    def vectors(self) -> F32:
        """Unit vectors of all faces, (n, d) float32, in the order of `table`; read-only."""
        return self._store.vectors(self.table().row)

    def faces(self) -> Iterator[Face]:
        """All faces, by photo in the order in which they were indexed."""
        table, naming = self._catalog()
        return face_rows(table, naming, range(len(table)))

    def clusters(self) -> list[Cluster]:
        """All clusters, largest first."""
        return cluster_rows(*self._catalog())

    def require_clusters(self) -> Clustering:
        """How the faces are clustered.

        Raises
        ------
        NotClustered
            If they are not.
        """
        clustering = self.clustering
        if clustering is None:
            raise NotClustered("The faces have not been grouped into people yet.", "Run `faceindex cluster`.")
        return clustering

    # Details -----------------------------------------------------------------------------------

    @property
    def _embedder_spec(self) -> EmbedderSpec:
        return pinned_embedder(self.pins, self.directory)

    def _faces(self) -> FaceTable:
        """All faces, read again only after a commit."""
        with self._store.snapshot():
            if self._read is None or self._read[0] != self._store.generation:
                self._read = (self._store.generation, self._store.faces())
            return self._read[1]

    def _catalog(self) -> tuple[FaceTable, Naming]:
        """Faces and photos of one moment, read again only after a commit."""
        with self._store.snapshot():
            table = self._faces()
            if self._named is None or self._named[0] is not table:
                self._named = (table, Naming(self._store))
            return self._named


def _links(folder: str) -> set[str]:
    """The names of the symbolic links in a folder; none if it is not there or cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except OSError:
        return set()
