"""facenet: Inception-ResNet-v1 trained on VGGFace2, 512-d.

Schroff et al. 2015, https://arxiv.org/abs/1503.03832, trained as a classifier of 8,631 people by
davidsandberg/facenet, model 20180402-114759, and published for torch by facenet-pytorch.

Averaging over a chip and its mirror image takes twice the time and changes little, so it is off by default.
With MTCNN, the accuracy on the 3,000 LFW pairs is 99.1 instead of 99.0 %, with a standard error of 0.14. On
400 photos of shared/data/people, the true match rate at a false match rate of 1 % is 92.8 instead of 92.3 %
(`benchmarks/facenet_chips.py --quick`).
"""

from __future__ import annotations

import numpy as np
import torch

from faceindex.devices import BatchSize, half_precision
from faceindex.embed.chips import run_in_passes, to_unit_length
from faceindex.embed.facenet_net import InceptionResnetV1
from faceindex.models.spec import EmbedderSpec
from faceindex.state_dicts import load_network
from faceindex.types import F32, U8

__all__ = ["Facenet"]

# Chips per pass: 16 and more are equally fast (30 ms a chip on one core of an AMD EPYC), 8 to 12 are a tenth
# slower. The faces of the 16 photos that `index` processes at a time fit into one pass.
_BATCH = 24
# Bytes per chip in a pass: float32 input and the largest activations.
_CHIP_BYTES = 4 * (3 * 160**2 + 2 * 64 * 77**2)
_CLASSIFIER = "logits."  # prefix of the tensors that classify the 8,631 people of VGGFace2


class Facenet:
    """Embedder with 512 dimensions for chips of 160 x 160 pixels.

    Parameters
    ----------
    spec : EmbedderSpec
    device : str
        A torch device.
    flip : bool
        Whether to average the outputs for a chip and its mirror image. Takes twice the time.
    half : bool
        Whether to compute in bfloat16 if that is faster on `device`.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        See `faceindex.state_dicts.load_network`.
    """

    def __init__(
        self, spec: EmbedderSpec, *, device: str = "cpu", flip: bool = False, half: bool = False
    ) -> None:
        self.spec = spec
        self._device = torch.device(device)
        self._flip = flip
        network = load_network(InceptionResnetV1, spec.weights[0], ignored=_CLASSIFIER)
        network.fold()
        self._dtype = half_precision(device) if half else torch.float32
        # Channels last, the order of the chips: 12 % faster than torch's default order.
        self._network = network.to(self._device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batch = BatchSize(device, cpu=_BATCH, item_bytes=_CHIP_BYTES)

    def outputs(self, chips: U8) -> F32:
        """Return the network's own outputs, not scaled to unit length.

        Parameters
        ----------
        chips : (n, 160, 160, 3) uint8
            RGB.

        Returns
        -------
        (n, 512) float32
            Scaled to unit length, they equal those of facenet-pytorch's ``InceptionResnetV1`` to 1e-5. With
            `flip`, each is the mean of two such outputs.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        with torch.inference_mode():
            return run_in_passes(chips, self.spec, self._batch, self._pass)

    def embed(self, chips: U8) -> tuple[F32, F32]:
        """Embed aligned faces.

        Parameters
        ----------
        chips : (n, 160, 160, 3) uint8
            RGB, cut with ``spec.alignment``; n may be 0.

        Returns
        -------
        vectors : (n, 512) float32
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
        batch = torch.from_numpy(np.require(chips, requirements=["C", "W"])).to(self._device)
        # A permuted (n, h, w, 3) array is already in channels_last order.
        x = batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(128).to(self._dtype)
        output = self._network(x).float()
        if self._flip:
            output = (output + self._network(x.flip(3)).float()) / 2
        found: F32 = output.cpu().numpy()
        return found
