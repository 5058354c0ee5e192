"""XMP of real and made files: is it read and written as ExifTool reads and writes it?

1. Every file of shared/data/formats and shared/data/orientation: the packet inside of it, and the regions of
   each schema, ours against those of ExifTool.
2. Photos that ExifTool gives regions in all schemas, in all eight orientations, as JPEG, PNG, TIFF and WebP,
   and as sidecars: the boxes on the stored picture.
3. Every packet of part 1, with two regions merged into it: ExifTool must read these, and all other properties
   as before.
4. Photos and merges per second.

ExifTool must be installed.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import PIL.Image
from common import argument_parser, write_result

from faceindex.errors import ImageError
from faceindex.images.opening import open_photo
from faceindex.interchange.regions import Box, Region
from faceindex.interchange.xmp import merge_regions, read_photo, read_sidecar, read_xmp
from faceindex.interchange.xmp_embedded import packet_in
from faceindex.interchange.xmp_regions import find_regions
from faceindex.interchange.xmp_source import FileSource
from faceindex.interchange.xmp_tree import parse_packet

CONFIG = Path("/usr/share/doc/libimage-exiftool-perl/config_files/acdsee.config.gz")
LISTS = ("PersonInImage", "TagsList", "HierarchicalSubject")
OURS = {*LISTS, "RegionInfo", "RegionInfoMP", "LastKeywordXMP"}
BOX = (0.1, 0.2, 0.3, 0.5)
SIZE = (400, 300)
ADDED = [Region((0.31, 0.11, 0.42, 0.27), "Zoë & <Ä>"), Region((0.71, 0.52, 0.83, 0.66), "محمد")]


def exiftool(*arguments: object, config: Path | None = None) -> bytes:
    """Run ExifTool and return what it prints; it ends with 1 if one of the files is damaged."""
    start = ["exiftool", *(["-config", str(config)] if config else [])]
    return subprocess.run([*start, *map(str, arguments)], capture_output=True, check=False).stdout


def read_all(paths: Sequence[Path], config: Path | None) -> dict[str, dict[str, Any]]:
    """Return ExifTool's values of all XMP properties by the files."""
    printed = exiftool(
        "-json",
        "-struct",
        "-n",
        "-G0:1",
        "-m",
        "-XMP:all",
        "-charset",
        "filename=utf8",
        *paths,
        config=config,
    )
    found = {}
    for document in json.loads(printed or b"[]"):
        name = document.pop("SourceFile")
        found[name] = {key.rpartition(":")[2]: value for key, value in document.items()}
    return found


def regions_of(tags: dict[str, Any]) -> Counter[tuple[str, str, tuple[float, ...]]]:
    """Return the regions of faces, (schema, name, box), in ExifTool's values."""
    found: Counter[tuple[str, str, tuple[float, ...]]] = Counter()

    def add(schema: str, name: object, x1: float, y1: float, w: float, h: float) -> None:
        if w > 0 and h > 0:
            found[schema, str(name or ""), tuple(round(value, 4) for value in (x1, y1, x1 + w, y1 + h))] += 1

    for region in as_list(tags.get("RegionInfo", {}), "RegionList"):
        area = region.get("Area", {})
        if region.get("Type", "Face") == "Face" and {"X", "Y", "W", "H"} <= set(area):
            x, y, w, h = (float(area[key]) for key in "XYWH")
            if w < 2:
                add("MWG", region.get("Name"), x - w / 2, y - h / 2, w, h)
    for region in as_list(tags.get("RegionInfoMP", {}), "Regions"):
        if "Rectangle" in region:
            add("Microsoft", region.get("PersonDisplayName"), *map(float, region["Rectangle"].split(",")))
    for region in as_list(tags.get("RegionInfoACDSee", {}), "RegionList"):
        x, y, w, h = (float(region["DLYArea"][key]) for key in "XYWH")
        add("ACDSee", region.get("Name"), x - w / 2, y - h / 2, w, h)
    for region in as_list(tags, "ImageRegion"):
        edge = region.get("RegionBoundary", {})
        if edge.get("RbShape") == "rectangle" and edge.get("RbUnit") == "relative" and "RCtype" not in region:
            add("IPTC", region.get("Name"), *(float(edge[f"Rb{key}"]) for key in "XYWH"))
    return found


def as_list(holder: Any, key: str) -> list[dict[str, Any]]:
    """Return a list that may be a single value, or missing."""
    value = holder.get(key, []) if isinstance(holder, dict) else []
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def packet_of(path: Path) -> bytes | None:
    """Return the packet of a sidecar or of a picture."""
    if path.suffix.lower() == ".xmp":
        return read_sidecar(path)
    with open_photo(path) as file:
        return packet_in(FileSource(file))


def our_regions(data: bytes, name: str) -> Counter[tuple[str, str, tuple[float, ...]]]:
    """Return the regions that we read, as `regions_of`; empty for a damaged packet."""
    try:
        found = find_regions(parse_packet(data, name, repair=True), None, name, [])
    except ImageError:
        return Counter()
    return Counter(
        (one.schema, one.name or "", tuple(round(value, 4) for value in one.box)) for one in found if one.box
    )


def files_of(data: Path, quick: bool) -> list[Path]:
    """Return the files of the data; with `quick`, five of them."""
    paths = [path for name in ("orientation", "formats") for path in sorted((data / name).rglob("*"))]
    return (
        [path for path in paths if path.is_file()][4:9]
        if quick
        else [path for path in paths if path.is_file()]
    )


def real_files(data: Path, config: Path | None, quick: bool) -> dict[str, Any]:
    """Compare the files of the data with ExifTool."""
    paths = files_of(data, quick)
    theirs = read_all(paths, config)
    tally: Counter[str] = Counter(files=len(paths))
    different = []
    for path in paths:
        packet = packet_of(path)
        tags = theirs.get(str(path), {})
        tally["with a packet"] += packet is not None
        if path.suffix.lower() != ".xmp":
            raw = exiftool("-b", "-XMP", path).strip(b"\0 \t\r\n") if tags or packet else b""
            same = raw == (packet or b"").strip(b"\0 \t\r\n")
            tally["packets the same"] += same and bool(raw)
            tally["packets different"] += not same
            if not same:
                different.append(f"{path.name}: packet of {len(packet or b'')} bytes, ExifTool's {len(raw)}")
        expected, found = regions_of(tags), our_regions(packet, path.name) if packet else Counter()
        tally["regions of ExifTool"] += expected.total()
        tally["regions of ours"] += found.total()
        tally["regions the same"] += (expected & found).total()
        if expected != found:
            different.append(f"{path.name}: {dict(expected - found)} against {dict(found - expected)}")
        if found:
            for schema in {key[0] for key in found}:
                tally[f"files with {schema}"] += 1
    print(f"real files: {dict(tally)}")
    for line in different:
        print(f"  {line}")
    return {"counts": dict(tally), "different": different}


def made_files(work: Path, config: Path | None, quick: bool) -> dict[str, Any]:
    """Have ExifTool write all schemas in all orientations, and read them."""
    x1, y1, x2, y2 = BOX
    names = {"MWG": "Anna M", "MP": "Anna P", "IPTC": "Anna I", "ACDSee": "Anna A"}
    tally: Counter[str] = Counter()
    wrong = []
    kinds = [".jpg"] if quick else [".jpg", ".png", ".tif", ".webp", ".jpg.xmp"]
    orientations = (6,) if quick else range(1, 9)
    for schema, name in names.items():
        if schema == "ACDSee" and config is None:
            continue
        for suffix in kinds:
            for orientation in orientations:
                stored = SIZE
                path = work / f"{schema}-{orientation}{suffix}"
                photo = path.with_suffix("") if suffix == ".jpg.xmp" else path
                exif = PIL.Image.Exif()
                exif[0x112] = orientation
                PIL.Image.new("RGB", stored).save(photo, exif=exif)
                x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
                dims = f"AppliedToDimensions={{W={stored[0]},H={stored[1]},Unit=pixel}}"
                area = f"X={x},Y={y},W={w},H={h}"
                face = f"Name={name},Type=Face"
                corner = f"RbX={x1 * 400},RbY={y1 * 300},RbW={w * 400},RbH={h * 300}"
                value = {
                    "MWG": f"-RegionInfo={{{dims},RegionList=[{{Area={{{area},Unit=normalized}},{face}}}]}}",
                    "MP": f"-RegionInfoMP={{Regions=[{{PersonDisplayName={name},"
                    f"Rectangle={x1}|, {y1}|, {w}|, {h}}}]}}",
                    "IPTC": f"-ImageRegion=[{{Name={name},RegionBoundary={{RbShape=rectangle,RbUnit=pixel,"
                    f"{corner}}}}}]",
                    "ACDSee": f"-RegionInfoACDSee={{{dims},RegionList=[{{DLYArea={{{area}}},{face}}}]}}",
                }[schema]
                exiftool("-q", "-overwrite_original", "-n", "-m", value, path, config=config)
                problems: list[str] = []
                found = read_photo(photo, problems=problems)
                good = (
                    [region.name for region in found.regions] == [name]
                    and near(found.regions[0].box, BOX)
                    and not problems
                )
                tally["right" if good else "wrong"] += 1
                if not good:
                    wrong.append(f"{path.name}: {found.regions} {problems}")
                path.unlink(missing_ok=True)
                photo.unlink(missing_ok=True)
    print(f"made files: {dict(tally)}")
    for line in wrong:
        print(f"  {line}")
    return {"counts": dict(tally), "wrong": wrong}


def near(a: Iterable[float], b: Box) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) < 1e-5


def written(data: Path, work: Path, config: Path | None, quick: bool) -> dict[str, Any]:
    """Merge regions into every packet, and have ExifTool read them."""
    tally: Counter[str] = Counter()
    wrong: list[str] = []
    made: list[tuple[Path, Path]] = []
    for path in files_of(data, quick):
        packet = packet_of(path)
        if packet is None:
            continue
        try:
            dimensions = read_xmp(packet, path.name).dimensions or SIZE
            new = merge_regions(packet, ADDED, dimensions=dimensions)
        except ImageError:
            tally["damaged, and refused"] += 1
            continue
        if new is None:
            raise SystemExit(f"{path}: nothing was merged.")
        again = merge_regions(new, ADDED, previous=ADDED, dimensions=dimensions)
        tally["merged"] += 1
        tally["merged again, the same"] += again is None
        target = work / f"{len(made)}.xmp"
        (work / f"{len(made)}-before.xmp").write_bytes(packet)
        target.write_bytes(new)
        made.append((path, target))
    before = read_all([work / f"{i}-before.xmp" for i in range(len(made))], config)
    after = read_all([target for _, target in made], config)
    for when, files in (
        ("before", [work / f"{i}-before.xmp" for i in range(len(made))]),
        ("after", [target for _, target in made]),
    ):
        report = exiftool("-validate", "-warning", "-a", "-q", *files).decode()
        tally[f"without a warning {when}"] = report.count(": OK")
    for i, (path, target) in enumerate(made):
        old, new_tags = before.get(str(work / f"{i}-before.xmp"), {}), after.get(str(target), {})
        rest = {key: value for key, value in old.items() if key not in OURS}
        same = all(new_tags.get(key) == value for key, value in rest.items())
        kept = not regions_of(old) - regions_of(new_tags)
        names = {region.name for region in ADDED}
        there = {key[1] for key in regions_of(new_tags) if key[0] == "MWG"} >= names and names <= set(
            new_tags.get("PersonInImage", [])
        )
        tally["other properties the same"] += same
        tally["regions of others kept"] += kept
        tally["ours read"] += there
        if not (same and kept and there):
            lost = {
                key: (rest.get(key), new_tags.get(key)) for key in rest if rest.get(key) != new_tags.get(key)
            }
            wrong.append(f"{path.name}: same {same}, kept {kept}, there {there} {str(lost)[:300]}")
    print(f"written: {dict(tally)}")
    for line in wrong:
        print(f"  {line}")
    return {"counts": dict(tally), "wrong": wrong}


def speed(data: Path, quick: bool) -> dict[str, float]:
    """Return photos and merges per second."""
    paths = sorted((data / "orientation").rglob("*.jpg"))[: 4 if quick else 99]
    repeats = 1 if quick else 20
    started = time.perf_counter()
    for _ in range(repeats):
        for path in paths:
            read_photo(path, size=(840, 700), orientation=1, problems=[])
    known = repeats * len(paths) / (time.perf_counter() - started)
    started = time.perf_counter()
    for path in paths:
        read_photo(path, problems=[])
    unknown = len(paths) / (time.perf_counter() - started)
    new = merge_regions(None, ADDED, dimensions=SIZE)
    started = time.perf_counter()
    for i in range(20 * repeats):
        merge_regions(new, [Region((0.1, 0.1, 0.2, 0.2 + i / 1e4), "A")], dimensions=SIZE)
    merges = 20 * repeats / (time.perf_counter() - started)
    print(f"{known:,.0f} photos a second, {unknown:,.0f} of unknown size; {merges:,.0f} merges a second")
    return {"photos_per_second": known, "photos_of_unknown_size": unknown, "merges_per_second": merges}


def main() -> None:
    parser = argument_parser(__doc__, quick="a few files; nothing is stored", data=True)
    options = parser.parse_args()
    if shutil.which("exiftool") is None:
        raise SystemExit("ExifTool is not installed.")
    os.environ["LC_ALL"] = "C.UTF-8"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        config = None
        if CONFIG.is_file():
            config = work / "acdsee.config"
            config.write_bytes(gzip.decompress(CONFIG.read_bytes()))
        result = {
            "real": real_files(options.data, config, options.quick),
            "made": made_files(work, config, options.quick),
            "written": written(options.data, work, config, options.quick),
            "speed": speed(options.data, options.quick),
            "exiftool": exiftool("-ver").decode().strip(),
        }
    if not options.quick:
        write_result("xmp_regions", result)


if __name__ == "__main__":
    main()
