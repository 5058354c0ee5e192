"""Packets inside of files, sound and hostile ones."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib

import pytest
from xmp_files import FORMATS, box, chunk, extended_jpeg, gif, heic, jpeg, png, tiff
from xmp_packets import NAMESPACES, RDF, bag, packet

from faceindex.interchange import xmp_embedded
from faceindex.interchange.xmp import embedded_xmp, read_xmp
from faceindex.interchange.xmp_embedded import packet_in
from faceindex.interchange.xmp_source import BytesSource, FileSource
from faceindex.interchange.xmp_tree import MOST_BYTES

PACKET = packet(bag("iptcExt:PersonInImage", "Åsa")).rstrip()


@pytest.mark.parametrize("form", FORMATS)
def test_a_packet_is_found_in_each_format(form: str) -> None:
    data = FORMATS[form](PACKET)
    assert embedded_xmp(data) == PACKET
    assert packet_in(FileSource(io.BytesIO(data))) == PACKET


@pytest.mark.parametrize("form", FORMATS)
def test_files_that_are_cut_short_or_damaged_never_fail(form: str) -> None:
    data = FORMATS[form](PACKET)
    draw = random.Random(form)
    for end in [*range(64), *(draw.randrange(len(data)) for _ in range(60))]:
        embedded_xmp(data[:end])
    head = max(64, len(data) - len(PACKET))
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            broken[draw.randrange(min(len(data), head))] = draw.choice(
                (0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256))
            )
        embedded_xmp(bytes(broken))


def test_no_more_of_a_file_is_read_than_leads_to_the_packet() -> None:
    class Counting(BytesSource):
        read_bytes = 0

        def read(self, position: int, length: int) -> bytes:
            part = super().read(position, length)
            self.read_bytes += len(part)
            return part

    pixels = b"\0" * 2_000_000
    for data in (
        tiff(PACKET) + pixels,
        heic(PACKET) + box(b"mdat", pixels),
        jpeg(PACKET) + pixels,
        png(PACKET) + pixels,
    ):
        source = Counting(data)
        assert packet_in(source) == PACKET
        assert source.read_bytes < len(PACKET) + 2000


EXTENSION = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about="" {NAMESPACES}>'
    f"{bag('digiKam:TagsList', 'People/Ben')}<dc:x>{'y' * 700}</dc:x></rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()


def test_an_extended_packet_is_joined() -> None:
    found = embedded_xmp(extended_jpeg(PACKET, EXTENSION))
    assert found is not None
    assert read_xmp(found, "a").people == ("Åsa", "Ben")
    assert b"HasExtendedXMP" not in found


@pytest.mark.parametrize("options", [{"lost": 0}, {"lost": 1}, {"guid": b"0" * 32}])
def test_an_incomplete_or_foreign_extension_is_left_out(options: dict[str, object]) -> None:
    found = embedded_xmp(extended_jpeg(PACKET, EXTENSION, **options))  # type: ignore[arg-type]
    assert found is not None
    assert read_xmp(found, "a").people == ("Åsa",)


def test_a_damaged_extension_is_left_out() -> None:
    found = embedded_xmp(extended_jpeg(PACKET, EXTENSION[:-40]))
    assert found is not None
    assert read_xmp(found, "a").people == ("Åsa",)


def test_compressed_text_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmp_embedded, "MOST_BYTES", 1 << 16)
    bomb = zlib.compress(PACKET + b" " * (1 << 16), 9)
    assert len(bomb) < 2000
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + bomb
    assert embedded_xmp(b"\x89PNG\r\n\x1a\n" + chunk(b"iTXt", body)) is None


@pytest.mark.parametrize(
    "extents",
    [[(0xFFFFFFF0, 100)], [(10, 0xFFFFFFFF)], [(0, 0)] * 3, [(0, 10)] * 3_000],
)
def test_items_outside_of_the_file(extents: list[tuple[int, int]]) -> None:
    found = embedded_xmp(heic(PACKET, extents=extents))
    assert found is None or len(found) <= MOST_BYTES


def test_structures_that_lead_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.perf_counter()
    monkeypatch.setattr(xmp_embedded, "_MOST_CHUNKS", 5_000)
    loop = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHIII", 1, 256, 4, 1, 1, 8)
    assert embedded_xmp(loop) is None
    many = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0xFFFF) + b"\0" * 900_000
    assert embedded_xmp(many) is None
    assert embedded_xmp(b"\0\0\0\x10ftypheic\0\0\0\0" + b"\0\0\0\x08free" * 21_000) is None
    assert embedded_xmp(b"\0\0\0\x10ftypheic\0\0\0\0" + b"\0\0\0\1free" + b"\0" * 8) is None
    assert embedded_xmp(b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe\0" * 12_000) is None
    assert embedded_xmp(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0abcd\0\0\0\0" * 12_000) is None
    assert embedded_xmp(b"\xff\xd8" + b"\xff" * 100_000) is None
    assert time.perf_counter() - started < 20


def test_a_gif_with_sub_blocks_and_one_without_a_packet() -> None:
    blocks = b"".join(
        bytes([len(part)]) + part for part in (PACKET[i : i + 255] for i in range(0, len(PACKET), 255))
    )
    data = b"GIF89a\1\0\1\0\0\0\0\x21\xff\x0bXMP DataXMP" + blocks + b"\0\x3b"
    assert embedded_xmp(data) == PACKET
    assert embedded_xmp(gif(b"")) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"hello", b"\0" * 100, b"RIFF", b"II*\0", jpeg(b" \0 ")])
def test_files_without_a_packet(data: bytes) -> None:
    assert embedded_xmp(data) is None
