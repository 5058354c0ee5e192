"""The library's face: one object for one index."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import numpy as np

from faceindex import images, models
from faceindex.api.adding import Adding, check_device, find_index
from faceindex.api.evaluation import Evaluating
from faceindex.api.export import Exporting
from faceindex.api.results import ClusterResult, IdentifiedFace, Query
from faceindex.api.rows import Naming, as_box, face_rows
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.incremental import (
    cluster_faces,
    representative_faces,
    similarity_to_centroid,
    update_similarities,
)
from faceindex.errors import IndexNotFound, ModelError, UsageError
from faceindex.identification import Representatives, identify
from faceindex.models import Calibration, ClustererSpec
from faceindex.store import (
    FaceTable,
    Store,
)
from faceindex.types import Faces

__all__ = ["FaceIndex"]


class FaceIndex(Adding, Exporting, Evaluating):
    """An index of the faces in folders of photos.

    Use `open`, `create` or `open_or_create`, and the result as a context manager.

    Examples
    --------
    >>> from faceindex import FaceIndex
    >>> with FaceIndex.open_or_create("photos.faceindex") as index:  # doctest: +SKIP
    ...     index.add(["photos/"])
    ...     index.cluster()
    ...     print(index.identify("someone.jpg").faces[0].answer.cluster)
    """

    def __init__(self, store: Store, *, device: str = "auto") -> None:
        super().__init__(store, device=device)
        self._speaking: tuple[FaceTable, Representatives] | None = None

    # Opening and closing -----------------------------------------------------------------------

    @classmethod
    def open(
        cls, directory: str | os.PathLike[str] | None = None, *, write: bool = False, device: str = "auto"
    ) -> FaceIndex:
        """Open an existing index.

        Parameters
        ----------
        directory : path-like, optional
            None looks for it as `find_index` does.
        write : bool
            Whether to change it; there is one writer at a time, readers never wait.
        device : str
            Where networks compute: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:n"`` or ``"mps"``.

        Raises
        ------
        IndexNotFound
            If there is none.
        IndexLocked, IndexVersionError, IndexCorrupt
            As `Store.open`.
        """
        check_device(device)
        found = find_index(directory)
        if found is None:
            raise IndexNotFound(
                f"There is no index here ({Path.cwd()}) or in a folder above.",
                "Make one with `faceindex index PATH...`, or name one with --index DIR.",
            )
        return cls(Store.open(found, write=write), device=device)

    # What it does ------------------------------------------------------------------------------

    def cluster(
        self,
        algorithm: str = "chinese-whispers",
        *,
        k: int | None = None,
        threshold: float | None = None,
        min_size: int | None = None,
        seed: int = 0,
        rebuild: bool = False,
    ) -> ClusterResult:
        """Group the faces into people.

        If the faces were clustered with the same algorithm and parameters before, those that are in
        a cluster stay there and the new ones join them or form new clusters. Otherwise, and with
        `rebuild`, everything is clustered afresh, and a new cluster takes the id of the old one with
        which it shares most faces.

        Parameters
        ----------
        algorithm : str
            Name of a clusterer.
        k : int, optional
            Number of clusters; needed by KMeans.
        threshold : float, optional
            A constant least similarity, instead of the calibrated one that grows with the number
            of faces.
        min_size : int, optional
            New clusters with fewer faces are dissolved: their faces are in no cluster. None means 2
            for clusterers that find the number of clusters, and 1 for others.
        seed : int
            Same faces and seed, same clusters.
        rebuild : bool

        Returns
        -------
        ClusterResult

        Raises
        ------
        UnknownModel, UsageError
        ModelNotInstalled
            If the clusterer needs the calibration of an embedder that is not installed.
        """
        if not self._store.writable:
            raise UsageError("The index is open for reading only.", "Open it with write=True.")
        spec = models.get("clusterer", algorithm)
        assert isinstance(spec, ClustererSpec)
        if min_size is None:
            min_size = 2 if spec.needs == "graph" else 1
        if min_size < 1:
            raise UsageError(f"--min-size {min_size} is not a size.", "Choose 1 or more.")
        if not 0 <= seed < 2**32:
            raise UsageError(f"--seed {seed} cannot be used.", "Choose one in 0..4294967295.")
        if threshold is not None and not -1 <= threshold <= 1:
            raise UsageError(f"--threshold {threshold:g} is not a similarity.", "Choose one in -1..1.")
        calibration = None
        with contextlib.suppress(*(() if spec.needs == "graph" else (ModelError,))):
            calibration = self._embedder_spec.calibration  # a clusterer of vectors can do without
        options = ClusterOptions(seed=seed, k=k, threshold=threshold, calibration=calibration)
        clusterer: Clusterer = models.load(spec, options=options)
        params: dict[str, str | int | float | bool | None] = {
            "k": k,
            "threshold": threshold,
            "min_size": min_size,
        }
        previous = self.clustering
        same = (
            previous is not None
            and (previous.algorithm, previous.seed) == (algorithm, seed)
            and all(previous.params.get(name) == value for name, value in params.items())
        )
        started_over = rebuild or not same

        table = self._store.assignments()  # the writer's lock is held: the photos' names are not needed
        vectors = self._store.vectors(table.row)
        labels = cluster_faces(
            table,
            vectors,
            clusterer,
            options,
            min_size=min_size,
            previous=previous,
            started_over=started_over,
        )
        if started_over:
            similarities, changed = similarity_to_centroid(vectors, labels), None
        else:
            similarities, changed = update_similarities(vectors, labels, table)
        self._store.save_clustering(
            algorithm,
            {**params, "last_face": int(table.face.max(initial=-1))},
            seed,
            table.face,
            labels,
            similarities,
            changed=changed,
        )
        ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
        order = np.lexsort((ids, -sizes))
        effective = threshold
        if effective is None and spec.needs == "graph" and calibration is not None:
            effective = calibration.threshold(len(table))
        return ClusterResult(
            algorithm=algorithm,
            sizes={int(ids[i]): int(sizes[i]) for i in order},
            faces=len(table),
            unclustered=int((labels < 0).sum()),
            kept=int(((table.cluster >= 0) & (labels == table.cluster)).sum()),
            started_over=started_over and previous is not None,
            threshold=effective,
        )

    def identify(
        self,
        photo: str | os.PathLike[str],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
    ) -> Query:
        """Say who is on a photo, which need not be in the index.

        Parameters
        ----------
        photo : path-like
        neighbours : int
            How many of the nearest faces are told for each face.
        threshold : float, optional
            Least similarity of a known person; None means the calibrated one for an index of this
            size.

        Returns
        -------
        Query
            Without faces if none was found. If `cluster` has not run, `answer.best` is None and
            the nearest faces are told all the same.

        Raises
        ------
        ImageError
            If the photo cannot be read.
        """
        data = images.read(photo)
        if self._recogniser is None:
            self._get_ready()
        recogniser = self._load_recogniser()
        shot = recogniser.take(data, photo)
        return self.identify_faces(os.fspath(photo), recogniser.faces([shot])[0], neighbours, threshold)

    def identify_faces(
        self, photo: str, faces: Faces, neighbours: int = 5, threshold: float | None = None
    ) -> Query:
        """`identify` for faces that have been found and embedded already."""
        with self._store.snapshot():
            table = self._faces()
            calibration = self._embedder_spec.calibration
            consensus = 0.0
            if threshold is None:
                threshold = calibration.threshold(len(table))
                consensus = calibration.consensus / calibration.slope
            answers = identify(
                faces.vectors,
                self._store.search,
                faces=table.face,
                clusters=table.cluster,
                threshold=threshold,
                consensus=consensus,
                voices=self._voices(table, calibration),
                neighbours=neighbours,
            )
            named = {neighbour.face for answer in answers for neighbour in answer.neighbours}
            which = np.searchsorted(table.face, np.array(sorted(named), np.int64))
            # All photos have many times as many names as are told here.
            naming = Naming(self._store, table.photo[which].tolist())
        return Query(
            photo=photo,
            faces=[
                IdentifiedFace(as_box(box), float(score), answer)
                for box, score, answer in zip(faces.boxes, faces.scores, answers, strict=True)
            ],
            nearest={row.face: row for row in face_rows(table, naming, which)},
        )

    # Details -----------------------------------------------------------------------------------

    def _get_ready(self) -> None:
        """Load the networks, and read the faces meanwhile: SQLite does that beside Python."""

        def read() -> None:
            with contextlib.suppress(Exception):  # is tried again, and told, where it is needed
                self._voices(self._faces(), self._embedder_spec.calibration)
                self._store.prepare_search()

        reading = threading.Thread(target=read, name="faceindex-catalog")
        reading.start()
        try:
            self._load_recogniser()
        finally:
            reading.join()

    def _voices(self, table: FaceTable, calibration: Calibration) -> Representatives:
        """The faces that speak for people, found once for each table."""
        if self._speaking is None or self._speaking[0] is not table:
            speaking = representative_faces(table, table.cluster, calibration)
            self._speaking = (table, Representatives.of(table.cluster, speaking))
        return self._speaking[1]
