"""Measure how time and memory grow with the index, and the cost of adding 100 photos, without embedding.

For each size it writes an index of made-up faces, one per photo, through the store. Each step runs in a new
process, so that the peak memory is that of the step:

- write: commit the photos in batches as `index` does, and build the HNSW index;
- cluster: run `cluster --rebuild`, three times;
- add: commit 100 more photos, update the HNSW index as `index` does, and run `cluster`, `runs` times; the
  result is a share of commit, HNSW index and `cluster --rebuild` of all photos, and the same without the
  HNSW index on both sides;
- catalog: read all faces, all photos and the counts; open and close;
- search: a batch of 1,000 queries, and `identify` for faces that are embedded already, one at a time.

`base_mib` is the memory of a process after the same work on an index of 300 faces.

    python benchmarks/grow.py [--quick] [--sizes N,N,...] [--runs N] [--seed S]

A million faces take about a quarter of an hour, most of it for the HNSW index. `--sizes 1000,10000,100000`
leaves them out and takes three minutes.
"""

from __future__ import annotations

import json
import math
import tempfile
from argparse import SUPPRESS
from functools import partial
from pathlib import Path

import numpy as np
from common import argument_parser, median_seconds, peak_mib, run_child, seconds, target, write_result
from made_up import commit_faces, face_vectors, long_tail, make_store, one_face

from faceindex import FaceIndex
from faceindex.api.queries import Queries
from faceindex.api.reader import Reader
from faceindex.metrics import bcubed
from faceindex.store import EXACT_BELOW, Store

DIMENSION = 128
NEW = 100
BATCH = 1000
QUERIES = 61  # faces that are identified one at a time
SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK = (1_000, 4_000)


def write(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    """Make the index, and store the faces that later steps add and search for beside it."""
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
    """Measure adding and clustering 100 photos."""
    rng = np.random.default_rng(seed)
    times: list[dict[str, float]] = []
    for more in load(path, "more").reshape(-1, NEW, DIMENSION):
        with Store.open(path, write=True) as store:
            first = n + NEW * len(times)
            spent = {
                "commit": seconds(partial(commit_faces, store, more, first, rng)),
                "ann": seconds(store.update_hnsw),
            }
        with FaceIndex.open(path, write=True) as index:
            times.append({**spent, "cluster": seconds(index.cluster)})
    return {"add_100": times[1:]}  # the first run reads the files into the page cache


def catalog(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    with Store.open(path) as store:
        times = {
            "faces": median_seconds(store.faces, runs),
            "images": median_seconds(store.photos, runs),
            "counts": median_seconds(store.counts, runs),
        }
    return {"catalog_s": {**times, "open": median_seconds(lambda: Store.open(path).close(), runs)}}


def search(n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    queries = load(path, "queries")
    with Store.open(path) as store:
        batch = median_seconds(lambda: store.search(queries, 20), runs)
    with Store.open(path) as store:
        identify = Queries(Reader(store), "cpu").identify_faces
        single = [seconds(partial(identify, "a photo", one_face(vector))) for vector in queries[:QUERIES]]
    return {
        "search_s": {
            "batch_of_1000": batch,
            "identify_first": single[0],
            "identify_median": float(np.median(single[1:])),
            "identify_p95": float(np.percentile(single[1:], 95)),
        }
    }


STEPS = {"write": write, "cluster": cluster, "add": add, "catalog": catalog, "search": search}


def load(path: Path, what: str) -> np.ndarray:
    loaded: np.ndarray = np.load(path.with_suffix(f".{what}.npy"))
    return loaded


def measure(step: str, n: int, runs: int, seed: int, path: Path) -> dict[str, object]:
    """Run one step of one size in this process; no figure includes compiling or loading the kernels."""
    with tempfile.TemporaryDirectory() as other:
        rng = np.random.default_rng(seed)
        vectors = face_vectors(long_tail(310, rng), DIMENSION, rng)
        small = Path(other) / "index"
        make_store(small, DIMENSION).close()
        for count in (300, 10):
            with Store.open(small, write=True) as store:
                commit_faces(store, vectors[:count], 1000 - count, rng)
            with FaceIndex.open(small, write=True) as index:
                index.cluster()
    base = peak_mib()
    found = STEPS[step](n, runs, seed, path)
    return {"base_mib": base, "peak_mib": peak_mib(), **found}


def grown(n: int, runs: int, seed: int) -> dict[str, object]:
    """Run all steps of one size, each in a new process."""
    row: dict[str, object] = {"faces": n}
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            options = ("--sizes", n, "--runs", runs, "--seed", seed, "--path", Path(folder) / "index")
            found = run_child(__file__, "--step", step, *options)
            peaks[step], row["base_mib"] = found.pop("peak_mib"), found.pop("base_mib")
            row |= found
    cluster_s, added = np.median(np.array(row["cluster_s"])), row["add_100"]
    assert isinstance(added, list)
    written = float(str(row["commit_s"])) + float(cluster_s)
    full = written + float(str(row["ann_s"]))
    row["add_100_shares"] = [sum(times.values()) / full for times in added]
    row["add_100_shares_without_ann"] = [(times["commit"] + times["cluster"]) / written for times in added]
    return {**row, "peak_mib": peaks}


def times_of(row: dict[str, object]) -> dict[str, float]:
    """Return the seconds of a size that grow with it."""
    catalog, search = row["catalog_s"], row["search_s"]
    assert isinstance(catalog, dict)
    assert isinstance(search, dict)
    cluster = float(np.median(np.array(row["cluster_s"])))
    return {"commit": float(str(row["commit_s"])), "cluster": cluster, **catalog, **search}


def exponents(rows: list[dict[str, object]]) -> dict[str, float]:
    """Return the slope of log time over log faces between the two largest sizes (n log n: 1.06 to 1.1)."""
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
        f"{row['faces']:>9,} faces: {times}, HNSW index {row['ann_s']:.1f} s, B-cubed F {scores['f']:.4f};"
        f" adding 100 photos {share:.2f} % of indexing all ({without:.2f} % without the HNSW index);"
        f" peak MiB { ({step: round(peak) for step, peak in peaks.items()}) }",
        flush=True,
    )


def main() -> None:
    parser = argument_parser(__doc__, quick="two small sizes")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", choices=STEPS, help=SUPPRESS)  # in a child process
    parser.add_argument("--path", type=Path, help=SUPPRESS)
    options = parser.parse_args()
    if options.step:
        (n,) = options.sizes
        print(json.dumps(measure(options.step, n, options.runs, options.seed, options.path)))
        return
    rows: list[dict[str, object]] = []
    for n in options.sizes or (QUICK if options.quick else SIZES):
        rows.append(grown(n, options.runs, options.seed))
        show(rows[-1])
    # The target is that of the size nearest 100,000.
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
                f"adding 100 photos to {about['faces']:,} / indexing all: commit, HNSW index, clusters",
                shares,
                reach=0.02,
                beyond=0.005,
                accuracy={"bcubed": about["bcubed"]},
                shares_without_hnsw=without,
            )
        ],
    }
    print("exponents between the two largest:", {k: round(v, 2) for k, v in exponents(rows).items()})
    write_result("grow", payload, quick=options.quick)


if __name__ == "__main__":
    main()
