"""Batches over workers on Ray: order, bounds, deaths, stops and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from engine_fakes import Doubler, make_failing, make_unusable

from faceindex.engine import MORE_MEMORY, Lost, Place, parse
from faceindex.engine.pool import RayEngine, _Mapping, _Process
from faceindex.errors import EngineError, UsageError

# Not `importorskip`: Ray that is started for a run must not be imported before.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")

BATCHES = [list(range(start, start + 4)) for start in range(0, 48, 4)]


@pytest.fixture
def engine(ray_folder: Path) -> Iterator[RayEngine]:
    with RayEngine(Place(None), 2, "cpu") as engine:
        yield engine


def _map(
    engine: RayEngine, make: Any, batches: Any = BATCHES, **more: Any
) -> Iterator[list[tuple[Any, Any]]]:
    options: dict[str, Any] = {
        "check": lambda about: None,
        "should_stop": lambda: False,
        "warn": lambda message: None,
        **more,
    }
    return engine.map(make, batches, **options)


def _calls(folder: Path) -> list[list[int]]:
    return [[*map(int, line.split())] for line in (folder / "calls").read_text("ascii").splitlines()]


def test_results_come_in_order_and_few_batches_are_taken_ahead(engine: RayEngine, tmp_path: Path) -> None:
    taken = []

    def batches() -> Iterator[list[int]]:
        for number in range(60):
            taken.append(number)
            yield [number]

    found = _map(engine, Doubler(str(tmp_path)), batches())
    first = next(found)
    assert [(item, result[0]) for item, result in first] == [(0, 0)]
    assert len(taken) == 16  # eight for each worker
    rest = [pair for batch in found for pair in batch]
    assert [(item, result[0]) for item, result in rest] == [(n, 2 * n) for n in range(1, 60)]
    assert len({result[1] for _, result in rest}) <= 2  # a worker stays for all its batches


def test_a_batch_that_takes_long_does_not_fill_the_memory(engine: RayEngine, tmp_path: Path) -> None:
    taken, seen = [], []

    def batches() -> Iterator[list[int]]:
        for number in range(60):
            taken.append(number)
            yield [number]

    def stop_stalling() -> bool:
        """Called between the waits: note what is taken once all others have been idle for a while."""
        if len(taken) == 16 and (tmp_path / "calls").exists() and len(_calls(tmp_path)) == 16:
            seen.append(len(taken))
            if len(seen) == 8:  # two seconds
                (tmp_path / "go").touch()
        return False

    found = [*_map(engine, Doubler(str(tmp_path), stalled=(0,)), batches(), should_stop=stop_stalling)]
    assert [(item, result[0]) for batch in found for item, result in batch] == [(n, 2 * n) for n in range(60)]
    assert len(seen) >= 8
    assert set(seen) == {16}


def test_a_worker_that_dies_costs_its_batch_alone(engine: RayEngine, tmp_path: Path) -> None:
    found = [*_map(engine, Doubler(str(tmp_path), once=(5, 30)))]
    assert [item for batch in found for item, _ in batch] == list(range(48))
    assert all(result[0] == 2 * item for batch in found for item, result in batch)
    calls = _calls(tmp_path)
    assert sorted(calls) == sorted([*BATCHES, BATCHES[1], BATCHES[7]])


def test_an_item_that_kills_is_found_and_the_others_are_done(engine: RayEngine, tmp_path: Path) -> None:
    found = dict(pair for batch in _map(engine, Doubler(str(tmp_path), deadly=(6,))) for pair in batch)
    assert found.pop(6) == Lost(4)
    assert {item: result[0] for item, result in found.items()} == {n: 2 * n for n in range(48) if n != 6}
    calls = _calls(tmp_path)
    assert (tmp_path / "died-6").read_text() == "++++"
    assert [calls.count([n]) for n in (4, 5, 6, 7)] == [1, 1, 2, 1]


def test_a_stop_finishes_what_is_in_work(engine: RayEngine, tmp_path: Path) -> None:
    stopped = Event()
    answers: list[Any] = []
    for batch in _map(engine, Doubler(str(tmp_path)), should_stop=stopped.is_set):
        answers.append(batch)
        stopped.set()
    items = [item for batch in answers for item, _ in batch]
    assert sorted(map(tuple, _calls(tmp_path))) == sorted(
        tuple(i for i, _ in batch) for batch in answers if batch
    )
    assert 4 <= len(items) < 48


def test_a_mapping_that_is_closed_half_way_leaves_the_engine_usable(
    engine: RayEngine, tmp_path: Path
) -> None:
    half = _map(engine, Doubler(str(tmp_path)))
    next(half)
    half.close()  # type: ignore[attr-defined]
    assert len([*_map(engine, Doubler(str(tmp_path)))]) == len(BATCHES)


def test_errors_of_workers_end_the_mapping(engine: RayEngine) -> None:
    with pytest.raises(UsageError, match=r"^There is no 0\. Choose another\.$"):
        list(_map(engine, make_failing, [[0]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_unusable, "A worker on Ray failed .ValueError: no weights."),
        (
            partial(make_unusable, 1),  # type: ignore[call-arg]
            "A worker on Ray failed .TypeError",
        ),
    ],
)
def test_a_worker_that_cannot_be_made(engine: RayEngine, make: Callable[[], Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        list(_map(engine, make))


def test_a_worker_that_is_refused(engine: RayEngine, tmp_path: Path) -> None:
    def check(about: object) -> None:
        raise EngineError("It differs.", "Install the same.")

    with pytest.raises(EngineError, match="It differs"):
        list(_map(engine, Doubler(str(tmp_path)), check=check))
    assert not (tmp_path / "calls").exists()


def test_more_workers_than_cores(ray_folder: Path) -> None:
    with RayEngine(Place(None), 99, "cpu") as engine, pytest.raises(EngineError, match="has 2 cores for 99"):
        engine.start()


def test_places() -> None:
    assert parse("ray") == Place(None)
    assert parse("ray:10.0.0.1:6379") == Place("10.0.0.1:6379")
    assert parse("ray:auto") == Place("auto")
    for wrong in ("", "dask", "ray:", "ray:ray://host:1", "rays"):
        with pytest.raises(UsageError, match="`on` is"):
            parse(wrong)


class _Starting:
    """An engine whose workers are made here and die while they load."""

    def __init__(self) -> None:
        self._number = 12
        self._processes: list[_Process] = []

    def add(self, number: int) -> list[_Process]:
        added = [_Process(None, object()) for _ in range(number)]
        self._processes += added
        return added

    def _remove(self, process: _Process) -> None:
        self._processes.remove(process)


def _starting_mapping() -> tuple[_Starting, _Mapping]:
    engine = _Starting()
    more = {"check": id, "should_stop": bool, "warn": id}
    return engine, _Mapping(engine, None, iter(BATCHES), **more)  # type: ignore[arg-type]


def test_workers_that_die_together_while_they_load_are_one_death() -> None:
    """A large machine that goes away takes all of its workers, whose ends may be heard of one by one."""
    engine, mapping = _starting_mapping()
    large = engine.add(12)
    for process in large[:6]:
        mapping._bury(process, RuntimeError("the machine is gone"))
    engine.add(6)  # in their place, elsewhere
    for process in large[6:]:
        mapping._bury(process, RuntimeError("the machine is gone"))
    assert mapping.deaths_at_start == 1
    assert len(engine._processes) == 6


def test_workers_that_die_one_after_another_while_they_load_end_the_run() -> None:
    engine, mapping = _starting_mapping()
    for _ in range(9):
        for process in engine.add(2):
            mapping._bury(process, RuntimeError("it died"))
    (last,) = engine.add(1)
    with pytest.raises(EngineError, match=r"^10 workers on Ray died one after another") as raised:
        mapping._bury(last, RuntimeError("it died"))
    assert raised.value.remedy == MORE_MEMORY
