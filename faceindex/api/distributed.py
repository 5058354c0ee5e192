"""Where `FaceIndex.cluster` does its work: in this process, in memory or through files, or on an engine."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.api.extraction import check_place
from faceindex.errors import StoreError

if TYPE_CHECKING:
    from faceindex.clustering.shards import MakeRunner, Runner
    from faceindex.engine.pool import RayEngine
    from faceindex.engine.stages import EngineRunner

__all__ = ["Runners", "runners_on"]

_INDEX_DISK = "the disk of the index"
_TEMPORARY = "faceindex-parts-"  # start of the names of such folders in the temporary directory


class Runners:
    """Makes runners on an engine, a `faceindex.clustering.shards.MakeRunner`.

    Engine and folder are those of the first runner: nothing starts before it is needed. A runner has to end
    before the next one is made.

    Parameters
    ----------
    engine : RayEngine
    directory : Path
        Of the index: the folder is in it.
    stack : ExitStack
        Removes the folder in the end.

    Attributes
    ----------
    started : bool
        Whether a runner was made.
    """

    def __init__(self, engine: RayEngine, directory: Path, stack: contextlib.ExitStack) -> None:
        self.started = False
        self._engine = engine
        self._directory = directory.absolute()
        self._stack = stack
        self._runner: EngineRunner | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[Runner]:
        """Be ready to run stages inside the ``with``.

        Raises
        ------
        EngineError
            If the engine does not start.
        StoreError
            If the directory cannot be written.
        """
        from faceindex.engine.stages import EngineRunner
        from faceindex.scratch import own_folder
        from faceindex.store.directory import PARTS

        self._engine.start()
        self.started = True
        with _writing(self._directory, "run it without `on`"):
            if self._runner is None:
                folder = self._stack.enter_context(own_folder(self._directory, PARTS))
                self._runner = EngineRunner(self._engine, folder)
            with self._runner as runner:
                yield runner


@contextlib.contextmanager
def _runner_in_files(directory: Path) -> Iterator[Runner]:
    """Make a runner of this process whose arrays are files: memory does not bound them.

    They are in the temporary directory if the index may be read only, as for a dry run.
    """
    from faceindex.clustering.shards import FileArrays, ThreadRunner
    from faceindex.scratch import own_folder, remove_leftovers
    from faceindex.store.directory import PARTS

    remove_leftovers(Path(tempfile.gettempdir()), _TEMPORARY)  # of a dry run that was killed
    disk, parent, prefix = _INDEX_DISK, directory.absolute(), PARTS
    if not os.access(parent, os.W_OK | os.X_OK):
        disk, parent, prefix = "the disk of the temporary directory", Path(tempfile.gettempdir()), _TEMPORARY
    with (
        _writing(parent, "run it without `part_size`", disk),
        own_folder(parent, prefix) as folder,
        ThreadRunner(FileArrays(folder)) as runner,
    ):
        yield runner


@contextlib.contextmanager
def _writing(directory: Path, otherwise: str, disk: str = _INDEX_DISK) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise StoreError(
                f"{error.filename or directory} cannot be opened: {error.strerror}.",
                "Raise the limit of open files (`ulimit -n`), and run it again.",
            ) from error
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
        raise StoreError(
            f"{error.filename or directory} cannot be written: {error.strerror or error}.",
            f"{f'Make room on {disk}' if full else 'Remove the cause'}, or {otherwise}.",
        ) from error


@contextlib.contextmanager
def runners_on(
    on: str | None, actors: int | None, directory: Path, *, in_files: bool = False
) -> Iterator[MakeRunner | None]:
    """Cluster on an engine inside the ``with``, or in this process; None keeps all in memory.

    Parameters
    ----------
    on, actors
        As in `faceindex.FaceIndex.cluster`.
    directory : Path
        Of the index.
    in_files : bool
        Keep the arrays of this process in files there, as those of an engine are; in the temporary directory
        if the index cannot be written.

    Raises
    ------
    UsageError, EngineError
        As `faceindex.api.extraction.check_place`.
    """
    place = check_place(on, actors)
    if place is None:
        yield partial(_runner_in_files, directory) if in_files else None
        return
    from faceindex.engine.pool import RayEngine

    with contextlib.ExitStack() as stack, RayEngine(place, actors, "cpu") as engine:
        yield Runners(engine, directory, stack)
