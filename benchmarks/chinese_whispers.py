"""Chinese Whispers on identical edges: ours, dlib's, and a plain implementation on networkx.

The graph is made up: people whose numbers of photos have a long tail, 20 neighbours for each face
(photos of the same person first, then strangers), and weights like log-odds: mostly positive
between photos of one person, mostly negative between strangers. Only positive edges are kept.

The time is that from the implementation's own form of an edge list to labels: three arrays for ours
(the time includes building the graph), a list of sorted tuples with each edge once for dlib (it sorts
them again), a `Graph` for networkx (the time does *not* include building it). The time of numba's
compilation is measured separately, in new processes with an empty and with a filled cache. The
implementations stop at different points: dlib visits ``100 n`` random nodes, the others continue until
nothing changes. "faceindex" is plain propagation, as in the others; "album" is all that `faceindex cluster`
does with a graph, on the same edges and with made-up vectors of the same people, one face on each photo.

No extra of faceindex contains networkx: run `pip install networkx` first.

    python benchmarks/chinese_whispers.py [--quick] [--nodes N] [--runs N] [--seed S]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import dlib
import networkx
import numpy as np
from common import argument_parser, ratios, target, write_result
from made_up import face_vectors, long_tail, one_face_a_photo

from faceindex import models
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import graph_from_edges, symmetric_graph
from faceindex.metrics import Scores, bcubed
from faceindex.types import F32, I64

NEIGHBOURS = 20
DIMENSION = 128
SAME = (5.0, 3.0)  # mean and deviation of weights between photos of one person
OTHER = (-5.0, 2.5)  # and between strangers
MAX_SWEEPS = 100


@dataclass(frozen=True)
class Edges:
    """Undirected edges, each once with ``a[i] < b[i]``, and their positive weights."""

    a: I64
    b: I64
    weights: F32


def made_up_edges(people: I64, rng: np.random.Generator) -> Edges:
    """Return the positive edges between faces and their neighbours, in either direction."""
    n = len(people)
    order = np.argsort(people, kind="stable")
    start = np.searchsorted(people[order], people)  # where each face's person begins in `order`
    size = np.bincount(people)[people]
    others = rng.integers(0, n, (n, NEIGHBOURS))
    own = order[start[:, None] + rng.integers(0, 1 << 30, (n, NEIGHBOURS)) % size[:, None]]
    neighbours = np.where(np.arange(NEIGHBOURS) < size[:, None] - 1, own, others)
    same = people[neighbours] == people[:, None]
    noise = rng.standard_normal((n, NEIGHBOURS))
    weights = np.where(same, SAME[0] + SAME[1] * noise, OTHER[0] + OTHER[1] * noise).astype(np.float32)
    graph = symmetric_graph(neighbours, weights)
    rows = np.repeat(np.arange(n), np.diff(graph.indptr))
    once = rows < graph.indices
    return Edges(rows[once], graph.indices[once].astype(np.int64), graph.weights[once])


def ours(n: int, edges: Edges, seed: int) -> I64:
    return chinese_whispers(graph_from_edges(n, edges.a, edges.b, edges.weights), seed=seed)


def album(vectors: F32, edges: Edges, seed: int) -> I64:
    embedder = models.get("embedder", "dlib")
    options = ClusterOptions(calibration=models.calibration_of(embedder), seed=seed)
    clusterer: Clusterer = models.load(models.get("clusterer", "album"), options=options)
    graph = graph_from_edges(len(vectors), edges.a, edges.b, edges.weights)
    return clusterer.fit(one_face_a_photo(vectors, graph))


def on_networkx(graph: networkx.Graph, seed: int) -> I64:
    """Follow the paper: every node, in random order, takes the heaviest class among its neighbours."""
    rng = random.Random(seed)
    classes = {node: node for node in graph}
    order = list(graph)
    for _ in range(MAX_SWEEPS):
        rng.shuffle(order)
        changed = False
        for node in order:
            totals: dict[int, float] = {}
            for other, edge in graph[node].items():
                totals[classes[other]] = totals.get(classes[other], 0.0) + edge["weight"]
            if not totals:
                continue
            best = max(totals, key=totals.__getitem__)
            if totals[best] > totals.get(classes[node], 0.0):
                classes[node] = best
                changed = True
        if not changed:
            break
    return np.array([classes[node] for node in range(len(classes))])


def on_dlib(n: int, pairs: list[tuple[int, int, float]]) -> I64:
    labels = np.array(dlib.chinese_whispers(pairs), np.int64)
    # dlib returns labels only up to the last node that has an edge.
    alone = np.arange(len(labels), n) + n
    return np.concatenate([labels, alone])


def numba_start() -> tuple[float, float]:
    """Return the seconds of the first call in a process, with an empty cache and with a filled one."""
    first_call = (
        "import time, numpy as np\n"
        "from faceindex.clustering.graph import graph_from_edges\n"
        "from faceindex.clustering.chinese_whispers import chinese_whispers\n"
        "begin = time.perf_counter()\n"
        "chinese_whispers(graph_from_edges(2, np.array([0]), np.array([1]), np.ones(1, np.float32)))\n"
        "print(time.perf_counter() - begin)\n"
    )
    with tempfile.TemporaryDirectory() as cache:
        environ = {**os.environ, "NUMBA_CACHE_DIR": cache}
        cold, warm = (
            float(
                subprocess.run(
                    [sys.executable, "-c", first_call], env=environ, check=True, stdout=subprocess.PIPE
                ).stdout
            )
            for _ in range(2)
        )
    return cold, warm


def main() -> None:
    parser = argument_parser(__doc__, quick="5,000 nodes")
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n = 5_000 if options.quick else options.nodes

    rng = np.random.default_rng(options.seed)
    people = long_tail(n, rng)
    edges = made_up_edges(people, rng)
    vectors = face_vectors(people, DIMENSION, rng)
    pairs = list(zip(edges.a.tolist(), edges.b.tolist(), edges.weights.tolist(), strict=True))
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(pairs)
    print(f"{n:,} faces of {len(np.unique(people)):,} people, {len(pairs):,} edges")

    contestants: dict[str, Callable[[int], I64]] = {
        "faceindex": lambda seed: ours(n, edges, seed),
        "album": lambda seed: album(vectors, edges, seed),
        "dlib": lambda seed: on_dlib(n, pairs),
        "networkx": lambda seed: on_networkx(graph, seed),
    }
    compile_s, load_s = numba_start()
    print(f"numba: {compile_s:.2f} s to compile the first time, {load_s:.2f} s to load from the cache")
    ours(2, Edges(np.array([0]), np.array([1]), np.ones(1, np.float32)), 0)

    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    scores: dict[str, list[Scores]] = {name: [] for name in contestants}
    for run in range(options.runs):
        for name, cluster in contestants.items():  # alternating: other load affects all of them
            begin = time.perf_counter()
            labels = cluster(options.seed + run)
            seconds[name].append(time.perf_counter() - begin)
            scores[name].append(bcubed(labels, people))

    median = {name: float(np.median(times)) for name, times in seconds.items()}
    rows = {}
    for name in contestants:
        f = [score.f for score in scores[name]]
        rows[name] = {
            "seconds": seconds[name],
            "median_seconds": median[name],
            "times_ours": median[name] / median["faceindex"],
            "bcubed_f": f,
            "bcubed_precision": float(np.mean([score.precision for score in scores[name]])),
            "bcubed_recall": float(np.mean([score.recall for score in scores[name]])),
        }
        print(
            f"{name:11} {median[name]:8.3f} s  {median[name] / median['faceindex']:7.1f} x ours"
            f"  B-cubed F {np.mean(f):.4f} ({min(f):.4f} to {max(f):.4f})"
        )
    shown: dict[str, object] = {f"bcubed_f_{name}": rows[name]["bcubed_f"] for name in contestants}
    targets = [
        target(
            6,
            f"Chinese Whispers, {n:,} nodes: {peer} / ours",
            ratios(seconds[peer], seconds["faceindex"]),
            reach=reach,
            beyond=beyond,
            accuracy=shown,
            seconds_ours=median["faceindex"],
            seconds_peer=median[peer],
        )
        for peer, reach, beyond in (("networkx", 100.0, 300.0), ("dlib", 10.0, 30.0))
    ]
    write_result(
        "chinese_whispers",
        {
            "nodes": n,
            "people": len(np.unique(people)),
            "edges": len(pairs),
            "runs": options.runs,
            "seed": options.seed,
            "networkx": networkx.__version__,
            "numba_compile_seconds": compile_s,
            "numba_load_seconds": load_s,
            "results": rows,
            "targets": targets,
        },
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
