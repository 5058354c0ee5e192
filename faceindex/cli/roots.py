"""``faceindex roots``: list the indexed folders, and the commands that move and remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from faceindex.cli.commands import App
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, columns, count, shell_quoted
from faceindex.cli.roots_relocate import relocate
from faceindex.cli.roots_remove import remove

if TYPE_CHECKING:
    from pathlib import Path

    from faceindex.api.roots import RootFolder

__all__ = ["app"]

_SCHEMA = "faceindex/roots/1"
_HEADER = ("folder", "photos", "faces", "gone", "state")

app = App(subcommand_metavar="[COMMAND] [ARGS]...")


@app.callback(invoke_without_command=True)
def roots(
    context: typer.Context,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the indexed folders, relocate or remove them.

    Without a command, lists each folder with its photos and faces, and with the number of photos that are
    gone and whose faces are kept. The state of a folder is present, empty or missing. Exit code 1 if one is
    empty or missing, or if there is none.

    Examples:
      faceindex roots relocate /old/photos /new/photos
      faceindex roots remove /old/photos
    """
    if context.invoked_subcommand is None:
        _list(index, json=json, quiet=quiet, verbose=verbose, debug=debug)


def list_roots(
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the indexed folders, as `faceindex roots`.

    Example: faceindex roots list --json
    """
    _list(index, json=json, quiet=quiet, verbose=verbose, debug=debug)


def _list(index: Path | None, *, json: bool, quiet: bool, verbose: bool, debug: bool) -> None:
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            folders = found.roots.describe()
            lost = [folder for folder in folders if folder.state != "present"]
            if lost or not folders:
                out.exit_code = PARTIAL
            if out.json:
                out.document(
                    _SCHEMA, index=str(found.directory), roots=[folder.as_dict() for folder in folders]
                )
            else:
                _print(out, folders, lost)


def _print(out: Output, folders: list[RootFolder], lost: list[RootFolder]) -> None:
    if not folders:
        out.note("The index has no photos. `faceindex index PATH...` adds some.")
        return
    cells = [
        (folder.path, f"{folder.photos:,}", f"{folder.faces:,}", f"{folder.gone:,}", folder.state)
        for folder in folders
    ]
    for line in columns(cells, header=_HEADER, right=[1, 2, 3]):
        out.answer(line)
    if lost:
        which = count(len(lost), "folder is", "folders are")
        out.note(
            f"{which} not there. If a disk is not mounted, mount it. If the photos are elsewhere now, run "
            f"`faceindex index` on their folder, or `faceindex roots relocate {shell_quoted(lost[0].path)} "
            "NEW_FOLDER`."
        )


app.command("list")(list_roots)
app.command("relocate")(relocate)
app.command("remove")(remove)
