"""``faceindex doctor``: check all files of the index, and repair them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.flags import as_flags
from faceindex.cli.options import WAIT, DebugFlag, DeviceOption, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, count

if TYPE_CHECKING:
    from faceindex.api.doctor import Health
    from faceindex.store.doctor import Problem

__all__ = ["doctor"]

_SCHEMA = "faceindex/doctor/1"


def doctor(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Embed damaged faces again from their photos, build the HNSW index again, and save what "
            "can be read of a damaged catalog.",
        ),
    ] = False,
    device: DeviceOption = "auto",
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Check all files of the index, and repair them with --repair.

    Compares the catalog and the vectors with their digests, checks the structure and all values of the
    catalog, and compares the HNSW index, and a collection in Milvus, with exact search. Exit code 1 if
    something is damaged, 2 if the index cannot be read at all.

    --repair needs the photos of damaged faces. It keeps a damaged catalog beside the new one. It keeps what
    you decided as far as that can be read, and lists what to check. If photos must be read again, run
    `faceindex index` and `faceindex cluster` afterwards.

    Examples:
      faceindex doctor
      faceindex doctor --repair
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        health = FaceIndex.doctor(index, repair=repair, device=device, wait=WAIT)
        if health.problems or health.read_again or health.deleted or health.decided:
            out.exit_code = PARTIAL
        if json:
            out.document(_SCHEMA, healthy=health.healthy, **health.as_dict())
        else:
            _print(out, health)


def _prefix(problem: Problem) -> str:
    if problem.repairable:
        return ""
    return "not checked: " if problem.kind == "search" else "cannot be repaired: "


def _print(out: Output, health: Health) -> None:
    for problem in health.repaired:
        out.answer(f"repaired: {problem.what}")
    if health.embedded:
        out.answer(f"{count(health.embedded, 'face')} embedded again")
    for name in health.kept:
        out.answer(f"kept: {health.directory}/{name}; delete it once the index is as you expect")
    for text in health.deleted:
        out.answer(f"deleted from the catalog: {text}")
    for text in health.decided:
        out.answer(f"check: {text} `faceindex people log` lists what you decided.")
    for name in health.read_again:
        out.answer(f"must be read again: {name}")
    for problem in health.problems:
        out.answer(_prefix(problem) + as_flags(problem.what))
    if health.problems and all(problem.kind == "search" for problem in health.problems):
        out.note("The index itself is sound, and searches compare every face meanwhile.")
        if any(problem.repairable for problem in health.problems):
            out.note("`faceindex doctor --repair` builds the collection in Milvus anew.")
    elif health.problems:
        out.note("Restore a backup if you have one. `faceindex doctor --repair` repairs what it can.")
    elif health.read_again or health.deleted:
        out.note("Run `faceindex index` on your folders, then `faceindex cluster`.")
    else:
        rows = "" if health.rows is None else f" {count(health.rows, 'vector')} checked."
        recall = "" if health.recall is None else f" Recall of the HNSW index: {health.recall:.1%}."
        found = "" if health.search_recall is None else f" Recall of Milvus: {health.search_recall:.1%}."
        out.answer(f"The index is healthy.{rows}{recall}{found}")
