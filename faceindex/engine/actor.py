"""The process of a worker on Ray: loads it, and passes batches to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faceindex import errors
from faceindex.engine import Worker

__all__ = ["Actor", "RemoteError"]


@dataclass(frozen=True, slots=True)
class RemoteError:
    """An error of a worker, as plain data: exceptions with several arguments cannot be pickled."""

    kind: str
    problem: str
    remedy: str

    @classmethod
    def of(cls, error: Exception) -> RemoteError:
        """Describe an error."""
        if isinstance(error, errors.FaceIndexError):
            return cls(type(error).__name__, error.problem, error.remedy)
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return cls("EngineError", f"A worker on Ray failed ({what}).", "Please report it.")

    def rebuilt(self) -> errors.FaceIndexError:
        """Return the error again; one of another kind than ours is an `EngineError`."""
        kind = getattr(errors, self.kind, errors.EngineError)
        if not issubclass(kind, errors.FaceIndexError) or issubclass(kind, errors.ImageError):
            kind = errors.EngineError
        return kind(self.problem, self.remedy)


class Actor:
    """What Ray makes an actor of.

    Its methods return a result and an error. They raise nothing: Ray would write that into its logs, with the
    paths in it. For the same reason, standard output and error lead nowhere.
    """

    def __init__(self, make: Callable[[], Worker]) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)
        self._make = make
        self._worker: Worker | None = None

    def about(self) -> tuple[object, RemoteError | None]:
        """Load the worker, and return facts about it."""
        try:
            self._worker = self._make()
            return self._worker.about(), None
        except Exception as error:
            return None, RemoteError.of(error)

    def work(self, batch: Sequence[Any]) -> tuple[list[Any] | None, RemoteError | None]:
        """Work on a batch."""
        assert self._worker is not None
        try:
            return self._worker.work(batch), None
        except Exception as error:
            return None, RemoteError.of(error)
