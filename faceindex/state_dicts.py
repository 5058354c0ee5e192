"""Load files of torch weights into networks, with a strict check of their content."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from faceindex.errors import WeightsInvalid
from faceindex.models.spec import WeightFile
from faceindex.models.weights import find_weights, read_weights

__all__ = ["load_network", "network_from"]

_Network = TypeVar("_Network", bound=nn.Module)

_OPTIONAL = "num_batches_tracked"  # a counter for training, in files since torch 0.4.1
_SHOWN = 3  # faults in an error message


def load_network(
    build: Callable[[], _Network], weight: WeightFile, *, ignored: str | None = None
) -> _Network:
    """Build a network with the weights of a verified file.

    Parameters
    ----------
    build : callable
        Returns the network. It is called on torch's meta device, so that no initial weights are allocated.
    weight : WeightFile
        The file to load. `faceindex.models.weights.weight_locations` lists where it may lie.
    ignored : str, optional
        Prefix of the names of tensors that the file may contain and the network lacks.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients, on the CPU; batch norm is not folded.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights` and `network_from`.
    """
    content = read_weights(weight)
    return network_from(build, content, find_weights(weight), weight.source, ignored=ignored)


def network_from(
    build: Callable[[], _Network], content: bytes, path: Path, source: str, *, ignored: str | None = None
) -> _Network:
    """Build a network with the weights of a file's content; see `load_network`.

    Parameters
    ----------
    build : callable
    content : bytes
        A state dict, as written by `torch.save`. Numbers may have any precision. Counters of batches may be
        missing, as in old files.
    path : Path
        For error messages.
    source : str
        Where the file was published, for error messages.
    ignored : str, optional

    Returns
    -------
    torch.nn.Module
        Its tensors keep the dtypes of the network.

    Raises
    ------
    WeightsInvalid
        If the content is not a state dict, if its keys or shapes differ from those of the network, or if a
        number is not finite in the network's precision. The message lists the first faults.
    """
    state = _state_dict(content, path, source)
    with torch.device("meta"):
        network = build()
    expected = network.state_dict()
    found = {
        key: value.to(expected[key].dtype) if key in expected else value
        for key, value in state.items()
        if ignored is None or not key.startswith(ignored)
    }
    for key, value in expected.items():
        if key.endswith(_OPTIONAL):
            found.setdefault(key, torch.zeros(value.shape, dtype=value.dtype))
    if faults := _faults(expected, found):
        more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise _invalid(path, source, f"{', '.join(faults[:_SHOWN])}{more}")
    network.load_state_dict(found, assign=True)
    return network.eval().requires_grad_(False)


def _state_dict(content: bytes, path: Path, source: str) -> dict[str, Tensor]:
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises exceptions of many types
        raise _invalid(path, source, "it cannot be read as a torch file") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _invalid(path, source, "it does not contain a state dict of tensors")
    return {str(key): value for key, value in state.items()}


def _faults(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    common = [key for key in expected if key in found]
    return [
        *(f"{key} is missing" for key in expected if key not in found),
        *(
            f"{key} is {_shape(found[key])} instead of {_shape(expected[key])}"
            for key in common
            if found[key].shape != expected[key].shape
        ),
        *(f"{key} is unknown" for key in found if key not in expected),
        *(f"{key} has values that are not finite" for key in common if not found[key].isfinite().all()),
    ]


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _invalid(path: Path, source: str, problem: str) -> WeightsInvalid:
    return WeightsInvalid(
        f"{path} does not contain the weights of this network: {problem}.",
        f"Get the file again from {source}.",
    )
