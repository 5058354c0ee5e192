"""Measure which people of a video are found, and how fast, against searching every frame of it.

The videos are the clips of videos/, and some that this script makes from photos of people/ and diverse/, with
the camera moving over each photo:

- ``shots``: 1,280 x 720, a person a shot, 0.6 to 4 s, a key frame at each cut (x264's default);
- ``phone``: 1,080 x 1,920 stored sideways, frames at varying times, a key frame a second, two people a shot;
- ``stream``: as ``shots``, but key frames ten seconds apart, never at a cut;
- ``group``: 1,920 x 1,080, the camera pans over group photos.

Ways to search a video:

- ``index``: as `faceindex index` does, at several intervals; a person counts if a stored moment shows them;
- ``each second``: a frame a second, searched as a photo is;
- ``every frame``: each frame, searched as a photo is. This is what the others are compared with.

A person of a made video is found if a face is more similar to photos of that person (which are not in the
video) than to those of all others, and by more than the embedder's threshold. On clips and ``group``, where
nobody is labelled, people are the clusters of the faces of every frame, at that threshold; one is found if
a stored face is in it.

    python benchmarks/videos.py [--half tune|report] [--quick] [--data ../shared/data]

Writes ``results/videos.json``. Speeds are playing time over wall time, and over CPU time of all processes.
"""

from __future__ import annotations

import contextlib
import math
import resource
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
from common import argument_parser, use_weights_beside, write_result

from faceindex.errors import ImageError
from faceindex.images.video_file import VideoFile
from faceindex.images.video_process import SAMPLE_SIDE, VideoProcess
from faceindex.pipeline.batches import recognise_in_batches
from faceindex.pipeline.video_run import recognise_moments
from faceindex.pipeline.videos import search_video
from faceindex.recognition import Recogniser
from faceindex.types import F32, Image

SEED = 16
RATE = 25
GALLERY = 6  # photos of each person that are not in a video
INTERVALS = (1.0, 2.0)
DEFAULT = 1.0


@dataclass
class Film:
    """A video, and the names of the people in it; none where nobody is labelled."""

    path: Path
    people: set[str] = field(default_factory=set)


@dataclass
class Gallery:
    """Vectors (n, d) of photos, and the names of their people."""

    vectors: F32
    names: list[str]
    threshold: float

    def name(self, vector: F32) -> str | None:
        similarities = self.vectors @ vector
        best = int(similarities.argmax())
        return self.names[best] if similarities[best] > self.threshold else None


# Videos from photos ------------------------------------------------------------------------------


def view(photo: PIL.Image.Image, at: float, width: int, height: int) -> Image:
    """Return the part of a photo that the camera shows at a share of the shot."""
    ratio = width / height
    side = min(photo.width / ratio, photo.height) * (1 - 0.15 * at)
    left = (photo.width - side * ratio) * (0.3 + 0.4 * at)
    top = (photo.height - side) * 0.3
    box = (left, top, left + side * ratio, top + side)
    return np.asarray(photo.resize((width, height), PIL.Image.Resampling.BILINEAR, box))


def shots(
    photos: Sequence[PIL.Image.Image], seconds: Sequence[float], width: int, height: int
) -> Iterator[Image]:
    for photo, length in zip(photos, seconds, strict=True):
        number = max(1, round(length * RATE))
        for i in range(number):
            yield view(photo, i / number, width, height)


def pan(photos: Sequence[PIL.Image.Image], seconds: float, width: int, height: int) -> Iterator[Image]:
    """Move from the left to the right end of each photo."""
    for photo in photos:
        side = min(photo.height, photo.width * height / width) * 0.6
        wide = side * width / height
        for i in range(round(seconds * RATE)):
            left, top = (photo.width - wide) * i / (seconds * RATE), (photo.height - side) / 3
            box = (left, top, left + wide, top + side)
            yield np.asarray(photo.resize((width, height), PIL.Image.Resampling.BILINEAR, box))


def write(
    path: Path, frames: Iterable[Image], options: dict[str, str], times: Callable[[int], float]
) -> None:
    with av.open(str(path), "w") as container:
        stream = None
        for number, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", **options})
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.time_base, frame.pts = Fraction(1, 1000), round(1000 * times(number))
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode(None))


def turn_track(path: Path) -> None:
    """Write into a MP4 file that its pictures are to be turned clockwise by 90 degrees."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version 0: the matrix (ISO/IEC 14496-12, 8.3.2)
    struct.pack_into(">9i", data, place, 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def regular(number: int) -> float:
    return number / RATE


def irregular(number: int) -> float:
    return number / RATE + 0.012 * math.sin(number)


def make_films(people: dict[str, list[Path]], groups: list[Path], folder: Path, quick: bool) -> list[Film]:
    rng = np.random.default_rng(SEED)
    names = sorted(people)

    def cast(number: int) -> list[str]:
        return [names[i] for i in rng.permutation(len(names))[:number]]

    def photo(name: str, number: int) -> PIL.Image.Image:
        return PIL.Image.open(people[name][GALLERY + number]).convert("RGB")

    made = []
    size = (640, 360) if quick else (1280, 720)
    for kind, options in (("shots", {}), ("stream", {"g": "250", "sc_threshold": "0"})):
        shown = cast(4 if quick else 8)
        seconds = rng.uniform(0.6, 4.0, len(shown)).tolist()
        path = folder / f"{kind}.mp4"
        write(path, shots([photo(name, 0) for name in shown], seconds, *size), dict(options), regular)
        made.append(Film(path, set(shown)))
        if quick:
            return made
    pairs = [cast(2) for _ in range(4)]
    both = []
    for pair in pairs:
        ones = [photo(name, 1).resize((960, 1080)) for name in pair]
        joined = PIL.Image.new("RGB", (1080, 1920))
        for i, one in enumerate(ones):
            joined.paste(one, (60, 840 * i))
        both.append(joined)
    path = folder / "phone.mp4"
    upright = shots(both, [2.5] * len(both), 1080, 1920)
    write(path, (np.rot90(pixels) for pixels in upright), {"g": str(RATE)}, irregular)
    turn_track(path)
    made.append(Film(path, {name for pair in pairs for name in pair}))
    path = folder / "group.mp4"
    write(path, pan([PIL.Image.open(one).convert("RGB") for one in groups], 5.0, 1920, 1080), {}, regular)
    made.append(Film(path))
    return made


# Ways to search ----------------------------------------------------------------------------------


@dataclass
class Found:
    """The faces (n, d) that a way stores, of how many frames, and its cost in seconds."""

    vectors: F32
    frames: int
    wall: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """The result of one way on one video; people of those that every frame shows."""

    video: str
    seconds: float
    way: str
    people: int
    of: int
    searched: int
    kept: int
    faces: int
    wall: float
    cpu: float


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def stacked(parts: list[F32], dimension: int) -> F32:
    return np.concatenate([np.empty((0, dimension), np.float32), *parts])


@contextlib.contextmanager
def timed(spent: list[float]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    yield
    spent += [time.perf_counter() - wall, cpu_seconds() - cpu]


def by_index(path: Path, recogniser: Recogniser, interval: float) -> tuple[Found, int, float]:
    spent: list[float] = []
    with timed(spent), VideoProcess() as process:
        about = process.about(path)
        searched = search_video(process, str(path), recogniser, about, interval=interval)
        assert searched is not None
        outcomes = recognise_moments(process, str(path), searched, recogniser) or []
    faces = [outcome.result.vectors for outcome in outcomes if not isinstance(outcome.result, ImageError)]
    vectors = stacked(faces, recogniser.embedder.spec.dimension)
    kept = sum(len(one) > 0 for one in faces)
    return Found(vectors, kept, *spent), searched.samples, about.milliseconds / 1000


@dataclass(frozen=True)
class Frame:
    name: str
    pixels: Image
    at_once = True

    def read(self) -> Image:
        return self.pixels


def naive(path: Path, recogniser: Recogniser, interval: float) -> Found:
    """Decode all frames, and search one in each interval as a photo."""

    def frames() -> Iterator[Frame]:
        with path.open("rb") as file, VideoFile(file, 2) as video:
            due = 0
            for frame in video.container.decode(video.stream):
                at = video.milliseconds_of(frame.pts)
                if at is not None and at >= due:
                    due = at + round(interval * 1000)
                    yield Frame(f"{path.name} {at}", video.upright(frame, SAMPLE_SIDE))

    spent: list[float] = []
    faces, number = [], 0
    with timed(spent):
        for outcomes in recognise_in_batches(frames(), recogniser):
            number += len(outcomes)
            faces += [
                outcome.result.vectors for outcome in outcomes if not isinstance(outcome.result, ImageError)
            ]
    return Found(stacked(faces, recogniser.embedder.spec.dimension), number, *spent)


def clusters_of(vectors: F32, threshold: float) -> list[F32]:
    """Return the groups of faces of every frame, by single links, with three faces or more."""
    label = np.arange(len(vectors))
    linked = vectors @ vectors.T > threshold
    for i in range(len(vectors)):
        mine = np.unique(label[linked[i]])
        label[np.isin(label, mine)] = mine[0]
    return [vectors[label == one] for one in np.unique(label) if (label == one).sum() >= 3]


def people_in(found: Found, film: Film, gallery: Gallery, known: list[F32]) -> set[str]:
    if film.people:
        return {name for vector in found.vectors if (name := gallery.name(vector))} & film.people
    return {
        str(number)
        for number, group in enumerate(known)
        if len(found.vectors) and float((found.vectors @ group.T).max()) > gallery.threshold
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="one small video; no clips", data=True)
    parser.add_argument("--half", choices=("tune", "report"), default="report", help="half of the people")
    arguments = parser.parse_args()
    data: Path = arguments.data
    use_weights_beside(data)
    folders = sorted([*(data / "people").iterdir(), *(data / "diverse").glob("*/*")])
    half = [folder for folder in folders if folder.is_dir()][arguments.half == "report" :: 2]
    people = {
        folder.name: sorted(p for p in folder.iterdir() if p.is_file())[: GALLERY + 2] for folder in half
    }
    people = {name: photos for name, photos in people.items() if len(photos) == GALLERY + 2}
    if arguments.quick:
        people = dict(list(people.items())[:5])
    recogniser = Recogniser.load()
    calibration = recogniser.embedder.spec.calibration
    assert calibration is not None
    threshold = calibration.threshold(50)
    vectors, names = [], []
    for name, photos in people.items():
        for photo in photos[:GALLERY]:
            faces = recogniser.embed(photo)
            if len(faces):
                sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1)
                vectors.append(faces.vectors[int(sides.argmax())])
                names.append(name)
    gallery = Gallery(np.stack(vectors), names, threshold)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        groups = sorted(p for p in (data / "group_photos").iterdir() if p.suffix != ".csv")[:2]
        films = make_films(people, groups, Path(folder), arguments.quick)
        if not arguments.quick:
            films += [
                Film(path)
                for path in sorted((data / "videos").glob("[dls]*__*"))
                if "sidecar" not in path.name
            ]
        heads = ("people", 8), ("searched", 8), ("kept", 5), ("faces", 6), ("x wall", 7), ("x CPU", 7)
        print(f"{'video':30} {'way':12} " + " ".join(f"{head:>{width}}" for head, width in heads))
        for film in films:
            every = naive(film.path, recogniser, 0.0)
            known = [] if film.people else clusters_of(every.vectors, threshold)
            ways: list[tuple[str, Found, int]] = [("every frame", every, every.frames)]
            second = naive(film.path, recogniser, 1.0)
            ways.append(("each second", second, second.frames))
            seconds = 0.0
            for interval in (DEFAULT,) if arguments.quick else INTERVALS:
                found, searched, seconds = by_index(film.path, recogniser, interval)
                ways.append((f"index {interval:g} s", found, searched))
            reference = people_in(every, film, gallery, known)
            for way, found, searched in ways:
                mine = people_in(found, film, gallery, known) & reference
                rows.append(
                    Row(
                        film.path.name, round(seconds, 2), way, len(mine), len(reference), searched,
                        found.frames, len(found.vectors), round(found.wall, 3), round(found.cpu, 3),
                    )
                )  # fmt: skip
                speeds = f"{seconds / found.wall:>7.1f} {seconds / found.cpu:>7.1f}"
                share = f"{len(mine):>4}/{len(reference):<3} {searched:>8} {found.frames:>5}"
                print(
                    f"{film.path.name[:30]:30} {way:12} {share} {len(found.vectors):>6} {speeds}", flush=True
                )
    totals: dict[str, dict[str, float]] = {}
    for row in rows:
        total = totals.setdefault(
            row.way, dict.fromkeys(("people", "of", "faces", "seconds", "wall", "cpu"), 0.0)
        )
        for key in total:
            total[key] += getattr(row, key)
    for way, total in totals.items():
        total["times_playing_time"] = round(total["seconds"] / total["wall"], 2)
        total["times_playing_time_a_core"] = round(total["seconds"] / total["cpu"], 2)
        print(f"{'all':30} {way:12} {total}")
    name = "videos" if arguments.half == "report" else "videos_tune"
    payload = {
        "seed": SEED,
        "half": arguments.half,
        "totals": totals,
        "videos": [asdict(row) for row in rows],
    }
    write_result(name, payload, quick=arguments.quick)


if __name__ == "__main__":
    main()
