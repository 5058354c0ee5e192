"""Names of devices, and batches that shrink when memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from faceindex.devices import BatchSize, half_precision, is_out_of_memory, resolve
from faceindex.errors import UsageError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the devices that torch finds: ``gpus`` and ``mps``."""

    def pretend(gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    pretend()
    return pretend


@pytest.mark.parametrize(
    ("gpus", "mps", "name", "device"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (1, False, "auto", "cuda"),
        (2, True, "auto", "cuda"),
        (2, True, "cpu", "cpu"),
        (2, False, "cuda", "cuda"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
    ],
)
def test_names_are_resolved_to_devices(
    machine: Callable[..., None], gpus: int, mps: bool, name: str, device: str
) -> None:
    machine(gpus, mps)
    assert resolve(name) == device
    torch.device(resolve(name))  # torch accepts the name


@pytest.mark.parametrize(
    ("gpus", "mps", "name", "message"),
    [
        (0, False, "cuda", "'cuda' cannot be used"),
        (0, True, "cuda:0", "Available devices: auto, cpu, mps."),
        (2, False, "cuda:2", "numbered 0 to 1"),
        (2, False, "cuda:7", "Available devices: auto, cpu, cuda:1, cuda:0, cuda."),
        (1, False, "cuda:x", "There is no device 'cuda:x'."),
        (1, False, "cuda:", "There is no device 'cuda:'."),
        (0, False, "cpu:1", "There is no device 'cpu:1'."),
        (1, False, "mps", "needs macOS"),
        (0, False, "gpu", "There is no device 'gpu'."),
        (0, False, "", "There is no device ''."),
    ],
)
def test_missing_devices_are_rejected(
    machine: Callable[..., None], gpus: int, mps: bool, name: str, message: str
) -> None:
    machine(gpus, mps)
    with pytest.raises(UsageError) as error:
        resolve(name)
    assert message in str(error.value)


def test_slices_cover_the_range_once() -> None:
    assert BatchSize("cpu", cpu=4, item_bytes=1).run(10, lambda s: s) == [
        slice(0, 4),
        slice(4, 7),
        slice(7, 10),
    ]
    assert BatchSize("cpu", cpu=4, item_bytes=1).run(0, lambda s: s) == [slice(0, 0)]
    assert BatchSize("cpu", cpu=10, item_bytes=1).run(3, lambda s: s, each=6) == [
        slice(0, 1),
        slice(1, 2),
        slice(2, 3),
    ]


def test_the_batch_of_a_gpu_fits_into_a_quarter_of_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4_000, 8_000))
    assert BatchSize("cuda", cpu=8, item_bytes=10).size == 100
    assert BatchSize("cuda:1", cpu=8, item_bytes=1, most=512).size == 512
    assert BatchSize("cuda", cpu=8, item_bytes=1_000_000).size == 1
    assert BatchSize("cpu", cpu=8, item_bytes=1).size == 8


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_batches_shrink_when_memory_runs_out(error: Exception) -> None:
    batch = BatchSize("cpu", cpu=16, item_bytes=1)
    tried: list[int] = []

    def work(part: slice) -> range:
        tried.append(part.stop - part.start)
        if tried[-1] > 3:
            raise error
        return range(part.start, part.stop)

    assert is_out_of_memory(error)
    assert [i for part in batch.run(20, work) for i in part] == list(range(20))
    assert tried == [10, 5, *[2] * 10]
    assert batch.size == 2
    tried.clear()
    batch.run(4, work)
    assert tried == [2, 2]


def test_an_item_that_does_not_fit_alone_raises() -> None:
    def work(part: slice) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    batch = BatchSize("cpu", cpu=64, item_bytes=1)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        batch.run(2, work, each=32)


def test_other_errors_are_raised() -> None:
    def work(part: slice) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    batch = BatchSize("cpu", cpu=64, item_bytes=1)
    with pytest.raises(RuntimeError, match="shapes"):
        batch.run(10, work)
    assert batch.size == 64


@pytest.mark.parametrize(
    ("bf16", "amx", "expected"),
    [
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),
        (None, None, torch.float32),  # a torch without these tests
    ],
)
def test_half_precision_needs_instructions_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, bf16: bool | None, amx: bool | None, expected: torch.dtype
) -> None:
    for name, has in (("_is_avx512_bf16_supported", bf16), ("_is_amx_tile_supported", amx)):
        if has is None:
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda has=has: has, raising=False)
    assert half_precision("cpu") is expected
    assert half_precision("mps") is torch.float32


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_half_precision_of_gpus_depends_on_their_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert half_precision("cuda:1") is expected
