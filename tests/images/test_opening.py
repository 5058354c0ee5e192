"""Pipes and devices at the paths of photos."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import PIL.Image
import pytest

from faceindex.errors import ImageError, Reason
from faceindex.images import limits, opening, read
from faceindex.pipeline.plan import Task

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


def png() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    os.mkfifo(path)
    return path


def outcome(call: Callable[[], object]) -> object:
    """The result or the `ImageError` of a call that must not hang."""
    found: list[object] = []

    def work() -> None:
        try:
            found.append(call())
        except ImageError as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it hangs"
    return found[0]


def error_of(call: Callable[[], object]) -> ImageError:
    error = outcome(call)
    assert isinstance(error, ImageError)
    return error


def writing(path: Path, *parts: bytes) -> threading.Thread:
    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for part in parts:
                file.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_pipe_at_the_place_of_a_photo_does_not_hang(fifo: Path) -> None:
    task = Task(fifo, str(fifo.parent), fifo.name, 10, 0, None)
    for call in (lambda: read(fifo), task.read):
        assert error_of(call).reason is Reason.NOT_AN_IMAGE
    assert opening.is_stream(fifo)
    assert not opening.is_stream(fifo.parent)
    assert not opening.is_stream(fifo.parent / "none")


def test_a_pipe_is_read_once_in_any_parts(fifo: Path) -> None:
    data = png()
    thread = writing(fifo, data[:3], data[3:10], data[10:])
    assert outcome(lambda: read(fifo, streams=True)) == data
    thread.join()


def test_an_empty_pipe_is_an_empty_file(fifo: Path) -> None:
    thread = writing(fifo)
    assert error_of(lambda: read(fifo, streams=True)).reason is Reason.EMPTY
    thread.join()


def test_a_stream_without_end_is_read_up_to_the_limit(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits._gate, "limit", 20_000)
    thread = writing(fifo, png() + bytes(30_000))
    assert error_of(lambda: read(fifo, streams=True)).reason is Reason.MEMORY
    thread.join()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_devices() -> None:
    for device, streams, reason in (
        ("/dev/zero", True, Reason.NOT_AN_IMAGE),
        ("/dev/zero", False, Reason.NOT_AN_IMAGE),
        ("/dev/null", True, Reason.EMPTY),
    ):
        assert error_of(partial(read, device, streams=streams)).reason is reason
