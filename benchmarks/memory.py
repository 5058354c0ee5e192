"""Does the peak memory of `index` stay level as the collection grows?

`faceindex index`, in a process of its own each time, on 800 and on 8,000 photos: each of people/ once, and
ten times. Every copy has another size (up to 48 px cut off each side) and is encoded anew, as sizes are
ever new in a real archive; photos of few sizes would flatter allocators and caches of shapes. The photos are
made in a temporary folder and removed after::

    python benchmarks/memory.py [--data ../shared/data] [--runs 3] [--quick]

Prints, and writes to ``results/memory.json``: peak memory of the process by the operating system's account,
seconds, faces, and resident memory over the run in tenths of its time. 800 photos are run three times and
8,000 once, in about 6 minutes on two cores of an AMD EPYC; ``--quick`` compares 80 with 320.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from common import spend, target, write_result
from labelled import add_data_argument
from PIL import Image

SEED = 11
MOST_CUT = 48  # pixels of a side; the photos are about 450 x 480
QUALITY = 90
INTERVAL = 0.1  # seconds between two looks at resident memory


def make_photos(sources: list[Path], copies: int, into: Path) -> None:
    """Write copies of photos, each of another size: copy k of every photo into the folder k."""
    rng = np.random.default_rng(SEED)
    for copy in range(copies):
        folder = into / str(copy)
        folder.mkdir(parents=True)
        for number, source in enumerate(sources):
            left, top, right, bottom = (int(cut) for cut in rng.integers(0, MOST_CUT, 4))
            with Image.open(source) as photo:
                cut = photo.convert("RGB").crop((left, top, photo.width - right, photo.height - bottom))
            cut.save(folder / f"{number:04}.jpg", quality=QUALITY)


class Watch:
    """Resident memory of a process over time: (seconds, MiB); empty where there is no /proc."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.resident: list[float] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            try:
                pid = int(self._pid_file.read_text(encoding="ascii"))
                pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            except (OSError, ValueError, IndexError):
                continue  # not started yet, or over
            self.resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    def tenths(self) -> list[int]:
        """The largest of each tenth of the time, in MiB."""
        parts = np.array_split(np.array(self.resident), 10)
        return [round(float(part.max())) for part in parts if len(part)]


def measure(photos: list[Path], work: Path) -> dict[str, object]:
    """One run of `index` into a new index."""
    index = Path(tempfile.mkdtemp(dir=work)) / "index"
    pid_file = index.with_name("pid")
    faceindex: list[str | Path] = [sys.executable, "-m", "faceindex", "index", "--index", index]
    # The shell becomes the command, so what the system counts is the command's.
    command = ["sh", "-c", 'echo $$ > "$0"; exec "$@"', pid_file, *faceindex, "--json", "-q", *photos]
    with Watch(pid_file) as watch:
        spent = spend(command, cwd=work)
    summary = json.loads(spent.output)
    row = {
        "photos": summary["photos"],
        "faces": summary["faces"],
        "peak_mib": round(spent.peak_mib, 1),
        "resident_mib": watch.tenths(),
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_data_argument(parser)
    parser.add_argument("--runs", type=int, default=3, help="of the small collection; default 3")
    parser.add_argument("--quick", action="store_true", help="80 photos once against 320")
    options = parser.parse_args()
    sources = sorted((options.data / "people").rglob("*.jpg"))
    if not sources:
        raise SystemExit(f"There are no photos under {options.data / 'people'}.")
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
            f"peak memory of index, {many:,} photos over {few:,}",
            [most / peak for peak in peaks],
            reach=1.05,
            beyond=1.05,  # what is beyond is in the other line
            peak_mib={"small": peaks, "large": most},
        ),
        target(11, f"peak memory of index, {many:,} photos, in GiB", [most / 1024], reach=1.0, beyond=1.0),
    ]
    write_result(
        "memory_quick" if options.quick else "memory",
        {"seed": SEED, "small": small, "large": large, "targets": targets},
    )


if __name__ == "__main__":
    main()
