"""How much sooner are the faces of 12-megapixel photos found, and are they all found?

`faceindex index --min-face 80` decodes a large JPEG at the scale that faces of 80 px need and looks for them
there. It is measured against full resolution, from the file to the detections:

- facenet-pytorch, ``MTCNN(min_face_size=80)`` on the photo as Pillow decodes it and turns it upright, one at
  a time with its default threads, as its users run it; in an environment made by
  ``benchmarks/peers.py facenet-pytorch``. The seconds of a stand-in for torchvision's `nms` do not count;
- ours at full resolution, and ours with one thread, both against the peer with one thread.

Ours runs as in `index`: a photo at a time in as many one-thread workers as there are cores. Blocks of
photos alternate between the sides. The photos, 4000 x 3000 and 3000 x 4000 px, are made from people/, lfw/
and groups/: one photo that fills the frame, or mosaics with tiles of 250 to 2000 px, enlarged (Lanczos)
where they have to be, with noise, as JPEG of quality 90 with chroma at half resolution; every eighth lies on
its side with an EXIF orientation. Seeded, in a temporary folder, removed after::

    python benchmarks/large_photos.py [--peers DIR] [--quick]

Beside the times: which of the faces of 80 px and more that either peer finds ours finds too (IoU >= 0.5 and
0.7; a face counts on either side by the rules of `index`: score, share of it on the photo), and the recall of
each on faces whose place is known from the photos that the mosaics were made of. Then the whole command,
from start to stored vectors. Writes ``results/large_photos.json``; takes about 8 minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from common import spend, target, write_result
from facenet_peer import FacenetPeer
from labelled import add_data_argument
from matching import overlaps
from peers import about, add_peers_argument
from PIL import Image, ImageOps

from faceindex import images
from faceindex.recognition import LoadedPhoto, Recogniser, use_one_thread
from faceindex.types import F32

SEED = 5
MIN_FACE = 80
BLOCK = 8  # photos
LONG, SHORT = 4000, 3000
TILE = 1000  # of a mosaic; a tile may be quartered twice
NOISE = 4.0  # grey levels, standard deviation
QUALITY = 90
VISIBLE = 0.6  # the share of a face that must be on the photo, as in faceindex/recognition.py
WORKERS = 2


@dataclass(frozen=True)
class Made:
    """A photo, and where the labelled faces of its tiles are: (n, 4) boxes in its upright pixels."""

    path: Path
    known: F32


def make_photos(data: Path, into: Path, number: int) -> list[Made]:
    """Write the photos of this benchmark."""
    rng = np.random.default_rng(SEED)
    people, lfw = sorted((data / "people").rglob("*.jpg")), sorted((data / "lfw").rglob("*.jpg"))
    groups = sorted((data / "groups").glob("*.jpg"))
    if not (people and lfw and groups):
        raise SystemExit(f"There are no photos in people/, lfw/ and groups/ of {data}.")
    native = Recogniser.load("mtcnn", "dlib", min_face=20)
    made = []
    for i in range(number):
        width, height = (SHORT, LONG) if i % 4 == 3 else (LONG, SHORT)
        canvas = Image.new("RGB", (width, height))
        known: list[F32] = []
        kind = i % 5
        if kind == 0:
            _paste(canvas, groups[i // 5 % len(groups)], (0, 0, width, height), None, known)
        elif kind == 1:
            _paste(canvas, people[rng.integers(len(people))], (0, 0, width, height), native, known)
        else:
            side = 2 * TILE if kind == 2 else TILE
            for x in range(0, width, side):
                for y in range(0, height, side):
                    for tile in _quartered((x, y, min(x + side, width), min(y + side, height)), rng):
                        pool = lfw if rng.random() < 0.5 or tile[2] - tile[0] < TILE // 2 else people
                        _paste(canvas, pool[rng.integers(len(pool))], tile, native, known)
        pixels = np.asarray(canvas) + rng.normal(0, NOISE, (height, width, 1)).astype(np.float32)
        photo = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        exif = Image.Exif()
        if i % 8 == 7:
            photo = photo.transpose(Image.Transpose.ROTATE_90)
            exif[0x0112] = 6
        path = into / f"{i:03}.jpg"
        photo.save(path, quality=QUALITY, subsampling="4:2:0", exif=exif)
        made.append(Made(path, np.concatenate([np.empty((0, 4), np.float32), *known])))
    return made


def _quartered(tile: tuple[int, int, int, int], rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    x1, y1, x2, y2 = tile
    if x2 - x1 < TILE // 2 or rng.random() < 0.7:
        return [tile]
    x, y = (x1 + x2) // 2, (y1 + y2) // 2
    quarters = [(x1, y1, x, y), (x, y1, x2, y), (x1, y, x, y2), (x, y, x2, y2)]
    return [part for quarter in quarters for part in _quartered(quarter, rng)]


def _paste(
    canvas: Image.Image,
    source: Path,
    tile: tuple[int, int, int, int],
    recogniser: Recogniser | None,
    known: list[F32],
) -> None:
    """Fill a tile with a photo's middle; note the place of its largest face, if one is found there."""
    data = source.read_bytes()
    photo = images.decode(data, source)
    width, height = tile[2] - tile[0], tile[3] - tile[1]
    scale = max(width / photo.width, height / photo.height)
    left, top = (photo.width - width / scale) / 2, (photo.height - height / scale) / 2
    left, top = max(0.0, left), max(0.0, top)
    region = (left, top, min(left + width / scale, photo.width), min(top + height / scale, photo.height))
    image = Image.fromarray(photo.image)
    canvas.paste(image.resize((width, height), Image.Resampling.LANCZOS, region), tile[:2])
    if recogniser is None:
        return
    boxes = recogniser.find([LoadedPhoto(data, str(source), photo, 1)])[0].boxes
    if len(boxes):
        box = boxes[sides(boxes).argmax()]
        whole = (box - np.array([left, top] * 2)) * scale
        inside = (whole[:2] >= 0).all() and whole[2] <= width and whole[3] <= height
        if inside and sides(whole[None])[0] >= MIN_FACE:
            known.append((whole + np.array(tile[:2] * 2))[None].astype(np.float32))


@dataclass
class Side:
    """What one way of looking took and found."""

    name: str
    wall: list[float]  # of each block, a photo
    cpu: list[float]
    boxes: dict[Path, F32]

    @classmethod
    def named(cls, name: str) -> Side:
        return cls(name, [], [], {})

    def add(self, block: Sequence[Made], wall: float, cpu: float) -> None:
        self.wall.append(wall / len(block))
        self.cpu.append(cpu / len(block))

    def facts(self) -> dict[str, float]:
        return {
            "wall_ms_per_photo": round(1e3 * median(self.wall), 1),
            "cpu_ms_per_photo": round(1e3 * median(self.cpu), 1),
        }


def look(
    side: Side, recogniser: Recogniser, block: Sequence[Made], pool: ThreadPoolExecutor, take: Take
) -> None:
    """Ours over a block of photos."""

    def one(made: Made) -> tuple[Path, F32]:
        shot = take(images.read(made.path), str(made.path))
        (found,) = recogniser.find([shot])
        x, y = shot.photo.scale
        return made.path, found.scaled((1 / x, 1 / y)).boxes

    wall, cpu = time.perf_counter(), time.process_time()
    side.boxes.update(pool.map(one, block))
    side.add(block, time.perf_counter() - wall, time.process_time() - cpu)


Take = Callable[[bytes, str], LoadedPhoto]


def ask(side: Side, peer: FacenetPeer, block: Sequence[Made], threads: int, threshold: float) -> None:
    """The peer over a block of photos; of its faces those count that `index` would count."""
    wall = cpu = 0.0
    for made in block:
        start = time.perf_counter(), time.process_time()
        with Image.open(made.path) as opened:
            photo = ImageOps.exif_transpose(opened).convert("RGB")
        wall += time.perf_counter() - start[0]
        cpu += time.process_time() - start[1]
        answer = peer.detect(np.asarray(photo), MIN_FACE, threads)
        wall += answer["wall"]
        cpu += answer["cpu"]
        boxes = np.asarray(answer["boxes"], np.float32).reshape(-1, 4)
        on_photo = np.minimum(boxes[:, 2:], photo.size) - np.maximum(boxes[:, :2], 0)
        visible = on_photo.clip(0).prod(axis=1) / sides(boxes) ** 2 >= VISIBLE
        side.boxes[made.path] = boxes[(np.asarray(answer["scores"]) >= threshold) & visible]
    side.add(block, wall, cpu)


def sides(boxes: F32) -> F32:
    """Side of the square of the same area, (n,)."""
    length: F32 = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return length


def share_found(wanted: dict[Path, F32], by: Side) -> dict[str, float]:
    """Share of the wanted faces of 80 px and more that a side finds."""
    overlap = np.concatenate(
        [
            overlaps(boxes[sides(boxes) >= MIN_FACE], by.boxes[path]).max(axis=1, initial=0)
            for path, boxes in wanted.items()
        ]
    )
    return {
        "faces": len(overlap),
        "iou_0.5": float((overlap >= 0.5).mean()),
        "iou_0.7": float((overlap >= 0.7).mean()),
    }


def accuracy(photos: Sequence[Made], ours: Side, others: Sequence[Side]) -> dict[str, object]:
    """Who finds whose faces, and who finds those that are known."""
    known = {made.path: made.known for made in photos}
    answers: dict[str, object] = {
        f"known faces found by {side.name}": share_found(known, side) for side in (ours, *others)
    }
    for side in others:
        answers[f"faces of {side.name} found by ours"] = share_found(side.boxes, ours)
        answers[f"faces of ours found by {side.name}"] = share_found(ours.boxes, side)
    return answers


def command(photos: Path, work: Path, runs: int) -> list[float]:
    """Seconds of ``faceindex index --min-face 80`` from its start to its end, a photo."""
    number = len(list(photos.iterdir()))
    seconds = []
    for run in range(runs):
        faceindex = [sys.executable, "-m", "faceindex", "index", "--min-face", str(MIN_FACE), "--json", "-q"]
        spent = spend([*faceindex, "--index", work / f"index{run}", photos], cwd=work)
        seconds.append(spent.wall / number)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_data_argument(parser)
    add_peers_argument(parser)
    parser.add_argument("--quick", action="store_true", help="8 photos in one block instead of 40 in five")
    options = parser.parse_args()
    peer = FacenetPeer(options.peers)
    number = BLOCK if options.quick else 5 * BLOCK
    recogniser = Recogniser.load("mtcnn", "dlib", min_face=MIN_FACE)
    threshold = recogniser.detector.spec.threshold

    def whole(data: bytes, path: str) -> LoadedPhoto:
        return LoadedPhoto(data, path, images.decode(data, path), 1)

    ours, full, ours_alone = (Side.named(name) for name in ("ours", "ours at full size", "ours, one thread"))
    theirs, theirs_alone = Side.named("facenet-pytorch"), Side.named("facenet-pytorch, one thread")
    with tempfile.TemporaryDirectory(prefix="faceindex-large-") as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        torch.set_num_threads(1)
        photos = make_photos(options.data, folder, number)
        with (
            ThreadPoolExecutor(WORKERS, initializer=use_one_thread) as pool,
            ThreadPoolExecutor(1, initializer=use_one_thread) as alone,
        ):
            for some in (pool, alone):  # the first photo pays for what is made once
                look(Side.named(""), recogniser, photos[:WORKERS], some, recogniser.take)
            for threads in (0, 1):
                ask(Side.named(""), peer, photos[:1], threads, threshold)
            for start in range(0, number, BLOCK):
                block = photos[start : start + BLOCK]
                ask(theirs, peer, block, 0, threshold)
                look(ours, recogniser, block, pool, recogniser.take)
                look(full, recogniser, block, pool, whole)
                ask(theirs_alone, peer, block, 1, threshold)
                look(ours_alone, recogniser, block, alone, recogniser.take)
        peer.close()
        indexed = command(folder, Path(name), 1 if options.quick else 5)

    def ratios(slow: Side, fast: Side) -> list[float]:
        return [a / b for a, b in zip(slow.wall, fast.wall, strict=True)]

    found = accuracy(photos, ours, (theirs, full))
    for what, value in found.items():
        print(f"{what}: {value}")
    for side in (ours, full, ours_alone, theirs, theirs_alone):
        print(f"{side.name}: {side.facts()}")
    print(f"faceindex index, whole: {1e3 * median(indexed):.0f} ms a photo")
    what = "12-megapixel photos, faces >= 80 px, from file to detections: "
    targets = [
        target(4, f"{what}facenet-pytorch / ours", ratios(theirs, ours), reach=6, beyond=10, accuracy=found),
        target(4, f"{what}both with one thread", ratios(theirs_alone, ours_alone), reach=6, beyond=10),
    ]
    write_result(
        "large_photos_quick" if options.quick else "large_photos",
        {
            "seed": SEED,
            "photos": number,
            "peer": {**peer.about, **about(options.peers, "facenet-pytorch")},
            "sides": {
                side.name: {**side.facts(), "wall": side.wall, "cpu": side.cpu}
                for side in (ours, full, ours_alone, theirs, theirs_alone)
            },
            "full_size_over_ours": median(ratios(full, ours)),
            "index_command_seconds_per_photo": indexed,
            "facenet_pytorch_detection_over_index_command": median(theirs.wall) / median(indexed),
            "targets": targets,
        },
    )


if __name__ == "__main__":
    main()
