"""How time and memory grow with the index, and what adding 100 photos costs; embedding excluded.

For each size an index of made-up faces (one to a photo) is written through the store. Each step is a process
of its own, so that its peak memory is its own:

- write: commit the photos in batches as `index` does, build the HNSW graph;
- cluster: `cluster --rebuild`, three times;
- add: 100 more photos are committed, the graph is brought up to date as `index` does, and `cluster` runs,
  `runs` times; told as a share of commit, HNSW graph and `cluster --rebuild` of all, and the same without
  the HNSW graph in both;
- catalog: all faces, all photos, counts, opening and closing;
- search: a batch of 1,000 queries, and `identify` of faces that are found already, one by one.

`base_mib` is the memory of a process that has done the same with an index of 300 faces.

    python benchmarks/grow.py [--quick] [--sizes N,N,...] [--runs N] [--seed S]

A million faces take about a quarter of an hour, most of it for the HNSW graph: `--sizes 1000,10000,100000`
spares it, and takes three minutes.
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
from functools import partial
from pathlib import Path

import numpy as np
from common import target, write_result
from made_up import commit_faces, face_vectors, long_tail, make_store

from faceindex import FaceIndex
from faceindex.metrics import bcubed
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


def write(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    """Make the index, and put what later steps ask and add beside it."""
    rng = np.random.default_rng(seed)
    who = long_tail(n + NEW * (runs + 1) + BATCH, rng)
    vectors = face_vectors(who, DIMENSION, rng)
    np.save(path.with_suffix(".who.npy"), who[:n])
    np.save(path.with_suffix(".more.npy"), vectors[n:-BATCH])
    np.save(path.with_suffix(".queries.npy"), vectors[-BATCH:])
    with make_store(path, DIMENSION) as store:
        return {
            "commit_s": seconds(lambda: commit_faces(store, vectors[:n], 0, rng)),
            "ann_s": seconds(store.update_hnsw) if n >= EXACT_BELOW else 0.0,
        }


def cluster(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    with FaceIndex.open(path, write=True) as index:
        times = [seconds(lambda: index.cluster(rebuild=True)) for _ in range(min(runs, 3))]
        peak = peak_mib()
        found = index.table().cluster
    scores = bcubed(np.where(found < 0, found.max() + 1 + np.arange(n), found), load(path, "who"))
    share = {"f": scores.f, "precision": scores.precision, "recall": scores.recall}
    return {"cluster_s": times, "bcubed": share, "peak_mib": peak}


def add(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    """Seconds of adding and clustering 100 photos."""
    rng = np.random.default_rng(seed)
    times = []
    for more in load(path, "more").reshape(-1, NEW, DIMENSION):
        with FaceIndex.open(path, write=True) as index:
            first = n + NEW * len(times)
            times.append(
                {
                    "commit": seconds(partial(commit_faces, index._store, more, first, rng)),
                    "ann": seconds(index._store.update_hnsw),
                    "cluster": seconds(index.cluster),
                }
            )
    return {"add_100": times[1:]}  # the first pages the files in


def catalog(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    with Store.open(path) as store:
        times = {
            "faces": median(store.faces, runs),
            "images": median(store.photos, runs),
            "counts": median(store.counts, runs),
        }
    return {"catalog_s": {**times, "open": median(lambda: Store.open(path).close(), runs)}}


def search(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    queries = load(path, "queries")
    with Store.open(path) as store:
        batch = median(lambda: store.search(queries, 20), runs)
    with FaceIndex.open(path) as index:
        asked = [seconds(lambda v=v: index.identify_faces("a photo", one_face(v))) for v in queries[:ASKED]]  # type: ignore[misc]
    return {
        "search_s": {
            "batch_of_1000": batch,
            "identify_first": asked[0],
            "identify_median": float(np.median(asked[1:])),
            "identify_p95": float(np.percentile(asked[1:], 95)),
        }
    }


STEPS = {"write": write, "cluster": cluster, "add": add, "catalog": catalog, "search": search}


def load(path: Path, what: str) -> np.ndarray:
    loaded: np.ndarray = np.load(path.with_suffix(f".{what}.npy"))
    return loaded


def measure(step: str, n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    """One step of one size, in this process; compiling or loading the kernels is not part of any figure."""
    with tempfile.TemporaryDirectory() as other:
        rng = np.random.default_rng(seed)
        vectors = face_vectors(long_tail(310, rng), DIMENSION, rng)
        make_store(Path(other) / "index", DIMENSION).close()
        with FaceIndex.open(Path(other) / "index", write=True) as small:
            for count in (300, 10):
                commit_faces(small._store, vectors[:count], 1000 - count, rng)
                small.cluster()
    base = peak_mib()
    found = STEPS[step](n, runs, seed, path)
    return {"base_mib": base, "peak_mib": peak_mib(), **found}


def grown(n: int, runs: int, seed: int) -> dict[str, object]:
    """All steps of one size."""
    row: dict[str, object] = {"faces": n}
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--sizes", str(n), "--runs", str(runs)]
            done = subprocess.run(
                [*command, "--seed", str(seed), "--path", str(Path(folder) / "index")],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found = json.loads(done.stdout)
            peaks[step], row["base_mib"] = found.pop("peak_mib"), found.pop("base_mib")
            row |= found
    cluster_s, added = np.median(np.array(row["cluster_s"])), row["add_100"]
    assert isinstance(added, list)
    written = float(str(row["commit_s"])) + float(cluster_s)
    full = written + float(str(row["ann_s"]))
    row["add_100_shares"] = [sum(times.values()) / full for times in added]
    row["add_100_shares_without_ann"] = [(times["commit"] + times["cluster"]) / written for times in added]
    return {**row, "peak_mib": peaks}


def one_face(vector: F32) -> Faces:
    """A face that is found and embedded already."""
    one = np.ones(1, np.float32)
    nothing = np.zeros((1, 14), np.float32)
    return Faces(nothing[:, :4], nothing[:, 4:].reshape(1, 5, 2), one, vector[None], one, one)


def times_of(row: dict[str, object]) -> dict[str, float]:
    """All seconds of a size that grow with it."""
    catalog, search = row["catalog_s"], row["search_s"]
    assert isinstance(catalog, dict)
    assert isinstance(search, dict)
    cluster = float(np.median(np.array(row["cluster_s"])))
    return {"commit": float(str(row["commit_s"])), "cluster": cluster, **catalog, **search}


def exponents(rows: list[dict[str, object]]) -> dict[str, float]:
    """Slope of log time over log faces between the two largest sizes; n log n is 1.06 to 1.1 there."""
    if len(rows) < 2:
        return {}
    step = math.log(int(str(rows[-1]["faces"])) / int(str(rows[-2]["faces"])))
    small, large = times_of(rows[-2]), times_of(rows[-1])
    return {name: math.log(large[name] / small[name]) / step for name in small}


def show(row: dict[str, object]) -> None:
    times = {name: f"{1e3 * value:.1f} ms" for name, value in times_of(row).items()}
    share, without = (
        100 * float(np.median(np.array(row[name])))
        for name in ("add_100_shares", "add_100_shares_without_ann")
    )
    peaks, scores = row["peak_mib"], row["bcubed"]
    assert isinstance(peaks, dict)
    assert isinstance(scores, dict)
    print(
        f"{row['faces']:>9,} faces: {times}, HNSW graph {row['ann_s']:.1f} s, B-cubed F {scores['f']:.4f};"
        f" 100 more {share:.2f} % of the whole ({without:.2f} % without the HNSW graph);"
        f" peak MiB { ({step: round(peak) for step, peak in peaks.items()}) }",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two small sizes")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)  # a process for one step
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        (n,) = options.sizes
        print(json.dumps(measure(options.step, n, options.runs, options.seed, options.path)))
        return
    rows: list[dict[str, object]] = []
    for n in options.sizes or (QUICK if options.quick else SIZES):
        rows.append(grown(n, options.runs, options.seed))
        show(rows[-1])
    # The row of the table is about 100,000 faces; other sizes are shown as far as they were asked for.
    about = min(rows, key=lambda row: abs(int(str(row["faces"])) - 100_000))
    shares, without = about["add_100_shares"], about["add_100_shares_without_ann"]
    assert isinstance(shares, list)
    payload = {
        "dimension": DIMENSION,
        "new": NEW,
        "seed": options.seed,
        "runs": options.runs,
        "rows": rows,
        "exponents": exponents(rows),
        "targets": [
            target(
                8,
                f"100 photos more on {about['faces']:,}, as a share of all: commit, HNSW graph, clusters",
                shares,
                reach=0.02,
                beyond=0.005,
                accuracy={"bcubed": about["bcubed"]},
                shares_without_hnsw=without,
            )
        ],
    }
    print("exponents between the two largest:", {k: round(v, 2) for k, v in exponents(rows).items()})
    print(f"Written to {write_result('grow_quick' if options.quick else 'grow', payload)}")


if __name__ == "__main__":
    main()
