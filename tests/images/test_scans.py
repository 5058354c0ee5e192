"""JPEGs with many scans."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.images.scans import MOST_SCANS, count_scans, has_one_scan, has_too_many_scans


def _jpeg(mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def _with_scans(more: int) -> bytes:
    """Return a progressive JPEG with further, empty scans."""
    data = _jpeg(progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    return data[:-2] + scan * more + b"\xff\xd9"


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_sequential_photos_have_one_scan(mode: str) -> None:
    assert has_one_scan(_jpeg(mode))
    assert not has_one_scan(_jpeg(mode, progressive=True))


def test_progressive_photos_are_decoded() -> None:
    assert count_scans(_jpeg(progressive=True), 1000) == 10  # jcparam.c of libjpeg
    assert not has_too_many_scans(_jpeg("CMYK", progressive=True))
    assert images.decode(_with_scans(MOST_SCANS - 10), "a.jpg").width == 64


@pytest.mark.parametrize("shrink", [1, 8])
def test_too_many_scans_are_refused_before_they_are_decoded(shrink: int) -> None:
    with pytest.raises(ImageError, match="more than 100 scans") as caught:
        images.decode(_with_scans(MOST_SCANS - 9), "a.jpg", shrink=shrink)
    assert caught.value.reason is Reason.TOO_SLOW


def test_scans_of_previews_and_of_further_pictures_do_not_count() -> None:
    """Metadata may contain any bytes, and other pictures may follow."""
    data = _with_scans(MOST_SCANS - 20)
    comment = b"\xff\xfe" + (2 + 200).to_bytes(2, "big") + b"\xff\xda" * 100
    assert not has_too_many_scans(data[:2] + comment + data[2:])
    assert not has_too_many_scans(data + _with_scans(MOST_SCANS))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\xd8\xff\xda\0"])
def test_cut_files_have_no_scan(data: bytes) -> None:
    assert not has_too_many_scans(data)
    assert not has_one_scan(data)
