"""Other engines: Ray divides work among processes, Milvus searches. Nothing here knows of photos.

`Engine` is the protocol, `faceindex.engine.pool.RayEngine` follows it. `faceindex.pipeline.remote` makes the
workers, and `faceindex.api.extraction` connects the two. Nothing imports Ray before an engine starts.
Milvus is in the modules `milvus*`, behind the protocol of `faceindex.store.neighbours`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["MORE_MEMORY", "Engine", "Lost", "Place", "Worker", "check_installed", "parse"]

MORE_MEMORY = "Check that the machines have a gigabyte of memory for each worker; pass fewer `actors`."
"""The remedy if workers die and nothing else is known of it."""


class Worker(Protocol):
    """What each process of an engine holds, loaded once."""

    def about(self) -> object:
        """Return facts about the worker and its machine, to be compared with those expected."""

    def work(self, batch: Sequence[Any]) -> list[Any]:
        """Return a result for each item, in order.

        Errors of an item are results. A `faceindex.errors.FaceIndexError` ends the run.
        """


@dataclass(frozen=True, slots=True)
class Lost:
    """The result of an item whose workers die of it.

    Attributes
    ----------
    deaths : int
        Workers that died while they worked on it, the last ones on it alone.
    """

    deaths: int


class Engine(Protocol):
    """Maps batches over workers that stay loaded."""

    def start(self) -> int:
        """Start the engine, unless that is done; return the number of workers. Raises `EngineError`."""

    def map(
        self,
        make: Callable[[], Worker],
        batches: Iterable[Sequence[Any]],
        *,
        check: Callable[[object], None],
        should_stop: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> Iterator[list[tuple[Any, Any]]]:
        """Yield the items of each batch with their results, in the order of the batches.

        Parameters
        ----------
        make : callable
            Makes a worker, in its process; pickled.
        batches : iterable of sequence
            Taken as they are needed: a bounded number of batches is in work or waits to be yielded.
        check : callable
            Called with what `Worker.about` returns, before the worker gets a batch; raises if it cannot be
            used.
        should_stop : callable
            Called several times a second. Once it returns True, the batches in work are finished, and items
            without a result are left out.
        warn : callable
            Called with a sentence if the work does not begin.

        Raises
        ------
        EngineError
            If no worker can be started.
        FaceIndexError
            What `check` and `Worker.work` raise.
        """

    def close(self) -> None:
        """End the workers, and all processes that `start` started."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine runs.

    Attributes
    ----------
    address : str or None
        Of a running Ray cluster, ``"auto"`` for the one that this machine belongs to; None starts Ray here.
    """

    address: str | None


def parse(on: str) -> Place:
    """Return where to run, from ``"ray"`` or ``"ray:ADDRESS"``.

    Raises
    ------
    UsageError
        If it is neither.
    """
    from faceindex.errors import UsageError

    name, colon, address = on.partition(":")
    if name == "ray" and not colon:
        return Place(None)
    if name == "ray" and address and "://" not in address:
        return Place(address)
    raise UsageError(
        f"`on` is {on!r}.", "Choose `ray` for this machine, or `ray:HOST:PORT` or `ray:auto` for a cluster."
    )


def check_installed() -> None:
    """Raise `EngineError` if Ray is not installed; does not import it."""
    from importlib.util import find_spec

    from faceindex.errors import EngineError

    if find_spec("ray") is None:
        raise EngineError("Ray is not installed.", "Install it with `pip install 'faceindex[ray]'`.")
