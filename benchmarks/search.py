"""Compare exact search with the HNSW index by the number of faces.

The vectors are made up and have the geometry of real ones (`made_up.face_vectors`).

    python benchmarks/search.py [--quick] [--sizes N,N,...] [--dimension D] [--seed S]
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from common import argument_parser, median_seconds, write_result
from made_up import face_vectors

from faceindex.metrics import recall_at_k
from faceindex.store import HnswParams
from faceindex.store.exact import top_k
from faceindex.store.hnsw import HnswIndex

K = 20
FACES_PER_PERSON = 10
BATCH = 1000
EFS = (64, 128, 200, 400)


def measure(n: int, dimension: int, seed: int, folder: Path) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, max(1, n // FACES_PER_PERSON), n + BATCH)
    vectors, queries = np.split(face_vectors(who, dimension, rng), [n])
    alive = np.ones(n, np.bool_)
    path = folder / "ann.hnsw"
    params = HnswParams()

    expected, _ = top_k(queries, vectors, K, alive)
    exact_one = median_seconds(lambda: top_k(queries[:1], vectors, K, alive), 15)
    exact_batch = median_seconds(lambda: top_k(queries, vectors, K, alive), 3) / BATCH

    hnsw = HnswIndex.build(dimension, params)
    build = median_seconds(lambda: hnsw.extend(vectors, alive), 1)
    save = median_seconds(lambda: hnsw.save(path, vectors), 1)
    load = median_seconds(lambda: HnswIndex.load(path, vectors, params), 3)
    rows = []
    for ef in EFS:
        loaded = HnswIndex.load(path, vectors, replace(params, ef=ef))
        if loaded is None:
            raise SystemExit("The HNSW index that was just written cannot be read.")
        found = loaded.search(queries, K, alive)
        if found is None:
            raise SystemExit("The HNSW index returned too few faces.")
        rows.append(
            {
                "ef": ef,
                "one_ms": 1e3 * median_seconds(partial(loaded.search, queries[:1], K, alive), 15),
                "batch_ms": 1e3 * median_seconds(partial(loaded.search, queries, K, alive), 3) / BATCH,
                "recall": recall_at_k(found[0], expected),
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
        "hnsw": rows,
    }


def report(rows: list[dict[str, object]]) -> None:
    print(f"{'faces':>8} {'':>7} {'one ms':>8} {'batch ms':>9} {'recall':>7} {'build s':>8} {'load s':>7}")
    for row in rows:
        print(
            f"{row['faces']:>8} {'exact':>7} {row['exact_one_ms']:8.2f} {row['exact_batch_ms']:9.3f} {1:7.4f}"
        )
        for hnsw in row["hnsw"]:  # type: ignore[attr-defined]
            print(
                f"{'':>8} {'ef ' + str(hnsw['ef']):>7} {hnsw['one_ms']:8.2f} {hnsw['batch_ms']:9.3f}"
                f" {hnsw['recall']:7.4f} {row['build_s']:8.1f} {row['load_s']:7.2f}"
            )
    print("one: a single query; batch: per query of a batch of 1,000.")


def main() -> None:
    parser = argument_parser(__doc__, quick="small sizes, to check that the script runs")
    parser.add_argument("--sizes", help="numbers of faces, separated by commas")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    default = "1000,3000" if options.quick else "10000,30000,50000,100000"
    sizes = [int(n) for n in (options.sizes or default).split(",")]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(n, options.dimension, options.seed, Path(folder)) for n in sizes]
    report(rows)
    payload = {
        "k": K,
        "dimension": options.dimension,
        "seed": options.seed,
        "batch": BATCH,
        "rows": rows,
    }
    write_result(f"search-{options.dimension}d", payload, quick=options.quick)


if __name__ == "__main__":
    main()
