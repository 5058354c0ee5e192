"""Names and face regions of other programs: XMP, Picasa, digiKam, Immich, PhotoPrism and others.

Readers return plain data (`faceindex.interchange.regions`) and take no index. `faceindex.api` finds the
photos and the faces of these names in the index, and makes decisions of them.
"""
