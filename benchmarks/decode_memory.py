"""Measure the memory that decoding takes, for each format, mode and compression, and for crafted files.

Each photo is decoded in a process of its own, at full scale and at a quarter of its sides. Its peak of
resident memory, less what the process has before, is compared with the estimate of
`faceindex.images.estimate.decode_bytes`, by which `faceindex.images.limits` refuses a photo before it is
decoded. From the estimate follows the largest photo of each kind that is decoded within 1 GiB. Files made to
take memory or time must be refused, or be decoded within 1 GiB::

    python benchmarks/decode_memory.py [--quick]

The photos are synthetic, 24 megapixels (``--quick``: some kinds, 4 megapixels, no result file), made in a
temporary folder and removed afterwards. Writes ``results/decode_memory.json``, and takes 4 minutes on two
cores. Needs Linux. Kinds for which no encoder is installed are left out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import argument_parser, write_result
from PIL import Image, ImageCms, features

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from raw_files import jpeg, raw_file

from faceindex import images
from faceindex.errors import ImageError
from faceindex.images.coded import coded_picture
from faceindex.images.estimate import decode_bytes
from faceindex.images.limits import DECODE_BYTES
from faceindex.images.openers import opener_for

SIZE, QUICK_SIZE = (6000, 4000), (2400, 1700)
QUICK = (
    "JPEG",
    "JPEG progressive",
    "PNG palette, transparent",
    "PNG grey 16",
    "TIFF float",
    "WebP",
    "RAW, preview",
)
TOLERANCE = 1.1  # a peak may be as much above the estimate...
SLACK = 6 << 20  # ...and this, for what libraries load at their first use
SHRINKS = (1, 4)
GIB, MIB = 1 << 30, 1 << 20

Make = Callable[[Path], None]


def make_files(size: tuple[int, int], quick: bool, only: str, folder: Path) -> None:
    """Write photos of all kinds and crafted files, named by their numbers, and the names of the kinds.

    It runs in a process of its own. The processes that measure are copies of this one: memory that it had
    used and freed would hide what they take.
    """
    made = [
        (kind, make) for kind, make in kinds(size).items() if only in kind and (not quick or kind in QUICK)
    ]
    for number, (_, make) in enumerate(made):
        make(folder / str(number))
    files = {} if only else crafted(quick)
    for number, content in enumerate(files.values(), len(made)):
        with (folder / str(number)).open("wb") as file:
            file.write(b"\xff\xd8\xff\xe0" if isinstance(content, int) else content)
            file.truncate(content if isinstance(content, int) else None)
    names = [[kind for kind, _ in made], list(files)]
    (folder / "names").write_text(json.dumps(names), encoding="utf-8")


def in_child(work: Callable[[], None]) -> None:
    """Run a function in a new process; end the program if it fails."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("The files could not be made.")


def kinds(size: tuple[int, int]) -> dict[str, Make]:
    """Return a function for each kind of file that writes a photo of that size."""
    width, height = size
    grey = np.zeros((height, width), np.uint8)
    grey[::7], grey[:, ::13] = 100, 33
    plane = Image.fromarray(grey)
    modes = {
        "L": plane,
        "RGB": Image.merge("RGB", [plane, plane.transpose(Image.Transpose.ROTATE_180), plane]),
    }
    modes["RGBA"] = modes["RGB"].copy()
    modes["RGBA"].putalpha(plane)
    modes["LA"] = Image.merge("LA", [plane, plane])
    modes["P"], modes["CMYK"], modes["1"] = (
        plane.convert("P"),
        modes["RGB"].convert("CMYK"),
        plane.convert("1"),
    )
    modes["F"] = Image.fromarray(grey.astype(np.float32) / 255)
    modes["I"] = Image.fromarray(grey.astype(np.int32))
    modes["I;16"] = Image.fromarray(grey.astype(np.uint16) * 256)

    def save(mode: str, image_format: str, **options: object) -> Make:
        return lambda path: modes[mode].save(path, image_format, **options)

    def png_16(colour: int, samples: int, interlaced: int = 0) -> Make:
        def write(path: Path) -> None:
            rows = np.repeat(grey.astype(">u2") * 256, samples, axis=1)
            content = b"".join(b"\0" + row.tobytes() for row in rows)
            path.write_bytes(png(width, height, 16, colour, zlib.compress(content, 1), interlaced))

        return write

    def lab(path: Path) -> None:
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(*profiles, "RGB", "LAB")
        converted = ImageCms.applyTransform(modes["RGB"], transform)
        assert converted is not None
        converted.save(path, "TIFF", compression="tiff_lzw")

    def heic_10(path: Path) -> None:
        import pillow_heif

        rows = np.repeat(grey.astype(np.uint16)[:, :, None] * 256, 3, axis=2)
        file = pillow_heif.from_bytes("RGB;16", size, rows.tobytes())
        file.save(path, quality=30, chroma=444)

    def raw(kind: str, preview: bytes | None) -> Make:
        def write(path: Path) -> None:
            path.write_bytes(raw_file(kind, preview, sensor=size))

        return write

    def jxl_of_jpeg(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            modes["RGB"].save(Path(folder) / "a.jpg", quality=85)
            with Image.open(Path(folder) / "a.jpg") as opened:
                opened.save(path, "JXL", lossless_jpeg=True, effort=3)

    lzw, one_strip = {"compression": "tiff_lzw"}, {"strip_size": width * height * 4}
    made: dict[str, Make] = {
        "JPEG": save("RGB", "JPEG", quality=85),
        "JPEG 4:4:4": save("RGB", "JPEG", quality=85, subsampling=0),
        "JPEG progressive": save("RGB", "JPEG", quality=85, progressive=True),
        "JPEG progressive 4:4:4": save("RGB", "JPEG", quality=85, subsampling=0, progressive=True),
        "JPEG grey progressive": save("L", "JPEG", progressive=True),
        "JPEG CMYK": save("CMYK", "JPEG"),
        "JPEG CMYK progressive": save("CMYK", "JPEG", progressive=True),
        "PNG": save("RGB", "PNG", compress_level=1),
        "PNG grey": save("L", "PNG", compress_level=1),
        "PNG bilevel": save("1", "PNG"),
        "PNG palette": save("P", "PNG", compress_level=1),
        "PNG palette, transparent": save("P", "PNG", compress_level=1, transparency=3),
        "PNG colour key": save("RGB", "PNG", compress_level=1, transparency=(0, 0, 0)),
        "PNG RGBA": save("RGBA", "PNG", compress_level=1),
        "PNG grey alpha": save("LA", "PNG", compress_level=1),
        "PNG grey 16": save("I;16", "PNG", compress_level=1),
        "PNG 16": png_16(2, 3),
        "PNG RGBA 16": png_16(6, 4),
        "TIFF": save("RGB", "TIFF"),
        "TIFF LZW": save("RGB", "TIFF", **lzw),
        "TIFF deflate, one strip": save("RGB", "TIFF", compression="tiff_adobe_deflate", **one_strip),
        "TIFF JPEG": save("RGB", "TIFF", compression="jpeg"),
        "TIFF RGBA": save("RGBA", "TIFF", **lzw),
        "TIFF CMYK": save("CMYK", "TIFF", **lzw),
        "TIFF palette": save("P", "TIFF", **lzw),
        "TIFF Lab": lab,
        "TIFF bilevel": save("1", "TIFF", compression="group4"),
        "TIFF grey 16": save("I;16", "TIFF", **lzw),
        "TIFF integer": save("I", "TIFF", **lzw),
        "TIFF float": save("F", "TIFF", **lzw),
        "TIFF float, plain": save("F", "TIFF"),
        "BMP": save("RGB", "BMP"),
        "GIF": save("P", "GIF"),
        "GIF, transparent": save("P", "GIF", transparency=3),
    }
    if features.check("webp"):
        made["WebP"] = save("RGB", "WEBP", quality=60, method=0)
        made["WebP alpha"] = save("RGBA", "WEBP", quality=60, method=0)
        made["WebP lossless"] = save("RGB", "WEBP", lossless=True, quality=0, method=0)
    if features.check("avif"):
        made["AVIF"] = save("RGB", "AVIF", speed=10)
        made["AVIF 4:4:4"] = save("RGB", "AVIF", speed=10, subsampling="4:4:4")
        made["AVIF alpha"] = save("RGBA", "AVIF", speed=10)
    try:
        import pillow_heif
    except ImportError:
        return made
    pillow_heif.register_heif_opener()
    made["HEIC"] = save("RGB", "HEIF", quality=30)
    made["HEIC alpha"] = save("RGBA", "HEIF", quality=30)
    made["HEIC 10 bits 4:4:4"] = heic_10
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401 - registers the format

        made["JPEG XL"] = save("RGB", "JXL", effort=3)
        made["JPEG XL alpha"] = save("RGBA", "JXL", effort=3)
        made["JPEG XL lossless"] = save("RGB", "JXL", lossless=True, effort=1)
        made["JPEG XL grey 16"] = save("I;16", "JXL", lossless=True, effort=1)
        made["JPEG XL of a JPEG"] = jxl_of_jpeg
    made["RAW, preview"] = raw("NEF", jpeg(*size))
    made["RAW, sensor data"] = raw("DNG", None)
    return made


def png(width: int, height: int, bits: int, colour: int, content: bytes, interlaced: int = 0) -> bytes:
    """Return a PNG with compressed rows."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return (
            struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def zeros(size: int) -> bytes:
    """Return so many zeros, deflated, without holding them."""
    packer = zlib.compressobj(9)
    block = bytes(MIB)
    parts = [packer.compress(block) for _ in range(size // MIB)]
    return b"".join([*parts, packer.compress(bytes(size % MIB)), packer.flush()])


def tiff(width: int, height: int, content: bytes, *tags: tuple[int, int]) -> bytes:
    """Return a TIFF with one strip, compressed by deflate."""
    values = {
        256: width,
        257: height,
        259: 8,
        262: 1,
        273: 8,
        277: 1,
        278: height,
        279: len(content),
        **dict(tags),
    }
    content += b"\0" * (len(content) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory


def crafted(quick: bool) -> dict[str, bytes | int]:
    """Return files that are made to take memory or time; an int is the size of a sparse JPEG."""
    side = 2000 if quick else 17000
    stream = io.BytesIO()
    Image.new("RGB", (1000, 1000) if quick else (4800, 4800), (90, 80, 70)).save(
        stream, "JPEG", progressive=True
    )
    jpeg = stream.getvalue()
    at = jpeg.rindex(b"\xff\xda")
    scan = jpeg[at : at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")]
    stream = io.BytesIO()
    Image.new("P", (side, side)).save(stream, "GIF")
    made: dict[str, bytes | int] = {
        "sparse JPEG of 8 GiB": 8 * GIB,
        "JPEG with 3,000 scans": jpeg[:-2] + scan * 3000 + b"\xff\xd9",
        "TIFF, float, zeros": tiff(side, side, zeros(side * side * 4), (258, 32), (339, 3)),
        "TIFF, integers, zeros": tiff(side, side, zeros(side * side * 4), (258, 32), (339, 2)),
        "TIFF, 300 megapixels stated": tiff(17320, 17320, zeros(1000), (258, 32), (339, 3)),
        "TIFF, one tag with 40 million values": many_values(400_000 if quick else 40_000_000),
        "PNG, RGBA, zeros": png(side, side, 8, 6, zeros((side * 4 + 1) * side)),
        "PNG, RGBA of 16 bits, zeros": png(side, side, 16, 6, zeros((side * 8 + 1) * side)),
        "PNG, grey, interlaced, stated only": png(17320, 17320, 8, 0, zeros(1000), 1),
        "GIF, one colour": stream.getvalue(),
        "GIF, screen of 65,535 squared": gif_screen(),
    }
    return made


def many_values(count: int) -> bytes:
    """Return a TIFF with as many strip offsets."""
    content = tiff(64, 64, zeros(64 * 64))
    start = content.index(struct.pack("<HHI", 273, 4, 1))
    entry = struct.pack("<HHII", 273, 3, count, len(content))
    return content[:start] + entry + content[start + len(entry) :] + bytes(2 * count)


def gif_screen() -> bytes:
    """Return a GIF of one pixel on the largest screen."""
    stream = io.BytesIO()
    Image.new("P", (1, 1)).save(stream, "GIF")
    content = stream.getvalue()
    return content[:6] + b"\xff\xff\xff\xff" + content[10:]


def measure(path: Path, shrink: int) -> dict[str, object]:
    """Decode a photo in a new process; return peak and estimate in bytes, seconds, and the error."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            answer = json.dumps(_decode(path, shrink)).encode()
        except BaseException as error:  # the child must not return
            answer = json.dumps({"error": repr(error), "peak": 0}).encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        return {"error": f"the process died ({os.waitstatus_to_exitcode(status)})", "peak": 0}
    found: dict[str, object] = json.loads(answer)
    return found


def _decode(path: Path, shrink: int) -> dict[str, object]:
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    began, error, reason = time.perf_counter(), None, None
    try:
        data = images.read(path)
        images.decode(data, path, shrink=shrink)
    except ImageError as caught:
        error, reason = caught.detail, caught.reason.value
    seconds, peak = time.perf_counter() - began, _memory("VmHWM") - before
    estimate = None
    if error is None:
        coded = coded_picture(data, path)
        opened = opener_for(coded.format, path)(io.BytesIO(coded.data))
        estimate = coded.beside + decode_bytes(opened, coded.data, shrink)
    return {"peak": peak, "estimate": estimate, "seconds": seconds, "error": error, "reason": reason}


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise SystemExit("This benchmark needs Linux.")


def main() -> None:
    parser = argument_parser(__doc__, quick="some kinds of photos, and small ones")
    parser.add_argument("--only", default="", help="kinds whose names have this; no result file")
    arguments = parser.parse_args()
    quick = arguments.quick
    width, height = size = QUICK_SIZE if quick else SIZE
    pixels = width * height
    rows, failures = [], 0
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'kind':26} {'full':>6} {'est.':>6} {'1/4':>6} {'est.':>6}   bytes a pixel; most megapixels")
        in_child(lambda: make_files(size, quick, arguments.only, Path(folder)))
        kind_names, crafted_names = json.loads((Path(folder) / "names").read_text(encoding="utf-8"))
        for number, kind in enumerate(kind_names):
            path = Path(folder) / str(number)
            found = [measure(path, shrink) for shrink in SHRINKS]
            if any(one["error"] for one in found):
                failures += 1
                print(f"{kind:26} {found[0]['error'] or found[1]['error']}")
                rows.append({"kind": kind, "errors": [one["error"] for one in found]})
                continue
            per_pixel = [(one["peak"] / pixels, one["estimate"] / pixels) for one in found]  # type: ignore[operator]
            within = all(one["peak"] <= TOLERANCE * one["estimate"] + SLACK for one in found)  # type: ignore[operator]
            failures += not within
            most = DECODE_BYTES / per_pixel[1][1] / 1e6
            print(
                f"{kind:26} {per_pixel[0][0]:6.1f} {per_pixel[0][1]:6.1f} {per_pixel[1][0]:6.1f} "
                f"{per_pixel[1][1]:6.1f}   {min(300, most):.0f}{'' if within else '  ABOVE THE ESTIMATE'}",
                flush=True,
            )
            rows.append(
                {"kind": kind, "bytes_per_pixel": per_pixel, "most_megapixels": most, "within": within}
            )
        print(f"\n{'crafted file':38} {'bytes':>12} {'peak MiB':>9} {'seconds':>8}  result")
        hostile = []
        for number, kind in enumerate(crafted_names, len(kind_names)):
            path = Path(folder) / str(number)
            found_one = measure(path, 4)
            peak, seconds = int(found_one["peak"]), float(found_one.get("seconds", 0))  # type: ignore[call-overload, arg-type]
            died = "reason" not in found_one
            failures += died or peak > GIB or seconds > 60
            result = found_one["error"] or "decoded"
            print(
                f"{kind:38} {path.stat().st_size:12,} {peak / MIB:9.1f} {seconds:8.2f}  {result}", flush=True
            )
            hostile.append({"kind": kind, "bytes": path.stat().st_size, **found_one})
    print(
        f"\n{len(rows)} kinds, {len(hostile)} crafted files: {failures} above the estimate, 1 GiB or a minute"
    )
    if not quick and not arguments.only:
        write_result("decode_memory", {"size": size, "kinds": rows, "crafted": hostile, "failures": failures})
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
