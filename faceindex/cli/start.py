"""The console script: run simple calls without loading all commands.

Building the commands takes ten times as long as starting Python. The text of ``faceindex --help`` is stored
in ``help.txt``; a test compares it with the generated text. ``index`` and ``identify`` with only paths need
no parser.
"""

import os
import sys

__all__ = ["HELP_COLUMNS", "main"]

HELP_COLUMNS = 80  # of the stored text; help is never wider

_PLAIN = ("index", "identify")
"""Commands that are called with only paths most of the time."""


def main() -> None:
    """Run ``faceindex``."""
    _open_closed_streams()
    words = sys.argv[1:]
    if words in (["--help"], ["-h"], ["help"]) and _columns() >= HELP_COLUMNS:
        _print_help()
        return
    try:
        if len(words) > 1 and words[0] in _PLAIN and _are_paths(words[1:]):
            _run_plain(*words)
        else:
            from faceindex.cli.app import main as run

            run()
    except KeyboardInterrupt:  # while modules are loaded
        sys.exit(130)  # `faceindex.cli.errors.INTERRUPTED`, which may not be loaded yet
    finally:
        import gc

        # Python collects garbage once more when it exits, which takes a fifth of a second after torch.
        gc.freeze()


def _run_plain(command: str, *paths: str) -> None:
    if command == "index":
        from faceindex.cli.index import index

        index(list(paths))
    else:
        from faceindex.cli.identify import identify

        identify(list(paths))


def _are_paths(words: list[str]) -> bool:
    """Check that words are paths or ``-``: no options, and no patterns, which Windows leaves to programs.

    A leading ``~`` that the shell did not expand is left to `faceindex.cli.options.expand_home`.
    """
    return os.name != "nt" and not any(word.startswith(("-", "~")) and word != "-" for word in words)


def _print_help() -> None:
    with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib takes longer to load than all the rest
        text = file.read()
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from faceindex.cli.errors import unwritable

        sys.exit(unwritable(error))


def _open_closed_streams() -> None:
    """Open a file for each closed stream (``>&-``); otherwise the next opened file takes its number.

    For standard output, open a file that cannot be written, so that a lost answer is an error.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _columns() -> int:
    """Return the width of the terminal, as `shutil.get_terminal_size`, which takes too long to import."""
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
