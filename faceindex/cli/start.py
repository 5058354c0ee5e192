"""The console script: what can be said without loading anything, and the way to everything else.

Building the commands takes ten times as long as starting Python. The text of ``--help`` is kept in
``help.txt``, and a test compares it with what the commands say.
"""

import os
import sys

__all__ = ["HELP_COLUMNS", "main"]

HELP_COLUMNS = 80  # of the kept text; it is never set wider


def main() -> None:
    """Run ``faceindex``."""
    words = sys.argv[1:]
    if words in (["--help"], ["-h"]) and sys.stdout is not None and _columns() >= HELP_COLUMNS:
        with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib takes longer to load than all the rest
            text = file.read()
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        except OSError:
            pass  # nobody reads it any more; the commands know what to do then
    from faceindex.cli.app import main as run

    run()


def _columns() -> int:
    """As `shutil.get_terminal_size` finds them; importing that takes longer than all the rest."""
    try:
        columns = int(os.environ.get("COLUMNS", "0"))
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (AttributeError, OSError, ValueError):
            columns = 0
    return columns if columns > 0 else HELP_COLUMNS
