"""Forget people, and search every byte of the index and of its copies for what is left of them.

Writes every kind of export and gallery of an index, forgets one person, and searches all files for vectors
and names, with a search of its own. Checks that the faces of all others are there, bit for bit, and that
the next run of `index` over the same photos brings nothing back. Then kills `forget` at steps spread over all
of its work: files that are opened, renamed or deleted, and the work of the database. After each kill the
index is opened once for writing, and searched again.

    python benchmarks/forget.py [--index DIR] [--people 4] [--kills 100] [--quick]

`--index` is an index of shared/data/people/; it is copied. Without it, only a made-up album is used.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import argument_parser, write_result

from faceindex import FaceIndex
from faceindex.models import registry

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import fakes
import forgetting_album

QUICK_KILLS = 4

FOLDER = "copies"


class Traces:
    """The bytes of one person: vectors as the index holds them, names in several encodings.

    Parameters
    ----------
    vectors : (n, d) float32
    names : list of str
    """

    def __init__(self, vectors: Any, names: list[str]) -> None:
        self.vectors = np.ascontiguousarray(vectors, "<f4")
        self.joined = self.vectors.tobytes()
        self.values = np.unique(self.vectors.view("<u4"))
        forms = {form for name in names for form in (name, json.dumps(name)[1:-1])}
        self.names = {form.encode(e) for form in forms for e in ("utf-8", "utf-16-le", "utf-32-le")}
        self.texts = {",".join(str(x) for x in vector[:3]).encode() for vector in self.vectors}

    def count(self, content: bytes) -> int:
        """Count the runs of four numbers of a vector at any position, names, and vectors as text."""
        found = sum(content.count(text) for text in self.names | self.texts)
        for start in range(4):
            numbers = np.frombuffer(content[start : start + (len(content) - start) // 4 * 4], "<u4")
            known = np.isin(numbers, self.values)
            if len(known) < 4:
                continue
            runs = np.flatnonzero(known[:-3] & known[1:-2] & known[2:-1] & known[3:])
            found += sum(numbers[at : at + 4].tobytes() in self.joined for at in runs)
        return found


def files(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file below some folders with its content, and the members of archives."""
    import zipfile

    for path, content in forgetting_album.all_bytes(*folders):
        yield path, content
        if path.suffix in (".zip", ".npz"):
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    yield path, archive.read(member)


def search(traces: Traces, *folders: Path) -> tuple[int, int, Counter[str]]:
    """Return the files and bytes that were searched, and the number of traces by file."""
    number, size, found = 0, 0, Counter[str]()
    for path, content in files(*folders):
        number += 1
        size += len(content)
        if hits := traces.count(content):
            found[path.name] += hits
    return number, size, found


def contents(index: FaceIndex, name: str) -> dict[int, tuple[bytes, str | None]]:
    """Return the vector and the person of all faces that do not show a person."""
    table, vectors = index.table(), index.vectors()
    return {
        face.face: (vectors[i].tobytes(), face.person)
        for i, face in enumerate(index)
        if face.person != name and int(table.face[i]) == face.face
    }


def write_copies(directory: Path, folder: Path) -> None:
    """Write every kind of export, and galleries."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with FaceIndex.open(directory) as index:
        index.export.gallery(folder / "gallery")
        index.export.gallery(folder / "copied", copy=True)
        index.export.crops(folder / "crops")
        index.export.clusters(folder / "people", folders=True)
        index.export.clusters(folder / "people.zip")
        index.export.boxes(folder / "boxes.csv", format="csv-full")
        index.export.embeddings(folder / "vectors.npz")
        index.export.embeddings(folder / "vectors.csv")
        index.people.export(folder / "journal.jsonl")


# Real photos -------------------------------------------------------------------------------------


def name_people(directory: Path) -> list[str]:
    """Cluster, and name the clusters by the folder that most of their photos are in."""
    with FaceIndex.open(directory, write=True) as index:
        index.cluster()
        folders: dict[int, Counter[str]] = {}
        for face in index:
            if face.cluster is not None:
                folders.setdefault(face.cluster, Counter())[Path(face.path).parent.name] += 1
        of: dict[str, list[int]] = {}
        for cluster, counter in folders.items():
            if counter.total() >= 5:
                of.setdefault(counter.most_common(1)[0][0], []).append(cluster)
        for folder, clusters in of.items():
            # The name is not that of the folder: paths of photos stay.
            index.people.name(f"Person {folder[::-1].title()}", clusters=clusters)
        return sorted(person.name for person in index.people.list())


def forget_real(source: Path, number: int, work: Path) -> list[dict[str, Any]]:
    """Forget some people of a copy of an index, one after the other, each with all copies."""
    directory = work / "index"
    shutil.copytree(source, directory)
    results = []
    for name in name_people(directory)[:number]:
        write_copies(directory, work / FOLDER)
        with FaceIndex.open(directory, write=True) as index:
            index._store.update_hnsw(always=True)
            traces = Traces(forgetting_album.vectors_of(index, name), [name])
            others = contents(index, name)
            before = search(traces, directory, work / FOLDER)
            started = time.perf_counter()
            receipt = index.forget(name, verify=True)
            seconds = time.perf_counter() - started
            lost = sum(now != others.get(face) for face, now in contents(index, name).items())
            lost += len(others) - len(contents(index, name))
            roots = [root.path for root in index.roots()]
            came_back = index.add(roots).faces
        after = search(traces, directory, work / FOLDER)
        assert receipt.searched is not None
        result = {
            "faces": receipt.faces,
            "labelled": receipt.labelled,
            "believed": receipt.believed,
            "traces_before": before[2].total(),
            "files_with_traces_before": len(before[2]),
            "files": after[0],
            "bytes": after[1],
            "traces_after": dict(after[2]),
            "hits_of_verify": receipt.searched.hits,
            "complete": receipt.complete,
            "other_faces_changed": lost,
            "faces_that_came_back": came_back,
            "seconds": round(seconds, 2),
        }
        print(f"{receipt.faces} faces:", json.dumps(result))
        results.append(result)
    return results


# Kills -------------------------------------------------------------------------------------------


def killed(directory: Path, name: str, step: int | None) -> int:
    """Forget in another process, killed at a step; return the steps of one that is not killed, else 0."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            taken = 0

            def count(*_: object) -> int:
                nonlocal taken
                taken += 1
                if taken == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return 0

            def audit(event: str, arguments: tuple[object, ...]) -> None:
                if event in ("os.remove", "os.rename", "os.truncate") or (
                    event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
                ):
                    count()

            with FaceIndex.open(directory, write=True) as index:
                index._store._catalog._db.set_progress_handler(count, 100)
                sys.addaudithook(audit)
                assert index.forget(name).complete
            os.write(writer, str(taken).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        return int(pipe.read() or 0)


def forget_killed(kills: int, work: Path) -> dict[str, Any]:
    """Kill `forget` on a made-up album at steps spread over all of its work."""
    fakes.register_fakes()
    fakes.FakeDetector = forgetting_album.AlbumDetector  # type: ignore[misc]
    (work / "album").mkdir(parents=True)
    forgetting_album.make_album(work / "album")
    forgetting_album.make_index(work / "index", work / "album")
    forgetting_album.make_copies(work / "index", work / FOLDER)
    name = forgetting_album.NAME
    names = [forgetting_album.OLD_NAME, forgetting_album.SECRET]
    with FaceIndex.open(work / "index") as index:
        traces = Traces(forgetting_album.vectors_of(index, name), names)
        others = contents(index, name)
        number = len(index)
    for part in ("index", FOLDER):
        shutil.copytree(work / part, work / "saved" / part, symlinks=True)

    def restore() -> None:
        for part in ("index", FOLDER):
            shutil.rmtree(work / part, ignore_errors=True)
            shutil.copytree(work / "saved" / part, work / part, symlinks=True)

    before = search(traces, work / "index", work / FOLDER)[2].total()
    steps = killed(work / "index", name, None)
    after = search(traces, work / "index", work / FOLDER)[2].total()
    outcome: Counter[str] = Counter()
    left = lost = stale = 0
    for kill in range(kills):
        restore()
        killed(work / "index", name, max(2, steps * kill // kills))
        with FaceIndex.open(work / "index", write=True) as index:
            known = name in index.people.names()
            outcome["nothing forgotten" if known else "finished by the next writer"] += 1
            if known and len(index) != number:
                outcome["half forgotten"] += 1
            if known:
                index.forget(name)
            lost += contents(index, name) != others
            stale += len(index._store.copies.all(stale=True))
        left += search(traces, work / "index", work / FOLDER)[2].total()
    result = {
        "kills": kills, "steps": steps, "traces_before": before, "traces_after": after,
        "outcomes": dict(outcome), "traces_after_kills": left, "kills_that_changed_other_faces": lost,
        "stale_copies": stale,
    }  # fmt: skip
    print("kills:", json.dumps(result))
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argument_parser(__doc__, quick="a made-up album and few kills")
    parser.add_argument("--index", type=Path, help="index of real photos; it is copied")
    parser.add_argument("--people", type=int, default=4, help="people of that index to forget")
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, registry.isolated():
        work = Path(folder).resolve()
        kills = forget_killed(QUICK_KILLS if arguments.quick else arguments.kills, work / "killed")
        real = []
        if arguments.index is not None and not arguments.quick:
            (work / "real").mkdir()
            real = forget_real(arguments.index, arguments.people, work / "real")
    left = kills["traces_after"] + kills["traces_after_kills"]
    left += sum(sum(each["traces_after"].values()) for each in real)
    print(f"traces of forgotten people that were found: {left}")
    write_result("forget", {"kills": kills, "people": real, "traces_left": left}, quick=arguments.quick)
    if left or kills["kills_that_changed_other_faces"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
