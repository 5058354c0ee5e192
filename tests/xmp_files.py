"""Files of all formats around an XMP packet. The pictures are of no interest, and mostly missing."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable

MAIN = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
CR3 = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def segment(body: bytes, marker: int = 0xE1) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(packet: bytes, *more: bytes) -> bytes:
    """Return a JPEG with a packet and further segments."""
    parts = [
        segment(b"JFIF\0\1\1\0\0\1\0\1\0\0", 0xE0),
        segment(b"Exif\0\0MM"),
        segment(MAIN + packet),
        *more,
    ]
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xda\0\2pixels\xff\xd9"


def extended_jpeg(packet: bytes, extension: bytes, *, guid: bytes | None = None, lost: int = -1) -> bytes:
    """Return a JPEG with an extension in parts, in backward order; one of them may be lost."""
    guid = guid or hashlib.md5(extension).hexdigest().upper().encode()
    declared = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    note = f'<rdf:Description {declared} xmpNote:HasExtendedXMP="{guid.decode()}"/></rdf:RDF>'
    parts = [
        segment(EXTENSION + guid + struct.pack(">II", len(extension), start) + extension[start : start + 300])
        for start in range(0, len(extension), 300)
    ]
    kept = [part for i, part in enumerate(parts) if i != lost]
    return jpeg(packet.replace(b"</rdf:RDF>", note.encode()), *reversed(kept))


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(packet: bytes, *, compressed: bool = False) -> bytes:
    """Return a PNG with an iTXt chunk."""
    text = zlib.compress(packet) if compressed else packet
    body = b"XML:com.adobe.xmp\0" + bytes([compressed, 0]) + b"\0\0" + text
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 13) + chunk(b"iTXt", body) + chunk(b"IEND", b"")


def raw_profile_png(packet: bytes) -> bytes:
    """Return a PNG as ImageMagick writes it."""
    text = b"\nxmp\n%8d\n%s\n" % (len(packet), packet.hex().encode())
    body = b"Raw profile type xmp\0\0" + zlib.compress(text)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", body) + chunk(b"IEND", b"")


def webp(packet: bytes) -> bytes:
    """Return a WebP."""
    body = b"VP8X" + struct.pack("<I", 10) + b"\4" + b"\0" * 9 + b"ALPH" + struct.pack("<I", 3) + b"abc\0"
    body += b"XMP " + struct.pack("<I", len(packet)) + packet
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif(packet: bytes) -> bytes:
    """Return a GIF with a palette, a comment and an application extension."""
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    comment = b"\x21\xfe\3abc\0"
    image = b"\x2c" + b"\0" * 8 + b"\x80" + b"\0" * 6 + b"\2\2\x44\1\0"
    return (
        b"GIF89a\1\0\1\0\x80\0\0"
        + b"\0" * 6
        + comment
        + image
        + b"\x21\xff\x0bXMP DataXMP"
        + packet
        + trailer
        + b"\x3b"
    )


def tiff(packet: bytes, *, order: str = "<", big: bool = False, directory: int = 0) -> bytes:
    """Return a TIFF with the packet in a directory."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    entry, count, offset = ("HHQQ", "Q", "Q") if big else ("HHII", "H", "I")
    size = struct.calcsize(order + count) + struct.calcsize(order + entry) + struct.calcsize(order + offset)
    place = len(head) + size * (directory + 1)
    parts = []
    for i in range(directory + 1):
        values = (700, 7, len(packet), place) if i == directory else (256, 4, 1, 10)
        following = len(head) + size * (i + 1) if i < directory else 0
        parts.append(struct.pack(order + count, 1) + struct.pack(order + entry, *values))
        parts.append(struct.pack(order + offset, following))
    return head + b"".join(parts) + packet


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box of an ISO media file."""
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def heic(
    packet: bytes, *, version: int = 1, in_idat: bool = False, extents: list[tuple[int, int]] | None = None
) -> bytes:
    """Return a HEIC of which item 2 is the packet, in two parts."""
    infe = box(b"infe", b"\2\0\0\0", struct.pack(">HH", 1, 0), b"hvc1", b"\0")
    mime = box(b"infe", b"\2\0\0\0", struct.pack(">HH", 2, 0), b"mime", b"xmp\0application/rdf+xml\0")
    iinf = box(b"iinf", b"\0\0\0\0", struct.pack(">H", 2), infe, mime)
    ftyp = box(b"ftyp", b"heic", b"\0\0\0\0", b"mif1")

    def whole(start: int) -> bytes:
        half = len(packet) // 2
        parts = extents or [(start, half), (start + half, len(packet) - half)]
        method = struct.pack(">H", in_idat) if version else b""
        wide = ">I" if version == 2 else ">H"
        items = [
            struct.pack(wide, 2)
            + method
            + struct.pack(">HH", 0, len(parts))
            + b"".join(struct.pack(">II", *part) for part in parts)
        ]
        iloc = box(b"iloc", bytes([version, 0, 0, 0]), b"\x44\0", struct.pack(wide, 1), *items)
        inside = [box(b"idat", packet)] if in_idat else []
        outside = [] if in_idat else [box(b"mdat", packet)]
        return ftyp + box(b"meta", b"\0\0\0\0", iinf, iloc, *inside) + b"".join(outside)

    return whole(0 if in_idat else len(whole(0)) - len(packet))


def cr3(packet: bytes) -> bytes:
    """Return a CR3."""
    return box(b"ftyp", b"crx ", b"\0\0\0\1") + box(b"moov", b"\0" * 20) + box(b"uuid", CR3, packet)


def jxl(packet: bytes) -> bytes:
    """Return a JPEG XL in its container."""
    return box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"xml ", packet)


def raf(packet: bytes) -> bytes:
    """Return a RAF with a JPEG."""
    inner = jpeg(packet)
    return b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">II", 100, len(inner)) + b"\0" * 8 + inner


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": jpeg,
    "PNG": png,
    "compressed PNG": lambda packet: png(packet, compressed=True),
    "PNG of ImageMagick": raw_profile_png,
    "WebP": webp,
    "GIF": gif,
    "TIFF": tiff,
    "TIFF, second directory": lambda packet: tiff(packet, directory=1),
    "big-endian TIFF": lambda packet: tiff(packet, order=">"),
    "BigTIFF": lambda packet: tiff(packet, big=True),
    "HEIC": heic,
    "HEIC, iloc 0": lambda packet: heic(packet, version=0),
    "HEIC, iloc 2": lambda packet: heic(packet, version=2),
    "HEIC, idat": lambda packet: heic(packet, in_idat=True),
    "CR3": cr3,
    "JPEG XL": jxl,
    "RAF": raf,
}
