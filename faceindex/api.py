"""The library's face: one object for one index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from faceindex import images, models
from faceindex.cluster import Clusterer, ClusterOptions
from faceindex.errors import IndexNotFound, NotClustered, PinnedModelError, UsageError
from faceindex.grouping import group_faces, leading, similarity_to_centroid
from faceindex.identify import Answer, identify
from faceindex.models import DEFAULT_DETECTOR, DEFAULT_EMBEDDER, DEFAULT_MIN_FACE
from faceindex.models.spec import ClustererSpec, DetectorSpec, EmbedderSpec
from faceindex.store import (
    Clustering,
    Counts,
    FaceTable,
    ImageRecord,
    Pins,
    Root,
    Status,
    Store,
)
from faceindex.types import F32, Faces

if TYPE_CHECKING:
    from faceindex.pipeline import Event, Summary
    from faceindex.recognise import Recogniser

__all__ = [
    "Clustered",
    "FaceIndex",
    "FaceRow",
    "Query",
    "QueryFace",
    "find_index",
]

_DIRECTORY = ".faceindex"
_ENVIRONMENT_VARIABLE = "FACEINDEX_INDEX"


@dataclass(frozen=True, slots=True)
class FaceRow:
    """One face of the index.

    Attributes
    ----------
    face : int
        Id, never used again for another face.
    photo : str
        As the user named it: the folder as it was given, and the path inside it.
    path : str
        Absolute.
    box : tuple of float
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.
    score : float
        Of the detector, 0..1.
    cluster : int or None
    similarity : float or None
        To the centroid of the cluster.
    """

    face: int
    photo: str
    path: str
    box: tuple[float, float, float, float]
    score: float
    cluster: int | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Clustered:
    """The result of `FaceIndex.cluster`.

    Attributes
    ----------
    algorithm : str
    sizes : dict of int to int
        Faces of each cluster, largest first.
    faces, unclustered : int
        Faces in all, and those in no cluster.
    kept : int
        Faces that kept the cluster they had.
    started_over : bool
        Whether earlier clusters were only used to name the new ones.
    threshold : float or None
        The similarity of even odds that was in force.
    """

    algorithm: str
    sizes: dict[int, int]
    faces: int
    unclustered: int
    kept: int
    started_over: bool
    threshold: float | None


@dataclass(frozen=True, slots=True)
class QueryFace:
    """One face on a query photo: where it is, and what the index says of it."""

    box: tuple[float, float, float, float]
    score: float
    answer: Answer


@dataclass(frozen=True, slots=True)
class Query:
    """A query photo and the faces on it, best score first.

    Attributes
    ----------
    photo : str
    faces : list of QueryFace
        Empty if no face was found.
    nearest : dict of int to FaceRow
        The faces of the index that the answers name, by id.
    """

    photo: str
    faces: list[QueryFace]
    nearest: dict[int, FaceRow]


def find_index(explicit: str | os.PathLike[str] | None = None) -> Path | None:
    """Where the index is: `explicit`, else ``$FACEINDEX_INDEX``, else upwards from here.

    Returns
    -------
    Path or None
        A directory that was named need not exist; None if none was named and none was found.
    """
    if named := explicit or os.environ.get(_ENVIRONMENT_VARIABLE):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if Store.exists(folder / _DIRECTORY):
            return folder / _DIRECTORY
    return None


class FaceIndex:
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

    def __init__(self, store: Store, *, device: str = "cpu") -> None:
        self._store = store
        self._device = device
        self._recogniser: Recogniser | None = None
        self._read: tuple[int, FaceTable, _Naming] | None = None

    # Opening and closing -----------------------------------------------------------------------

    @classmethod
    def open(
        cls, directory: str | os.PathLike[str] | None = None, *, write: bool = False, device: str = "cpu"
    ) -> FaceIndex:
        """Open an existing index.

        Parameters
        ----------
        directory : path-like, optional
            None looks for it as `find_index` does.
        write : bool
            Whether to change it; there is one writer at a time, readers never wait.
        device : str
            A torch device.

        Raises
        ------
        IndexNotFound
            If there is none.
        IndexLocked, IndexVersionError, IndexCorrupt
            As `Store.open`.
        """
        found = find_index(directory)
        if found is None:
            raise IndexNotFound(
                f"There is no index here ({Path.cwd()}) or in a folder above.",
                "Make one with `faceindex index PATH...`, or name one with --index DIR.",
            )
        return cls(Store.open(found, write=write), device=device)

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        detector: str = DEFAULT_DETECTOR,
        embedder: str = DEFAULT_EMBEDDER,
        min_face: float = DEFAULT_MIN_FACE,
        device: str = "cpu",
    ) -> FaceIndex:
        """Make a new index, pinned to its models, and open it for writing.

        Parameters
        ----------
        directory : path-like, optional
            None means ``$FACEINDEX_INDEX``, else ``.faceindex`` in the current directory.
        detector, embedder : str
            Names of models.
        min_face : float
            Side in pixels of the smallest face that is looked for.
        device : str
            A torch device.

        Raises
        ------
        UnknownModel
            If there is no such model.
        WeightsNotFound
            If a weight file is missing.
        UsageError
            If there is an index already.
        """
        if not min_face > 0:
            raise UsageError(f"A smallest face of {min_face:g} px makes no sense.", "Choose 20 or more.")
        pins = _pins(detector, embedder, min_face)
        named = directory or os.environ.get(_ENVIRONMENT_VARIABLE) or _DIRECTORY
        return cls(Store.create(named, pins), device=device)

    @classmethod
    def open_or_create(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        detector: str | None = None,
        embedder: str | None = None,
        min_face: float | None = None,
        device: str = "cpu",
    ) -> FaceIndex:
        """Open an index for writing, or make it.

        Parameters are those of `create`; None means the pinned one, or the default for a new index.

        Raises
        ------
        PinnedModelError
            If the index is pinned to others than those that were asked for.
        """
        found = find_index(directory)
        if found is None or not Store.exists(found):
            return cls.create(
                found,
                detector=detector or DEFAULT_DETECTOR,
                embedder=embedder or DEFAULT_EMBEDDER,
                min_face=DEFAULT_MIN_FACE if min_face is None else min_face,
                device=device,
            )
        index = cls(Store.open(found, write=True), device=device)
        try:
            index._check_pins(detector, embedder, min_face)
        except BaseException:
            index.close()
            raise
        return index

    def close(self) -> None:
        """Close the files and let the next writer in."""
        self._store.close()

    def __enter__(self) -> FaceIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What is in it -----------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """The index directory."""
        return self._store.directory

    @property
    def pins(self) -> Pins:
        """The models that the index is pinned to."""
        return self._store.pins

    @property
    def clustering(self) -> Clustering | None:
        """How the faces were last clustered; None if never."""
        return self._store.active_clustering()

    def counts(self) -> Counts:
        """How much there is of everything."""
        return self._store.counts()

    def roots(self) -> list[Root]:
        """The folders that were indexed."""
        return self._store.roots()

    def unreadable(self) -> list[tuple[str, str]]:
        """Photos that could not be used, each with the reason, in order of their names."""
        _, naming = self._catalog()
        return sorted(
            (naming.name(record), record.detail or record.reason or "")
            for record in naming.records
            if record.status is Status.UNREADABLE
        )

    def table(self) -> FaceTable:
        """All faces as parallel arrays."""
        return self._catalog()[0]

    def vectors(self) -> F32:
        """Unit vectors of all faces, (n, d) float32, in the order of `table`."""
        return self._store.vectors(self.table().row)

    def faces(self) -> Iterator[FaceRow]:
        """All faces, by photo in the order in which they were indexed."""
        table, naming = self._catalog()
        return _rows(table, naming, range(len(table)))

    # What it does ------------------------------------------------------------------------------

    def add(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        retry_failed: bool = False,
        prune: bool = False,
        on_event: Callable[[Event], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Summary:
        """Bring the index up to date with folders and photos; only what changed is opened.

        Parameters
        ----------
        paths : path-like or sequence of path-like
            Folders and files.
        retry_failed, prune, on_event, should_stop
            As in `faceindex.pipeline.index_photos`.

        Returns
        -------
        Summary
            The count of everything.

        Raises
        ------
        UsageError
            If a path does not exist. Nothing is changed.
        WeightsNotFound, WeightsInvalid
            If the pinned models cannot be loaded.
        """
        from faceindex.pipeline import index_photos

        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        summary = index_photos(
            self._store,
            self._load_recogniser,
            paths,
            retry_failed=retry_failed,
            prune=prune,
            on_event=on_event,
            should_stop=should_stop,
        )
        self._store.update_ann()
        self._store.log_run("index", {**asdict(summary), "unreadable": dict(summary.unreadable)})
        return summary

    def cluster(
        self,
        algorithm: str = "chinese-whispers",
        *,
        k: int | None = None,
        threshold: float | None = None,
        min_size: int | None = None,
        seed: int = 0,
        rebuild: bool = False,
    ) -> Clustered:
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
        Clustered

        Raises
        ------
        UnknownModel, UsageError
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
        calibration = self._embedder_spec.calibration
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

        table = self.table()
        vectors = self._store.vectors(table.row)
        labels = group_faces(
            self._store,
            table,
            vectors,
            clusterer,
            options,
            min_size=min_size,
            previous=previous,
            started_over=started_over,
        )
        self._store.save_clustering(
            algorithm,
            {**params, "last_face": int(table.face.max(initial=-1))},
            seed,
            table.face,
            labels,
            similarity_to_centroid(vectors, labels),
        )
        ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
        order = np.lexsort((ids, -sizes))
        effective = threshold
        if effective is None and spec.needs == "graph":
            effective = calibration.threshold(len(table))
        return Clustered(
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
        recogniser = self._load_recogniser()
        shot = recogniser.take(images.read(photo), photo)
        return self.identify_faces(os.fspath(photo), recogniser.faces([shot])[0], neighbours, threshold)

    def identify_faces(
        self, photo: str, faces: Faces, neighbours: int = 5, threshold: float | None = None
    ) -> Query:
        """`identify` for faces that have been found and embedded already."""
        table, naming = self._catalog()
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
            voices=leading(table, table.cluster, calibration),
            neighbours=neighbours,
        )
        named = {neighbour.face for answer in answers for neighbour in answer.neighbours}
        which = np.searchsorted(table.face, np.array(sorted(named), np.int64))
        return Query(
            photo=photo,
            faces=[
                QueryFace(_box(box), float(score), answer)
                for box, score, answer in zip(faces.boxes, faces.scores, answers, strict=True)
            ],
            nearest={row.face: row for row in _rows(table, naming, which)},
        )

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
        spec = models.get("embedder", self.pins.embedder)
        assert isinstance(spec, EmbedderSpec)
        return spec

    def _load_recogniser(self) -> Recogniser:
        from faceindex.recognise import Recogniser

        if self._recogniser is None:
            pins = self.pins
            min_face = float(pins.settings.get("min_face") or DEFAULT_MIN_FACE)
            if _pins(pins.detector, pins.embedder, min_face).weights != pins.weights:
                raise PinnedModelError(
                    f"The index {self.directory} was made with other weights of {pins.detector} or "
                    f"{pins.embedder} than this faceindex uses.",
                    "Use the faceindex that made it, or make a new index with --index DIR.",
                )
            self._recogniser = Recogniser.load(
                pins.detector, pins.embedder, min_face=min_face, device=self._device
            )
        return self._recogniser

    def _check_pins(self, detector: str | None, embedder: str | None, min_face: float | None) -> None:
        pins = self.pins
        pinned = {
            "detector": (detector, pins.detector),
            "embedder": (embedder, pins.embedder),
            "min-face": (min_face, pins.settings.get("min_face")),
        }
        for what, (asked, has) in pinned.items():
            if asked is not None and asked != has:
                raise PinnedModelError(
                    f"The index {self.directory} is pinned to {what} {has}, and {asked} was asked for.",
                    f"Leave out --{what}, or make another index with --index DIR.",
                )

    def _catalog(self) -> tuple[FaceTable, _Naming]:
        """Faces and photos of one moment, read again only after a commit."""
        if self._read is None or self._read[0] != self._store.generation:
            with self._store.snapshot():
                self._read = (self._store.generation, self._store.faces(), _Naming(self._store))
        return self._read[1:]


def _rows(table: FaceTable, naming: _Naming, which: Iterable[int]) -> Iterator[FaceRow]:
    for i in which:
        record = naming.by_id[int(table.image[i])]
        cluster = int(table.cluster[i])
        yield FaceRow(
            face=int(table.face[i]),
            photo=naming.name(record),
            path=naming.path(record),
            box=_box(table.boxes[i]),
            score=float(table.scores[i]),
            cluster=None if cluster < 0 else cluster,
            similarity=None if cluster < 0 else float(table.similarity[i]),
        )


class _Naming:
    """What photos are called: the root as the user gave it, and the path inside it."""

    def __init__(self, store: Store) -> None:
        self._roots = {root.id: root for root in store.roots()}
        self.records: list[ImageRecord] = list(store.images().values())
        self.by_id = {record.id: record for record in self.records}

    def name(self, record: ImageRecord) -> str:
        return os.path.normpath(os.path.join(self._roots[record.root_id].given, record.relpath))  # noqa: PTH118

    def path(self, record: ImageRecord) -> str:
        return os.path.join(self._roots[record.root_id].path, record.relpath)  # noqa: PTH118


def _pins(detector: str, embedder: str, min_face: float) -> Pins:
    detector_spec = models.get("detector", detector)
    embedder_spec = models.get("embedder", embedder)
    assert isinstance(detector_spec, DetectorSpec)
    assert isinstance(embedder_spec, EmbedderSpec)
    weights: Mapping[str, str] = {w.name: w.sha256 for w in (*detector_spec.weights, *embedder_spec.weights)}
    for weight in (*detector_spec.weights, *embedder_spec.weights):
        models.find_weights(weight)
    return Pins(
        detector=detector,
        embedder=embedder,
        dimension=embedder_spec.dimension,
        settings={"min_face": float(min_face)},
        weights=weights,
    )


def _box(box: F32) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2
