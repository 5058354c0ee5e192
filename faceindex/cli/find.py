"""``faceindex find``: the photos that show some people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from faceindex.addresses import as_path, is_address
from faceindex.cli.completion import complete_from
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.escaping import escaped
from faceindex.cli.options import (
    AbsoluteFlag,
    DebugFlag,
    IndexOption,
    JsonFlag,
    PublicFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.pictures import open_in_viewer, write_temporary
from faceindex.cli.progress import Bar, resumable
from faceindex.cli.render import Output, count
from faceindex.cli.unreadable import report_unreadable, warn_of_readers
from faceindex.errors import FaceIndexError, ImageError, UsageError
from faceindex.images.containers import locate
from faceindex.images.moments import at_moment, split_moment
from faceindex.paths import is_too_long

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.finding import FoundPhoto, FoundPhotos

__all__ = ["complete_query", "find"]

_SCHEMA = "faceindex/find/1"
_MOST_OPENED = 10  # photos that --open opens without --yes: each gets a window
_OLDEST = 150  # years; for "3.."
_AGES = re.compile(r"(\d{1,3})?(?:(\.\.|-)(\d{1,3})?)?")
# Where the last name of a query begins.
_LAST_NAME = re.compile(r"(?:.*(?:[&|!(),+]|\b(?:and|or|not)\s))?\s*", re.DOTALL | re.IGNORECASE)


def complete_query(ctx: Any, args: Sequence[str], incomplete: str) -> list[str]:
    """Complete the last name of a query."""
    from faceindex.api.opening import open_store
    from faceindex.people.query import Name
    from faceindex.people.roster import Roster, name_key

    try:
        with open_store(ctx.params.get("index"), write=False) as store:
            people = Roster.of(store.decisions.people()).people()
    except (FaceIndexError, OSError):
        return []  # no index, or one that cannot be read
    match = _LAST_NAME.match(incomplete)
    head = match[0] if match else ""
    begin = name_key(incomplete[len(head) :].lstrip("\"'"))
    names = sorted(person.name for person in people if person.name is not None)
    return [f"{head}{Name(name)}" for name in names if name_key(name).startswith(begin)]


def find(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            autocompletion=complete_query,
            help="Names, joined by & (and), | (or) and ! (not), with parentheses. A cluster is c7, anybody "
            "with a name or a cluster is *, a cluster without a name is ?. and, or, not, anybody, nobody and "
            "unnamed need no quotes in a shell.",
        ),
    ] = None,
    only: Annotated[
        bool,
        typer.Option(
            "--only",
            help="Nobody else is on the photo: no other person, and no face of another cluster. Faces in no "
            "cluster, and those that you ignored, do not count.",
        ),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="Taken on this day, month or year, or later: 1950-06."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="Taken on this day, month or year, or earlier."),
    ] = None,
    age_of: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--age-of",
            metavar="NAME AGES",
            help="Photos of this person at an age in full years, such as 3, 3..5, 60.. or ..2. Needs the "
            "date of birth.",
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="ORDER",
            autocompletion=complete_from("name", "date"),
            help="name or date; photos without a date come last.",
        ),
    ] = "name",
    absolute: AbsoluteFlag = False,
    print0: Annotated[
        bool, typer.Option("--print0", "-0", help="End each path with a null byte, for `xargs -0`.")
    ] = False,
    only_count: Annotated[bool, typer.Option("--count", help="Print only the number of photos.")] = False,
    link: Annotated[
        str | None,
        typer.Option(
            "--link",
            metavar="DIR",
            callback=expand_home,
            help="Make a folder of links to the photos (copies where links are impossible), or bring it up "
            "to date. Foreign files in it stay.",
        ),
    ] = None,
    public: PublicFlag = False,
    viewer: Annotated[
        bool,
        typer.Option("--open", help=f"Open the photos in the system's viewer, at most {_MOST_OPENED}."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --open: any number of photos.")] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Find the photos that show some people.

    Prints their paths, one a line. Photos that have no capture date are left out if a date or an age is asked
    for. The index is searched, not the disk: it lists files that are gone until `index` runs again. Exit
    code 1 if no photo is found.

    Examples:
      faceindex find 'Anna & Ben & !Carl'
      faceindex find Anna and not '(Ben | Carl)' --since 1950 --until 1959
      faceindex find Anna Maria --only --age-of 'Anna Maria' 3..5
      faceindex find 'Anna & Ben' --link ~/anna-and-ben
      faceindex find Anna --absolute -0 | xargs -0 tar -cf anna.tar
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        formats = {"--json": json, "--print0": print0, "--count": only_count}
        if len(chosen := [flag for flag, given in formats.items() if given]) > 1:
            raise UsageError(f"{' and '.join(chosen)} exclude each other.", "Choose one.")
        ages = None if age_of is None else (age_of[0], *_ages(age_of[1]))
        order: Literal["name", "date"] = "date" if sort == "date" else "name"
        if sort != order:
            raise UsageError(f"There is no order '{sort}'.", "Choose name or date with --sort.")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as opened:
            words = " ".join(query) if query else None
            found = opened.find(words, only=only, since=since, until=until, age_of=ages, sort=order)
            if viewer and not yes and len(found) > _MOST_OPENED:
                raise UsageError(
                    f"{count(len(found), 'photo')} would be opened.", "Ask for fewer, or add --yes."
                )
            if json:
                _print_document(out, found, absolute)
            elif only_count:
                out.answer(str(len(found)))
            else:
                _print_paths(out, [p.path if absolute else p.photo for p in found], print0)
            out.flush()
            _report(out, found, clustered=opened.clustering is not None)
            if link is not None:
                _link(out, opened, found, link, public)
        if viewer:
            _open(out, [photo.path for photo in found])


def _ages(written: str) -> tuple[int, int]:
    match = _AGES.fullmatch(written.strip())
    if match is None or not (match[1] or match[3]):
        raise UsageError(f"'{written}' in --age-of is no age.", "Write 3, 3..5, 60.. or ..2.")
    first, dots, last = match.groups()
    low = int(first or 0)
    return low, int(last) if last else _OLDEST if dots else low


def _print_paths(out: Output, paths: Iterable[str], print0: bool) -> None:
    if print0 or not out.terminal:  # for programs: the bytes of the names
        stream, end = out.raw(), "\0" if print0 else "\n"
        for path in paths:
            stream.write((escaped(path) if out.terminal else path) + end)
    else:
        for path in paths:
            out.answer(path)


def _print_document(out: Output, found: FoundPhotos, absolute: bool) -> None:
    photos = (
        {
            "photo": photo.path if absolute else photo.photo,
            "path": photo.path,
            "taken": None if photo.taken is None else photo.taken.isoformat(),
            "people": list(photo.people),
            "faces": list(photo.faces),
        }
        for photo in found
    )
    out.array(_SCHEMA, "photos", photos, query=found.query, undated=found.undated)


def _report(out: Output, found: FoundPhotos, *, clustered: bool) -> None:
    without = f"{count(found.undated, 'photo')} without a capture date left out"
    if not found:
        out.exit_code = PARTIAL
        out.note(f"No photos found; {without}." if found.undated else "No photos found.")
        if not clustered:
            out.note("The faces have not been grouped into people yet. Run `faceindex cluster`.")
    elif found.undated:
        out.note(f"{without}.")


def _link(out: Output, index: FaceIndex, found: Sequence[FoundPhoto], folder: str, public: bool) -> None:
    with Bar(out, "Linking photos") as bar, resumable(out):
        linked = index.find.link(found, folder, public=public, on_progress=bar.update)
    files = linked.files
    if linked.failed or files.kept:
        out.exit_code = PARTIAL
    report_unreadable(out, linked.failed, index.roots(), files.kept)
    warn_of_readers(out, files)
    kinds = [
        count(number, *words)
        for number, words in (
            (linked.symlinks, ("symbolic link",)),
            (linked.hardlinks, ("hard link",)),
            (linked.copies, ("copy", "copies")),
        )
        if number
    ]
    out.note(
        f"{files.destination}: {', '.join(kinds) or 'no links'}; {files.written:,} written, "
        f"{files.unchanged:,} unchanged, {files.removed:,} removed"
    )


def _open_moment(out: Output, path: Path) -> None:
    """Open a picture of a moment of a video, or a photo in a store: neither is a file of its own."""
    from faceindex import images

    try:
        picture = images.decode_to_fit(images.read(path), path).image
    except ImageError as error:
        out.exit_code = PARTIAL
        out.error(error.problem, error.remedy)
        return
    for file in write_temporary([(at_moment(path.as_posix()).rpartition("/")[2].replace(":", "-"), picture)]):
        open_in_viewer(file)


def _open(out: Output, paths: Iterable[str]) -> None:
    for path in map(as_path, paths):
        if split_moment(path) or is_address(path):
            _open_moment(out, path)
        elif is_too_long(path):
            out.exit_code = PARTIAL
            out.warning(f"The path {path} is too long for other programs.")
        elif path.exists():
            open_in_viewer(path)
        elif (inside := locate(path)) is not None:
            out.exit_code = PARTIAL
            out.warning(f"{inside.member} is in {inside.container}: other programs cannot open it there.")
        else:
            out.exit_code = PARTIAL
            out.warning(f"{path} is gone. Run `faceindex index` on its folder.")
