"""Cluster a million made-up faces: time, peak memory, and the neighbour graph compared with hnswlib.

People have a long tail of photos; the vectors have the geometry of dlib's (see made_up.py). Each run of each
part is a new process and reads the same vectors from a file; the parts alternate:

- graph: 20 neighbours of every face by `near_neighbours`;
- hnswlib: build an index and search 20 neighbours of every face, on all cores, with the shortest candidate
  list (`ef`) of those tried that reaches a recall of 0.95; ours has no such setting, its recall is reported;
- cluster: the work of `faceindex cluster` on the vectors: the graph of 80 neighbours above the floor,
  its symmetric form, and the clusterer `album`; also plain Chinese Whispers on the same graph.

Recall@20 is measured on 1,000 faces against exact search. The kernels are compiled before. The time excludes
the search for hnswlib's `ef`. With several numbers of faces the result contains exponents of the growth of
time and memory.

    python benchmarks/scale.py [--quick] [--faces N,N,...] [--runs N] [--parts graph,hnswlib,cluster]
                               [--seed S] [--m M] [--ef-construction E]
                               [--steps-on-disk DIR [--steps STEP,...] [--embedder dlib|mobilefacenet]]

Five runs of a million faces take about an hour of two cores, most of it hnswlib's.

With `--steps-on-disk`, each step of clustering runs once for each number of faces, in a process of its own,
and its result stays on disk (see scale_steps.py): ten million faces fit, and a run that was stopped goes on.
The result is scale_large.json, or with `--embedder mobilefacenet`, whose faces lie further apart,
scale_large_mobilefacenet.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy as np
from common import argument_parser, peak_mib, ratios, run_child, target, write_result
from made_up import GEOMETRIES, face_vectors, long_tail, one_face_a_photo
from scale_steps import STEPS, run_step, run_steps

from faceindex import models
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering import neighbours as search
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import GRAPH_FLOOR, log_odds, symmetric_graph
from faceindex.clustering.incremental import NEIGHBOURS
from faceindex.clustering.neighbours import EXACT_UP_TO, near_neighbours, nearest
from faceindex.metrics import bcubed, recall_at_k
from faceindex.types import F32, I64

DIMENSION = 128
K = 20
QUERIES = 1000  # faces on which recall is measured
ENOUGH = 0.95
EFS = (21, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512)
HNSW_BLOCK = 20_000


def warm_up(vectors: F32) -> None:
    """Load the kernels, also those of the approximate search."""
    some = np.array(vectors[:1000])
    search.EXACT_UP_TO = 100
    neighbours, similarities = near_neighbours(some, K)
    search.EXACT_UP_TO = EXACT_UP_TO
    near_neighbours(some, K)
    chinese_whispers(symmetric_graph(neighbours, similarities))


def measure_graph(vectors: F32, queries: I64, expected: I64, seed: int) -> dict[str, object]:
    warm_up(vectors)
    before = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    found, _ = near_neighbours(vectors, K, seed=seed)
    times = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    recall = recall_at_k(found[queries].astype(np.int64), expected)
    return {**times, "recall": recall, "mib_before": before, "peak_mib": peak_mib()}


def measure_hnswlib(
    vectors: F32, queries: I64, expected: I64, m: int, ef_construction: int, seed: int
) -> dict[str, object]:
    n = len(vectors)
    before = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    index = hnswlib.Index("ip", DIMENSION)
    index.init_index(n, M=m, ef_construction=ef_construction, random_seed=seed)
    index.add_items(vectors, np.arange(n))
    build, build_cpu = time.perf_counter() - wall, time.process_time() - cpu

    def search_neighbours(rows: I64) -> I64:
        """Return (n, K) neighbours without the faces themselves."""
        labels, _ = index.knn_query(vectors[rows], K + 1)
        found = labels.astype(np.int64)
        itself = found == rows[:, None]
        itself[~itself.any(axis=1), K] = True
        neighbours: I64 = found[~itself].reshape(-1, K)
        return neighbours

    for ef in EFS:
        index.set_ef(ef)
        reached = recall_at_k(search_neighbours(queries), expected)
        if reached >= ENOUGH:
            break
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, n, HNSW_BLOCK):
        search_neighbours(np.arange(start, min(start + HNSW_BLOCK, n)))
    query, query_cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "seconds": build + query,
        "cpu_seconds": build_cpu + query_cpu,
        "build_s": build,
        "query_s": query,
        "m": m,
        "ef_construction": ef_construction,
        "ef": ef,
        "recall": reached,
        "mib_before": before,
        "peak_mib": peak_mib(),
    }


def measure_cluster(vectors: F32, who: I64, seed: int) -> dict[str, object]:
    warm_up(vectors)
    n = len(vectors)
    embedder = models.get("embedder", "dlib")
    calibration = models.calibration_of(embedder)
    floor = calibration.threshold(n) + GRAPH_FLOOR / calibration.slope
    options = ClusterOptions(calibration=calibration, seed=seed)
    clusterer: Clusterer = models.load(models.get("clusterer", "album"), options=options)
    some = np.array(vectors[:300])
    clusterer.fit(one_face_a_photo(some, symmetric_graph(*near_neighbours(some, 20))))

    before, cpu = peak_mib(), time.process_time()
    marks = [time.perf_counter()]
    neighbours, similarities = near_neighbours(vectors, NEIGHBOURS, floor=floor, seed=seed)
    marks.append(time.perf_counter())
    edges = symmetric_graph(neighbours, log_odds(similarities, n, calibration), floor=GRAPH_FLOOR)
    del neighbours, similarities
    marks.append(time.perf_counter())
    plain = chinese_whispers(edges, seed=seed)
    marks.append(time.perf_counter())
    labels = clusterer.fit(one_face_a_photo(vectors, edges))
    marks.append(time.perf_counter())
    cpu, peak = time.process_time() - cpu, peak_mib()
    spent = np.diff(marks)
    scores = {name: bcubed(found, who) for name, found in (("plain", plain), ("album", labels))}
    return {
        "seconds": float(spent[0] + spent[1] + spent[3]),
        "cpu_seconds": cpu - float(spent[2]),
        "neighbours_s": float(spent[0]),
        "symmetric_s": float(spent[1]),
        "plain_propagation_s": float(spent[2]),
        "album_s": float(spent[3]),
        "edges": len(edges.indices) // 2,
        "clusters_of_2": int((np.bincount(labels[labels >= 0]) > 1).sum()),
        "bcubed": {k: {"f": s.f, "precision": s.precision, "recall": s.recall} for k, s in scores.items()},
        "mib_before": before,
        "peak_mib": peak,
    }


def measure(part: str, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Run one part, or the preparation, in this process, so that its peak memory is its own."""
    if part == "prepare":
        prepare(options.faces[0], options.seed, folder)
        return {}
    vectors: F32 = np.load(folder / "vectors.npy", mmap_mode="r").view(np.ndarray)
    queries, expected = np.load(folder / "queries.npy"), np.load(folder / "expected.npy")
    if part == "graph":
        return measure_graph(vectors, queries, expected, options.seed)
    if part == "hnswlib":
        return measure_hnswlib(vectors, queries, expected, options.m, options.ef_construction, options.seed)
    return measure_cluster(vectors, np.load(folder / "who.npy"), options.seed)


def prepare(n: int, seed: int, folder: Path) -> None:
    """Write the vectors, the people, and queries with their exact neighbours."""
    rng = np.random.default_rng(seed)
    who = long_tail(n, rng)
    vectors = face_vectors(who, DIMENSION, rng)
    queries = np.sort(rng.choice(n, min(QUERIES, n), replace=False))
    # `nearest` is exact for so few queries.
    expected, _ = nearest(vectors[queries], vectors, K, leave_out=queries.astype(np.int32))
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "who.npy", who)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "expected.npy", expected)


def run(n: int, options: argparse.Namespace, parts: list[str]) -> dict[str, list[dict[str, object]]]:
    """Run all parts on the same `n` faces, alternating."""
    results: dict[str, list[dict[str, object]]] = {part: [] for part in parts}
    with tempfile.TemporaryDirectory() as folder:
        data = ("--folder", folder, "--faces", n)
        run_child(__file__, "--part", "prepare", "--seed", options.seed, *data)
        settings = ("--m", options.m, "--ef-construction", options.ef_construction)
        for run in range(options.runs):
            for part, found in results.items():
                seed = options.seed + run
                found.append(run_child(__file__, "--part", part, "--seed", seed, *settings, *data))
                shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in found[-1].items()}
                print(f"{n:,} faces, {part}: {shown}", flush=True)
    return results


def numbers(results: list[dict[str, object]], what: str) -> list[float]:
    return [float(str(result[what])) for result in results]


def middle(results: list[dict[str, object]], what: str) -> float:
    return float(np.median(numbers(results, what)))


def exponents(rows: list[dict[str, object]], part: str) -> dict[str, float]:
    """Return the slope of log CPU seconds and log memory over log faces, from the first to the last size."""
    (n, small), (m, large) = ((int(str(row["faces"])), row[part]) for row in (rows[0], rows[-1]))
    assert isinstance(small, list)
    assert isinstance(large, list)
    return {
        what: float(np.log(middle(large, what) / middle(small, what)) / np.log(m / n))
        for what in ("cpu_seconds", "peak_mib")
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="30,000 faces, one run")
    parser.add_argument("--faces", type=lambda text: [int(n) for n in text.split(",")], default=[1_000_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--m", type=int, default=16, help="M of hnswlib")
    parser.add_argument("--ef-construction", type=int, default=100, help="ef_construction of hnswlib")
    parser.add_argument("--parts", default="graph,hnswlib,cluster", help="the parts to run")
    parser.add_argument("--steps-on-disk", type=Path, metavar="DIR", help="folder for the results of steps")
    parser.add_argument(
        "--steps", default=",".join(list(STEPS)[:-1]), help="the steps to run with --steps-on-disk"
    )
    parser.add_argument(
        "--embedder", choices=GEOMETRIES, default="dlib", help="whose faces the steps make up"
    )
    parser.add_argument("--part", help=argparse.SUPPRESS)  # in a child process
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        done = run_step(options.step, options.faces[0], options.seed, options.folder, options.embedder)
        print(json.dumps(done))
        return
    if options.steps_on_disk:
        clusterings_on_disk(options)
        return
    if options.part:
        print(json.dumps(measure(options.part, options.folder, options)))
        return
    if options.quick:
        options.faces, options.runs = [30_000], 1
    parts = options.parts.split(",")
    rows: list[dict[str, object]] = [{"faces": n, **run(n, options, parts)} for n in sorted(options.faces)]
    payload: dict[str, object] = {"dimension": DIMENSION, "k": K, "seed": options.seed, "runs": options.runs}
    if len(rows) > 1:
        payload["exponents"] = {part: exponents(rows, part) for part in parts}
        print("exponents from the smallest to the largest number:", payload["exponents"])
    if {"graph", "hnswlib"} <= set(parts):
        payload["targets"] = targets(rows[-1])
    write_result("scale", {**payload, "rows": rows}, quick=options.quick)


def clusterings_on_disk(options: argparse.Namespace) -> None:
    """Run the steps for each number of faces, and write their results."""
    steps, embedder = options.steps.split(","), options.embedder
    rows = {
        n: run_steps(__file__, n, options.seed, options.steps_on_disk, steps, embedder) for n in options.faces
    }
    payload = {
        "embedder": embedder,
        "dimension": GEOMETRIES[embedder].dimension,
        "k": K,
        "seed": options.seed,
        "rows": [{"faces": n, "steps": row} for n, row in sorted(rows.items())],
    }
    write_result("scale_large" if embedder == "dlib" else f"scale_large_{embedder}", payload)


def targets(row: dict[str, object]) -> list[dict[str, object]]:
    ours, theirs = row["graph"], row["hnswlib"]
    assert isinstance(ours, list)
    assert isinstance(theirs, list)
    accuracy: dict[str, object] = {
        "recall_at_20": middle(ours, "recall"),
        "recall_at_20_hnswlib": middle(theirs, "recall"),
    }
    memory = {
        f"{what}_{side}": middle(results, what)
        for side, results in (("ours", ours), ("hnswlib", theirs))
        for what in ("seconds", "cpu_seconds", "peak_mib")
    }
    clustered = row.get("cluster")
    if isinstance(clustered, list):
        accuracy["bcubed_f"] = float(np.median([run["bcubed"]["album"]["f"] for run in clustered]))
        memory |= {f"{what}_cluster": middle(clustered, what) for what in ("seconds", "peak_mib")}
    return [
        target(
            7,
            f"{row['faces']:,} faces: graph of 20 neighbours, time of ours / hnswlib's",
            ratios(numbers(ours, "seconds"), numbers(theirs, "seconds")),
            reach=1.1,
            beyond=1.0,
            accuracy=accuracy,
            **memory,
        )
    ]


if __name__ == "__main__":
    main()
