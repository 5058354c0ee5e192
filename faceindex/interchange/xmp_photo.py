"""The people of a photo, from its file and its sidecars."""

# ruff: noqa: PTH118, PTH122, PTH208 - paths as text: names may be of any encoding

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from os import PathLike

from faceindex.addresses import as_path
from faceindex.errors import ImageError, Reason
from faceindex.images import read, read_picture
from faceindex.images.decoder import probe
from faceindex.images.exif import SWAPS_SIDES
from faceindex.images.formats import sniff
from faceindex.images.opening import open_photo, read_head
from faceindex.images.pixel_data_heif import turn_of_picture
from faceindex.interchange.regions import Region, SourcePhoto
from faceindex.interchange.xmp_embedded import packet_in
from faceindex.interchange.xmp_reading import SAME_PLACE, XmpPeople, read_people, same_name
from faceindex.interchange.xmp_regions import has_regions, overlap
from faceindex.interchange.xmp_source import BytesSource, FileSource
from faceindex.interchange.xmp_tree import MOST_BYTES, Packet, parse_packet

__all__ = [
    "SidecarFinder",
    "find_container_turn",
    "join_people",
    "read_packets",
    "read_photo",
    "read_sidecar",
    "sidecars_of",
]

_SUFFIX = ".xmp"
_HEAD = 4096


class SidecarFinder:
    """Finds sidecars; lists a folder once for photos that follow each other."""

    def __init__(self) -> None:
        self._folder: str | None = None
        self._names: dict[str, list[str]] = {}

    def of(self, path: str | PathLike[str]) -> list[str]:
        """Return the paths of the sidecars of a photo, the one that counts most first.

        ``a.jpg.xmp`` (digiKam, darktable) belongs to ``a.jpg`` alone, and counts more than ``a.xmp``
        (Lightroom, Capture One), which belongs to all files ``a.*``. The case of letters is not compared.
        """
        text = os.fspath(path)
        folder, name = os.path.split(text)
        if folder != self._folder:
            self._names = {}
            try:
                listed = os.listdir(folder or os.curdir)
            except OSError:
                listed = []
            for entry in sorted(listed):
                if entry.lower().endswith(_SUFFIX):
                    self._names.setdefault(entry.casefold(), []).append(entry)
            self._folder = folder
        stem = os.path.splitext(name)[0]
        found: list[str] = []
        for wanted in (name, stem):
            entries = self._names.get(f"{wanted}{_SUFFIX}".casefold(), [])
            exact = [entry for entry in entries if entry[: len(wanted)] == wanted]
            found += [os.path.join(folder, entry) for entry in exact or entries]
        return [one for one in dict.fromkeys(found) if one != text]


def sidecars_of(path: str | PathLike[str]) -> list[str]:
    """Return the paths of the sidecars of a photo, the one that counts most first; as `SidecarFinder.of`."""
    return SidecarFinder().of(path)


def read_sidecar(path: str | PathLike[str]) -> bytes:
    """Read the file of a sidecar.

    Raises
    ------
    ImageError
        If it cannot be read, or is too large.
    """
    try:
        with open_photo(path) as file:
            data = FileSource(file).read(0, MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ImageError(
            path,
            Reason.MISSING if isinstance(error, FileNotFoundError) else Reason.IO_ERROR,
            f"it cannot be read ({getattr(error, 'strerror', None) or error}).",
            "Check the disk or the network connection, and try again.",
        ) from error
    if len(data) > MOST_BYTES:
        raise ImageError(
            path, Reason.MEMORY, f"a sidecar of more than {MOST_BYTES:,} bytes is not read.", "Leave it out."
        )
    return data


def read_photo(
    path: str | PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    orientation: int | None = None,
    sidecars: Sequence[str | PathLike[str]] | None = None,
    problems: list[str],
) -> SourcePhoto:
    """Read the people of a photo, from its file and its sidecars together.

    A sidecar counts more than the file, since programs that write sidecars leave the file as it was: where
    both have a region, or a person, the sidecar's is taken.

    Parameters
    ----------
    path : path-like
    size : tuple of int, optional
        Width and height in pixels of the stored picture. None means that of the file: it is read only if
        there are regions.
    orientation : int, optional
        Its EXIF orientation, 1 to 8.
    sidecars : sequence of path-like, optional
        None means `sidecars_of` the photo.
    problems : list of str
        Receives a sentence for each packet or region that cannot be used.

    Returns
    -------
    SourcePhoto
        Its regions are on the stored picture.

    Raises
    ------
    ImageError
        If there is no such file, or it cannot be read. A damaged packet is a problem.
    """
    return join_people(
        path, read_packets(path, size=size, orientation=orientation, sidecars=sidecars, problems=problems)
    )


def read_packets(
    path: str | PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    orientation: int | None = None,
    sidecars: Sequence[str | PathLike[str]] | None = None,
    problems: list[str],
) -> list[tuple[str, XmpPeople]]:
    """Read the people of a photo by the files that have them; parameters and errors as of `read_photo`.

    Returns
    -------
    list of (str, XmpPeople)
        Paths with their people, the one that counts most first. The last one may be `path` itself. Files
        without a packet, or with a damaged one, are left out.
    """
    packets: list[tuple[str, Packet]] = []
    for sidecar in sidecars_of(path) if sidecars is None else sidecars:
        _parse(packets, sidecar, read_sidecar, problems)
    _parse(packets, path, _embedded, problems)
    regions = any(has_regions(packet) for _, packet in packets)
    turn = 1
    if regions:
        size, orientation, turn = _stored(path, size, orientation)
    read_all = [
        read_people(packet, name, size=size, orientation=orientation, container_turn=turn)
        for name, packet in packets
    ]
    for people in read_all:
        problems += people.problems
    return [(name, people) for (name, _), people in zip(packets, read_all, strict=True)]


def _parse(
    packets: list[tuple[str, Packet]],
    path: str | PathLike[str],
    read_packet: Callable[[str | PathLike[str]], bytes | None],
    problems: list[str],
) -> None:
    """Append the packet of a file to `packets`; a damaged one to `problems`."""
    name = os.fspath(path)
    try:
        data = read_packet(path)
        if data is not None:
            packet = parse_packet(data, name, repair=True)
            packet.index()
            packets.append((name, packet))
    except ImageError as error:
        if error.reason in (Reason.MISSING, Reason.IO_ERROR) and read_packet is _embedded:
            raise
        problems.append(str(error))


def _embedded(path: str | PathLike[str]) -> bytes | None:
    try:
        with open_photo(path) as file:
            return packet_in(FileSource(file) if file.seekable() else BytesSource(file.read()))
    except (OSError, ValueError) as error:
        raise ImageError(
            path,
            Reason.MISSING if isinstance(error, FileNotFoundError) else Reason.IO_ERROR,
            f"it cannot be read ({getattr(error, 'strerror', None) or error}).",
            "Check its path, and the disk or the network connection.",
        ) from error


def find_container_turn(path: str | PathLike[str], orientation: int | None = None) -> int:
    """Return the turn that a file itself applies to its picture, before it counts as stored.

    A HEIC has a rotation and a mirroring of its own (``irot``, ``imir``), which decoders apply. Regions refer
    to the picture before.

    Parameters
    ----------
    path : path-like
    orientation : int, optional
        As `faceindex.images.read_picture` returns it. None means to look: the turn may be in it.

    Returns
    -------
    int
        An EXIF orientation, 1 to 8; 1 for all other formats.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    with open_photo(path) as file:
        if sniff(read_head(file, _HEAD)) != "HEIF":
            return 1
    data = read(path)
    if (orientation or read_picture(data).orientation) != 1:
        return 1
    try:
        return turn_of_picture(data)
    except Exception:  # of any kind: its structure is damaged
        return 1


def _stored(
    path: str | PathLike[str], size: tuple[int, int] | None, orientation: int | None
) -> tuple[tuple[int, int] | None, int | None, int]:
    """Return the size, orientation and own turn of a picture; None for what its file does not state."""
    turn = 1
    try:
        if size is None or orientation is None:
            data = read(path)
            orientation = orientation or read_picture(data).orientation
            if size is None:
                width, height, _ = probe(data, path)
                size = (height, width) if orientation in SWAPS_SIDES else (width, height)
        turn = find_container_turn(path, orientation)
    except (ImageError, OSError):
        pass  # a file that is no picture, or a damaged one: the regions are taken as they are written
    return size, orientation, turn


def join_people(path: str | PathLike[str], packets: Sequence[tuple[str, XmpPeople]]) -> SourcePhoto:
    """Join the people of a photo that `read_packets` returns: the first ones count more."""
    read_all = [people for _, people in packets]
    regions: list[Region] = []
    for people in read_all:
        before = tuple(regions)
        named = {same_name(region.name) for region in before if region.name}
        for region in people.regions:
            same = next((one for one in before if overlap(one.box, region.box) >= SAME_PLACE), None)
            if same is None and not (region.name and same_name(region.name) in named):
                regions.append(region)
            elif same is not None and same.name is None and region.name and not same.rejected:
                regions[regions.index(same)] = region
    known = {same_name(region.name) for region in regions if region.name}
    people_names: dict[str, str] = {}
    for one in read_all:
        for name in one.people:
            if same_name(name) not in known:
                people_names.setdefault(same_name(name), name)
    of_regions = [people for people in read_all if people.regions]
    return SourcePhoto(
        path=as_path(path).as_posix(),
        regions=tuple(regions),
        people=tuple(people_names.values()),
        frame="stored",
        dimensions=next((people.dimensions for people in of_regions), None),
        source=", ".join(name for name, _ in packets),
    )
