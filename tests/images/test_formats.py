from __future__ import annotations

import io
from pathlib import Path

import PIL.Image
import pytest

from faceindex.errors import ImageError, Reason
from faceindex.images import IMAGE_SUFFIXES, content_hash, formats, read, sniff
from faceindex.images.formats import missing_folder


def encoded(image_format: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (20, 10), "red").save(buffer, image_format)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats_are_recognised_by_content(image_format: str, tmp_path: Path) -> None:
    data = encoded(image_format)
    assert sniff(data[:64]) == image_format
    path = tmp_path / "wrong.txt"
    path.write_bytes(data)
    assert read(path) == data


def test_an_mpo_is_recognised_as_jpeg() -> None:
    buffer = io.BytesIO()
    frame = PIL.Image.new("RGB", (20, 10))
    frame.save(buffer, "MPO", save_all=True, append_images=[frame])
    assert sniff(buffer.getvalue()) == "JPEG"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1avif", "HEIF"),  # "avif" is behind the end of the box
        (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", None),  # a video
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", None),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"IIU\0\x18\0\0\0", "RAW"),
        (b"IIRO\x08\0\0\0", "RAW"),
        (b"II*\0\x10\0\0\0CR\2\0", "RAW"),
        (b"II\x1a\0\0\0HEAPCCDR", "RAW"),
        (b"\xff\x0a\x09", "JXL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
        (b"BMW: the letter of 3 March", None),
        (b"RIFF\x24\0\0\0WAVEfmt ", None),
        (b"hello, world", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_sniff_of_rare_and_other_heads(head: bytes, expected: str | None) -> None:
    assert sniff(head) == expected


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".jpg", ".jpeg", ".png", ".heic", ".avif", ".tif", ".mpo", ".jxl", ".nef"} <= IMAGE_SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


def test_read_errors_name_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.JPG").write_text("not a photo")
    (tmp_path / "notes.txt").write_text("not a photo")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    expected = {
        "empty.jpg": Reason.EMPTY,
        "text.JPG": Reason.NOT_AN_IMAGE,
        "notes.txt": Reason.NOT_AN_IMAGE,
        "folder.jpg": Reason.NOT_AN_IMAGE,
        "broken.jpg": Reason.MISSING,
        "missing.jpg": Reason.MISSING,
        "notes.txt/below.jpg": Reason.MISSING,
        "nul\0.jpg": Reason.IO_ERROR,
    }
    for name, reason in expected.items():
        with pytest.raises(ImageError) as caught:
            read(tmp_path / name)
        assert caught.value.reason is reason, name
        assert str(tmp_path / name) in str(caught.value)
        assert caught.value.remedy
    with pytest.raises(ImageError, match=r"although its name ends in \.JPG"):
        read(tmp_path / "text.JPG")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), Reason.DENIED),
        (OSError(5, "Input/output error"), Reason.IO_ERROR),
    ],
)
def test_system_errors_of_read_name_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: Reason
) -> None:
    def refuse(path: Path, **options: object) -> object:
        raise error

    monkeypatch.setattr(formats, "open_photo", refuse)
    with pytest.raises(ImageError) as caught:
        read(tmp_path / "photo.jpg")
    assert caught.value.reason is reason


class Video(io.BytesIO):
    read_up_to = 0

    def close(self) -> None:
        Video.read_up_to = self.tell()
        super().close()


def test_read_stops_early_if_the_file_is_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    video = Video(b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(1_000_000))
    monkeypatch.setattr(formats, "open_photo", lambda *_, **__: video)
    with pytest.raises(ImageError) as caught:
        read("video.mov")
    assert caught.value.reason is Reason.VIDEO
    assert 0 < Video.read_up_to < 10_000


def test_content_hash_is_blake2b() -> None:
    # BLAKE2b-128 of the empty string and of "abc", computed with b2sum -l 128 of GNU coreutils.
    assert content_hash(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
    assert content_hash(b"abc").hex() == "cf4ab791c62b8d2b2109c90275287816"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    lost = tmp_path / "disk" / "2019" / "a.jpg"
    assert missing_folder(lost) == tmp_path / "disk"
    with pytest.raises(ImageError, match="does not exist") as caught:
        read(lost)
    assert caught.value.reason is Reason.MISSING
    assert f"the folder {tmp_path / 'disk'} does not exist." in caught.value.problem
    assert missing_folder(tmp_path / "a.jpg") is None
    assert missing_folder("a.jpg") is None
    with pytest.raises(ImageError, match="there is no such file"):
        read(tmp_path / "a.jpg")
