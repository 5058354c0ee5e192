"""What libraries print by themselves: kept off the terminal, or printed as lines of faceindex."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceindex.cli.render import Output

__all__ = ["quiet_libraries"]

# OpenMP 5.2, section 21.1: a list of positive numbers. Its libraries print a line of their own about others.
_THREADS = re.compile(r"\s*[1-9][0-9]*(\s*,\s*[1-9][0-9]*)*\s*")
_OPENMP = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT")


@contextlib.contextmanager
def quiet_libraries(out: Output) -> Iterator[None]:
    """Print the records and warnings of Python libraries through `out`, inside the ``with``.

    A record of faceindex is a warning; those of other libraries, which name no photo, need ``--verbose``.
    Pillow's warnings about odd photos are left out: serious ones become an `ImageError`.
    """
    _check_openmp(out)
    handler = _Handler(out)
    root = logging.getLogger()
    pillow = logging.getLogger("PIL")
    before = pillow.level
    pillow.setLevel(logging.CRITICAL)
    root.addHandler(handler)

    def show(message: Warning | str, category: type[Warning], *where: Any, **details: Any) -> None:
        out.detail(f"{category.__name__}: {' '.join(str(message).split())}")

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.showwarning = show
            yield
    finally:
        root.removeHandler(handler)
        pillow.setLevel(before)


class _Handler(logging.Handler):
    def __init__(self, out: Output) -> None:
        super().__init__(logging.WARNING)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if record.name.partition(".")[0] == "faceindex":
            self._out.warning(text)
        else:
            self._out.detail(f"{record.name}: {text}")


def _check_openmp(out: Output) -> None:
    for name in _OPENMP:
        value = os.environ.get(name, "1")
        if _THREADS.fullmatch(value) is None:
            del os.environ[name]  # the library prints a line, and ignores it, too
            out.warning(f"{name} is '{value}', which is not a number of threads. It is ignored.")
