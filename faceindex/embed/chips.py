"""What every embedder is given, checked in one place, and what it makes of its outputs."""

from __future__ import annotations

import numpy as np

from faceindex.errors import UsageError
from faceindex.models.spec import EmbedderSpec
from faceindex.types import F32, U8

__all__ = ["check_chips", "to_unit_length"]


def check_chips(chips: U8, spec: EmbedderSpec) -> None:
    """See that chips are what an embedder's alignment cuts.

    Raises
    ------
    UsageError
        If they have another shape or dtype.
    """
    size = spec.alignment.size
    if chips.dtype != np.uint8 or chips.shape[1:] != (size, size, 3):
        raise UsageError(
            f"{spec.name} embeds chips of shape (n, {size}, {size}, 3) and type uint8, "
            f"not {chips.shape} {chips.dtype}.",
            "Cut them with faceindex.align.cut_chips.",
        )


def to_unit_length(outputs: F32) -> tuple[F32, F32]:
    """Outputs (n, d) of a network as unit vectors (n, d), and the lengths (n,) that they had."""
    norms = np.linalg.norm(outputs, axis=1)
    return outputs / np.maximum(norms, np.finfo(np.float32).tiny)[:, None], norms
