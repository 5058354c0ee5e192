"""Measure the embedders' speed as a share of the peak of float32 matrix products (sgemm).

facenet and dlib embed chips of people/, cut and batched as in `index`: the faces of 16 photos at a time,
with one thread, and in as many one-thread workers as there are cores. torch counts the multiply-add
operations of a face as it executes them; each is two operations. The peak is the speed of a product of square
float32 matrices with the same threads: the best of torch's and numpy's, of several sizes and repeats, right
before and right after. Both alternate, so each round is a ratio.

To show where speed is lost, the results contain full batches of the embedder, and CPU seconds. The accuracy
is the largest difference of a component of the output (facenet's at unit length) from the output of dlib
itself, or of the published network without folding.

    python benchmarks/embedding.py [--photos N] [--rounds N] [--embedders NAME...] [--quick]
                                   [--data ../shared/data]

The full run takes about four minutes on two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import dlib
import numpy as np
import torch
from common import argument_parser, people_photos, target, use_weights_beside, write_result
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch.utils.flop_counter import FlopCounterMode

from faceindex import models
from faceindex.detect import Detector
from faceindex.embed import Embedder
from faceindex.embed.dlib_resnet import DlibResNet
from faceindex.embed.facenet_net import InceptionResnetV1
from faceindex.pipeline.batches import BATCH_PHOTOS, count_workers
from faceindex.recognition import Recogniser, use_one_thread
from faceindex.state_dicts import load_network
from faceindex.types import F32, U8

TARGETS = {"facenet": (0.80, 0.95), "dlib": (0.65, 0.80)}  # reach, beyond
SIDES = (768, 1536)  # of the matrices; larger ones are not faster, and the fastest depends on the machine
REPEATS = 5
COMPARED = 32  # chips whose embeddings are compared with the reference's


@dataclass(frozen=True)
class Work:
    """Chips in the batches that an embedder receives."""

    name: str
    batches: list[U8]

    @property
    def faces(self) -> int:
        return sum(map(len, self.batches))


class ChipRecorder:
    """An embedder that keeps the chips it receives and returns zeros."""

    def __init__(self, embedder: Embedder) -> None:
        self.spec = embedder.spec
        self.batches: list[U8] = []

    def embed(self, chips: U8) -> tuple[F32, F32]:
        self.batches.append(chips)
        return np.zeros((len(chips), self.spec.dimension), np.float32), np.ones(len(chips), np.float32)


def chips_of(paths: Sequence[Path], detector: Detector, embedder: Embedder) -> list[U8]:
    """Return the chips of the faces on photos, in the batches that `index` makes."""
    recorder = ChipRecorder(embedder)
    recogniser = Recogniser(detector, recorder)
    for start in range(0, len(paths), BATCH_PHOTOS):
        recogniser.recognise([recogniser.load_photo(path) for path in paths[start : start + BATCH_PHOTOS]])
    return recorder.batches


def macs_of_a_face(embedder: Embedder, chips: U8) -> float:
    """Return the multiply-add operations that torch executes for one face."""
    with FlopCounterMode(display=False) as counter:
        embedder.embed(chips)
    macs: float = counter.get_total_flops() / 2 / len(chips)  # torch counts two flops per multiply-add
    if macs < 1e8:
        raise SystemExit(f"{embedder.spec.name}: torch counts only {macs:.0f} multiply-adds per face.")
    return macs


def gflops_of_product(side: int) -> float:
    """Return the GFLOP/s of a float32 product, the better of torch's and numpy's."""
    a, b = torch.rand(side, side), torch.rand(side, side)
    seconds = []
    for product in (lambda: torch.mm(a, b), lambda: a.numpy() @ b.numpy()):
        for _ in range(REPEATS):
            start = time.perf_counter()
            product()
            seconds.append(time.perf_counter() - start)
    return 2e-9 * side**3 / min(seconds)


def peak(threads: int) -> float:
    """Return the GFLOP/s of the fastest float32 product with a number of threads."""
    with threadpool_limits(threads, "blas"):
        return max(map(gflops_of_product, SIDES))


def difference(embedder: Embedder, chips: U8) -> float:
    """Return the largest difference of a component from the reference."""
    weights = models.find_weights(embedder.spec.weights[0])
    if isinstance(embedder, DlibResNet):
        reference = dlib.face_recognition_model_v1(str(weights))
        expected = np.stack([reference.compute_face_descriptor(chip) for chip in chips])
        return float(np.abs(embedder.outputs(chips) - expected).max())
    network = load_network(InceptionResnetV1, embedder.spec.weights[0], ignored="logits.").eval()
    with torch.inference_mode():
        batch = torch.from_numpy(chips).permute(0, 3, 1, 2).contiguous()
        outputs = network((batch.float() - 127.5) / 128)
        expected = torch.nn.functional.normalize(outputs).numpy()
    return float(np.abs(embedder.embed(chips)[0] - expected).max())


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(
    embedder: Embedder, work: Work, pool: ThreadPoolExecutor, threads: int, macs: float, rounds: int
) -> dict[str, list[float]]:
    """Return shares of the peak, faces per second and peaks, by round."""

    def embed() -> None:
        if threads == 1:
            for batch in work.batches:
                embedder.embed(batch)
        else:
            list(pool.map(embedder.embed, work.batches))

    columns: dict[str, list[float]] = {
        "share": [],
        "faces_per_s": [],
        "cpu_ms_per_face": [],
        "peak_gflops": [],
    }
    before = peak(threads)
    embedder.embed(work.batches[0])
    for _ in range(rounds):
        wall, cpu = timed(embed)
        after = peak(threads)
        best, before = max(before, after), after
        columns["share"].append(2e-9 * macs * work.faces / wall / best)
        columns["faces_per_s"].append(work.faces / wall)
        columns["cpu_ms_per_face"].append(1e3 * cpu / work.faces)
        columns["peak_gflops"].append(best)
    return columns


def run_embedder(
    name: str, paths: Sequence[Path], rounds: int, pool: ThreadPoolExecutor
) -> tuple[dict[str, object], list[dict[str, object]]]:
    recogniser = Recogniser.load(embedder=name, device="cpu")
    embedder, chips = recogniser.embedder, chips_of(paths, recogniser.detector, recogniser.embedder)
    macs = macs_of_a_face(embedder, chips[0])
    every = np.concatenate(chips)
    size = embedder._batch.size  # type: ignore[attr-defined]
    works = [
        Work("batches of index", chips),
        Work(f"batches of {size}", [every[i : i + size] for i in range(0, len(every) - size + 1, size)]),
    ]
    default = torch.get_num_threads()
    reach, beyond = TARGETS[name]
    rows: list[dict[str, object]] = []
    furthest = difference(embedder, every[:COMPARED])
    print(f"  {name}: components differ from the reference by at most {furthest:.1e}")
    detail: dict[str, object] = {
        "faces": len(every),
        "gmac_per_face": macs / 1e9,
        "faces_of_batches": [len(some) for some in chips],
    }
    for threads in sorted({1, count_workers()}):
        torch.set_num_threads(threads)
        measured = {work.name: measure(embedder, work, pool, threads, macs, rounds) for work in works}
        torch.set_num_threads(default)
        label = "one thread" if threads == 1 else f"{threads} one-thread workers"
        detail[label] = measured
        for work in works:
            middle = {key: median(values) for key, values in measured[work.name].items()}
            print(
                f"  {name}, {label}, {work.name}: {middle['faces_per_s']:.1f} faces/s,"
                f" {middle['cpu_ms_per_face']:.2f} ms of CPU time a face; {middle['share']:.3f}"
                f" of {middle['peak_gflops']:.0f} GFLOP/s"
            )
        rows.append(
            target(
                5,
                f"{name}: share of the sgemm peak, {label}",
                measured[works[0].name]["share"],
                reach=reach,
                beyond=beyond,
                accuracy={"largest_difference": furthest},
                faces_per_second=median(measured[works[0].name]["faces_per_s"]),
                share_in_full_batches=median(measured[works[1].name]["share"]),
                gmac_per_face=macs / 1e9,
                peak_gflops=median(measured[works[0].name]["peak_gflops"]),
            )
        )
    return detail, rows


def main() -> None:
    parser = argument_parser(__doc__, quick="64 photos and two rounds", data=True)
    parser.add_argument("--photos", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--embedders", nargs="+", choices=TARGETS, default=list(TARGETS))
    options = parser.parse_args()
    photos, rounds = (64, 2) if options.quick else (options.photos, options.rounds)
    paths = people_photos(options.data)
    paths = paths[:: max(1, len(paths) // photos)][:photos]
    use_weights_beside(options.data)
    details: dict[str, object] = {}
    rows: list[dict[str, object]] = []
    with ThreadPoolExecutor(count_workers(), initializer=use_one_thread) as pool:
        for name in options.embedders:
            details[name], more = run_embedder(name, paths, rounds, pool)
            rows += more
    payload = {"photos": len(paths), "rounds": rounds, "embedders": details, "targets": rows}
    write_result("embedding", payload, quick=options.quick)


if __name__ == "__main__":
    main()
