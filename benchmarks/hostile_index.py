"""Run commands on hundreds of damaged and crafted indexes: clear errors or right answers, and no crash.

An index may come from a broken disk or from a stranger. Each case copies a small index, changes it by one of
the attacks below, and runs commands on it in a child process. Counted are:

- unexpected errors: tracebacks, and errors that no code raises on purpose;
- crashes of the process, such as segmentation faults;
- hangs: a command that takes more than 40 seconds;
- too much memory: an index of 12 faces must not need 4 GiB;
- invalid output: NaN or infinity in JSON, or no JSON document where one was asked for;
- leaks: a private file beside the index changes or reaches an output, or a control character a terminal;
- unnoticed damage: no command refuses a value that cannot be right, nor does `find_damage` list it.

The attacks are every wrong kind of value in every column of every table, JSON with wrong values, the
functions of `hostile_catalog.py`, `hostile_hnsw.py` and `hostile_planted.py`, and random bytes in each file.

    python benchmarks/hostile_index.py [--cases 800] [--seed 0] [--only NAME] [--quick]
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import hostile_catalog  # noqa: F401 - adds its attacks
import hostile_hnsw  # noqa: F401
from common import argument_parser, write_result
from hostile_attacks import ATTACKS, Attack
from hostile_columns import column_attacks
from hostile_planted import UNPRINTABLE, leaks

TESTS = Path(__file__).resolve().parents[1] / "tests"
SECONDS = 40  # for a command; the slowest takes one on a quiet machine
MEMORY = 4 << 30
_PER_CASE = 10  # commands, chosen at random and in the order below: first those that only read

COMMANDS = (
    "status --json",
    "faces --json",
    "clusters --json",
    "clusters diff --json",
    "people --json",
    "people show Anna --json",
    "people log --json",
    "people suggest --json",
    "find Anna --json",
    "find Anna & !Ben --since 1990",
    "identify PHOTO --json",
    "eval --json",
    "eval --people --json",
    "export boxes OUT/boxes.csv",
    "export crops OUT/crops",
    "export clusters OUT/clusters",
    "export embeddings OUT/vectors.npy",
    "gallery OUT/gallery",
    "gallery OUT/copies --copy",
    "export clusters OUT/photos --photos",
    "status -v",
    "migrate --embedder other --dry-run --json",
    "people export OUT/journal.jsonl",
    "people undo --dry-run",
    "people name c2 Carl",
    "people reject f1",
    "people undo --yes",
    "cluster --json",
    "index ALBUM --json",
    "migrate --embedder other --json",
)
QUICK_COMMANDS = ("status --json", "faces --json", "people --json", "find Anna --json", "index ALBUM --json")


# Cases ------------------------------------------------------------------------------------------------


def all_attacks(index: Path) -> dict[str, Attack]:
    """Return all attacks by their names, with those on the columns of the tables of a sound index."""
    return {**ATTACKS, **{one.name: one for one in column_attacks(index)}}


def make_index(folder: Path) -> Path:
    """Write an album and its index, with people, decisions, two clusterings and an HNSW index."""
    import fakes

    from faceindex import FaceIndex

    album = fakes.make_album(folder / "album")
    with FaceIndex.create(folder / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        one, two, three = index.clusters()
        index.people.name("Anna", clusters=[one.cluster])
        index.people.name("Ben", clusters=[two.cluster])
        index.people.reject([three.example.face], "Anna")
        index.people.different([one.example.face], [two.example.face])
        index.people.born("Anna", "1980")
        index.people.note("Ben", "a note")
        index.people.ignore(faces=[three.example.face + 1])
        index.cluster(rebuild=True)
        index._store.update_hnsw(always=True)
    return folder / "index"


class _Slow(BaseException):
    """A command takes too long."""


def case_runner(
    folder: Path, commands: Sequence[str], report: Callable[[str], None] = lambda command: None
) -> Callable[[str, int], dict[str, Any]]:
    """Return a function that runs one case, given as the name of the attack and a seed.

    Parameters
    ----------
    folder : Path
        With what `make_index` wrote.
    commands : sequence of str
        Some of them are run for each case.
    report : callable
        Called with each command before it runs.
    """
    import numpy as np
    from typer.testing import CliRunner

    from faceindex.cli.app import app
    from faceindex.store import Store
    from faceindex.store.catalog import Catalog
    from faceindex.store.checks import find_damage

    attacks = all_attacks(folder / "index")
    photo = next((folder / "album").rglob("*.png"))

    def alarm(*_: object) -> None:
        raise _Slow

    signal.signal(signal.SIGALRM, alarm)

    def problem_of(command: str, index: Path, out: Path) -> tuple[str | None, bool]:
        """Return what is wrong with the end of a command, and whether it refused the index."""
        words = [
            w.replace("PHOTO", str(photo)).replace("ALBUM", str(folder / "album")).replace("OUT", str(out))
            for w in command.split()
        ]
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            result = CliRunner().invoke(app, [*words, "--index", str(index)])
        except _Slow:
            return "hang", False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        text = result.stdout + result.stderr
        if isinstance(result.exception, _Slow):
            return "hang", False
        if "Unexpected error" in text or "Traceback" in text:
            return "unexpected: " + next(
                line for line in text.splitlines() if "Unexp" in line or "Trace" in line
            ), False
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            return f"unexpected: {result.exception!r}", False
        if "not enough memory" in text:
            return "memory", False
        if "Warning" in text:
            return "unexpected: " + next(line for line in text.splitlines() if "Warning" in line), False
        raw = text if words[0] != "find" else result.stderr  # a pipe gets the exact paths
        if any(letter in raw for letter in set(UNPRINTABLE) - set("[31mgpj\r\n")):
            return "leak: a control character", False
        if "--json" in words:
            try:
                json.loads(result.stdout, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
            except ValueError as error:
                return f"output: {error} {result.stdout[:80]!r}", False
        return None, result.exit_code == 2

    def search_problem(index: Path) -> str | None:
        """Search by the HNSW index; it must not crash."""
        from faceindex.errors import FaceIndexError

        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            with Store.open(index, write=True) as store:
                queries = np.array(store.vectors()[:4])
                exact, _ = store.search(queries, 3, exact=True)
                near, _ = store.search(queries, 3, exact=False)
                store.update_hnsw(always=True)
                store.search(queries, 3, exact=False)
                if exact.shape != near.shape:
                    return "search of another shape"
        except FaceIndexError:
            return None
        except _Slow:
            return "hang"
        except Exception as error:
            return f"unexpected: {type(error).__name__}: {error} in search"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return None

    def run_case(name: str, seed: int) -> dict[str, Any]:
        chosen = random.Random(f"{name} {seed}").sample(commands, min(len(commands), _PER_CASE))
        case = Path(tempfile.mkdtemp(dir=folder))
        try:
            index = shutil.copytree(folder / "index", case / "index")
            attacks[name].apply(index, random.Random(seed))
            before = (index / "catalog.sqlite").read_bytes() if (index / "catalog.sqlite").is_file() else b""
            same = before == (folder / "index" / "catalog.sqlite").read_bytes()
            listed = True
            with (
                contextlib.suppress(Exception),
                closing(Catalog.open(index / "catalog.sqlite", write=False)) as catalog,
            ):
                listed = bool(find_damage(catalog))
            problems = []
            refused = False
            if "hnsw" in name and (problem := search_problem(index)):
                problems.append(("search", problem))
            for command in sorted(chosen, key=commands.index):
                report(command)
                problem, refuses = problem_of(command, index, case / "out")
                refused |= refuses
                if problem is not None:
                    problems.append((command, problem))
            problems += [("files", leak) for leak in leaks(case, case / "out")]
            if attacks[name].wrong and not same and not refused and not listed:
                problems.append(("find_damage", "unnoticed"))
            return {"problems": problems, "refused": refused, "listed": listed}
        finally:
            shutil.rmtree(case, ignore_errors=True)

    return run_case


def work(folder: Path, commands: Sequence[str]) -> None:
    """Run the cases that come on standard input, one a line; answer with one line each."""
    sys.path.insert(0, str(TESTS))
    import fakes

    with contextlib.suppress(ImportError):  # now, because it takes long and must not be interrupted
        import torch  # noqa: F401
    faulthandler.enable()
    fakes.register_fakes()
    fakes.register_others()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    output = os.dup(1)

    def send(document: dict[str, Any]) -> None:
        os.write(output, (json.dumps(document) + "\n").encode())

    run_case = case_runner(folder, commands, lambda command: send({"running": command}))
    for line in sys.stdin:
        send(run_case(*json.loads(line)))


class Worker:
    """A child process that runs cases, and is started again after a crash."""

    def __init__(self, folder: Path, commands: list[str]) -> None:
        self._folder, self._commands = folder, commands
        self._child: subprocess.Popen[bytes] | None = None
        self._errors = (folder / "errors.txt").open("wb")

    def run(self, name: str, seed: int) -> dict[str, Any]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, __file__, "--work", str(self._folder), json.dumps(self._commands)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self._folder,
                env={**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write((json.dumps([name, seed]) + "\n").encode())
        child.stdin.flush()
        running = "start"
        buffer = b""
        while True:
            ready, _, _ = select.select([child.stdout], [], [], 3 * SECONDS + 60)
            chunk = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
            if not chunk:
                child.kill()
                code = child.wait()
                last = (self._folder / "errors.txt").read_text(errors="replace").splitlines()[-1:]
                what = "hang" if not ready else f"crash ({code}) {last}"
                return {"problems": [(running, what)], "refused": False, "listed": False}
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                if "running" not in answer:
                    return answer
                running = answer["running"]

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()


def main() -> int:
    parser = argument_parser(__doc__, quick="16 cases and 5 commands")
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="only attacks with this in their name")
    parser.add_argument("--work", nargs=2, help="run cases from standard input (for child processes)")
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), json.loads(options.work[1]))
        return 0
    sys.path.insert(0, str(TESTS))
    import fakes

    folder = Path(tempfile.mkdtemp())
    rng = random.Random(options.seed)
    try:
        fakes.register_fakes()
        index = make_index(folder)
        names = [name for name in all_attacks(index) if options.only is None or options.only in name]
        count = 16 if options.quick else options.cases
        # Every attack once; then those with random numbers again.
        rng.shuffle(names)
        if options.quick:
            names.sort(key=lambda name: name not in ATTACKS)
        varied = [name for name in names if name in ATTACKS]
        cases = [(name, 0) for name in names[:count]]
        cases += [
            (rng.choice(varied), seed) for seed in range(1, 1 + max(0, count - len(cases)) * bool(varied))
        ]
        worker = Worker(folder, list(QUICK_COMMANDS if options.quick else COMMANDS))
        totals: Counter[str] = Counter()
        failures = []
        started = time.monotonic()
        for number, (name, seed) in enumerate(cases, 1):
            if number % 20 == 0:
                print(f"{number} of {len(cases)}", file=sys.stderr, flush=True)
            answer = worker.run(name, seed)
            totals["refused"] += answer["refused"]
            totals["listed by find_damage"] += answer["listed"]
            for command, problem in answer["problems"]:
                totals[problem.partition(":")[0].partition(" (")[0]] += 1
                print(f"{name} [{seed}]  {command}: {problem}", flush=True)
            if answer["problems"]:
                failures.append({"attack": name, "seed": seed, "problems": answer["problems"]})
        worker.close()
        commands = len(QUICK_COMMANDS if options.quick else COMMANDS)
        print(
            f"{len(cases)} cases of {len({name for name, _ in cases})} attacks, {commands} commands each,"
            f" {time.monotonic() - started:.0f} s: {totals['unexpected']} unexpected errors,"
            f" {totals['crash']} crashes, {totals['hang']} hangs, {totals['memory']} out of memory,"
            f" {totals['output']} invalid outputs, {totals['unnoticed']} unnoticed, {totals['leak']} leaks"
        )
        payload = {
            "seed": options.seed,
            "cases": len(cases),
            "attacks": len({name for name, _ in cases}),
            "commands": commands,
            "totals": dict(totals),
            "failures": failures,
        }
        if options.only is None:
            write_result("hostile_index", payload, quick=options.quick)
        return 1 if failures else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
