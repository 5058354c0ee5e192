"""The people of a photo: its file and its sidecars together."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from xmp_files import MAIN, jpeg, segment
from xmp_packets import bag, mwg, mwg_item, packet

from faceindex.errors import ImageError, Reason
from faceindex.interchange.regions import SourcePhoto
from faceindex.interchange.xmp import (
    SidecarFinder,
    find_container_turn,
    read_photo,
    read_sidecar,
    sidecars_of,
)
from faceindex.orientation import to_upright

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ANNA, BEN = mwg_item(0.2, 0.35, 0.2, 0.3), mwg_item(0.8, 0.35, 0.2, 0.3, "Ben")


def real(found: SourcePhoto) -> list[tuple[str | None, list[float]]]:
    return [(region.name, [round(value, 3) for value in region.box]) for region in found.regions]


def read(path: Path, problems: list[str] | None = None) -> SourcePhoto:
    found: list[str] = []
    photo = read_photo(path, problems=found if problems is None else problems)
    assert problems is not None or not found
    return photo


def photo(
    path: Path, *, size: tuple[int, int] = (40, 30), orientation: int = 1, xmp: bytes | None = None
) -> Path:
    """Write a JPEG with an orientation and a packet."""
    exif = PIL.Image.Exif()
    exif[0x112] = orientation
    PIL.Image.new("RGB", size).save(path, "JPEG", exif=exif)
    if xmp is not None:
        data = path.read_bytes()
        path.write_bytes(data[:2] + segment(MAIN + xmp) + data[2:])
    return path


def names(found: SourcePhoto) -> list[str | None]:
    return [region.name for region in found.regions]


def test_sidecars_of_all_names(tmp_path: Path) -> None:
    for name in (
        "a.jpg",
        "a.jpg.xmp",
        "a.xmp",
        "A.XMP",
        "b.CR2",
        "B.XMP",
        "b.cr2.Xmp",
        "c.jpg",
        "ab.xmp",
        "a.b.xmp",
    ):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 10:
        pytest.skip("the file system does not distinguish upper and lower case")

    def found(name: str) -> list[str]:
        return [Path(one).name for one in sidecars_of(tmp_path / name)]

    assert found("a.jpg") == ["a.jpg.xmp", "a.xmp"]
    assert found("A.jpg") == ["a.jpg.xmp", "A.XMP"]
    assert found("a.cr2") == ["a.xmp"], "it counts for all files of this name"
    assert found("b.CR2") == ["b.cr2.Xmp", "B.XMP"]
    assert found("c.jpg") == []
    assert found("a.xmp") == []
    assert sidecars_of(tmp_path / "none" / "a.jpg") == []
    finder = SidecarFinder()
    assert finder.of(tmp_path / "a.jpg") == sidecars_of(tmp_path / "a.jpg")
    assert finder.of(tmp_path / "b.CR2") == sidecars_of(tmp_path / "b.CR2")


def test_the_file_and_its_sidecars_together(tmp_path: Path) -> None:
    path = photo(
        tmp_path / "a.jpg",
        xmp=packet(mwg(mwg_item(0.2, 0.35, 0.2, 0.3, "Anne"), BEN) + bag("iptcExt:PersonInImage", "Emil")),
    )
    assert names(read(path)) == ["Anne", "Ben"]
    (tmp_path / "a.xmp").write_bytes(packet(mwg(mwg_item(0.5, 0.8, 0.2, 0.3, "Ben"), dimensions=(800, 600))))
    (tmp_path / "a.jpg.xmp").write_bytes(packet(mwg(ANNA) + bag("iptcExt:PersonInImage", "Fritz", "Ben")))
    found = read(path)
    assert real(found) == [("Anna", [0.1, 0.2, 0.3, 0.5]), ("Ben", [0.4, 0.65, 0.6, 0.95])]
    assert found.people == ("Fritz", "Emil")
    assert (found.frame, found.dimensions) == ("stored", (4000, 3000))
    assert found.path == path.as_posix()
    assert found.source == ", ".join(str(tmp_path / name) for name in ("a.jpg.xmp", "a.xmp", "a.jpg"))
    assert names(read_photo(path, sidecars=[], problems=[])) == ["Anne", "Ben"]


def test_a_damaged_packet_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", xmp=packet(mwg(ANNA)))
    (tmp_path / "a.xmp").write_bytes(b"<x:xmpmeta")
    (tmp_path / "a.jpg.xmp").mkdir()
    problems: list[str] = []
    assert names(read(path, problems)) == ["Anna"]
    assert len(problems) == 2
    assert problems[0].startswith(f"{tmp_path / 'a.jpg.xmp'}: ")
    assert "damaged" in problems[1]
    path.write_bytes(jpeg(b"<x"))
    problems.clear()
    assert names(read(path, problems)) == []
    assert len(problems) == 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read(tmp_path / "a.jpg")
    assert caught.value.reason == Reason.MISSING
    with pytest.raises(ImageError) as caught:
        read_sidecar(tmp_path / "a.xmp")
    assert caught.value.reason == Reason.MISSING


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.xmp")
    path = photo(tmp_path / "a.jpg")
    problems: list[str] = []
    assert names(read(path, problems)) == []
    assert "pipe" in problems[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("swapped", [False, True])
def test_regions_are_on_the_stored_picture_in_all_orientations(
    tmp_path: Path, orientation: int, swapped: bool
) -> None:
    size = (300, 400) if swapped and orientation > 4 else (400, 300)
    path = photo(tmp_path / "a.jpg", orientation=orientation, xmp=packet(mwg(ANNA, dimensions=size)))
    found = read(path)
    assert real(found) == [("Anna", [0.1, 0.2, 0.3, 0.5])]
    assert found.dimensions == (400, 300)


def test_pixels_of_the_iptc_refer_to_the_stored_picture(tmp_path: Path) -> None:
    region = (
        '<iptcExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource"><iptcExt:Name>Anna</iptcExt:Name>'
        '<iptcExt:RegionBoundary iptcExt:rbShape="rectangle" iptcExt:rbUnit="pixel" iptcExt:rbX="4" '
        'iptcExt:rbY="6" iptcExt:rbW="8" iptcExt:rbH="9"/></rdf:li></rdf:Bag></iptcExt:ImageRegion>'
    )
    path = photo(tmp_path / "a.jpg", orientation=6, xmp=packet(region))
    assert real(read(path)) == [("Anna", [0.1, 0.2, 0.3, 0.5])]


def test_a_file_that_is_no_picture_with_regions(tmp_path: Path) -> None:
    path = tmp_path / "a.cr3"
    path.write_bytes(b"nothing")
    (tmp_path / "a.xmp").write_bytes(packet(mwg(ANNA)))
    assert names(read(path)) == ["Anna"]


@pytest.mark.skipif(not (DATA / "orientation").is_dir(), reason="needs ../shared/data/orientation")
@pytest.mark.parametrize("kind", ["embedded", "sidecar", "embedded_sidecar"])
def test_real_photos_in_three_orientations(kind: str) -> None:
    """The same two people, with regions whose places were computed by another program."""
    stored = {
        3: [("Marie Curie", [0.575, 0.59, 0.685, 0.79]), ("Pierre Curie", [0.26, 0.64, 0.36, 0.88])],
        6: [("Marie Curie", [0.21, 0.575, 0.41, 0.685]), ("Pierre Curie", [0.12, 0.26, 0.36, 0.36])],
        8: [("Marie Curie", [0.59, 0.315, 0.79, 0.425]), ("Pierre Curie", [0.64, 0.64, 0.88, 0.74])],
    }
    for orientation, regions in stored.items():
        found = read(DATA / "orientation" / "xmp-faces" / f"photo.{orientation}.{kind}.jpg")
        assert real(found) == regions
        assert found.dimensions == ((840, 700) if orientation == 3 else (700, 840))
        upright = to_upright(
            np.array([one.box for one in found.regions], np.float32), np.full(2, orientation)
        )
        assert np.allclose(upright, [[0.315, 0.21, 0.425, 0.41], [0.64, 0.12, 0.74, 0.36]], atol=0.001)
        assert found.people == ()


@pytest.mark.skipif(not (DATA / "formats").is_dir(), reason="needs ../shared/data/formats")
def test_a_photo_of_lightroom_on_its_side(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    shutil.copyfile(DATA / "formats" / "pigallery2" / "orientation__Portrait_5.jpg", path)
    found = read(path)  # the head of a boy, seen on the stored picture
    assert real(found) == [("Joe", [0.605, 0.389, 0.679, 0.492])]
    assert found.dimensions == (1800, 1200)


@pytest.mark.skipif(not (DATA / "formats").is_dir(), reason="needs ../shared/data/formats")
def test_a_heic_that_turns_its_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    shutil.copyfile(
        DATA / "formats" / "heif_conformance" / "MIAF007.heic", path
    )  # transposed by irot and imir
    assert find_container_turn(path) == 5
    (tmp_path / "a.xmp").write_bytes(packet(mwg(ANNA, dimensions=(640, 360))))
    found = read(path)
    assert real(found) == [("Anna", [0.2, 0.1, 0.5, 0.3])]
    assert found.dimensions == (360, 640)
    assert find_container_turn(photo(tmp_path / "a.jpg", orientation=6)) == 1
