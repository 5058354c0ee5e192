"""Decode mutated photos of every format: nothing may crash, hang, take much memory or raise the unexpected.

The photos are those of ``shared/data/formats`` and ``orientation``, if present, and photos made here in each
format, mode and compression. Each is mutated (`fuzz_images`): bits, bytes and fields of sizes are changed,
the end is cut off or zero, chunks are deleted, repeated, exchanged and moved to other photos, and headers are
made to state absurd sizes, some with right checksums::

    python benchmarks/fuzz.py [--quick] [--images N] [--seed N] [--keep FOLDER]

A child process decodes them, one after the other; the parent starts another one after a crash or a timeout.
Of each photo the child computes the picture hash, the size and the pixels, at full scale or reduced: the
sizes must agree, and the hash must be the same again. In addition, ``faceindex index`` runs over some of the
photos. Counted are photos that were read, read with a note, and refused, by reason; and what must not be:
other exceptions, contradictions, crashes by a signal, timeouts (20 s), and decodes that took over 1 GiB.
``--keep`` stores the photos at fault.

Writes ``results/fuzz.json``; 10,000 images (the default) take half an hour on two cores. ``--quick``: 60
images, no runs of ``index``, no result file. Ctrl-C ends a run with the counts so far. The exit code is 1 if
something must not be. Needs Linux.
"""

from __future__ import annotations

import json
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from common import argument_parser, use_weights_beside, write_result
from fuzz_images import Seeds, made_up, mutated, stored

IMAGES, QUICK_IMAGES = 10_000, 60
BATCH = 100  # images for which files are made at a time
SECONDS = 20.0  # for one image
LIMIT = 1 << 30  # of memory for one decode
ADDRESS_SPACE = 12 << 30  # so that a fault does not take the machine's memory
INDEX_EVERY, INDEX_IMAGES, INDEX_SECONDS = 400, 40, 300

# The child ------------------------------------------------------------------------------------------


def child() -> None:
    """Decode the files named on standard input, and print one line of JSON for each."""
    from faceindex import images
    from faceindex.errors import ImageError

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        path, shrink = json.loads(line)
        data = Path(path).read_bytes()
        before = _start_peak()
        began = time.monotonic()
        answer: dict[str, Any] = {}
        decoded: images.DecodedImage | None = None
        try:
            picture = images.read_picture(data)
            answer["hash"] = picture.hash.hex()
            decoded = images.decode(data, path, shrink=shrink)
            size = images.probe(data, path)[:2]
            answer["outcome"] = "read" if decoded.note is None else "read with a note"
            small = tuple(-(-side // shrink) for side in size)
            if (decoded.width, decoded.height) != size or decoded.image.shape[1::-1] != small:
                answer["contradiction"] = f"{decoded.image.shape}, {decoded.width} x {decoded.height}, {size}"
            if images.read_picture(data) != picture:
                answer["contradiction"] = "another picture at the second time"
        except ImageError as error:
            answer["outcome"], answer["reason"] = "refused", error.reason.value
        except BaseException:
            answer["outcome"], answer["traceback"] = "traceback", traceback.format_exc()
        answer["bytes"] = max(0, _peak() - before)
        answer["seconds"] = round(time.monotonic() - began, 3)
        decoded = None  # before the next peak is measured
        print(json.dumps(answer), file=answers, flush=True)


def _start_peak() -> int:
    """Reset the peak of resident memory; return what is resident."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _field("VmRSS")


def _peak() -> int:
    return _field("VmHWM")


def _field(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0


class Child:
    """A child process, started again after a crash or a timeout."""

    def __init__(self, errors: Path, *, script: str = __file__, timeout: float = SECONDS) -> None:
        self._errors = errors.open("ab")
        self._script, self._timeout = script, timeout
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def ask(self, path: Path, how: int | str | None) -> dict[str, Any]:
        """Return the answer for one file; if there is none, the outcome ``crash`` or ``timeout``."""
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None and process.stdin is not None
        process.stdin.write(json.dumps([str(path), how]) + "\n")
        process.stdin.flush()
        try:
            line = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            self.close()
            return {"outcome": "timeout"}
        if line:
            return dict(json.loads(line))
        code = process.wait()
        self._process = None
        return {"outcome": "crash", "signal": -code}

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-W", "ignore", self._script, "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._answers = queue.Queue()
        threading.Thread(target=self._read, args=(self._process.stdout, self._answers), daemon=True).start()

    @staticmethod
    def _read(lines: Any, answers: queue.Queue[str]) -> None:
        for line in lines:
            answers.put(line)
        answers.put("")  # it has ended

    def close(self) -> None:
        """Kill the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# Runs of index --------------------------------------------------------------------------------------


def index_run(photos: Path, work: Path) -> dict[str, Any]:
    """Run ``faceindex index`` twice over a folder; return the counts of the runs, and what went wrong."""
    index = work / "index"
    shutil.rmtree(index, ignore_errors=True)
    found: dict[str, Any] = {"fault": None}
    for _ in range(2):
        command = [sys.executable, "-m", "faceindex", "index", str(photos), "--index", str(index), "--json"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INDEX_SECONDS, errors="replace", check=False
            )
        except subprocess.TimeoutExpired:
            return {"fault": "timeout"}
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            return {"fault": f"exit code {done.returncode}: {done.stderr[-2000:]}"}
        document = json.loads(done.stdout)
        reasons = document["unreadable_by_reason"]
        if "processing failed" in reasons:
            return {"fault": f"processing failed: {done.stderr[-2000:]}"}
        found.setdefault("new", document["new"])
        found.setdefault("with_note", document["with_note"])
    if document["opened"] and not document["unreadable"]:
        found["fault"] = "the second run opened photos"
    return found


# The parent -----------------------------------------------------------------------------------------


def fuzz(images: int, seed: int, seeds: Seeds, keep: Path | None, *, index: bool) -> dict[str, Any]:
    """Decode mutated photos; return the counts, and what must not be."""
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    by_kind: dict[str, Counter[str]] = {}
    faults: list[dict[str, Any]] = []
    runs: Counter[str] = Counter()
    most_bytes, most_seconds = 0, 0.0
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="faceindex-fuzz-") as folder:
        work = Path(folder)
        photos = work / "photos"
        decoder = Child(work / "stderr")
        try:
            for number in range(images):
                if number % BATCH == 0:
                    shutil.rmtree(photos, ignore_errors=True)
                    photos.mkdir()
                    if number and number % 1000 == 0:
                        print(f"{number:,}: {dict(outcomes)}, faults {len(faults)}", flush=True)
                data, what = mutated(number, seed, seeds)
                path = photos / f"{number:06}.jpg"
                path.write_bytes(data)
                answer = decoder.ask(path, rng.choice((1, 1, 2, 8)))
                outcome = answer["outcome"]
                outcomes[outcome] += 1
                by_kind.setdefault(what.split()[0], Counter())[outcome] += 1
                if outcome == "refused":
                    reasons[answer["reason"]] += 1
                size = answer.get("bytes", 0)
                most_bytes, most_seconds = (
                    max(most_bytes, size),
                    max(most_seconds, answer.get("seconds", 0.0)),
                )
                over = size > LIMIT
                if over:
                    outcomes["over 1 GiB"] += 1
                if outcome in ("traceback", "crash", "timeout") or over or "contradiction" in answer:
                    if "contradiction" in answer:
                        outcomes["contradiction"] += 1
                    faults.append({"number": number, "what": what, **answer})
                    print(json.dumps(faults[-1]), flush=True)
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / path.name).write_bytes(data)
                if index and number % INDEX_EVERY == INDEX_EVERY - 1:
                    chosen = work / "chosen"
                    shutil.rmtree(chosen, ignore_errors=True)
                    chosen.mkdir()
                    for file in sorted(photos.iterdir())[:INDEX_IMAGES]:
                        file.rename(chosen / file.name)
                    result = index_run(chosen, work)
                    runs["runs"] += 1
                    runs["photos"] += INDEX_IMAGES
                    runs["new"] += result.get("new", 0)
                    runs["with a note"] += result.get("with_note", 0)
                    if result["fault"] is not None:
                        runs["faults"] += 1
                        faults.append({"number": number, "what": "index", **result})
                        print(json.dumps(faults[-1]), flush=True)
                        if keep is not None:
                            shutil.copytree(chosen, keep / f"index-{number}", dirs_exist_ok=True)
        except KeyboardInterrupt:
            print("interrupted: these are the counts so far", file=sys.stderr)
        finally:
            decoder.close()
    return {
        "images": sum(by.total() for by in by_kind.values()),
        "seed": seed,
        "seeds": {kind: len(files) for kind, files in sorted(seeds.items())},
        "outcomes": dict(outcomes.most_common()),
        "refused": dict(reasons.most_common()),
        "by_format": {kind: dict(counts.most_common()) for kind, counts in sorted(by_kind.items())},
        "index": dict(runs),
        "most_mib": most_bytes >> 20,
        "most_seconds": most_seconds,
        "must_not_be": len(faults),
        "faults": faults[:50],
    }


def main() -> int:
    """Run the benchmark; return 1 if something must not be."""
    parser = argument_parser(__doc__, quick=f"{QUICK_IMAGES} images, no runs of index", data=True)
    parser.add_argument("--images", type=int, help=f"{IMAGES:,} by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the photos at fault")
    parser.add_argument("--child", action="store_true", help="for this script itself")
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return 0
    use_weights_beside(arguments.data)
    seeds = made_up()
    for kind, files in stored(arguments.data).items() if not arguments.quick else ():
        seeds.setdefault(kind, []).extend(files)
    images = arguments.images or (QUICK_IMAGES if arguments.quick else IMAGES)
    began = time.monotonic()
    result = fuzz(images, arguments.seed, seeds, arguments.keep, index=not arguments.quick)
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps({key: value for key, value in result.items() if key != "by_format"}, indent=2))
    if not arguments.quick:
        write_result("fuzz", result)
    return 1 if result["must_not_be"] else 0


if __name__ == "__main__":
    sys.exit(main())
