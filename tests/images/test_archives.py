"""Members of archives: reading them, and archives that are hostile or damaged."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.images import containers, ignoring, limits, members, opening, walk
from faceindex.images.archives import contents_of
from faceindex.images.members import Contents, safe_name

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


def make_zip(path: Path, *names: str, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, PNG + bytes([number]))
    return path


def make_tar(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(PNG) + 1, 1_000_000_000 + number
            archive.addfile(info, io.BytesIO(PNG + bytes([number])))
    return path


def failure(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        images.read(path)
    return caught.value


def walked(*paths: Path, **options: object) -> list[str]:
    return [found.relpath for found in walk(paths, **options) if found.error is None]  # type: ignore[arg-type]


def problems(path: Path) -> list[ImageError]:
    return [found.error for found in walk([path]) if found.error is not None]


@pytest.mark.parametrize("name", ["a.zip", "a.TAR"])
def test_members_are_read_in_place(tmp_path: Path, name: str) -> None:
    make = make_zip if name.endswith("zip") else make_tar
    archive = make(tmp_path / name, "1987/a.png", "b.png")
    assert images.read(archive / "1987" / "a.png") == PNG + b"\0"
    assert images.read(archive / "b.png") == PNG + b"\1"
    with opening.open_photo(archive / "b.png") as file:
        assert opening.read_head(file, 8) == PNG[:8]
    found = containers.status(archive / "b.png")
    assert found.st_size == len(PNG) + 1
    if name == "a.TAR":
        assert found.st_mtime_ns == 1_000_000_001 * 10**9
    assert containers.exists(archive / "b.png")
    assert not containers.exists(archive / "c.png")
    assert failure(archive / "c.png").reason is Reason.MISSING
    with pytest.raises(FileNotFoundError):
        containers.status(archive / "c.png")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_all_compressions_of_zipfile_are_read(tmp_path: Path, method: int) -> None:
    assert images.read(make_zip(tmp_path / "a.zip", "a.png", method=method) / "a.png") == PNG + b"\0"


def test_a_folder_with_the_name_of_an_archive_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "a.zip" / "a.png").write_bytes(PNG)
    assert containers.locate(tmp_path / "a.zip" / "a.png") is None
    assert images.read(tmp_path / "a.zip" / "a.png") == PNG
    assert walked(tmp_path) == ["a.zip/a.png"]


def test_a_walk_lists_members_by_its_rules(tmp_path: Path) -> None:
    names = (
        "b.png",
        ".hidden/a.png",
        "__MACOSX/b.png",
        "x/.nomedia",
        "x/y/c.png",
        "d/e.png",
        "f.jpg.part",
        "xx",
    )
    archive = make_zip(tmp_path / "sub.zip", *names)
    make_tar(tmp_path / "t.tar", "d/e.png", "a.dng", "a.jpg")
    assert walked(tmp_path) == [
        "sub.zip/b.png",
        "sub.zip/d/e.png",
        "sub.zip/xx",
        "t.tar/a.jpg",
        "t.tar/d/e.png",
    ]
    assert walked(archive) == ["sub.zip/b.png", "sub.zip/d/e.png", "sub.zip/xx"]
    assert walked(tmp_path, patterns=["*.zip", "t.tar/d/"]) == ["t.tar/a.jpg"]
    assert "t.tar/a.dng" in walked(tmp_path, all_versions=True)


def test_a_digest_needs_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip", "a.png")
    before = walk([tmp_path]).digest
    monkeypatch.setattr("faceindex.images.archives._list", lambda *_: pytest.fail("it was listed"))
    assert walk([tmp_path]).digest == before
    os.utime(archive, ns=(1, 1))
    assert walk([tmp_path]).digest != before


def test_what_decides_about_members_is_in_the_digest(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", "d/a.png", "a.png")
    file = tmp_path / ".faceindexignore"
    digests = [walk([tmp_path], patterns=patterns).digest for patterns in ((), ("d/",), ("a.png",))]
    digests.append(walk([tmp_path], all_versions=True).digest)
    for text in ("d/\n", "a.png\n"):
        file.write_text(text)
        digests.append(walk([tmp_path]).digest)
    assert digests[4:] == digests[1:3]
    assert len(set(digests)) == 4
    file.unlink()
    assert walk([tmp_path]).digest == digests[0]


def test_patterns_are_compared_once_with_each_folder_of_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{'a/' * 100}{number}" for number in range(30)]
    rules = ignoring.rules_of(["x", "a/b/"])
    assert rules is not None
    compared: list[str] = []
    decide = ignoring._decide

    def counted(spec: GitIgnoreSpec, path: str) -> bool | None:
        compared.append(path)
        return decide(spec, path)

    monkeypatch.setattr(ignoring, "_decide", counted)
    folders: dict[str, bool] = {}
    assert not any(rules.exclude_member("a", name, folders) for name in names)
    assert len(compared) == 100 + 30
    assert rules.exclude_member("a", "b/c/d.png", folders)
    assert rules.exclude_member("a", "b/c/e.png", folders)
    assert not rules.exclude_member("a", "c/b/e.png", folders)


def test_each_archive_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceindex.images import archives

    archive = make_zip(tmp_path / "a.zip", *(f"{number}.png" for number in range(20)))
    listed = []
    list_archive = archives._list

    def spy(path: str, file: io.FileIO) -> Contents:
        listed.append(path)
        return list_archive(path, file)

    monkeypatch.setattr(archives, "_list", spy)
    for number in range(20):
        images.read(archive / f"{number}.png")
    assert listed == [str(archive)]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("./a//b/./c.png", "a/b/c.png"),
        ("..a/b..png", "..a/b..png"),
        *((name, None) for name in ("../a", "a/../../b", "a/..", "/etc/passwd", "C:/a", "a\nb", "\x1b[2J")),
        *((name, None) for name in ("", ".", "a" * 5000)),
    ],
)
def test_unsafe_names_are_refused(name: str, safe: str | None) -> None:
    assert safe_name(name) == safe


def test_members_with_unsafe_names_are_noted_and_others_read(tmp_path: Path) -> None:
    for archive in (
        make_zip(tmp_path / "a.zip", "../a.png", "/b.png", "c\n.png", "d.png"),
        make_tar(tmp_path / "a.tar", "../a.png", "/b.png", "c\n.png", "d.png"),
    ):
        [error] = problems(archive)
        assert error.reason is Reason.MEMBER_NAMES
        assert "3 of its members have unusable names (../a.png, /b.png, c\\n.png)" in error.problem
        assert walked(archive) == [f"{archive.name}/d.png"]


def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = make_zip(tmp_path / "a.zip", "a.png", "a.png")
    assert images.read(archive / "a.png") == PNG + b"\1"
    assert "1 of its members have the name of another" in problems(archive)[0].problem


def test_undecodable_names_are_kept(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", "caf\u00e9.png")
    archive.write_bytes(archive.read_bytes().replace("\u00e9".encode(), b"\xff\xfe"))
    [relpath] = walked(archive)
    assert os.fsencode(relpath) == b"a.zip/caf\xff\xfe.png"
    assert images.read(tmp_path / relpath) == PNG + b"\0"


def test_backslashes_of_dos_separate(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", "1987_a.png")
    data = archive.read_bytes().replace(b"1987_a", b"1987\\a")
    start = data.rindex(b"PK\1\2")
    archive.write_bytes(data[: start + 5] + b"\0" + data[start + 6 :])  # made on DOS
    assert walked(archive) == ["a.zip/1987/a.png"]


def test_encrypted_and_nested_members_are_named(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", "inner.zip", "inner.tar.gz", "a.png")
    assert failure(archive / "inner.zip").reason is Reason.NESTED
    assert failure(archive / "inner.tar.gz").reason is Reason.NESTED
    data = bytearray(archive.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    assert failure(archive / "a.png").reason is Reason.ENCRYPTED


def test_compressed_tars_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    [error] = problems(tmp_path)
    assert error.reason is Reason.ARCHIVE
    assert "compressed tar" in error.problem


def test_what_is_unpacked_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("a.png", PNG + bytes(20_000_000))
        new.writestr("film.bin", bytes(20_000_000))
    monkeypatch.setattr(limits, "decode_limit", lambda: 4_000_000)
    assert failure(archive / "a.png").reason is Reason.MEMORY
    assert failure(archive / "film.bin").reason is Reason.NOT_AN_IMAGE  # after its first bytes
    data = archive.read_bytes()  # a size that is not stated
    true = struct.pack("<L", 20_000_000 + len(PNG))
    archive.write_bytes(data.replace(true, struct.pack("<L", 100_000)))
    assert failure(archive / "a.png").reason is Reason.CORRUPT


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", "a.png", "b.png")
    data = bytearray(archive.read_bytes())
    first, second = data.index(b"PK\1\2"), data.rindex(b"PK\1\2")
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    archive.write_bytes(data)
    assert "overlap" in problems(archive)[0].problem


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MOST_MEMBERS", 3)
    for archive in (make_zip(tmp_path / "a.zip", *"abcd"), make_tar(tmp_path / "a.tar", *"abcd")):
        [error] = problems(archive)
        assert error.reason is Reason.ARCHIVE
        assert "more than 3 members" in error.problem


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_damage_is_an_error_and_nothing_else(tmp_path: Path, kind: str) -> None:
    """Cut, overwritten and flipped archives: each member is read, or fails with a reason."""
    make = make_zip if kind == "zip" else make_tar
    whole = make(tmp_path / f"whole.{kind}", "a.png", "b/c.png").read_bytes()
    reasons = {
        Reason.ARCHIVE,
        Reason.MEMBER_NAMES,
        Reason.CORRUPT,
        Reason.MISSING,
        Reason.NOT_AN_IMAGE,
        Reason.ENCRYPTED,
    }
    reasons |= {Reason.MEMORY, Reason.EMPTY}
    variants = [whole[:size] for size in range(0, len(whole), max(1, len(whole) // 60))]
    step = max(1, len(whole) // 200)
    headers = [*range(0, len(whole), step), *range(max(0, len(whole) - 130), len(whole))]
    for i in headers:
        flipped = bytearray(whole)
        flipped[i] ^= 0xFF
        variants.append(bytes(flipped))
    path = tmp_path / f"a.{kind}"
    for data in variants:
        path.write_bytes(data)
        for found in walk([path]):
            if found.error is not None:
                assert found.error.reason in reasons
                continue
            try:
                assert images.read(found.path).startswith(PNG[:8])
            except ImageError as error:
                assert error.reason in reasons, error


def test_a_changed_content_is_noticed(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", "a.png", method=zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[200] ^= 1
    archive.write_bytes(data)
    assert failure(archive / "a.png").reason is Reason.CORRUPT


def test_a_tar_that_is_damaged_later_keeps_its_first_members(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", "a.png", "b.png", "c.png")
    data = bytearray(archive.read_bytes())
    data[contents_of(str(archive)).members["b.png"].offset - 512 + 150] ^= 0xFF  # its header's checksum
    archive.write_bytes(data)
    assert walked(archive) == ["a.tar/a.png"]
    assert "damaged after 1 members" in problems(archive)[0].problem


def test_headers_of_a_tar_are_bounded(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    info = tarfile.TarInfo("huge")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    archive.write_bytes(info.tobuf() + bytes(2048))
    assert problems(archive)[0].reason is Reason.ARCHIVE


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_member_of_a_tar_with_thousands_of_headers(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a.png")
    text = b"14 path=b.png\n"
    info.type, info.size = kind, len(text)
    archive = tmp_path / "a.tar"
    archive.write_bytes((info.tobuf() + text.ljust(512, b"\0")) * 3000 + tarfile.TarInfo("c").tobuf())
    assert problems(archive)[0].reason is Reason.ARCHIVE


def test_a_tar_with_a_time_that_is_no_number(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as new:
        for name in ("a.png", "b.png"):
            info = tarfile.TarInfo(name)
            info.pax_headers = {"mtime": "nan"} if name == "a.png" else {}
            new.addfile(info)
    assert walked(archive) == ["a.tar/a.png", "a.tar/b.png"]


def test_links_in_a_tar(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", "a.png")
    with tarfile.open(archive, "a") as added:
        for name, kind, target in (
            ("hard.png", tarfile.LNKTYPE, "a.png"),
            ("soft.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("far.png", tarfile.LNKTYPE, "../a.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            added.addfile(info)
    assert walked(archive) == ["a.tar/a.png", "a.tar/hard.png"]
    assert images.read(archive / "hard.png") == PNG + b"\0"


def test_zip64_and_text_before_it(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as new, new.open("a.png", "w", force_zip64=True) as member:
        member.write(PNG)
    archive.write_bytes(b"#!/bin/sh\n" + archive.read_bytes())
    assert images.read(archive / "a.png") == PNG


def test_checksums_are_ids_of_members(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", "a.png")
    [found] = list(walk([archive]))
    assert found.ids is not None
    assert found.ids.inode == zlib.crc32(PNG + b"\0")
