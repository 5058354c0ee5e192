"""Take the picture `docs/page.png`: the page of a person.

    python docs/make_page.py

The photos are twelve versions of NASA's portrait of Eileen Collins, which is in the public domain and part of
scikit-image. Needs scikit-image, playwright and a Chromium; see `pip install ".[browser,test]"`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from playwright.sync_api import sync_playwright
from skimage import data

from faceindex import FaceIndex

PICTURE = Path(__file__).parent / "page.png"
NAME = "Eileen Collins"
_DATE = 36867  # DateTimeOriginal of EXIF
_EXIF = 0x8769


def make_photos(folder: Path) -> None:
    """Write versions of the portrait that differ in cut, light and date."""
    portrait = Image.fromarray(np.asarray(data.astronaut()))
    for number in range(12):
        photo = portrait.crop(
            (10 * (number % 4), 6 * (number % 3), 440 + 6 * (number % 5), 420 + 7 * (number % 6))
        )
        if number % 2:
            photo = ImageOps.mirror(photo)
        if number % 4 == 3:
            photo = ImageOps.grayscale(photo).convert("RGB")
        photo = ImageEnhance.Brightness(photo).enhance(0.8 + 0.05 * number)
        exif = Image.Exif()
        exif.get_ifd(_EXIF)[_DATE] = f"{1990 + number // 2}:0{1 + number % 6}:14 12:00:00"
        photo.save(folder / f"portrait-{number + 1:02}.jpg", quality=92, exif=exif)


def main() -> None:
    """Make an index, start the page, and take its picture."""
    with tempfile.TemporaryDirectory() as temporary:
        photos, index = Path(temporary, "photos"), Path(temporary, "index")
        photos.mkdir()
        make_photos(photos)
        with FaceIndex.open_or_create(index) as made:
            made.add([photos])
            made.cluster()
            made.people.name(NAME, clusters=[cluster.cluster for cluster in made.clusters()])
            made.people.born(NAME, "1956-11-19")
        command = [sys.executable, "-m", "faceindex", "review", "--index", str(index), "--no-open"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            take_picture(address)
        finally:
            server.terminate()
            server.wait()


def take_picture(address: str) -> None:
    """Take the picture of the page of the only person."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 620}, color_scheme="light")
        page.goto(address, wait_until="commit")
        page.locator(".card").first.click()
        page.wait_for_timeout(1500)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
