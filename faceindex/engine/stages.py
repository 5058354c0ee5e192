"""Stages of `faceindex.clustering.shards` on an engine: a worker does a shard, through files in a folder.

Only the names of stages travel, and numbers. What the shards read and write lies in a folder that all
machines see. So does, once for each stage, which files the arrays are: the more shards, the more files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
import secrets
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from faceindex.clustering.shards import FileArrays, Stage
from faceindex.clustering.workers import one_thread
from faceindex.engine import Engine, Lost
from faceindex.engine.facts import Facts
from faceindex.errors import EngineError

__all__ = ["EngineRunner", "StagePlan", "StageWorker"]

_MORE_MEMORY = (
    "Check that the machines have a gigabyte of memory for each worker, and more for parts of many faces; "
    "pass fewer `actors` or a smaller `part_size`."
)
_TOKEN = "token"  # a file by which a worker recognises the folder

_BATCH = 4  # most shards in a call: all are done again if the worker dies
_CALLS = 4  # for each worker, before calls have several shards

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """A shard of a stage."""

    number: int  # of the stage: the arrays are opened anew when it changes
    stage: Stage
    shard: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """All that a worker needs; makes one when called, in the process of the worker.

    Attributes
    ----------
    folder : str
        Where the arrays are.
    token : str
        What is in a file there.
    """

    folder: str
    token: str

    def __call__(self) -> StageWorker:
        """Make the worker."""
        return StageWorker(self)


@dataclass(frozen=True, slots=True)
class _About:
    """Facts about a worker, and why it cannot use the folder; None if it can."""

    facts: Facts
    problem: str | None


class StageWorker:
    """Does shards of stages; a `faceindex.engine.Worker`. Its matrix products use one thread."""

    def __init__(self, plan: StagePlan) -> None:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(one_thread())  # for as long as the process lives
        self._folder = Path(plan.folder)
        self._about = _About(_facts(), _problem(self._folder, plan.token))
        self._arrays: FileArrays | None = None
        self._number = -1

    def about(self) -> _About:
        """Return what is installed here, and whether the folder is there."""
        return self._about

    def work(self, batch: Sequence[_Job]) -> list[Any]:
        """Do some shards."""
        try:
            return [self._do(job) for job in batch]
        except OSError as error:
            raise EngineError(
                f"A worker on {platform.node()} cannot use {error.filename or self._folder} "
                f"({error.strerror or error}).",
                "Raise the limit of open files there (`ulimit -n`), and run it again."
                if error.errno in (errno.EMFILE, errno.ENFILE)
                else "Make room on the disk of the index, and check that all machines can write there.",
            ) from error
        except MemoryError as error:
            raise EngineError(f"The memory of {platform.node()} is used up.", _MORE_MEMORY) from error

    def _do(self, job: _Job) -> Any:
        if self._arrays is None or job.number != self._number:
            versions, updates = json.loads(_state_file(self._folder, job.number).read_text("utf-8"))
            self._arrays, self._number = FileArrays(self._folder, (versions, updates)), job.number
        return job.stage(self._arrays, job.shard)


class EngineRunner:
    """Runs stages on an engine, a `faceindex.clustering.shards.Runner`; use it inside a ``with``.

    Parameters
    ----------
    engine : Engine
        Its workers do nothing else.
    folder : Path
        Empty, and only for this runner; all machines see it under this path.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._arrays = FileArrays(folder)
        self._plan = StagePlan(str(folder), secrets.token_hex(16))
        self._facts = _facts()
        self._number = 0
        self._stack = contextlib.ExitStack()

    @property
    def arrays(self) -> FileArrays:
        """What the stages read and write."""
        return self._arrays

    def __enter__(self) -> EngineRunner:
        self._stack.enter_context(one_thread())  # as in the workers: the number changes results by a rounding
        (self._folder / _TOKEN).write_text(self._plan.token, "ascii")
        return self

    def __exit__(self, *error: object) -> None:
        self._arrays.remove(*self._arrays.state[0])
        self._stack.close()

    def run(self, stage: Stage, shards: Iterable[int], *, updates: Collection[str] = ()) -> list[Any]:
        """Do all shards, as `faceindex.clustering.shards.Runner.run`.

        Raises
        ------
        EngineError
            If the engine or its workers cannot be used, a worker on another machine does not see the folder,
            or workers die of a shard.
        """
        numbers = list(shards)
        self._arrays.begin(updates)
        self._number += 1
        most = max(1, min(_BATCH, len(numbers) // (_CALLS * self._engine.start())))
        batches = [
            [_Job(self._number, stage, shard) for shard in numbers[start : start + most]]
            for start in range(0, len(numbers), most)
        ]
        versions, updated = self._arrays.state
        state = _state_file(self._folder, self._number)  # of a new name: no machine has it in a cache
        state.write_text(json.dumps([versions, sorted(updated)]), "utf-8")
        try:
            results = self._answers(batches)
        finally:
            state.unlink(missing_ok=True)
        self._arrays.end()
        return results

    def _answers(self, batches: list[list[_Job]]) -> list[Any]:
        answers = self._engine.map(
            self._plan, batches, check=self._check, should_stop=lambda: False, warn=_log.warning
        )
        results = []
        with contextlib.closing(answers):  # type: ignore[type-var]  # after an error, it ends busy workers
            for answer in answers:
                for _, result in answer:
                    if isinstance(result, Lost):
                        raise EngineError(
                            f"{result.deaths} workers on Ray died while they worked on the same faces, the "
                            "last two on these alone.",
                            _MORE_MEMORY,
                        )
                    results.append(result)
        return results

    def _check(self, found: object) -> None:
        assert isinstance(found, _About)
        self._facts.check(found.facts)
        if found.problem is not None:
            raise EngineError(
                f"A worker on {found.facts.host} cannot use {self._folder.parent} ({found.problem}).",
                "Share the index directory with all machines, at the same path and writable for the user "
                "that runs Ray.",
            )


def _facts() -> Facts:
    return Facts.of_this_process({"NumPy": version("numpy"), "numba": version("numba")})


def _state_file(folder: Path, number: int) -> Path:
    """Return the file with the versions of the arrays in a stage, and the names of those that it updates."""
    return folder / f"state-{number}"


def _problem(folder: Path, token: str) -> str | None:
    """Return why the folder cannot be used here; None if it can."""
    try:
        if (folder / _TOKEN).read_text("ascii") != token:
            return "another folder is there"
        descriptor, name = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        Path(name).unlink()
    except OSError as error:
        return str(error.strerror)
    return None
