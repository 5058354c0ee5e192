"""Any face embedder in an ONNX file, driven by its spec.

The network takes chips as (n, 3, s, s) float32, with the size, the channel order and the pixel values of the
spec, and returns (n, d) float32. Names of its input and output do not matter. Many published files have a
batch of fixed size, mostly 1; chips are then passed in groups of that size.
"""

from __future__ import annotations

import numpy as np

from faceindex.devices import BatchSize
from faceindex.embed.chips import check_chips, to_unit_length
from faceindex.errors import ModelError, WeightsInvalid
from faceindex.models.spec import EmbedderSpec
from faceindex.models.weights import read_weights
from faceindex.onnx_sessions import OnnxSession, reason
from faceindex.types import F32, U8

__all__ = ["OnnxEmbedder", "output_size"]

# Chips per pass on a CPU, if the network allows. It hardly matters: MobileFaceNet takes 15.7 ms a face with 8
# and 15.1 ms with 1 (benchmarks/onnx_embedder.py).
_BATCH = 8
# Bytes per chip and pixel in a pass on a GPU: an estimate from ResNet-50's first layers, 64 channels each.
_PIXEL_BYTES = 4 * 3 * 64


class OnnxEmbedder:
    """Embedder that runs the first weight file of its spec, an ONNX network.

    Several threads may share it.

    Parameters
    ----------
    spec : EmbedderSpec
        With `EmbedderSpec.scale`. The network must fit its alignment, colour and dimension.
    device : str
        As returned by `faceindex.devices.resolve`; see `faceindex.onnx_sessions.OnnxSession`.

    Raises
    ------
    ModelError
        If the spec has no weight file or no scale.
    WeightsNotFound
        If the file is missing.
    WeightsInvalid
        If the file is not the published one, is no ONNX network, or does not fit the spec. One chip is
        passed through the network to find out.
    """

    def __init__(self, spec: EmbedderSpec, *, device: str = "cpu") -> None:
        if not spec.weights or spec.scale is None:
            missing = "scale" if spec.weights else "weight file"
            raise ModelError(
                f"The spec of the embedder '{spec.name}' has no {missing}.",
                "Report this to its authors.",
            )
        self.spec = spec
        weight = spec.weights[0]
        self._network = _Network(read_weights(weight), weight.name, spec, device)

    def outputs(self, chips: U8) -> F32:
        """Return the network's own outputs, not scaled to unit length.

        Parameters
        ----------
        chips : (n, s, s, 3) uint8
            RGB.

        Returns
        -------
        (n, d) float32
            If the network returns vectors of unit length and their former lengths, as AdaFace's does, the
            products of the two.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        check_chips(chips, self.spec)
        if not len(chips):
            return np.empty((0, self.spec.dimension), np.float32)
        return self._network(chips)

    def embed(self, chips: U8) -> tuple[F32, F32]:
        """Embed aligned faces.

        Parameters
        ----------
        chips : (n, s, s, 3) uint8
            RGB, cut with ``spec.alignment``; n may be 0.

        Returns
        -------
        vectors : (n, d) float32
            Unit length.
        norms : (n,) float32
            Length of the network's own output.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        return to_unit_length(self.outputs(chips))


def output_size(content: bytes, name: str, spec: EmbedderSpec) -> int:
    """Find the number of values that a network returns for a chip.

    Parameters
    ----------
    content : bytes
        An ONNX file.
    name : str
        Its name in errors.
    spec : EmbedderSpec
        How to make the input; its dimension is ignored.

    Raises
    ------
    WeightsInvalid
        As in `OnnxEmbedder`, or if the network has several outputs of which any could be the vector.
    """
    return _Network(content, name, spec, "cpu", any_dimension=True).dimension


class _Network:
    """A session with checked input and output: chips (n, s, s, 3) in, outputs (n, d) out."""

    def __init__(
        self, content: bytes, name: str, spec: EmbedderSpec, device: str, *, any_dimension: bool = False
    ) -> None:
        assert spec.scale is not None
        self._name = name
        self._size = spec.alignment.size
        self._bgr = spec.colour == "BGR"
        self._mean, self._divisor = np.float32(spec.scale.mean), np.float32(spec.scale.divisor)
        self._session = OnnxSession(content, name, device=device)
        self._input, self._fixed = self._check_input()
        self._outputs, self.dimension = self._find_outputs(None if any_dimension else spec.dimension)
        self._batch = BatchSize(
            self._session.device,
            cpu=max(_BATCH, self._fixed or 1),
            item_bytes=_PIXEL_BYTES * self._size**2,
        )

    def __call__(self, chips: U8) -> F32:
        return np.concatenate(self._batch.run(len(chips), lambda part: self._forward(chips[part])))

    def _forward(self, chips: U8) -> F32:
        """Pass chips through the network, together or in groups of the size that it requires."""
        if self._fixed is None:
            return self._run(self._prepare(chips), len(chips))
        found = []
        for start in range(0, len(chips), self._fixed):
            group = self._prepare(chips[start : start + self._fixed])
            n = len(group)
            if n < self._fixed:
                group = np.concatenate([group, np.zeros((self._fixed - n, *group.shape[1:]), np.float32)])
            found.append(self._run(group, self._fixed)[:n])
        return np.concatenate(found)

    def _prepare(self, chips: U8) -> F32:
        """Convert chips (n, s, s, 3) to the network's input (n, 3, s, s)."""
        channels = chips[..., ::-1] if self._bgr else chips
        batch: F32 = channels.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        batch -= self._mean
        batch /= self._divisor
        return batch

    def _run(self, batch: F32, n: int) -> F32:
        values = self._session.run({self._input: batch}, self._outputs)
        found: F32 = values[0].reshape(n, self.dimension)
        if len(values) > 1:
            found = found * values[1].reshape(n, 1)
        return found

    def _check_input(self) -> tuple[str, int | None]:
        """Return the name of the network's input, and its batch size; None if any size will do."""
        needed = f"(n, 3, {self._size}, {self._size}) of tensor(float)"
        inputs = self._session.inputs
        if len(inputs) != 1:
            raise self._misfit(f"it has {len(inputs)} inputs", f"one of shape {needed}")
        (only,) = inputs
        # Dimensions without a fixed size are names or None.
        fixed = [size if isinstance(size, int) else None for size in only.shape]
        wanted = (None, 3, self._size, self._size)
        fits = len(fixed) == 4 and all(
            found is None or size is None or found == size for found, size in zip(fixed, wanted, strict=True)
        )
        if not fits or only.type != "tensor(float)":
            shape = ", ".join("n" if size is None else f"{size}" for size in fixed)
            raise self._misfit(f"its input is ({shape}) of {only.type}", needed)
        if fixed[0] is not None and fixed[0] < 1:  # -1 in files of some exporters
            return only.name, None
        return only.name, fixed[0]

    def _find_outputs(self, dimension: int | None) -> tuple[list[str], int]:
        """Find the output that is the vector, and the one with its former length, if there is one.

        The declared shapes of outputs are often missing or wrong, so a chip is passed through the network.
        """
        n = self._fixed or 1
        chip = np.random.default_rng(0).integers(0, 256, (1, self._size, self._size, 3), np.uint8)
        batch = np.repeat(self._prepare(chip), n, axis=0)
        try:
            values = dict(
                zip(
                    [output.name for output in self._session.outputs],
                    self._session.run({self._input: batch}),
                    strict=True,
                )
            )
        except MemoryError:
            raise
        except Exception as error:
            raise self._misfit(
                f"it fails on a chip ({reason(error)})", "a network that embeds one"
            ) from error
        sizes = {
            name: value.size // n
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.size % n == 0
        }
        shapes = " and ".join(f"{np.shape(value)}" for value in values.values())
        if dimension is None:
            vectors = [name for name, size in sizes.items() if size > 1]
            if len(vectors) != 1:
                raise self._misfit(f"its output is {shapes}", "one vector for each chip")
            dimension = sizes[vectors[0]]
        else:
            vectors = [name for name, size in sizes.items() if size == dimension]
        if not vectors:
            raise self._misfit(f"its output is {shapes}", f"(n, {dimension}) float32")
        vector = values[vectors[0]].reshape(n, dimension)
        if not np.isfinite(vector).all():
            raise self._misfit("it returns values that are not finite", "numbers")
        lengths = [name for name, size in sizes.items() if size == 1]
        unit = bool(np.abs(np.linalg.norm(vector, axis=1) - 1).max() < 1e-3)
        if unit and len(lengths) == 1 and dimension > 1 and (values[lengths[0]] > 0).all():
            return [vectors[0], lengths[0]], dimension
        return [vectors[0]], dimension

    def _misfit(self, got: str, needed: str) -> WeightsInvalid:
        return WeightsInvalid(
            f"{self._name} does not fit the embedder: {got}, expected {needed}.",
            "Use the file of that embedder, or add this one as an embedder of its own with another `like`.",
        )
