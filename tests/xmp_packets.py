"""Packets of XMP as programs write them."""

# ruff: noqa: E501 - packets have long lines

from __future__ import annotations

NAMESPACES = (
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
    'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
    'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" '
    'xmlns:MP="http://ns.microsoft.com/photo/1.2/" '
    'xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#" '
    'xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" '
    'xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0" '
    'xmlns:iptcExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:digiKam="http://www.digikam.org/ns/1.0/" '
    'xmlns:lr="http://ns.adobe.com/lightroom/1.0/" '
    'xmlns:acdsee-rs="http://ns.acdsee.com/regions/" '
    'xmlns:acdsee-stArea="http://ns.acdsee.com/sType/Area#" '
    'xmlns:acdsee-stDim="http://ns.acdsee.com/sType/Dimensions#" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
)
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'


def packet(properties: str, attributes: str = "") -> bytes:
    """Return a packet with properties, elements and attributes."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f" <rdf:RDF {RDF}>\n"
        f'  <rdf:Description rdf:about="" {NAMESPACES} {attributes}>\n{properties}\n  </rdf:Description>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n" + " " * 200 + '\n<?xpacket end="w"?>'
    ).encode()


def mwg(*items: str, dimensions: tuple[int, int] | None = (4000, 3000)) -> str:
    """Return regions of the MWG."""
    stated = (
        f'<mwg-rs:AppliedToDimensions stDim:w="{dimensions[0]}" stDim:h="{dimensions[1]}" stDim:unit="pixel"/>'
        if dimensions
        else ""
    )
    return (
        f'<mwg-rs:Regions rdf:parseType="Resource">{stated}'
        f"<mwg-rs:RegionList><rdf:Bag>{''.join(items)}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def mwg_item(x: object, y: object, w: object, h: object, name: str = "Anna", more: str = "") -> str:
    """Return a region with its centre and its size."""
    return (
        '<rdf:li rdf:parseType="Resource">'
        f'<mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:w="{w}" stArea:h="{h}" stArea:unit="normalized"/>'
        f"<mwg-rs:Name>{name}</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type>{more}</rdf:li>"
    )


def microsoft(*items: tuple[str, str]) -> str:
    """Return regions of Microsoft, each a rectangle and a name."""
    listed = "".join(
        f'<rdf:li><rdf:Description MPReg:Rectangle="{box}" MPReg:PersonDisplayName="{name}"/></rdf:li>'
        for box, name in items
    )
    return f"<MP:RegionInfo><rdf:Description><MPRI:Regions><rdf:Bag>{listed}</rdf:Bag></MPRI:Regions></rdf:Description></MP:RegionInfo>"


def bag(name: str, *items: str, kind: str = "Bag") -> str:
    """Return a property that is a list."""
    listed = "".join(f"<rdf:li>{item}</rdf:li>" for item in items)
    return f"<{name}><rdf:{kind}>{listed}</rdf:{kind}></{name}>"
