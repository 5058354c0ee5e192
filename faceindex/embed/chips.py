"""Checks of the chips that all embedders take, and scaling of the outputs."""

from __future__ import annotations

import numpy as np

from faceindex.errors import UsageError
from faceindex.models.spec import EmbedderSpec
from faceindex.types import F32, U8

__all__ = ["check_chips", "to_unit_length"]


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


def to_unit_length(outputs: F32) -> tuple[F32, F32]:
    """Scale outputs (n, d) of a network to unit length; returns them and their former lengths (n,)."""
    norms = np.linalg.norm(outputs, axis=1)
    return outputs / np.maximum(norms, np.finfo(np.float32).tiny)[:, None], norms
