"""Threads for work that releases the interpreter's lock: matrix products and compiled kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl  # type: ignore[import-untyped]

from faceindex.cores import cores

__all__ = ["Workers"]


class Workers:
    """A thread for each core; a matrix product stays in its thread, as the cores have their own."""

    def __enter__(self) -> Workers:
        self._limits = _libraries().limit(limits=1, user_api="blas")
        self._pool = ThreadPoolExecutor(cores())
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def run(self, work: Callable[[int], None], items: Iterable[int]) -> None:
        """Do `work` on each item, in any order, and wait for all."""
        for _ in self._pool.map(work, items):
            pass


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()  # looks at all that is loaded, which takes milliseconds
