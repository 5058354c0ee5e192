"""Exact search or HNSW: from how many faces on is the graph worth it?

Made-up vectors with the geometry of real ones: mean direction, spread between people and within a
person follow the spectra that dlib's embeddings of 932 LFW photos (514 people) have: mean of
length 0.915; between people trace 0.155 and participation ratio 30; within a person 0.048 and 50.

    python benchmarks/search.py [--quick] [--sizes N,N,...] [--dimension D] [--seed S]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import write_result

from faceindex.store import HnswParams
from faceindex.store.exact import top_k
from faceindex.store.hnsw import HnswIndex
from faceindex.types import F32, I64

K = 20
FACES_PER_PERSON = 10
BATCH = 1000
EFS = (64, 128, 200, 400)


def face_vectors(n: int, dimension: int, rng: np.random.Generator) -> F32:
    """(n, dimension) unit vectors of about ``n / FACES_PER_PERSON`` people."""

    def spread(rows: int, trace: float, participation: float) -> F32:
        variance = np.exp(-np.arange(dimension) / (participation / 2))
        variance *= trace / variance.sum()
        return (rng.standard_normal((rows, dimension), np.float32) * np.sqrt(variance)).astype(np.float32)

    people = spread(max(1, n // FACES_PER_PERSON), 0.155, 30)
    vectors = people[rng.integers(0, len(people), n)] + spread(n, 0.048, 50)
    vectors[:, -1] += 0.915
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median over `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def recall(found: I64, expected: I64) -> float:
    """Mean part of the true neighbours that were found."""
    return float(np.mean([len(np.intersect1d(f, e)) / K for f, e in zip(found, expected, strict=True)]))


def measure(n: int, dimension: int, seed: int, folder: Path) -> dict[str, object]:
    everything = face_vectors(n + BATCH, dimension, np.random.default_rng(seed))
    order = np.random.default_rng(seed + 1).permutation(len(everything))
    vectors, queries = everything[order[:n]], everything[order[n:]]
    alive = np.ones(n, np.bool_)
    path = folder / "ann.hnsw"
    params = HnswParams()

    expected, _ = top_k(queries, vectors, K, alive)
    exact_one = seconds(lambda: top_k(queries[:1], vectors, K, alive), 15)
    exact_batch = seconds(lambda: top_k(queries, vectors, K, alive), 3) / BATCH

    ann = HnswIndex.build(dimension, params)
    build = seconds(lambda: ann.extend(vectors, alive), 1)
    save = seconds(lambda: ann.save(path, vectors), 1)
    load = seconds(lambda: HnswIndex.load(path, vectors, params), 3)
    graphs = []
    for ef in EFS:
        graph = HnswIndex.load(path, vectors, replace(params, ef=ef))
        if graph is None:
            raise SystemExit("The graph that was just written cannot be read.")
        found = graph.search(queries, K, alive)
        if found is None:
            raise SystemExit("The graph does not lead to enough faces.")
        graphs.append(
            {
                "ef": ef,
                "one_ms": 1e3 * seconds(lambda graph=graph: graph.search(queries[:1], K, alive), 15),  # type: ignore[misc]
                "batch_ms": 1e3 * seconds(lambda graph=graph: graph.search(queries, K, alive), 3) / BATCH,  # type: ignore[misc]
                "recall": recall(found[0], expected),
            }
        )
    return {
        "faces": n,
        "exact_one_ms": 1e3 * exact_one,
        "exact_batch_ms": 1e3 * exact_batch,
        "build_s": build,
        "save_s": save,
        "load_s": load,
        "file_mb": path.stat().st_size / 1e6,
        "hnsw": graphs,
    }


def report(rows: list[dict[str, object]]) -> None:
    print(f"{'faces':>8} {'':>7} {'one ms':>8} {'batch ms':>9} {'recall':>7} {'build s':>8} {'load s':>7}")
    for row in rows:
        print(
            f"{row['faces']:>8} {'exact':>7} {row['exact_one_ms']:8.2f} {row['exact_batch_ms']:9.3f} {1:7.4f}"
        )
        for graph in row["hnsw"]:  # type: ignore[attr-defined]
            print(
                f"{'':>8} {'ef ' + str(graph['ef']):>7} {graph['one_ms']:8.2f} {graph['batch_ms']:9.3f}"
                f" {graph['recall']:7.4f} {row['build_s']:8.1f} {row['load_s']:7.2f}"
            )
    print("one: a single query; batch: per query of 1000 at once.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--sizes", help="numbers of faces, separated by commas")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    default = "1000,3000" if arguments.quick else "10000,30000,50000,100000"
    sizes = [int(n) for n in (arguments.sizes or default).split(",")]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(n, arguments.dimension, arguments.seed, Path(folder)) for n in sizes]
    report(rows)
    payload = {
        "k": K,
        "dimension": arguments.dimension,
        "seed": arguments.seed,
        "batch": BATCH,
        "rows": rows,
    }
    name = "search-quick" if arguments.quick else f"search-{arguments.dimension}d"
    print(f"Written to {write_result(name, payload)}")


if __name__ == "__main__":
    main()
