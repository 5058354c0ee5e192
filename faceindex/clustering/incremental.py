"""Cluster the faces of an index, all of them or the part that changed, with ids that stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceindex.clustering import Album, Clusterer, ClusterOptions
from faceindex.clustering.centroids import similarity_to_centroid
from faceindex.clustering.constraints import Constraints, resolve
from faceindex.clustering.enforcing import enforce
from faceindex.models.spec import Calibration
from faceindex.quality import POOR_QUALITY
from faceindex.store.records import Assignments, Clustering
from faceindex.types import F32, I32, I64, BoolArray, Graph

if TYPE_CHECKING:
    from faceindex.clustering.graph import Evidence
    from faceindex.clustering.shards import MakeRunner

__all__ = [
    "FEW_NEW",
    "NEIGHBOURS",
    "PART_ABOVE",
    "SIMILARITY_TOLERANCE",
    "ClusteredFaces",
    "cluster_faces",
    "drop_small_clusters",
    "evidence_graph",
    "good_faces",
    "representative_faces",
    "update_similarities",
]

NEIGHBOURS = 80
"""Neighbours of a face in the neighbour graph. Most people have fewer photos, so the photos of a person stay
linked although the most similar ones come first."""

PART_ABOVE = 20_000
"""Number of faces up to which all are clustered each time, which takes seconds."""

FEW_NEW = 0.1
"""Share of new faces up to which only a part of a larger index is clustered."""

# The centroid of a large cluster hardly moves when a face joins. Similarities that change by no more than
# this are not written again.
SIMILARITY_TOLERANCE = 0.0005


# Faces are linked above the threshold. Products of identical unit vectors are 1 within a few roundings of
# float32, so a threshold of 1 links what is above this.
_MOST_THRESHOLD = 1 - 2e-6


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredFaces:
    """The result of `cluster_faces`.

    Attributes
    ----------
    labels : (n,) int64
        Cluster ids, -1 for none.
    state : dict of str to int
        For the next run, to be stored among the parameters of the clustering: ``last_face``, the
        greatest face id; ``faces``, the number of faces; ``last_whole``, the greatest face id when all faces
        were clustered together; ``last_decision``, if there is a decision.
    """

    labels: I64
    state: dict[str, int]


def cluster_faces(
    table: Assignments,
    vectors: F32,
    clusterer: Clusterer,
    options: ClusterOptions,
    *,
    min_size: int,
    previous: Clustering | None,
    started_over: bool,
    earlier: I64 | None = None,
    constraints: Constraints | None = None,
    decided: I64 | None = None,
    last_decision: int = -1,
    part_size: int | None = None,
    make_runner: MakeRunner | None = None,
) -> ClusteredFaces:
    """Cluster the faces of an index. No face is bound to its previous cluster; only ids stay.

    All faces are clustered together, as if for the first time. So an album that grew in steps has the same
    clusters as one that was clustered at once. Each cluster takes the id of the previous cluster with which
    it shares most faces.

    In an index of more than `PART_ABOVE` faces, of which at most the share `FEW_NEW` is newer than the last
    run on all faces, only a part is clustered again: the new faces, the clusters that they resemble, and
    similar faces in no cluster. `part_size` bounds this part too.

    Parameters
    ----------
    table : Assignments
        n faces, with their clusters in `previous`.
    vectors : (n, d) float32
        Their unit vectors; may be a memory map.
    clusterer : Clusterer
    options : ClusterOptions
        The options of `clusterer`.
    min_size : int
        Faces of clusters with fewer faces end up in no cluster.
    previous : Clustering or None
        The clustering that `table` contains.
    started_over : bool
        Cluster all faces even if none was added or removed since `previous`, and do not start from its
        clusters.
    earlier : (n,) int64, optional
        The clusters before `previous`, -1 for none. A cluster of faces that are in none since takes its id
        from here: it was dissolved for a while, or clusters without it were restored.
    constraints : Constraints, optional
        What the user said about the n faces. The clusters satisfy it. Faces that are nobody do not take part,
        and a cluster with a label of a person may be smaller than `min_size`.
    decided : (m,) int64, optional
        Positions of the faces that decisions later than `previous` are about. In a large index, the clusters
        that they are in and resemble are clustered again, as those of new faces.
    last_decision : int
        The number of the last decision in `constraints`, -1 for none.
    part_size : int, optional
        If more faces are clustered, they are clustered in parts of at most so many
        (`faceindex.clustering.parts`), 2 or more. None clusters them all together. The clusterer must need a
        graph.
    make_runner : callable, optional
        Makes what searches for the neighbours of many faces, as in
        `faceindex.clustering.neighbours.near_neighbours`, and clusters in parts; threads of this process by
        default.

    Returns
    -------
    ClusteredFaces
    """
    last = int(table.face.max(initial=-1))
    before = previous.params if previous else {}
    state = {"last_face": last, "faces": len(table), "last_whole": last}
    if last_decision >= 0:
        state["last_decision"] = last_decision
    unchanged = (before.get("last_face"), before.get("faces")) == (last, len(table))
    if not started_over and unchanged and _number(before, "last_decision", -1) == last_decision:
        return ClusteredFaces(
            table.cluster.copy(), {**state, "last_whole": _number(before, "last_whole", last)}
        )
    good = good_faces(table.quality)
    known = None if constraints is None or constraints.is_empty else resolve(constraints)
    part = (
        None
        if started_over
        else _changed_part(table, vectors, clusterer, options, before, decided, make_runner)
    )
    start = np.full(len(table), -1) if started_over else table.cluster
    if part is None:
        labels = np.full(len(table), -1)
        part = np.arange(len(table))
    else:
        state["last_whole"] = _number(before, "last_whole", last)
        labels = table.cluster.copy()
    if known is not None:
        labels[part] = -1
        part = part[~known.nobody[part]]
    found = _fit(table, vectors, good, start, clusterer, options, part, known, part_size, make_runner)
    labels[part] = np.where(found >= 0, found + labels.max(initial=-1) + 1, -1)
    labels = _satisfy(labels, vectors, min_size, known)
    next_id = previous.next_cluster_id if previous else 0
    return ClusteredFaces(_inherit_ids(labels, table.cluster, next_id, earlier), state)


def good_faces(quality: F32) -> BoolArray:
    """Return whether each face is good, not poor, (n,): its quality is at least `POOR_QUALITY`.

    If half of the median is less, that is the limit: in an archive of small or blurred faces, most are good.
    """
    if not len(quality):
        return np.zeros(0, bool)
    good: BoolArray = quality >= min(POOR_QUALITY, float(np.median(quality)) / 2)
    return good


def representative_faces(table: Assignments, clusters: I64, calibration: Calibration | None) -> BoolArray:
    """Select the faces that may represent their cluster: sharp faces, and all of a cluster without any.

    A face is sharp unless its sharpness is below both the limit of the embedder and half of the median of
    the index.

    Parameters
    ----------
    table : Assignments
        n faces.
    clusters : (n,) int64
        -1 for none.
    calibration : Calibration or None
        None takes all faces for sharp.

    Returns
    -------
    (n,) bool
    """
    if not len(table) or calibration is None:
        return np.ones(len(table), bool)
    limit = min(calibration.blurred, float(np.median(table.sharpness)) / 2)
    sharp = table.sharpness >= limit
    with_sharp = np.unique(clusters[sharp & (clusters >= 0)])
    representative: BoolArray = sharp | ((clusters >= 0) & ~np.isin(clusters, with_sharp))
    return representative


def _number(params: object, name: str, default: int) -> int:
    value = params.get(name) if isinstance(params, dict) else None
    return value if isinstance(value, int) else default


def _fit(
    table: Assignments,
    vectors: F32,
    good: BoolArray,
    start: I64,
    clusterer: Clusterer,
    options: ClusterOptions,
    part: I64,
    known: Constraints | None,
    part_size: int | None,
    make_runner: MakeRunner | None,
) -> I64:
    """Cluster the faces at some positions, (m,) int64; return their labels, (m,) int64."""
    size = len(table) if known is None else len(table) - int(known.nobody.sum())
    whole = len(part) == size
    if part_size is not None and len(part) > part_size:
        from faceindex.clustering.parts import Parted, cluster_in_parts
        from faceindex.clustering.shards import ThreadRunner

        faces = Parted(
            vectors,
            part,
            table.photo[part],
            good[part],
            start[part],
            size=size,
            elsewhere=None if whole else _sizes_elsewhere(table.cluster, part),
            constraints=None if known is None else known.select(part),
        )
        with (make_runner or ThreadRunner)() as runner:
            return cluster_in_parts(
                runner, faces, clusterer, options, _evidence(size, options), part_size, NEIGHBOURS
            )
    own = vectors if len(part) == len(table) else vectors[part]
    graph = None
    if clusterer.spec.needs == "graph":
        graph = _neighbour_graph(own, size, options, make_runner)
    album = Album(
        own,
        table.photo[part],
        good[part],
        graph,
        start[part],
        size=size,
        elsewhere=None if whole else _sizes_elsewhere(table.cluster, part),
        constraints=None if known is None else known.select(part),
    )
    return clusterer.fit(album)


def _sizes_elsewhere(clusters: I64, part: I64) -> I64:
    """Return the sizes of the clusters of the faces that are not at the positions `part`."""
    others = np.ones(len(clusters), bool)
    others[part] = False
    _, sizes = np.unique(clusters[others & (clusters >= 0)], return_counts=True)
    return sizes.astype(np.int64)


def _evidence(n: int, options: ClusterOptions) -> Evidence:
    """Return the evidence of similarities in an index of n faces."""
    from faceindex.clustering.graph import GRAPH_FLOOR, Evidence

    calibration, threshold = options.calibration, options.threshold
    if threshold is not None:
        threshold = min(threshold, _MOST_THRESHOLD)
    if calibration is None:
        assert threshold is not None
        return Evidence(threshold, 1.0, 0.0)
    even = calibration.threshold(n) if threshold is None else threshold
    return Evidence(even, calibration.slope, GRAPH_FLOOR)


def _changed_part(
    table: Assignments,
    vectors: F32,
    clusterer: Clusterer,
    options: ClusterOptions,
    before: object,
    decided: I64 | None,
    make_runner: MakeRunner | None,
) -> I64 | None:
    """Return the positions of the faces to cluster again, ascending; None for all."""
    from faceindex.clustering.neighbours import nearest

    n = len(table)
    new = np.flatnonzero(table.face > _number(before, "last_face", -1))
    if decided is not None:
        new = np.union1d(new, decided)
    since = int((table.face > _number(before, "last_whole", -1)).sum())
    if clusterer.spec.needs != "graph" or n <= PART_ABOVE or since > FEW_NEW * n:
        return None
    found, _ = nearest(
        vectors[new],
        vectors,
        NEIGHBOURS,
        floor=_evidence(n, options).least,
        leave_out=new.astype(np.int32),
        make_runner=make_runner,
    )
    near = np.unique(found[found >= 0]).astype(np.int64)
    touched = np.unique(table.cluster[np.concatenate([near, new])])
    part = np.isin(table.cluster, touched[touched >= 0])
    part[near] = part[new] = True
    return np.flatnonzero(part) if part.sum() <= n // 2 else None


def _neighbour_graph(
    vectors: F32, n_faces: int, options: ClusterOptions, make_runner: MakeRunner | None
) -> Graph:
    """Build the neighbour graph of faces; `n_faces` is the number of faces of the whole index."""
    from faceindex.clustering.neighbours import near_neighbours

    floor = _evidence(n_faces, options).least
    found = near_neighbours(vectors, NEIGHBOURS, floor=floor, seed=options.seed, make_runner=make_runner)
    return evidence_graph(*found, n_faces, options)


def evidence_graph(neighbours: I32, similarities: F32, n_faces: int, options: ClusterOptions) -> Graph:
    """Build the graph of `faceindex.clustering.Album` from lists of neighbours.

    Parameters
    ----------
    neighbours, similarities : (n, k)
        As `faceindex.clustering.neighbours.near_neighbours` returns them.
    n_faces : int
        Number of faces of the whole index.
    options : ClusterOptions
    """
    from faceindex.clustering.graph import symmetric_graph

    evidence = _evidence(n_faces, options)
    return symmetric_graph(neighbours, evidence.weights(similarities), floor=evidence.floor)


def drop_small_clusters(labels: I64, min_size: int, keep: BoolArray | None = None) -> I64:
    """Replace the labels of clusters with fewer than `min_size` faces by -1.

    Parameters
    ----------
    labels : (n,) int64
        -1 for none.
    min_size : int
    keep : (n,) bool, optional
        Clusters with one of these faces stay.
    """
    if not len(labels):
        return labels
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    small = sizes < min_size
    if keep is not None:
        small[codes[keep]] = False
    return np.where(small[codes], -1, labels)


def _satisfy(labels: I64, vectors: F32, min_size: int, known: Constraints | None) -> I64:
    """Drop small clusters, and change those that violate a constraint."""
    if known is None:
        return drop_small_clusters(labels, min_size)
    # A labelled face alone in its cluster goes to another cluster of its person, if there is one.
    labels = enforce(drop_small_clusters(labels, min(min_size, 2)), vectors, known)
    return drop_small_clusters(labels, min_size, known.person >= 0)


def _inherit_ids(labels: I64, old: I64, next_id: int, earlier: I64 | None = None) -> I64:
    """Give each cluster the id of the old cluster with which it shares most faces; each old id once.

    Clusters that get none take one of `earlier` in the same way, by their faces that are in no old cluster.
    Ids of `earlier` that old clusters have are left out. Other clusters are numbered from `next_id` on, in
    the order of their labels.
    """
    ids, codes = np.unique(labels, return_inverse=True)
    new_ids = np.full(len(ids), -1, np.int64)
    _take_ids(new_ids, codes, np.where(labels >= 0, old, -1))
    if earlier is not None:
        unused = (labels >= 0) & (old < 0) & ~np.isin(earlier, old)
        _take_ids(new_ids, codes, np.where(unused, earlier, -1))
    without = (ids >= 0) & (new_ids < 0)
    new_ids[without] = next_id + np.arange(without.sum())
    return new_ids[codes]


def _take_ids(new_ids: I64, codes: I64, old: I64) -> None:
    """Give each code without an id the one in `old` that it shares most faces with, in `new_ids`."""
    both = old >= 0
    span = int(old.max(initial=0)) + 1
    pairs, counts = np.unique(codes[both] * span + old[both], return_counts=True)
    taken: set[int] = set()
    for pair in pairs[np.lexsort((pairs, -counts))].tolist():
        code, old_id = divmod(pair, span)
        if new_ids[code] < 0 and old_id not in taken:
            new_ids[code] = old_id
            taken.add(old_id)


def update_similarities(
    vectors: F32, labels: I64, table: Assignments, *, tolerance: float = SIMILARITY_TOLERANCE
) -> tuple[F32, BoolArray]:
    """Update the similarities to centroids after some faces got another cluster than in the table.

    Only clusters that gained or lost faces are computed.

    Parameters
    ----------
    vectors : (n, d) float32
    labels : (n,) int64
        The clusters now.
    table : Assignments
        The faces with their clusters and similarities before.
    tolerance : float
        Faces of these clusters keep a similarity that is still correct to within this.

    Returns
    -------
    similarities : (n,) float32
    changed : (n,) bool
        Faces whose label or similarity differs from the table.
    """
    changed: BoolArray = labels != table.cluster
    affected = np.unique(np.concatenate([labels[changed], table.cluster[changed]]))
    affected = np.intersect1d(affected[affected >= 0], labels)
    now = similarity_to_centroid(vectors, labels, affected)
    changed |= np.abs(now - table.similarity) > tolerance  # false where either is NaN
    return np.where(changed, now, table.similarity), changed
