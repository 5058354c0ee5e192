"""Photos and runs that need more memory than there is."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceindex import FaceIndex
from faceindex.errors import ImageError, OutOfMemory
from faceindex.images import exhaustion
from faceindex.images.limits import limit_memory
from faceindex.pipeline import batches, load


def _large(path: Path) -> None:
    """Write a PNG that states 16.8 megapixels."""
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 4100, 4100)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def test_a_photo_that_needs_too_much_is_tried_again_once_the_limit_is_raised(
    index: FaceIndex, album: Path
) -> None:
    _large(album / "person0" / "0.png")
    with limit_memory("832M"):
        assert index.add([album]).unreadable == {"needs too much memory": 1}
        assert index.add([album]).known_unreadable == 1
    assert index.add([album]).known_unreadable == 1  # the default is no reason to try again
    with limit_memory("3G"):
        assert index.add([album]).unreadable == {"truncated": 1}


def test_identify_refuses_it_too(index: FaceIndex, album: Path) -> None:
    index.add([album])
    _large(album / "person0" / "0.png")
    with limit_memory("832M"), pytest.raises(ImageError, match="decoding it takes"):
        index.identify(album / "person0" / "0.png")


@pytest.mark.parametrize("place", ["decode", "networks"])
def test_exhausted_memory_ends_the_run_and_keeps_what_is_done(
    place: str,
    index: FaceIndex,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
    fake_models: ModuleType,
) -> None:
    monkeypatch.setattr(exhaustion, "_address_space", lambda: (1 << 30, "ulimit -v"))
    for module in (load, batches):
        monkeypatch.setattr(module, "is_exhausted", lambda: place == "decode")
    monkeypatch.setattr(batches, "BATCH_PHOTOS", 1)
    done: list[int] = []

    def fail_later(function: Any) -> Any:
        def work(*arguments: Any, **more: Any) -> Any:
            done.append(1)
            if len(done) > 8:
                raise RuntimeError("std::bad_alloc")
            return function(*arguments, **more)

        return work

    if place == "decode":
        monkeypatch.setattr(
            "faceindex.recognition.Recogniser.load_photo",
            fail_later(index._get_queries().recogniser().__class__.load_photo),
        )
    else:
        detector = fake_models.FakeDetector
        monkeypatch.setattr(detector, "detect", fail_later(detector.detect))
    with pytest.raises(OutOfMemory, match=r"may take 1 GiB \(`ulimit -v`\)"):
        index.add([album])
    assert 0 < len(index) < 12
    assert not (index.directory / "in-work").exists()
    monkeypatch.undo()
    assert index.add([album]).unreadable == {}
    assert len(index) == 12
