"""Photos for `benchmarks/fuzz.py`: small ones in every format, and mutations of them."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from raw_files import KINDS, jpeg, raw_file

__all__ = ["Seeds", "made_up", "mutated", "stored"]

LARGEST_SEED = 400_000  # bytes

Seeds = dict[str, list[bytes]]

# Photos made here -----------------------------------------------------------------------------------


def made_up() -> Seeds:
    """Return small photos in each format, mode and compression that can be written."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:60, :84]
    smooth = np.stack([x * 3, y * 4, 255 - x - y], axis=-1)
    plain = Image.fromarray((smooth + rng.integers(0, 30, smooth.shape)).clip(0, 255).astype(np.uint8))
    alpha = plain.copy()
    alpha.putalpha(plain.getchannel(0))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    tags = {"exif": exif.tobytes(), "icc_profile": b"profile" * 40}
    xmp = {"xmp": b'<x:xmpmeta tiff:Orientation="3"/>' * 4}
    frames = {"save_all": True, "append_images": [plain.rotate(9), plain.rotate(99)]}
    wide = Image.fromarray((np.asarray(plain.convert("L")).astype(np.uint16) << 8) + 7)
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", plain, {**tags, **xmp, "comment": b"text"}),
        ("JPEG", plain, {"progressive": True, "optimize": True}),
        ("JPEG", plain.convert("CMYK"), {}),
        ("JPEG", plain.convert("L"), {"restart_marker_rows": 1}),
        ("MPO", plain, {**frames, **tags}),
        ("PNG", plain, tags),
        ("PNG", alpha, {"dpi": (72, 72)}),
        ("PNG", plain.quantize(40), {"transparency": 3}),
        ("PNG", plain.convert("1"), {}),
        ("PNG", wide, {}),
        ("PNG", plain, frames),
        ("GIF", plain.quantize(64), {"comment": b"text" * 20}),
        ("GIF", plain, frames),
        ("WEBP", plain, {**tags, **xmp}),
        ("WEBP", alpha, {"lossless": True}),
        ("WEBP", alpha, frames),
        ("BMP", plain, {}),
        ("BMP", plain.quantize(16), {}),
        ("BMP", plain.convert("1"), {}),
        *(
            ("TIFF", plain, {"compression": compression, "tiffinfo": {0x0112: 6, 0x0132: "now"}})
            for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ),
        ("TIFF", plain.convert("1"), {"compression": "group4"}),
        ("TIFF", plain.convert("F"), {}),
        ("TIFF", plain.convert("CMYK"), {}),
        ("TIFF", plain.convert("LAB"), {}),
        ("TIFF", wide, {"big_tiff": True}),
        ("TIFF", plain, frames),
    ]
    if features.check("avif"):
        kinds += [("AVIF", plain, {**tags, **xmp}), ("AVIF", alpha, {}), ("AVIF", plain, frames)]
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        kinds += [("HEIF", plain, {**tags, **xmp}), ("HEIF", alpha, {}), ("HEIF", plain, frames)]
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401 - registers the format

        kinds += [("JXL", plain, {"exif": exif.tobytes(), "use_container": True}), ("JXL", alpha, {})]
        kinds += [("JXL", plain, {"lossless": True}), ("JXL", wide, {"lossless": True})]
    seeds: Seeds = {"RAW": raw_files()}
    for name, image, options in kinds:
        buffer = io.BytesIO()
        with contextlib.suppress(Exception):  # not by every version of Pillow
            image.save(buffer, name, **options)
            seeds.setdefault("JPEG" if name == "MPO" else name, []).append(buffer.getvalue())
    return seeds


def raw_files() -> list[bytes]:
    """Return a RAW file of each kind around a small preview, and some with sensor data alone."""
    preview = jpeg(1000, 80, orientation=3)
    chosen = [*((kind, preview) for kind in KINDS), *((kind, None) for kind in ("DNG", "NEF", "CR3"))]
    return [raw_file(kind, content, orientation=6, sensor=(96, 64)) for kind, content in chosen]


def stored(data: Path) -> Seeds:
    """Return the photos of the shared data, by format; none if they are absent."""
    from faceindex.images import sniff

    seeds: Seeds = {}
    for folder in ("formats", "orientation"):
        for path in sorted((data / folder).rglob("*")):
            if path.is_file() and path.stat().st_size <= LARGEST_SEED:
                content = path.read_bytes()
                if (name := sniff(content)) is not None:
                    seeds.setdefault(name, []).append(content)
    return seeds


# Mutations ------------------------------------------------------------------------------------------

Cut = tuple[int, int]  # begin and end of a piece of a file


def flips(data: bytearray, rng: random.Random, __: Seeds) -> None:
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def header_bytes(data: bytearray, rng: random.Random, __: Seeds) -> None:
    for _ in range(rng.choice((1, 2, 4))):
        data[rng.randrange(min(len(data), 600))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def cut_end(data: bytearray, rng: random.Random, __: Seeds) -> None:
    share = rng.choice((0.0, 0.3, 0.8, 0.95))
    left = (
        rng.randrange(int(len(data) * share), len(data))
        if rng.random() < 0.7
        else len(data) - rng.randrange(9)
    )
    del data[left:]


def zero_end(data: bytearray, rng: random.Random, __: Seeds) -> None:
    begin = rng.randrange(len(data))
    data[begin:] = bytes([rng.choice((0, 0xFF))]) * (len(data) - begin)


def append(data: bytearray, rng: random.Random, seeds: Seeds) -> None:
    other = rng.choice(seeds[rng.choice(sorted(seeds))])
    data += rng.choice((bytes(rng.randrange(5000)), rng.randbytes(rng.randrange(5000)), other))


def size_lies(data: bytearray, rng: random.Random, __: Seeds) -> None:
    """Overwrite fields of 2, 4 or 8 bytes, which are often sizes, counts and offsets."""
    for _ in range(rng.choice((1, 1, 3))):
        width = rng.choice((2, 4, 4, 8))
        place = rng.randrange(max(1, min(len(data) - width, rng.choice((200, 2000, len(data))))))
        extremes = (
            0,
            1,
            2,
            8,
            len(data),
            len(data) - 1,
            (1 << 8 * width) - 1,
            1 << 8 * width - 1,
            1 << 8 * width - 4,
        )
        value = rng.choice(extremes) % (1 << 8 * width)
        data[place : place + width] = value.to_bytes(width, rng.choice(("little", "big")))


def splice(data: bytearray, rng: random.Random, seeds: Seeds) -> None:
    """Put bytes of another photo, mostly of the same format, at a place."""
    from faceindex.images import sniff

    own = sniff(bytes(data[:4096])) or "JPEG"
    other = rng.choice(seeds[own if own in seeds and rng.random() < 0.7 else rng.choice(sorted(seeds))])
    begin = rng.randrange(len(other))
    piece = other[begin : begin + rng.randrange(1, 4000)]
    place = rng.randrange(len(data))
    data[place : place + rng.choice((0, len(piece)))] = piece


def chunks(data: bytearray, rng: random.Random, seeds: Seeds) -> None:
    """Delete, repeat, exchange or damage whole chunks, or take one from another photo."""
    cuts = pieces(bytes(data))
    if len(cuts) < 2:
        flips(data, rng, seeds)
        return
    parts = [bytes(data[begin:end]) for begin, end in cuts]
    head, tail = bytes(data[: cuts[0][0]]), bytes(data[cuts[-1][1] :])
    for _ in range(rng.choice((1, 1, 2, 3))):
        i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
        action = rng.randrange(7)
        if action == 0 and len(parts) > 1:
            del parts[i]
        elif action == 1:
            parts.insert(j, parts[i])
        elif action == 2:
            parts[i], parts[j] = parts[j], parts[i]
        elif action == 3:
            parts[i : i + 1] = [parts[i]] * rng.choice((2, 10, 200))
        elif action == 4:
            own = _kind(data)
            other = rng.choice(seeds[own]) if own in seeds else bytes(data)
            cuts_there = pieces(other)
            if cuts_there:
                begin, end = rng.choice(cuts_there)
                parts.insert(j, other[begin:end])
        elif action == 5 and len(parts[i]) > 12:
            part = bytearray(parts[i])
            size_lies(part, rng, seeds)
            parts[i] = bytes(part)
        else:
            parts[i] = parts[i][: rng.randrange(len(parts[i]) + 1)]
    data[:] = head + b"".join(parts) + tail
    if _kind(data) == "PNG" and rng.random() < 0.6:
        fix_checksums(data)


def absurd_sizes(data: bytearray, rng: random.Random, seeds: Seeds) -> None:
    """State other sides of the picture, where the format is known; checksums are right."""
    sides = (0, 1, 3, 255, 4096, 16_383, 30_000, 65_535, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)
    width, height = rng.choice(sides), rng.choice(sides)
    kind = _kind(data)
    if kind == "PNG":
        data[16:24] = struct.pack(">II", width, height)
        if rng.random() < 0.5 and len(data) > 29:
            data[24:29] = bytes(rng.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5))
        fix_checksums(data)
    elif kind == "BMP":
        data[18:26] = struct.pack("<II", width, height)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", width % 65_536, height % 65_536)
    elif kind == "JPEG":
        for marker in (b"\xff\xc0\0", b"\xff\xc2\0"):
            if (place := data.find(marker)) > 0:
                data[place + 5 : place + 9] = struct.pack(">HH", height % 65_536, width % 65_536)
    elif kind == "TIFF":
        order = "<" if data[:1] == b"I" else ">"
        for begin, end in pieces(bytes(data)):
            tag = struct.unpack_from(order + "H", data, begin)[0] if begin + 12 == end <= len(data) else 0
            if tag in (256, 257, 258, 277, 278, 322, 323) and rng.random() < 0.5:
                data[begin + 2 : end] = struct.pack(order + "HII", 4, 1, rng.choice(sides))
    else:
        place = data.find(b"ispe")
        if place > 0 and place + 16 <= len(data):
            data[place + 8 : place + 16] = struct.pack(">II", width, height)
        else:
            size_lies(data, rng, seeds)


MUTATIONS: tuple[Callable[[bytearray, random.Random, Seeds], None], ...] = (
    *(
        flips,
        header_bytes,
        cut_end,
        zero_end,
        append,
        size_lies,
        size_lies,
        splice,
        chunks,
        chunks,
        absurd_sizes,
    ),
)


def _kind(data: bytes | bytearray) -> str | None:
    from faceindex.images import sniff

    return sniff(bytes(data[:4096]))


def pieces(data: bytes) -> list[Cut]:
    """Return the places of the segments, chunks, boxes or directory entries of a file, as far as they go."""
    found: list[Cut] = []
    with contextlib.suppress(struct.error, IndexError):
        found.extend(_pieces(data, _kind(data)))
    return found[:2000]


def _pieces(data: bytes, kind: str | None) -> Iterator[Cut]:
    position = {"JPEG": 2, "PNG": 8, "WEBP": 12, "HEIF": 0, "AVIF": 0, "JXL": 0}.get(kind or "", -1)
    if kind == "RAW" and data[4:8] == b"ftyp":
        position = 0
    if kind in ("TIFF", "RAW") and data[:4] in (b"II*\0", b"MM\0*", b"IIRO", b"IIU\0"):
        order = "<" if data.startswith(b"II") else ">"
        (start,) = struct.unpack_from(order + "I", data, 4)
        (number,) = struct.unpack_from(order + "H", data, start)
        yield from ((start + 2 + 12 * i, start + 14 + 12 * i) for i in range(min(number, 200)))
        return
    while 0 <= position < len(data) - 8:
        if kind == "JPEG":
            if data[position] != 0xFF:
                return
            size = 2 + struct.unpack_from(">H", data, position + 2)[0]
            if data[position + 1] == 0xDA:
                end = data.find(b"\xff\xd9", position)
                size = (end if end > 0 else len(data)) - position
        elif kind == "PNG":
            size = 12 + struct.unpack_from(">I", data, position)[0]
        elif kind == "WEBP":
            size = 8 + struct.unpack_from("<I", data, position + 4)[0]
            size += size % 2
        else:
            size = struct.unpack_from(">I", data, position)[0]
            if data[position + 4 : position + 8] == b"meta":  # its content, too
                yield position, position + 12
                position += 12
                continue
        if size < 4 or position + size > len(data):
            return
        yield position, position + size
        position += size


def fix_checksums(data: bytearray) -> None:
    """Write the right checksums into the chunks of a PNG."""
    for begin, end in pieces(bytes(data)):
        data[end - 4 : end] = struct.pack(">I", zlib.crc32(data[begin + 4 : end - 4]))


def mutated(number: int, seed: int, seeds: Seeds) -> tuple[bytes, str]:
    """Return a mutated photo and what it is: the format of its origin, and the mutations."""
    rng = random.Random(f"{seed} {number}")
    kind = rng.choice(sorted(seeds))
    data = bytearray(rng.choice(seeds[kind]))
    names = [kind]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutate = rng.choice(MUTATIONS)
        if len(data) < 16:
            break
        mutate(data, rng, seeds)
        names.append(mutate.__name__)
    return bytes(data), " ".join(names)
