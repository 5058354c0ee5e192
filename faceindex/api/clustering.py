"""Cluster the faces of an index and store the result."""

from __future__ import annotations

import contextlib
from typing import TypedDict

import numpy as np

from faceindex import models
from faceindex.api.reader import Reader
from faceindex.api.results import ClusterResult
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.incremental import cluster_faces, similarity_to_centroid, update_similarities
from faceindex.documents import Json
from faceindex.errors import ModelError, UsageError

__all__ = ["Parameters", "cluster_index"]


# The numbers of a calibration that are stored with a clustering. If they change, all faces are clustered
# again.
_CALIBRATION = ("slope", "midpoint", "consensus", "blurred")


class Parameters(TypedDict):
    """Parameters of a clustering, as in `faceindex.FaceIndex.cluster`; stored with it."""

    k: int | None
    threshold: float | None
    min_size: int | None


def cluster_index(
    reader: Reader, algorithm: str, parameters: Parameters, *, seed: int, rebuild: bool
) -> ClusterResult:
    """Cluster the faces of an index and store the result; see `faceindex.FaceIndex.cluster`.

    Parameters
    ----------
    reader : Reader
        Of a store that is open for writing.
    algorithm : str
    parameters : Parameters
    seed : int
    rebuild : bool
    """
    store = reader.store
    spec = models.get("clusterer", algorithm)
    threshold, min_size = parameters["threshold"], parameters["min_size"]
    if min_size is None:
        min_size = 2 if spec.needs == "graph" else 1
    if min_size < 1:
        raise UsageError(f"`min_size` is {min_size}.", "Choose 1 or more.")
    if not 0 <= seed < 2**32:
        raise UsageError(f"`seed` is {seed}.", "Choose one in 0..4294967295.")
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"`threshold` is {threshold:g}.", "Choose a similarity in -1..1.")
    calibration = None
    with contextlib.suppress(*(() if spec.needs == "graph" else (ModelError,))):
        calibration = reader.embedder_spec.calibration  # clusterers of vectors work without it
    if calibration is None and threshold is None and spec.needs == "graph":
        models.calibration_of(reader.embedder_spec)  # raises
    options = ClusterOptions(seed=seed, k=parameters["k"], threshold=threshold, calibration=calibration)
    clusterer: Clusterer = models.load(spec, options=options)

    stored: dict[str, Json] = {
        "k": parameters["k"],
        "threshold": parameters["threshold"],
        "min_size": min_size,
    }
    if calibration is not None and threshold is None and spec.needs == "graph":
        stored["calibration"] = [getattr(calibration, name) for name in _CALIBRATION]
    previous = store.active_clustering()
    same = (
        previous is not None
        and (previous.algorithm, previous.seed) == (algorithm, seed)
        and all(previous.params.get(name, value) == value for name, value in stored.items())
    )
    started_over = rebuild or not same
    faces = store.assignments()  # names of photos are not needed, and the writer's lock is held
    vectors = store.vectors(faces.row)
    labels = cluster_faces(
        faces,
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
        similarities, changed = update_similarities(vectors, labels, faces)
    store.save_clustering(
        algorithm,
        {**stored, "last_face": int(faces.face.max(initial=-1))},
        seed,
        faces.face,
        labels,
        similarities,
        changed=changed,
    )
    ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
    order = np.lexsort((ids, -sizes))
    if threshold is None and spec.needs == "graph" and calibration is not None:
        threshold = calibration.threshold(len(faces))
    return ClusterResult(
        algorithm=algorithm,
        sizes={int(ids[i]): int(sizes[i]) for i in order},
        faces=len(faces),
        unclustered=int((labels < 0).sum()),
        kept=int(((faces.cluster >= 0) & (labels == faces.cluster)).sum()),
        started_over=started_over and previous is not None,
        threshold=threshold,
    )
