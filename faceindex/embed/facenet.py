"""facenet: Inception-ResNet-v1 trained on VGGFace2, 512-d.

Schroff et al. 2015, https://arxiv.org/abs/1503.03832, trained as a classifier of 8,631 people by
davidsandberg/facenet, model 20180402-114759, and published for torch by facenet-pytorch.

Averaging over a chip and its mirror image takes twice the time and changes little: with MTCNN 99.1 in place
of 99.0 % of the 3,000 LFW pairs are told right, with a standard error of 0.14, and 92.8 in place of 92.3 % of
the pairs of one person of 400 photos of shared/data/people are more alike than all but 1 % of those of two
(`benchmarks/facenet_chips.py --quick`). So it is off unless asked for.
"""

from __future__ import annotations

import numpy as np
import torch

from faceindex.devices import BatchSize, half_precision
from faceindex.embed.chips import check_chips, to_unit_length
from faceindex.embed.facenet_net import InceptionResnetV1
from faceindex.models.spec import EmbedderSpec
from faceindex.state_dicts import load_network
from faceindex.types import F32, U8

__all__ = ["Facenet"]

# Chips per pass: from 16 on all are as fast (30 ms a chip on one core of an AMD EPYC), 8 to 12 a tenth
# slower; and the faces of 16 photos, which `index` gives at a time, go in one.
_BATCH = 24
_CHIP_BYTES = 4 * (3 * 160**2 + 2 * 64 * 77**2)  # in a pass: float32 input and the largest activations
_CLASSIFIER = "logits."  # names the 8,631 people of VGGFace2


class Facenet:
    """Embedder of 512 dimensions for chips of 160 x 160 pixels.

    Parameters
    ----------
    spec : EmbedderSpec
    device : str
        Where torch computes.
    flip : bool
        Whether to average the outputs for a chip and for its mirror image. Takes twice the time.
    half : bool
        Whether to compute in bfloat16 where `device` is faster then.

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
        # 12 % faster than the default order, and the order in which chips come.
        self._network = network.to(self._device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batch = BatchSize(device, cpu=_BATCH, item_bytes=_CHIP_BYTES)

    def outputs(self, chips: U8) -> F32:
        """The network's own output, before it is scaled to unit length.

        Parameters
        ----------
        chips : (n, 160, 160, 3) uint8
            RGB.

        Returns
        -------
        (n, 512) float32
            Scaled to unit length it is what facenet-pytorch's ``InceptionResnetV1`` gives, to 1e-5;
            with `flip`, the mean of two such outputs.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        check_chips(chips, self.spec)
        if not len(chips):
            return np.empty((0, self.spec.dimension), np.float32)
        with torch.inference_mode():
            return np.concatenate(self._batch.run(len(chips), lambda block: self._pass(chips[block])))

    def embed(self, chips: U8) -> tuple[F32, F32]:
        """Embed aligned faces.

        Parameters
        ----------
        chips : (n, 160, 160, 3) uint8
            RGB, cut as ``spec.alignment`` says; n may be 0.

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
        batch = torch.from_numpy(np.require(chips, requirements=["C", "W"])).to(self._device)
        # A permuted (n, h, w, 3) array is in channels_last order already.
        x = batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(128).to(self._dtype)
        output = self._network(x).float()
        if self._flip:
            output = (output + self._network(x.flip(3)).float()) / 2
        found: F32 = output.cpu().numpy()
        return found
