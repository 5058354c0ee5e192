"""The neighbour graph in stages: by threads in memory, by threads in files and on Ray; deaths and errors."""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import MortalStages
from numpy.typing import NDArray

from faceindex.clustering import neighbours, partition
from faceindex.clustering.neighbours import near_neighbours, nearest
from faceindex.clustering.shards import Arrays, FileArrays, MakeRunner, ThreadRunner
from faceindex.engine import Lost, Place, Worker
from faceindex.engine.pool import RayEngine
from faceindex.engine.stages import EngineRunner, StagePlan, StageWorker
from faceindex.errors import EngineError
from faceindex.types import F32

on_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few vectors are partitioned, and each stage has several shards. Workers get this as values."""
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 0)
    monkeypatch.setattr(neighbours, "FEW_QUERIES", 0)
    monkeypatch.setattr(neighbours, "SHARD", 700)
    monkeypatch.setattr(partition, "SHARD", 1000)
    monkeypatch.setattr(partition, "PROBES", 6)


def people(n: int, seed: int) -> F32:
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.standard_normal((n // 12, 16)), 12, axis=0)
    vectors += 0.4 * rng.standard_normal(vectors.shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


VECTORS = people(3000, seed=0)
QUERIES = people(1200, seed=1)


def _lists(make_runner: MakeRunner = ThreadRunner) -> list[NDArray[Any]]:
    own = near_neighbours(VECTORS, 24, floor=0.1, seed=3, make_runner=make_runner)
    found = nearest(QUERIES, VECTORS, 9, floor=0.1, seed=3, make_runner=make_runner)
    assert (own[0] >= 0).mean() > 0.5 < (found[0] >= 0).mean()
    return [*own, *found]


def _assert_same(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_on_files_find_the_same_as_in_memory(tmp_path: Path) -> None:
    folders = itertools.count()

    def make_runner() -> ThreadRunner:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        return ThreadRunner(FileArrays(folder))

    _assert_same(_lists(make_runner), _lists())


def _on(engine: Any, folder: Path) -> MakeRunner:
    """Return what makes a runner on an engine: the same one each time, as workers keep their folder."""
    runner = EngineRunner(engine, folder)

    @contextlib.contextmanager
    def make_runner() -> Iterator[EngineRunner]:
        with runner:
            yield runner

    return make_runner


@on_ray
def test_workers_on_ray_find_the_same(tmp_path: Path, ray_folder: Path) -> None:
    with RayEngine(Place(None), 2, "cpu") as engine:
        found = _lists(_on(engine, tmp_path))
        assert len(engine._processes) == 2
    _assert_same(found, _lists())
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


class MortalEngine:
    """An engine of which one worker dies in each stage."""

    def __init__(self, engine: RayEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = str(folder)

    def start(self) -> int:
        return self.engine.start()

    def map(self, make: Callable[[], Worker], batches: Any, **more: Any) -> Iterator[Any]:
        return self.engine.map(MortalStages(make, self.folder), batches, **more)


@on_ray
def test_a_death_in_each_stage_changes_nothing(
    tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ROUNDS", 1)  # for time: a new worker takes two seconds
    (tmp_path / "arrays").mkdir()
    with RayEngine(Place(None), 2, "cpu") as engine:
        mortal = MortalEngine(engine, tmp_path)
        make_runner = _on(mortal, tmp_path / "arrays")
        found = near_neighbours(VECTORS, 24, floor=0.1, seed=3, make_runner=make_runner)
    _assert_same([*found], _lists()[:2])
    # Groups, cells, near cells, choice, order and search in each partition; edges there and back, marks and
    # comparisons; edges again.
    assert len([*tmp_path.glob("died-*")]) == 6 * neighbours.partitions(len(VECTORS)) + 4 + 2


def _fail(arrays: Arrays, shard: int, *, error: type[Exception]) -> None:
    raise error(28, "No space left on device") if error is OSError else error


class Here:
    """An engine in this process; its workers are changed, or die of each item."""

    def __init__(self, change: Callable[[Any], Any] = lambda about: about, is_deadly: bool = False) -> None:
        self.change = change
        self.is_deadly = is_deadly

    def start(self) -> int:
        return 1

    def map(self, make: Callable[[], Worker], batches: Any, *, check: Any, **more: Any) -> Iterator[Any]:
        worker = make()
        check(self.change(worker.about()))
        for batch in batches:
            results = [Lost(4)] * len(batch) if self.is_deadly else worker.work(batch)
            yield [*zip(batch, results, strict=True)]


def _double(arrays: Arrays, shard: int) -> None:
    arrays.write("sums", shard, 2 * arrays[f"array.{shard}"])


def test_a_job_has_the_same_size_however_many_arrays_there_are(tmp_path: Path) -> None:
    sizes = []

    class Weighing(Here):
        def map(self, make: Callable[[], Worker], batches: Any, **more: Any) -> Iterator[Any]:
            sizes.append(max(len(pickle.dumps(batch)) for batch in batches))
            assert len([*tmp_path.glob("state-*")]) == 1
            return super().map(make, batches, **more)

    with EngineRunner(Weighing(), tmp_path) as runner:  # type: ignore[arg-type]
        arrays = runner.arrays
        arrays.create("sums", (300,), np.float64)
        for number in (3, 300):
            for shard in range(number):
                arrays.put(f"array.{shard}", np.array([number + shard], np.float64))
            runner.run(_double, range(number))
            assert (arrays["sums"][:number] == 2 * (number + np.arange(number))).all()
    assert sizes[1] < sizes[0] + 200  # the second has four shards in a batch
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError, r"A worker on .* cannot use .* \(No space left on device\)"),
        (MemoryError, "memory of .* used"),
    ],
)
def test_errors_of_the_disk_and_the_memory(tmp_path: Path, error: type[Exception], message: str) -> None:
    with EngineRunner(Here(), tmp_path) as runner, pytest.raises(EngineError, match=message):  # type: ignore[arg-type]
        runner.run(partial(_fail, error=error), range(3))


def test_a_shard_of_which_workers_die(tmp_path: Path) -> None:
    engine: Any = Here(is_deadly=True)
    with EngineRunner(engine, tmp_path) as runner, pytest.raises(EngineError) as raised:
        runner.run(partial(_fail, error=OSError), range(3))
    assert raised.value.problem.startswith("4 workers on Ray died while they worked on the same faces")
    assert "memory" in raised.value.remedy


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "token").unlink(), "No such file or directory"),
        (lambda folder: (folder / "token").write_text("x"), "another folder is there"),
    ],
)
def test_a_worker_that_does_not_see_the_folder(
    tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    folder = tmp_path / "index" / "arrays"
    folder.mkdir(parents=True)
    with EngineRunner(Here(), folder) as runner:  # type: ignore[arg-type]
        damage(folder)
        with pytest.raises(EngineError) as raised:
            runner.run(partial(_fail, error=OSError), [])
    assert raised.value.problem.endswith(f" cannot use {tmp_path / 'index'} ({problem}).")
    assert "Share the index directory" in raised.value.remedy


def test_a_worker_with_other_versions(tmp_path: Path) -> None:
    plan = StagePlan(str(tmp_path), "x")
    other = StageWorker(plan).about()

    def change(about: Any) -> Any:
        return type(about)(type(about.facts)("node7", {**about.facts.same, "NumPy": "1.0"}), about.problem)

    assert other.facts.same["NumPy"] == np.__version__
    with (
        EngineRunner(Here(change), tmp_path) as runner,  # type: ignore[arg-type]
        pytest.raises(EngineError, match=r"^NumPy differs: 1\.0 at a worker on node7"),
    ):
        runner.run(partial(_fail, error=OSError), [])
