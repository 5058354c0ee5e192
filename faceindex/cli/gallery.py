"""``faceindex gallery``: write a page that shows the people and the clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.newer import newer_faces
from faceindex.cli.options import (
    DebugFlag,
    FailOnOption,
    IndexOption,
    JsonFlag,
    PublicFlag,
    QuietFlag,
    VerboseFlag,
    WithHiddenFlag,
    expand_home,
)
from faceindex.cli.pictures import open_in_viewer
from faceindex.cli.progress import Bar, resumable
from faceindex.cli.render import Output, count, size
from faceindex.cli.unreadable import check_fail_on, is_news, report_unreadable, warn_of_readers
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.export.gallery import Gallery
    from faceindex.store import Root

__all__ = ["gallery"]

_SCHEMA = "faceindex/gallery-summary/1"


def gallery(
    destination: Annotated[
        str, typer.Argument(metavar="DEST", callback=expand_home, help="A folder; created if missing.")
    ],
    copy: Annotated[
        bool,
        typer.Option(
            "--copy",
            help="Copy the photos into DEST, so that it can be moved or given away. Without it, the page "
            "links to the photos. Copies keep their metadata, such as the place.",
        ),
    ] = False,
    with_hidden: WithHiddenFlag = False,
    public: PublicFlag = False,
    fail_on: FailOnOption = "new",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be written.")] = False,
    viewer: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write a page that shows the people and the clusters.

    It is the page of `faceindex review` as files: open DEST/index.html in a browser. It needs no server and
    no network. What you decide in it is saved as a file for `faceindex people apply`. Run the command again
    after changes: it writes only what changed, and leaves foreign files alone. Faces on photos that cannot be
    read are grey. Exit code 1 if there are no faces, or if photos could not be read: by default only those
    that `faceindex index` could read last.

    Example: faceindex gallery ~/people --open
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if viewer and dry_run:
            raise UsageError("--open and --dry-run exclude each other.", "Choose one.")
        check_fail_on(fail_on)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            with Bar(out, "Drawing faces") as bar, resumable(out):
                result = found.export.gallery(
                    destination,
                    copy=copy,
                    hidden=with_hidden,
                    public=public,
                    dry_run=dry_run,
                    on_progress=bar.update,
                )
            _report(out, result, found.roots(), is_news(found, result.failures, fail_on))
        if viewer:
            open_in_viewer(result.page)


def _report(out: Output, result: Gallery, roots: Sequence[Root], failed: bool) -> None:
    files = result.files
    if failed or files.kept or not result.faces:
        out.exit_code = PARTIAL
    report_unreadable(out, result.failures, roots, files.kept)
    warn_of_readers(out, files)
    if out.json:
        out.document(
            _SCHEMA,
            page=str(result.page),
            people=result.people,
            clusters=result.clusters,
            faces=result.faces,
            unclustered=result.unclustered,
            newer_faces=result.newer_faces,
            photos=result.photos,
            sprites=result.sprites,
            previews=result.previews,
            copies=result.copies,
            bytes=result.bytes,
            copied_bytes=result.copied_bytes,
            withheld=result.withheld,
            dry_run=files.dry_run,
            written=files.written,
            unchanged=files.unchanged,
            removed=files.removed,
            kept=[{"file": name, "reason": reason} for name, reason in files.kept],
            unreadable=[{"photo": error.path, "reason": error.reason.value} for error in result.failures],
        )
        return
    if out.quiet:
        return
    named = f"{result.people:,} named {'person' if result.people == 1 else 'people'}, "
    what = (
        f"{named if result.people else ''}{count(result.clusters, 'cluster')}, "
        f"{count(result.faces, 'face')} ({result.unclustered:,} in none) on {count(result.photos, 'photo')}"
    )
    out.answer(out.styled(what, "bold"))
    would = "would be " if files.dry_run else ""
    out.answer(
        f"{count(files.written, 'file')} {would}written, {files.unchanged:,} unchanged, "
        f"{files.removed:,} {would}removed"
    )
    if not files.dry_run:
        copies = f", and {size(result.copied_bytes)} of copied photos" if result.copies else ""
        out.answer(f"{result.page}: {size(result.bytes)} with its pictures{copies}")
    if result.withheld:
        out.note(f"{count(result.withheld, 'photo')} not copied: a forgotten face is on them.")
    if not result.faces:
        out.warning("The index has no faces. Add photos with `faceindex index PATH...`.")
    elif not result.clusters:
        out.warning("There are no clusters. Run `faceindex cluster`, then this command again.")
    elif result.newer_faces:
        out.warning(f"{newer_faces(result.newer_faces)}, then this command again.")
