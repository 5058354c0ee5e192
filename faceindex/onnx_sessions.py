"""Sessions of ONNX Runtime: networks from the content of ONNX files, on the devices of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from faceindex.errors import WeightsInvalid
from faceindex.models.onnx_format import has_external_data

__all__ = ["OnnxSession", "reason"]

_FATAL = 4  # of the levels of messages that ONNX Runtime prints; errors are raised anyway
_OUT_OF_MEMORY = ("out of memory", "allocate memory", "bad allocation", "bad_alloc")


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
        If the content is not an ONNX file that ONNX Runtime can run, or weights are in another file:
        nothing verifies that file, and ONNX Runtime would read it from the current folder.

    Attributes
    ----------
    on_gpu : bool
        Whether the network runs on a CUDA device.
    device : str
        The device that it runs on.
    """

    def __init__(self, content: bytes, name: str, *, device: str = "cpu") -> None:
        _check_whole(content, name)
        # Builds of ONNX Runtime for Windows report events to the operating system.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # The pattern of memory is planned again for each new size of an input, and gains nothing.
        options.enable_mem_pattern = False
        providers = _providers(device)
        self.on_gpu = len(providers) > 1
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # a class for each kind of failure, all directly below Exception
            raise _invalid(name, reason(error)) from error
        self.device = device if self.on_gpu else "cpu"

    @property
    def inputs(self) -> Sequence[Any]:
        """What the file declares: ``name``, ``type`` and ``shape``, of numbers, names and None."""
        return self._session.get_inputs()  # type: ignore[no-any-return]

    @property
    def outputs(self) -> Sequence[Any]:
        """As `inputs`."""
        return self._session.get_outputs()  # type: ignore[no-any-return]

    def run(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        """Run the network.

        Parameters
        ----------
        inputs : mapping
            An array for each input, by name.
        outputs : sequence of str, optional
            Names of the outputs to compute. None means all, in the order of the file.

        Returns
        -------
        list of arrays

        Raises
        ------
        MemoryError
            If the memory of the device does not suffice. `faceindex.devices.BatchSize` then tries smaller
            batches.
        """
        try:
            found: list[NDArray[Any]] = self._session.run(outputs, dict(inputs))
        except Exception as error:
            if any(words in str(error).lower() for words in _OUT_OF_MEMORY):
                raise MemoryError(str(error)) from error
            raise
        return found


def reason(error: BaseException) -> str:
    """Return the message of an exception of ONNX Runtime as a clause, without its prefix."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    return text.rstrip(". ") or type(error).__name__


def _check_whole(content: bytes, name: str) -> None:
    try:
        external = has_external_data(content, name)
    except WeightsInvalid as error:
        raise _invalid(name, "it is damaged, or no ONNX file") from error
    if external:
        raise WeightsInvalid(f"{name} keeps its weights in another file.", "Save it as one file.")


def _invalid(name: str, problem: str) -> WeightsInvalid:
    return WeightsInvalid(
        f"{name} cannot be run as an ONNX network: {problem}.",
        "Get the file again, or update ONNX Runtime with `pip install --upgrade onnxruntime`.",
    )


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
