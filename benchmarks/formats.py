"""Open every file of a collection of many cameras and programs: what opened, what did not, and why.

Each file is decoded in a child process with a timeout, as `faceindex index` decodes it. Files are counted by
format and by source: opened, opened with a note, refused by reason; and what must not be: crashes, timeouts,
other exceptions. Where exiftool is installed, the size of each photo that opened is compared with the size
and the orientation that exiftool reads. Then ``faceindex index`` runs twice over a copy of all files::

    python benchmarks/formats.py [--quick] [--data FOLDER] [--sheet FILE.png]

The files are those of formats/ and orientation/ in the shared data; XMP sidecars are left out. ``--sheet``
draws all photos that opened, upright, with their names. Writes ``results/formats.json`` and takes 2 minutes
on two cores; ``--quick`` decodes every eighth small file, runs no index and writes no result. The exit code
is 1 if something must not be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from common import argument_parser, use_weights_beside, write_result
from fuzz import Child, index_run
from PIL import Image, ImageDraw

FOLDERS = ("formats", "orientation")
LEFT_OUT = frozenset({".xmp", ".mp4"})
QUICK_EVERY, QUICK_BYTES = 8, 100_000
SECONDS = 60.0
SIDE, COLUMNS = 120, 16  # of the contact sheet
NEAR = 0.03  # by which the aspect of a preview may differ from that of the sensor


def child() -> None:
    """Decode the files named on standard input, and print one line of JSON for each."""
    from faceindex import images
    from faceindex.errors import ImageError
    from faceindex.images.thumbnails import fit

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        path, thumbnail = json.loads(line)
        began = time.monotonic()
        answer: dict[str, Any] = {}
        try:
            data = Path(path).read_bytes()
            answer["format"] = images.sniff(data)
            picture = images.read_picture(data)
            decoded = images.decode(data, path)
            answer |= {"outcome": "opened", "note": decoded.note, "orientation": picture.orientation}
            answer["size"] = [decoded.width, decoded.height]
            if thumbnail:
                Image.fromarray(fit(decoded.image, SIDE - 4)).save(thumbnail)
        except ImageError as error:
            answer |= {"outcome": "refused", "reason": error.reason.value, "detail": error.detail}
        except BaseException:
            answer |= {"outcome": "traceback", "traceback": traceback.format_exc()}
        answer["seconds"] = round(time.monotonic() - began, 3)
        print(json.dumps(answer), file=answers, flush=True)


def files_of(data: Path, quick: bool) -> list[Path]:
    """Return the files, sorted."""
    found = sorted(
        path
        for folder in FOLDERS
        for path in (data / folder).rglob("*")
        if path.is_file() and path.suffix.lower() not in LEFT_OUT
    )
    if quick:
        found = [path for path in found if path.stat().st_size <= QUICK_BYTES][::QUICK_EVERY]
    return found


def exiftool_sizes(paths: list[Path]) -> dict[str, tuple[int, int]] | None:
    """Return the upright size of each file as exiftool reads it; None if it is not installed."""
    if shutil.which("exiftool") is None:
        return None
    tags = ("-ImageSize", "-EXIF:Orientation", "-QuickTime:Rotation", "-FileType")
    done = subprocess.run(
        ["exiftool", "-j", "-n", "-q", *tags, "-@", "-"],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
    )
    found = {}
    for one in json.loads(done.stdout or "[]"):
        if "ImageSize" not in one:
            continue
        width, height = map(int, str(one["ImageSize"]).replace("x", " ").split()[:2])
        # The container turns the pictures of HEIC, AVIF and JXL; there, EXIF does not count.
        if one.get("FileType") in ("HEIC", "HEIF", "HEICS", "HEIFS", "AVIF"):
            swapped = one.get("Rotation") in (90, 270, 1, 3)
        else:
            swapped = one.get("FileType") != "JXL" and one.get("Orientation", 1) in (5, 6, 7, 8)
        found[one["SourceFile"]] = (height, width) if swapped else (width, height)
    return found


def compare(answer: dict[str, Any], expected: tuple[int, int] | None) -> str:
    """Compare the size of a photo with that of exiftool."""
    if expected is None or 0 in expected:
        return "not stated"
    width, height = answer["size"]
    if (width, height) == expected:
        return "same"
    aspect = width / height / (expected[0] / expected[1])
    if answer["format"] == "RAW" and abs(aspect - 1) < NEAR:
        return "same aspect"
    return "other"


def draw(sheet: Path, opened: list[tuple[str, Path]]) -> None:
    """Draw all photos that opened."""
    rows = -(-len(opened) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + 12)), "white")
    pen = ImageDraw.Draw(canvas)
    for number, (name, thumbnail) in enumerate(opened):
        left, top = number % COLUMNS * SIDE, number // COLUMNS * (SIDE + 12)
        with Image.open(thumbnail) as image:
            canvas.paste(image, (left + 2, top + 2))
        pen.text((left + 2, top + SIDE - 2), name[-20:], fill="black")
    canvas.save(sheet)


def open_all(
    paths: list[Path], data: Path, sheet: Path | None
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Decode all files; return the answer for each, by its name, and the faults."""
    answers: dict[str, dict[str, Any]] = {}
    faults: list[dict[str, Any]] = []
    opened: list[tuple[str, Path]] = []
    with tempfile.TemporaryDirectory(prefix="faceindex-formats-") as folder:
        decoder = Child(Path(folder) / "stderr", script=__file__, timeout=SECONDS)
        try:
            for number, path in enumerate(paths):
                thumbnail = Path(folder) / f"{number}.png" if sheet is not None else None
                answer = decoder.ask(path, str(thumbnail) if thumbnail else None)
                name = path.relative_to(data).as_posix()
                answers[name] = answer
                if answer["outcome"] not in ("opened", "refused"):
                    faults.append({"file": name, **answer})
                    print(json.dumps(faults[-1]), flush=True)
                elif answer["outcome"] == "opened" and thumbnail is not None:
                    opened.append((path.name, thumbnail))
        finally:
            decoder.close()
        if sheet is not None:
            draw(sheet, opened)
    return answers, faults


def count(answers: dict[str, dict[str, Any]], key: str) -> dict[str, dict[str, int]]:
    """Count the outcomes by the format or the source of the files."""
    counts: dict[str, Counter[str]] = {}
    for name, answer in answers.items():
        group = answer.get("format") or "none" if key == "format" else "/".join(name.split("/")[:2])
        outcome = answer["outcome"]
        if outcome == "refused":
            outcome = f"refused: {answer['reason']}"
        counts.setdefault(group, Counter())[outcome] += 1
        counts[group]["with a note"] += bool(answer.get("note"))
    return {group: dict(+counter) for group, counter in sorted(counts.items())}


def index_all(paths: list[Path], data: Path) -> dict[str, Any]:
    """Run ``faceindex index`` twice over copies of all files."""
    with tempfile.TemporaryDirectory(prefix="faceindex-formats-") as folder:
        photos = Path(folder) / "photos"
        for path in paths:
            copy = photos / path.relative_to(data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        return index_run(photos, Path(folder))


def main() -> int:
    """Run the benchmark; return 1 if something must not be."""
    parser = argument_parser(__doc__, quick="every eighth small file, no run of index", data=True)
    parser.add_argument("--sheet", type=Path, help="a picture of all photos that opened")
    parser.add_argument("--child", action="store_true", help="for this script itself")
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return 0
    use_weights_beside(arguments.data)
    paths = files_of(arguments.data, arguments.quick)
    if not paths:
        raise SystemExit(f"There are no files in {arguments.data / FOLDERS[0]}.")
    began = time.monotonic()
    answers, faults = open_all(paths, arguments.data, arguments.sheet)
    result: dict[str, Any] = {
        "files": len(answers),
        "opened": sum(answer["outcome"] == "opened" for answer in answers.values()),
        "by_format": count(answers, "format"),
        "by_source": count(answers, "source"),
        "refused": [
            {"file": name, "reason": answer["reason"], "detail": answer["detail"]}
            for name, answer in answers.items()
            if answer["outcome"] == "refused"
        ],
        "notes": {name: answer["note"] for name, answer in answers.items() if answer.get("note")},
    }
    sizes = None if arguments.quick else exiftool_sizes(paths)
    if sizes is not None:
        compared: Counter[str] = Counter()
        differing = {}
        for name, answer in answers.items():
            if answer["outcome"] == "opened":
                expected = sizes.get(str(arguments.data / name))
                outcome = compare(answer, expected)
                compared[outcome] += 1
                if outcome == "other":
                    differing[name] = {"here": answer["size"], "exiftool": expected}
        result["sizes"] = {"compared with exiftool": dict(compared), "other": differing}
    if not arguments.quick:
        result["index"] = index_all(paths, arguments.data)
        if result["index"]["fault"] is not None:
            faults.append({"file": "index", **result["index"]})
    result["seconds"] = round(time.monotonic() - began, 1)
    result["must_not_be"], result["faults"] = len(faults), faults
    print(json.dumps(result, indent=2))
    if not arguments.quick:
        write_result("formats", result)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
