"""How time and memory grow with the index, and what adding 100 photos costs; embedding excluded.

For each size an index of made-up faces (one to a photo) is written through the store, in a process of
its own: peak memory is that of the process. Then, per size:

- commit, HNSW graph, `cluster --rebuild`: what building the index anew costs;
- `runs` times on the index: 100 more photos are committed, the graph is brought up to date as `index`
  does, and `cluster` runs; share of the full rebuild, with and without the HNSW graph in both;
- catalog operations (all faces, all photos, counts), `identify` of faces that are found already,
  a batch of 1,000 searches, opening and closing.

    python benchmarks/grow.py [--quick] [--sizes N,N,...] [--runs N] [--seed S]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import write_result
from made_up import commit_faces, face_vectors, long_tail, make_store

from faceindex import FaceIndex
from faceindex.evaluate import bcubed
from faceindex.store import EXACT_BELOW, Store
from faceindex.types import F32, Faces

DIMENSION = 128
NEW = 100
BATCH = 1000
ASKED = 61  # faces that are identified one by one
SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK = (1_000, 4_000)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median(run: Callable[[], object], repeats: int) -> float:
    return float(np.median([seconds(run) for _ in range(repeats)]))


def peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def add(path: Path, vectors: F32, first: int, rng: np.random.Generator) -> dict[str, float]:
    """Seconds of adding and clustering photos ``first, first + 1, ...``."""
    with FaceIndex.open(path, write=True) as index:
        return {
            "commit": seconds(lambda: commit_faces(index._store, vectors, first, rng)),
            "ann": seconds(index._store.update_ann),
            "cluster": seconds(index.cluster),
        }


def measure(n: int, runs: int, seed: int, directory: Path) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    who = long_tail(n + NEW * (runs + 1) + BATCH, rng)
    vectors = face_vectors(who, DIMENSION, rng)
    queries, vectors = vectors[-BATCH:], vectors[:-BATCH]

    # Compiling or loading the kernels is not part of any figure.
    with tempfile.TemporaryDirectory() as other:
        make_store(Path(other) / "index", DIMENSION).close()
        with FaceIndex.open(Path(other) / "index", write=True) as small:
            for count in (300, 10):
                commit_faces(small._store, vectors[:count], 1000 - count, rng)
                small.cluster()

    started = peak_mib()
    path = directory / f"index{n}"
    with make_store(path, DIMENSION) as store:
        commit_s = seconds(lambda: commit_faces(store, vectors[:n], 0, rng))
        ann_s = seconds(store.update_ann) if n >= EXACT_BELOW else 0.0
    before_cluster = peak_mib()
    with FaceIndex.open(path, write=True) as index:
        first_s = seconds(lambda: index.cluster(rebuild=True))
        cluster_s = [
            first_s,
            *(seconds(lambda: index.cluster(rebuild=True)) for _ in range(min(runs, 3) - 1)),
        ]
        found = index.table().cluster
        alone = found < 0
        scores = bcubed(np.where(alone, found.max() + 1 + np.arange(n), found), who[:n])
    after_cluster = peak_mib()

    added = [add(path, vectors[first : first + NEW], first, rng) for first in range(n, len(vectors), NEW)]
    added = added[1:]  # the first pages the files in
    full = commit_s + ann_s + float(np.median(cluster_s))
    more = float(np.median([sum(times.values()) for times in added]))
    more_without = float(np.median([times["commit"] + times["cluster"] for times in added]))

    with Store.open(path) as store:
        catalog = {
            "faces": median(store.faces, runs),
            "images": median(store.images, runs),
            "counts": median(store.counts, runs),
            "search_1000": median(lambda: store.search(queries, 20), runs),
        }
    catalog["open"] = median(lambda: Store.open(path).close(), runs)
    with FaceIndex.open(path) as index:
        asked = [seconds(lambda v=v: index.identify_faces("a photo", one_face(v))) for v in queries[:ASKED]]  # type: ignore[misc]
        catalog["identify_first"] = asked[0]
        catalog["identify_median"] = float(np.median(asked[1:]))
        catalog["identify_p95"] = float(np.percentile(asked[1:], 95))
    return {
        "faces": n,
        "commit_s": commit_s,
        "ann_s": ann_s,
        "cluster_s": cluster_s,
        "bcubed": {"f": scores.f, "precision": scores.precision, "recall": scores.recall},
        "add_100": added,
        "add_100_share": more / full,
        "add_100_share_without_ann": more_without / (full - ann_s),
        "catalog_s": catalog,
        "peak_mib": {"started": started, "before_cluster": before_cluster, "after_cluster": after_cluster},
    }


def one_face(vector: F32) -> Faces:
    """A face that is found and embedded already."""
    one = np.ones(1, np.float32)
    nothing = np.zeros((1, 14), np.float32)
    return Faces(nothing[:, :4], nothing[:, 4:].reshape(1, 5, 2), one, vector[None], one, one)


def exponents(rows: list[dict[str, object]]) -> dict[str, float]:
    """Slope of log time over log faces between the two largest sizes; n log n is 1.06 to 1.1 there."""
    if len(rows) < 2:
        return {}
    small, large = rows[-2], rows[-1]

    def slope(a: float, b: float) -> float:
        return math.log(b / a) / math.log(int(str(large["faces"])) / int(str(small["faces"])))

    def flat(row: dict[str, object]) -> dict[str, float]:
        cluster, catalog = row["cluster_s"], row["catalog_s"]
        assert isinstance(cluster, list)
        assert isinstance(catalog, dict)
        return {"commit": float(str(row["commit_s"])), "cluster": float(np.median(cluster)), **catalog}

    a, b = flat(small), flat(large)
    return {name: slope(a[name], b[name]) for name in a}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two small sizes")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # a process for one size
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.one, options.runs, options.seed, Path(folder))))
        return
    rows: list[dict[str, object]] = []
    for n in options.sizes or (QUICK if options.quick else SIZES):
        command = [sys.executable, __file__, "--one", str(n), "--runs", str(options.runs)]
        done = subprocess.run(
            [*command, "--seed", str(options.seed)], check=True, stdout=subprocess.PIPE, text=True
        )
        row = json.loads(done.stdout)
        rows.append(row)
        times = {name: f"{1e3 * value:.1f} ms" for name, value in row["catalog_s"].items()}
        print(
            f"{n:>9,} faces: commit {row['commit_s']:.2f} s, graph {row['ann_s']:.1f} s,"
            f" cluster {np.median(row['cluster_s']):.2f} s (B-cubed F {row['bcubed']['f']:.4f}),"
            f" 100 more {100 * row['add_100_share']:.2f} % of that"
            f" ({100 * row['add_100_share_without_ann']:.2f} % without the HNSW graph),"
            f" peak {row['peak_mib']['after_cluster']:.0f} MiB; {times}"
        )
    payload = {
        "dimension": DIMENSION,
        "new": NEW,
        "seed": options.seed,
        "runs": options.runs,
        "rows": rows,
        "exponents": exponents(rows),
    }
    print("exponents between the two largest:", {k: round(v, 2) for k, v in exponents(rows).items()})
    print(f"Written to {write_result('grow-quick' if options.quick else 'grow', payload)}")


if __name__ == "__main__":
    main()
