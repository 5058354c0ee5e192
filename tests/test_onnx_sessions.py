"""Sessions of ONNX Runtime."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

from faceindex.errors import WeightsInvalid
from faceindex.onnx_sessions import OnnxSession


def test_a_network_runs_on_the_cpu_with_one_thread(
    onnx_messages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[onnxruntime.SessionOptions] = []
    real = onnxruntime.InferenceSession

    def recorded(content: bytes, chosen: onnxruntime.SessionOptions, **more: object) -> object:
        options.append(chosen)
        return real(content, chosen, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", recorded)
    session = OnnxSession(onnx_messages.relu_model(), "relu.onnx")
    (y,) = session.run({"x": np.array([[-1, 0, 2]], np.float32)})
    assert y.tolist() == [[0, 0, 2]]
    assert not session.on_gpu
    assert options[0].intra_op_num_threads == options[0].inter_op_num_threads == 1


def test_threads_may_share_a_session(onnx_messages: ModuleType) -> None:
    session = OnnxSession(onnx_messages.relu_model(shape=("n", 3)), "relu.onnx")

    def run(n: int) -> bool:
        x = np.full((n, 3), n, np.float32)
        return bool((session.run({"x": x})[0] == n).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(1, 50)))


def test_a_damaged_file_is_named(onnx_messages: ModuleType) -> None:
    for content in (b"", b"not a network", onnx_messages.relu_model()[:-20]):
        with pytest.raises(
            WeightsInvalid, match=r"broken\.onnx cannot be run as an ONNX network: .*\. Get the file again"
        ):
            OnnxSession(content, "broken.onnx")


@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph", "sparse", "function"])
def test_weights_in_another_file_are_refused(
    onnx_messages: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """ONNX Runtime would read the other file from the current folder, and nothing verifies it."""
    message = onnx_messages.message
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.bin").write_bytes(bytes(12))
    location = message((1, "location"), (2, "w.bin"))
    tensor = message((1, 3), (2, 1), (8, "w"), (13, location), (14, 1))
    constant = message((2, "c"), (4, "Constant"), (5, message((1, "value"), (5, tensor), (20, 4))))
    subgraph = message((5, message((1, "body"), (6, message((1, constant))), (20, 5))))
    more: dict[str, bytes] = {
        "initializer": onnx_messages.relu_model((5, tensor)),
        "constant": onnx_messages.relu_model((1, constant)),
        "subgraph": onnx_messages.relu_model((1, subgraph)),
        "sparse": onnx_messages.relu_model((15, message((1, tensor)))),
        "function": onnx_messages.relu_model() + message((25, message((7, constant)))),
    }
    with pytest.raises(WeightsInvalid, match=r"relu\.onnx keeps its weights in another file"):
        OnnxSession(more[place], "relu.onnx")


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("cpu", True, ["CPUExecutionProvider"]),
        ("mps", True, ["CPUExecutionProvider"]),
        ("cuda", False, ["CPUExecutionProvider"]),
        ("cuda", True, [("CUDAExecutionProvider", 0), "CPUExecutionProvider"]),
        ("cuda:3", True, [("CUDAExecutionProvider", 3), "CPUExecutionProvider"]),
    ],
)
def test_the_device_decides_the_providers(
    monkeypatch: pytest.MonkeyPatch, device: str, available: bool, expected: list[object]
) -> None:
    found: list[object] = []

    def recorded(content: bytes, options: object, *, providers: list[object]) -> object:
        found.extend((one[0], one[1]["device_id"]) if isinstance(one, tuple) else one for one in providers)
        return object()

    names = ["CPUExecutionProvider", *(["CUDAExecutionProvider"] if available else [])]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", recorded)
    session = OnnxSession(b"", "x.onnx", device=device)
    assert found == expected
    assert session.device == (device if len(expected) > 1 else "cpu")
    assert session.on_gpu == (len(expected) > 1)


def test_missing_memory_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def run(self, names: None, inputs: object) -> None:
            raise ValueError("Failed to allocate memory for requested buffer of size 99")

    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: Session())
    with pytest.raises(MemoryError, match="size 99"):
        OnnxSession(b"", "x.onnx").run({})
