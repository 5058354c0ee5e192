"""Batches on Ray: actors that load a worker once, `ray.wait`, and a bounded number of batches.

Why Ray's actors, and not Ray Data: `Dataset.map_batches` with a pool of actors streams with backpressure,
but a batch that ends its actor is tried a number of times as it is, and then it ends the whole run or is
dropped without a name. A photo that kills its worker has to be found, by trying the photos of its batch
alone, and to be named. Ray Data also needs pandas and pyarrow on every machine, and keeps the order only as
an option that waits for whole blocks. `ray.util.ActorPool` keeps the order, but has no bound and does not
replace actors that died. What is left to do here is little: start, place and watch over processes is the
business of Ray; this module decides which batch comes next.

A batch whose worker dies is tried once more, whole. If that one dies too, its items are tried one by one,
each while nothing else runs on its worker. An item that ends `_DEATHS_ALONE` workers alone is `Lost`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faceindex.cores import cores
from faceindex.engine import MORE_MEMORY, Lost, Place, Worker
from faceindex.engine.actor import Actor
from faceindex.engine.session import Head, joined
from faceindex.errors import EngineError

__all__ = ["RayEngine"]

_DEATHS_TOGETHER = 2  # of workers, until the items of a batch are tried one by one
_DEATHS_ALONE = 2
_DEATHS_AT_START = 10  # each of a worker that began after the death before, and none was ready in between
_OPEN = 8  # batches for each worker that are in work, or wait for one before them
_WAIT_SECONDS = 0.25  # between two calls of `should_stop`
_PATIENCE = 30.0  # seconds without a worker until a run says that it waits for one
_LOOK_SECONDS = 5.0  # between two looks at the cluster: at its head, and at machines that joined
_HEAD_SECONDS = 30.0  # for which the head may be silent. After 60, Ray ends this process without a word.
_GPU_CALLS = 2  # batches in a worker with a GPU: one is decoded while the other is in the networks


@dataclass(slots=True)
class _Batch:
    items: Sequence[Any]
    results: dict[int, Any] = field(default_factory=dict)
    left: int = 0


@dataclass(slots=True)
class _Job:
    """Items of a batch, by their positions, to send to a worker."""

    batch: _Batch
    positions: Sequence[int]
    deaths: int = 0
    alone: bool = False


@dataclass(slots=True, eq=False)
class _Process:
    """A worker; `ready` once it is loaded and checked."""

    handle: Any
    starting: Any
    begun: float = field(default_factory=time.monotonic)
    ready: bool = False
    running: dict[Any, _Job] = field(default_factory=dict)

    @property
    def is_exclusive(self) -> bool:
        return any(job.deaths or job.alone for job in self.running.values())


class RayEngine:
    """An `faceindex.engine.Engine` on Ray; a context manager.

    Parameters
    ----------
    place : Place
    workers : int, optional
        None means one for each core, or for each GPU, that Ray has.
    device : str
        Where the workers compute, as in `faceindex.devices.resolve`: each has a core of its own, or a GPU if
        there is one and this is not ``"cpu"``.

    Raises
    ------
    UsageError
        If there are fewer than one.
    """

    def __init__(self, place: Place, workers: int | None = None, device: str = "auto") -> None:
        if workers is not None and workers < 1:
            from faceindex.errors import UsageError

            raise UsageError(f"`actors` is {workers}.", "Choose 1 or more.")
        self._place = place
        self._wanted = workers
        self._device = device
        self._stack = contextlib.ExitStack()
        self._number = 0
        self._on_gpu = False
        self._processes: list[_Process] = []
        self._actor: Any = None
        self._head: Any = None

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def on_gpu(self) -> bool:
        """Whether each worker has a GPU; known once the engine has started."""
        return self._on_gpu

    def start(self) -> int:
        """Start or join Ray, as `faceindex.engine.Engine.start`."""
        if self._number:
            return self._number
        self._stack.enter_context(joined(self._place, max(cores(), self._wanted or 1)))
        import ray

        resources = ray.cluster_resources()
        self._on_gpu = self._device.startswith("cuda") or (
            self._device == "auto" and resources.get("GPU", 0) >= 1
        )
        what = "GPU" if self._on_gpu else "core"
        there = self._there(resources)
        if max(self._wanted or 1, 1) > there:
            self.close()
            raise EngineError(
                f"Ray has {_number(there, what)} for {_number(self._wanted or 1, 'worker')}.",
                "Choose fewer `actors`, add machines to the cluster, or pass `device='cpu'`.",
            )
        self._number = self._wanted or there
        self._head = Head(_HEAD_SECONDS)
        options: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1} if self._on_gpu else {"num_cpus": 1}
        if self._on_gpu:
            options["max_concurrency"] = _GPU_CALLS
        # No restarts and retries by Ray: which batch was lost, and with whom, has to be known here.
        self._actor = ray.remote(Actor).options(max_restarts=0, max_task_retries=0, **options)
        return self._number

    def _there(self, resources: Mapping[str, float]) -> int:
        """Return how many workers a cluster has room for."""
        return int(resources.get("GPU" if self._on_gpu else "CPU", 0))

    def _count_again(self) -> None:
        """Use machines that joined since, unless the number of workers was chosen."""
        import ray

        if self._wanted is None:
            self._number = max(self._number, self._there(ray.cluster_resources()))

    def close(self) -> None:
        """End the workers; end or leave Ray, as `faceindex.engine.Engine.close`."""
        processes, self._processes = self._processes, []
        for process in processes:
            self._kill(process)
        self._number = 0
        self._stack.close()

    def map(
        self,
        make: Callable[[], Worker],
        batches: Iterable[Sequence[Any]],
        *,
        check: Callable[[object], None],
        should_stop: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> Iterator[list[tuple[Any, Any]]]:
        """Yield results in order, as `faceindex.engine.Engine.map`."""
        self.start()
        mapping = _Mapping(self, make, iter(batches), check, should_stop, warn)
        try:
            yield from mapping.run()
        finally:  # after an error, or if it was closed half-way: a worker may still be busy
            for process in [process for process in self._processes if process.running]:
                self._remove(process)

    # For _Mapping ------------------------------------------------------------------------------------

    def _add(self, make: Callable[[], Worker]) -> None:
        handle = self._actor.remote(make)
        self._processes.append(_Process(handle, handle.about.remote()))

    def _remove(self, process: _Process) -> None:
        self._processes.remove(process)
        self._kill(process)

    def _kill(self, process: _Process) -> None:
        import ray

        if self._head.answers():  # else this would wait for it; the worker ends with this process
            with contextlib.suppress(Exception):  # it is dead, or Ray is gone
                ray.kill(process.handle)


class _Mapping:
    """One call of `RayEngine.map`."""

    def __init__(
        self,
        engine: RayEngine,
        make: Callable[[], Worker],
        batches: Iterator[Sequence[Any]],
        check: Callable[[object], None],
        should_stop: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self.engine = engine
        self.make = make
        self.batches: Iterator[Sequence[Any]] | None = batches
        self.check = check
        self.should_stop = should_stop
        self.warn = warn
        self.open: deque[_Batch] = deque()
        self.queue: deque[_Job] = deque()
        self.deaths_at_start = 0
        self._died = -math.inf  # when the last of these deaths was noticed
        self.stopped = False
        self._served = time.monotonic()  # when there was a worker at last
        self._has_warned = False

    def run(self) -> Iterator[list[tuple[Any, Any]]]:
        looked = time.monotonic()
        while True:
            self._take_batches()
            self._start_workers()
            self._assign()
            while self.open and (self.stopped or not self.open[0].left):
                if self.stopped and self._is_running():
                    break
                yield self._finish(self.open.popleft())
            if not self.open and self.batches is None:
                return
            self._wait()
            self._watch_workers()
            if time.monotonic() - looked > _LOOK_SECONDS:
                if self.engine._head.check():
                    self.engine._count_again()
                looked = time.monotonic()
            if not self.stopped and self.should_stop():
                self.stopped, self.batches = True, None
                self.queue.clear()

    def _watch_workers(self) -> None:
        """Say that there are no workers, once each time that there were some."""
        if any(process.ready for process in self.engine._processes):
            self._served, self._has_warned = time.monotonic(), False
        elif not self._has_warned and time.monotonic() - self._served > _PATIENCE:
            self._has_warned = True
            self.warn(
                f"Ray has had no worker for {_PATIENCE:.0f} seconds: its machines are gone, or their cores "
                "are in use. The run goes on when there is one."
            )

    @staticmethod
    def _finish(batch: _Batch) -> list[tuple[Any, Any]]:
        return [(batch.items[position], batch.results[position]) for position in sorted(batch.results)]

    def _is_running(self) -> bool:
        return any(process.running for process in self.engine._processes)

    def _take_batches(self) -> None:
        """Open batches while there are few: this bounds the memory of all machines."""
        while self.batches is not None and len(self.open) < _OPEN * self.engine._number:
            items = next(self.batches, None)
            if items is None:
                self.batches = None
            elif items:
                batch = _Batch(items, left=len(items))
                self.open.append(batch)
                self.queue.append(_Job(batch, range(len(items))))

    def _start_workers(self) -> None:
        jobs = len(self.queue) + sum(len(process.running) for process in self.engine._processes)
        while not self.stopped and len(self.engine._processes) < min(self.engine._number, jobs):
            if not self.engine._head.answers():
                break
            self.engine._add(self.make)

    def _assign(self) -> None:
        most = _GPU_CALLS if self.engine._on_gpu else 1
        for process in self.engine._processes:
            while self.queue and process.ready and len(process.running) < most:
                job = self.queue[0]
                if process.running and (job.deaths or job.alone or process.is_exclusive):
                    break
                self.queue.popleft()
                items = [job.batch.items[position] for position in job.positions]
                process.running[process.handle.work.remote(items)] = job

    def _wait(self) -> None:
        """Wait until something ends, for a moment at most, and take all that has ended."""
        import ray

        processes = self.engine._processes
        owners = {process.starting: process for process in processes if not process.ready}
        owners |= {reference: process for process in processes for reference in process.running}
        if not owners:
            return
        ended, _ = ray.wait(list(owners), num_returns=1, timeout=_WAIT_SECONDS)
        if ended:
            ended, _ = ray.wait(list(owners), num_returns=len(owners), timeout=0)
        for reference in ended:
            process = owners[reference]
            if process not in processes:
                continue  # it died with another batch
            try:
                result, error = ray.get(reference)
            except ray.exceptions.RayTaskError as failure:
                raise _broken(failure) from failure
            except ray.exceptions.RayError as death:
                self._bury(process, death)
                continue
            if error is not None:
                raise error.rebuilt()
            if reference is process.starting:
                self.check(result)
                process.ready = True
                self.deaths_at_start = 0
            else:
                self._settle(process.running.pop(reference), result)

    def _settle(self, job: _Job, results: Sequence[Any]) -> None:
        for position, result in zip(job.positions, results, strict=True):
            job.batch.results[position] = result
        job.batch.left -= len(job.positions)

    def _bury(self, process: _Process, death: Exception) -> None:
        """Replace a worker that died, and decide what becomes of its batches."""
        self.engine._remove(process)
        if not process.ready:
            if process.begun >= self._died:  # else it died with others, such as with their machine
                self.deaths_at_start += 1
                self._died = time.monotonic()
            if "creation task" in str(death):
                raise _broken(death) from death
            if self.deaths_at_start >= _DEATHS_AT_START:
                raise EngineError(
                    f"{_DEATHS_AT_START} workers on Ray died one after another while they loaded the models.",
                    MORE_MEMORY,
                ) from death
        if self.stopped:
            return
        for job in process.running.values():
            job.deaths += 1
            if job.alone and job.deaths >= _DEATHS_ALONE:
                self._settle(job, [Lost(_DEATHS_TOGETHER + job.deaths)])
            elif job.alone or job.deaths < _DEATHS_TOGETHER:
                self.queue.appendleft(job)
            else:
                self.queue.extendleft(
                    _Job(job.batch, [position], alone=True) for position in reversed(job.positions)
                )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _broken(error: Exception) -> EngineError:
    """Return the error for workers that cannot be made, with the last line of what Ray says: the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return EngineError(
        f"A worker on Ray cannot be used ({lines[-1]}).",
        "Install the same faceindex and the same models on all machines of the cluster.",
    )
