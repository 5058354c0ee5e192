"""XMP packets as trees of elements, parsed so that no packet can harm.

XMP is RDF in XML (ISO 16684-1). It has no document type: a packet with one is refused, so that entities are
never expanded and nothing is loaded from elsewhere. Size and depth are bounded.

A property may be written in several ways, which `Value` makes alike: as an attribute or an element; its
fields as attributes, as elements under ``rdf:parseType="Resource"``, or in an inner ``rdf:Description``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from lxml import etree

from faceindex.errors import ImageError, Reason
from faceindex.interchange.xmp_names import NAMESPACES

__all__ = [
    "MOST_BYTES",
    "RDF",
    "XML_LANG",
    "Packet",
    "Value",
    "matches",
    "parse_packet",
]

MOST_BYTES = 32 << 20
"""The largest packet that is parsed. Lightroom's have up to some 100 kB, with masks a few MB."""

RDF = NAMESPACES["rdf"]
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

_DESCRIPTION = f"{{{RDF}}}Description"
_LISTS = frozenset(f"{{{RDF}}}{kind}" for kind in ("Bag", "Seq", "Alt"))
_ITEM = re.compile(re.escape(f"{{{RDF}}}") + r"(?:li|_[0-9]+)\Z")

_MOST_REPAIRED = 2 << 20  # characters

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: they begin alike
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]*?\?>")
_ENCODING = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_DOCUMENT_TYPE = re.compile(r"<!(?:DOCTYPE|ENTITY)")
_ROOT = re.compile(r"<(?:([\w.-]+):)?(xmpmeta|xapmeta|RDF)[\s>]")
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_REFERENCE = re.compile("&#(x[0-9A-Fa-f]{1,8}|[0-9]{1,8});")
_REMEDY = "Save its metadata again with the program that wrote it, or leave it out."


def _bare(uri: str) -> str:
    return uri.rstrip("/#")


def _key(name: str) -> tuple[str, str]:
    """Return the namespace, without its end, and the local name of ``{uri}local``."""
    uri, _, local = name.rpartition("}")
    return _bare(uri[1:]), local


def matches(name: object, namespace: str, local: str) -> bool:
    """Return whether the name of an element or attribute, ``{uri}local``, is this one.

    A final ``/`` or ``#`` of the namespace is not compared: programs leave it out, or add it.
    """
    return isinstance(name, str) and _key(name) == (_bare(namespace), local)


class Value:
    """The value of a property, of a field, or of an item of a list.

    Parameters
    ----------
    source : etree._Element or str
        The element of the property, or the text of an attribute.
    """

    __slots__ = ("source",)

    def __init__(self, source: etree._Element | str) -> None:
        self.source = source

    def text(self) -> str:
        """Return a simple value, or the first item of a list, without spaces around it; ``""`` if none."""
        if isinstance(self.source, str):
            return self.source.strip()
        items = list(self._items())
        if items:
            default = [item for item in items if item.get(XML_LANG) == "x-default"]
            return Value((default or items)[0]).text()
        resource = self.source.get(f"{{{RDF}}}resource")
        if resource is not None:
            return resource.strip()
        if next(self.source.iterchildren(tag=etree.Element), None) is None:
            return str(self.source.xpath("string()")).strip()
        # A value with qualifiers, ISO 16684-1, section 7.8.
        values = [v for holder in self.holders() for v in holder.iterchildren(tag=f"{{{RDF}}}value")]
        return Value(values[0]).text() if values else ""

    def fields(self) -> dict[str, Value]:
        """Return the fields of a structure by their local names, whatever their namespaces."""
        found: dict[str, Value] = {}
        for holder in self.holders():
            for name, text in holder.attrib.items():
                if isinstance(name, str) and not name.startswith((f"{{{RDF}}}", "{http://www.w3.org/XML/")):
                    found.setdefault(name.rpartition("}")[2], Value(str(text)))
            for child in holder.iterchildren(tag=etree.Element):
                found.setdefault(str(child.tag).rpartition("}")[2], Value(child))
        return found

    def holders(self) -> list[etree._Element]:
        """Return the elements that hold the fields of a structure."""
        if isinstance(self.source, str):
            return []
        inner = [child for child in self.source.iterchildren(tag=etree.Element) if child.tag == _DESCRIPTION]
        return [self.source, *inner]

    def items(self) -> list[Value]:
        """Return the items of a list; a single value counts as a list of one."""
        if isinstance(self.source, str):
            return [self] if self.source.strip() else []
        if any(child.tag in _LISTS for child in self.source.iterchildren(tag=etree.Element)):
            return [Value(item) for item in self._items()]
        return [self] if self.text() or self.fields() else []

    def _items(self) -> Iterator[etree._Element]:
        assert not isinstance(self.source, str)
        for kind in self.source.iterchildren(tag=etree.Element):
            if kind.tag in _LISTS:
                for item in kind.iterchildren(tag=etree.Element):
                    if _ITEM.match(str(item.tag)):
                        yield item


class Packet:
    """A parsed packet.

    Parameters
    ----------
    root : etree._Element
        ``x:xmpmeta`` or ``rdf:RDF``.

    Attributes
    ----------
    root : etree._Element
    rdf : etree._Element or None
        ``rdf:RDF``.
    descriptions : list of etree._Element
        The blocks ``rdf:Description``, each with some of the properties.
    added : etree._Element or None
        The block of properties that were added after parsing.
    """

    def __init__(self, root: etree._Element) -> None:
        self.root = root
        self._index: dict[tuple[str, str], list[Value]] | None = None
        self.added: etree._Element | None = None
        tag = f"{{{RDF}}}RDF"
        self.rdf = root if root.tag == tag else next(root.iter(tag), None)
        self.descriptions = [] if self.rdf is None else list(self.rdf.iterchildren(tag=_DESCRIPTION))

    def properties(self, namespace: str, local: str) -> list[Value]:
        """Return the values of a property; one at most in a well-formed packet."""
        if self._index is not None:
            return self._index.get((_bare(namespace), local), [])
        return [value for key, value in self._all() if key == (_bare(namespace), local)]

    def index(self) -> None:
        """Find properties faster from now on. The packet must not be changed afterwards."""
        self._index = {}
        for key, value in self._all():
            self._index.setdefault(key, []).append(value)

    def _all(self) -> Iterator[tuple[tuple[str, str], Value]]:
        for block in self.descriptions:
            for name, text in block.attrib.items():
                yield _key(str(name)), Value(str(text))
            for child in block.iterchildren(tag=etree.Element):
                yield _key(str(child.tag)), Value(child)


def parse_packet(data: bytes, name: str, *, repair: bool = False) -> Packet:
    """Parse a packet.

    Parameters
    ----------
    data : bytes
        In UTF-8, UTF-16 or UTF-32, or in the encoding of its XML declaration; with or without the wrapper
        ``<?xpacket?>``, padding, and a byte order mark.
    name : str
        For messages: the file.
    repair : bool
        Also accept characters that XML forbids, prefixes without a namespace, and text around the packet. Not
        for a packet that is written again.

    Raises
    ------
    ImageError
        ``CORRUPT``, if it is not well-formed XMP; ``MEMORY``, if it is too large.
    """
    if len(data) > MOST_BYTES:
        raise ImageError(name, Reason.MEMORY, f"its XMP has {len(data):,} bytes.", _REMEDY)
    text = _decode(data)
    declared = _DECLARATION.match(text)
    if declared is not None:
        text = text[declared.end() :]
    text = text.strip("\0 \t\r\n")
    if not text:
        raise ImageError(name, Reason.EMPTY, "its XMP is empty.", _REMEDY)
    if _DOCUMENT_TYPE.search(text):
        raise ImageError(name, Reason.CORRUPT, "its XMP has a document type, which XMP forbids.", _REMEDY)
    try:
        root = _parse(text)
    except etree.XMLSyntaxError as error:
        if not repair or len(text) > _MOST_REPAIRED:
            raise _damaged(name, error) from error
        try:
            root = _parse(_repaired(text))
        except etree.XMLSyntaxError:
            raise _damaged(name, error) from error
    packet = Packet(root)
    if packet.rdf is None:
        raise ImageError(name, Reason.CORRUPT, "it has no XMP (there is no element rdf:RDF).", _REMEDY)
    return packet


def _damaged(name: str, error: etree.XMLSyntaxError) -> ImageError:
    return ImageError(
        name, Reason.CORRUPT, f"its XMP is damaged ({' '.join(str(error.msg).split())}).", _REMEDY
    )


def _parse(text: str) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,  # limits depth to 256 and a text to 10 MB
        strip_cdata=False,
        encoding="utf-8",
    )
    return etree.fromstring(text.encode("utf-8", "replace"), parser)


def _decode(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if data[:4] == b"<\0\0\0" or data[:4] == b"\0\0\0<":
        return data.decode("utf-32-le" if data[:1] == b"<" else "utf-32-be", "replace")
    if data[:2] == b"<\0" or data[:2] == b"\0<":
        return data.decode("utf-16-le" if data[:1] == b"<" else "utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        declared = _ENCODING.match(data)
        encoding = declared.group(1).decode() if declared else "cp1252"
        try:
            return data.decode(
                "cp1252" if encoding.lower().replace("-", "") == "utf8" else encoding, "replace"
            )
        except (LookupError, ValueError):
            return data.decode("utf-8", "replace")


def _repaired(text: str) -> str:
    """Return the packet alone, without forbidden characters, with all prefixes declared."""
    start = _ROOT.search(text)
    if start is not None:
        prefix = f"{start.group(1)}:" if start.group(1) else ""
        closing = f"</{prefix}{start.group(2)}>"
        end = text.rfind(closing)
        text = text[start.start() : end + len(closing) if end >= 0 else None]
    text = _FORBIDDEN.sub("", _REFERENCE.sub(_allowed, text))
    used = set(re.findall(r"[<\s/]([A-Za-z_][\w.-]*):[A-Za-z_]", text)) - {"xml", "xmlns"}
    declared = set(re.findall(r"\sxmlns:([\w.-]+)\s*=", text))
    missing = "".join(
        f' xmlns:{prefix}="{NAMESPACES.get(prefix, f"urn:undeclared:{prefix}")}"'
        for prefix in sorted(used - declared)
    )
    start = _ROOT.search(text)
    if start is not None and missing:
        text = text[: start.end() - 1] + missing + text[start.end() - 1 :]
    return text


def _allowed(reference: re.Match[str]) -> str:
    number = reference.group(1)
    code = int(number[1:], 16) if number.startswith("x") else int(number)
    legal = (
        code in (9, 10, 13)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )
    return reference.group() if legal else ""
