"""Errors of the program: one line on standard error, and an exit code.

====  =====================================================================================
code  meaning
====  =====================================================================================
0     done
1     ran, but the answer is partial or empty: unreadable photos, no face, stopped early,
      output pipe closed by its reader (without a message)
2     wrong usage, no index, missing weights, damaged index, output that cannot be written (a full
      disk, a closed stream), an error of faceindex itself
130   interrupted at once by Ctrl-C (143: by SIGTERM), without waiting for the current batch
====  =====================================================================================

With ``--json``, an error that prevents the answer is also a document of schema ``faceindex/error/1`` on
standard output, so that there is always exactly one document.

Messages of the library name Python parameters in backticks; `Output` prints them as flags.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from faceindex.cli.escaping import escaped
from faceindex.cli.flags import as_flags
from faceindex.cli.libraries import quiet_libraries
from faceindex.cli.render import STANDARD_OUTPUT, Output
from faceindex.errors import FaceIndexError

__all__ = ["INTERRUPTED", "PARTIAL", "USAGE", "report", "session", "unwritable"]

PARTIAL = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as in shells
TERMINATED = 143  # 128 + SIGTERM

_ERROR_SCHEMA = "faceindex/error/1"


@contextlib.contextmanager
def session(*, json: bool, quiet: bool, verbose: bool, debug: bool) -> Iterator[Output]:
    """Run the body of a command: provide its output, and turn exceptions into exit codes.

    Raises
    ------
    SystemExit
        With the code of the error, or `Output.exit_code`.
    """
    out = Output(json=json, quiet=quiet, verbose=verbose)
    try:
        with quiet_libraries(out):
            yield out
            out.flush()
    except KeyboardInterrupt as error:
        from faceindex.cli.stopping import Terminated

        out.close()
        out.error("Interrupted.")
        _discard_unwritten()
        raise SystemExit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED) from None
    except Exception as error:
        out.close()
        raise SystemExit(_report_unless_closed(out, error, debug=debug)) from None
    if out.exit_code:
        raise SystemExit(out.exit_code)


def report(out: Output, error: Exception, *, debug: bool = False) -> int:
    """Print what is wrong and what to do; return the exit code."""
    error = _as_out_of_memory(error)
    if isinstance(error, FaceIndexError):
        problem, remedy, code = as_flags(error.problem), as_flags(error.remedy), error.exit_code
    elif isinstance(error, OSError) and error.strerror:
        where = f": {os.fsdecode(error.filename)}" if error.filename is not None else ""
        problem, code = f"{error.strerror}{where}.", USAGE
        remedy = "Check the disk and the permissions, or run it again with --debug for the traceback."
    else:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        problem = f"Unexpected error ({what})."
        remedy = "Please report it." if debug else "Run it again with --debug for the traceback."
        code = USAGE
    out.error(problem, remedy)
    if out.json and not out.answered:
        try:
            out.document(
                _ERROR_SCHEMA, type=type(error).__name__, problem=problem, remedy=remedy, exit_code=code
            )
        except OSError:  # one error is enough
            _discard_unwritten()
    return code


def _as_out_of_memory(error: Exception) -> Exception:
    """Return an error that names the limit of memory if a library reports that memory is exhausted."""
    from faceindex.errors import ImageError, OutOfMemory
    from faceindex.images.exhaustion import is_memory_error, out_of_memory

    if isinstance(error, (ImageError, OutOfMemory)) or not is_memory_error(error):
        return error
    return out_of_memory(error)


def unwritable(error: OSError) -> int:
    """Report that standard output cannot be written, unless its reader closed it; return the exit code."""
    _discard_unwritten()  # first, as `Output` sets up the stream
    error.filename = STANDARD_OUTPUT
    return _report_unless_closed(Output(), error, debug=False)


def _report_unless_closed(out: Output, error: Exception, *, debug: bool) -> int:
    """Report an error, unless the reader of the output is gone; return the exit code."""
    _discard_unwritten()
    if _is_broken_pipe(error):
        return PARTIAL
    if debug:
        import traceback

        sys.stderr.write("".join(escaped(line) + "\n" for line in traceback.format_exc().splitlines()))
    return report(out, error, debug=debug)


def _is_broken_pipe(error: Exception) -> bool:
    # On Windows a write to a pipe without a reader fails with EINVAL.
    return isinstance(error, BrokenPipeError) or (
        sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL
    )


def _discard_unwritten() -> None:
    """Discard output that cannot be written; otherwise Python fails once more at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
