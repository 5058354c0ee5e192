"""Reading Picasa's files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from broken_sources import consume, damaged, write

from faceindex.errors import UsageError
from faceindex.interchange import picasa
from faceindex.interchange.picasa import read_picasa
from faceindex.interchange.sources import MOST_PROBLEMS
from faceindex.orientation import to_upright

ANNA, BEN = "8e62b2035b74b477", "00b4e8117cf1d661"

INI = f"""[encoding]\r
utf8=1\r
[Picasa]\r
name=Holiday\r
[Contacts]\r
d10a8325c557b085=joe_lh,cb989580bc43a91\r
[Contacts2]\r
{ANNA}=Anna Müller;anna@example.org;\r
{BEN.lstrip("0")}=Ben  Okafor;;\r
[a.jpg]\r
star=yes\r
rotate=rotate(1)\r
crop=rect64(10000000f1ddff49)\r
filters=crop64=1,10000000f1ddff49;\r
faces=rect64(3f845bcb59418507),{ANNA};rect64(4a8e8e6b),ffffffffffffffff;rect64(80008000c000c000),{BEN}\r
backuphash=36003\r
[.album:65d12673f3b51e3f65d12673f3b51e3f]\r
name=Best of\r
[photoid]\r
4dfe636c9cf4c302=a.jpg\r
[raw.NEF]\r
faces=rect64(8d22b337991ec231),{ANNA};rect64(0000000080008000),0\r
[unmarked.jpg]\r
star=yes\r
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path / "2009" / ".picasa.ini", INI)
    write(tmp_path / "2009" / "A.JPG", b"")
    return tmp_path


def test_the_size_of_the_photo_is_read(tmp_path: Path) -> None:
    write(
        tmp_path / ".picasa.ini",
        "[a.jpg]\nfaces=rect64(1000100080008000),0\n[b.jpg]\nfaces=rect64(1000100080008000),0",
    )
    write(tmp_path / "A.jpg", "12345")
    assert [(p.path[-5:], p.file_size) for p in read_picasa(tmp_path).photos] == [
        ("A.jpg", 5),
        ("b.jpg", None),
    ]


def test_faces_names_and_places(tree: Path) -> None:
    album = read_picasa(tree)
    jpeg, raw = album.photos
    assert album.program == "Picasa"
    assert album.problems == []
    # The file on the disk is A.JPG; Windows does not distinguish it from a.jpg.
    assert jpeg.path == str(tree / "2009" / "A.JPG")
    assert raw.path == str(tree / "2009" / "raw.NEF")
    assert (jpeg.frame, raw.frame) == ("stored", "upright")
    assert [region.name for region in jpeg.regions] == ["Anna Müller", None, "Ben Okafor"]
    assert [region.name for region in raw.regions] == ["Anna Müller", None]
    assert all(region.confirmed for region in jpeg.regions)
    # 0x3f84 / 0xffff = 0.2481, ...: the example of Buchinger's notes
    assert jpeg.regions[0].box == pytest.approx((0.248109, 0.358572, 0.348653, 0.519646), abs=1e-5)
    # Leading zeros are left out: 0000 0000 4a8e 8e6b.
    assert jpeg.regions[1].box == pytest.approx((0, 0, 0.2912, 0.5563), abs=1e-4)
    assert jpeg.dimensions is None
    assert {person.name for person in album.people.values()} == {"Anna Müller", "Ben Okafor"}
    assert album.people[jpeg.regions[0].person or ""].name == "Anna Müller"


@pytest.mark.parametrize(
    ("orientation", "written", "size", "rectangle"),
    [
        # Measured by picasa2digikam: the box that Picasa stored, the size of the stored picture, and the face
        # on the upright picture in pixels.
        (1, "166f5c0036db7924", (3024, 4032), (264, 1449, 382, 458)),
        (3, "59c75b558ae3a9c6", (4608, 3456), (2108, 1164, 883, 1058)),
        (6, "34009caa6232b668", (3264, 4912), (1412, 663, 493, 588)),
        (8, "8d22b337991ec231", (4912, 3264), (2284, 1974, 190, 229)),
    ],
)
def test_boxes_are_on_the_stored_picture(
    tmp_path: Path,
    orientation: int,
    written: str,
    size: tuple[int, int],
    rectangle: tuple[int, int, int, int],
) -> None:
    write(tmp_path / ".picasa.ini", f"[a.jpg]\nfaces=rect64({written}),{ANNA}\n")
    (photo,) = read_picasa(tmp_path).photos
    assert photo.frame == "stored"
    box = np.array([photo.regions[0].box], np.float32)
    upright = to_upright(box, np.array([orientation]))[0]
    width, height = size if orientation < 5 else size[::-1]
    x, y, w, h = rectangle
    expected = (x / width, y / height, (x + w) / width, (y + h) / height)
    assert upright.tolist() == pytest.approx(expected, abs=1e-3)


def test_contacts_of_the_program_go_first(tree: Path) -> None:
    contacts = write(
        tree / "contacts.xml",
        f'<contacts><contact id="{ANNA}" name="Anna Meier" modified_time="2015-01-01T00:00:00+01:00" '
        'local_contact="1"><subject user="joe" id="1"/></contact>'
        '<contact id="ffffffffffffffff" name="nobody"/><contact name="no id"/></contacts>',
    )
    names = {region.name for photo in read_picasa(tree).photos for region in photo.regions}
    assert names == {"Anna Meier", "Ben Okafor", None}
    elsewhere = contacts.rename(tree.parent / f"{tree.name}-backup.xml")
    named = read_picasa(tree, contacts=elsewhere)
    assert "Anna Meier" in {region.name for photo in named.photos for region in photo.regions}


def test_names_of_other_folders(tree: Path) -> None:
    """A folder whose .picasa.ini lacks its contacts gets the names of the others, the most frequent first."""
    faces = f"faces=rect64(8d22b337991ec231),{ANNA};rect64(0000000080008000),123"
    write(tree / "2011" / "Picasa.ini", f"[b.jpg]\n{faces}\n")
    write(tree / "2010" / ".picasa.ini", f"[Contacts2]\n{ANNA}=Anna Meier;;\n[b.jpg]\n{faces}\n")
    write(tree / "2012" / ".picasa.ini", f"[Contacts2]\n{ANNA}=Anna Müller;;\n")
    album = read_picasa(tree)
    found = {Path(photo.path).parent.name: photo.regions for photo in album.photos}
    assert found["2010"][0].name == "Anna Meier"
    assert found["2010"][0].person is None  # the contact has another name elsewhere
    assert found["2011"][0].name == "Anna Müller"
    assert found["2011"][1].name is None
    assert any("several names ('Anna Meier', 'Anna Müller')" in problem for problem in album.problems)
    assert any("1 contact has no name" in problem for problem in album.problems)


def test_a_saved_crop_gives_names_without_places(tree: Path) -> None:
    write(tree / "2009" / ".picasaoriginals" / ".picasa.ini", "[a.jpg]\nfilters=crop64=1,1000;\nfaces=x")
    write(tree / "2009" / ".picasaoriginals" / "A.JPG", b"")
    album = read_picasa(tree)
    jpeg, raw = album.photos
    assert jpeg.regions == ()
    assert jpeg.people == ("Anna Müller", "Ben Okafor")
    assert len(raw.regions) == 2
    assert any("cropped and saved A.JPG" in problem for problem in album.problems)


def test_one_file_and_nothing(tree: Path, tmp_path: Path) -> None:
    assert len(list(read_picasa(tree / "2009" / ".picasa.ini").photos)) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    album = read_picasa(empty)
    assert list(album.photos) == []
    assert "no .picasa.ini" in album.problems[0]
    with pytest.raises(UsageError, match="absent"):
        read_picasa(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"not a \.picasa\.ini"):
        read_picasa(write(tmp_path / "photo.jpg", b""))
    with pytest.raises(UsageError, match="cannot be read"):
        read_picasa(tree, contacts=tree / "contacts.xml")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    write(tmp_path / ".picasa.ini", INI.encode(encoding))
    names = {region.name for photo in read_picasa(tmp_path).photos for region in photo.regions}
    assert names == {"Anna Müller", "Ben Okafor", None}


def test_damaged_records_are_problems(tmp_path: Path) -> None:
    write(
        tmp_path / ".picasa.ini",
        f"""faces=before any section
[a/../b.jpg]
faces=rect64(8d22b337991ec231),{ANNA}
[c.jpg]
faces=rect64(zz),{ANNA};rect64(ffff0000ffff0000),{ANNA};;rect64(8d22b337991ec231),{ANNA};junk
""",
    )
    album = read_picasa(tmp_path)
    (photo,) = album.photos
    assert len(photo.regions) == 1
    assert any("'a/../b.jpg' is not the name of a photo" in problem for problem in album.problems)
    assert any("3 of its faces cannot be read" in problem for problem in album.problems)


def test_entities_are_not_expanded(tree: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "secret")
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    contacts = write(
        tmp_path / "hostile.xml",
        f'<!DOCTYPE c [<!ENTITY file SYSTEM "{secret.as_uri()}">{bomb}]>'
        f'<contacts><contact id="{ANNA}" name="&e11;&file;"/><contact id="{BEN}" name="Ben"/></contacts>',
    )
    album = read_picasa(tree, contacts=contacts)
    names = {str(region.name) for photo in album.photos for region in photo.regions}
    assert not any("secret" in name or "haha" in name for name in names)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".picasa.ini")
    album = read_picasa(tmp_path)
    assert list(album.photos) == []
    assert "not a regular file" in album.problems[0]


def test_large_files_and_many_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picasa, "_MOST_BYTES", 100_000)
    write(tmp_path / "a" / ".picasa.ini", b"x" * 100_001)
    write(tmp_path / "b" / ".picasa.ini", "".join(f"[/{n}]\nfaces=1\n" for n in range(2_000)))
    album = read_picasa(tmp_path)
    assert list(album.photos) == []
    assert any("larger than 100,000 bytes" in problem for problem in album.problems)
    assert len(album.problems) == MOST_PROBLEMS + 1


def test_damaged_files_are_no_crash(tmp_path: Path) -> None:
    content = INI.encode()
    xml = f'<contacts><contact id="{ANNA}" name="Anna"/></contacts>'.encode()
    found = 0
    for seed, changed in enumerate(damaged(content, 1, 150)):
        write(tmp_path / ".picasa.ini", changed)
        write(tmp_path / "contacts.xml", next(damaged(xml, seed, 1)))
        found += len(consume(read_picasa, tmp_path))
    assert found > 50
