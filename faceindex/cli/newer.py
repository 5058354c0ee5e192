"""What commands print about faces that are newer than the clusters.

Imports no typer: `faceindex.cli.identify` must start fast.
"""

from __future__ import annotations

from faceindex.cli.render import Output, count

__all__ = ["newer_faces", "note_newer_faces"]


def newer_faces(number: int) -> str:
    """Return that faces are newer than the clusters, and what to run."""
    verb = "is" if number == 1 else "are"
    return f"{count(number, 'face')} {verb} newer than the clusters; run `faceindex cluster`"


def note_newer_faces(out: Output, number: int) -> None:
    """Print it as a note, unless there are none; not with ``--json``, whose document has the number."""
    if number and not out.json:
        out.note(f"{newer_faces(number)}.")
