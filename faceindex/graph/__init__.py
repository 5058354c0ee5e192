"""Nearest neighbours, exact or by partition, and the symmetric weighted graph of them."""

from faceindex.graph.neighbours import EXACT_UP_TO, exact_neighbours, near_neighbours, nearest
from faceindex.graph.sparse import graph_from_edges, log_odds, symmetric_graph

__all__ = [
    "EXACT_UP_TO",
    "exact_neighbours",
    "graph_from_edges",
    "log_odds",
    "near_neighbours",
    "nearest",
    "symmetric_graph",
]
