"""Where networks compute, and how much they are given at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from faceindex.errors import UsageError

__all__ = ["BatchSize", "half_precision", "is_out_of_memory", "resolve"]

_Result = TypeVar("_Result")

_KINDS = ("cpu", "cuda", "mps")


def resolve(name: str) -> str:
    """The torch device that a name stands for.

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
        If there is no such device here; says which there are.
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
        raise UsageError(problem, f"Here are: auto, {', '.join(reversed(_available()))}.")
    return name


def half_precision(device: str) -> torch.dtype:
    """The shorter type that a device computes in faster than in float32; float32 if there is none.

    Parameters
    ----------
    device : str
        As `resolve` returns it.

    Returns
    -------
    torch.dtype
        bfloat16 on NVIDIA GPUs since Ampere and on processors with AVX512-BF16 or AMX. Without such
        instructions convolutions in bfloat16 are slower than in float32.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        native = torch.cuda.get_device_capability(torch.device(device)) >= (8, 0)
    else:
        # Not in the first torch releases that are supported; they compute in float32 then.
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = kind == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests)
    return torch.bfloat16 if native else torch.float32


class BatchSize:
    """How many items go through a network at a time; less from the first time that memory runs out.

    Parameters
    ----------
    device : str
        As `resolve` returns it.
    cpu : int
        The number on a CPU: measured, and small, since larger batches fall out of its caches.
    item_bytes : int
        What one item takes while it is in the network, roughly; on a GPU the number is what fits in a
        quarter of the memory that is free now.
    most : int
        Never more on a GPU; beyond some hundred nothing is gained.

    Attributes
    ----------
    size : int
        The number in force.
    """

    def __init__(self, device: str, *, cpu: int, item_bytes: int, most: int = 512) -> None:
        self.size = cpu
        if torch.device(device).type == "cuda":
            free, _ = torch.cuda.mem_get_info(torch.device(device))
            self.size = max(1, min(most, free // 4 // item_bytes))

    def run(self, n: int, work: Callable[[slice], _Result], *, each: int = 1) -> list[_Result]:
        """Do `work` on slices of ``range(n)``, about as long as each other, at least once.

        When a slice does not fit into memory it is done in halves, and `size` stays at what fits. Several
        threads may share one object.

        Parameters
        ----------
        n : int
        work : callable
        each : int
            What one of the n counts for; `size` is in these units, and one of the n is always done.

        Raises
        ------
        RuntimeError
            Of torch, if a single item does not fit.
        """
        results: list[_Result] = []
        start = 0
        while start < n or not results:
            # Not full slices and a rest: small passes are slow.
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
            # Outside the handler, where the traceback no longer holds what the failed pass had made.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return results


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the host."""
    # torch has a class of its own for CUDA; MPS and the CPU's allocator raise a plain RuntimeError.
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and any(
            words in str(error) for words in ("out of memory", "not enough memory", "can't allocate memory")
        )
    )


def _available() -> list[str]:
    """The best first; the CPU always last."""
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
