"""Cluster each picture of a face once: copies of a photo in several folders are no further evidence.

Without this, the copies of a face fill its list of neighbours, and a cluster of copies is so similar inside
that no other photo of the person resembles it as much. Then a person falls apart into one cluster per photo.
"""

from __future__ import annotations

import numpy as np

from faceindex.clustering import Album
from faceindex.clustering.constrained import contract
from faceindex.clustering.graph import graph_from_edges
from faceindex.types import F32, I64, Graph

__all__ = ["IDENTICAL", "first_copies", "without_copies"]

IDENTICAL = 0.999
"""Similarity from which two faces are the same picture. The faces of a copied file have 0.999999 and more
(mobilefacenet, shared/data groups/ in three folders); a photo and a smaller version of it have 0.9985."""


def first_copies(graph: Graph, least: float) -> I64:
    """Return the first face that each face is a copy of, directly or by other copies, or itself, (n,) int64.

    Parameters
    ----------
    graph : Graph
        n nodes.
    least : float
        Weight of an edge from which its faces are copies.
    """
    n = len(graph)
    itself = np.arange(n)
    edges = np.flatnonzero(graph.weights >= least)
    if not len(edges):
        return itself
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    rows = np.searchsorted(graph.indptr, edges, side="right") - 1
    links = csr_matrix((np.ones(len(edges), bool), (rows, graph.indices[edges])), shape=(n, n))
    _, component = connected_components(links, directed=False)
    _, first = np.unique(component, return_index=True)
    result: I64 = first[component].astype(np.int64)
    return result


def without_copies(album: Album, graph: Graph, first: I64, weight: float) -> tuple[Album, I64]:
    """Return the album of the first copy of each face, and the position of each face in it, (n,) int64.

    Parameters
    ----------
    album : Album
        n faces.
    graph : Graph
        Its graph.
    first : (n,) int64
        As `first_copies` returns it.
    weight : float
        Added to all weights of the graph: among fewer faces, a match is more probable.
    """
    kept, place = np.unique(first, return_inverse=True)
    n = len(kept)
    good = np.zeros(n, bool)
    good[place[album.good]] = True  # a copy in full size may be good where a reduced one is not
    one = np.repeat(place, np.diff(graph.indptr))
    other = place[graph.indices]
    used = np.flatnonzero(one < other)
    keys = one[used] * n + other[used]
    order = np.argsort(keys, kind="stable")
    pairs, start = np.unique(keys[order], return_index=True)
    weights: F32 = graph.weights[used][order]
    if len(pairs):
        weights = np.maximum.reduceat(weights, start)
    contracted = graph_from_edges(n, pairs // n, pairs % n, weights + np.float32(weight))
    smaller = Album(
        album.vectors[kept],
        album.photos[kept],
        good,
        contracted,
        album.previous[kept],
        size=album.size - (len(first) - n),
        elsewhere=album.elsewhere,
        constraints=None if album.constraints is None else contract(album.constraints, kept, place),
        strangers=album.strangers,
    )
    return smaller, place
