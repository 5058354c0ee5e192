"""The steps of clustering many made-up faces, each in a process of its own, with its result on disk.

`scale.py --steps-on-disk DIR` runs them. A step whose result is there is not run again, so that a run which
was stopped goes on from there.

- made: the people and their vectors, in blocks, into a file that the others map into memory;
- exact: the true neighbours of some faces;
- neighbours: `near_neighbours`; its recall of all true neighbours, and of those that show the same person;
  the share of a person's other faces (at most 20) that are among the true neighbours;
- graph: `symmetric_graph` of the log-odds above the floor;
- plain: Chinese Whispers on it, B-cubed over all faces;
- album: the clusterer `album`, which `faceindex cluster` uses by default, on the same graph;
- hnsw: the HNSW index of `faceindex.store`: build, write, load; only where it is named, it takes longest.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from common import peak_mib, run_child
from made_up import GEOMETRIES, face_vectors, long_tail, one_face_a_photo

from faceindex import models
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering import neighbours as search
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import GRAPH_FLOOR, log_odds, symmetric_graph
from faceindex.clustering.neighbours import EXACT_UP_TO, near_neighbours, nearest
from faceindex.metrics import bcubed, recall_at_k
from faceindex.store.hnsw import HnswIndex
from faceindex.store.records import HnswParams
from faceindex.types import F32, I64, Graph

__all__ = ["STEPS", "run_step", "run_steps"]

K = 20
QUERIES = 200  # faces on which recall is measured
EVERY = 0.1  # seconds between two looks at the memory


def anonymous_mib() -> float:
    """Return the memory of this process without the pages of files, which the system can take back."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 2**10
    return float("nan")


@contextmanager
def measured(costs: dict[str, object]) -> Iterator[None]:
    """Write the CPU and wall seconds of the block, and the most memory of the process, to `costs`."""
    before, done, most = anonymous_mib(), threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(EVERY):
            most[0] = max(most[0], anonymous_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    costs["seconds"], costs["cpu_seconds"] = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    costs["anonymous_mib_before"] = before
    costs["anonymous_mib"] = max(most[0], anonymous_mib())
    costs["peak_mib"] = peak_mib()
    costs["load"] = os.getloadavg()[1]


def _vectors(folder: Path) -> F32:
    vectors: F32 = np.load(folder / "vectors.npy", mmap_mode="r").view(np.ndarray)
    return vectors


def _graph(folder: Path) -> Graph:
    return Graph(*(np.load(folder / f"{name}.npy") for name in ("indptr", "indices", "weights")))


def _clustered(folder: Path, labels: I64) -> dict[str, object]:
    scores = bcubed(labels, np.load(folder / "who.npy"))
    sizes = np.bincount(labels[labels >= 0])
    return {
        "bcubed": {"f": scores.f, "precision": scores.precision, "recall": scores.recall},
        "clusters_of_2": int((sizes > 1).sum()),
        "largest": int(sizes.max()),
    }


def made(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    costs: dict[str, object] = {}
    with measured(costs):
        who = long_tail(n, rng)
        geometry = GEOMETRIES[embedder]
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (n, geometry.dimension))
        face_vectors(who, geometry.dimension, rng, vectors, geometry)
        vectors.flush()
    np.save(folder / "who.npy", who)
    np.save(folder / "queries.npy", np.sort(rng.choice(n, min(QUERIES, n), replace=False)))
    return {**costs, "people": len(np.unique(who)), "file_bytes": (folder / "vectors.npy").stat().st_size}


def exact(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    vectors, queries = _vectors(folder), np.load(folder / "queries.npy")
    nearest(vectors[queries], np.array(vectors[:1000]), K)  # compiles or loads the kernels
    costs: dict[str, object] = {}
    with measured(costs):  # `nearest` is exact for so few queries
        found, similarities = nearest(vectors[queries], vectors, K, leave_out=queries.astype(np.int32))
    np.save(folder / "exact.npy", found)
    np.save(folder / "exact_similarities.npy", similarities)
    return {**costs, "queries": len(queries)}


def neighbours(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    vectors = _vectors(folder)
    some = np.array(vectors[:1000])  # compiles or loads the kernels
    search.EXACT_UP_TO = 100
    near_neighbours(some, K)
    search.EXACT_UP_TO = EXACT_UP_TO
    costs: dict[str, object] = {}
    with measured(costs):
        found, similarities = near_neighbours(vectors, K, seed=seed)
    np.save(folder / "neighbours.npy", found)
    np.save(folder / "similarities.npy", similarities)
    queries, best = np.load(folder / "queries.npy"), np.load(folder / "exact_similarities.npy")
    found, truth, who = found[queries], np.load(folder / "exact.npy"), np.load(folder / "who.npy")
    same = who[truth] == who[queries][:, None]  # neighbours that are the person of the query
    there = (truth[:, :, None] == found[:, None, :]).any(axis=2)
    possible = np.minimum(np.bincount(who)[who[queries]] - 1, K)
    return {
        **costs,
        "recall_at_20": recall_at_k(found.astype(np.int64), truth),
        "similarity_lost": float((best - similarities[queries]).mean()),
        "same_person": int(same.sum()),
        "same_person_recall": float(there[same].mean()),
        "same_person_among_nearest": float(same.sum() / possible.sum()),
    }


def graph(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    calibration = models.calibration_of(models.get("embedder", embedder))
    found, similarities = np.load(folder / "neighbours.npy"), np.load(folder / "similarities.npy")
    small = np.array([[1], [0]], np.int32)
    symmetric_graph(small, np.ones((2, 1), np.float32))
    costs: dict[str, object] = {}
    with measured(costs):
        weights = log_odds(similarities, n, calibration)
        del similarities
        edges = symmetric_graph(found, weights, floor=GRAPH_FLOOR)
    for name in ("indptr", "indices", "weights"):
        np.save(folder / f"{name}.npy", getattr(edges, name))
    kept = sum((folder / f"{name}.npy").stat().st_size for name in ("indptr", "indices", "weights"))
    return {**costs, "edges": len(edges.indices) // 2, "graph_bytes": kept}


def plain(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    edges = _graph(folder)
    chinese_whispers(symmetric_graph(np.array([[1], [0]], np.int32), np.ones((2, 1), np.float32)))
    costs: dict[str, object] = {}
    with measured(costs):
        labels = chinese_whispers(edges, seed=seed)
    return {**costs, **_clustered(folder, labels)}


def album(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    edges, vectors = _graph(folder), _vectors(folder)
    calibration = models.calibration_of(models.get("embedder", embedder))
    options = ClusterOptions(calibration=calibration, seed=seed)
    clusterer: Clusterer = models.load(models.get("clusterer", "album"), options=options)
    some = np.array(vectors[:300])
    clusterer.fit(one_face_a_photo(some, symmetric_graph(*near_neighbours(some, K))))
    costs: dict[str, object] = {}
    with measured(costs):
        labels = clusterer.fit(one_face_a_photo(vectors, edges))
    return {**costs, **_clustered(folder, labels)}


def hnsw(n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    """Build the HNSW index of the store, write it, and load it again."""
    vectors, path, alive = _vectors(folder), folder / "ann.hnsw", np.ones(n, bool)
    index = HnswIndex.build(vectors.shape[1], HnswParams())
    built: dict[str, object] = {}
    loaded: dict[str, object] = {}
    with measured(built):
        index.extend(vectors, alive)
    index.save(path, vectors)
    del index
    with measured(loaded):
        again = HnswIndex.load(path, vectors, HnswParams())
        assert again is not None
        found = again.search(vectors[np.load(folder / "queries.npy")], K + 1, alive)
    assert found is not None
    size, expected = path.stat().st_size, np.load(folder / "exact.npy")
    path.unlink()
    return {
        **built,
        "file_bytes": size,
        "load_cpu_seconds": loaded["cpu_seconds"],
        "recall_at_20": recall_at_k(found[0][:, 1:], expected),
    }


_ALL: tuple[Callable[[int, int, Path, str], dict[str, object]], ...] = (
    made,
    exact,
    neighbours,
    graph,
    plain,
    album,
    hnsw,
)
STEPS = {step.__name__: step for step in _ALL}


def run_step(step: str, n: int, seed: int, folder: Path, embedder: str) -> dict[str, object]:
    """Run one step in this process and write its result beside its arrays."""
    result = STEPS[step](n, seed, folder, embedder)
    (folder / f"{step}.json").write_text(json.dumps(result), encoding="utf-8")
    return result


def run_steps(
    script: str, n: int, seed: int, directory: Path, steps: list[str], embedder: str
) -> dict[str, dict[str, object]]:
    """Run those steps of `n` faces that have no result yet, each in a process of its own.

    Parameters
    ----------
    script : str
        The script that calls `run_step` for its options ``--step``.

    Returns
    -------
    dict
        The results of all steps that have one, also of earlier calls.
    """
    folder = directory / f"{embedder}-{n}"
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, object]] = {}
    for step in STEPS:
        stored = folder / f"{step}.json"
        if step in steps and not stored.is_file():
            options = ("--step", step, "--faces", n, "--seed", seed, "--embedder", embedder)
            run_child(script, *options, "--folder", folder)
        if stored.is_file():
            results[step] = json.loads(stored.read_text(encoding="utf-8"))
            print(f"{n:,} faces, {step}: {results[step]}", flush=True)
    return results
