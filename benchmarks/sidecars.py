"""Names to sidecars and back: do the same faces get the same names, and what does a photo cost?

1. Copies of photos of shared/data/people and group_photos, every other one with another EXIF orientation, are
   indexed. Each face gets a name of its own, all are written to sidecars, and a fresh index of the photos
   reads them. The share of faces with the same name there must be 1. ExifTool must read the same names at
   the same places, and a second writing must write nothing.
2. Made-up small photos with a face each: seconds to write all sidecars, to write them again (nothing
   changes), to read them into a fresh index, and to read them again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
import PIL.Image
from common import argument_parser, people_photos, use_weights_beside, write_result

from faceindex import FaceIndex
from faceindex.images import content_hash, read_picture
from faceindex.orientation import to_stored
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import Faces

MADE_UP = 50_000
PER_FOLDER = 1_000
PHOTOGRAPHS = 160


def copy_photos(data: Path, folder: Path, number: int) -> None:
    """Copy photos, and set the orientation of every other JPEG with ExifTool, without touching its pixels."""
    people = people_photos(data)
    groups = sorted((data / "group_photos").glob("*.jpg"))
    chosen = people[:: max(1, 2 * len(people) // number)] + groups[:: max(1, 2 * len(groups) // number)]
    folder.mkdir()
    turned: dict[int, list[str]] = {}
    for i, path in enumerate(chosen):
        copy = folder / f"{i:04d}{path.suffix.lower()}"
        shutil.copyfile(path, copy)
        if i % 2 and copy.suffix in (".jpg", ".jpeg"):
            turned.setdefault(1 + i // 2 % 8, []).append(str(copy))
    for orientation, names in turned.items():
        command = ["exiftool", "-q", "-m", "-overwrite_original", "-n", f"-Orientation={orientation}", *names]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)


def exiftool_regions(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return the boxes of the regions that ExifTool reads from sidecars, by photo and name."""
    command = ["exiftool", "-json", "-struct", "-n", "-ext", "xmp", "-RegionInfo", str(folder)]
    printed = subprocess.run(command, capture_output=True, check=True).stdout
    found: dict[str, dict[str, list[float]]] = {}
    for entry in json.loads(printed):
        regions: list[Any] = entry["RegionInfo"]["RegionList"]
        photo = Path(entry["SourceFile"]).name.removesuffix(".xmp")
        for region in regions:
            area = {key: float(region["Area"][key.upper()]) for key in "xywh"}
            x, y, w, h = (area[key] for key in "xywh")
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            found.setdefault(photo, {})[str(region["Name"])] = box
    return found


def round_trip(data: Path, work: Path, number: int) -> dict[str, object]:
    """Write names, and read them into a fresh index."""
    album = work / "album"
    copy_photos(data, album, number)
    with FaceIndex.create(work / "first") as index:
        index.add(album)
        index.cluster()
        names = {face.face: f"Person {face.face}" for face in index}
        index.people.name_many(faces=names)
        written = index.sidecars.write()
        again = index.sidecars.write()
        wanted = {(Path(face.path).name, names[face.face]): face.box for face in index}
        records = {Path(r.relpath).name: r for r in index._store.photos().values()}
    right = {}
    for (photo, name), box in wanted.items():
        record = records[photo]
        sides = np.array([record.width, record.height] * 2, np.float32)
        stored = to_stored(np.array([box], np.float32) / sides, np.array([record.orientation]))[0]
        right[photo, name] = np.clip(stored, 0, 1)
    read_by_tool = exiftool_regions(album)
    same_there = sum(
        bool(name in read_by_tool.get(photo, {}) and np.abs(read_by_tool[photo][name] - box).max() < 2e-6)
        for (photo, name), box in right.items()
    )
    with FaceIndex.create(work / "second") as index:
        index.add(album)
        report = index.sidecars.read()
        index.cluster()
        found = {(Path(face.path).name, str(face.person)): face.box for face in index}
        last = index.sidecars.read()
        silent = index.sidecars.write()
    same = sum(found.get(key) == box for key, box in wanted.items())
    return {
        "photos": len(records),
        "orientations": sorted({int(r.orientation) for r in records.values()}),
        "faces": len(wanted),
        "files written": written.written,
        "files written again": again.written + silent.written,
        "regions of exiftool that are right": same_there,
        "named in the fresh index": report.imported.named,
        "added there": report.imported.added,
        "same name on the same face": same,
        "decisions of a second reading": int(last.imported.decision is not None),
    }


@contextmanager
def made_up_index(directory: Path, album: Path, number: int) -> Iterator[FaceIndex]:
    """Index the photos of `album`, which is made if it is not there, without models."""
    from fakes import DIMENSION

    with Store.create(directory, Pins("fake", "fake", DIMENSION, {"min_face": 20.0})) as store:
        root = store.add_root(str(album), str(album)).id
        rng = np.random.default_rng(0)
        for start in range(0, number, PER_FOLDER):
            folder = album / f"{start // PER_FOLDER:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            photos = []
            for i in range(start, min(number, start + PER_FOLDER)):
                path = folder / f"{i:06d}.jpg"
                if not path.exists():
                    picture = PIL.Image.new("RGB", (64, 48), (i % 256, i // 256 % 256, 99))
                    picture.putpixel((0, 0), (255 - i % 256, i // 256 % 256, i % 199))
                    picture.save(path, "JPEG")
                data = path.read_bytes()
                vector = rng.standard_normal((1, DIMENSION)).astype(np.float32)
                vector /= np.linalg.norm(vector)
                one = np.ones(1, np.float32)
                box = np.array([[10, 10, 30, 34]], np.float32)
                faces = Faces(box, np.full((1, 5, 2), np.nan, np.float32), one, vector, one, one)
                photos.append(
                    NewPhoto(
                        root, f"{folder.name}/{path.name}", len(data), path.stat().st_mtime_ns,
                        content_hash(data), 64, 48, faces=faces, picture=read_picture(data).hash,
                    )
                )  # fmt: skip
            store.commit(photos)
    with FaceIndex.open(directory, write=True) as index:
        yield index


def timed(what: str, number: int, seconds: dict[str, float], start: float) -> None:
    """Keep, and print, the milliseconds for a photo since `start`."""
    seconds[what] = round((time.perf_counter() - start) / number * 1e3, 3)
    print(f"  {what}: {seconds[what]} ms a photo")


def cost(work: Path, number: int) -> dict[str, float]:
    """Measure the cost of a photo in milliseconds."""
    from fakes import register_fakes

    from faceindex.models import registry

    album, cost_of = work / "many", dict[str, float]()
    with registry.isolated():
        register_fakes()
        with made_up_index(work / "many-1", album, number) as index:
            start = time.perf_counter()
            assert index.sidecars.read().photos == number
            timed("reading without any XMP", number, cost_of, start)
            index.cluster("chinese-whispers")
            index.people.name_many(
                faces={face: f"Person {face % 500}" for face in index.table().face.tolist()}
            )
            start = time.perf_counter()
            report = index.sidecars.write()
            timed("writing", number, cost_of, start)
            assert report.written == number, report
            start = time.perf_counter()
            assert index.sidecars.write().written == 0
            timed("writing again", number, cost_of, start)
        with made_up_index(work / "many-2", album, number) as index:
            start = time.perf_counter()
            read = index.sidecars.read()
            timed("reading into a fresh index", number, cost_of, start)
            assert read.imported.named == number, read
            start = time.perf_counter()
            assert index.sidecars.read().unchanged == number
            timed("reading again", number, cost_of, start)
    return cost_of


def main() -> None:
    """Run both parts."""
    parser = argument_parser(__doc__, quick="few photos, and no photographs", data=True)
    parser.add_argument("--photos", type=int, default=MADE_UP, help="made-up photos of part 2")
    parser.add_argument("--photographs", type=int, default=PHOTOGRAPHS, help="photographs of part 1")
    arguments = parser.parse_args()
    use_weights_beside(arguments.data)
    work = Path(tempfile.mkdtemp(prefix="sidecars-"))
    try:
        number = 40 if arguments.quick else arguments.photos
        payload: dict[str, object] = {"made-up photos": number, "ms a photo": cost(work, number)}
        if not arguments.quick:
            trip = round_trip(arguments.data, work, arguments.photographs)
            print(trip)
            payload["round trip"] = trip
            if (
                not trip["faces"]
                == trip["same name on the same face"]
                == trip["regions of exiftool that are right"]
            ):
                raise SystemExit("Names were lost.")
        write_result("sidecars", payload, quick=arguments.quick)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
