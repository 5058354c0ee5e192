"""Questions that a command asks before it deletes or restores something."""

from __future__ import annotations

import sys

from faceindex.cli.render import Output
from faceindex.errors import UsageError

__all__ = ["agrees", "require_terminal"]


def require_terminal(command: str, dry_run: str, *, json: bool) -> None:
    """Raise `UsageError` if nobody can answer: without a terminal, and with ``--json``.

    Parameters
    ----------
    command : str
        Its last word.
    dry_run : str
        What ``--dry-run`` is good for, such as "see what it would delete".
    json : bool
    """
    if json or not sys.stdin.isatty():
        problem = f"`{command}` waits for an answer, which needs a terminal."
        raise UsageError(problem, f"Add --yes, or --dry-run to {dry_run}.")


def agrees(out: Output, question: str) -> bool:
    """Ask on standard error; return whether the user answers yes."""
    out.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
