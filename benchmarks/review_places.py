"""What the measurements of `review.py` need: indexes, the server, its memory, a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from find import make_index
from PIL import Image as PillowImage

from faceindex import FaceIndex, images
from faceindex.images.thumbnails import encode_jpeg
from faceindex.store import NewPhoto
from faceindex.store.directory import THUMBNAILS
from faceindex.store.thumbnail_cache import ThumbnailCache
from faceindex.types import Faces

__all__ = [
    "CODE",
    "Server",
    "chromium",
    "cpu_seconds",
    "fill_cache",
    "load",
    "make_photo_index",
    "memory_mib",
    "script",
]

PHOTO = (1600, 1200)  # pixels
CONTENTS = 100  # different files; all photos are links to them
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
CODE = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
_TICKS = os.sysconf("SC_CLK_TCK")


# Indexes -----------------------------------------------------------------------------------------


def make_photo_index(folder: Path, faces: int, clusters: int, *, seed: int = 0, **options: Any) -> Path:
    """Write an index whose photos are files, JPEGs of 1600 x 1200 pixels with grain; return its directory.

    Many photos are hard links to the same file. Each face has a box and a thumbnail of its own.
    """
    rng = np.random.default_rng(seed)
    kept = folder / "contents"
    kept.mkdir(parents=True)
    contents = []
    for number in range(CONTENTS):
        small = PillowImage.fromarray(rng.integers(0, 256, (15, 20, 3), np.uint8)).resize(PHOTO)
        grain = rng.normal(0, 6, (PHOTO[1], PHOTO[0], 1))
        picture = PillowImage.fromarray((np.asarray(small) + grain).clip(0, 255).astype(np.uint8))
        picture.save(kept / f"{number}.jpg", quality=88)
        data = (kept / f"{number}.jpg").read_bytes()
        contents.append((len(data), images.content_hash(data)))
    photos = folder / "photos"

    def photo_of(number: int, found: Faces) -> NewPhoto:
        size, content = contents[number % CONTENTS]
        name = f"{number // 1000}/{number}.jpg"
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(kept / f"{number % CONTENTS}.jpg", photos / name)
        side = rng.uniform(60, 400, (len(found.boxes), 1))
        corner = rng.random((len(found.boxes), 2)) * (np.array(PHOTO) - side)
        found.boxes[:] = np.concatenate([corner, corner + side], axis=1)
        found.landmarks[:] = (corner + side / 2)[:, None]
        return NewPhoto(
            0, name, size, (photos / name).stat().st_mtime_ns, content, *PHOTO,
            faces=found, picture=os.urandom(20),
        )  # fmt: skip

    make_index(
        folder / "index", faces, 0, seed, named=False, clusters=clusters, root_folder=str(photos),
        photo_of=photo_of, **options,
    )  # fmt: skip
    return folder / "index"


def fill_cache(directory: Path, faces: list[int]) -> int:
    """Store a made-up thumbnail for each face, as drawing its photo would; return the bytes of the file."""
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(64):
        small = PillowImage.fromarray(rng.integers(0, 256, (14, 14, 3), np.uint8)).resize((112, 112))
        jpegs.append(encode_jpeg(np.asarray(small), quality=76))
    with FaceIndex.open(directory) as index:
        cache = ThumbnailCache(directory, index._store._catalog.index_id)
        for first in range(0, len(faces), 512):
            keys = [*index.pictures._find(faces[first : first + 512]).keys.values()]
            made = {key: jpegs[(first + at) % len(jpegs)] for at, key in enumerate(keys)}
            cache.store(made, made.keys)
    return (directory / THUMBNAILS).stat().st_size


def script(name: str) -> str:
    """Return a script that is carried out in the page."""
    return (Path(__file__).parent / "review_scripts" / f"{name}.js").read_text()


# Processes ---------------------------------------------------------------------------------------


def load() -> float:
    """Return how many processes want to run, over the last minute."""
    return round(os.getloadavg()[0], 1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all its descendants, in seconds."""
    parents: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
        spent[int(folder.name)] = sum(map(int, fields[11:15])) / _TICKS
    total, left = 0.0, [pid]
    while left:
        one = left.pop()
        total += spent.get(one, 0.0)
        left += parents.get(one, [])
    return total


def memory_mib(pid: int) -> dict[str, Any]:
    """Return the resident memory of a process: all, that beside the memory map of the vectors, private pages.

    `heavy` lists the libraries that must not be loaded.
    """
    total = vectors = anonymous = 0
    mapped = ""
    names = set()
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first and not first.endswith(":"):
            mapped = rest.rpartition("  ")[2].strip() if "/" in rest else ""
            names.add(mapped)
        elif first == "Rss:":
            kib = int(rest.split()[0])
            total += kib
            vectors += kib if "vectors.f32" in mapped else 0
        elif first == "Anonymous:":
            anonymous += int(rest.split()[0])
    heavy = sorted(
        {name for path in names for name in ("torch", "onnxruntime", "llvmlite") if f"/{name}" in path}
    )
    return {
        "rss": round(total / 1024, 1),
        "beside_vectors": round((total - vectors) / 1024, 1),
        "anonymous": round(anonymous / 1024, 1),
        "heavy": heavy,
    }


class Server:
    """``faceindex review`` as a process of its own.

    Attributes
    ----------
    address : str
        With the token.
    seconds : float
        From the start to the printed address.
    """

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.started = time.time()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faceindex", "review", "--index", str(directory), "--no-open", "--quiet"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": CODE, **(env or {})},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.seconds = time.time() - self.started
        if not re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]+", self.address):
            self.process.kill()
            raise SystemExit(f"The server did not start: {self.process.communicate()[1]}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Kill it at once, as a crash does."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def chromium() -> Iterator[Any]:
    """Start headless Chromium; ends the program if there is none."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("Install playwright and Chromium for the measurements in a browser.") from None
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=[*_ARGUMENTS])
        yield started
        started.close()
