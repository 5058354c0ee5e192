"""Sessions of ONNX Runtime: networks from the content of ONNX files, on the devices of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from faceindex.errors import WeightsInvalid

__all__ = ["OnnxSession"]

_ERRORS_ONLY = 3  # of the levels of messages; warnings about the graph are of no use to the user


class OnnxSession:
    """A network that ONNX Runtime runs; several threads may share it.

    It runs in the calling thread, like the networks of torch (`faceindex.recognition.use_one_thread`).

    Parameters
    ----------
    content : bytes
        An ONNX file, as returned by `faceindex.models.read_weights`.
    name : str
        Name of the file in errors.
    device : str
        As returned by `faceindex.devices.resolve`. On a CUDA device the network runs there if the package
        onnxruntime-gpu is installed, in full float32 precision; in all other cases it runs on the CPU.

    Raises
    ------
    WeightsInvalid
        If the content is not an ONNX file that ONNX Runtime can run.

    Attributes
    ----------
    on_gpu : bool
        Whether the network runs on a CUDA device.
    """

    def __init__(self, content: bytes, name: str, *, device: str = "cpu") -> None:
        # Builds of ONNX Runtime for Windows report events to the operating system.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # The pattern of memory is planned again for each new size of an input, and gains nothing.
        options.enable_mem_pattern = False
        providers = _providers(device)
        self.on_gpu = len(providers) > 1
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # a class for each kind of failure, all directly below Exception
            reason = " ".join(str(error).split()).rstrip(".")
            raise WeightsInvalid(
                f"ONNX Runtime cannot load {name}: {reason}.",
                "Delete the file and get the published one again.",
            ) from error

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the network.

        Parameters
        ----------
        inputs : mapping
            An array for each input, by name.

        Returns
        -------
        list of arrays
            In the order of the file.

        Raises
        ------
        MemoryError
            If the memory of the device does not suffice. `faceindex.devices.BatchSize` then tries smaller
            batches.
        """
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, dict(inputs))
        except Exception as error:
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise
        return outputs


def _providers(device: str) -> list[str | tuple[str, dict[str, object]]]:
    """Return the execution providers of a device, the preferred one first."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return ["CPUExecutionProvider"]
    onnxruntime.preload_dlls()  # CUDA's libraries that torch brings
    # Without exhaustive search, which would be repeated for each new size of an input.
    settings: dict[str, object] = {
        "device_id": int(number or 0),
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": 0,
    }
    return [("CUDAExecutionProvider", settings), "CPUExecutionProvider"]
