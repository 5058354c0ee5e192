"""How errors leave the program: one line on standard error, and an exit code.

====  =====================================================================================
code  meaning
====  =====================================================================================
0     done
1     ran, but the answer is partial or empty: unreadable photos, no face, stopped on the way,
      nobody left to read the output
2     wrong usage, no index, missing weights, damaged index, an error of faceindex itself
130   interrupted at once by Ctrl-C (143: by SIGTERM), without waiting for the batch in hand
====  =====================================================================================

Under ``--json`` an error that leaves a command without an answer is a document of schema
``faceindex/error/1`` on standard output as well, so that there always is exactly one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator

import typer

from faceindex.cli.render import Output
from faceindex.errors import FaceIndexError

__all__ = ["INTERRUPTED", "PARTIAL", "USAGE", "report", "session"]

PARTIAL = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells say it

_ERROR_SCHEMA = "faceindex/error/1"


@contextlib.contextmanager
def session(*, json: bool, quiet: bool, verbose: bool, debug: bool) -> Iterator[Output]:
    """Around the body of every command: gives it its output, turns exceptions into exit codes.

    Raises
    ------
    typer.Exit
        With the code of the error, or `Output.exit_code`.
    """
    out = Output(json=json, quiet=quiet, verbose=verbose)
    _silence_decoders()
    try:
        yield out
        out.flush()
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        out.close()
        out.error("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        out.close()
        if _is_broken_pipe(error):
            _discard_output()
            raise typer.Exit(PARTIAL) from None
        if debug:
            traceback.print_exc()
        raise typer.Exit(report(out, error, debug=debug)) from None
    if out.exit_code:
        raise typer.Exit(out.exit_code)


def report(out: Output, error: Exception, *, debug: bool = False) -> int:
    """Say what is wrong and what to do; returns the exit code."""
    if isinstance(error, FaceIndexError):
        problem, remedy, code = error.problem, error.remedy, error.exit_code
    elif isinstance(error, MemoryError):
        problem, remedy, code = "There is not enough memory.", "Close other programs and try again.", USAGE
    elif isinstance(error, OSError) and error.strerror:
        where = f": {os.fsdecode(error.filename)}" if error.filename is not None else ""
        problem, code = f"{error.strerror}{where}.", USAGE
        remedy = "Check the disk and the permissions, or run it again with --debug for the traceback."
    else:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        problem = f"Something went wrong that faceindex did not expect ({what})."
        remedy = "Please report it." if debug else "Run it again with --debug for the traceback."
        code = USAGE
    out.error(problem, remedy)
    if out.json and not out.answered:
        out.document(_ERROR_SCHEMA, type=type(error).__name__, problem=problem, remedy=remedy, exit_code=code)
    return code


def _is_broken_pipe(error: Exception) -> bool:
    # Windows says EINVAL where the reader of a pipe has gone.
    return isinstance(error, BrokenPipeError) or (
        sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL
    )


def _discard_output() -> None:
    """Let the flush at the interpreter's exit go nowhere, instead of failing aloud."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _silence_decoders() -> None:
    """Pillow's remarks on odd photos name no file; what matters of them comes as an `ImageError`."""
    import logging
    import warnings

    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
