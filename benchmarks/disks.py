"""Full disks and failing disks: nothing committed is lost, and the next run goes on.

Two families of cases, over the steps of an index's life: create it, add photos, cluster, name a person, undo
that, build the HNSW index, move to other models, export, write a gallery.

- Full disks: the index is on a small file system (tmpfs, where the user may mount one; otherwise a limit of
  the size of files) of 24 and more sizes.
- Faults: one call of write, fsync, rename, open, truncate, mkdir or unlink fails with EIO or ENOSPC, or that
  call and all later ones. `fault_shim.cpp` does that; without a C++ compiler these cases are left out.

After each step that failed: its exit code is 2 and its message is clear; the index opens; every face that
was committed before is there, with its vector; nothing in the catalog is damaged. Then the same step runs
again on a sound disk, and must give what it gives without a fault.

    python benchmarks/disks.py [--faults 300] [--seed 0] [--quick]
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from common import argument_parser, write_result

TESTS = Path(__file__).resolve().parents[1] / "tests"
SHIM = Path(__file__).with_name("fault_shim.cpp")
LIBRARY = "FACEINDEX_FAULT_SHIM"  # environment variable of the child: where the compiled shim is

# Each step, and the command; "hnsw" is a call of the library.
STEPS: tuple[tuple[str, str], ...] = (
    ("create", "index FIRST --detector fake --embedder fake"),
    ("add", "index ALBUM"),
    ("hnsw", "hnsw"),
    ("cluster", "cluster"),
    ("name", "people name c0 Anna"),
    ("reject", "people reject f2"),
    ("undo", "people undo --yes"),
    ("migrate", "migrate --detector other --embedder other"),
    ("recluster", "cluster --rebuild"),
    ("export", "export crops OUT/crops"),
    ("gallery", "gallery OUT/gallery"),
)
QUICK_STEPS = ("create", "add", "hnsw")

Contents = dict[str, list[str]]


def run_step(command: str, folder: Path, album: Path) -> tuple[int, str]:
    """Run a step in this process; return its exit code and its messages."""
    from typer.testing import CliRunner

    from faceindex.cli.app import app
    from faceindex.errors import FaceIndexError
    from faceindex.store import Store

    if command == "hnsw":
        try:
            with Store.open(folder / "index", write=True) as store:
                store.update_hnsw(always=True)
        except FaceIndexError as error:
            return 2, str(error)
        return 0, ""
    words = [
        word.replace("FIRST", str(album / "person0")).replace("ALBUM", str(album)).replace("OUT", str(folder))
        for word in command.split()
    ]
    result = CliRunner().invoke(app, [*words, "--index", str(folder / "index")])
    text = result.stdout + result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        text += f"Traceback {result.exception!r}"
    return result.exit_code, text


def contents(index: Path) -> Contents:
    """Return the faces of each photo, with position, vector, cluster and person."""
    from faceindex import FaceIndex

    found: Contents = {}
    with FaceIndex.open(index) as opened:
        table, vectors = opened.table(), opened.vectors()
        for i, face in enumerate(opened.faces()):
            values = [table.boxes[i].tobytes().hex(), vectors[i].tobytes().hex(), face.cluster, face.person]
            found.setdefault(face.path, []).append(json.dumps(values))
    return found


def damage(index: Path) -> list[str]:
    """Return what is wrong with the catalog."""
    from faceindex.store.catalog import Catalog
    from faceindex.store.checks import find_damage

    with closing(Catalog.open(index / "catalog.sqlite", write=False)) as catalog:
        found = [finding.what for finding in find_damage(catalog)]
        if (check := catalog.query("PRAGMA integrity_check")) != [("ok",)]:
            found.append(str(check)[:100])
    return found


def lost_faces(before: Contents, now: Contents) -> int:
    """Count the faces that are not what they were, whatever their clusters and people."""

    def places(rows: Sequence[str]) -> Counter[str]:
        return Counter(json.dumps(json.loads(row)[:2]) for row in rows)

    return sum((places(rows) - places(now.get(photo, []))).total() for photo, rows in before.items())


def verdict(
    step: str, folder: Path, album: Path, code: int, text: str, before: Contents, after: Contents
) -> list[str]:
    """Check the state after a step that ran on a bad disk, and run it again on a sound one."""
    problems = []
    if code not in (0, 1, 2) or "Unexpected error" in text or "Traceback" in text:
        last = text.strip().splitlines()[-1:] or [""]
        problems.append(f"unclear: exit {code}: {last[0][:160]}")
    elif code == 2 and str(folder) not in text:
        problems.append(f"unclear: no file named: {text.strip()[:200]}")
    index = folder / "index"
    if before or (index / "catalog.sqlite").exists():
        try:
            now = contents(index)
            lost = lost_faces(before, now)
            if step == "migrate":  # it replaces the vectors of all faces at once
                lost = min(lost, lost_faces(after, now))
            if lost:
                problems.append(f"lost: {lost} faces")
            problems += [f"broken: {what}" for what in damage(index)]
        except Exception as error:
            problems.append(f"broken: {type(error).__name__}: {error}")
    command = dict(STEPS)[step]
    for _ in range(2):  # a decision that was committed although the disk failed cannot be made twice
        code, text = run_step(command, folder, album)
        if code == 0 or step in ("name", "reject", "undo"):
            break
    try:
        if code == 0 or step not in ("name", "reject", "undo"):
            if code != 0 and "There is nothing to do" not in text:  # the first run did it all the same
                problems.append(f"broken: the next run ends with {code}: {text.strip()[:200]}")
            elif contents(index) != after and step != "undo":
                problems.append("broken: the next run gives something else")
        problems += [f"broken: {what} (after the next run)" for what in damage(index)]
    except Exception as error:
        problems.append(f"broken: {type(error).__name__}: {error} (after the next run)")
    return problems


def forked(work: Any) -> Any:
    """Call a function in a forked process and return its result; "crash" if the process ends otherwise."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            signal.alarm(120)
            with os.fdopen(writing, "w") as pipe:
                json.dump(work(), pipe)
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(3)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if status == 0 and answer else "crash"


def prepare(work: Path, steps: Sequence[str]) -> tuple[Path, dict[str, Path], dict[str, Contents]]:
    """Run all steps on a sound disk; return the album, the state before each step, and what it gives."""
    import fakes

    album = fakes.make_album(work / "album")
    now = work / "sound"
    now.mkdir()
    # In this process first: what it imports and compiles, the forked ones need not.
    warm = work / "warm"
    for step, command in STEPS:
        run_step(command, warm, album)
        if step == steps[-1]:
            break
    contents(warm / "index")
    damage(warm / "index")
    shutil.rmtree(warm)
    states, results = {}, {}
    for step, command in STEPS:
        states[step] = shutil.copytree(now, work / f"before-{step}")
        code, text = forked(partial(run_step, command, now, album))
        if code != 0:
            raise SystemExit(f"{step} fails on a sound disk: {text}")
        results[step] = forked(partial(contents, now / "index"))
        if step == steps[-1]:
            break
    return album, states, results


def faults(
    work: Path, album: Path, states: dict[str, Path], results: dict[str, Contents], options: Any
) -> Iterator[dict[str, Any]]:
    """Place faults at calls of each step, evenly."""
    shim = ctypes.CDLL(os.environ[LIBRARY])
    steps = [step for step, _ in STEPS if step in results and (not options.quick or step in QUICK_STEPS)]
    calls = {}
    for step in steps:
        folder = shutil.copytree(states[step], work / "count")

        def count(step: str, folder: Path) -> int:
            shim.fault_arm(str(folder).encode(), ctypes.c_long(0), 0, 0)
            run_step(dict(STEPS)[step], folder, album)
            return int(shim.fault_calls())

        calls[step] = forked(partial(count, step, folder))
        shutil.rmtree(folder)
    print(f"calls: {calls}", flush=True)
    rng = random.Random(options.seed)
    kinds = [(errno.EIO, 0), (errno.ENOSPC, 1), (errno.ENOSPC, 0), (errno.EIO, 1)]
    for number in range(options.faults):
        step = steps[number % len(steps)]
        turn = number // len(steps)
        # The first round over a step visits its calls in order; later ones are random.
        rounds = max(1, options.faults // len(steps))
        at = 1 + (turn * calls[step] // rounds + rng.randrange(max(1, calls[step] // rounds))) % calls[step]
        error, forever = kinds[(turn + number) % len(kinds)]
        folder = shutil.copytree(states[step], work / "case")
        before = results[STEPS[[s for s, _ in STEPS].index(step) - 1][0]] if step != "create" else {}

        def case(fault: tuple[object, ...], step: str, folder: Path) -> tuple[int, str]:
            shim.fault_arm(str(folder).encode(), *fault)
            return run_step(dict(STEPS)[step], folder, album)

        answer = forked(partial(case, (ctypes.c_long(at), error, forever), step, folder))
        code, text = (99, "crash") if answer == "crash" else answer
        problems = forked(partial(verdict, step, folder, album, code, text, before, results[step]))
        yield {
            "step": step,
            "call": at,
            "error": errno.errorcode[error],
            "forever": bool(forever),
            "exit": code,
            "problems": ["crash"] if problems == "crash" else problems,
        }
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount a file system of a size."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder], check=True, capture_output=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def can_mount(work: Path) -> bool:
    try:
        with small_disk(work / "try", 64):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def full_disks(
    work: Path, album: Path, results: dict[str, Contents], options: Any
) -> Iterator[dict[str, Any]]:
    """Run all steps on disks of several sizes: first on the small one, then again after making room."""
    mounts = can_mount(work)
    print("full disks: " + ("tmpfs" if mounts else "no tmpfs can be mounted: limits of the size of files"))
    steps = [(step, command) for step, command in STEPS if step in results]
    largest = 700 if len(steps) > 3 else 250
    sizes = [4 + number * largest // options.sizes // 4 * 4 for number in range(options.sizes)]
    folder = work / "disk"

    def limited(command: str, kib: int) -> tuple[int, str]:
        if not mounts:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (kib << 10, resource.RLIM_INFINITY))
        return run_step(command, folder, album)

    def resize(size: str, *, must: bool) -> None:
        if mounts:
            command = ["mount", "-o", f"remount,size={size}", str(folder)]
            subprocess.run(command, check=must, capture_output=True)

    def cases(kib: int) -> Iterator[dict[str, Any]]:
        before: Contents = {}
        for step, command in steps:
            answer = forked(partial(limited, command, kib))
            code, text = (99, "crash") if answer == "crash" else answer
            problems: Any = []
            if code == 2:
                # Make room; the next step gets a disk that is nearly full again.
                resize("64m", must=True)
                problems = forked(partial(verdict, step, folder, album, code, text, before, results[step]))
                used = sum(f.stat().st_blocks // 2 for f in folder.rglob("*") if f.is_file())
                resize(f"{max(kib, used + 8)}k", must=False)
            elif code != 0:
                problems = [f"unclear: exit {code}: {text.strip()[:200]}"]
            problems = ["crash"] if problems == "crash" else problems
            yield {"step": step, "kib": kib, "exit": code, "problems": problems}
            before = results[step]

    for kib in sizes:
        if mounts:
            with small_disk(folder, kib):
                yield from cases(kib)
        else:
            folder.mkdir()
            yield from cases(kib)
        shutil.rmtree(folder, ignore_errors=True)


def compiled_shim(work: Path) -> Path | None:
    """Compile the shim; None without a compiler."""
    compiler = next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = work / "fault_shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)
    return library if done.returncode == 0 else None


def main() -> int:
    parser = argument_parser(__doc__, quick="12 faults and 3 disks, on 3 steps")
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--sizes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if LIBRARY not in os.environ:
        # Run again with the shim loaded, or without it.
        folder = Path(tempfile.mkdtemp())
        try:
            library = compiled_shim(folder)
            preload = {"LD_PRELOAD": str(library)} if library else {}
            environment = {**os.environ, LIBRARY: str(library or ""), **preload, "OMP_NUM_THREADS": "1"}
            return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode
        finally:
            shutil.rmtree(folder)
    if options.quick:
        options.faults, options.sizes = 12, 3
    sys.path.insert(0, str(TESTS))
    import fakes

    fakes.register_fakes()
    fakes.register_others()
    work = Path(tempfile.mkdtemp())
    started = time.monotonic()
    rows: list[dict[str, Any]] = []
    try:
        album, states, results = prepare(work, QUICK_STEPS if options.quick else [step for step, _ in STEPS])
        families: list[tuple[str, Iterator[dict[str, Any]]]] = [
            ("full disk", full_disks(work, album, results, options))
        ]
        if os.environ[LIBRARY]:
            families.append(("fault", faults(work, album, states, results, options)))
        else:
            print("faults are left out: there is no C++ compiler")
        for family, cases in families:
            for case in cases:
                rows.append({"family": family, **case})
                for problem in case["problems"]:
                    where = {key: value for key, value in case.items() if key not in ("problems",)}
                    print(f"{family} {where}: {problem}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    totals = Counter(problem.partition(":")[0] for row in rows for problem in row["problems"])
    failed = sum(row["exit"] != 0 for row in rows)
    disks = len({row["kib"] for row in rows if row["family"] == "full disk"})
    placed = sum(row["family"] == "fault" for row in rows)
    print(
        f"{disks} full disks, {placed} faults, {failed} steps failed, {time.monotonic() - started:.0f} s:"
        f" {totals['broken']} broken indexes, {totals['lost']} times committed faces lost,"
        f" {totals['unclear']} unclear errors, {totals['crash']} crashes"
    )
    bad = [row for row in rows if row["problems"]]
    payload = {"seed": options.seed, "disks": disks, "faults": placed, "totals": dict(totals), "bad": bad}
    write_result("disks", {**payload, "steps_that_failed": failed}, quick=options.quick)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
