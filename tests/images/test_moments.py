from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceindex import images
from faceindex.images.moments import (
    FrameBytes,
    at_moment,
    duration_text,
    moment_name,
    sniff_video,
    split_moment,
    video_digest,
)


@pytest.mark.parametrize(
    ("milliseconds", "name"),
    [(0, "0:00:00.000.jpg"), (83_480, "0:01:23.480.jpg"), (36_000_000 + 59_999, "10:00:59.999.jpg")],
)
def test_a_time_and_its_name_lead_to_each_other(milliseconds: int, name: str) -> None:
    assert moment_name(milliseconds) == name
    assert split_moment(f"a/film.mp4/{name}") == (str(Path("a/film.mp4")), milliseconds)


@pytest.mark.parametrize(
    "path",
    [
        "film.mp4",
        "0:01:23.480.jpg",
        "/0:01:23.480.jpg",
        "a/0:01:73.480.jpg",
        "a/0:01:23.48.jpg",
        "a/x0:01:23.480.jpg",
    ],
)
def test_other_paths_are_no_moments(path: str) -> None:
    assert split_moment(path) is None
    assert at_moment(path) == path


def test_names_for_people() -> None:
    assert at_moment("trip/film.mp4/0:01:23.480.jpg") == "trip/film.mp4 at 0:01:23"
    assert duration_text(3_723_999) == "1:02:03"


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"\0\0\x01\xba\x44", "mpeg"),
        ((b"\x47" + bytes(187)) * 3, "mpegts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 3, "mpegts"),
        (b"\0\0\0\x20ftypheic", None),
        (b"\0\0\0\x20ftypavif", None),
        (b"\0\0\0\x20ftypmif1", None),
        (b"\0\0\0\x20ftypcrx ", None),
        (b"\0\0\0\x20ftypM4A ", None),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        (b"export const a = 1;", None),
        (b"", None),
    ],
)
def test_videos_are_known_by_their_first_bytes(head: bytes, demuxer: str | None) -> None:
    assert sniff_video(head) == demuxer


def test_a_frame_is_an_image_file_of_its_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)  # rows with padding
    frame = FrameBytes.of(pixels, b"i" * 16, 100, 2_500)
    assert np.array_equal(images.decode(frame, "frame").image, pixels)
    assert images.content_hash(frame) == b"i" * 16
    assert images.read_picture(frame) == images.Picture(b"i" * 16, 1, 102)
    assert images.content_hash(bytes(frame)) != b"i" * 16  # only the frame itself is trusted


def test_the_digest_of_a_video_depends_on_its_size_and_blocks(tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    content = bytearray(np.random.default_rng(2).bytes(3 << 20))
    file.write_bytes(content)
    before = video_digest(file)
    content[-1] ^= 1
    file.write_bytes(content)
    assert video_digest(file) != before
    file.write_bytes(b"short")
    assert video_digest(file) != before
