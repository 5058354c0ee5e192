"""Change single properties of a packet, and leave everything else as it is, with its indentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from lxml import etree

from faceindex.interchange.xmp_names import NAMESPACES
from faceindex.interchange.xmp_tree import RDF, Packet, Value, matches

__all__ = [
    "Fields",
    "ListKind",
    "add_items",
    "add_property",
    "insert",
    "new_packet",
    "property_element",
    "remove_item",
    "serialise",
    "set_field",
    "set_text",
    "struct_holder",
    "struct_item",
    "text_item",
]

Fields: TypeAlias = "Mapping[str, str | Fields]"
"""Fields of a structure, ``prefix:local``, with their texts or their own fields."""

ListKind: TypeAlias = Literal["Bag", "Seq"]

_ABOUT = f"{{{RDF}}}about"
_DESCRIPTION = f"{{{RDF}}}Description"
_RESOURCE = (f"{{{RDF}}}parseType", "Resource")
_LI = f"{{{RDF}}}li"
_BEGIN = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'  # XMP Specification Part 1, section 7.3.2
)
_END = '\n<?xpacket end="w"?>\n'
_UNIT = " "


def new_packet() -> Packet:
    """Return a packet without properties."""
    root = etree.Element(f"{{{NAMESPACES['x']}}}xmpmeta", nsmap={"x": NAMESPACES["x"]})
    root.set(f"{{{NAMESPACES['x']}}}xmptk", "faceindex")
    root.text = "\n" + _UNIT
    rdf = etree.SubElement(root, f"{{{RDF}}}RDF", nsmap={"rdf": RDF})
    rdf.tail = "\n"
    return Packet(root)


def serialise(packet: Packet) -> bytes:
    """Return a packet with its wrapper, in UTF-8."""
    if packet.added is not None:
        etree.cleanup_namespaces(packet.added)
    parts = [etree.tostring(packet.root, encoding="unicode", with_tail=False)]
    before, after = packet.root.getprevious(), packet.root.getnext()
    while before is not None:
        if not _is_wrapper(before):
            parts.insert(0, etree.tostring(before, encoding="unicode", with_tail=False) + "\n")
        before = before.getprevious()
    while after is not None:
        if not _is_wrapper(after):
            parts.append("\n" + etree.tostring(after, encoding="unicode", with_tail=False))
        after = after.getnext()
    return (_BEGIN + "".join(parts) + _END).encode()


def _is_wrapper(node: etree._Element) -> bool:
    return isinstance(node, etree._ProcessingInstruction) and node.target == "xpacket"


def _name(field: str, namespace: str | None = None) -> str:
    prefix, _, local = field.rpartition(":")
    return f"{{{namespace or NAMESPACES[prefix]}}}{local}"


def _element(field: str, namespace: str | None = None) -> etree._Element:
    prefix = field.rpartition(":")[0]
    name = _name(field, namespace)
    return etree.Element(name, nsmap={prefix: name[1:].partition("}")[0]})


def _fill(holder: etree._Element, fields: Fields) -> None:
    holder.set(*_RESOURCE)
    for field, value in fields.items():
        child = _element(field)
        holder.append(child)
        if isinstance(value, str):
            child.text = value
        else:
            _fill(child, value)


def struct_item(fields: Fields) -> etree._Element:
    """Return a new item of a list, a structure."""
    item = etree.Element(_LI, nsmap={"rdf": RDF})
    _fill(item, fields)
    return item


def text_item(text: str) -> etree._Element:
    """Return a new item of a list, a text."""
    item = etree.Element(_LI, nsmap={"rdf": RDF})
    item.text = text
    return item


def add_property(packet: Packet, field: str, fields: Fields | None = None) -> etree._Element:
    """Add a property, with the fields of a structure if it is one; return it.

    All that are added to a packet are in one block of their own, as programs write them.
    """
    assert packet.rdf is not None
    if packet.added is None:
        about = [one.get(_ABOUT) for one in packet.descriptions if one.get(_ABOUT)]
        packet.added = etree.Element(_DESCRIPTION, nsmap=NAMESPACES)
        packet.added.set(_ABOUT, about[0] or "" if about else "")
        insert(packet.rdf, packet.added)
        packet.descriptions.append(packet.added)
    made = _element(field)
    if fields is not None:
        _fill(made, fields)
    insert(packet.added, made)
    return made


def list_of(holder: etree._Element, kind: ListKind) -> etree._Element:
    """Return the list in an element; it is made if there is none, with a single value as its item."""
    for child in holder.iterchildren(tag=etree.Element):
        if child.tag in (f"{{{RDF}}}Bag", f"{{{RDF}}}Seq", f"{{{RDF}}}Alt"):
            return child
    made = etree.Element(f"{{{RDF}}}{kind}", nsmap={"rdf": RDF})
    if len(holder) or holder.attrib or (holder.text or "").strip():
        item = etree.SubElement(made, _LI)
        for name, text in holder.attrib.items():
            item.set(name, text)
        item.text = holder.text
        item.extend(list(holder))
        holder.attrib.clear()
    holder.text = None
    insert(holder, made)
    return made


def add_items(holder: etree._Element, kind: ListKind, items: Sequence[etree._Element]) -> None:
    """Append items to the list in an element."""
    target = list_of(holder, kind) if items else holder
    for item in items:
        insert(target, item)


def property_element(packet: Packet, field: str) -> etree._Element | None:
    """Return the element of a property; one that is an attribute is made an element."""
    namespace, local = NAMESPACES[field.partition(":")[0]], field.partition(":")[2]
    for block in packet.descriptions:
        for child in block.iterchildren(tag=etree.Element):
            if matches(child.tag, namespace, local):
                return child
        for name in block.attrib:
            if matches(name, namespace, local):
                element = etree.Element(str(name), nsmap={field.partition(":")[0]: namespace})
                element.text = str(block.attrib.pop(str(name)))
                insert(block, element)
                return element
    return None


def struct_holder(element: etree._Element) -> etree._Element:
    """Return the element to which fields of a structure are added; an empty element becomes a structure."""
    for child in element.iterchildren(tag=_DESCRIPTION):
        return child
    if element.get(_RESOURCE[0]) is None:
        # Fields that are attributes of the element may not be mixed with elements.
        fields = {
            name: text for name, text in element.attrib.items() if not str(name).startswith(f"{{{RDF}}}")
        }
        for name, text in fields.items():
            del element.attrib[name]
            etree.SubElement(element, str(name)).text = str(text)
        element.set(*_RESOURCE)
    return element


def set_field(item: Value, field: str, text: str) -> None:
    """Set a field of a structure, where and as it is written; add it if there is none."""
    local = field.partition(":")[2]
    for holder in item.holders():
        for name in holder.attrib:
            if str(name).rpartition("}")[2] == local and not str(name).startswith(f"{{{RDF}}}"):
                holder.set(str(name), text)
                return
        for child in holder.iterchildren(tag=etree.Element):
            if str(child.tag).rpartition("}")[2] == local:
                set_text(child, text)
                return
    assert isinstance(item.source, etree._Element)
    source = item.source
    if len(source) == 0 and source.get(_RESOURCE[0]) is None:  # fields are attributes
        source.set(_name(field), text)
        return
    added = _element(field)
    added.text = text
    insert(struct_holder(source), added)


def set_text(element: etree._Element, text: str) -> None:
    """Set a simple value, or that of the language which counts."""
    value = Value(element)
    items = value.items()
    if items and items[0].source is not element and isinstance(items[0].source, etree._Element):
        language = "{http://www.w3.org/XML/1998/namespace}lang"
        sources = [one.source for one in items if isinstance(one.source, etree._Element)]
        default = [one for one in sources if one.get(language) == "x-default"]
        set_text((default or sources)[0], text)
        return
    inner = next(element.iterchildren(tag=f"{{{RDF}}}value"), None)
    target = element if inner is None else inner
    for child in list(target):  # in the place of a simple value: a damaged one
        target.remove(child)
    for name in [name for name in target.attrib if str(name).startswith(f"{{{RDF}}}")]:
        del target.attrib[name]
    target.text = text


def remove_item(element: etree._Element) -> None:
    """Remove an element and the space before it; what it leaves empty is removed, too, up to its block."""
    parent = element.getparent()
    if parent is None:
        return
    before = element.getprevious()
    if before is not None and element.getnext() is None:
        before.tail = element.tail
    parent.remove(element)
    if len(parent) or (parent.text or "").strip():
        return
    parent.text = None
    names = {str(name) for name in parent.attrib}
    if parent.tag != f"{{{RDF}}}RDF" and names <= {_ABOUT, _RESOURCE[0]}:
        remove_item(parent)


def insert(parent: etree._Element, child: etree._Element) -> None:
    """Append an element, indented as its siblings are."""
    if len(parent):
        last = parent[-1]
        lead = parent.text or ""
        lead = lead if not lead.strip() else ""
        child.tail, last.tail = last.tail, lead
    else:
        outer = _lead(parent)
        outer = "\n" + outer.rpartition("\n")[2] if "\n" in outer else ""  # without empty lines
        lead = outer + _UNIT if outer else ""
        parent.text, child.tail = lead or None, outer if lead else None
    parent.append(child)
    _indent(child, lead)


def _lead(element: etree._Element) -> str:
    """Return the space before an element."""
    before, parent = element.getprevious(), element.getparent()
    text = (before.tail if before is not None else parent.text if parent is not None else "") or ""
    if before is None and parent is None:
        return "\n"
    return text if not text.strip() else ""


def _indent(element: etree._Element, lead: str) -> None:
    """Indent the children of an element; without a line break before it, they stay in its line."""
    if "\n" not in lead or not len(element):
        return
    lead = "\n" + lead.rpartition("\n")[2]  # without empty lines
    element.text = lead + _UNIT
    for child in element:
        child.tail = lead + _UNIT
        _indent(child, lead + _UNIT)
    element[-1].tail = lead
