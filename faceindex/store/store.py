"""The index directory as one object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from faceindex.errors import IndexNotFound, StoreError, UsageError
from faceindex.store.catalog import Catalog
from faceindex.store.lock import WriterLock
from faceindex.store.records import (
    Clustering,
    Counts,
    HnswParams,
    Json,
    NewPhoto,
    PhotoRecord,
    Pins,
    Root,
    Run,
    Unchanged,
)
from faceindex.store.vectors import VectorFile

if TYPE_CHECKING:
    from faceindex.store.records import Assignments, FaceTable
    from faceindex.store.search import Search
    from faceindex.types import F32, I64, BoolArray

__all__ = ["Store"]

CATALOG, VECTORS, ANN, LOCK = "catalog.sqlite", "vectors.f32", "ann.hnsw", "lock"
_FILES = (CATALOG, CATALOG + "-wal", CATALOG + "-shm", VECTORS, ANN, LOCK)

# Vectors are promised to be of unit length; this is far more than float32 rounding leaves over.
_LENGTH_TOLERANCE = 1e-3


class Store:
    """The catalog, the vectors and the search graph of one index directory.

    Use `create` or `open`, and the result as a context manager. There is one writer at a time,
    over all processes; readers never wait for it and see its commits as they are made. A store may
    be handed from thread to thread, but used by one at a time.

    Attributes
    ----------
    directory : Path
    pins : Pins
        What the index is pinned to.
    writable : bool
    """

    def __init__(self, directory: Path, catalog: Catalog, lock: WriterLock | None) -> None:
        self.directory = directory
        self.writable = lock is not None
        self.pins = catalog.pins()
        self._catalog = catalog
        self._lock = lock
        self._vectors = VectorFile(directory / VECTORS, self.pins.dimension)
        self._searching: Search | None = None

    # Opening and closing -----------------------------------------------------------------------

    @staticmethod
    def exists(directory: str | os.PathLike[str]) -> bool:
        """Whether there is a complete index in `directory`."""
        return (Path(directory) / CATALOG).is_file()

    @classmethod
    def create(
        cls, directory: str | os.PathLike[str], pins: Pins, *, hnsw: HnswParams | None = None
    ) -> Store:
        """Make a new index and open it for writing.

        The directory gets mode 0700, its files 0600: they hold biometric data. What a creation
        that was killed left behind is no index yet, and is overwritten.

        Parameters
        ----------
        directory : path-like
            Made if missing; may exist if nothing of others is in it (hidden files apart).
        pins : Pins
        hnsw : HnswParams, optional
            None means the defaults.

        Raises
        ------
        UsageError
            If there is an index already, or anything else.
        IndexLocked
            If another process is just making one there.
        StoreError
            If the directory cannot be made.
        """
        directory = Path(directory).absolute()
        if pins.dimension < 1:
            raise UsageError(f"{pins.dimension} is no dimension of a vector.", "Name at least 1.")
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            strangers = [p for p in directory.iterdir() if not p.name.startswith((".", *_FILES))]
            if strangers:
                raise UsageError(
                    f"{directory} cannot become an index: it holds {strangers[0].name}.",
                    "Name a new or an empty folder.",
                )
            directory.chmod(0o700)
        except OSError as error:
            raise StoreError(
                f"The folder {directory} cannot be made: {error.strerror}.", "Name another one with --index."
            ) from error
        lock = WriterLock(directory / LOCK)
        try:
            if cls.exists(directory):
                raise UsageError(
                    f"There already is an index in {directory}.", "Open it, or name another folder."
                )
            (directory / ANN).unlink(missing_ok=True)
            VectorFile(directory / VECTORS, pins.dimension).create()
            Catalog.create(directory / CATALOG, pins, hnsw or HnswParams())
            return cls._open_locked(directory, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, write: bool = False) -> Store:
        """Open an existing index.

        For writing, this also upgrades an older format and cuts off what an interrupted commit
        left in the vector file. For reading, a directory that cannot be written will do.

        Raises
        ------
        IndexNotFound
            If there is none, or only the beginnings of one.
        IndexLocked
            If `write` and another process is writing.
        IndexVersionError
            If a newer faceindex wrote it.
        IndexCorrupt
            If its files contradict each other.
        StoreError
            If it cannot be read, or be written.
        """
        directory = Path(directory).absolute()
        if not cls.exists(directory):
            raise IndexNotFound(
                f"There is no index in {directory}.", "Make one with `faceindex index PATH...`."
            )
        if write:
            lock = WriterLock(directory / LOCK)
            try:
                return cls._open_locked(directory, lock)
            except BaseException:
                lock.release()
                raise
        catalog = Catalog.open(directory / CATALOG, write=False)
        try:
            store = cls(directory, catalog, None)
            store._vectors.check(catalog.rows)
        except BaseException:
            catalog.close()
            raise
        return store

    @classmethod
    def _open_locked(cls, directory: Path, lock: WriterLock) -> Store:
        catalog = Catalog.open(directory / CATALOG, write=True)
        try:
            store = cls(directory, catalog, lock)
            rows = catalog.rows
            store._vectors.check(rows)
            store._vectors.trim(rows)
        except BaseException:
            catalog.close()
            raise
        return store

    def close(self) -> None:
        """Close the files and let the next writer in. Harmless when repeated."""
        self._catalog.close()
        self._vectors.close()
        if self._searching is not None:
            self._searching.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def format_version(self) -> int:
        """Format of the index directory."""
        return self._catalog.format_version

    @property
    def generation(self) -> int:
        """A counter that grows with every commit of anyone: a key for caches."""
        return self._catalog.generation

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside the ``with`` is of one moment, whatever a writer does meanwhile.

        Without it, `photos` and `faces` read one after the other may tell of different moments.
        """
        with self._catalog.snapshot():
            yield

    def _writing(self) -> Catalog:
        if not self.writable:
            raise UsageError("The index is open for reading only.", "Open it with write=True.")
        return self._catalog

    # Roots and photos --------------------------------------------------------------------------

    def roots(self) -> list[Root]:
        """All roots, in the order in which they were added."""
        return self._catalog.roots()

    def add_root(self, path: str | os.PathLike[str], given: str) -> Root:
        """The root for a folder; made if no root contains it.

        Roots inside the new one are absorbed: their photos get paths relative to it, and keep
        their ids, faces and clusters.

        Parameters
        ----------
        path : path-like
            Absolute folder.
        given : str
            As the user typed it.

        Returns
        -------
        Root
            May be an existing one above `path`.
        """
        catalog = self._writing()
        path = os.path.normpath(os.fspath(path))
        if not os.path.isabs(path):  # noqa: PTH117 - Path would not survive every name on Windows
            raise UsageError(f"{path} is not an absolute path.", "Resolve it first.")
        known = catalog.roots()
        for root in known:
            if _inside(path, root.path) is not None:
                return root
        with catalog.transaction():
            outer = catalog.add_root(path, given)
            for inner in known:
                if prefix := _inside(inner.path, path):
                    catalog.absorb_root(inner, outer, prefix + "/")
        return outer

    def photos(self, root_id: int | None = None) -> dict[tuple[int, str], PhotoRecord]:
        """Every known photo by (root id, relative path); of one root, or of all (None)."""
        return {(photo.root_id, photo.relpath): photo for photo in self._catalog.photos(root_id)}

    def photos_by_id(self, photo_ids: Iterable[int]) -> dict[int, PhotoRecord]:
        """Known photos by id, for those of `photo_ids` that are known."""
        return {photo.id: photo for photo in self._catalog.photos_by_id(set(photo_ids))}

    def commit(self, photos: Sequence[NewPhoto]) -> None:
        """Make the outcome of a batch of photos durable, all of it or nothing.

        First the vectors are appended and synced, then one transaction names them: killed at any
        instant, the index has the whole batch or none of it, and everything before. A photo that
        is already known by root and path is replaced and its old faces are tombstoned.

        Raises
        ------
        UsageError
            If arrays disagree in length, or vectors are not of unit length or not of the index's
            dimension. Nothing is written.
        StoreError
            If the disk is full or fails. Nothing is committed.
        """
        catalog = self._writing()
        with_faces = [photo.faces for photo in photos if photo.faces is not None and len(photo.faces)]
        for faces in with_faces:
            self._check_vectors(faces.vectors)
            if (
                not len(faces)
                == len(faces.vectors)
                == len(faces.landmarks)
                == len(faces.scores)
                == len(faces.norms)
                == len(faces.sharpness)
            ):
                raise UsageError("The arrays of a photo's faces differ in length.", "Give one row per face.")
        if with_faces:
            import numpy as np

            self._vectors.append(catalog.rows, np.concatenate([faces.vectors for faces in with_faces]))
        with catalog.transaction():
            for photo in photos:
                photo_id = catalog.put_photo(photo)
                if photo.faces is not None and len(photo.faces):
                    catalog.put_faces(photo_id, photo.faces)

    def move_photos(self, moves: Sequence[tuple[int, int, str, int, int]]) -> None:
        """Tell where known photos are now: they keep their faces and clusters.

        Parameters
        ----------
        moves : sequence of (photo id, root id, relpath, size, mtime_ns)
            May be swaps and cycles. A known photo at a new path that is not itself moved was
            overwritten: it is removed.
        """
        with self._writing().transaction():
            self._catalog.move_photos(moves)

    def touch(self, updates: Iterable[tuple[int, int, int]]) -> None:
        """Note new (photo id, size, mtime_ns) for photos whose content is the same."""
        with self._writing().transaction():
            self._catalog.touch_photos(updates)

    def remove(self, photo_ids: Iterable[int]) -> None:
        """Forget photos; their faces are tombstoned. Unknown ids are ignored."""
        with self._writing().transaction():
            self._catalog.remove_photos(photo_ids)

    # Faces and vectors -------------------------------------------------------------------------

    def count_faces(self) -> int:
        """How many live faces there are; `counts` takes much longer."""
        return self._catalog.count_live()

    def faces(self) -> FaceTable:
        """All live faces with their places on the photos and their clusters."""
        return self._catalog.faces()

    def assignments(self) -> Assignments:
        """All live faces and their clusters; in two thirds of the time of `faces`."""
        return self._catalog.assignments()

    def vectors(self, rows: I64 | None = None) -> F32:
        """Unit vectors by row.

        Parameters
        ----------
        rows : (n,) int64, optional
            Rows to gather, such as ``faces().row``; None means all committed rows, tombstones
            included.

        Returns
        -------
        (n, d) float32
            Read-only. Consecutive rows are not copied: they are a memory map.
        """
        import numpy as np

        committed = self._catalog.rows
        mapped = self._vectors.read(committed)
        if rows is None:
            return mapped
        if len(rows) and not 0 <= int(np.min(rows)) <= int(np.max(rows)) < committed:
            raise UsageError(f"A row is outside 0..{committed - 1}.", "Use the rows of faces().")
        if len(rows) and (np.diff(rows) == 1).all():
            return mapped[int(rows[0]) : int(rows[-1]) + 1]
        gathered = np.asarray(mapped[rows])
        gathered.flags.writeable = False
        return gathered

    # Search ------------------------------------------------------------------------------------

    def search(self, queries: F32, k: int, *, exact: bool | None = None) -> tuple[I64, F32]:
        """The live faces most similar to each query.

        Parameters
        ----------
        queries : (m, d) float32
            Unit length.
        k : int
            At least 1; more than there are faces is allowed.
        exact : bool, optional
            True compares with every face; False uses the HNSW graph for the rows that it covers;
            None uses the graph from `EXACT_BELOW` faces on, once enough queries have been asked
            to be worth loading it. Without a usable graph the search is exact.

        Returns
        -------
        faces : (m, k) int64
            Face ids, most similar first, ties by lower id; padded with -1.
        similarities : (m, k) float32
            -1..1; padded with -inf.
        """
        if k < 1:
            raise UsageError(f"{k} neighbours were asked for.", "Ask for at least 1.")
        import numpy as np

        queries = np.ascontiguousarray(queries, np.float32)
        self._check_vectors(queries)
        return self._search.find(queries, k, exact)

    def prepare_search(self) -> None:
        """Read ahead what the first `search` would read otherwise."""
        self._search.prepare()

    def update_hnsw(self, *, always: bool = False, progress: Callable[[int, int], None] | None = None) -> int:
        """Bring the HNSW graph up to the committed rows; build it if it is missing or damaged.

        To be called after a run that added photos. Below `EXACT_BELOW` faces nothing is done: no
        search would use the graph. A graph that lacks less than a fiftieth of the rows is left as it
        is: the rest is searched exactly, in less time than loading, extending and saving it would take.

        Parameters
        ----------
        always : bool
            Build it for any number of faces, and leave out none.
        progress : callable, optional
            Called with faces added and faces to add.

        Returns
        -------
        int
            Faces that were added to the graph.

        Raises
        ------
        StoreError
            If the file cannot be written; nothing but speed is lost.
        """
        self._writing()
        return self._search.update_hnsw(always, progress)

    @property
    def _search(self) -> Search:
        """Made when it is first asked for: hnswlib and numpy take a tenth of a second to load."""
        if self._searching is None:
            from faceindex.store.search import Search

            self._searching = Search(self._catalog, self._vectors, self.directory / ANN)
        return self._searching

    def _check_vectors(self, vectors: F32) -> None:
        import numpy as np

        d = self.pins.dimension
        if vectors.ndim != 2 or vectors.shape[1] != d:
            raise UsageError(
                f"Vectors of shape {vectors.shape} were given; this index has {d} dimensions.",
                f"Use the embedder of the index, {self.pins.embedder}.",
            )
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        # Negated, so that NaN is refused too.
        if not np.all(np.abs(lengths - 1) <= _LENGTH_TOLERANCE):
            raise UsageError("A vector is not of unit length.", "Divide each by its norm.")

    # Clusterings -------------------------------------------------------------------------------

    def save_clustering(
        self,
        algorithm: str,
        params: Mapping[str, Json],
        seed: int,
        face_ids: I64,
        labels: I64,
        similarities: F32,
        *,
        changed: BoolArray | None = None,
    ) -> int:
        """Store the clusters of all faces; replaces the previous assignment in one transaction.

        Parameters
        ----------
        algorithm : str
            Name of the clusterer.
        params : mapping
            All its parameters, for the record.
        seed : int
        face_ids : (n,) int64
            Live faces; those left out are in no cluster.
        labels : (n,) int64
            Cluster ids, -1 for none. A new cluster's id must be
            ``active_clustering().next_cluster_id`` or higher (0 for the first clustering).
        similarities : (n,) float32
            Of each face to its cluster; ignored where the label is -1.
        changed : (n,) bool, optional
            Where labels or similarities differ from what is stored: only these faces are written, and
            what is not among `face_ids` stays as it is. None means to write all.

        Returns
        -------
        int
            Id of the clustering.

        Raises
        ------
        UsageError
            If arrays differ in length, a similarity is missing, or a face is unknown.
        """
        import numpy as np

        catalog = self._writing()
        face_ids, labels = np.asarray(face_ids, np.int64), np.asarray(labels, np.int64)
        similarities = np.asarray(similarities, np.float32)
        if not face_ids.shape == labels.shape == similarities.shape == (len(face_ids),):
            raise UsageError("Faces, labels and similarities differ in length.", "Give one of each per face.")
        if not np.isfinite(similarities[labels >= 0]).all():
            raise UsageError("A face in a cluster has no similarity to it.", "Give a finite number.")
        if changed is not None:
            if changed.shape != labels.shape:
                raise UsageError("Faces and changes differ in length.", "Give one of each per face.")
            face_ids, labels, similarities = face_ids[changed], labels[changed], similarities[changed]
        with catalog.transaction(photos_stay=True):
            return catalog.save_clustering(
                algorithm, params, seed, face_ids, labels, similarities, everything=changed is None
            )

    def active_clustering(self) -> Clustering | None:
        """The clustering whose clusters `faces` tells; None if `cluster` has not run yet."""
        return self._catalog.active_clustering()

    # Trees that were seen with nothing to do ---------------------------------------------------

    def remember(self, tree: str, found: Unchanged) -> None:
        """Note what a comparison of a tree of files with the index found that left nothing to do.

        Derived, and bound to what it was derived from: it is forgotten with the next commit that
        changes a photo, by whatever version of faceindex, and if the search graph's file is replaced.

        Parameters
        ----------
        tree : str
            A digest of all that is compared: every file's place, size and time.
        found : Unchanged
            All that there was.
        """
        with self._writing().transaction(photos_stay=True):
            self._catalog.remember(tree, found, self._graph_file())

    def recall(self, tree: str) -> Unchanged | None:
        """What `remember` noted of a tree; None if nothing, or if it does not hold any more."""
        return self._catalog.recall(tree, self._graph_file())

    def _graph_file(self) -> list[int] | None:
        try:
            status = (self.directory / ANN).stat()
        except FileNotFoundError:
            return None
        return [status.st_size, status.st_mtime_ns]

    # Journal and counts ------------------------------------------------------------------------

    def log_run(self, kind: str, detail: Mapping[str, Json]) -> None:
        """Append a command and its summary to the journal."""
        with self._writing().transaction(photos_stay=True):
            self._catalog.write_journal(kind, detail)

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest entries of the journal, newest first."""
        return self._catalog.journal(limit)

    def counts(self) -> Counts:
        """How much there is of everything."""
        with self._catalog.snapshot():
            photos, reasons = self._catalog.count_photos()
            faces, clustered, clusters = self._catalog.count_faces()
            rows = self._catalog.rows
            runs = self._catalog.journal(1)
        return Counts(
            photos=photos,
            reasons=reasons,
            faces=faces,
            clustered=clustered,
            clusters=clusters,
            rows=rows,
            bytes={name: size for name in _FILES if (size := _size(self.directory / name)) is not None},
            last_run=runs[0] if runs else None,
        )


def _inside(path: str, root: str) -> str | None:
    """`path` relative to `root` with ``/``, "" if they are the same, None if it is not inside."""
    if path == root:
        return ""
    start = root if root.endswith(os.sep) else root + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
