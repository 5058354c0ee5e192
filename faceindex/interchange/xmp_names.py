"""The namespaces of XMP in which programs store people, and the places of people among keywords."""

from __future__ import annotations

__all__ = ["NAMESPACES", "PEOPLE_TAGS"]

NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "acdsee-rs": "http://ns.acdsee.com/regions/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
}
"""By the prefixes that programs use for them."""

PEOPLE_TAGS = frozenset(
    tag.casefold()
    for tag in ("People", "Persons", "Personen", "Personnes", "Personas", "Persone", "Pessoas", "Personer")
)
"""The keywords below which names of people are, in lower case.

digiKam creates ``People``, in the language of its user; Lightroom imports that keyword from it.
"""
