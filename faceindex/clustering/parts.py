"""Cluster faces in parts of a bounded size: for albums whose neighbour graph does not fit into one machine.

1. The lists of neighbours become a graph in shards. Each shard sends edges to the shard of their other end.
2. Chinese Whispers over all shards finds communities (`faceindex.clustering.spreading`).
3. Communities that are linked come into one part (`faceindex.clustering.grouping`).
4. Each part is an album of its own, with the edges inside it. Faces of a divided community whose neighbours
   are all in other parts are linked to the most similar faces of their own one. The clusterer fits the album,
   wherever the runner runs it. This is done twice: priors depend on the sizes of the clusters elsewhere,
   which are known, nearly, after the first time.

Who holds what: this process holds some numbers for each face (labels, order, part, photo) and for each
cluster, and no vectors or edges. A worker holds the edges of one shard, or the vectors and edges of one part.
The vectors in `Parted` may be a map of a file. `faceindex.api.clustering` passes one while the rows of all
faces are consecutive. Once faces were removed, it passes a copy in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from faceindex.clustering import Album, Clusterer, ClusterOptions
from faceindex.clustering.chinese_whispers import number_by_size
from faceindex.clustering.constraints import Constraints
from faceindex.clustering.graph import Evidence
from faceindex.clustering.grouping import divide, in_order
from faceindex.clustering.neighbours import find_lists, nearest
from faceindex.clustering.same_photo import PhotoGroups, strangers_of_album
from faceindex.clustering.shards import Arrays, Runner, ThreadRunner
from faceindex.clustering.shuffling import (
    Edges,
    Shards,
    gather,
    make_edges,
    make_rows,
    prepare_sending,
    read_rows,
    remove_rows,
    remove_sent,
    send,
    write_rows,
)
from faceindex.clustering.spreading import spread_labels
from faceindex.types import F32, I64, BoolArray

__all__ = ["Parted", "cluster_in_parts"]

_MOST_ROWS = 32_768  # of a shard: bounds the memory of a worker while edges are exchanged
_LEAST_ROWS = 1024  # smaller shards would spend their time on opening files
_VECTORS = 8192  # that are copied at a time
_PASSES = 2  # in the second, the clusters elsewhere are known; in the first, only communities
_IN_NO_PART = -1


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """Faces to cluster in parts.

    Attributes
    ----------
    vectors : (m, d) float32
        Of the whole index; may be a memory map.
    at : (n,) int64
        Which vectors are those of the faces, ascending.
    photos : (n,) int64
    good : (n,) bool
    previous : (n,) int64
    size : int
    elsewhere : (k,) int64 or None
    constraints : Constraints or None
        These and those above are as of `faceindex.clustering.Album`, of all n faces.
    """

    vectors: F32
    at: I64
    photos: I64
    good: BoolArray
    previous: I64
    size: int
    elsewhere: I64 | None
    constraints: Constraints | None

    def __len__(self) -> int:
        return len(self.at)


def cluster_in_parts(
    runner: Runner,
    faces: Parted,
    clusterer: Clusterer,
    options: ClusterOptions,
    evidence: Evidence,
    part_size: int,
    neighbours: int,
) -> I64:
    """Cluster faces, at most `part_size` of them at a time.

    The result differs from that of all faces together where a person is divided between two parts. It also
    differs because a part does not see how clusters elsewhere grow, but only their sizes after the first
    pass, and because copies in other parts count as faces. The same faces, seed and part size give the same
    result, wherever the work is done.

    Parameters
    ----------
    runner : Runner
        Without arrays; it has none in the end.
    faces : Parted
        n faces.
    clusterer : Clusterer
        It may be pickled.
    options : ClusterOptions
        Those of the clusterer.
    evidence : Evidence
        Of the similarities.
    part_size : int
        2 or more.
    neighbours : int
        Of a face in the graph.

    Returns
    -------
    (n,) int64
        Labels from 0 on, the largest cluster first; -1 for none.
    """
    if not len(faces):
        return np.empty(0, np.int64)
    arrays, n = runner.arrays, len(faces)
    _put_vectors(arrays, faces)
    find_lists(runner, min(neighbours, n - 1), floor=evidence.least, seed=options.seed)
    order = np.array(arrays["order"])
    shards = Shards.of(n, -(-n // max(_LEAST_ROWS, min(part_size, _MOST_ROWS))))
    prepare_sending(arrays, "edge", len(shards), shards)
    runner.run(partial(_send_edges, shards=shards, evidence=evidence), range(len(shards)))
    runner.run(partial(_gather_edges, shards=shards, evidence=evidence), range(len(shards)))
    remove_sent(arrays, "edge", len(shards))
    arrays.remove("found", "similarities", "cell_of", "cell_start")
    communities = in_order(spread_labels(runner, shards, options.seed))
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    part_of = divide(runner, shards, communities, place[_together(faces.constraints)], part_size)
    # The faces by their parts. In each, they have the order of `faces`.
    members = place[np.argsort(part_of[place], kind="stable")]
    part_of = part_of[members]
    number = int(part_of[-1]) + 1
    starts = np.searchsorted(part_of, np.arange(number + 1))
    _put_faces(arrays, faces, members, order[members], starts)
    arrays.create("labels", (n,), np.int64)
    stage = partial(
        _fit,
        starts=starts,
        shards=shards,
        clusterer=clusterer,
        evidence=evidence,
        neighbours=neighbours,
        seed=options.seed,
        size=faces.size,
        are_all=number == 1 and faces.elsewhere is None,
        strangers=_strangers(faces, options),
        born=None if faces.constraints is None else faces.constraints.born,
    )
    labels = communities[members]
    # In this process, one part at a time has all memory, and its clusterer all cores.
    at_once = 1 if isinstance(runner, ThreadRunner) else number
    for _ in range(_PASSES if number > 1 else 1):
        _put_clusters(arrays, labels, part_of, faces.elsewhere)
        for first in range(0, number, at_once):
            runner.run(stage, range(first, min(first + at_once, number)))
        labels = _distinct(np.array(arrays["labels"]), starts)
    remove_rows(arrays, "graph", len(shards))
    arrays.remove("labels", "ordered", "order", *_FACES, *_CLUSTERS)
    result = np.full(n, -1)
    result[order[members]] = labels
    inside = np.flatnonzero(result >= 0)
    result[inside] = number_by_size(in_order(result[inside]))
    return result


def _put_vectors(arrays: Arrays, faces: Parted) -> None:
    n = len(faces)
    if n == len(faces.vectors):
        arrays.put("vectors", faces.vectors)
        return
    arrays.create("vectors", (n, faces.vectors.shape[1]), np.float32)
    for start in range(0, n, _VECTORS):
        arrays.write("vectors", start, faces.vectors[faces.at[start : start + _VECTORS]])


def _strangers(faces: Parted, options: ClusterOptions) -> float | None:
    """Return the average similarity of strangers in all these faces; None if it is not known.

    In a part, the faces of a photo are those that resemble each other: their similarity is no estimate.
    """
    if options.calibration is None:
        return None
    groups = PhotoGroups.build(faces.photos)
    return strangers_of_album(faces.vectors, groups, faces.good, options.calibration, at=faces.at)


def _together(known: Constraints | None) -> I64:
    """Return the pairs of faces, (m, 2), that should come into one part by what the user said."""
    if known is None:
        return np.empty((0, 2), np.int64)
    labelled = np.flatnonzero(known.person >= 0)
    labelled = labelled[np.argsort(known.person[labelled], kind="stable")]
    pairs = np.column_stack([labelled[:-1], labelled[1:]])
    return np.concatenate([known.same, pairs[known.person[pairs[:, 0]] == known.person[pairs[:, 1]]]])


_PAIRS = ("same", "different", "rejected")
_FACES = (
    "members",
    "photo",
    "good",
    "previous",
    "person",
    "taken",
    *(f"{kind}{what}" for kind in _PAIRS for what in ("", "_starts")),
)
_CLUSTERS = ("cluster_size", "cluster_part")


def _put_faces(arrays: Arrays, faces: Parted, members: I64, at: I64, starts: I64) -> None:
    """Store what `_fit` reads of the faces, by their parts.

    Parameters
    ----------
    members : (n,) int64
        The faces by their parts, as rows of the graph.
    at : (n,) int64
        The same faces, as positions in `faces`.
    starts : (p + 1,) int64
        Where the parts begin in `members`.
    """
    arrays.put("members", members)
    arrays.put("photo", faces.photos[at])
    arrays.put("good", faces.good[at])
    arrays.put("previous", faces.previous[at])
    known = faces.constraints
    if known is None:
        return
    arrays.put("person", known.person[at])
    arrays.put("taken", known.taken[at])
    where = np.empty(len(at), np.int64)
    where[at] = np.arange(len(at))
    for kind in _PAIRS:
        pairs = getattr(known, kind)
        # The second of a rejected pair is a person, in the part of the face. Ids of persons are no positions.
        ends = 1 if kind == "rejected" else 2
        inside = pairs.copy()
        inside[:, :ends] = where[pairs[:, :ends]]
        part = np.searchsorted(starts, inside[:, [0, ends - 1]], "right") - 1
        inside[:, :ends] -= starts[part[:, :ends]]
        chosen = np.flatnonzero(part[:, 0] == part[:, 1])
        chosen = chosen[np.argsort(part[chosen, 0], kind="stable")]
        arrays.put(kind, inside[chosen])
        arrays.put(f"{kind}_starts", np.searchsorted(part[chosen, 0], np.arange(len(starts))))


def _put_clusters(arrays: Arrays, labels: I64, part: I64, elsewhere: I64 | None) -> None:
    """Store the sizes of clusters with their parts: a part reads those of the others.

    Parameters
    ----------
    labels, part : (n,) int64
        Label and part of each face; faces alone in a cluster do not count.
    elsewhere : (k,) int64 or None
        Sizes of clusters in no part.
    """
    span = int(labels.max(initial=-1)) + 1
    inside = labels >= 0
    pieces, sizes = np.unique(part[inside] * span + labels[inside], return_counts=True)
    several = sizes > 1
    rest = np.empty(0, np.int64) if elsewhere is None else elsewhere
    arrays.put("cluster_size", np.concatenate([sizes[several], rest]))
    in_no_part = np.full(len(rest), _IN_NO_PART)
    arrays.put("cluster_part", np.concatenate([pieces[several] // max(span, 1), in_no_part]))


def _distinct(labels: I64, starts: I64) -> I64:
    """Make the labels of all parts different."""
    first = 0
    for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        own = labels[begin:end]
        above = int(own.max(initial=-1)) + 1
        own[own >= 0] += first
        first += above
    return labels


# Stages ------------------------------------------------------------------------------------------


def _edges(arrays: Arrays, shard: int, shards: Shards, evidence: Evidence) -> Edges:
    """Return the edges from the faces of a shard to their neighbours."""
    low, high = shards.range(shard)
    found, weights = arrays["found"][low:high], evidence.weights(arrays["similarities"][low:high])
    rows = np.arange(low, high)[:, None]
    kept = (found < shards.n) & (weights > evidence.floor) & (found != rows)
    return make_edges(np.repeat(rows, kept.sum(axis=1)), found[kept], weights[kept])


def _send_edges(arrays: Arrays, shard: int, *, shards: Shards, evidence: Evidence) -> None:
    edges = _edges(arrays, shard, shards, evidence)
    send(arrays, "edge", shard, make_edges(edges["b"], edges["a"], edges["weight"]), shards)


def _gather_edges(arrays: Arrays, shard: int, *, shards: Shards, evidence: Evidence) -> None:
    own = _edges(arrays, shard, shards, evidence)
    write_rows(arrays, "graph", shard, gather(arrays, "edge", shard, shards, own, add=False))


def _fit(
    arrays: Arrays,
    part: int,
    *,
    starts: I64,
    shards: Shards,
    clusterer: Clusterer,
    evidence: Evidence,
    neighbours: int,
    seed: int,
    size: int,
    are_all: bool,
    strangers: float | None,
    born: Mapping[int, float] | None,
) -> None:
    """Cluster the faces of a part."""
    own = slice(int(starts[part]), int(starts[part + 1]))
    members = arrays["members"][own]
    elsewhere = arrays["cluster_size"][arrays["cluster_part"] != part]
    vectors = arrays["ordered"][members]
    edges, lost = _edges_inside(arrays, members, shards)
    if len(lost):
        edges = np.concatenate([edges, _new_edges(vectors, lost, evidence, neighbours, seed)])
    album = Album(
        vectors,
        np.array(arrays["photo"][own]),
        np.array(arrays["good"][own]),
        make_rows(edges, len(members)),
        np.array(arrays["previous"][own]),
        size=size,
        elsewhere=None if are_all else elsewhere,
        constraints=None if born is None else _constraints(arrays, part, own, born),
        strangers=strangers,
    )
    arrays.write("labels", own.start, clusterer.fit(album).astype(np.int64, copy=False))


def _constraints(arrays: Arrays, part: int, own: slice, born: Mapping[int, float]) -> Constraints:
    """Return what the user said about the faces of a part: `Constraints.select` of resolved ones."""

    def pairs(kind: str) -> I64:
        starts = arrays[f"{kind}_starts"]
        return np.array(arrays[kind][starts[part] : starts[part + 1]])

    return Constraints(
        person=np.array(arrays["person"][own]),
        nobody=np.zeros(own.stop - own.start, bool),
        rejected=pairs("rejected"),
        same=pairs("same"),
        different=pairs("different"),
        taken=np.array(arrays["taken"][own]),
        born=born,
    )


def _edges_inside(arrays: Arrays, members: I64, shards: Shards) -> tuple[Edges, I64]:
    """Return the edges between some nodes: node i is ``members[i]``.

    Returns
    -------
    edges : (m,) Edges
        In both directions.
    lost : (k,) int64
        Nodes with edges of positive weight, all of them to nodes that are not among these; ascending.
    """
    by_node = np.argsort(members)
    nodes = members[by_node]
    ends = np.searchsorted(nodes, np.minimum(np.arange(len(shards) + 1) * shards.rows, shards.n))
    found = [make_edges(nodes[:0], nodes[:0], np.empty(0, np.float32))]
    linked, linked_inside = (np.zeros(len(members), bool) for _ in range(2))
    for shard in np.flatnonzero(np.diff(ends)).tolist():
        own = by_node[ends[shard] : ends[shard + 1]]
        rows = read_rows(arrays, "graph", shard)
        first = rows.indptr[members[own] - shards.range(shard)[0]]
        counts = rows.indptr[members[own] - shards.range(shard)[0] + 1] - first
        at = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        other, weights = rows.indices[at], rows.weights[at]
        place = np.minimum(np.searchsorted(nodes, other), len(nodes) - 1)
        inside, positive = nodes[place] == other, weights > 0
        a = np.repeat(own, counts)
        linked[a[positive]] = True
        linked_inside[a[positive & inside]] = True
        found.append(make_edges(a[inside], by_node[place[inside]], weights[inside]))
    return np.concatenate(found), np.flatnonzero(linked & ~linked_inside)


def _new_edges(vectors: F32, lost: I64, evidence: Evidence, neighbours: int, seed: int) -> Edges:
    """Return edges, in both directions, from the vectors at some positions to the most similar ones."""
    found, similarities = nearest(
        vectors[lost],
        vectors,
        min(neighbours, len(vectors) - 1),
        floor=evidence.least,
        leave_out=lost.astype(np.int32),
        seed=seed,
    )
    weights = evidence.weights(similarities)
    kept = (found >= 0) & (weights > evidence.floor)
    a, b, weights = np.repeat(lost, kept.sum(axis=1)), found[kept], weights[kept]
    return np.concatenate([make_edges(a, b, weights), make_edges(b, a, weights)])
