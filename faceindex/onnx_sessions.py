"""Sessions of ONNX Runtime for networks in ONNX files.

The package ``onnxruntime`` runs on the CPU. ``onnxruntime-gpu``, installed instead of it, also runs on NVIDIA
GPUs.
"""

from __future__ import annotations

import re

import onnxruntime

from faceindex.errors import WeightsInvalid

__all__ = ["device_of", "onnx_session", "reason"]

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_FATAL = 4  # severity of messages that ONNX Runtime itself prints; errors are raised anyway


def onnx_session(content: bytes, name: str, device: str) -> onnxruntime.InferenceSession:
    """Make a session of a network. Several threads may run it at the same time, each on its own core.

    Parameters
    ----------
    content : bytes
        The whole file; see `faceindex.models.weights.read_weights`.
    name : str
        Name of the file in errors.
    device : str
        As returned by `faceindex.devices.resolve`. The network runs on the CPU where ONNX Runtime has no
        support for the device; `device_of` returns where it runs.

    Raises
    ------
    WeightsInvalid
        If the content is no ONNX network, or one that this ONNX Runtime cannot run.
    """
    options = onnxruntime.SessionOptions()
    # The pipeline runs several batches at a time, each in a thread of its own (`use_one_thread`).
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    try:
        return onnxruntime.InferenceSession(content, options, providers=_providers(device))
    except Exception as error:  # its exceptions have no common base but Exception
        raise WeightsInvalid(
            f"{name} cannot be run as an ONNX network: {reason(error)}.",
            "Get the file again, or update ONNX Runtime with `pip install --upgrade onnxruntime`.",
        ) from error


def device_of(session: onnxruntime.InferenceSession, device: str) -> str:
    """Return where a session for `device` runs: `device` itself, or ``"cpu"``."""
    return device if session.get_providers()[0] != _CPU else "cpu"


def reason(error: BaseException) -> str:
    """Return the message of an exception of ONNX Runtime as a clause, without its prefix."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    return text.rstrip(". ") or type(error).__name__


def _providers(device: str) -> list[str | tuple[str, dict[str, str]]]:
    kind, _, number = device.partition(":")
    if kind == "cuda" and _CUDA in onnxruntime.get_available_providers():
        return [(_CUDA, {"device_id": number or "0"}), _CPU]
    return [_CPU]
