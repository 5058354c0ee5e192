"""Errors of libraries that mean that memory is exhausted."""

from __future__ import annotations

import errno
import os

import pytest

from faceindex.errors import OutOfMemory
from faceindex.images import exhaustion
from faceindex.images.exhaustion import check_address_space, is_exhausted, is_memory_error, out_of_memory

GIB = 1 << 30


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_errors_of_libraries_are_recognised(error: Exception) -> None:
    assert is_memory_error(error)
    wrapped = ValueError("the model cannot be loaded")
    wrapped.__cause__ = error
    assert is_memory_error(wrapped)
    assert not is_memory_error(ValueError("an image"))
    assert not is_memory_error(None)


def test_errors_that_are_causes_of_each_other_end() -> None:
    first, second = ValueError("no channel"), ValueError("no address")
    first.__context__, second.__context__ = second, first
    assert not is_memory_error(first)


@pytest.mark.parametrize(
    ("space", "available", "text", "message"),
    [
        ((GIB, "ulimit -v"), GIB, "", r"this process may take 1 GiB \(`ulimit -v`\)\. Raise that limit"),
        (None, GIB, "", r"this container has 1 GiB\. Give it more, or pass a lower `max_memory`"),
        (None, 4 * GIB, "", r"There is not enough memory\. Close other programs"),
        (None, 4 * GIB, "can't start new thread", r"No more threads can be started\. .*`ulimit -u`"),
    ],
)
def test_the_error_names_the_limit(
    space: tuple[int, str] | None, available: int, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exhaustion, "_address_space", lambda: space)
    monkeypatch.setattr(exhaustion, "available_memory", lambda: available)
    monkeypatch.setattr(exhaustion, "physical_memory", lambda: 4 * GIB)
    error = out_of_memory(RuntimeError(text))
    assert error.exit_code == 2
    with pytest.raises(OutOfMemory, match=message):
        raise error


def test_networks_are_not_loaded_where_they_cannot_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    check_address_space()
    monkeypatch.setattr(exhaustion, "_address_space", lambda: (600 << 20, "ulimit -v"))
    with pytest.raises(OutOfMemory, match="may take 600 MiB"):
        check_address_space()
    assert not is_exhausted()  # there is memory, whatever the limit says
