"""What the commands of ``faceindex sidecar`` share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, cast

import typer

from faceindex.cli.options import expand_home
from faceindex.errors import UsageError

__all__ = ["SidecarPaths", "checked_prefer"]

SidecarPaths: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        callback=expand_home,
        help="Photos of the index, or folders; the whole index without any.",
    ),
]


def checked_prefer(prefer: str | None) -> Literal["file", "index"] | None:
    """Return the choice of the option --prefer."""
    if prefer not in (None, "file", "index"):
        raise UsageError(f"--prefer is '{prefer}'.", "Choose file or index.")
    return cast(Literal["file", "index"] | None, prefer)
