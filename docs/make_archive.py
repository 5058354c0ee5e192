"""Make the album of docs/family-archive.md, run the commands of the page, and write their output below them.

    python docs/make_archive.py FOLDER

FOLDER has the labelled photos of tests, with people/ and lfw/. A test runs the same commands. Needs Linux or
macOS.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from make_outputs import fill
from make_session import DOCS
from PIL import Image

__all__ = ["PAGE", "make_archive"]

PAGE = DOCS / "family-archive.md"

PHOTOS, LATER = 12, 3
_LFW = ("Colin_Powell", "Jennifer_Capriati")
_COUPLES = (
    ("Angelina Jolie", "Brad Pitt"),
    ("Natalie Portman", "Tom Hanks"),
    ("Angelina Jolie", "Tom Hanks"),
)
_EXIF, _DATE_TIME_ORIGINAL = 0x8769, 0x9003


def make_archive(data: Path, folder: Path) -> None:
    """Make an archive of ten people: ``photos/`` by year, and ``scans/``, which come later."""
    people = [*sorted((data / "people").iterdir()), *(data / "lfw" / name for name in _LFW)]
    for number, person in enumerate(people):
        found = sorted(person.glob("*.jpg"))
        for i, photo in enumerate(found[:PHOTOS]):
            taken = datetime(1994 + 2 * i, 1 + number, 10 + i, 12)
            _save(Image.open(photo), folder / "photos" / str(taken.year) / f"img_{number}{i:02}.jpg", taken)
        for i, photo in enumerate(found[PHOTOS : PHOTOS + LATER]):
            taken = datetime(1980 + i, 1 + number, 10, 12)
            _save(Image.open(photo), folder / "scans" / f"scan_{number}{i}.jpg", taken)
    for number, (one, other) in enumerate(_COUPLES):
        pictures = [
            Image.open(sorted((data / "people" / name).iterdir())[20 + number]) for name in (one, other)
        ]
        height = min(picture.height for picture in pictures)
        scaled = [picture.resize((picture.width * height // picture.height, height)) for picture in pictures]
        together = Image.new("RGB", (sum(picture.width for picture in scaled), height))
        together.paste(scaled[0], (0, 0))
        together.paste(scaled[1], (scaled[0].width, 0))
        taken = datetime(2010, 5, 1, 12) + timedelta(days=number)
        _save(together, folder / "photos" / "2010" / f"wedding_{number}.jpg", taken)


def _save(picture: Image.Image, path: Path, taken: datetime) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif.get_ifd(_EXIF)[_DATE_TIME_ORIGINAL] = taken.strftime("%Y:%m:%d %H:%M:%S")
    picture.convert("RGB").save(path, "JPEG", quality=95, exif=exif.tobytes())


def main() -> None:
    """Fill the page."""
    parser = argparse.ArgumentParser(
        description="Write the output of the commands into docs/family-archive.md."
    )
    parser.add_argument("data", type=Path, help="the folder of labelled photos")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "home")
        make_archive(arguments.data.resolve(), folder)
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), folder), encoding="utf-8")


if __name__ == "__main__":
    main()
