"""Small RAW files of every kind that is read: the structure of real ones around pictures made here."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import numpy as np
import PIL.Image

__all__ = ["KINDS", "TIFF_KINDS", "jpeg", "raw_file"]

TIFF_KINDS = ("ARW", "CR2", "DNG", "NEF", "NRW", "ORF", "PEF", "RW2", "SR2", "SRW")
KINDS = (*TIFF_KINDS, "CR3", "CRW", "RAF")

TAKEN = b"2019:08:07 06:05:04\0"
_FORMS = {1: "B", 2: "s", 3: "H", 4: "I", 7: "s", 10: "i"}

_COMPRESSIONS = {"ARW": 32767, "NEF": 34713, "NRW": 34713, "PEF": 65535, "SR2": 32767, "SRW": 32770}

Values = int | bytes | tuple[int, ...] | tuple[int, tuple[int, ...] | bytes]


def jpeg(width: int = 1200, height: int = 800, *, orientation: int | None = None, seed: int = 0) -> bytes:
    """Return a JPEG with a red square at the upper left of the stored picture."""
    grey = np.random.default_rng(seed).integers(90, 110, (height // 40, width // 40, 3), np.uint8)
    pixels = np.kron(grey, np.ones((40, 40, 1), np.uint8))
    pixels[: height // 4, : height // 4] = 230, 20, 20
    exif = PIL.Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=80, exif=exif.tobytes() if exif else b"")
    return buffer.getvalue()


class _Tiff:
    """A TIFF that grows: blobs and directories, each at the end."""

    def __init__(self, order: str = "<", magic: bytes = b"II*\0", more: bytes = b"") -> None:
        self.order = order
        self.data = bytearray(magic + bytes(4) + more)

    def blob(self, content: bytes) -> int:
        self.data += bytes(len(self.data) % 2)
        start = len(self.data)
        self.data += content
        return start

    def directory(self, tags: Mapping[int, Values], following: int = 0) -> int:
        """Add a directory; integers are LONG, bytes UNDEFINED, and pairs a type and its values."""
        entries = []
        for tag, value in sorted(tags.items()):
            kind, values = 4, value
            if isinstance(value, tuple) and isinstance(value[-1], (tuple, bytes)):
                kind, values = value
            if isinstance(values, bytes):
                kind, number, content = 7, len(values), values
            else:
                integers = values if isinstance(values, tuple) else (values,)
                number = len(integers) // 2 if kind == 10 else len(integers)
                content = struct.pack(f"{self.order}{len(integers)}{_FORMS[kind]}", *integers)
            if len(content) > 4:
                content = struct.pack(self.order + "I", self.blob(content))
            entries.append(struct.pack(self.order + "HHI", tag, kind, number) + content.ljust(4, b"\0"))
        table = struct.pack(self.order + "H", len(entries)) + b"".join(entries)
        return self.blob(table + struct.pack(self.order + "I", following))

    def finish(self, first: int) -> bytes:
        self.data[4:8] = struct.pack(self.order + "I", first)
        return bytes(self.data)


def _exif(file: _Tiff, size: tuple[int, int], note: bytes = b"") -> int:
    tags: dict[int, Values] = {0x9003: TAKEN, 0xA002: size[0], 0xA003: size[1]}
    return file.directory(tags | ({0x927C: note} if note else {}))


def _mosaic(width: int, height: int) -> bytes:
    """Return sensor data of 16 bits: the upper half is brighter than the lower one."""
    values = np.full((height, width), 6000, "<u2")
    values[height // 2 :] = 600
    values += np.random.default_rng(1).integers(0, 50, values.shape, np.uint16)
    return values.tobytes()


def raw_file(
    kind: str,
    preview: bytes | None,
    *,
    orientation: int | None = 1,
    sensor: tuple[int, int] = (2400, 1600),
    note: str = "a camera",
) -> bytes:
    """Return a RAW file.

    Parameters
    ----------
    kind : str
        One of `KINDS`. Only the sensor data of a DNG can be decoded.
    preview : bytes or None
        A JPEG, stored where cameras store it.
    orientation : int or None
        Of the file, where such files state one.
    sensor : (int, int)
        The size that the file states; of a DNG, its sensor data have it.
    note : str
        A text of the metadata. Its length moves what follows.
    """
    if kind == "CR3":
        return _cr3(preview, orientation, sensor)
    if kind == "RAF":
        return _raf(preview, sensor)
    if kind == "CRW":  # CIFF has a structure of its own, of which nothing is read
        return b"II\x1a\0\0\0HEAPCCDR" + note.encode() + bytes(900) + (preview or b"") + bytes(50)
    return _tiff(kind, preview, orientation, sensor, note)


def _tiff(
    kind: str, preview: bytes | None, orientation: int | None, size: tuple[int, int], note: str
) -> bytes:
    big_endian = kind in ("NEF", "PEF")
    magic = {"ORF": b"IIRO", "RW2": b"IIU\0"}.get(kind, b"MM\0*" if big_endian else b"II*\0")
    file = _Tiff(">" if big_endian else "<", magic, b"CR\2\0" + bytes(4) if kind == "CR2" else b"")
    text = file.blob(note.encode())
    first: dict[int, Values] = {0x010E: note.encode()}
    if orientation is not None:
        first[0x0112] = (3, (orientation,))
    thumbnail = jpeg(160, 120)
    small: dict[int, Values] = {513: file.blob(thumbnail), 514: len(thumbnail)}
    content = _mosaic(*size) if kind == "DNG" else b"sensor " * (size[0] * size[1] // 200)
    raw: dict[int, Values] = {
        254: 0, 256: size[0], 257: size[1], 258: (3, (16 if kind == "DNG" else 12,)),
        259: (3, (_COMPRESSIONS.get(kind, 1),)),
        262: (3, (32803,)), 273: file.blob(content), 277: (3, (1,)), 278: size[1], 279: len(content),
    }  # fmt: skip
    place = file.blob(preview) if preview is not None and kind not in ("ORF", "RW2") else 0
    large: dict[int, Values] = {513: place, 514: len(preview)} if preview is not None else {}
    strip: dict[int, Values] = {259: (3, (7,)), 262: (3, (6,)), 273: place, 279: len(preview or b"")}
    if kind == "CR2":
        first |= {256: 9, 257: 9, **strip, 259: (3, (6,))} if preview else {}
        return file.finish(file.directory(first | {34665: _exif(file, size)}, file.directory(small)))
    if kind == "DNG":
        colours = (10, tuple(value for k in range(9) for value in (int(k % 4 == 0), 1)))
        raw |= {33421: (3, (2, 2)), 33422: (1, (0, 1, 1, 2))}
        subs = [file.directory(raw), *([file.directory({254: 1, **strip})] if preview else [])]
        first |= {254: 1, 256: 8, 257: 6, 273: text, 279: 1, 271: b"Maker\0", 272: b"Model\0"}
        first |= {50706: (1, (1, 4, 0, 0)), 50708: b"Maker Model\0", 50721: colours, 330: tuple(subs)}
        return file.finish(file.directory(first | {34665: _exif(file, size)}))
    if kind == "RW2":
        first |= {2: size[0], 3: size[1], 0x118: raw[273], 279: raw[279]}
        first |= {0x2E: preview} if preview is not None else {}
        return file.finish(file.directory(first | {34665: _exif(file, size)}))
    if kind == "ORF":
        return file.finish(file.directory(first | raw | {34665: _orf_exif(file, size, preview)}))
    if kind == "PEF":
        chain = file.directory(small, file.directory(large) if large else 0)
        return file.finish(file.directory(first | raw | {34665: _exif(file, size)}, chain))
    # The sensor data are in a SubIFD, and a thumbnail in the chain; most previews are in a SubIFD, too.
    subs = [file.directory(raw)]
    if kind in ("ARW", "SR2"):
        first |= large
    elif large:
        subs.insert(0, file.directory(large))
    first |= {254: 1, 256: 160, 257: 120, 330: tuple(subs) if len(subs) > 1 else subs[0]}
    return file.finish(file.directory(first | {34665: _exif(file, size)}, file.directory(small)))


def _orf_exif(file: _Tiff, size: tuple[int, int], preview: bytes | None) -> int:
    """Add the EXIF directory of an ORF, whose maker note says where the preview is, from its own start."""
    inner = _Tiff("<", b"OLYM", b"")
    inner.data = bytearray(b"OLYMPUS\0II\3\0")
    start = inner.blob(preview or b"")
    tags: dict[int, Values] = {0x101: start, 0x102: len(preview)} if preview is not None else {0x100: 1}
    # The directory must be at 12: what it refers to follows behind it, at places known only then.
    settings = inner.directory(tags)
    note = bytes(inner.data)
    head = struct.pack("<HHHII", 1, 0x2020, 13, 1, settings + 18) + bytes(4)
    body = bytearray(note[:12] + head + note[12:])
    at = settings + 18 + 2
    for tag in range(len(tags)):
        entry = at + 12 * tag
        if struct.unpack_from("<H", body, entry)[0] == 0x101:
            body[entry + 8 : entry + 12] = struct.pack("<I", start + 18)
    return _exif(file, size, bytes(body))


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _cr3(preview: bytes | None, orientation: int | None, size: tuple[int, int]) -> bytes:
    """Return a CR3 with a medium preview in PRVW and `preview` as the first track."""
    first, exif = _Tiff(), _Tiff()
    tags: dict[int, Values] = {256: size[0], 257: size[1]}
    if orientation is not None:
        tags[0x0112] = (3, (orientation,))
    cmt1, cmt2 = first.finish(first.directory(tags)), exif.finish(_exif(exif, size))
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    metadata = _box(b"uuid", canon, _box(b"CMT1", cmt1), _box(b"CMT2", cmt2), _box(b"THMB", bytes(16)))
    medium = jpeg(640, 400)
    prvw = _box(b"PRVW", bytes(12), struct.pack(">I", len(medium)), medium)
    picture = _box(b"uuid", bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16"), bytes(8), prvw)
    tracks = [*([preview] if preview is not None else []), b"sensor " * (size[0] * size[1] // 200)]
    ftyp = _box(b"ftyp", b"crx \0\0\0\1crx isom")

    def moov(places: list[int]) -> bytes:
        return _box(b"moov", metadata, *(
            _box(b"trak", _box(b"mdia", _box(b"minf", _box(
                b"stbl",
                _box(b"stsz", bytes(4), struct.pack(">II", len(track), 1)),
                _box(b"co64", bytes(4), struct.pack(">IQ", 1, place)),
            ))))
            for track, place in zip(tracks, places, strict=True)
        ))  # fmt: skip

    start = len(ftyp) + len(moov([0] * len(tracks))) + len(picture) + 8
    places = [start + sum(map(len, tracks[:i])) for i in range(len(tracks))]
    return ftyp + moov(places) + picture + _box(b"mdat", *tracks)


def _raf(preview: bytes | None, size: tuple[int, int]) -> bytes:
    sizes = struct.pack(">IHHHH", 1, 0x100, 4, size[1], size[0])
    sensor = b"sensor " * (size[0] * size[1] // 200)
    at = 84 + 24 + 40
    jpeg_length = len(preview) if preview is not None else 0
    places = struct.pack(
        ">6I",
        *(at if jpeg_length else 0, jpeg_length),
        *(at + jpeg_length, len(sizes)),
        *(at + jpeg_length + len(sizes), len(sensor)),
    )
    head = b"FUJIFILMCCD-RAW 0201FF000000CAMERA".ljust(84, b"\0")
    return head + places + bytes(40) + (preview or b"") + sizes + sensor
