"""``index.cluster``: cluster the faces, compare the clusters with the earlier ones, and restore those."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.cluster_changes import ClusterChanges
    from faceindex.api.reader import Reader
    from faceindex.api.results import ClusterResult

__all__ = ["IndexClustering"]


class IndexClustering:
    """Groups the faces of an index into people; ``index.cluster`` of a `FaceIndex`.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __call__(
        self,
        algorithm: str = "album",
        *,
        k: int | None = None,
        threshold: float | None = None,
        min_size: int | None = None,
        seed: int = 0,
        rebuild: bool = False,
        dry_run: bool = False,
        part_size: int | None = None,
        on: str | None = None,
        actors: int | None = None,
    ) -> ClusterResult:
        """Group the faces into people.

        No face is bound to its previous cluster, so an album that grew has the same clusters as one that was
        clustered at once. Each cluster takes the id of the previous one with which it shares most faces.

        If no face was added or removed since a run with the same algorithm and parameters, nothing changes.
        In an index of more than 20,000 faces of which few are new, only the part that resembles the new faces
        is clustered again.

        Parameters
        ----------
        algorithm : str
            Name of a clusterer.
        k : int, optional
            Number of clusters; KMeans needs it.
        threshold : float, optional
            A constant least similarity, instead of the calibrated one that grows with the number of faces.
        min_size : int, optional
            Dissolve new clusters with fewer faces: their faces are in no cluster. None means 2 for
            clusterers that find the number of clusters, and 1 for others.
        seed : int
            The same faces and seed give the same clusters.
        rebuild : bool
            Cluster all faces, even if nothing changed.
        dry_run : bool
            Store nothing; the result has the `changes`. The index may be open for reading only.
        part_size : int, optional
            Cluster at most so many faces at a time, 2 or more, so that their links need not fit into memory.
            More faces are divided into parts, so that the faces of a person come into one part; the clusters
            differ a little. Meanwhile, files in the index directory hold the links and a copy of the vectors
            (in the temporary directory, if the index cannot be written, as in some dry runs). None clusters
            all faces together. Not for ``"kmeans"``.
        on : str, optional
            Where to search for similar faces, if they are more than 20,000 or `part_size`, and to cluster
            parts: ``"ray"`` or ``"ray:ADDRESS"``, as in `faceindex.FaceIndex.add`. All machines need the
            index directory at the same path. The result is the same. None is this process.
        actors : int, optional
            How many processes of Ray do that; None means one for each core that Ray has.

        Raises
        ------
        UnknownModel, ModelNotInstalled
        UsageError
            If a parameter is out of range, or the index is open for reading only.
        EngineError
            If Ray is not installed or does not start, its machines have other versions or no access to the
            index directory, or its workers die of their work.
        StoreError
            If files that `part_size` or `on` need cannot be written.
        """
        from faceindex.api.clustering import Parameters, cluster_index
        from faceindex.api.extraction import check_place

        check_place(on, actors)
        parameters: Parameters = {
            "k": k,
            "threshold": threshold,
            "min_size": min_size,
            "part_size": part_size,
        }
        with self._access(dry_run):
            return cluster_index(
                self._reader,
                algorithm,
                parameters,
                seed=seed,
                rebuild=rebuild,
                dry_run=dry_run,
                on=on,
                actors=actors,
            )

    def changes(self) -> ClusterChanges:
        """Compare the clusters with those before the last change: merged, split, moved, new, gone.

        Runs that changed no cluster do not count.

        Raises
        ------
        NotClustered
            If the faces are not clustered.
        UsageError
            If no run has changed the clusters of an earlier one.
        """
        from faceindex.api.history import changes_since_previous

        return changes_since_previous(self._reader)

    def restore(self, *, dry_run: bool = False) -> ClusterResult:
        """Bring back the clusters before the last change, with their ids and parameters.

        The clusters that are replaced become the previous ones: restoring again undoes it. Faces that were
        indexed since are in no cluster until the next run.

        Parameters
        ----------
        dry_run : bool
            Store nothing; the result has the `changes`. The index may be open for reading only.

        Raises
        ------
        NotClustered, UsageError
            As `changes`; also if the index is open for reading only.
        """
        from faceindex.api.history import restore_previous

        with self._access(dry_run):
            return restore_previous(self._reader, dry_run=dry_run)

    def newer_faces(self) -> int:
        """Count the faces that are newer than the clusters; 0 if the faces are not clustered."""
        return self._reader.store.count_newer_faces()

    def _access(self, dry_run: bool) -> AbstractContextManager[None]:
        """Return a context in which all reads are of one moment; require write access unless `dry_run`."""
        if dry_run:
            return self._reader.store.snapshot()
        if not self._reader.store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        return nullcontext()  # there is no other writer
