"""Damage every file of an index in every way, and count what notices it and what can be repaired.

Makes an index of made-up faces on small files, with clusters, people, decisions and an HNSW index. Each case
copies it and damages one file: flipped bits, zeroed pages, truncation, swapped pages, the file of another
index, an old copy of the file, a missing file. Then a process of its own reads all that commands read (faces,
vectors, searches, photos, people, decisions, the last scan), and compares it with the sound index:

- harmless: all answers are right;
- detected: an error that names a file of the index and what to do;
- silent: a wrong answer;
- crashed: any other exception, or a signal.

Cases that are detected are repaired as by `faceindex doctor --repair`. "Mended" means that the index is
healthy and all answers are right, "partly" that it is healthy and that what is missing was named: photos to
be read again, decisions to be looked at, commits that were lost. "Dropped" counts decisions that are missing
without being named.

    python benchmarks/damage.py [--quick] [--cases N] [--seed S]
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import argument_parser, write_result

from faceindex import FaceIndex, images
from faceindex.api.doctor import diagnose, repair_index
from faceindex.errors import FaceIndexError
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32, Faces

DIMENSION = 64
FACES = 3
PAGE = 4096
FILES = ("catalog.sqlite", "catalog.digests", "catalog.sqlite-wal", "vectors.f32", "ann.hnsw", "lock")
KINDS = ("flip", "zeros", "truncate", "swap", "other", "old", "missing")


def vectors_of(content: bytes) -> F32:
    """Return the made-up vectors of the faces on a photo."""
    person, number = int(content[4:8]), int(content[8:])
    rng = np.random.default_rng(1000 + number)
    base = np.random.default_rng(person).standard_normal((FACES, DIMENSION))
    noisy = base + 0.4 * rng.standard_normal((FACES, DIMENSION))
    unit: F32 = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    return unit


class Models:
    """Stands for the networks: decodes nothing, and embeds a face to the vector it had."""

    def decode_photo(self, data: bytes, name: str) -> bytes:
        return data

    def embed_faces(self, photos: list[bytes], found: list[Any]) -> list[Faces]:
        result = []
        for data, faces in zip(photos, found, strict=True):
            which = (faces.boxes[:, 0] / 30).round().astype(int)  # see `photo_of`
            vectors, one = vectors_of(data)[which], np.ones(len(which), np.float32)
            result.append(Faces(faces.boxes, faces.landmarks, faces.scores, vectors, one, one))
        return result


def photo_of(root: int, folder: Path, number: int, person: int) -> NewPhoto:
    """Write a file, and return it as a photo with faces."""
    content = b"\xff\xd8\xff\xe0%04d%06d" % (person, number)  # begins as a JPEG
    path = folder / f"{number}.jpg"
    path.write_bytes(content)
    left = 30 * np.arange(FACES, dtype=np.float32)
    boxes = np.stack([left, left + 5, left + 25, left + 35], axis=1)
    marks = np.stack([boxes[:, :2] + offset for offset in ((7, 9), (18, 9), (12, 16), (8, 23), (17, 23))], 1)
    score = np.full(FACES, 0.9, np.float32)
    quality = np.full(FACES, 0.8, np.float32)
    faces = Faces(boxes, marks.astype(np.float32), score, vectors_of(content), score, score, quality)
    digest, status = images.content_hash(content), path.stat()
    return NewPhoto(root, path.name, status.st_size, status.st_mtime_ns, digest, 100, 50, faces=faces,
                    picture=digest)  # fmt: skip


def fill(directory: Path, folder: Path, first: int, stop: int) -> None:
    """Add photos to an index, cluster them, and name people."""
    with Store.open(directory, write=True) as store:
        root = store.add_root(folder, "photos").id
        for start in range(first, stop, 20):
            store.commit([photo_of(root, folder, i, i % 9) for i in range(start, min(start + 20, stop))])
        faces = store.faces()
        similarity = np.full(len(faces), 0.5, np.float32)
        store.save_clustering("made-up", {}, 0, faces.face, (faces.photo - 1) % 9, similarity)
        store.update_hnsw(always=True)
        store.log_run("index", {"photos": stop})


def make(directory: Path, folder: Path, photos: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Store.create(directory, Pins("made-up", "made-up", DIMENSION)).close()
    fill(directory, folder, 0, photos)


def decide(directory: Path, names: list[str]) -> None:
    with FaceIndex.open(directory, write=True) as index:
        for cluster, name in enumerate(names):
            index.people.name(name, clusters=[cluster])


def answers(directory: Path) -> dict[str, Any]:
    """Return what commands read."""
    with Store.open(directory) as store:
        table = store.faces()
        vectors = store.vectors(table.row)
        exact = store.search(vectors[::7], 5, exact=True)
        near = store.search(vectors[::7], 5, exact=False)
        previous = store.previous_clustering()
        tables = store.decisions
        return {
            "faces": [getattr(table, name).tobytes() for name in table.__dataclass_fields__ if name != "row"],
            "vectors": vectors.tobytes(),
            "exact": [exact[0].tobytes(), exact[1].tobytes()],
            "near": bool(
                near[0].size
                and np.mean(near[0] == exact[0]) > 0.95
                and np.abs(near[1] - exact[1]).max() < 0.1
            ),
            "photos": sorted(map(repr, store.photos().values())),
            "roots": repr(store.roots()),
            "counts": repr(store.counts()).partition(" bytes=")[0],
            "clustering": repr(store.active_clustering()),
            "previous": None if previous is None else [previous.face.tolist(), previous.cluster.tolist()],
            "people": repr(tables.people()),
            "cluster people": tables.people_of_clusters(),
            "decisions": repr(tables.decisions()),
            "changes": [tables.changes(each.number) for each in tables.decisions()],
            "runs": repr(store.runs(1000)),
        }


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a function in a forked process; ``crashed`` if it ends with a signal or an unexpected exception."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        result: dict[str, Any]
        try:
            result = work()
        except FaceIndexError as error:
            result = {"error": str(error), "type": type(error).__name__}
        except BaseException:
            result = {"crashed": traceback.format_exc()[-1500:]}
        with os.fdopen(write, "w") as pipe, suppress(OSError):
            json.dump(result, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if text and status == 0 else {"crashed": f"ended with {status}"}


def damage(path: Path, kind: str, rng: random.Random, other: Path, old: Path) -> str:
    """Damage a file, and describe how."""
    content = bytearray(path.read_bytes())
    size = len(content)
    if kind == "flip" and size:
        position = rng.randrange(size)
        content[position] ^= 1 << rng.randrange(8)
        how = f"bit of byte {position:,}"
    elif kind == "zeros" and size:
        start = rng.randrange(-(-size // PAGE)) * PAGE
        content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))
        how = f"page at {start:,}"
    elif kind == "truncate" and size:
        size = rng.randrange(size)
        del content[size:]
        how = f"to {size:,} bytes"
    elif kind == "swap" and size >= 2 * PAGE:
        a, b = sorted(rng.sample(range(size // PAGE), 2))
        one, two = slice(a * PAGE, (a + 1) * PAGE), slice(b * PAGE, (b + 1) * PAGE)
        content[one], content[two] = content[two], content[one]
        how = f"pages {a} and {b}"
    elif kind == "other" and (other / path.name).exists():
        content, how = bytearray((other / path.name).read_bytes()), "file of another index"
    elif kind == "old" and (old / path.name).exists():
        content, how = bytearray((old / path.name).read_bytes()), "old copy"
    elif kind == "missing":
        path.unlink()
        return "deleted"
    else:
        return ""
    if bytes(content) == path.read_bytes():
        return ""
    path.write_bytes(content)
    return how


def outcome_of(found: dict[str, Any], expected: dict[str, Any], directory: Path) -> tuple[str, str]:
    if "crashed" in found:
        return "crashed", found["crashed"]
    if "error" in found:
        text = found["error"]
        named = any(name in text for name in FILES) and ("doctor" in text or "backup" in text)
        return ("detected" if named else "crashed"), text
    wrong = [name for name, value in expected.items() if found["digests"][name] != value]
    return ("silent", ", ".join(wrong)) if wrong else ("harmless", "")


def digests(directory: Path) -> dict[str, Any]:
    import hashlib

    return {
        "digests": {
            name: hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()
            for name, value in answers(directory).items()
        }
    }


def repair(directory: Path) -> dict[str, Any]:
    health = repair_index(directory, lambda pins, path: Models())  # type: ignore[arg-type,return-value]
    again = diagnose(directory)
    return {
        "healthy": health.healthy and again.healthy,
        "problems": [problem.what for problem in again.problems],
        "named": bool(
            health.read_again
            or health.deleted
            or health.decided
            or any(p.kind == "log" for p in health.repaired)
        ),
        "decided": bool(health.decided or any(p.kind in ("log", "pages") for p in health.repaired)),
        "read_again": len(health.read_again),
        **digests(directory),
    }


def main() -> int:
    parser = argument_parser(__doc__, quick="12 cases, a smaller index")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-v", "--verbose", action="store_true", help="print each case")
    options = parser.parse_args()
    cases, photos = (12, 60) if options.quick else (options.cases, 600)
    rng = random.Random(options.seed)
    work = Path(tempfile.mkdtemp())
    rows: list[dict[str, Any]] = []
    try:
        folder, sound, old, other = work / "photos", work / "sound", work / "old", work / "other"
        names = ["Anna", "Ben", "Chris", "Dora"]
        make(sound, folder, photos // 2)
        decide(sound, names[:2])
        shutil.copytree(sound, old)
        fill(sound, folder, photos // 2, photos)
        decide(sound, names)
        make(other, work / "others", photos)
        killed = work / "killed"
        shutil.copytree(sound, killed)
        child = os.fork()
        if child == 0:  # a writer that dies without closing: its log remains
            index = FaceIndex.open(killed, write=True)
            index.people.name("Emil", clusters=[4])
            index.people.name("Finn", clusters=[5])
            os._exit(0)
        os.waitpid(child, 0)
        expected = {path: in_child(partial(digests, path))["digests"] for path in (sound, killed)}
        started = datetime.now(timezone.utc)
        while len(rows) < cases:
            file = FILES[len(rows) % len(FILES)]
            template = killed if file.endswith("-wal") else sound
            kind = KINDS[rng.randrange(len(KINDS))]
            directory = work / "case"
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(template, directory)
            if not (how := damage(directory / file, kind, rng, other, old)):
                continue
            if template is killed:
                (directory / "catalog.sqlite-shm").unlink(missing_ok=True)
            outcome, text = outcome_of(in_child(partial(digests, directory)), expected[template], directory)
            row: dict[str, Any] = {"file": file, "kind": kind, "how": how, "outcome": outcome}
            if outcome != "harmless":
                row["text"] = text
            if outcome == "detected":
                done = in_child(partial(repair, directory))
                same = done.get("digests") == expected[template]
                row["repair"] = (
                    "needs a backup" if kind == "missing" and file == "catalog.sqlite"
                    else "failed" if not done.get("healthy") else "mended" if same
                    else "partly" if done["named"] else "unnamed"
                )  # fmt: skip
                kept = done.get("digests", {}).get("decisions") == expected[template]["decisions"]
                row["dropped"] = bool(done.get("healthy") and not kept and not done["decided"])
                if row["repair"] in ("failed", "unnamed"):
                    row["why"] = done.get("error") or done.get("crashed") or done.get("problems") or [
                        name for name, value in expected[template].items() if done["digests"][name] != value
                    ]  # fmt: skip
            rows.append(row)
            if (
                options.verbose
                or outcome in ("silent", "crashed")
                or row.get("repair") in ("failed", "unnamed")
            ):
                print({name: str(value)[-700:] for name, value in row.items()}, flush=True)
        print(f"{len(rows)} cases, {(datetime.now(timezone.utc) - started).total_seconds():.0f} s")
        counts = Counter((row["file"], row["kind"], row["outcome"]) for row in rows)
        for file in FILES:
            mine = Counter(row["outcome"] for row in rows if row["file"] == file)
            mended = Counter(row["repair"] for row in rows if row["file"] == file and "repair" in row)
            print(f"{file:20}{dict(mine)}  repairs: {dict(mended)}")
        total = Counter(row["outcome"] for row in rows)
        repairs = Counter(row["repair"] for row in rows if "repair" in row)
        dropped = sum(row.get("dropped", False) for row in rows)
        print(f"all: {dict(total)}, repairs: {dict(repairs)}, decisions dropped without a word: {dropped}")
        write_result(
            "damage",
            {
                "seed": options.seed,
                "cases": len(rows),
                "outcomes": dict(total),
                "repairs": dict(repairs),
                "dropped": dropped,
                "by_file_and_kind": [[*key, number] for key, number in sorted(counts.items())],
                "rows": rows,
            },
            quick=options.quick,
        )
        return 1 if total["silent"] or total["crashed"] or repairs["failed"] or dropped else 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
