"""``faceindex sidecar``: names in XMP, of other programs and for them."""

from __future__ import annotations

from faceindex.cli.commands import App
from faceindex.cli.sidecar_read import sidecar_read
from faceindex.cli.sidecar_write import sidecar_write

__all__ = ["app"]

app = App()


@app.callback()
def sidecar() -> None:
    """Read the names in photos and XMP sidecars, and write yours.

    Lightroom, digiKam, Capture One, darktable and others share names this way. The index keeps what it
    exchanged last: what changed on one side since then goes to the other side. What changed on both is
    listed, and stays as it is.

    Examples:
      faceindex sidecar read --dry-run
      faceindex sidecar write photos/2019
    """


app.command("read")(sidecar_read)
app.command("write")(sidecar_write)
