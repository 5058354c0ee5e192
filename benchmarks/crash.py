"""Kill `index` at random moments and check that no committed photo is lost.

Kills `index` with SIGKILL at random moments after its start. After each kill it checks that the index
opens, that it contains every photo whose commit was reported, with the faces of an undisturbed run,
and that a second run of `index` gives exactly the faces of the undisturbed run: same photos, boxes, scores
and vectors, bit for bit.

    python benchmarks/crash.py ../shared/data/people [--kills 50] [--count 80] [--quick]
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import argument_parser, write_result

from faceindex import FaceIndex

# Prints every commit after it was made. Commits four times as often as the default, so that more kills
# happen close to a commit.
CHILD = """
import sys
from faceindex import FaceIndex
from faceindex.pipeline import Committed, run
run.COMMIT_PHOTOS = 16
print(0, flush=True)
def report(event):
    if isinstance(event, Committed):
        print(event.photos, flush=True)
with FaceIndex.open_or_create(sys.argv[1]) as index:
    index.add([sys.argv[2]], on_event=report)
"""


def contents(directory: Path) -> dict[str, list[tuple[bytes, ...]]]:
    """Return the faces of each photo as bytes."""
    with FaceIndex.open(directory) as index:
        table, vectors = index.table(), index.vectors()
        found: dict[str, list[tuple[bytes, ...]]] = {}
        for i, row in enumerate(index.faces()):
            face = (table.boxes[i].tobytes(), table.scores[i].tobytes(), vectors[i].tobytes())
            found.setdefault(row.path, []).append(face)
    return found


def start(directory: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a run of `index` and return once it has begun."""
    command = [sys.executable, "-c", CHILD, str(directory), str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def photos_in(directory: Path) -> int:
    with FaceIndex.open(directory) as index:
        return sum(index.counts().photos.values())


def main() -> int:
    parser = argument_parser(__doc__, quick="5 kills, 40 photos")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--count", type=int, default=80, help="number of photos to index")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.quick:
        options.kills, options.count = 5, 40
    rng = random.Random(options.seed)
    work = Path(tempfile.mkdtemp())
    try:
        folder = work / "photos"
        folder.mkdir()
        every = sorted(path for path in options.photos.rglob("*") if path.is_file())
        for i, path in enumerate(rng.sample(every, options.count)):
            shutil.copy(path, folder / f"{i:04d}{path.suffix}")

        child = start(work / "reference", folder)
        started = time.monotonic()
        child.communicate()
        duration = time.monotonic() - started
        reference = contents(work / "reference")
        print(f"undisturbed: {len(reference)} photos with faces, {duration:.1f} s")

        rows = []
        for kill in range(options.kills):
            directory = work / f"killed{kill}"
            child = start(directory, folder)
            delay = rng.uniform(0, duration)
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
            output, _ = child.communicate()
            reported = sum(int(line) for line in output.split("\n")[:-1])
            present = photos_in(directory) if (directory / "catalog.sqlite").is_file() else 0
            left = contents(directory) if present else {}
            wrong = [photo for photo, faces in left.items() if faces != reference.get(photo)]
            start(directory, folder).communicate()
            same = contents(directory) == reference
            ok = present >= reported and not wrong and same
            rows.append(
                {
                    "seconds": round(delay, 3),
                    "signal": child.returncode,
                    "reported": reported,
                    "present": present,
                    "wrong": len(wrong),
                    "same_after_rerun": same,
                    "ok": ok,
                }
            )
            verdict = "ok" if ok else "FAILED"
            print(f"{kill:3d}  {delay:6.2f} s  reported {reported:3d}  present {present:3d}  {verdict}")
            shutil.rmtree(directory)
        good = sum(row["ok"] for row in rows)
        inside = int(np.sum([0 < row["present"] < options.count for row in rows]))
        print(f"{good} of {len(rows)} kills lost nothing; {inside} came between the first and last commit")
        payload = {"seed": options.seed, "photos": options.count, "kills": rows}
        write_result("crash", payload, quick=options.quick)
        return 0 if good == len(rows) else 1
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
