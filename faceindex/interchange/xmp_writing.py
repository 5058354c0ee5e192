"""Merge the regions and names of an index into an XMP packet.

What is written: regions of the MWG with the dimensions of the picture, ``Iptc4xmpExt:PersonInImage``,
``digiKam:TagsList`` and ``lr:hierarchicalSubject`` below ``People``. Regions of Microsoft and
``MicrosoftPhoto:LastKeywordXMP`` only follow if the packet has them: Windows reads them inside of files,
not in sidecars. Regions of the IPTC and of ACDSee get new names, and are neither added nor removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lxml import etree

from faceindex.errors import ImageError, Reason
from faceindex.interchange.regions import Box, Region
from faceindex.interchange.xmp_editing import (
    Fields,
    add_items,
    add_property,
    insert,
    new_packet,
    property_element,
    remove_item,
    serialise,
    set_field,
    struct_holder,
    struct_item,
    text_item,
)
from faceindex.interchange.xmp_names import NAMESPACES, PEOPLE_TAGS
from faceindex.interchange.xmp_reading import (
    SAME_NAME_PLACE,
    SAME_PLACE,
    frame_of,
    people_of_tags,
    same_aspect,
    same_name,
    stated_orientation,
    turn_box,
    turn_of,
)
from faceindex.interchange.xmp_regions import Found, find_regions, overlap, read_dimensions
from faceindex.interchange.xmp_tree import Packet, Value, parse_packet

__all__ = ["merge_regions"]

_OURS = 0.9
"""Least intersection over union of a region and what was last exchanged of it: numbers are rounded."""

_MOVED = 2e-6  # smaller changes of a box are rounding
_CONTROL = re.compile("[\0-\x1f\x7f\ud800-\udfff\ufffe\uffff]+")
_ROOT_TAG = "People"


def merge_regions(
    packet: bytes | None,
    regions: Sequence[Region],
    *,
    previous: Sequence[Region] = (),
    dimensions: tuple[int, int],
    orientation: int = 1,
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
        On the stored picture. Those without a name, and rejected ones, are not written.
    previous : sequence of Region
        Those that were written, or read, last. The packet's regions that are still as they were then get the
        places and names of `regions`, or are removed, with their names, if they are not in `regions`.
    dimensions : tuple of int
        Width and height in pixels of the stored picture.
    orientation : int
        Its EXIF orientation, 1 to 8.
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
    wanted = [replace(one, name=_clean(one.name)) for one in regions if one.name and not one.rejected]
    wanted = [one for one in wanted if one.name]
    if packet is not None and packet.strip(b"\0 \t\r\n"):
        tree = parse_packet(packet, name)
    elif wanted:
        tree = new_packet()
    else:
        return None
    changed = _merge_places(tree, wanted, previous, dimensions, orientation, name)
    changed |= _merge_names(tree, wanted, previous, dimensions)
    if not changed:
        return None
    return serialise(tree)


def _clean(name: str | None) -> str:
    return " ".join(_CONTROL.sub(" ", name or "").split())


def _merge_places(
    tree: Packet,
    wanted: Sequence[Region],
    previous: Sequence[Region],
    size: tuple[int, int],
    orientation: int,
    name: str,
) -> bool:
    found = [one for one in find_regions(tree, size, name, []) if one.box is not None]
    stated = read_dimensions(tree, "MWG")
    turn = turn_of(orientation, stated_orientation(tree))
    frame, upright = frame_of(found, stated, size, turn)
    wanted = [replace(one, box=turn_box(one.box, turn, "stored", frame)) for one in wanted]
    previous = [replace(one, box=turn_box(one.box, turn, "stored", frame)) for one in previous]
    framed = size if frame == "stored" or turn < 5 else (size[1], size[0])
    ours = {id(one) for one in found if any(_was(one, old) for old in previous)}
    stale = upright is not None and not same_aspect(upright, framed)
    if stale and wanted and any(one.schema == "MWG" and id(one) not in ours for one in found):
        raise ImageError(
            name,
            Reason.CHANGED,
            f"it has regions of a picture of {upright[0]} x {upright[1]} pixels, "  # type: ignore[index]
            f"and the photo has {framed[0]} x {framed[1]}.",
            "Correct or remove them with the program that wrote them.",
        )
    changed = False
    for schema in ("MWG", "Microsoft", "IPTC", "ACDSee"):
        entries = [one for one in found if one.schema == schema]
        pairs = _pairs(wanted, entries, ours)
        for i, entry in pairs.items():
            changed |= _update(entry, wanted[i], id(entry) in ours)
        if schema in ("IPTC", "ACDSee"):
            continue
        matched = {id(entry) for entry in pairs.values()}
        gone = [one for one in entries if id(one) in ours and id(one) not in matched]
        new = [one for i, one in enumerate(wanted) if i not in pairs]
        changed |= _add(tree, schema, new)
        for one in gone:
            changed |= _remove(one)
    kept = read_dimensions(tree, "MWG")
    if property_element(tree, "mwg-rs:Regions") is not None:
        if not list(_regions(tree)) and changed:
            _drop_dimensions(tree)
        elif (kept is None and changed) or (stale and wanted):
            changed |= _set_dimensions(tree, framed)
    return changed


def _was(found: Found, old: Region) -> bool:
    """Return whether a region is as it was exchanged."""
    assert found.box is not None
    return same_name(found.name or "") == same_name(old.name or "") and overlap(found.box, old.box) >= _OURS


def _pairs(wanted: Sequence[Region], entries: Sequence[Found], ours: set[int]) -> dict[int, Found]:
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


def _update(entry: Found, region: Region, ours: bool) -> bool:
    changed = False
    assert region.name is not None and entry.box is not None
    different = entry.name != region.name if ours else same_name(entry.name or "") != same_name(region.name)
    if different:
        if entry.schema == "IPTC":
            inside = "PersonInImage" in entry.value.fields()
            set_field(entry.value, "Iptc4xmpExt:PersonInImage" if inside else "Iptc4xmpExt:Name", region.name)
        else:
            field = {"MWG": "mwg-rs:Name", "Microsoft": "MPReg:PersonDisplayName", "ACDSee": "acdsee-rs:Name"}
            set_field(entry.value, field[entry.schema], region.name)
        changed = True
    moved = max(abs(a - b) for a, b in zip(entry.box, region.box, strict=True)) > _MOVED
    if ours and moved and entry.schema in ("MWG", "Microsoft"):
        if entry.schema == "MWG":
            area = entry.value.fields()["Area"]
            for key, value in _area(region.box).items():
                set_field(area, key, value)
        else:
            set_field(entry.value, "MPReg:Rectangle", _rectangle(region.box))
        changed = True
    return changed


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


def _merge_names(
    tree: Packet, wanted: Sequence[Region], previous: Sequence[Region], size: tuple[int, int]
) -> bool:
    """Add the names of regions to the lists of people and keywords, and remove those of former regions."""
    names = list({same_name(one.name): one.name for one in wanted if one.name}.values())
    left = [one.name for one in find_regions(tree, size, "", []) if one.name]
    known = {same_name(name) for name in [*names, *left]}
    gone = {same_name(one.name) for one in previous if one.name} - known
    changed = _merge_list(tree, "Iptc4xmpExt:PersonInImage", "Bag", names, gone)
    changed |= _merge_tags(tree, "digiKam:TagsList", "Seq", "/", names, gone)
    changed |= _merge_tags(tree, "lr:hierarchicalSubject", "Bag", "|", names, gone)
    if property_element(tree, "MicrosoftPhoto:LastKeywordXMP") is not None:
        changed |= _merge_tags(tree, "MicrosoftPhoto:LastKeywordXMP", "Bag", "/", names, gone)
    return changed


def _items(tree: Packet, field: str) -> list[Value]:
    prefix, _, local = field.partition(":")
    return [item for value in tree.properties(NAMESPACES[prefix], local) for item in value.items()]


def _merge_list(tree: Packet, field: str, kind: str, names: list[str], gone: set[str]) -> bool:
    items = _items(tree, field)
    there = {same_name(item.text()) for item in items}
    new = [name for name in names if same_name(name) not in there]
    return _change(tree, field, kind, [item for item in items if same_name(item.text()) in gone], new)


def _merge_tags(
    tree: Packet, field: str, kind: str, separator: str, names: list[str], gone: set[str]
) -> bool:
    items = _items(tree, field)
    paths = [item.text() for item in items]
    # A name with the separator would become a path.
    names = [name for name in names if separator not in name]
    there = {same_name(name) for name in people_of_tags(paths, separator, {same_name(one) for one in names})}
    split = [[part.strip() for part in path.split(separator) if part.strip()] for path in paths]
    roots = [parts[0] for parts in split if len(parts) > 1 and parts[0].casefold() in PEOPLE_TAGS]
    root = roots[0] if roots else _ROOT_TAG
    new = [f"{root}{separator}{name}" for name in names if same_name(name) not in there]
    old = [
        item
        for item, parts in zip(items, split, strict=True)
        if len(parts) == 2 and parts[0].casefold() in PEOPLE_TAGS and same_name(parts[1]) in gone
    ]
    return _change(tree, field, kind, old, new)


def _change(tree: Packet, field: str, kind: str, old: list[Value], new: list[str]) -> bool:
    if not old and not new:
        return False
    element = property_element(tree, field)
    if element is None:
        element = add_property(tree, field)
    if new:
        add_items(element, "Seq" if kind == "Seq" else "Bag", [text_item(text) for text in new])
    for item in old:
        if isinstance(item.source, etree._Element):
            remove_item(item.source)
    return True
