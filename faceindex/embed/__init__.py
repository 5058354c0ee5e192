"""Embedders: aligned chips in, unit vectors out."""

from __future__ import annotations

from typing import Protocol

from faceindex.models.spec import EmbedderSpec
from faceindex.types import F32, U8

__all__ = ["Embedder", "prepare"]


def prepare(embedder: Embedder, chips: int) -> None:
    """Announce how many chips will follow, to an embedder that loads another network for many.

    The two differ in the last bits. With this, all chips of a run go through the same one, also those that
    come first, and those of a run that goes on where another was killed, unless at most 24 photos are left.
    """
    announce = getattr(embedder, "prepare", None)
    if announce is not None:
        announce(chips)


class Embedder(Protocol):
    """Interface of an embedder; `models.load` calls ``Target(spec, device=..., **options)``."""

    spec: EmbedderSpec

    def embed(self, chips: U8) -> tuple[F32, F32]:
        """Embed aligned faces.

        Parameters
        ----------
        chips : (n, s, s, 3) uint8
            Cut with ``spec.alignment``; n may be 0.

        Returns
        -------
        vectors : (n, d) float32
            Unit length.
        norms : (n,) float32
            Length of the network's own output.
        """
