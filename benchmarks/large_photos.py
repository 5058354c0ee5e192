"""Measure the speed and the recall of detection on 12-megapixel photos.

`faceindex index --min-face 80` decodes a large JPEG at the scale that faces of 80 px need and detects them
there. This is compared, from the file to the detections, with full resolution:

- facenet-pytorch, ``MTCNN(min_face_size=80)`` on the photo that Pillow decodes and turns upright, one photo
  at a time with its default threads, as its users run it, in the environment that
  ``benchmarks/peers.py facenet-pytorch`` makes. The time excludes a stand-in for torchvision's `nms`;
- ours at full resolution; and ours with one thread, compared with the peer with one thread.

Ours runs as in `index`: one photo at a time in each of two one-thread workers. Blocks of
photos alternate between the variants. The photos, 4000 x 3000 and 3000 x 4000 px, are made from people/, lfw/
and groups/: one photo that fills the frame, or mosaics with tiles of 250 to 2000 px, enlarged (Lanczos)
where necessary, with noise, as JPEG of quality 90 with chroma at half resolution; every eighth is turned by
90 degrees and has an EXIF orientation. They come from a fixed seed and are removed afterwards::

    python benchmarks/large_photos.py [--peers DIR] [--quick]

The accuracy: the share of the faces of 80 px and more that each other variant finds and ours finds too
(IoU >= 0.5 and 0.7; faces count by the rules of `index` for the score and the share on the photo), and the
recall of each variant on faces whose position is known from the photos in the mosaics. Finally it runs the
whole command, from start to stored vectors. Writes ``results/large_photos.json``; takes about 8 minutes on
two cores.
"""

from __future__ import annotations

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
from common import argument_parser, group_photos, people_photos, ratios, spend, target, write_result
from facenet_peer import FacenetPeer
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
TILE = 1000  # of a mosaic; a tile may be divided into quarters twice
NOISE = 4.0  # grey levels, standard deviation
QUALITY = 90
VISIBLE = 0.6  # least share of a face that must be on the photo; as in faceindex/recognition.py
WORKERS = 2


@dataclass(frozen=True)
class Made:
    """A photo, and the known faces on its tiles: (n, 4) boxes in its upright pixels."""

    path: Path
    known: F32


def make_photos(data: Path, into: Path, number: int) -> list[Made]:
    """Write the photos of this benchmark."""
    rng = np.random.default_rng(SEED)
    people, lfw = people_photos(data), sorted((data / "lfw").rglob("*.jpg"))
    groups = [path for path in group_photos(data) if path.suffix == ".jpg"]
    if not (lfw and groups):
        raise SystemExit(f"There are no photos in lfw/ or groups/ of {data}.")
    native = Recogniser.load("mtcnn", "dlib", min_face=20, device="cpu")
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
    """Return the tile, or at random its quarters, divided again in the same way."""
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
    """Fill a tile with the middle of a photo, and append the box of its largest face to `known`."""
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
    boxes = recogniser.detect([LoadedPhoto(data, str(source), photo, 1)])[0].boxes
    if len(boxes):
        box = boxes[sides(boxes).argmax()]
        whole = (box - np.array([left, top] * 2)) * scale
        inside = (whole[:2] >= 0).all() and whole[2] <= width and whole[3] <= height
        if inside and sides(whole[None])[0] >= MIN_FACE:
            known.append((whole + np.array(tile[:2] * 2))[None].astype(np.float32))


@dataclass
class Variant:
    """Time and detections of one way to detect the faces."""

    name: str
    wall: list[float]  # seconds per photo, by block
    cpu: list[float]
    boxes: dict[Path, F32]

    @classmethod
    def named(cls, name: str) -> Variant:
        return cls(name, [], [], {})

    def add(self, block: Sequence[Made], wall: float, cpu: float) -> None:
        self.wall.append(wall / len(block))
        self.cpu.append(cpu / len(block))

    def facts(self) -> dict[str, float]:
        return {
            "wall_ms_per_photo": round(1e3 * median(self.wall), 1),
            "cpu_ms_per_photo": round(1e3 * median(self.cpu), 1),
        }


def detect_ours(
    variant: Variant, recogniser: Recogniser, block: Sequence[Made], pool: ThreadPoolExecutor, load: Load
) -> None:
    """Run ours on a block of photos."""

    def one(made: Made) -> tuple[Path, F32]:
        loaded = load(made.path)
        (found,) = recogniser.detect([loaded])
        x, y = loaded.decoded.scale
        return made.path, found.scaled((1 / x, 1 / y)).boxes

    wall, cpu = time.perf_counter(), time.process_time()
    variant.boxes.update(pool.map(one, block))
    variant.add(block, time.perf_counter() - wall, time.process_time() - cpu)


Load = Callable[[Path], LoadedPhoto]


def load_full_size(path: Path) -> LoadedPhoto:
    data = images.read(path)
    return LoadedPhoto(data, str(path), images.decode(data, str(path)), 1)


def detect_peer(
    variant: Variant, peer: FacenetPeer, block: Sequence[Made], threads: int, threshold: float
) -> None:
    """Run the peer on a block of photos, and keep the faces that `index` would keep."""
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
        variant.boxes[made.path] = boxes[(np.asarray(answer["scores"]) >= threshold) & visible]
    variant.add(block, wall, cpu)


def sides(boxes: F32) -> F32:
    """Return (n,) the side of the square with the same area."""
    length: F32 = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return length


def share_found(wanted: dict[Path, F32], by: Variant) -> dict[str, float]:
    """Return the share of the wanted faces of 80 px and more that a variant finds."""
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


def accuracy(photos: Sequence[Made], ours: Variant, others: Sequence[Variant]) -> dict[str, object]:
    """Return the recall of each variant on known faces, and on the faces of the other variants."""
    known = {made.path: made.known for made in photos}
    found: dict[str, object] = {
        f"known faces found by {variant.name}": share_found(known, variant) for variant in (ours, *others)
    }
    for variant in others:
        found[f"faces of {variant.name} found by ours"] = share_found(variant.boxes, ours)
        found[f"faces of ours found by {variant.name}"] = share_found(ours.boxes, variant)
    return found


def command(photos: Path, work: Path, runs: int) -> list[float]:
    """Return the seconds per photo of ``faceindex index --min-face 80``, from start to end."""
    number = len(list(photos.iterdir()))
    seconds = []
    for run in range(runs):
        faceindex = [sys.executable, "-m", "faceindex", "index", "--min-face", str(MIN_FACE), "--json", "-q"]
        spent = spend([*faceindex, "--index", work / f"index{run}", photos], cwd=work)
        seconds.append(spent.wall / number)
    return seconds


def main() -> None:
    parser = argument_parser(__doc__, quick="8 photos in one block instead of 40 in five", data=True)
    add_peers_argument(parser)
    options = parser.parse_args()
    peer = FacenetPeer(options.peers)
    number = BLOCK if options.quick else 5 * BLOCK
    recogniser = Recogniser.load("mtcnn", "dlib", min_face=MIN_FACE, device="cpu")
    threshold = recogniser.detector.spec.threshold

    ours, full, ours_alone = (
        Variant.named(name) for name in ("ours", "ours at full size", "ours, one thread")
    )
    theirs, theirs_alone = (
        Variant.named(name) for name in ("facenet-pytorch", "facenet-pytorch, one thread")
    )
    variants = (ours, full, ours_alone, theirs, theirs_alone)
    with tempfile.TemporaryDirectory(prefix="faceindex-large-") as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        torch.set_num_threads(1)
        photos = make_photos(options.data, folder, number)
        with (
            ThreadPoolExecutor(WORKERS, initializer=use_one_thread) as pool,
            ThreadPoolExecutor(1, initializer=use_one_thread) as alone,
        ):
            warm_up = Variant.named("")
            for some in (pool, alone):
                detect_ours(warm_up, recogniser, photos[:WORKERS], some, recogniser.load_photo)
            for threads in (0, 1):
                detect_peer(warm_up, peer, photos[:1], threads, threshold)
            for start in range(0, number, BLOCK):
                block = photos[start : start + BLOCK]
                detect_peer(theirs, peer, block, 0, threshold)
                detect_ours(ours, recogniser, block, pool, recogniser.load_photo)
                detect_ours(full, recogniser, block, pool, load_full_size)
                detect_peer(theirs_alone, peer, block, 1, threshold)
                detect_ours(ours_alone, recogniser, block, alone, recogniser.load_photo)
        peer.close()
        indexed = command(folder, Path(name), 1 if options.quick else 5)

    found = accuracy(photos, ours, (theirs, full))
    for what, value in found.items():
        print(f"{what}: {value}")
    for variant in variants:
        print(f"{variant.name}: {variant.facts()}")
    print(f"faceindex index, start to end: {1e3 * median(indexed):.0f} ms a photo")
    what = "12-megapixel photos, faces >= 80 px, from file to detections: "
    targets = [
        target(4, f"{what}{pair}", ratios(slow.wall, fast.wall), reach=6, beyond=10, accuracy=shown)
        for pair, slow, fast, shown in (
            ("facenet-pytorch / ours", theirs, ours, found),
            ("both with one thread", theirs_alone, ours_alone, None),
        )
    ]
    write_result(
        "large_photos",
        {
            "seed": SEED,
            "photos": number,
            "peer": {**peer.about, **about(options.peers, "facenet-pytorch")},
            "sides": {
                variant.name: {**variant.facts(), "wall": variant.wall, "cpu": variant.cpu}
                for variant in variants
            },
            "full_size_over_ours": median(ratios(full.wall, ours.wall)),
            "index_command_seconds_per_photo": indexed,
            "facenet_pytorch_detection_over_index_command": median(theirs.wall) / median(indexed),
            "targets": targets,
        },
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
