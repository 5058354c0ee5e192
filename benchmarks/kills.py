"""Kill every operation that changes an index, and count what is lost. The target: 0 faces in 300 kills.

Each scenario prepares an index of small made-up photos (24, with fake models, so that the time goes into the
commits) and then changes it. It runs once undisturbed, which records the state of the index after each
commit, and then again and again on copies of the prepared index. Each of these runs is killed by SIGKILL:
half of them after a random time, half at a random step: before or after a sync, at a change of a file, or
inside SQLite. Then

- the index must open, and hold the state of the last commit that the process had reported, or of the next;
- it must open for writing, which deletes unfinished work, and still hold that state;
- the same operation, run again, must lead to the faces of the undisturbed run, where it can be repeated; some
  scenarios then check more, such as that nothing is left of a forgotten person.

An index that is damaged on purpose, for `doctor`, may also be as damaged as before; the repair is run again.

A process that is killed loses no write that the system has accepted: power cuts are another matter.

    python benchmarks/kills.py                  # 300 kills, about three minutes
    python benchmarks/kills.py --quick          # 3 kills each of five scenarios
    python benchmarks/kills.py --only index_new --kills 100

The operations are in `kill_scenarios`.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import fakes
from common import argument_parser, write_result
from kill_scenarios import SCENARIOS, Operation, Place, Scenario
from killing import DAMAGED, Kind, Run, State, read_state, run

from faceindex import FaceIndex
from faceindex.pipeline import batches, comparing
from faceindex.pipeline import run as pipeline_run

SMALL_BATCHES = (
    (pipeline_run, "COMMIT_PHOTOS", 4),
    (comparing, "COMMIT_PICTURES", 4),
    (pipeline_run, "COMMIT_SECONDS", float("inf")),
    (batches, "BATCH_PHOTOS", 4),
)
"""More commits, and batches of few photos, so that kills fall between them."""

QUICK = ("index_new", "index_everything", "people_merge", "forget", "doctor_vectors")


@dataclass
class Result:
    """What was found after the kills of one scenario."""

    kills: int = 0
    inside: int = 0  # between the first and the last commit
    lost_faces: int = 0
    not_opened: int = 0
    other_state: int = 0
    not_repeated: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def bad(self) -> int:
        return self.lost_faces + self.not_opened + self.other_state + self.not_repeated


class Trial:
    """A scenario with its prepared place, and the states of its undisturbed run.

    Parameters
    ----------
    scenario : Scenario
    folder : Path
        An empty folder.
    """

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.result = Result()
        self._prepared, self._place = folder / "prepared", Place(folder / "place")
        # The place always has the same path: an index contains the paths of its photos.
        self._place.folder.mkdir(parents=True)
        self._run(lambda: scenario.prepare(self._place))
        self._place.folder.rename(self._prepared)
        self._restore()
        if scenario.check is not None and not scenario.check(self._place):
            raise SystemExit(f"{scenario.name}: the check finds nothing before the operation.")
        before = self._read()
        recorded = self._run(self._operation(), record=self._place.index)
        self.states = [before, *recorded.states]
        self._restore()
        timed = self._run(self._operation())
        self.steps, self.seconds = timed.steps, timed.seconds
        if recorded.commits != timed.commits or self._read() != self.states[-1]:
            raise SystemExit(f"{scenario.name}: two undisturbed runs differ.")
        if fault := self._check_end():
            raise SystemExit(f"{scenario.name}: {fault}")

    def _restore(self) -> None:
        """Copy the prepared place, with all times of its files."""
        shutil.rmtree(self._place.folder, ignore_errors=True)
        shutil.copytree(self._prepared, self._place.folder)

    def _read(self) -> State:
        return read_state(self._place.index, damaged=self.scenario.damaged)

    def _check_end(self) -> str:
        return "" if self.scenario.check is None else self.scenario.check(self._place)

    def _operation(self) -> Operation:
        return self.scenario.prepare(self._place)

    def _run(self, action: Operation, *, record: Path | None = None) -> Run:
        done = run(action, record=record, damaged=self.scenario.damaged)
        if done.killed or done.error:
            raise SystemExit(f"{self.scenario.name} failed: {done.error}")
        return done

    def kill(self, rng: random.Random) -> None:
        """Kill the operation once, at a random time or step, and look at what is left."""
        self._restore()
        if self.result.kills % 2:
            kinds: list[Kind] = [kind for kind in ("file", "database") if self.steps[kind]]
            kind = rng.choice(kinds)
            step = kind, rng.randint(1, self.steps[kind])
            how, done = f"{kind} step {step[1]} of {self.steps[kind]}", run(self._operation(), step=step)
        else:
            seconds = rng.uniform(0.02, 1) * self.seconds
            how, done = f"{seconds:.3f} s", run(self._operation(), seconds=seconds)
        self.result.kills += 1
        self.result.inside += 0 < done.commits < len(self.states) - 1
        fault = f"the process failed: {done.error}" if done.error else self._check(done.commits)
        if fault:
            self.result.faults.append(f"{self.scenario.name}, killed at {how}: {fault}")
            print("   ", self.result.faults[-1])

    def _check(self, commits: int) -> str:
        """Return what is wrong with the index; empty if nothing is."""
        committed = self.states[commits]
        allowed = self.states[commits : commits + 2]
        try:
            left = self._read()
        except Exception as error:
            self.result.not_opened += 1
            return f"{type(error).__name__}: {error}"
        if left not in allowed:
            lost = min(len(state.faces - left.faces) for state in allowed)
            self.result.lost_faces += lost
            self.result.other_state += not lost
            return f"{lost} faces lost, of {len(committed.faces)}"
        written: Run | None = None
        if left.digest and left != DAMAGED:
            written = run(lambda: self._place.open().close())
            if written.error or read_state(self._place.index) != left:
                self.result.not_opened += 1
                return f"not after it was opened for writing: {written.error}"
        if self.scenario.repeats:
            again = run(self._operation())
            end = read_state(self._place.index)
            if again.error or end.faces != self.states[-1].faces:
                self.result.not_repeated += 1
                return f"the operation cannot be repeated: {again.error}"
            if fault := self._check_end():
                self.result.not_repeated += 1
                return f"after the operation was repeated: {fault}"
        return ""


def try_scenario(scenario: Scenario, kills: int, seed: int) -> tuple[Result, list[State], float]:
    """Kill a scenario a number of times."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(scenario, Path(folder))
        rng = random.Random(f"{seed} {scenario.name}")
        for _ in range(kills):
            trial.kill(rng)
        return trial.result, trial.states, trial.seconds


@cache
def load_everything() -> None:
    """Run operations once in this process, so that its children need not load modules and compiled code."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.make_index()
        with place.open() as index:
            index.cluster(rebuild=True)
            index.people.name("Carl", clusters=[index.clusters()[-1].cluster])
            index.forget("Carl")
            index.migrate(fakes.OTHER, fakes.OTHER)
        FaceIndex.doctor(place.index, repair=True)
        read_state(place.index)


def main() -> int:
    parser = argument_parser(__doc__, quick="3 kills each of 5 scenarios")
    parser.add_argument("--kills", type=int, default=300, help="of all scenarios together")
    parser.add_argument("--only", action="append", help="name of a scenario; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = options.only or (QUICK if options.quick else [one.name for one in SCENARIOS])
    chosen = [one for one in SCENARIOS if one.name in names]
    if len(chosen) < len(set(names)):
        raise SystemExit(f"The scenarios are: {', '.join(one.name for one in SCENARIOS)}.")
    fakes.register_fakes()
    fakes.register_others()
    for module, name, value in SMALL_BATCHES:
        setattr(module, name, value)
    kills = 3 * len(chosen) if options.quick else options.kills
    load_everything()
    rows, total = [], Result()
    print("scenario           kills  inside  commits  seconds  lost  not opened  other  not repeated")
    for i, one in enumerate(chosen):
        number = kills * (i + 1) // len(chosen) - kills * i // len(chosen)
        result, states, seconds = try_scenario(one, number, options.seed)
        numbers = (result.lost_faces, result.not_opened, result.other_state, result.not_repeated)
        print(
            f"{one.name:18} {result.kills:5}  {result.inside:6}  {len(states) - 1:7}  {seconds:7.2f}"
            "  {:4}  {:10}  {:5}  {:12}".format(*numbers)
        )
        more = {"commits": len(states) - 1, "states": len(set(states)), "seconds": round(seconds, 3)}
        rows.append({"scenario": one.name, **more, **vars(result)})
        for key in ("kills", "inside", "lost_faces", "not_opened", "other_state", "not_repeated"):
            setattr(total, key, getattr(total, key) + getattr(result, key))
        total.faults += result.faults
    print(
        f"{total.kills} kills, {total.inside} between the first and the last commit: {total.lost_faces}"
        f" committed faces lost, {total.not_opened} indexes not opened, {total.other_state} in another state,"
        f" {total.not_repeated} operations not repeated"
    )
    if not options.only:
        payload = {"seed": options.seed, "total": vars(total), "scenarios": rows}
        write_result("kills", payload, quick=options.quick)
    return 1 if total.bad or total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
