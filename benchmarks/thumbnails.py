"""How fast `index.pictures` returns thumbnails, drawn and from the cache, and how many bytes they take.

The photos of people/ get one face each, the middle of the photo: what is drawn does not depend on a detector.
The cache is then filled with copies under other keys until it is full, so that its speed and its size are
those of a large index.

    python benchmarks/thumbnails.py
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import argument_parser, people_photos, write_result

from faceindex import FaceIndex, images
from faceindex.store import NewPhoto, Pins, Store
from faceindex.store.directory import THUMBNAILS
from faceindex.store.thumbnail_cache import LIMIT, ThumbnailCache
from faceindex.types import Faces

STEP = 128
"""Faces asked for at a time, as by the page."""


def make_index(directory: Path, photos: list[Path], root: Path) -> None:
    """Write an index with a face in the middle of each photo."""
    vector = np.eye(1, 16, dtype=np.float32)
    one = np.ones(1, np.float32)
    with Store.create(directory, Pins("yunet", "mobilefacenet", 16, {}, {})) as store:
        folder = store.add_root(str(root), str(root)).id
        found = []
        for path in photos:
            data = path.read_bytes()
            width, height, _ = images.probe(data, path)
            box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
            faces = Faces(box, np.full((1, 5, 2), np.nan, np.float32), one, vector, one, one)
            name = path.relative_to(root).as_posix()
            found.append(
                NewPhoto(folder, name, len(data), 0, images.content_hash(data), width, height, faces=faces)
            )
        store.commit(found)


def ask(directory: Path, faces: list[int]) -> tuple[float, float, list[bytes]]:
    """Ask for thumbnails; return the seconds, those of the slowest call, and the JPEGs."""
    found, slowest = [], 0.0
    with FaceIndex.open(directory) as index:
        start = time.perf_counter()
        for first in range(0, len(faces), STEP):
            begun = time.perf_counter()
            wanted = faces[first : first + STEP]
            found += [jpeg for _, jpeg in index.pictures.thumbnails(wanted) if jpeg is not None]
            slowest = max(slowest, time.perf_counter() - begun)
        return time.perf_counter() - start, slowest, found


def fill(cache: ThumbnailCache, jpegs: list[bytes], number: int) -> float:
    """Store copies of thumbnails under random keys; return the seconds."""
    start = time.perf_counter()
    for first in range(0, number, STEP):
        copies = {os.urandom(16): jpegs[(first + slot) % len(jpegs)] for slot in range(STEP)}
        cache.store(copies, copies.keys)
    return time.perf_counter() - start


def main() -> None:
    parser = argument_parser(__doc__, quick="40 photos, and a cache of 2 MiB", data=True)
    arguments = parser.parse_args()
    photos = people_photos(arguments.data)
    limit = (2 << 20) if arguments.quick else LIMIT
    if arguments.quick:
        photos = photos[:40]
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "index"
        make_index(directory, photos, arguments.data / "people")
        with FaceIndex.open(directory) as index:
            faces = index.table().face.tolist()
        random.shuffle(faces)
        cold, _, jpegs = ask(directory, faces)
        if len(jpegs) != len(faces):
            raise SystemExit(f"{len(faces) - len(jpegs)} of {len(faces)} photos cannot be drawn.")
        in_file = (directory / THUMBNAILS).stat().st_size / len(faces)
        with FaceIndex.open(directory) as index:
            index_id = index._store._catalog.index_id
        number = round(1.3 * limit / in_file)
        filling = fill(ThumbnailCache(directory, index_id, limit), jpegs, number)
        ask(directory, faces)  # draw again what had to go
        full = (directory / THUMBNAILS).stat().st_size
        warm, slowest, again = ask(directory, faces)
    if len(again) != len(faces) or full > limit:
        raise SystemExit(
            f"{len(again)} of {len(faces)} thumbnails; the file has {full:,} of {limit:,} bytes."
        )
    size = sum(map(len, jpegs)) / len(jpegs)
    result: dict[str, Any] = {
        "faces": len(faces),
        "drawn_per_second": round(len(faces) / cold),
        "cached_per_second": round(len(faces) / warm),
        "slowest_call_ms": round(1000 * slowest, 1),
        "stored_per_second_beyond_full": round(number / filling),
        "bytes": round(size),
        "bytes_in_file": round(in_file),
        "file_bytes": full,
    }
    print(f"{len(faces):,} faces, {STEP} at a time, a file of {full / 2**20:.0f} MiB")
    print(f"drawn   {result['drawn_per_second']:>7,}/s")
    print(f"cached  {result['cached_per_second']:>7,}/s, the slowest call {result['slowest_call_ms']} ms")
    print(f"stored  {result['stored_per_second_beyond_full']:>7,}/s, 1.3 times what fits")
    print(f"a thumbnail has {size:,.0f} bytes, in the file {in_file:,.0f}")
    write_result("thumbnails", result, quick=arguments.quick)


if __name__ == "__main__":
    main()
