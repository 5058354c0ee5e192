"""The page of `faceindex review`, measured: the real command, HTTP, and a real Chromium without a window.

first
    From the navigation to the first screen of people with their thumbnails: 50,000 faces in 2,000 clusters,
    with photos and without thumbnails in the cache or with all; and 1,000,000 faces, whose photos do not
    exist, so that the covers of the largest groups are put into the cache. ``cpu_ms`` is the CPU time of the
    server and of the page's main thread: other programs change it less.
elements
    In the document on each view and three widths of the window; at most 500.
scroll
    Through a group of 50,000 faces, fast: cells without picture and placeholder, and without a picture.
memory
    Of the server, beside the memory map of the vectors, after some steps and at any moment.
answers
    Names for clusters of 2,800 to 2 of 100,000 faces: until the answer, and until the next questions know it.
kills
    Of the server by SIGKILL while three clients decide: what was answered must be in the journal.
random
    Random decisions on two pages at once, and by the library and real commands in between: all must agree
    afterwards.
beside
    Real `index`, `cluster` and `migrate` beside a page that decides, on photos of people.

    python benchmarks/review.py                          # an hour on a quiet machine
    python benchmarks/review.py --only first,elements    # the other results stay in the file
    python benchmarks/review.py --quick                  # small indexes, without a browser
    python benchmarks/review.py --million DIR            # an index of 1,000,000 faces that was made before
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, argument_parser, write_result
from find import make_index
from review_beside import beside
from review_deciding import answers, kills, memory
from review_looking import covers, elements, first_screens, scrolling
from review_places import chromium, fill_cache, make_photo_index
from review_random import random_actions

from faceindex import FaceIndex

PARTS = ("first", "elements", "scroll", "memory", "answers", "kills", "random", "beside")
TARGETS = {"first_50k_ms": 500, "first_1m_ms": 1000, "elements": 500, "memory_mib": 300, "answer_s": 1.0}


class Indexes:
    """Makes each index once, in `folder`; what is measured works on it, or on a copy."""

    def __init__(self, folder: Path, million: Path | None) -> None:
        self.folder, self._million = folder, million

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        folder = self.folder / name
        if not folder.exists():
            print(f"    making the index {name}")
            folder.mkdir()
            make(folder)
        return folder / "index"

    def photos(self) -> Path:
        """50,000 faces in 2,000 clusters, on photos that exist."""
        return self._made(
            "photos", lambda folder: make_photo_index(folder, 50_000, 2_000, tail=0.9, loose=0.1)
        )

    def hundred(self) -> Path:
        """100,000 faces, the largest of 3,000 clusters with some thousand."""
        return self._made(
            "hundred",
            lambda folder: make_index(
                folder / "index", 100_000, 0, 0, named=False, clusters=3_000, loose=0.18, tail=0.8
            ),
        )

    def million(self) -> Path:
        """1,000,000 faces in 40,000 clusters, 300 people."""
        if (ready := self._million) is not None:
            return self._made("million", lambda folder: shutil.copytree(ready, folder / "index"))
        return self._made(
            "million",
            lambda folder: make_index(
                folder / "index", 1_000_000, 300, 7, clusters=40_000, loose=0.18, tail=0.95
            ),
        )

    def one(self) -> Path:
        """50,000 faces in one cluster."""
        return self._made(
            "one", lambda folder: make_index(folder / "index", 50_000, 0, 3, named=False, clusters=1)
        )

    def small(self, name: str, faces: int, clusters: int) -> Path:
        """An index for decisions, new each time."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self._made(
            name,
            lambda folder: make_index(
                folder / "index", faces, 0, 7, named=False, clusters=clusters, loose=0.2
            ),
        )


def faces_of(directory: Path) -> list[int]:
    with FaceIndex.open(directory) as index:
        found: list[int] = index.album.load().face.tolist()
    return found


def measure(part: str, indexes: Indexes, options: Any) -> dict[str, Any]:
    """Carry out one part; print its outcome."""
    if part == "first":
        found = {}
        with chromium() as browser:
            for name, cold in (("50,000 faces, cold", True), ("50,000 faces, warm", False)):
                found[name] = first_screens(browser, indexes.photos(), options.runs, cold=cold)
            fill_cache(indexes.million(), covers(indexes.million(), 300))
            found["1,000,000 faces, warm"] = first_screens(
                browser, indexes.million(), options.runs, cold=False
            )
        for name, row in found.items():
            print(
                f"first screen, {name}: {row['screen_ms']:.0f} ms ({row['least_ms']} to {row['worst_ms']}),"
                f" {row['cpu_ms']:.0f} ms of CPU; from the start {row['shown_s']} s"
                f" ({row['shown_cpu_s']:.1f} s of CPU)"
            )
        return found
    if part == "elements":
        with chromium() as browser:
            counted = elements(browser, indexes.photos())
        print(f"elements: at most {max(counted.values())}, of {TARGETS['elements']}")
        return counted
    if part == "scroll":
        with chromium() as browser:
            found = scrolling(browser, indexes.one(), faces_of(indexes.one()), stops=options.stops)
        for way in ("wheel", "jumps"):
            row = found[way]
            print(
                f"scrolling by {way}: {row['blank_frames']:.1%} of {row['moved']} frames with a blank cell,"
                f" {row['unpainted_after_100_ms']:.1%} of the cells without picture 100 ms after a stop;"
                f" all have one after {row['ms_to_all_pictures']} ms; {row['elements']} elements"
            )
        return found
    if part == "memory":
        found = {
            name: memory(directory())
            for name, directory in (
                ("50,000 faces", indexes.photos),
                ("100,000 faces", indexes.hundred),
                ("1,000,000 faces", indexes.million),
            )
        }
        for name, steps in found.items():
            most = max(
                (row["beside_vectors"], step)
                for step, row in steps.items()
                if step != "a photo was dropped in"
            )
            print(
                f"memory, {name}: at most {most[0]:.0f} MiB ({most[1]}), target {TARGETS['memory_mib']} MiB"
            )
        return found
    if part == "answers":
        found = answers(indexes.hundred(), options.runs)
        show_answers(found)
        return found
    if part == "kills":
        found = kills(indexes.small("kills", 2_000, 80), options.kills)
        show_kills(found)
        return found
    if part == "beside":
        with chromium() as browser:
            found = beside(browser, indexes.folder / "beside")
        differences = sum(len(step["differed"]) for step in found["steps"].values())
        print(
            f"{found['decisions']} decisions beside commands: {len(found['lost'])} lost,"
            f" {differences} differences,"
            f" {len(found['page_errors'])} errors; {found['problems']}"
        )
        return found
    with chromium() as browser:
        found = random_actions(browser, indexes.small("random", 600, 60), options.actions)
    print(
        f"{found['decisions']} random decisions and {sum(found['commands'].values())} commands,"
        f" compared {found['compared']} times:"
        f" {len(found['lost'])} lost, {len(found['differed'])} differences,"
        f" {len(found['page_errors'])} errors; {found['problems']}"
    )
    return found


def show_answers(found: dict[str, Any]) -> None:
    for row in found["sizes"].values():
        middle, _, most = row["name_answer_s"]
        print(
            f"a name for a cluster of {row['faces']:,}: {middle:.2f} s, at most {most:.2f} s,"
            f" {row['name_answer_cpu_s'][0]:.2f} s of CPU;"
            f" the next questions {row['name_next_s'][0]:.2f} s later"
        )


def show_kills(found: dict[str, Any]) -> None:
    print(
        f"{found['kills']} kills: {found.get('answered', 0)} decisions were answered,"
        f" {found.get('lost', 0)} lost;"
        f" {found.get('sent again', 0)} sent again; {len(found['faults'])} faults"
    )


def quick(folder: Path) -> dict[str, Any]:
    """Answers and kills on small indexes."""
    indexes = Indexes(folder, None)
    answered = answers(indexes.small("answers", 400, 20), 1, (40, 5))
    show_answers(answered)
    killed = kills(indexes.small("kills", 400, 20), 2)
    show_kills(killed)
    if killed["faults"] or killed["answered"] < 1:
        raise SystemExit(f"The kills: {killed}")
    return {"answers": answered, "kills": killed}


def main() -> None:
    parser = argument_parser(__doc__, quick="small indexes, answers and 2 kills, without a browser")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--million", type=Path, help="an index of 1,000,000 faces; it is copied")
    parser.add_argument("--folder", type=Path, help="where indexes are kept for the next run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--stops", type=int, default=20, help="of scrolling")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--actions", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.quick:
            write_result("review", quick(folder), quick=True)
            return
        for part in options.only.split(","):
            if part not in PARTS:
                parser.error(f"There is no part {part}; choose of {', '.join(PARTS)}.")
            kept = RESULTS / "review.json"
            parts = json.loads(kept.read_text())["parts"] if kept.exists() else {}
            parts[part] = measure(part, Indexes(folder, options.million), options)
            write_result("review", {"targets": TARGETS, "parts": parts})


if __name__ == "__main__":
    main()
