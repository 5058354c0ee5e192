"""Merge the regions and names of an index into an XMP packet.

What is written: regions of the MWG with the dimensions of the picture, ``Iptc4xmpExt:PersonInImage``,
``digiKam:TagsList`` and ``lr:hierarchicalSubject`` below ``People``. Regions of Microsoft and
``MicrosoftPhoto:LastKeywordXMP`` only follow if the packet has them: Windows reads them inside of files,
not in sidecars. Regions of the IPTC and of ACDSee get new names, and are neither added nor removed.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace

from lxml import etree

from faceindex.errors import ImageError, Reason
from faceindex.interchange.regions import Box, Region
from faceindex.interchange.xmp_editing import (
    Fields,
    ListKind,
    add_items,
    add_property,
    insert,
    new_packet,
    property_element,
    remove_item,
    serialise,
    set_field,
    set_text,
    struct_holder,
    struct_item,
    text_item,
)
from faceindex.interchange.xmp_names import NAMESPACES, PEOPLE_TAGS
from faceindex.interchange.xmp_reading import (
    SAME_NAME_PLACE,
    SAME_PLACE,
    people_of_tags,
    place_regions,
    same_aspect,
    same_name,
    stated_orientation,
    turn_of,
)
from faceindex.interchange.xmp_regions import Found, find_regions, overlap, read_dimensions
from faceindex.interchange.xmp_tree import Packet, Value, parse_packet

__all__ = ["merge_regions"]

_OURS = 0.9
"""Least intersection over union of a region and what was last exchanged of it: numbers are rounded."""

_MOVED = 2e-6  # smaller changes of a box are rounding
_LEAST_SIDE = 1e-4  # of a box; less has no pixel
_CONTROL = re.compile("[\0-\x1f\x7f\ud800-\udfff\ufffe\uffff]+")
_ROOT_TAG = "People"


def merge_regions(
    packet: bytes | None,
    regions: Sequence[Region],
    *,
    previous: Sequence[Region] = (),
    dimensions: tuple[int, int],
    orientation: int = 1,
    container_turn: int = 1,
    name: str = "the sidecar",
) -> bytes | None:
    """Return a packet with the regions of an index.

    A region is that of the packet at the same place, or one of `previous` with the same name. Regions that
    are neither in `regions` nor in `previous` belong to other programs, and stay as they are. All other
    properties stay, too.

    Parameters
    ----------
    packet : bytes or None
        The sidecar; None if there is none.
    regions : sequence of Region
        On the stored picture. Boxes are cut at its edges; those without a name, and rejected ones, are not
        written.
    previous : sequence of Region
        Those that were written, or read, last. The packet's regions that are still as they were then get the
        places and names of `regions`, or are removed, with their names, if they are not in `regions`.
    dimensions : tuple of int
        Width and height in pixels of the stored picture.
    orientation : int
        Its EXIF orientation, 1 to 8.
    container_turn : int
        As in `read_xmp`.
    name : str
        Of the file; for messages.

    Returns
    -------
    bytes or None
        The new packet, in UTF-8 with its wrapper; None if nothing changes.

    Raises
    ------
    ImageError
        ``CORRUPT``, if the packet is not well-formed; ``CHANGED``, if it has regions of another program that
        refer to a picture of another shape.
    """
    wanted = [one for one in map(_written, regions) if one is not None]
    previous = [one for one in map(_written, previous) if one is not None]
    if packet is not None and packet.strip(b"\0 \t\r\n"):
        tree = parse_packet(packet, name)
    elif wanted:
        tree = new_packet()
    else:
        return None
    photo = _Photo(dimensions, orientation, container_turn, name)
    changed = _merge_places(tree, wanted, previous, photo)
    changed |= _merge_names(tree, wanted, previous)
    return serialise(tree) if changed else None


def _written(region: Region) -> Region | None:
    """Return a region as it is written: inside of the picture, its name in one line; None if it is not."""
    name = " ".join(_CONTROL.sub(" ", region.name or "").split())
    x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in region.box)
    if region.rejected or not name or x2 - x1 < _LEAST_SIDE or y2 - y1 < _LEAST_SIDE:
        return None
    return replace(region, name=name, box=(x1, y1, x2, y2))


@dataclass(frozen=True, slots=True)
class _Photo:
    """The photo of a packet: the arguments of `merge_regions`."""

    size: tuple[int, int]
    orientation: int
    container_turn: int
    name: str


def _merge_places(
    tree: Packet,
    wanted: Sequence[Region],
    previous: Sequence[Region],
    photo: _Photo,
) -> bool:
    found = [one for one in find_regions(tree, photo.size, photo.name, []) if one.box is not None]
    stated = read_dimensions(tree, "MWG")
    turn = turn_of(photo.orientation, stated_orientation(tree))
    placement, stored = place_regions(found, stated, photo.size, turn, photo.container_turn)
    wanted = [replace(one, box=placement.to_packet(one.box)) for one in wanted]
    previous = [replace(one, box=placement.to_packet(one.box)) for one in previous]
    ours = _exchanged(found, previous)
    stale = stored is not None and not same_aspect(stored, photo.size)
    if stale and wanted and any(one.schema == "MWG" and id(one) not in ours for one in found):
        raise ImageError(
            photo.name,
            Reason.CHANGED,
            f"it has regions of a picture of {stored[0]} x {stored[1]} pixels, "  # type: ignore[index]
            f"and the photo has {photo.size[0]} x {photo.size[1]}.",
            "Correct or remove them with the program that wrote them.",
        )
    changed = removed = False
    for schema in ("MWG", "Microsoft", "IPTC", "ACDSee"):
        entries = [one for one in found if one.schema == schema]
        pairs = _pairs(wanted, entries, ours)
        for i, entry in pairs.items():
            changed |= _update(entry, wanted[i], ours.get(id(entry)))
        if schema in ("IPTC", "ACDSee"):
            continue
        matched = {id(entry) for entry in pairs.values()}
        gone = [one for one in entries if id(one) in ours and id(one) not in matched]
        new = [one for i, one in enumerate(wanted) if i not in pairs]
        changed |= _add(tree, schema, new)
        for one in gone:
            removed |= _remove(one)
    if property_element(tree, "mwg-rs:Regions") is not None:
        if removed and not list(_regions(tree)):
            _drop_dimensions(tree)
        elif wanted and (stale or (stated is None and changed)):
            changed |= _set_dimensions(tree, placement.size(photo.size))
    return changed or removed


def _exchanged(found: Sequence[Found], previous: Sequence[Region]) -> dict[int, Region]:
    """Return the regions that are as they were exchanged last, by their ids: one in each schema."""
    ours: dict[int, Region] = {}
    taken: set[tuple[int, str]] = set()
    for one in found:
        for i, old in enumerate(previous):
            same = same_name(one.name or "") == same_name(old.name or "")
            if same and one.box and overlap(one.box, old.box) >= _OURS and (i, one.schema) not in taken:
                ours[id(one)] = old
                taken.add((i, one.schema))
                break
    return ours


def _pairs(wanted: Sequence[Region], entries: Sequence[Found], ours: Container[int]) -> dict[int, Found]:
    """Return the entry of each wanted region: by name and place, by place, or by the name of one of ours."""
    pairs: dict[int, Found] = {}
    taken: set[int] = set()
    for least, named, only_ours in (
        (SAME_NAME_PLACE, True, False),
        (SAME_PLACE, False, False),
        (0.0, True, True),
    ):
        candidates = [
            (overlap(region.box, entry.box), i, j)
            for i, region in enumerate(wanted)
            for j, entry in enumerate(entries)
            if entry.box is not None
            and (not named or same_name(entry.name or "") == same_name(region.name or ""))
            and (not only_ours or id(entry) in ours)
        ]
        for share, i, j in sorted(candidates, key=lambda one: (-one[0], one[1], one[2])):
            if share >= least and i not in pairs and j not in taken:
                pairs[i] = entries[j]
                taken.add(j)
    return pairs


def _update(entry: Found, region: Region, old: Region | None) -> bool:
    """Bring a region of the packet up to date with that of the index, which was `old` when last exchanged."""
    changed = False
    assert region.name is not None and entry.box is not None
    renamed = old is not None and old.name != region.name != entry.name
    if renamed or same_name(entry.name or "") != same_name(region.name):
        if entry.schema == "IPTC":
            inside = "PersonInImage" in entry.value.fields()
            set_field(entry.value, "Iptc4xmpExt:PersonInImage" if inside else "Iptc4xmpExt:Name", region.name)
        else:
            field = {"MWG": "mwg-rs:Name", "Microsoft": "MPReg:PersonDisplayName", "ACDSee": "acdsee-rs:Name"}
            set_field(entry.value, field[entry.schema], region.name)
        changed = True
    if old is None or entry.schema in ("IPTC", "ACDSee"):
        return changed
    if _differ(old.box, region.box) and _differ(entry.box, region.box):
        if entry.schema == "MWG":
            area = entry.value.fields()["Area"]
            for key, value in _area(region.box).items():
                set_field(area, key, value)
        else:
            set_field(entry.value, "MPReg:Rectangle", _rectangle(region.box))
        changed = True
    return changed


def _differ(a: Box, b: Box) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) > _MOVED


def _add(tree: Packet, schema: str, new: Sequence[Region]) -> bool:
    if not new:
        return False
    items: list[Fields]
    if schema == "MWG":
        element = property_element(tree, "mwg-rs:Regions")
        if element is None:
            element = add_property(tree, "mwg-rs:Regions", {})
        holder = _field_element(struct_holder(element), "mwg-rs:RegionList")
        items = [
            {"mwg-rs:Area": _area(one.box), "mwg-rs:Name": one.name or "", "mwg-rs:Type": "Face"}
            for one in new
        ]
    else:
        element = property_element(tree, "MP:RegionInfo")
        if element is None:
            return False
        holder = _field_element(struct_holder(element), "MPRI:Regions")
        items = [
            {"MPReg:Rectangle": _rectangle(one.box), "MPReg:PersonDisplayName": one.name or ""} for one in new
        ]
    add_items(holder, "Bag", [struct_item(fields) for fields in items])
    return True


def _remove(entry: Found) -> bool:
    if not isinstance(entry.value.source, etree._Element):
        return False
    remove_item(entry.value.source)
    return True


def _regions(tree: Packet) -> Iterable[Value]:
    for value in tree.properties(NAMESPACES["mwg-rs"], "Regions"):
        listed = value.fields().get("RegionList")
        yield from listed.items() if listed is not None else []


def _drop_dimensions(tree: Packet) -> None:
    """Remove the regions of the MWG if nothing but their dimensions is left."""
    element = property_element(tree, "mwg-rs:Regions")
    if element is not None and set(Value(element).fields()) <= {"AppliedToDimensions", "RegionList"}:
        remove_item(element)


def _set_dimensions(tree: Packet, size: tuple[int, int]) -> bool:
    element = property_element(tree, "mwg-rs:Regions")
    assert element is not None
    fields = {"stDim:w": str(size[0]), "stDim:h": str(size[1]), "stDim:unit": "pixel"}
    stated = Value(element).fields().get("AppliedToDimensions")
    if stated is None:
        holder = _field_element(struct_holder(element), "mwg-rs:AppliedToDimensions")
        stated = Value(struct_holder(holder))
    for key, value in fields.items():
        set_field(stated, key, value)
    return True


def _field_element(holder: etree._Element, field: str) -> etree._Element:
    local = field.partition(":")[2]
    for child in holder.iterchildren(tag=etree.Element):
        if str(child.tag).rpartition("}")[2] == local:
            return child
    prefix = field.partition(":")[0]
    made = etree.Element(f"{{{NAMESPACES[prefix]}}}{local}", nsmap={prefix: NAMESPACES[prefix]})
    insert(holder, made)
    return made


def _digits(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if round(value, 6) else "0"


def _area(box: Box) -> dict[str, str]:
    x1, y1, x2, y2 = box
    return {
        "stArea:x": _digits((x1 + x2) / 2),
        "stArea:y": _digits((y1 + y2) / 2),
        "stArea:w": _digits(x2 - x1),
        "stArea:h": _digits(y2 - y1),
        "stArea:unit": "normalized",
    }


def _rectangle(box: Box) -> str:
    x1, y1, x2, y2 = box
    return ", ".join(map(_digits, (x1, y1, x2 - x1, y2 - y1)))


def _merge_names(tree: Packet, wanted: Sequence[Region], previous: Sequence[Region]) -> bool:
    """Add the names of regions to the lists of people and keywords, and remove those of former regions."""
    names = list({same_name(one.name): one.name for one in wanted if one.name}.values())
    left = [one.name for one in find_regions(tree, None, "", []) if one.name]
    known = {same_name(name) for name in [*names, *left]}
    gone = {same_name(one.name) for one in previous if one.name} - known
    changed = _merge_list(tree, "Iptc4xmpExt:PersonInImage", "Bag", names, gone)
    changed |= _merge_tags(tree, "digiKam:TagsList", "Seq", "/", names, gone)
    changed |= _merge_tags(tree, "lr:hierarchicalSubject", "Bag", "|", names, gone)
    if tree.properties(NAMESPACES["MicrosoftPhoto"], "LastKeywordXMP"):
        changed |= _merge_tags(tree, "MicrosoftPhoto:LastKeywordXMP", "Bag", "/", names, gone)
    return changed


def _texts(tree: Packet, field: str) -> list[str]:
    prefix, _, local = field.partition(":")
    return [item.text() for value in tree.properties(NAMESPACES[prefix], local)[:1] for item in value.items()]


def _merge_list(tree: Packet, field: str, kind: ListKind, names: list[str], gone: set[str]) -> bool:
    texts = _texts(tree, field)
    there = {same_name(text) for text in texts}
    new = [name for name in names if same_name(name) not in there]
    return _change(tree, field, kind, {text for text in texts if same_name(text) in gone}, new)


def _merge_tags(
    tree: Packet, field: str, kind: ListKind, separator: str, names: list[str], gone: set[str]
) -> bool:
    paths = _texts(tree, field)
    # A name with the separator would become a path.
    names = [name for name in names if separator not in name]
    there = {same_name(name) for name in people_of_tags(paths, separator, {same_name(one) for one in names})}
    split = {path: [part.strip() for part in path.split(separator) if part.strip()] for path in paths}
    below = {
        path: parts for path, parts in split.items() if len(parts) > 1 and parts[0].casefold() in PEOPLE_TAGS
    }
    root = next(iter(below.values()), [_ROOT_TAG])[0]
    new = [f"{root}{separator}{name}" for name in names if same_name(name) not in there]
    old = {path for path, parts in below.items() if len(parts) == 2 and same_name(parts[1]) in gone}
    return _change(tree, field, kind, old, new)


def _change(tree: Packet, field: str, kind: ListKind, old: set[str], new: list[str]) -> bool:
    """Replace texts of a list by others."""
    if not old and not new:
        return False
    element = property_element(tree, field)
    if element is None:
        element = add_property(tree, field)
    new = list(new)
    gone = [item.source for item in Value(element).items() if item.text() in old]
    for item in gone:
        if isinstance(item, etree._Element) and new:
            set_text(item, new.pop(0))  # a name that has changed keeps its place
        elif isinstance(item, etree._Element):
            remove_item(item)
    add_items(element, kind, [text_item(text) for text in new])
    return True
