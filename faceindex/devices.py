"""Torch devices, and batch sizes that fit into their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from faceindex.errors import UsageError

__all__ = ["BatchSize", "half_precision", "is_out_of_memory", "resolve", "resolve_or_auto"]

_Result = TypeVar("_Result")

_KINDS = ("cpu", "cuda", "mps")


def resolve(name: str) -> str:
    """Resolve the name of a device, which may be "auto", to a torch device.

    Parameters
    ----------
    name : str
        ``"auto"`` (CUDA if there is a usable GPU, else Apple's MPS, else the CPU), ``"cpu"``,
        ``"cuda"``, ``"cuda:n"`` or ``"mps"``.

    Returns
    -------
    str
        Never ``"auto"``.

    Raises
    ------
    UsageError
        If this machine has no such device; the message lists those it has.
    """
    if name == "auto":
        return _available()[0]
    kind, _, number = name.partition(":")
    problem = None
    if kind not in _KINDS or (":" in name and not (kind == "cuda" and number.isdecimal())):
        problem = f"There is no device '{name}'."
    elif kind == "cuda" and not torch.cuda.is_available():
        built = "finds no usable NVIDIA GPU" if torch.version.cuda else "was built without CUDA"
        problem = f"The device '{name}' cannot be used: this torch {built}."
    elif kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        problem = f"There is no device '{name}': the GPUs are numbered 0 to {torch.cuda.device_count() - 1}."
    elif kind == "mps" and not torch.backends.mps.is_available():
        problem = "The device 'mps' cannot be used: it needs macOS on Apple silicon."
    if problem:
        raise UsageError(problem, f"Available devices: auto, {', '.join(reversed(_available()))}.")
    return name


def resolve_or_auto(name: str) -> str:
    """Resolve the name of a device, or "auto" if this machine has no such device."""
    try:
        return resolve(name)
    except UsageError:
        return resolve("auto")


def half_precision(device: str) -> torch.dtype:
    """Return the 16-bit type in which a device computes faster than in float32, or float32 if there is none.

    Parameters
    ----------
    device : str
        As returned by `resolve`.

    Returns
    -------
    torch.dtype
        bfloat16 on NVIDIA GPUs since Ampere and on processors with AVX512-BF16 or AMX. Without such
        instructions, convolutions in bfloat16 are slower than in float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        native = torch.cuda.get_device_capability(torch.device(device)) >= (8, 0)
    else:
        # The oldest supported torch releases lack these tests; float32 is used there.
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = kind == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests)
    return torch.bfloat16 if native else torch.float32


class BatchSize:
    """Number of items that pass through a network at a time; it shrinks when memory runs out.

    Parameters
    ----------
    device : str
        As returned by `resolve`.
    cpu : int
        The number on a CPU: measured, and small, since larger batches exceed the caches.
    item_bytes : int
        Approximate memory of one item in the network. On a GPU, the number is what fits into a quarter of
        the free memory.
    most : int
        Upper limit on a GPU; more than a few hundred gain nothing.

    Attributes
    ----------
    size : int
        The current number.
    """

    def __init__(self, device: str, *, cpu: int, item_bytes: int, most: int = 512) -> None:
        self.size = cpu
        if torch.device(device).type == "cuda":
            free, _ = torch.cuda.mem_get_info(torch.device(device))
            self.size = max(1, min(most, free // 4 // item_bytes))

    def run(self, n: int, work: Callable[[slice], _Result], *, each: int = 1) -> list[_Result]:
        """Call `work` on slices of ``range(n)`` of about equal length, and at least once.

        If a slice does not fit into memory, its halves are tried, and `size` is reduced to what fits. Several
        threads may share one object.

        Parameters
        ----------
        n : int
            Number of elements to process.
        work : callable
            Takes a slice.
        each : int
            Items per element; `size` counts items. A slice has at least one element, even if that has
            more than `size` items.

        Returns
        -------
        list
            The results, in the order of the slices.

        Raises
        ------
        RuntimeError, MemoryError
            If a single element does not fit into memory.
        """
        results: list[_Result] = []
        start = 0
        while start < n or not results:
            # Slices of equal length, instead of full ones and a small rest: small passes are slow.
            left = n - start
            passes = max(1, -(-left // max(1, self.size // each)))
            stop = start + -(-left // passes)
            try:
                results.append(work(slice(start, stop)))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if stop - start <= 1:
                    raise
                self.size = (stop - start) // 2 * each
            else:
                start = stop
                continue
            # Outside of the handler: its traceback would keep the tensors of the failed pass alive.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return results


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory ran out, on a GPU or on the host."""
    # torch has a class for CUDA only; MPS and the CPU's allocator raise a plain RuntimeError.
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and any(
            words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")
        )
    )


def _available() -> list[str]:
    """Return the available devices, the best first, the CPU last."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.insert(0, "mps")
    if torch.cuda.is_available():
        found[:0] = [
            "cuda",
            *(
                f"cuda:{number}"
                for number in range(torch.cuda.device_count())
                if torch.cuda.device_count() > 1
            ),
        ]
    return found
