"""Run MobileFaceNet in LiteRT, ONNX Runtime and OpenVINO, in the environment of the peer.

Reads a JSON line followed by pixels, writes a JSON line, and repeats until the input ends. The first line
names the published ``.tflite`` file and an ``.npz`` file with its layers, from which an ONNX network is made.
Every runtime has one thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper


def write_onnx(layers: Path, target: Path) -> None:
    """Write the layers as an ONNX network with any batch size."""
    with np.load(layers) as arrays:
        count = int(arrays["count"])
        nodes, constants = [], []
        x, narrow = "input", ""
        for i in range(count):
            weight, bias = arrays[f"weight{i}"], arrays[f"bias{i}"]
            stride, groups, same, residual = (int(v) for v in arrays[f"geometry{i}"])
            constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
            side = weight.shape[2]
            pads = [0] * 4 if side == 1 or not same else [1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1]
            nodes.append(
                helper.make_node(
                    "Conv",
                    [x, f"w{i}", f"b{i}"],
                    [f"c{i}"],
                    strides=[stride] * 2,
                    pads=pads,
                    group=groups,
                    kernel_shape=[side] * 2,
                )
            )
            x = f"c{i}"
            if f"slope{i}" in arrays:
                constants.append(numpy_helper.from_array(arrays[f"slope{i}"].reshape(-1, 1, 1), f"s{i}"))
                nodes.append(helper.make_node("PRelu", [x, f"s{i}"], [f"p{i}"]))
                x = f"p{i}"
                continue
            if residual:
                nodes.append(helper.make_node("Add", [x, narrow], [f"a{i}"]))
                x = f"a{i}"
            narrow = x
        nodes.append(helper.make_node("Flatten", [x], ["embeddings"], axis=1))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])
    output = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 192])
    graph = helper.make_graph(nodes, "mobilefacenet", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def planes(chips: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(((chips.astype(np.float32) - 127.5) / 128).transpose(0, 3, 1, 2))


def with_litert(file: str) -> Callable[[np.ndarray], np.ndarray]:
    interpreter = Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    batch = image["shape"][0]

    def run(chips: np.ndarray) -> np.ndarray:
        found = []
        for start in range(0, len(chips), batch):
            part = np.zeros(image["shape"], np.float32)
            part[: len(chips[start : start + batch])] = (
                chips[start : start + batch] - np.float32(127.5)
            ) / 128
            interpreter.set_tensor(image["index"], part)
            interpreter.invoke()
            found.append(interpreter.get_tensor(output["index"]))
        return np.concatenate(found)[: len(chips)]

    return run


def with_onnxruntime(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda chips: session.run(None, {"input": planes(chips)})[0]


def with_openvino(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(file), "CPU", settings).create_infer_request()
    return lambda chips: next(iter(request.infer([planes(chips)]).values())).copy()


def reply(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    files = json.loads(sys.stdin.buffer.readline())
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "mobilefacenet.onnx"
        write_onnx(Path(files["layers"]), network)
        runtimes = {
            "litert": with_litert(files["tflite"]),
            "onnxruntime": with_onnxruntime(network),
            "openvino": with_openvino(network),
        }
        packages = ("ai-edge-litert", "onnxruntime", "openvino")
        reply({"versions": {package: version(package) for package in packages}})
        for line in sys.stdin.buffer:
            request = json.loads(line)
            shape = request["shape"]
            content = sys.stdin.buffer.read(int(np.prod(shape)))
            chips = np.frombuffer(content, np.uint8).reshape(shape)
            start, cpu = time.perf_counter(), time.process_time()
            outputs = runtimes[request["runtime"]](chips)
            spent = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
            reply(spent | ({"outputs": outputs.tolist()} if request["outputs"] else {}))


if __name__ == "__main__":
    main()
