"""The console script: what can be done without loading the commands, and the way to them.

Building the commands takes ten times as long as starting Python. The text of ``--help`` is kept in
``help.txt``, and a test compares it with what the commands say. ``index`` and ``identify`` with nothing but
paths have no option that would have to be understood.
"""

import os
import sys

__all__ = ["HELP_COLUMNS", "main"]

HELP_COLUMNS = 80  # of the kept text; it is never set wider

_PLAIN = ("index", "identify")
"""Commands that are given nothing but paths, mostly."""


def main() -> None:
    """Run ``faceindex``."""
    _open_closed_streams()
    words = sys.argv[1:]
    if words in (["--help"], ["-h"]) and _columns() >= HELP_COLUMNS:
        _help()
        return
    try:
        if len(words) > 1 and words[0] in _PLAIN and _are_paths(words[1:]):
            _run_plain(*words)
        else:
            from faceindex.cli.app import main as run

            run()
    finally:
        import gc

        # Else Python looks for garbage once more at its end, which takes a fifth of a second after torch.
        gc.freeze()


def _run_plain(command: str, *paths: str) -> None:
    try:
        if command == "index":
            from faceindex.cli.index import index

            index(list(paths))
        else:
            from faceindex.cli.identify import identify

            identify(list(paths))
    except KeyboardInterrupt:
        sys.exit(130)  # as `faceindex.cli.errors`, if it could not be loaded any more


def _are_paths(words: list[str]) -> bool:
    """Whether words are paths just as they are: no options, no patterns that Windows leaves to programs.

    A leading ``~`` that the shell did not expand is left to `faceindex.cli.options.expand_home`.
    """
    return os.name != "nt" and not any(word.startswith(("-", "~")) for word in words)


def _help() -> None:
    with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib takes longer to load than all the rest
        text = file.read()
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from faceindex.cli.errors import unwritable

        sys.exit(unwritable(error))


def _open_closed_streams() -> None:
    """Give streams that were closed (``>&-``) a file, or the next one that is opened takes their number.

    Standard output gets one that cannot be written: an answer must not vanish unsaid.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


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
