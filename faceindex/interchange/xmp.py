"""People in XMP metadata: read from photos and sidecars, merged into sidecars.

`read_photo` reads all that a photo has; `read_xmp` one packet; `merge_regions` returns a packet with other
regions. docs/sidecars.md has the schemas.
"""

from __future__ import annotations

from faceindex.interchange.xmp_embedded import embedded_xmp
from faceindex.interchange.xmp_photo import (
    SidecarFinder,
    find_container_turn,
    join_people,
    read_packets,
    read_photo,
    read_sidecar,
    sidecars_of,
)
from faceindex.interchange.xmp_reading import XmpPeople, read_xmp
from faceindex.interchange.xmp_writing import merge_regions

__all__ = [
    "SidecarFinder",
    "XmpPeople",
    "embedded_xmp",
    "find_container_turn",
    "join_people",
    "merge_regions",
    "read_packets",
    "read_photo",
    "read_sidecar",
    "read_xmp",
    "sidecars_of",
]
