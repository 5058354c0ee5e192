"""Checks of the chips that all embedders take, and scaling of the outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from faceindex.errors import UsageError
from faceindex.models.spec import EmbedderSpec
from faceindex.types import F32, U8

if TYPE_CHECKING:
    from faceindex.devices import BatchSize

__all__ = ["check_chips", "run_in_passes", "to_unit_length"]


def check_chips(chips: U8, spec: EmbedderSpec) -> None:
    """Check that chips fit an embedder's alignment.

    Raises
    ------
    UsageError
        If they have another shape or dtype.
    """
    size = spec.alignment.size
    if chips.dtype != np.uint8 or chips.shape[1:] != (size, size, 3):
        raise UsageError(
            f"The embedder {spec.name} needs chips of shape (n, {size}, {size}, 3) and dtype uint8, "
            f"not {chips.shape} and {chips.dtype}.",
            "Cut the chips with faceindex.align.cut_chips.",
        )


def run_in_passes(chips: U8, spec: EmbedderSpec, batch: BatchSize, run: Callable[[U8], F32]) -> F32:
    """Check chips and pass them through a network, as many at a time as fit into memory.

    Parameters
    ----------
    chips : (n, s, s, 3) uint8
        n may be 0.
    spec : EmbedderSpec
    batch : BatchSize
    run : callable
        Takes some of the chips and returns their outputs.

    Returns
    -------
    (n, d) float32

    Raises
    ------
    UsageError
        As `check_chips`.
    """
    check_chips(chips, spec)
    if not len(chips):
        return np.empty((0, spec.dimension), np.float32)
    return np.concatenate(batch.run(len(chips), lambda part: run(chips[part])))


def to_unit_length(outputs: F32) -> tuple[F32, F32]:
    """Scale outputs (n, d) of a network to unit length; returns them and their former lengths (n,)."""
    norms = np.linalg.norm(outputs, axis=1)
    return outputs / np.maximum(norms, np.finfo(np.float32).tiny)[:, None], norms
