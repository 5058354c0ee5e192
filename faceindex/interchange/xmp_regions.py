"""The regions of a packet, of all schemas, as they are written.

Sources: Guidelines for Handling Image Metadata 2.0 of the Metadata Working Group, section 5.9 (MWG regions);
People Tagging Overview of the Windows Imaging Component (Microsoft); IPTC Photo Metadata Standard 2023.1,
Image Region; for ACDSee, the names that ExifTool's configuration ``acdsee.config`` documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from faceindex.interchange.regions import Box
from faceindex.interchange.xmp_names import NAMESPACES
from faceindex.interchange.xmp_tree import Packet, Value

__all__ = ["Found", "Schema", "find_regions", "overlap", "parse_number", "read_dimensions"]

Schema: TypeAlias = Literal["MWG", "Microsoft", "IPTC", "ACDSee"]

_PROPERTIES = (
    ("mwg-rs", "Regions"),
    ("MP", "RegionInfo"),
    ("Iptc4xmpExt", "ImageRegion"),
    ("acdsee-rs", "Regions"),
)

_IGNORED = "ffffffffffffffff"  # Picasa's name of a face that its user said to ignore
_MOST_REGIONS = 1000  # of a packet: they are compared with each other
_LARGEST = 2.0  # sides and distances from the picture, in fractions of its sides

# http://cv.iptc.org/newscodes/imageregiontype/: a region of "human" is the whole person, not the face.
_FACES = frozenset({"face", "headshot"})
_PERSONS = frozenset({"human"})

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Found:
    """A region of one schema.

    Attributes
    ----------
    schema : {"MWG", "Microsoft", "IPTC", "ACDSee"}
    box : tuple of float or None
        On the picture that the program used; None for a person without a place.
    name : str or None
    rejected : bool
    rotation : float or None
        ``mwg-rs:Rotation`` in radians: by how much the face is turned on the picture.
    value : Value
        The item of the list.
    """

    schema: Schema
    box: Box | None
    name: str | None
    rejected: bool
    rotation: float | None
    value: Value


_Size: TypeAlias = "tuple[int, int] | None"


def has_regions(packet: Packet) -> bool:
    """Return whether a packet has regions of any kind, in any schema."""
    return any(packet.properties(NAMESPACES[prefix], local) for prefix, local in _PROPERTIES)


def find_regions(packet: Packet, size: _Size, name: str, problems: list[str]) -> list[Found]:
    """Return the regions of faces in all schemas, MWG first.

    Parameters
    ----------
    packet : Packet
    size : tuple of int, optional
        Width and height of the stored picture, for regions in pixels; otherwise, the packet's own.
    name : str
        For `problems`.
    problems : list of str
        Receives a sentence for each region that cannot be used.
    """
    found: list[Found] = []
    for schema, items, read in (
        ("MWG", _mwg_items(packet), _read_mwg),
        ("Microsoft", _microsoft_items(packet), _read_microsoft),
        ("IPTC", _iptc_items(packet), _read_iptc),
        ("ACDSee", _acdsee_items(packet), _read_acdsee),
    ):
        unit = read_dimensions(packet, schema) or size or _own_size(packet)  # type: ignore[arg-type]
        if schema == "IPTC":
            unit = size or _own_size(packet) or read_dimensions(packet, "MWG")
        most = _MOST_REGIONS - len(found)
        found += _read_all(items, read, unit, most, f"{name}: {schema} region", problems)
    return found


def _read_all(
    items: Iterator[Value], read: _Reader, unit: _Size, most: int, name: str, problems: list[str]
) -> Iterator[Found]:
    for number, item in enumerate(items, 1):
        if number > most:
            problems.append(f"{name} {number} and all after it were left out: there are too many.")
            return
        try:
            region = read(item, unit)
        except ValueError as error:
            problems.append(f"{name} {number} was left out: {error}.")
            continue
        if region is not None:
            yield region


_Reader: TypeAlias = Callable[[Value, _Size], "Found | None"]


def _mwg_items(packet: Packet) -> Iterator[Value]:
    for regions in packet.properties(NAMESPACES["mwg-rs"], "Regions"):
        yield from _list(regions, "RegionList")


def _microsoft_items(packet: Packet) -> Iterator[Value]:
    for regions in packet.properties(NAMESPACES["MP"], "RegionInfo"):
        yield from _list(regions, "Regions")


def _iptc_items(packet: Packet) -> Iterator[Value]:
    for regions in packet.properties(NAMESPACES["Iptc4xmpExt"], "ImageRegion"):
        yield from regions.items()


def _acdsee_items(packet: Packet) -> Iterator[Value]:
    for regions in packet.properties(NAMESPACES["acdsee-rs"], "Regions"):
        yield from _list(regions, "RegionList")


def _list(holder: Value, field: str) -> list[Value]:
    items = holder.fields().get(field)
    return [] if items is None else items.items()


def _read_mwg(item: Value, unit: _Size) -> Found | None:
    fields = item.fields()
    if not _is_face(fields):
        return None
    if "Area" not in fields:  # a person without a place, or something else
        name = _text(fields, "Name")
        return _found("MWG", item, None, name) if name else None
    box = _centred(fields["Area"].fields(), unit)
    rotation = _text(fields, "Rotation")
    turned = parse_number(rotation) if rotation else None
    return _found("MWG", item, box, _text(fields, "Name"), turned)


def _read_acdsee(item: Value, unit: _Size) -> Found | None:
    fields = item.fields()
    if not _is_face(fields):
        return None
    # DLYArea is the region as the user sees and draws it, ALGArea the square that the program computed.
    for key in ("DLYArea", "ALGArea"):
        area = fields[key].fields() if key in fields else {}
        if area:
            return _found("ACDSee", item, _centred(area, unit), _text(fields, "Name"))
    raise ValueError("it has no area")


def _read_microsoft(item: Value, unit: _Size) -> Found | None:
    fields = item.fields()
    name = _text(fields, "PersonDisplayName")
    rectangle = _text(fields, "Rectangle")
    if not rectangle:  # a person without a place, which Windows Photo Gallery permits
        return _found("Microsoft", item, None, name) if name and name != _IGNORED else None
    x, y, width, height = _four_numbers(rectangle)
    return _found("Microsoft", item, _checked(x, y, x + width, y + height), name)


def _read_iptc(item: Value, unit: _Size) -> Found | None:
    fields = item.fields()
    name = _text(fields, "PersonInImage") or _text(fields, "Name")
    types, roles = _identifiers(fields, "rCtype"), _identifiers(fields, "rRole")
    if types & _PERSONS and not types & _FACES:
        return _found("IPTC", item, None, name) if name else None
    if not types & _FACES and (types or roles or not name):
        return None
    if "RegionBoundary" not in fields:
        raise ValueError("it has no boundary")
    boundary = fields["RegionBoundary"].fields()
    width, height = unit or (None, None)
    scale = (1.0, 1.0)
    if _text(boundary, "rbUnit").casefold() == "pixel":
        if width is None or height is None:
            raise ValueError("it is in pixels, and the size of the picture is not known")
        scale = (1 / width, 1 / height)
    shape = _text(boundary, "rbShape").casefold()
    if shape == "polygon":
        points = [vertex.fields() for vertex in _list(fields["RegionBoundary"], "rbVertices")]
        if len(points) < 2:
            raise ValueError("its polygon has fewer than two points")
        xs = [_number(point, "rbX") * scale[0] for point in points]
        ys = [_number(point, "rbY") * scale[1] for point in points]
        return _found("IPTC", item, _checked(min(xs), min(ys), max(xs), max(ys)), name)
    x, y = _number(boundary, "rbX") * scale[0], _number(boundary, "rbY") * scale[1]
    if shape == "circle":  # its centre, and its radius as a part of the width
        radius = _number(boundary, "rbRx") * scale[0]
        aspect = width / height if width and height else 1.0
        box = (x - radius, y - radius * aspect, x + radius, y + radius * aspect)
        return _found("IPTC", item, _checked(*box), name)
    w, h = _number(boundary, "rbW") * scale[0], _number(boundary, "rbH") * scale[1]
    return _found("IPTC", item, _checked(x, y, x + w, y + h), name)


def _found(schema: Schema, item: Value, box: Box | None, name: str, rotation: float | None = None) -> Found:
    rejected = name == _IGNORED
    return Found(schema, box, None if rejected or not name else name, rejected, rotation, item)


def _is_face(fields: dict[str, Value]) -> bool:
    """Return whether a region is that of a face: other types are pets, focus points and bar codes."""
    return _text(fields, "Type").casefold() in ("face", "")


def _identifiers(fields: dict[str, Value], key: str) -> set[str]:
    """Return the last parts of the URIs of entities: ``face`` for .../imageregiontype/face."""
    found: set[str] = set()
    for entity in fields[key].items() if key in fields else []:
        inner = entity.fields()
        texts = [i.text() for i in inner["Identifier"].items()] if "Identifier" in inner else [entity.text()]
        found |= {text.rstrip("/").rpartition("/")[2].casefold() for text in texts if text}
    return found


def _text(fields: dict[str, Value], key: str) -> str:
    return fields[key].text() if key in fields else ""


def _centred(area: dict[str, Value], unit: _Size) -> Box:
    """Return the box of an area with the fields x y w h, of which x y is the centre."""
    x, y, w, h = (_number(area, key) for key in "xywh")
    pixels = _text(area, "unit").casefold() in ("pixel", "pixels")
    if pixels or max(w, h) > _LARGEST:
        if unit is None:
            raise ValueError("it is in pixels, and the size of the picture is not known")
        x, y, w, h = x / unit[0], y / unit[1], w / unit[0], h / unit[1]
    return _checked(x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def _checked(x1: float, y1: float, x2: float, y2: float) -> Box:
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise ValueError("it has a number that is not finite")
    if x2 <= 0 or y2 <= 0 or x1 >= 1 or y1 >= 1:
        raise ValueError("it is outside of the picture")
    if x2 - x1 <= 0 or y2 - y1 <= 0:
        raise ValueError("its width or height is not positive")
    if x2 - x1 > _LARGEST or y2 - y1 > _LARGEST:
        raise ValueError("it is larger than the picture")
    return x1, y1, x2, y2


def _number(fields: dict[str, Value], key: str) -> float:
    if key not in fields:
        raise ValueError(f"it has no {key}")
    return parse_number(fields[key].text())


def parse_number(text: str) -> float:
    """Return a number; a comma is a decimal point, ``3/4`` a fraction.

    Raises
    ------
    ValueError
        If it is none, or not finite.
    """
    top, slash, bottom = text.strip().replace(",", ".").partition("/")
    if not all(_NUMBER.fullmatch(part.strip()) for part in ([top, bottom] if slash else [top])):
        raise ValueError(f"{text[:40]!r} is no number")
    value = float(top) / (float(bottom) or math.nan) if slash else float(top)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is not finite")
    return value


def _four_numbers(text: str) -> list[float]:
    """Return the numbers of ``x, y, w, h``, also with commas as decimal points."""
    for separator in (r"\s*;\s*", r",\s+", r"\s+", r"\s*,\s*"):
        parts = re.split(separator, text.strip()[:200])
        if len(parts) == 4:
            return [parse_number(part) for part in parts]
    if len(parts) == 8:  # 0,1,0,2,0,3,0,4
        return [parse_number(f"{parts[i]}.{parts[i + 1]}") for i in range(0, 8, 2)]
    raise ValueError(f"{text[:60]!r} are not four numbers")


def read_dimensions(packet: Packet, schema: Schema) -> tuple[int, int] | None:
    """Return ``AppliedToDimensions`` of the MWG regions, or of those of ACDSee; None if it is not there."""
    namespace = {"MWG": "mwg-rs", "ACDSee": "acdsee-rs"}.get(schema)
    for regions in packet.properties(NAMESPACES[namespace], "Regions") if namespace else []:
        stated = regions.fields().get("AppliedToDimensions")
        if stated is not None:
            fields = stated.fields()
            found = _whole(_text(fields, "w")), _whole(_text(fields, "h"))
            if found[0] and found[1]:
                return found
    return None


def _own_size(packet: Packet) -> tuple[int, int] | None:
    for prefix, keys in (
        ("tiff", ("ImageWidth", "ImageLength")),
        ("exif", ("PixelXDimension", "PixelYDimension")),
    ):
        sizes = [_whole(v.text()) for key in keys for v in packet.properties(NAMESPACES[prefix], key)[:1]]
        if len(sizes) == 2 and all(sizes):
            return sizes[0], sizes[1]
    return None


def _whole(text: str) -> int:
    """Return a positive whole number below 2**31; 0 for anything else."""
    try:
        value = parse_number(text)
    except ValueError:
        return 0
    return round(value) if 0.5 <= value < 2**31 else 0


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
