"""Measure whether the peak memory of `index` stays level as the collection grows.

Runs `faceindex index`, each time in a new process, on 800 and on 8,000 photos: each photo of people/ once,
and ten times. Every copy has a different size (up to 48 px cut off each side) and is encoded anew, because a
real archive has many sizes; few sizes would favour allocators and caches of shapes. The photos are
made in a temporary folder and removed afterwards::

    python benchmarks/memory.py [--data ../shared/data] [--runs 3] [--quick]

Prints and writes to ``results/memory.json``: peak memory of the process according to the operating system,
seconds, faces, and resident memory over the run in tenths of its time. Three runs with 800 photos and
one with 8,000 take about 6 minutes on two cores of an AMD EPYC; ``--quick`` compares 80 with 320.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from common import argument_parser, people_photos, spend, target, write_result
from PIL import Image

SEED = 11
MOST_CUT = 48  # pixels of a side; the photos are about 450 x 480
QUALITY = 90
INTERVAL = 0.1  # seconds between two samples of resident memory


def make_photos(sources: list[Path], copies: int, into: Path) -> None:
    """Write copies of photos, each of a different size: copy k of every photo into the folder k."""
    rng = np.random.default_rng(SEED)
    for copy in range(copies):
        folder = into / str(copy)
        folder.mkdir(parents=True)
        for number, source in enumerate(sources):
            left, top, right, bottom = (int(cut) for cut in rng.integers(0, MOST_CUT, 4))
            with Image.open(source) as photo:
                cut = photo.convert("RGB").crop((left, top, photo.width - right, photo.height - bottom))
            cut.save(folder / f"{number:04}.jpg", quality=QUALITY)


class MemorySampler:
    """Samples the resident memory of a process, in MiB, in a thread; no samples without /proc.

    Parameters
    ----------
    pid_file : Path
        File with the process id; may appear later.
    """

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.resident: list[float] = []

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(INTERVAL):
            try:
                pid = int(self._pid_file.read_text(encoding="ascii"))
                pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            except (OSError, ValueError, IndexError):
                continue  # not started yet, or ended
            self.resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def tenths(self) -> list[int]:
        """Return the maximum of each tenth of the time."""
        parts = np.array_split(np.array(self.resident), 10)
        return [round(float(part.max())) for part in parts if len(part)]


def measure(photos: list[Path], work: Path) -> dict[str, object]:
    """Run `index` once, into a new index; return the row of the result."""
    index = Path(tempfile.mkdtemp(dir=work)) / "index"
    pid_file = index.with_name("pid")
    faceindex: list[str | Path] = [sys.executable, "-m", "faceindex", "index", "--index", index]
    # The shell writes its process id and becomes the command, so the system measures the command.
    command = ["sh", "-c", 'echo $$ > "$0"; exec "$@"', pid_file, *faceindex, "--json", "-q", *photos]
    with MemorySampler(pid_file) as sampler:
        spent = spend(command, cwd=work)
    summary = json.loads(spent.output)
    row = {
        "photos": summary["photos"],
        "faces": summary["faces"],
        "peak_mib": round(spent.peak_mib, 1),
        "resident_mib": sampler.tenths(),
        "wall_s": round(spent.wall, 2),
        "cpu_s": round(spent.cpu, 2),
    }
    print(
        f"{row['photos']:6,} photos: peak {spent.peak_mib:.0f} MiB, {spent.wall:.1f} s ({spent.cpu:.1f} s of"
        f" CPU), {row['faces']:,} faces; resident by tenths of the time {row['resident_mib']} MiB",
        flush=True,
    )
    return row


def main() -> None:
    parser = argument_parser(__doc__, quick="80 and 320 photos, one run each", data=True)
    parser.add_argument("--runs", type=int, default=3, help="runs with the small collection; default 3")
    options = parser.parse_args()
    sources = people_photos(options.data)
    runs, copies = options.runs, 10
    if options.quick:
        sources, runs, copies = sources[::10], 1, 4
    with tempfile.TemporaryDirectory(prefix="faceindex-memory-") as name:
        work = Path(name)
        make_photos(sources, copies, work / "photos")
        small = [measure([work / "photos" / "0"], work) for _ in range(runs)]
        large = measure([work / "photos"], work)
    peaks = [float(str(row["peak_mib"])) for row in small]
    most = float(str(large["peak_mib"]))
    few, many = small[0]["photos"], large["photos"]
    targets = [
        target(
            11,
            f"peak memory of index, {many:,} photos / {few:,} photos",
            [most / peak for peak in peaks],
            reach=1.05,
            beyond=1.05,  # the other target has the stretch goal
            peak_mib={"small": peaks, "large": most},
        ),
        target(11, f"peak memory of index, {many:,} photos, in GiB", [most / 1024], reach=1.0, beyond=1.0),
    ]
    payload = {"seed": SEED, "small": small, "large": large, "targets": targets}
    write_result("memory", payload, quick=options.quick)


if __name__ == "__main__":
    main()
