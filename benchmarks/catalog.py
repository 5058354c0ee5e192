"""Measure the catalog, the SQLite database of an index, as it grows: bytes, CPU time and bytes read.

For each number of faces it writes an index of made-up faces through the store: two faces a photo on average,
people with a long tail of photos, the largest clusters named. The vectors have eight dimensions, because the
catalog is what is measured. Then each step runs in a process of its own:

- write: commit photos in batches of 64, as `index` does; the first and the last tenth apart;
- cluster: store a clustering of all faces; name the largest clusters, 100 in a decision;
- bytes: of each table, for each row;
- open: for reading, and for writing;
- read: all faces, all assignments, all photos, the counts of `status`, and the list of people;
- decide: confirm, reject, name a cluster, undo; the first one after opening, and the median of the next ones;
- find: photos of one person and of two;
- identify: a face that is embedded already, the first and the median of the next ones;
- again: `FaceIndex.add` on unchanged files, which exist but have no content: the first run, file by file, and
  later ones, for which a digest of the tree is stored; without the HNSW index;
- commit_one: open, commit one photo, close;
- doctor: `FaceIndex.doctor`;
- forget: one person of about 20 photos.

CPU time is that of the process. `read_bytes` is what it read from files, from the page cache too: what reads
more in a larger index although it needs little, reads everything. The exponents are the slopes of log cost
over log faces between the two largest sizes: 0 for what does not grow, 1 for what grows with the index.

    python benchmarks/catalog.py [--quick] [--sizes N,N,...] [--seed S] [--no-files] [--work DIR]

A million faces take some minutes of CPU time. `--no-files` leaves out `again`. A step of an index in
`--work` that is done is not measured again.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from common import argument_parser, environment, peak_mib, run_child, write_result
from find import name_people
from made_up import face_vectors, long_tail, make_store, one_face

from faceindex import FaceIndex
from faceindex.api.queries import Queries
from faceindex.api.reader import Reader
from faceindex.store import NewPhoto, Store, search
from faceindex.types import I64, Faces

DIMENSION = 8
BATCH = 64  # photos in a commit
PER_FOLDER = 1000
SIZES = (10_000, 100_000, 1_000_000)
QUICK = (1_000, 4_000)
NAMED = 500  # faces of the index for each named person
AT_ONCE = 100  # people named in one decision
REPEATS = 5
WHEN = 10**18  # nanoseconds since 1970, when all files were changed

Costs = dict[str, float]


def read_bytes() -> int:
    """Return how many bytes this process has read from files so far; 0 where the system does not count."""
    try:
        return int(Path("/proc/self/io").read_text(encoding="ascii").split("rchar: ")[1].split()[0])
    except (OSError, IndexError):
        return 0


def cost(work: Callable[[], object]) -> Costs:
    """Return the CPU and wall seconds of one call, and the bytes that it read."""
    read, wall, cpu = read_bytes(), time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu_s": cpu, "seconds": wall, "read_bytes": read_bytes() - read}


def first_and_next(work: Callable[[], object]) -> dict[str, Costs]:
    """Return the costs of the first call and the medians of the next ones."""
    first, *others = [cost(work) for _ in range(1 + REPEATS)]
    return {"first": first, "next": {key: median(other[key] for other in others) for key in first}}


def photo_sizes(faces: int) -> I64:
    """Return the number of faces of each photo: 1, 2, 3, again and again."""
    sizes = np.tile([1, 2, 3], -(-faces // 6) + 1)
    return sizes[: int(np.searchsorted(np.cumsum(sizes), faces)) + 1]


def path_of(number: int) -> str:
    return f"{number // PER_FOLDER}/{number}.jpg"


def some_faces(vectors: np.ndarray) -> Faces:
    """Return faces side by side on one photo."""
    n = len(vectors)
    x = np.arange(n, dtype=np.float32)[:, None] * 100
    return Faces(
        boxes=np.concatenate([x, np.zeros_like(x), x + 90, np.full_like(x, 90)], axis=1),
        landmarks=np.full((n, 5, 2), 40, np.float32),
        scores=np.ones(n, np.float32),
        vectors=vectors,
        norms=np.ones(n, np.float32),
        sharpness=np.full(n, 0.3, np.float32),
        quality=np.full(n, 0.7, np.float32),
    )


def write(n: int, path: Path, seed: int) -> dict[str, object]:
    """Commit the photos; `path` is the index, and ``path.tree`` the folder of its photos."""
    rng = np.random.default_rng(seed)
    who = long_tail(n, rng)
    # Cluster 1 has most faces.
    by_size = np.argsort(-np.bincount(who), kind="stable")
    rank = np.empty(len(by_size), np.int64)
    rank[by_size] = np.arange(1, len(by_size) + 1)
    np.save(path.with_suffix(".who.npy"), rank[who])
    vectors = face_vectors(who, DIMENSION, rng)
    sizes = photo_sizes(n)
    ends = np.minimum(np.cumsum(sizes), n).tolist()
    spent: list[float] = []
    tree = path.with_suffix(".tree")
    tree.mkdir()
    with make_store(path, DIMENSION) as store:
        root = store.add_root(str(tree), str(tree))
        before = time.process_time()
        for first in range(0, len(ends), BATCH):
            photos, start = [], ends[first - 1] if first else 0
            for number in range(first, min(first + BATCH, len(ends))):
                end = ends[number]
                photos.append(
                    NewPhoto(
                        root.id,
                        path_of(number),
                        100_000,
                        WHEN,
                        os.urandom(20),
                        400,
                        100,
                        faces=some_faces(vectors[start:end]),
                        picture=os.urandom(20),
                        taken=int(rng.integers(0, 15 * 10**8)),
                    )
                )
                start = end
            store.commit(photos)
            now = time.process_time()
            spent.append(now - before)
            before = now
    tenth = max(1, len(spent) // 10)
    return {
        "photos": len(ends),
        "cpu_s": sum(spent),
        "cpu_s_for_a_photo": sum(spent) / len(ends),
        "first_tenth": sum(spent[:tenth]) / (tenth * BATCH),
        "last_tenth": sum(spent[-tenth - 1 : -1] or spent) / (tenth * BATCH),
        "catalog_bytes": (path / "catalog.sqlite").stat().st_size,
        "digest_bytes": (path / "catalog.digests").stat().st_size,
    }


def cluster(n: int, path: Path, seed: int) -> dict[str, object]:
    who = np.load(path.with_suffix(".who.npy"))
    counts = np.bincount(who)
    labels = np.where(counts[who] > 1, who, -1)
    with Store.open(path, write=True) as store:
        ids = np.sort(store.assignments().face)
        ones = np.ones(len(ids), np.float32)
        stored = cost(lambda: store.save_clustering("made up", {}, 0, ids, labels, ones))
        again = cost(lambda: store.save_clustering("made up", {}, 0, ids, labels, ones))
        people = max(10, n // NAMED)

        def name() -> None:
            for first in range(1, people + 1, AT_ONCE):
                name_people(store, min(first + AT_ONCE - 1, people), first)

        named = cost(name)
    faces = int(np.isin(who, np.arange(1, people + 1)).sum())
    clusters = int((counts > 1).sum())
    return {
        "clusters": clusters, "stored": stored, "stored_again": again,
        "named_people": people, "named_faces": faces, "naming": named,
    }  # fmt: skip


def bytes_of_tables(n: int, path: Path, seed: int) -> dict[str, object]:
    with sqlite3.connect(path / "catalog.sqlite") as db:
        pages: dict[str, int] = {}
        try:
            found = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
        except sqlite3.OperationalError:
            found = []  # SQLite without this table
        owner = dict(db.execute("SELECT name, tbl_name FROM sqlite_master"))
        for name, size in found:
            pages[owner.get(name, name)] = pages.get(owner.get(name, name), 0) + size
        rows = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in sorted(pages)
                if name in owner and owner[name] == name}  # fmt: skip
    files = {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file()}
    return {
        "files": files,
        "tables": {
            name: {"bytes": pages[name], "rows": rows[name]} for name in rows if rows[name] > n // 1000
        },
    }


def opening(n: int, path: Path, seed: int) -> dict[str, object]:
    Store.open(path).close()
    return {
        "reader": first_and_next(lambda: Store.open(path).close())["next"],
        "writer": first_and_next(lambda: Store.open(path, write=True).close())["next"],
    }


def read(n: int, path: Path, seed: int) -> dict[str, object]:
    with Store.open(path) as store:
        result = {
            "assignments": cost(store.assignments),
            "faces": cost(store.faces),
            "counts": cost(store.counts),
        }
    with Store.open(path) as store:
        result["photos"] = cost(store.photos)
    with FaceIndex.open(path) as index:
        result["list_of_people"] = cost(index.people.list)
    return dict(result)


def decide(n: int, path: Path, seed: int) -> dict[str, object]:
    with FaceIndex.open(path, write=True) as index:
        rows = index._store.decisions.faces_of_clusters([3, 4])
        faces = iter([face for face, _, _ in rows])
        people = max(10, n // NAMED)
        clusters = iter(range(people + 1, people + 20))
        name = "Person 0"
        return {
            "confirm": first_and_next(lambda: index.people.confirm([next(faces)])),
            "reject": first_and_next(lambda: index.people.reject([next(faces)])),
            "name_a_cluster": first_and_next(
                lambda: index.people.name(f"New {time.time_ns()}", clusters=[next(clusters)])
            ),
            "undo": first_and_next(index.people.undo),
            "note": first_and_next(lambda: index.people.note(name, f"Note {time.time_ns()}")),
        }


def find(n: int, path: Path, seed: int) -> dict[str, object]:
    usual = f"Person {max(10, n // NAMED) // 2}"
    with FaceIndex.open(path) as index:
        one = first_and_next(lambda: index.find(usual))
        photos = len(index.find(usual))
        two = first_and_next(lambda: index.find(f"Person 1 & {usual}"))
        without = first_and_next(lambda: index.find(f"!{usual}"))
    return {"photos": photos, "one_person": one, "two_people": two, "all_without_one": without}


def identify(n: int, path: Path, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    queries = iter(face_vectors(np.arange(REPEATS + 1), DIMENSION, rng))
    with Store.open(path) as store:
        identify_faces = Queries(Reader(store), "cpu").identify_faces
        return dict(first_and_next(lambda: identify_faces("a photo", one_face(next(queries)))))


def commit_one(n: int, path: Path, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    numbers = iter(range(10))

    def work() -> None:
        with Store.open(path, write=True) as store:
            root = store.roots()[-1]
            face = some_faces(face_vectors(np.zeros(1, np.int64), DIMENSION, rng))
            name = f"new/{next(numbers)}.jpg"
            store.commit(
                [NewPhoto(root.id, name, 5, 5, os.urandom(20), 100, 100, faces=face, picture=os.urandom(20))]
            )

    return dict(first_and_next(work))


def again(n: int, path: Path, seed: int) -> dict[str, object]:
    """Measure the command on unchanged files: as long as said, but without content."""
    tree, photos = path.with_suffix(".tree"), len(photo_sizes(n))
    for number in range(photos):
        file = tree / path_of(number)
        if number % PER_FOLDER == 0:
            file.parent.mkdir(exist_ok=True)
        with file.open("wb") as opened:
            opened.truncate(100_000)
        os.utime(file, ns=(WHEN, WHEN))
    found: list[int] = []

    def index_again() -> None:
        with FaceIndex.open(path, write=True) as index:
            found.append(index.add([str(tree)]).unchanged)

    search.EXACT_BELOW = 2**62  # building the HNSW index takes longer than all else; `scale.py` measures it
    result = first_and_next(index_again)
    shutil.rmtree(tree)
    return {"photos": photos, "unchanged": found, **result}


def doctor(n: int, path: Path, seed: int) -> dict[str, object]:
    healthy: list[bool] = []
    spent = cost(lambda: healthy.append(FaceIndex.doctor(path).healthy))
    return {**spent, "healthy": healthy[0]}


def forget(n: int, path: Path, seed: int) -> dict[str, object]:
    usual = f"Person {max(10, n // NAMED) // 2}"
    with FaceIndex.open(path, write=True) as index:
        photos = len(index.find(usual))
        spent = cost(lambda: index.forget(usual))
    return {**spent, "photos": photos}


STEPS: dict[str, Callable[[int, Path, int], dict[str, object]]] = {
    "write": write,
    "cluster": cluster,
    "bytes": bytes_of_tables,
    "open": opening,
    "read": read,
    "decide": decide,
    "find": find,
    "identify": identify,
    "again": again,
    "commit_one": commit_one,
    "doctor": doctor,
    "forget": forget,
}


def measure(n: int, seed: int, work: Path, steps: list[str]) -> dict[str, object]:
    """Run the steps of one size, each in a new process, and keep their results beside the index."""
    folder = work / str(n)
    folder.mkdir(parents=True, exist_ok=True)
    row: dict[str, object] = {"faces": n}
    for step in steps:
        stored = folder / f"{step}.json"
        if not stored.is_file():
            options = ("--sizes", n, "--seed", seed, "--step", step, "--path", folder / "index")
            stored.write_text(json.dumps(run_child(__file__, *options)), encoding="utf-8")
        row[step] = json.loads(stored.read_text(encoding="utf-8"))
        print(f"{n:,} faces, {step}: {json.dumps(row[step])}", flush=True)
    return row


def numbers(value: object, name: str = "") -> dict[str, float]:
    """Return the costs in a result of a step, by the names of the way to them."""
    if isinstance(value, dict):
        found: dict[str, float] = {}
        for key, inner in value.items():
            found |= numbers(inner, f"{name}.{key}" if name else str(key))
        return found
    if isinstance(value, (int, float)) and name.rpartition(".")[2] in ("cpu_s", "read_bytes", "peak_mib"):
        return {name: float(value)}
    return {}


def exponents(rows: list[dict[str, object]]) -> dict[str, float]:
    """Return the slope of log cost over log faces between the two largest sizes, of each cost."""
    if len(rows) < 2:
        return {}
    small, large = numbers(rows[-2]), numbers(rows[-1])
    apart = math.log(float(str(rows[-1]["faces"])) / float(str(rows[-2]["faces"])))
    return {
        name: math.log(large[name] / small[name]) / apart
        for name in small
        if large.get(name, 0) > 0 and small[name] > 0
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="two small sizes")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-files", action="store_true", help="leave out the run on unchanged files")
    parser.add_argument("--work", type=Path, help="keep the indexes and the results of steps here")
    parser.add_argument("--step", choices=STEPS, help=SUPPRESS)  # in a child process
    parser.add_argument("--path", type=Path, help=SUPPRESS)
    options = parser.parse_args()
    if options.step:
        found = STEPS[options.step](options.sizes[0], options.path, options.seed)
        own = {"peak_mib": peak_mib(), "environment": environment()}
        print(json.dumps({**found, **own}))
        return
    sizes = sorted(options.sizes or (QUICK if options.quick else SIZES))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            steps = [step for step in STEPS if not (options.no_files and step == "again")]
            rows.append(measure(n, options.seed, options.work or Path(folder), steps))
            if not options.work:
                shutil.rmtree(Path(folder) / str(n))
    payload = {"dimension": DIMENSION, "seed": options.seed, "rows": rows, "exponents": exponents(rows)}
    write_result("catalog", payload, quick=options.quick)


if __name__ == "__main__":
    main()
