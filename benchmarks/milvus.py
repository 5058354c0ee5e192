"""Compare Milvus Lite and a Milvus server with the built-in search, and kill processes that write to Milvus.

The vectors are made up and have the geometry of real ones (`made_up.face_vectors`). Each engine runs in a
process of its own, one after the other, with the same vectors and queries. Memory is the peak beyond the
vectors and what was imported before. Then a process commits photos and writes them to Milvus Lite, and is
killed by SIGKILL at random moments after its first write; after each kill, a reader and then a writer must
answer as exact search does.

    python benchmarks/milvus.py [--quick] [--sizes N,N,...] [--flat-sizes N,N,...] [--kills N] [--seed S]
    python benchmarks/milvus.py --server http://HOST:PORT [--server-pid PID] [--sizes N,...] [--types T,...]

What is not measured stays in the results as it is: `results/milvus.json` has the searches, with a time and a
commit for each row, `milvus_kills.json` the kills, `milvus_server.json` and `milvus_server_kills.json` those
of a server.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, argument_parser, environment, peak_mib, write_result
from made_up import commit_faces, face_vectors, make_store

from faceindex.api.opening import connect_search
from faceindex.engine import milvus
from faceindex.metrics import recall_at_k
from faceindex.store import HnswParams, Store
from faceindex.store.exact import top_k
from faceindex.store.hnsw import HnswIndex
from faceindex.store.outside import UPSERT_BYTES
from faceindex.types import F32

K = 20
QUERIES = 500
SERVER_TYPES = ("FLAT", "HNSW", "IVF_FLAT")
DIMENSION = 128
FACES_PER_PERSON = 10
ADDRESS = "milvus:milvus.db"
BATCH, ROUNDS = 64, 400  # photos in a commit, and commits of the process that is killed


def made_up(n: int, seed: int) -> tuple[F32, F32]:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, max(1, n // FACES_PER_PERSON), n + QUERIES)
    vectors, queries = np.split(face_vectors(who, DIMENSION, rng), [n])
    return vectors, queries


def timed(run: Any) -> tuple[float, float, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def restart_peak() -> float:
    """Let the peak of the memory begin anew, and return the memory in use in MiB."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")
    return peak_mib()


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 2**10


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(engine: str, n: int, seed: int, address: str, pid: int) -> dict[str, Any]:
    """Measure one engine, in this process."""
    vectors, queries = made_up(n, seed)
    alive = np.ones(n, np.bool_)
    expected, _ = top_k(queries, vectors, K, alive)
    before = restart_peak()
    row: dict[str, Any] = {"engine": engine, "faces": n}
    if engine == "exact":
        one = timed(lambda: [top_k(query[None], vectors, K, alive) for query in queries[:20]])
        many = timed(lambda: top_k(queries, vectors, K, alive)[0])
    elif engine == "hnsw":
        hnsw = HnswIndex.build(DIMENSION, HnswParams())
        row["build_s"], row["build_cpu_s"], _ = timed(lambda: hnsw.extend(vectors, alive))
        row["builds_per_s"] = n / row["build_s"]
        one = timed(lambda: [hnsw.search(query[None], K, alive) for query in queries[:20]])
        many = timed(lambda: hnsw.search(queries, K, alive)[0])  # type: ignore[index]
    else:
        with tempfile.TemporaryDirectory() as folder:
            one, many = measure_milvus(row, engine, Path(folder), vectors, queries, address, pid)
    row |= {
        "one_ms": 1e3 * one[0] / 20,
        "one_cpu_ms": 1e3 * one[1] / 20,
        "batch_ms": 1e3 * many[0] / len(queries),
        "batch_cpu_ms": 1e3 * many[1] / len(queries),
        "queries_per_s": len(queries) / many[0],
        "recall": recall_at_k(many[2], expected),
        "peak_mib": peak_mib() - before,
    }
    return row


def measure_milvus(
    row: dict[str, Any], engine: str, folder: Path, vectors: F32, queries: F32, address: str, pid: int
) -> Any:
    kind = {"milvus": "HNSW", "milvus-flat": "FLAT"}.get(engine, engine)
    milvus.index_types = lambda faces: (kind,)
    server_before, server_cpu = (resident_mib(pid), cpu_seconds(pid)) if pid else (0.0, 0.0)
    index = milvus.connect(address, "ab" * 16, folder, HnswParams(), True)
    try:
        index.create(DIMENSION)
        step = UPSERT_BYTES // (4 * DIMENSION)

        def upsert() -> None:
            for start in range(0, len(vectors), step):
                some = vectors[start : start + step]
                index.upsert(np.arange(start, start + len(some)), some)
            index.settle()

        row["upsert_s"], row["upsert_cpu_s"], _ = timed(upsert)
        row["upserts_per_s"] = len(vectors) / row["upsert_s"]
        row["build_s"], row["build_cpu_s"], _ = timed(lambda: index.finish(len(vectors)))
        row["index_type"] = index._current_type()
        if pid:
            row["server_build_cpu_s"] = cpu_seconds(pid) - server_cpu
        first = timed(lambda: index.search(queries[:1], K))
        row["first_ms"] = 1e3 * first[0]  # waits until every write is seen
        if pid:
            server_cpu = cpu_seconds(pid)
        one = timed(lambda: [index.search(query[None], K, latest=False) for query in queries[:20]])
        many = timed(lambda: index.search(queries, K, latest=False))
        if pid:
            row["server_mib"] = resident_mib(pid) - server_before
            row["server_search_cpu_ms"] = 1e3 * (cpu_seconds(pid) - server_cpu) / (20 + len(queries))
        if address == ADDRESS:
            row["disk_mb"] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
        else:
            index.drop()
        return one, many
    finally:
        index.close()


def server_version(address: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        index = milvus.connect(address, "ab" * 16, Path(folder), HnswParams(), True)
        try:
            return str(index._client.get_server_version())
        finally:
            index.close()


def in_child(*arguments: object) -> dict[str, Any]:
    output = subprocess.run(
        [sys.executable, __file__, "--child", *map(str, arguments)], check=True, stdout=subprocess.PIPE
    ).stdout
    return dict(json.loads(output))


# Kills -------------------------------------------------------------------------------------------


def write_on(directory: Path, seed: int) -> None:
    """Commit photos, delete some, and write to Milvus after each commit, until killed."""
    rng = np.random.default_rng(seed)
    with Store.open(directory, write=True) as store:
        store.searching.connect = connect_search
        for done in range(ROUNDS):
            number = max((photo.id for photo in store.photos().values()), default=0) + 1
            commit_faces(store, face_vectors(rng.integers(0, 50, BATCH), DIMENSION, rng), number, rng)
            store.searching.require_up_to_date()
            if not done:
                print("ready", flush=True)  # from here on kills come at random, not before the first write
            there = [photo.id for photo in store.photos().values()]
            store.remove_photos(rng.choice(there, BATCH // 4, replace=False).tolist())
            store.compact_if_worthwhile()


def differs(store: Store, queries: F32) -> int:
    found, exact = store.search(queries, K), store.search(queries, K, exact=True)
    return int((found[0] != exact[0]).any(axis=1).sum())


def kill(directory: Path, kills: int, seed: int, address: str) -> dict[str, Any]:
    moments, rng = random.Random(seed), np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    queries = face_vectors(rng.integers(0, 50, 50), DIMENSION, rng)
    with make_store(directory, DIMENSION) as store:
        store.searching.connect = connect_search
        store.searching.choose(address)
    for number in range(kills):
        child = subprocess.Popen(
            [sys.executable, __file__, "--child", "write", str(directory), str(seed + number)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        after = moments.uniform(0.2, 6)
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with Store.open(directory) as store:
            store.searching.connect = connect_search
            mark = store._catalog.searched(store._catalog.vectors_name)
            lacking = store._catalog.rows - (mark[0] if mark else 0)
            faces, wrong_before = store.count_faces(), differs(store, queries)
        with Store.open(directory, write=True) as store:
            store.searching.connect = connect_search
            store.searching.require_up_to_date()
            wrong = differs(store, queries)
            problems, recall = store.searching.check(100, K, 0.95)
        rows.append(
            {
                "after_s": round(after, 3), "faces": faces, "lacking_rows": lacking,
                "wrong_before": wrong_before, "wrong_after": wrong, "problems": problems, "recall": recall,
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    return {
        "kills": kills,
        "between_commit_and_upsert": sum(row["lacking_rows"] > 0 for row in rows),
        "queries_that_differ": sum(row["wrong_before"] + row["wrong_after"] for row in rows),
        "problems": sum(len(row["problems"]) for row in rows),
        "rows": rows,
    }


def show(row: dict[str, Any]) -> dict[str, Any]:
    print(
        f"{row['faces']:>8} {row['engine']:>12} {row.get('index_type', ''):>8} build"
        f" {row.get('build_s', 0):7.1f} s, upsert {row.get('upserts_per_s', 0):8.0f}/s, one"
        f" {row['one_ms']:7.2f} ms, batch {row['batch_ms']:7.3f} ms, recall {row['recall']:.4f},"
        f" {row['peak_mib']:6.0f} MiB, server {row.get('server_mib', 0):6.0f} MiB",
        flush=True,
    )
    return row


def search(
    name: str,
    sizes: list[int],
    engines: list[tuple[str, ...]],
    address: str,
    args: Namespace,
    head: dict[str, Any],
) -> None:
    """Measure engines, and replace their rows in the results."""
    path = RESULTS / f"{name}{'_quick' if args.quick else ''}.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))["search"] if path.exists() else []
    for n, some in zip(sizes, engines, strict=True):
        at = {key: environment()[key] for key in ("time", "commit")} | {"together": args.together}

        def run(engine: str, n: int = n, at: dict[str, Any] = at) -> dict[str, Any]:
            return show(in_child(engine, n, args.seed, address, args.server_pid) | at)

        with ThreadPoolExecutor(len(some) if args.together else 1) as pool:
            rows = list(pool.map(run, some))
        earlier = sorted(
            [*(row for row in earlier if row["faces"] != n), *rows], key=lambda row: row["faces"]
        )
        write_result(name, {**head, "search": earlier}, quick=args.quick)


def kills(name: str, address: str, args: Namespace, head: dict[str, Any]) -> None:
    if not args.kills:
        return
    with tempfile.TemporaryDirectory() as folder:
        killed = kill(Path(folder) / "index", args.kills, args.seed, address)
        with Store.open(Path(folder) / "index", write=True) as store:
            store.searching.connect = connect_search
            store.searching.choose(None)
    print({key: value for key, value in killed.items() if key != "rows"})
    write_result(name, {**head, **killed}, quick=args.quick)
    if killed["queries_that_differ"] or killed["problems"]:
        sys.exit(1)


def numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",") if n]


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        if sys.argv[2] == "write":
            write_on(Path(sys.argv[3]), int(sys.argv[4]))
        else:
            engine, n, seed, address, pid = sys.argv[2:]
            print(json.dumps(measure(engine, int(n), int(seed), address, int(pid))))
        return
    parser = argument_parser(__doc__, quick="5,000 faces and 3 kills, in half a minute")
    parser.add_argument("--sizes", default="20000,100000,1000000", metavar="N,N,...")
    parser.add_argument(
        "--flat-sizes", default="20000,100000", metavar="N,N,...", help="of Milvus Lite's FLAT"
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--server", metavar="URL", help="measure this server only; MILVUS_TOKEN is its token")
    parser.add_argument("--types", default=",".join(SERVER_TYPES), help="index types of the server")
    parser.add_argument("--server-pid", type=int, default=0, help="its process here, to measure its memory")
    parser.add_argument("--together", action="store_true", help="run the engines of a size at the same time")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sizes, flat = numbers(args.sizes), numbers(args.flat_sizes)
    if args.quick:
        sizes, flat, args.kills = [5000], [5000], 3
    versions = {name: version(name) for name in ("pymilvus", "milvus-lite", "faiss-cpu")}
    head = {"seed": args.seed, "packages": versions}
    if args.server:
        address = f"milvus:{args.server}"
        engines = [("exact", *args.types.split(","))] * len(sizes)
        head["server"] = server_version(address)
        search("milvus_server", sizes, engines, address, args, head)
        kills("milvus_server_kills", address, args, head)
        return
    engines = [("exact", "hnsw", "milvus", *(["milvus-flat"] if n in flat else [])) for n in sizes]
    search("milvus", sizes, engines, ADDRESS, args, head)
    kills("milvus_kills", ADDRESS, args, head)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
