"""The parts of a TIFF or BigTIFF file from which the pixels of its first page are decoded."""

from __future__ import annotations

import struct
from collections.abc import Collection

from faceindex.images.pixel_data import Parts

__all__ = ["end_of_pixels", "find_entries", "tiff_data"]

# Sizes in bytes of the types of TIFF 6.0, section 2, and of BigTIFF (13 IFD, 16 to 18 with 8 bytes).
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES.update(dict.fromkeys((16, 17, 18), 8))
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_BITS, _COMPRESSION = 258, 259
_OLD_JPEG = 6  # its data are in places of their own, which most writers got wrong
_OLD_JPEG_TAGS = frozenset(range(512, 522))
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets and sizes

# Tags that decoders need, of TIFF 6.0, its supplements and Adobe's technical notes: size, bits, compression,
# photometric interpretation, fill order, samples, rows per strip, planes, fax options, predictor, palette,
# tiles, inks, extra samples, sample format, range of samples, JPEG tables, YCbCr.
_NEEDED = frozenset(
    {256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 320, 322, 323, 332, 338}
    | {339, 340, 341, 347, 529, 530, 531, 532}
)


def tiff_data(data: bytes) -> Parts:
    """Return the tags that decoders need, and the strips or tiles of the first page.

    Integers are the same in any byte order and width: editors may write the directory anew.
    """
    order = "<" if data.startswith(b"II") else ">"
    tags = _read_directory(data, order)
    offsets, sizes = _STRIPS if _STRIPS[0] in tags else _TILES
    if _COMPRESSION in tags and _integers(data, order, tags[_COMPRESSION])[:1] == (_OLD_JPEG,):
        raise ValueError("old-style JPEG")
    view = memoryview(data)
    starts, lengths = (_integers(data, order, tags[tag]) for tag in (offsets, sizes))
    if len(starts) != len(lengths) or sum(lengths) > len(data):
        raise ValueError("strips overlap")
    parts: Parts = []
    for tag in sorted(_NEEDED & tags.keys()):
        kind, count, position = tags[tag]
        if kind in _INTEGERS:
            parts.append(f"{tag} {_integers(data, order, tags[tag])}\n".encode())
        else:
            parts += [f"{tag} {kind} {count}\n".encode(), view[position : position + count * _SIZES[kind]]]
    if _BITS in tags and max(_integers(data, order, tags[_BITS])) > 8:
        parts.append(order.encode())  # the samples are in this byte order too
    parts.append(f"{offsets} {lengths}\n".encode())
    return [*parts, *(view[start : start + length] for start, length in zip(starts, lengths, strict=True))]


def find_entries(data: bytes, others: Collection[int]) -> tuple[str, bool, list[tuple[int, bytes]]]:
    """Return the entries of the first directory that decoders need.

    Parameters
    ----------
    data : bytes
        The whole file.
    others : collection of int
        Further tags to return.

    Returns
    -------
    order : str
        The byte order, for `struct`.
    big : bool
        Whether it is a BigTIFF.
    entries : list of (int, bytes)
        The tag and the bytes of each entry, in the order of the tags; none whose values are outside the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    wanted = _NEEDED.union(_STRIPS, _TILES, _OLD_JPEG_TAGS, others)
    entries = []
    for tag, (kind, count, place) in sorted(_read_directory(data, order).items()):
        if tag in wanted:
            inline = 8 if big else 4
            width = count * _SIZES[kind]
            value = (
                data[place : place + width].ljust(inline, b"\0")
                if width <= inline
                else struct.pack(f"{order}{'Q' if big else 'I'}", place)
            )
            entry = struct.pack(f"{order}{'HHQ' if big else 'HHI'}", tag, kind, count) + value
            entries.append((tag, entry))
    return order, big, entries


def end_of_pixels(data: bytes) -> int:
    """Return the position behind the last strip or tile of the first page, even if the file is shorter.

    Raises any exception if the directory does not state it.
    """
    order = "<" if data.startswith(b"II") else ">"
    tags = _read_directory(data, order)
    starts, lengths = (
        _integers(data, order, tags[tag]) for tag in (_STRIPS if _STRIPS[0] in tags else _TILES)
    )
    return max(map(sum, zip(starts, lengths, strict=True)))


def _read_directory(data: bytes, order: str) -> dict[int, tuple[int, int, int]]:
    """Return type, number of values and their position for each tag of the first directory."""
    big = 43 in data[2:4]
    if big:
        (start,) = struct.unpack_from(f"{order}Q", data, 8)
        (number,) = struct.unpack_from(f"{order}Q", data, start)
        entry, step, start = f"{order}HHQ", 20, start + 8
    else:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (number,) = struct.unpack_from(f"{order}H", data, start)
        entry, step, start = f"{order}HHI", 12, start + 2
    inline = 8 if big else 4
    tags: dict[int, tuple[int, int, int]] = {}
    for position in range(start, min(start + number * step, len(data)), step):
        tag, kind, count = struct.unpack_from(entry, data, position)
        place = position + step - inline
        if kind not in _SIZES:
            continue
        if count * _SIZES[kind] > inline:
            (place,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, place)
        if place + count * _SIZES[kind] <= len(data):
            tags.setdefault(tag, (kind, count, place))
    return tags


def _integers(data: bytes, order: str, tag: tuple[int, int, int]) -> tuple[int, ...]:
    kind, count, position = tag
    return struct.unpack_from(f"{order}{count}{_INTEGERS[kind]}", data, position)
