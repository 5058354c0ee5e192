"""mobilefacenet: MobileFaceNet trained with an angular margin on MS1M, 192-d."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from faceindex.devices import BatchSize
from faceindex.embed.chips import run_in_passes, to_unit_length
from faceindex.embed.mobilefacenet_net import SIZE, TorchNetwork
from faceindex.models.spec import EmbedderSpec
from faceindex.types import F32, U8

if TYPE_CHECKING:
    from faceindex.embed.mobilefacenet_folded import FoldedNetwork

__all__ = ["MobileFaceNet"]

# Chips per pass on a CPU: with 1, 2, 4 and 8 a chip takes 5.8, 5.5, 5.4 and 4.8 ms (one AVX-512 core).
_BATCH = 8
# The first chips of a process on a CPU go through the plain module: importing numba and loading the compiled
# loops takes 0.8 s, as long as 120 chips take longer there. A batch of `index` is larger than this.
_PLAIN_CHIPS = 24
# Bytes per chip in a pass on a GPU: float32 input and the two largest activations.
_CHIP_BYTES = 4 * (3 * SIZE**2 + 2 * 128 * 56**2)


class MobileFaceNet:
    """Embedder with 192 dimensions for chips of 112 x 112 pixels.

    Parameters
    ----------
    spec : EmbedderSpec
    device : str
        A torch device.
    flip : bool
        Whether to average the outputs for a chip and its mirror image. Takes twice the time.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights`.
    """

    def __init__(self, spec: EmbedderSpec, *, device: str = "cpu", flip: bool = False) -> None:
        self.spec = spec
        self._device = torch.device(device)
        self._flip = flip
        self._batch = BatchSize(device, cpu=_BATCH, item_bytes=_CHIP_BYTES)
        self._module = TorchNetwork(spec.weights[0]).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._folded: FoldedNetwork | None = None
        self._chips = 0  # so far, on a CPU

    def prepare(self, chips: int) -> None:
        """Expect a number of chips; see `faceindex.embed.prepare`."""
        if self._device.type == "cpu" and self._folded is None and chips > _PLAIN_CHIPS:
            from faceindex.embed.mobilefacenet_folded import FoldedNetwork  # imports numba

            self._folded = FoldedNetwork(self.spec.weights[0], _BATCH)

    def outputs(self, chips: U8) -> F32:
        """Return the network's own outputs, not scaled to unit length.

        Parameters
        ----------
        chips : (n, 112, 112, 3) uint8
            RGB.

        Returns
        -------
        (n, 192) float32
            Equal to those of TensorFlow Lite to 1e-4. With `flip`, each is the mean of two such outputs.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        with torch.inference_mode():
            if self._device.type == "cpu" and self._folded is None:
                self._chips += len(chips)
                self.prepare(self._chips)
            return run_in_passes(chips, self.spec, self._batch, self._pass)

    def embed(self, chips: U8) -> tuple[F32, F32]:
        """Embed aligned faces.

        Parameters
        ----------
        chips : (n, 112, 112, 3) uint8
            RGB, cut with ``spec.alignment``; n may be 0.

        Returns
        -------
        vectors : (n, 192) float32
            Unit length.
        norms : (n,) float32
            Length of the network's own output.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        return to_unit_length(self.outputs(chips))

    def _pass(self, chips: U8) -> F32:
        """Pass chips through the network together."""
        found = self._forward(chips)
        if self._flip:
            found = (found + self._forward(chips[:, :, ::-1])) / np.float32(2)
        return found

    def _forward(self, chips: U8) -> F32:
        chips = np.require(chips, requirements=["C", "W"])
        if self._folded is not None:
            outputs = self._folded(chips)
        else:
            batch = torch.from_numpy(chips).to(self._device)
            # A permuted (n, h, w, 3) array is already in channels_last order.
            outputs = self._module(batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(128)).cpu()
        found: F32 = outputs.numpy()
        return found
