"""The XMP packet of a JPEG, with its extension.

Source: XMP Specification Part 3 (Adobe, 2020), section 1.1.3. A packet is in a segment APP1 of at most 65,535
bytes. What does not fit is in further segments: a GUID (the MD5 digest of the extension, which the main
packet names in ``xmpNote:HasExtendedXMP``), its length, the offset of the part, and the part.
"""

from __future__ import annotations

import copy
import hashlib

from lxml import etree

from faceindex.errors import ImageError
from faceindex.interchange.xmp_source import Source, integer
from faceindex.interchange.xmp_tree import MOST_BYTES, matches, parse_packet

__all__ = ["jpeg_xmp"]

_MAIN = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_NOTE = "http://ns.adobe.com/xmp/note/"
_MOST_SEGMENTS = 10_000
_GUID = 32
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


def jpeg_xmp(source: Source) -> bytes | None:
    """Return the packet of a JPEG; the extension's properties are added to it.

    An extension that is incomplete, or another one than the packet names, is left out.
    """
    main: bytes | None = None
    parts: dict[bytes, tuple[int, dict[int, bytes]]] = {}
    position, read = 2, 0
    for _ in range(_MOST_SEGMENTS):
        head = source.read(position, 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker = head[1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _ALONE:
            position += 2
            continue
        if marker in (0xDA, 0xD9):  # the pixels, or the end
            break
        length = integer(head, 2, 2)
        if length < 2:
            break
        if marker == 0xE1 and read <= MOST_BYTES:
            start = source.read(position + 4, min(length - 2, len(_EXTENSION)))
            if start.startswith(_MAIN) or start == _EXTENSION:
                body = source.read(position + 4, length - 2)
                read += len(body)
                if start != _EXTENSION:
                    main = main or body[len(_MAIN) :]
                else:
                    _add(parts, body[len(_EXTENSION) :])
        position += 2 + length
    return _joined(main, parts) if main is not None and parts else main


def _add(parts: dict[bytes, tuple[int, dict[int, bytes]]], body: bytes) -> None:
    if len(body) < _GUID + 8:
        return
    guid, length, offset = body[:_GUID], integer(body, _GUID, 4), integer(body, _GUID + 4, 4)
    if length <= MOST_BYTES:
        parts.setdefault(guid.upper(), (length, {}))[1].setdefault(offset, body[_GUID + 8 :])


def _joined(main: bytes, parts: dict[bytes, tuple[int, dict[int, bytes]]]) -> bytes:
    """Return the main packet with the properties of its extension."""
    try:
        packet = parse_packet(main, "", repair=True)
        named = packet.properties(_NOTE, "HasExtendedXMP")
        guid = named[0].text().upper().encode() if named else b""
        whole = _assembled(*parts[guid]) if guid in parts else None
        if (
            whole is None
            or packet.rdf is None
            or hashlib.md5(whole, usedforsecurity=False).hexdigest().upper().encode() != guid
        ):
            return main
        extension = parse_packet(whole, "", repair=True)
    except ImageError:
        return main
    for block in packet.descriptions:
        for name in [name for name in block.attrib if matches(name, _NOTE, "HasExtendedXMP")]:
            del block.attrib[name]
        for child in [child for child in block if matches(child.tag, _NOTE, "HasExtendedXMP")]:
            block.remove(child)
    for block in extension.descriptions:
        packet.rdf.append(copy.deepcopy(block))
    return etree.tostring(packet.root, encoding="utf-8")


def _assembled(length: int, parts: dict[int, bytes]) -> bytes | None:
    """Return the extension; None if a part is missing, or overlaps another one."""
    whole, position = [], 0
    for offset in sorted(parts):
        if offset != position:
            return None
        whole.append(parts[offset])
        position += len(parts[offset])
    return b"".join(whole) if position == length else None
