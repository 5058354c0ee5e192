"""``faceindex import``: names and face regions of other programs."""

from __future__ import annotations

from faceindex.cli.commands import App
from faceindex.cli.import_apple_photos import apple_photos
from faceindex.cli.import_csv import import_csv
from faceindex.cli.import_digikam import digikam
from faceindex.cli.import_folders import folders
from faceindex.cli.import_immich import immich
from faceindex.cli.import_photoprism import photoprism
from faceindex.cli.import_picasa import picasa
from faceindex.cli.import_takeout import takeout

__all__ = ["app"]

app = App(subcommand_metavar="PROGRAM [ARGS]...")


@app.callback()
def imports() -> None:
    """Import names from Picasa, digiKam and other programs.

    A photo is found by its path, and a name goes to the face at its place on the photo. All names of one
    import are one decision, which `faceindex people undo` takes back. A second import decides nothing new.
    What contradicts you is listed and left out. Exit code 1 if something was left out or not found for sure.
    Names in XMP, of Lightroom and others, are read by `faceindex sidecar read`.

    Example: faceindex import folders ~/Pictures/people --dry-run
    """


app.command("picasa")(picasa)
app.command("digikam")(digikam)
app.command("immich")(immich)
app.command("photoprism")(photoprism)
app.command("apple-photos")(apple_photos)
app.command("takeout")(takeout)
app.command("folders")(folders)
app.command("csv")(import_csv)
