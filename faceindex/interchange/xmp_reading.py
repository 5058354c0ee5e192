"""Read the people of an XMP packet: regions of faces, names without a place.

Regions refer to the stored picture, before its EXIF orientation is applied (Metadata Working Group,
Guidelines for Handling Image Metadata 2.0, section 5.9). `place_regions` has the exceptions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from faceindex.interchange.regions import Box, Frame, Region
from faceindex.interchange.xmp_names import NAMESPACES, PEOPLE_TAGS
from faceindex.interchange.xmp_regions import Found, find_regions, overlap, read_dimensions
from faceindex.interchange.xmp_tree import Packet, parse_packet
from faceindex.orientation import to_stored, to_upright

__all__ = [
    "SAME_PLACE",
    "Placement",
    "XmpPeople",
    "place_regions",
    "read_people",
    "read_xmp",
    "same_aspect",
    "same_name",
    "turn_box",
]

SAME_PLACE = 0.5
"""Least intersection over union of two regions of one face.

Programs copy a region from one schema to the other, or draw it anew; neighbouring faces overlap less.
"""

SAME_NAME_PLACE = 0.2
"""As `SAME_PLACE`, for two regions with the same name."""

_ASPECT = 0.02  # sides of copies are rounded: 1 pixel of 100


@dataclass(frozen=True, slots=True)
class XmpPeople:
    """The people of a packet.

    Attributes
    ----------
    regions : tuple of Region
        On the stored picture, as far as it is known (see `read_xmp`). The same region in several schemas
        comes once.
    people : tuple of str
        Names without a place, without those of `regions`.
    dimensions : tuple of int or None
        Width and height of the stored picture when the regions were stored; None if the packet does not state
        them.
    orientation : int or None
        ``tiff:Orientation``, 1 to 8.
    problems : tuple of str
        One sentence for each part that was left out.
    """

    regions: tuple[Region, ...] = ()
    people: tuple[str, ...] = ()
    dimensions: tuple[int, int] | None = None
    orientation: int | None = None
    problems: tuple[str, ...] = ()


def read_xmp(
    packet: bytes,
    name: str,
    *,
    size: tuple[int, int] | None = None,
    orientation: int | None = None,
    container_turn: int = 1,
) -> XmpPeople:
    """Read the people of a packet.

    Parameters
    ----------
    packet : bytes
        A sidecar, or what `embedded_xmp` returns.
    name : str
        Of the file; for messages.
    size : tuple of int, optional
        Width and height in pixels of the stored picture. Without it, boxes are returned as they are written,
        and regions of the IPTC in pixels may be left out.
    orientation : int, optional
        The EXIF orientation of the photo, 1 to 8. None means that of the packet.
    container_turn : int
        The turn that the file itself applies to its picture, as `find_container_turn` returns it. `size` is
        that after the turn.

    Returns
    -------
    XmpPeople

    Raises
    ------
    ImageError
        If the packet is damaged, too large, or no XMP. A region that cannot be read is a problem.
    """
    parsed = parse_packet(packet, name, repair=True)
    parsed.index()
    return read_people(parsed, name, size=size, orientation=orientation, container_turn=container_turn)


def read_people(
    packet: Packet,
    name: str,
    *,
    size: tuple[int, int] | None = None,
    orientation: int | None = None,
    container_turn: int = 1,
) -> XmpPeople:
    """Read the people of a parsed packet; as `read_xmp`."""
    problems: list[str] = []
    stated = stated_orientation(packet)
    pixels = size if size is None or container_turn < 5 else (size[1], size[0])
    found = find_regions(packet, pixels, name, problems)
    written = read_dimensions(packet, "MWG") or read_dimensions(packet, "ACDSee")
    placement, dimensions = place_regions(found, written, size, turn_of(orientation, stated), container_turn)
    regions = [
        Region(placement.from_packet(one.box), one.name, rejected=one.rejected)
        for one in _once(found, name, problems)
        if one.box is not None
    ]
    named = {same_name(region.name) for region in regions if region.name}
    listed = [one.name for one in found if one.box is None and one.name]
    people = _without(_names(packet, named, listed), named)
    return XmpPeople(tuple(regions), tuple(people), dimensions, stated, tuple(problems))


def turn_of(orientation: int | None, stated: int | None) -> int:
    """Return the orientation that a program has seen: that of the file, or of a sidecar that turns it."""
    return stated if stated and stated > 4 and (orientation or 1) < 5 else orientation or stated or 1


def same_name(name: str) -> str:
    """Return what is equal for two spellings of a name: without differences of case and of spaces."""
    return " ".join(name.split()).casefold()


def same_aspect(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Return whether two sizes have the same ratio of width to height, within 2 %."""
    return abs(math.log(a[0] * b[1] / (a[1] * b[0]))) < _ASPECT


def turn_box(box: Box, orientation: int, source: Frame, target: Frame) -> Box:
    """Return a box of one frame in the other one."""
    if source == target or orientation == 1:
        return box
    turn = to_stored if target == "stored" else to_upright
    x1, y1, x2, y2 = turn(np.array([box], np.float32), np.array([orientation], np.int64))[0].tolist()
    return x1, y1, x2, y2


@dataclass(frozen=True, slots=True)
class Placement:
    """How the boxes of a packet relate to those on the stored picture.

    Attributes
    ----------
    turn : int
        An orientation, 1 to 8; 1 if they are the same.
    frame : {"stored", "upright"}
        Whether the boxes of the packet are on the picture before or after `turn`; those on the stored
        picture are on the other one.
    """

    turn: int = 1
    frame: Frame = "stored"

    def to_packet(self, box: Box) -> Box:
        """Return a box on the stored picture as the packet has it."""
        return turn_box(box, self.turn, _OTHER[self.frame], self.frame)

    def from_packet(self, box: Box) -> Box:
        """Return a box of the packet on the stored picture."""
        return turn_box(box, self.turn, self.frame, _OTHER[self.frame])

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return a size of the one as that of the other."""
        return (size[1], size[0]) if self.turn > 4 else size


_OTHER: dict[Frame, Frame] = {"stored": "upright", "upright": "stored"}


def place_regions(
    found: Iterable[Found],
    dimensions: tuple[int, int] | None,
    size: tuple[int, int] | None,
    orientation: int,
    container_turn: int = 1,
) -> tuple[Placement, tuple[int, int] | None]:
    """Return what regions are measured on, and how large the stored picture was when they were stored.

    They are on the stored picture. The dimensions that are stated with regions do not show otherwise if they
    are those of the upright photo: Lightroom, and files rotated with ExifTool, state these, and measure areas
    on the stored picture (checked on photos in shared/data/formats and shared/data/orientation). Only
    ``mwg-rs:Rotation``, which Lightroom writes, is clear: the turn of a face on the picture that its area is
    measured on. If the dimensions are those of the upright photo, and no face is turned by a quarter, the
    areas are on the upright photo.

    A HEIC turns its picture itself. Apple measures areas before that turn: on an upright photo of an iPhone,
    the dimensions are 4032 x 3024, and the roll of a face about 270 degrees. Dimensions of the turned picture
    are those of a program that reads only it.

    Parameters
    ----------
    found : iterable of Found
    dimensions : tuple of int, optional
        As stated with the regions.
    size : tuple of int, optional
        Of the stored picture; without it, the regions are taken to be on the stored picture.
    orientation : int
    container_turn : int
        As in `read_xmp`.
    """
    if container_turn > 1:
        placement = Placement(container_turn)
        if dimensions is None:
            return placement, None
        if size and same_aspect(dimensions, size) and not same_aspect(dimensions, placement.size(size)):
            return Placement(), dimensions
        return placement, placement.size(dimensions)
    if dimensions is None or size is None or orientation < 5:
        return Placement(), dimensions
    turned = dimensions[1], dimensions[0]
    if same_aspect(dimensions, size) or not same_aspect(turned, size):
        return Placement(), dimensions
    rotations = [one.rotation for one in found if one.rotation is not None]
    if rotations and all(abs(math.sin(rotation)) < math.sqrt(0.5) for rotation in rotations):
        return Placement(orientation, "upright"), turned
    return Placement(), turned


def _once(found: list[Found], name: str, problems: list[str]) -> list[Found]:
    """Return each region once: programs write one to several schemas, of which some read only the first."""
    once: list[Found] = []
    for new in found:
        if new.box is None:
            continue
        match = next((i for i, old in enumerate(once) if _is_same(old, new)), None)
        rival = next((old for old in once if old.schema != new.schema and _contradicts(old, new)), None)
        if match is not None:
            old = once[match]
            if old.name is None and new.name is not None and not old.rejected:
                once[match] = replace(old, name=new.name)
        elif rival is not None:
            problems.append(
                f"{name}: the {new.schema} region of {new.name} was left out: it contradicts the "
                f"{rival.schema} region of {rival.name}."
            )
        else:
            once.append(new)
    return once


def _contradicts(old: Found, new: Found) -> bool:
    """Return whether two schemas have different names at one place, or one name at different places."""
    assert old.box is not None and new.box is not None
    if not old.name or not new.name:
        return False
    return same_name(old.name) == same_name(new.name) or overlap(old.box, new.box) >= SAME_PLACE


def _is_same(old: Found, new: Found) -> bool:
    assert old.box is not None and new.box is not None
    share = overlap(old.box, new.box)
    if old.schema == new.schema:
        return old.name == new.name and share > 0.95
    if old.name and new.name:
        return same_name(old.name) == same_name(new.name) and share >= SAME_NAME_PLACE
    return share >= SAME_PLACE


def stated_orientation(packet: Packet) -> int | None:
    """Return ``tiff:Orientation``; None if there is none."""
    for value in packet.properties(NAMESPACES["tiff"], "Orientation"):
        text = value.text()
        if text in {"1", "2", "3", "4", "5", "6", "7", "8"}:
            return int(text)
    return None


def _names(packet: Packet, known: set[str], first: list[str]) -> list[str]:
    """Return the names of people without a place, of all properties."""
    names = list(first)
    for value in packet.properties(NAMESPACES["Iptc4xmpExt"], "PersonInImage"):
        names += [item.text() for item in value.items()]
    for value in packet.properties(NAMESPACES["Iptc4xmpExt"], "PersonInImageWDetails"):
        for item in value.items():
            inner = item.fields()
            names += [inner["PersonName"].text()] if "PersonName" in inner else []
    known = known | {same_name(name) for name in names}
    for prefix, local, separator in (
        ("digiKam", "TagsList", "/"),
        ("lr", "hierarchicalSubject", "|"),
        ("MicrosoftPhoto", "LastKeywordXMP", "/"),
    ):
        paths = [
            item.text() for value in packet.properties(NAMESPACES[prefix], local) for item in value.items()
        ]
        names += people_of_tags(paths, separator, known)
    return names


def people_of_tags(paths: Iterable[str], separator: str, known: set[str]) -> list[str]:
    """Return the people among keywords: the ends of the paths below ``People``.

    Parameters
    ----------
    paths : iterable of str
        Such as ``People/Family/Anna``. ``People/Family`` is no person if it is above another one.
    separator : str
        ``/`` in digiKam's tags, ``|`` in Lightroom's.
    known : set of str
        Names that are in the packet otherwise, as `same_name` returns them: they may contain the separator.
    """
    split = [[part.strip() for part in path.split(separator) if part.strip()] for path in paths]
    below = [tuple(parts[1:]) for parts in split if len(parts) > 1 and parts[0].casefold() in PEOPLE_TAGS]
    above = {parts[:i] for parts in below for i in range(1, len(parts))}
    names = []
    for parts in below:
        whole = [separator.join(parts[i:]) for i in range(len(parts))]
        name = next((name for name in whole if same_name(name) in known), None)
        if name is not None or parts not in above:
            names.append(name or parts[-1])
    return names


def _without(names: Iterable[str], known: set[str]) -> list[str]:
    once: dict[str, str] = {}
    for name in names:
        if name and same_name(name) not in known:
            once.setdefault(same_name(name), name)
    return list(once.values())
