"""Cluster the faces of an index and store the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from faceindex import models
from faceindex.api.distributed import Runners, runners_on
from faceindex.api.history import changes_between, cluster_sizes
from faceindex.api.reader import Reader
from faceindex.api.results import ClusterResult
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.centroids import similarity_to_centroid
from faceindex.clustering.constraints import Constraints
from faceindex.clustering.incremental import ClusteredFaces, cluster_faces, update_similarities
from faceindex.documents import Json
from faceindex.errors import ModelError, UsageError
from faceindex.models import Calibration, EmbedderSpec
from faceindex.people.constraints import constraints_since, people_by_links
from faceindex.store import Assignments, Clustering, Store
from faceindex.store.transfer import NewClusters
from faceindex.types import F32, I64

__all__ = [
    "Method",
    "Parameters",
    "cluster_afresh",
    "cluster_index",
    "group_afresh",
    "make_method",
    "method_for_new_models",
    "parameters_of",
]


# The numbers of a calibration that are stored with a clustering. If they change, all faces are clustered
# again.
_CALIBRATION = ("slope", "midpoint")


class Parameters(TypedDict):
    """Parameters of a clustering, as in `faceindex.FaceIndex.cluster`; stored with it."""

    k: int | None
    threshold: float | None
    min_size: int | None
    part_size: int | None


@dataclass(frozen=True, slots=True)
class Method:
    """A clusterer with checked parameters, for the vectors of one embedder.

    Attributes
    ----------
    clusterer : Clusterer
    options : ClusterOptions
        Those of `clusterer`.
    min_size : int
    part_size : int or None
        Most faces that are clustered together; None is all.
    stored : mapping
        The parameters, as they are stored with the clustering.
    """

    clusterer: Clusterer
    options: ClusterOptions
    min_size: int
    part_size: int | None
    stored: dict[str, Json]


def make_method(
    algorithm: str, parameters: Parameters, seed: int, embedder: Callable[[], EmbedderSpec]
) -> Method:
    """Load a clusterer and check its parameters.

    Parameters
    ----------
    algorithm : str
    parameters : Parameters
    seed : int
    embedder : callable
        Returns the spec of the embedder, or raises `ModelError`.

    Raises
    ------
    UnknownModel, UsageError, ModelNotInstalled, Uncalibrated
    """
    spec = models.get("clusterer", algorithm)
    threshold, min_size, part_size = parameters["threshold"], parameters["min_size"], parameters["part_size"]
    if min_size is None:
        min_size = 2 if spec.needs == "graph" else 1
    if min_size < 1:
        raise UsageError(f"`min_size` is {min_size}.", "Choose 1 or more.")
    if part_size is not None and part_size < 2:
        raise UsageError(f"`part_size` is {part_size}.", "Choose 2 or more.")
    if part_size is not None and spec.needs != "graph":
        raise UsageError(
            f"{algorithm} has no links between faces to divide them by, and does not use `part_size`.",
            "Leave out `part_size`, or choose another `algorithm`.",
        )
    if not 0 <= seed < 2**32:
        raise UsageError(f"`seed` is {seed}.", "Choose one in 0..4294967295.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"`threshold` is {threshold:g}.", "Choose a similarity in -1..1.")
    calibration = None
    with contextlib.suppress(*(() if spec.needs == "graph" else (ModelError,))):
        calibration = embedder().calibration  # clusterers of vectors work without it
    if calibration is None and threshold is None and spec.needs == "graph":
        models.calibration_of(embedder())  # raises
    options = ClusterOptions(seed=seed, k=parameters["k"], threshold=threshold, calibration=calibration)
    stored: dict[str, Json] = {
        "k": parameters["k"],
        "threshold": threshold,
        "min_size": min_size,
        "part_size": part_size,
    }
    if calibration is not None and threshold is None and spec.needs == "graph":
        stored["calibration"] = _numbers(calibration)
    return Method(models.load(spec, options=options), options, min_size, part_size, stored)


def parameters_of(clustering: Clustering) -> Parameters:
    """Return the parameters that are stored with a clustering."""
    threshold = clustering.params.get("threshold")
    k, min_size, part_size = (
        value if isinstance(value := clustering.params.get(name), int) else None
        for name in ("k", "min_size", "part_size")
    )
    return {
        "k": k,
        "threshold": float(threshold) if isinstance(threshold, (int, float)) else None,
        "min_size": min_size,
        "part_size": part_size,
    }


def method_for_new_models(previous: Clustering, embedder: EmbedderSpec) -> Method:
    """Return the method of a clustering for the vectors of another embedder.

    A constant threshold is replaced by the calibrated one: it was a similarity of the other vectors.
    """
    parameters: Parameters = {**parameters_of(previous), "threshold": None}
    return make_method(previous.algorithm, parameters, previous.seed, lambda: embedder)


def cluster_afresh(
    store: Store, method: Method, faces: Assignments, vectors: F32, previous: Clustering
) -> NewClusters:
    """Cluster all faces again; new clusters take the ids of those in `faces`, as `cluster_index` does.

    Parameters
    ----------
    store : Store
        Of the decisions of the user.
    method : Method
    faces : Assignments
        n faces with their clusters in `previous`.
    vectors : (n, d) float32
    previous : Clustering
    """
    said = said_by_user(store, faces, previous)
    grouping = group_afresh(store.directory, method, faces, vectors, previous, said)
    # The next run clusters again: decisions may be about faces that only the new models found.
    state = {key: value for key, value in grouping.state.items() if key != "last_decision"}
    return NewClusters(
        previous.algorithm,
        {**method.stored, **state},
        previous.seed,
        grouping.labels,
        similarity_to_centroid(vectors, grouping.labels),
        people_by_links(grouping.labels, said["constraints"]),
    )


def group_afresh(
    directory: Path,
    method: Method,
    faces: Assignments,
    vectors: F32,
    previous: Clustering | None = None,
    said: _SaidByUser | None = None,
) -> ClusteredFaces:
    """Cluster all faces in this process, through files if the method is one in parts.

    Parameters
    ----------
    directory : Path
        Of the index.
    method : Method
    faces : Assignments
        n faces.
    vectors : (n, d) float32
    previous : Clustering, optional
        The clustering that `faces` contains.
    said : mapping, optional
        What `said_by_user` returns; None leaves out all decisions.
    """
    known: _SaidByUser = {} if said is None else said
    with runners_on(None, None, directory, in_files=method.part_size is not None) as make_runner:
        return cluster_faces(
            faces,
            vectors,
            method.clusterer,
            method.options,
            min_size=method.min_size,
            previous=previous,
            started_over=True,
            part_size=method.part_size,
            make_runner=make_runner,
            **known,
        )


class _SaidByUser(TypedDict, total=False):
    """What the user said, as parameters of `cluster_faces`."""

    constraints: Constraints
    decided: I64
    last_decision: int


def said_by_user(store: Store, faces: Assignments, previous: Clustering | None) -> _SaidByUser:
    """Return what the user said about faces, and about which since the previous clustering."""
    tables = store.decisions
    known = -1 if previous is None else previous.params.get("last_decision", -1)
    constraints, decided = constraints_since(tables, faces, known if isinstance(known, int) else -1)
    return {"constraints": constraints, "decided": decided, "last_decision": tables.newest() or -1}


def _first_calibration(reader: Reader) -> list[Json] | None:
    """Return what a clustering without the key ``calibration`` was made with: the embedder's own one."""
    try:
        calibration = models.original_embedder(reader.store.pins.embedder).calibration
    except ModelError:
        return None
    return None if calibration is None else _numbers(calibration)


def _numbers(calibration: Calibration) -> list[Json]:
    return [getattr(calibration, name) for name in _CALIBRATION]


def cluster_index(
    reader: Reader,
    algorithm: str,
    parameters: Parameters,
    *,
    seed: int,
    rebuild: bool,
    dry_run: bool = False,
    on: str | None = None,
    actors: int | None = None,
) -> ClusterResult:
    """Cluster the faces of an index and store the result; see `faceindex.FaceIndex.cluster`.

    Parameters
    ----------
    reader : Reader
        Of a store that is open for writing, unless `dry_run` is true.
    algorithm : str
    parameters : Parameters
    seed : int
    rebuild : bool
    dry_run : bool
        Store nothing; the result has the changes.
    on, actors : optional
        Where to search for neighbours.
    """
    store = reader.store
    method = make_method(algorithm, parameters, seed, lambda: reader.embedder_spec)
    if on is not None and method.clusterer.spec.needs != "graph":
        raise UsageError(
            f"`on` divides the search for similar faces, which {algorithm} does not need.",
            "Leave out `on` and `actors`, or choose another `algorithm`.",
        )
    stored, options = method.stored, method.options
    previous = store.active_clustering()
    same = (
        previous is not None
        and (previous.algorithm, previous.seed) == (algorithm, seed)
        and all(
            previous.params.get(name, _first_calibration(reader) if name == "calibration" else None) == value
            for name, value in stored.items()
        )
    )
    started_over = rebuild or not same
    faces = store.assignments()  # names of photos are not needed, and the writer's lock is held
    vectors = store.vectors(faces.row)
    earlier = store.previous_clustering()
    said = said_by_user(store, faces, previous)
    in_files = method.part_size is not None
    with runners_on(on, actors, store.directory, in_files=in_files) as make_runner:
        grouping = cluster_faces(
            faces,
            vectors,
            method.clusterer,
            options,
            min_size=method.min_size,
            previous=previous,
            started_over=started_over,
            earlier=None if earlier is None else earlier.labels(faces),
            part_size=method.part_size,
            make_runner=make_runner,
            **said,
        )
    labels = grouping.labels
    stored = {**stored, **grouping.state}
    changes = None
    if dry_run:
        changes = changes_between(reader, faces, faces.cluster, labels, before=previous, after=None)
    else:
        if started_over:
            similarities, changed = similarity_to_centroid(vectors, labels), None
        else:
            similarities, changed = update_similarities(vectors, labels, faces)
        store.save_clustering(
            algorithm,
            stored,
            seed,
            faces.face,
            labels,
            similarities,
            changed=changed,
            linked=people_by_links(labels, said["constraints"]),
        )
    threshold = options.threshold
    if threshold is None and method.clusterer.spec.needs == "graph" and options.calibration is not None:
        threshold = options.calibration.threshold(len(faces))
    return ClusterResult(
        algorithm=algorithm,
        sizes=cluster_sizes(labels),
        faces=len(faces),
        unclustered=int((labels < 0).sum()),
        kept=int(((faces.cluster >= 0) & (labels == faces.cluster)).sum()),
        started_over=started_over and previous is not None,
        threshold=threshold,
        seed=seed,
        parameters=stored,
        moved=int(((faces.cluster >= 0) & (labels != faces.cluster)).sum()),
        changes=changes,
        distributed=isinstance(make_runner, Runners) and make_runner.started,
    )
