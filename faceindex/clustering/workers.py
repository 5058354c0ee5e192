"""Threads for matrix products and compiled kernels, which release Python's global lock."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl  # type: ignore[import-untyped]

from faceindex.cores import cores

__all__ = ["Workers", "one_thread"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS use one thread for each matrix product inside the ``with``."""
    limits = _libraries().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        limits.restore_original_limits()


class Workers:
    """One thread per core. BLAS uses one thread per matrix product meanwhile, as all cores are busy."""

    def __enter__(self) -> Workers:
        self._limits = _libraries().limit(limits=1, user_api="blas")
        self._pool = ThreadPoolExecutor(cores())
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def run(self, work: Callable[[int], None], items: Iterable[int]) -> None:
        """Call `work` with each item, in any order, and wait until all calls have returned."""
        for _ in self._pool.map(work, items):
            pass


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()  # inspects all loaded libraries, which takes milliseconds
