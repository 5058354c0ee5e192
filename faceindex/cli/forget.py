"""``faceindex forget``: delete people, faces and photos for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.asking import agrees, require_terminal
from faceindex.cli.completion import complete_references
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.flags import as_flags
from faceindex.cli.options import (
    WAIT,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    YesFlag,
    expand_home,
)
from faceindex.cli.progress import Bar
from faceindex.cli.render import Output, count, size
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.forgetting_results import ForgettingPlan, Receipt
    from faceindex.documents import Json

__all__ = ["forget"]

_SCHEMA = "faceindex/forget/1"


def forget(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF",
            help="People, by name or uid; faces, such as f123; or clusters, such as 7, for all their faces.",
            autocompletion=complete_references,
        ),
    ] = None,
    photo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            callback=expand_home,
            help="Forget a photo with all its faces, and never search it for faces again. Can be repeated. "
            "The file stays.",
        ),
    ] = None,
    allow_return: Annotated[
        bool,
        typer.Option(
            "--allow-return",
            help="Do not remember where the faces were. If their photos are read again, the faces are "
            "found again.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Search every file of the index and its copies for the vectors and names."
        ),
    ] = False,
    receipt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=expand_home, help="Write the receipt to FILE, as JSON."),
    ] = None,
    yes: YesFlag = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be forgotten, and change nothing.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Delete people, faces and photos for good.

    Deletes their faces, vectors, names, dates and notes, and what the journal of decisions says of them. It
    also cleans the exports and galleries that were written from this index. It cannot be undone. Your photos
    stay as they are, and the next `faceindex index` does not bring the faces back. Exit code 1 if something
    is left; the receipt says what.

    Examples:
      faceindex forget Anna --dry-run
      faceindex forget Anna --verify
      faceindex forget f12 f17
      faceindex forget --photo album/party.jpg
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if not (words or photo):
            raise UsageError("Nothing is given to forget.", "Name people, faces, or photos with --photo.")
        if not (yes or dry_run):
            require_terminal("forget", "see what it would delete", json=json)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            _forget(
                out, found, words or [], photo or [], allow_return=allow_return,
                verify=verify, receipt=receipt, yes=yes, dry_run=dry_run,
            )  # fmt: skip


def _forget(
    out: Output,
    found: FaceIndex,
    words: list[str],
    photos: list[str],
    *,
    allow_return: bool,
    verify: bool,
    receipt: Path | None,
    yes: bool,
    dry_run: bool,
) -> None:
    from faceindex.people.references import parse_references

    refs = parse_references(words)
    plan = found.forget.plan(
        refs.names,
        faces=refs.faces,
        clusters=refs.clusters,
        photos=photos,
        allow_return=allow_return,
        dry_run=dry_run,
    )
    if receipt is not None:
        found.check_writable(receipt)
    if not yes or dry_run:
        _print_plan(out, plan, dry_run=dry_run)
    if not dry_run and not yes and not agrees(out, "Forget them for good?"):
        out.exit_code = PARTIAL
        out.note("Nothing is forgotten.")
        return
    with Bar(out, "Cleaning copies") as bar:
        done = found.forget.carry_out(plan, verify=verify, dry_run=dry_run, on_copy=bar.update)
    document: dict[str, Json] = {"schema": _SCHEMA, "index": str(found.directory), **done.as_dict()}
    if receipt is not None:
        from json import dumps

        from faceindex.files import write_durably

        write_durably(receipt, (dumps(document, indent=2) + "\n").encode())
    if not (done.complete or dry_run):
        out.exit_code = PARTIAL
    if out.json:
        out.document(_SCHEMA, index=str(found.directory), **done.as_dict())
    elif not dry_run:
        _print_receipt(out, done)
    elif done.copies:
        out.answer(f"{count(len(done.copies), 'copy', 'copies')} would be cleaned:")
        for copy in done.copies:
            out.paragraph(f"{copy.path} ({copy.kind})", indent=2, hang=4)


def _print_plan(out: Output, plan: ForgettingPlan, *, dry_run: bool) -> None:
    who = [*plan.titles]
    photos, faces = len(plan.photos) + len(plan.away_photos), len(plan.named) + len(plan.away)
    if not who:
        who = [count(photos, "photo") if photos else count(faces, "face")]
    out.answer(f"{', '.join(who)} {'would' if dry_run else 'will'} be forgotten:")
    rows = [
        (len(plan.labelled), "named or confirmed by you"),
        (len(plan.believed), "in their clusters, by what the program believes"),
        (len(plan.named), "given one by one"),
        (len(plan.on_photos), "on the given photos"),
        (len(plan.copies), "the same faces on copies of a picture"),
        (len(plan.away), "on photos that are gone"),
    ]
    for number, what in rows:
        if number:
            out.paragraph(f"{count(number, 'face')} {what}", indent=2, hang=4)
    if photos:
        out.paragraph(f"{count(photos, 'photo')} with the same picture", indent=2, hang=4)


def _print_receipt(out: Output, done: Receipt) -> None:
    parts = [f"{count(done.faces, 'face')}"]
    if done.people:
        parts.insert(0, count(done.people, "person", "people"))
    if done.photos:
        parts.append(count(done.photos, "photo"))
    if done.decisions:
        whom = "it" if done.faces == 1 and not done.people else "them"
        parts.append(f"what {count(done.decisions, 'decision')} said of {whom}")
    out.paragraph(f"Forgotten: {', '.join(parts)}.")
    if done.problem is not None:
        out.warning(as_flags(done.problem))
    if done.search is not None:
        out.paragraph(done.search)
    cleaned = [copy for copy in done.copies if copy.state in ("updated", "removed")]
    if cleaned:
        out.paragraph(f"{count(len(cleaned), 'copy', 'copies')} cleaned.")
    for copy in done.copies:
        if copy not in cleaned:
            out.warning(f"{copy.path} ({copy.kind}) may still hold them: {copy.detail}.")
    for left in done.left:
        out.paragraph(f"The name stays in {left.where}: {left.number:,}", indent=2, hang=4)
    if done.searched is not None:
        _print_search(out, done)


def _print_search(out: Output, done: Receipt) -> None:
    searched = done.searched
    assert searched is not None
    out.paragraph(
        f"Searched {count(searched.files, 'file')} ({size(searched.bytes)}) for"
        f" {count(searched.fragments, 'fragment')} of vectors and {count(searched.names, 'text')}:"
        f" {count(searched.hits, 'hit')}."
    )
    for path, number in searched.hits_by_file.items():
        out.warning(f"{count(number, 'hit')} in {path}.")
    for path in searched.unreadable:
        out.warning(f"{path} could not be searched.")
