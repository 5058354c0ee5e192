"""RAW files: which picture in them is read, how it is turned, and what hostile files cannot do."""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from raw_files import KINDS, TIFF_KINDS, jpeg, raw_file

from faceindex.errors import ImageError, Reason
from faceindex.images import decode, openers, probe, raw, read_picture, sniff
from faceindex.images.limits import BASE_BYTES, limit_memory
from faceindex.images.raw import full_size, raw_picture
from faceindex.images.raw_boxes import cr3
from faceindex.images.raw_tiff import raw_tiff
from faceindex.types import Image

FORMATS = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"
PREVIEW = jpeg()
SMALL = jpeg(1000, 40)
RED = (230, 20, 20)


def is_red(image: Image, row: int, column: int) -> bool:
    return bool(np.abs(image[row, column].astype(int) - RED).max() < 12)


def failure(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, "a.raw")
    if caught.value.reason is not Reason.CORRUPT:  # the header does not show all damage
        with pytest.raises(ImageError) as probed:
            probe(data, "a.raw")
        assert probed.value.reason is caught.value.reason
    return caught.value


@pytest.fixture
def without_libraw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openers, "optional_opener", lambda _: None)


# The preview ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_preview_of_every_kind_is_read_upright(kind: str, without_libraw: None) -> None:
    data = raw_file(kind, PREVIEW, orientation=6)
    assert sniff(data) == "RAW"
    found = raw_picture(data)
    assert found.preview is not None
    assert data[slice(*found.preview)] == PREVIEW
    decoded = decode(data, "x")
    turned = kind not in ("CRW", "RAF")  # which state the orientation in the preview only
    assert (decoded.width, decoded.height) == ((800, 1200) if turned else (1200, 800))
    assert is_red(decoded.image, 40, -40 if turned else 40)
    assert probe(data, "x") == (decoded.width, decoded.height, "RAW")
    assert decoded.note is None
    assert decode(data, "x", shrink=4).image.shape[:2] == (decoded.height // 4, decoded.width // 4)
    assert read_picture(data).orientation == (6 if turned else 1)


@pytest.mark.parametrize("kind", TIFF_KINDS)
def test_previews_are_found_by_the_structure(kind: str) -> None:
    data = raw_file(kind, PREVIEW)
    at = data.index(PREVIEW)
    assert (at, at + len(PREVIEW)) in raw_tiff(data).pictures


def test_the_largest_preview_is_read_whatever_its_place() -> None:
    large = jpeg(1600, 1000)
    assert decode(raw_file("CR3", large), "x").width == 1600  # PRVW has 640
    one, other = raw_file("NEF", large), raw_file("NEF", jpeg(640, 400))
    assert decode(one, "x").width == 1600
    assert raw_picture(other).preview is None
    # A preview that no directory leads to.
    assert decode(other + bytes(9) + large, "x").width == 1600


@pytest.mark.parametrize(
    ("size", "sensor", "expected"),
    [
        ((160, 120), 300, False),
        ((640, 480), 4000, False),
        ((640, 480), 1280, True),
        ((999, 666), 2000, False),
        ((999, 666), 0, False),
        ((1024, 768), 9000, True),
        ((680, 1024), 0, True),
    ],
)
def test_which_previews_are_full_size(size: tuple[int, int], sensor: int, expected: bool) -> None:
    assert full_size(*size, sensor) is expected


def test_a_preview_that_is_incomplete_is_not_chosen(without_libraw: None) -> None:
    whole = raw_file("NEF", PREVIEW)
    at = whole.index(PREVIEW)
    damaged = whole[: at + len(PREVIEW) - 2] + bytes(2) + whole[at + len(PREVIEW) :]
    assert raw_picture(damaged).preview is None
    assert failure(damaged).reason is Reason.UNSUPPORTED
    cut = raw_file("CR3", PREVIEW)
    assert failure(cut[: cut.index(PREVIEW) + 5000]).reason is Reason.TRUNCATED


def test_a_copy_that_lacks_its_end_is_read_with_a_note() -> None:
    for kind in ("CR3", "RAF"):
        note = decode(raw_file(kind, PREVIEW)[:-900], "x").note
        assert note == "The end of the RAW file is missing; its preview is complete."


# Orientation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [None, 3, 6])
@pytest.mark.parametrize("stated", [None, 1, 3, 8])
def test_the_orientation_of_the_file_counts_before_that_of_the_preview(
    stated: int | None, own: int | None
) -> None:
    data = raw_file("DNG", jpeg(orientation=own), orientation=stated)
    expected = next((value for value in (stated, own) if value is not None), 1)
    corner = {1: (40, 40), 3: (-40, -40), 6: (40, -40), 8: (-40, 40)}[expected]
    decoded = decode(data, "x")
    assert is_red(decoded.image, *corner)
    assert decoded.image.shape[:2] == ((1200, 800) if expected in (6, 8) else (800, 1200))
    assert read_picture(data).orientation == expected


def test_a_preview_that_is_upright_already_is_not_turned_again() -> None:
    data = raw_file("DNG", jpeg(800, 1200), orientation=6, sensor=(2400, 1600))
    assert (decode(data, "x").width, read_picture(data).orientation) == (800, 1)


# Identity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TIFF_KINDS)
@pytest.mark.parametrize("preview", [PREVIEW, None], ids=["preview", "sensor"])
def test_metadata_do_not_change_the_picture(kind: str, preview: bytes | None) -> None:
    pictures = [
        read_picture(raw_file(kind, preview, sensor=(240, 160), orientation=orientation, note=note))
        for orientation, note in ((1, "a"), (6, "a longer note " * 99))
    ]
    if preview is None and kind == "CR2":
        return  # without a preview, nothing in it is known: the file is hashed whole
    assert pictures[0].hash == pictures[1].hash
    other = raw_file(kind, jpeg(seed=1) if preview else None, sensor=(244, 160))
    assert read_picture(other).hash != pictures[0].hash


def test_the_capture_date() -> None:
    expected = 1565157904  # 2019-08-07 06:05:04
    for kind, preview in itertools.product((*TIFF_KINDS, "CR3"), (PREVIEW, None)):
        assert read_picture(raw_file(kind, preview, sensor=(240, 160))).taken == expected, kind


def test_a_preview_is_the_same_picture_as_the_file_that_it_becomes() -> None:
    assert read_picture(raw_file("NEF", PREVIEW)).hash == read_picture(PREVIEW).hash


# Without a preview -----------------------------------------------------------------------------------


def test_sensor_data_are_decoded_by_libraw_upright() -> None:
    pytest.importorskip("rawpy")
    for orientation, size in ((1, (240, 160)), (6, (160, 240))):
        data = raw_file("DNG", None, sensor=(240, 160), orientation=orientation)
        decoded = decode(data, "x")
        assert (decoded.width, decoded.height) == size == probe(data, "x")[:2]
        bright = decoded.image[:60] if orientation == 1 else decoded.image[:, -60:]
        dark = decoded.image[-60:] if orientation == 1 else decoded.image[:, :60]
        assert bright.mean() > dark.mean() + 50
        for shrink in (2, 4, 8):
            small = decode(data, "x", shrink=shrink)
            assert small.image.shape == (-(-size[1] // shrink), -(-size[0] // shrink), 3)


def test_without_a_preview_and_libraw_the_error_names_the_extra(without_libraw: None) -> None:
    error = failure(raw_file("DNG", None, sensor=(240, 160)))
    assert error.reason is Reason.UNSUPPORTED
    assert "a RAW file without a full-size preview" in error.detail
    assert 'pip install "faceindex[raw]"' in error.remedy


def test_sensor_data_that_are_missing_or_empty_are_no_black_photo(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rawpy")
    data = raw_file("DNG", None, sensor=(240, 160))
    ((start, end),) = raw_picture(data).sensor
    empty = data[:start] + bytes(end - start) + data[end:]
    for damaged in (raw_file("ARW", None), raw_file("NEF", None), empty):
        assert failure(damaged).reason in (Reason.CORRUPT, Reason.TRUNCATED)
    assert capfd.readouterr().err == ""  # LibRaw prints to the process's own standard error


# Limits and hostile files ----------------------------------------------------------------------------


def test_the_limits_hold_for_raw_files() -> None:
    with pytest.raises(ImageError) as caught:
        decode(raw_file("NEF", PREVIEW), "x", max_pixels=100_000)
    assert caught.value.reason is Reason.TOO_LARGE
    pytest.importorskip("rawpy")
    data = raw_file("DNG", None, sensor=(2400, 1600))
    with limit_memory(BASE_BYTES + (64 << 20)), pytest.raises(ImageError) as caught:
        decode(data, "x")
    assert caught.value.reason is Reason.MEMORY


def test_directories_that_lead_to_each_other_end() -> None:
    data = bytearray(b"II*\0" + struct.pack("<I", 8))
    entry = struct.pack("<HHII", 330, 4, 1, 8)
    data += struct.pack("<H", 1) + entry + struct.pack("<I", 8)
    assert sniff(bytes(data)) == "TIFF"
    assert raw_tiff(bytes(data)).pictures == []


@pytest.mark.parametrize("count", [0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
def test_absurd_counts_and_places(count: int) -> None:
    """Every field of 4 bytes of the directories, one after the other, states an absurd number."""
    for kind in ("NEF", "ORF"):
        data = raw_file(kind, SMALL, sensor=(40, 20))
        order = ">I" if kind == "NEF" else "<I"
        starts = [start for start in range(4, len(data) - 3, 2) if start < 12 or start > len(data) - 300]
        began = time.perf_counter()
        for start in starts:
            damaged = bytearray(data)
            struct.pack_into(order, damaged, start, count)
            raw_picture(bytes(damaged))
        assert time.perf_counter() - began < 10


def test_boxes_with_absurd_sizes_end() -> None:
    data = raw_file("CR3", SMALL, sensor=(40, 20))
    for kind in (b"moov", b"uuid", b"CMT1", b"PRVW", b"trak", b"stbl", b"stsz", b"co64", b"mdat"):
        at = data.index(kind) - 4
        for size in (0, 1, 7, 8, 0x7FFFFFFF, 0xFFFFFFFF):
            raw_picture(data[:at] + struct.pack(">I", size) + data[at + 4 :])
    nested = b"".join(struct.pack(">I4s", 80_000 - 8 * i, b"trak") for i in range(9_000))
    assert cr3(b"\0\0\0\x18ftypcrx " + bytes(12) + nested).pictures == []


def test_a_file_full_of_beginnings_takes_no_time() -> None:
    data = b"FUJIFILMCCD-RAW " + bytes(200) + b"\xff\xd8\xff\xe0\0\2" * 400_000
    began = time.perf_counter()
    assert raw_picture(data).preview is None
    assert time.perf_counter() - began < 5


def test_an_end_marker_is_searched_for_once() -> None:
    jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08\2\0\2\0\1\1\x11\0\xff\xda\0\2"
    data = jpeg * 3 + b"\xff\xd9" + jpeg + bytes(9)
    first_end = 3 * len(jpeg) + 2
    assert [end for _, end in raw._search(data)] == [first_end] * 3 + [len(data)]

    class Data(bytes):
        found = 0

        def find(self, *arguments: object) -> int:
            Data.found += arguments[0] == b"\xff\xd9"
            return super().find(*arguments)  # type: ignore[arg-type]

    assert len(raw._search(Data(jpeg * 50 + bytes(9)))) == 50
    assert Data.found == 1


def test_a_tiff_of_a_scanner_is_no_raw_file() -> None:
    import io

    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.new("RGB", (9, 9)).save(buffer, "TIFF", tiffinfo={271: "NIKON CORPORATION"})
    assert sniff(buffer.getvalue()) == "TIFF"


# Real files, and a peer ------------------------------------------------------------------------------


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs ../shared/data")
def test_a_canon_r6_without_its_sensor_data() -> None:
    data = (FORMATS / "exiv2" / "Canon-R6-pruned.CR3").read_bytes()
    decoded = decode(data, "x")
    assert (decoded.width, decoded.height) == (1620, 1080)
    assert "its preview is complete" in (decoded.note or "")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
def test_exiftool_finds_the_same_previews(tmp_path: Path) -> None:
    kinds = ("ARW", "CR2", "NEF", "ORF", "RAF", "RW2")
    for kind in kinds:
        (tmp_path / f"{kind}.{kind.lower()}").write_bytes(raw_file(kind, PREVIEW))
    tags = ("-PreviewImage", "-JpgFromRaw", "-W", f"{tmp_path}/%f.jpg")
    subprocess.run(["exiftool", "-q", "-q", "-b", *tags, str(tmp_path)], capture_output=True, check=False)
    assert {path.stem for path in tmp_path.glob("*.jpg")} == set(kinds)
    assert all(path.read_bytes() == PREVIEW for path in tmp_path.glob("*.jpg"))
