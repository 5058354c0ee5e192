"""How much of the machine do the embedders use? Faces per second as a share of the sgemm peak.

facenet and dlib embed chips of people/, cut and batched as `index` does it: those of 16 photos at a time.
With one thread, and in as many one-thread workers as there are cores, as `index` runs them. The
multiplications and additions of a face are counted in what torch executes; two operations each. The peak is
that of a product of square float32 matrices with the same threads, the best of torch's and numpy's, of
several sizes and repeats, just before and just after. Both take turns, so each round is a ratio.

Beside them, to say what is lost where: batches as full as the embedder takes them, and CPU seconds; and as
accuracy, the largest difference of a component of the outputs (facenet's at unit length) from what dlib
itself gives, or the published network with nothing folded.

    python benchmarks/embedding.py [--photos N] [--rounds N] [--embedders NAME...] [--quick]
                                   [--data ../shared/data]

The full run takes about four minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import dlib
import numpy as np
import torch
from common import target, write_result
from labelled import add_data_argument
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch.utils.flop_counter import FlopCounterMode

from faceindex import images, models
from faceindex.embed import Embedder
from faceindex.embed.dlib_resnet import DlibResNet
from faceindex.embed.facenet_net import InceptionResnetV1
from faceindex.pipeline.run import _BATCH_PHOTOS, _workers
from faceindex.recognition import Recogniser, use_one_thread
from faceindex.state_dicts import load_network
from faceindex.types import U8

TARGETS = {"facenet": (0.80, 0.95), "dlib": (0.65, 0.80)}  # reach, beyond
SIDES = (768, 1536)  # of the matrices; larger ones are no faster, and the fastest differs by machine
REPEATS = 5
COMPARED = 32  # chips whose embeddings are compared with the reference's


@dataclass(frozen=True)
class Work:
    """Chips in the batches in which an embedder gets them."""

    name: str
    batches: list[U8]

    @property
    def faces(self) -> int:
        return sum(map(len, self.batches))


def chips_of(paths: Sequence[Path], recogniser: Recogniser) -> list[U8]:
    """Chips of the faces on photos, by the batches of photos that `index` makes."""
    made = []
    for start in range(0, len(paths), _BATCH_PHOTOS):
        some = paths[start : start + _BATCH_PHOTOS]
        shots = [recogniser.take(images.read(path), path) for path in some]
        found = recogniser._detect(shots, 1.0)
        chips = [recogniser._chips(shot, faces) for shot, faces in zip(shots, found, strict=True)]
        made.append(np.concatenate(chips))
    return made


def macs_of_a_face(embedder: Embedder, chips: U8) -> float:
    """Multiplications and additions that torch executes for one face."""
    with FlopCounterMode(display=False) as counter:
        embedder.embed(chips)
    macs: float = counter.get_total_flops() / 2 / len(chips)  # its flops are two to a mac
    if macs < 1e8:
        raise SystemExit(f"{embedder.spec.name}: torch counts {macs:.0f} multiplications a face, too few.")
    return macs


def gflops_of_product(side: int) -> float:
    """The better of torch's and numpy's."""
    a, b = torch.rand(side, side), torch.rand(side, side)
    seconds = []
    for product in (lambda: torch.mm(a, b), lambda: a.numpy() @ b.numpy()):
        for _ in range(REPEATS):
            start = time.perf_counter()
            product()
            seconds.append(time.perf_counter() - start)
    return 2e-9 * side**3 / min(seconds)


def peak(threads: int) -> float:
    """GFLOP/s of the fastest float32 product with so many threads."""
    with threadpool_limits(threads, "blas"):
        return max(map(gflops_of_product, SIDES))


def difference(embedder: Embedder, chips: U8) -> float:
    """The largest difference of a component from the reference's."""
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
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(
    embedder: Embedder, work: Work, pool: ThreadPoolExecutor, threads: int, macs: float, rounds: int
) -> dict[str, list[float]]:
    """Shares of the peak, faces per second and peaks, round by round."""

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
    detector = models.get("detector", models.DEFAULT_DETECTOR)
    assert isinstance(detector, models.DetectorSpec)
    recogniser = Recogniser.load(detector.name, name, min_face=detector.min_face)
    embedder, chips = recogniser.embedder, chips_of(paths, recogniser)
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
    print(f"  {name}: components differ from the reference's by at most {furthest:.1e}")
    detail: dict[str, object] = {
        "faces": len(every),
        "gmac_per_face": macs / 1e9,
        "faces_of_batches": [len(some) for some in chips],
    }
    for threads in sorted({1, _workers()}):
        torch.set_num_threads(threads)
        measured = {work.name: measure(embedder, work, pool, threads, macs, rounds) for work in works}
        torch.set_num_threads(default)
        label = "one thread" if threads == 1 else f"{threads} one-thread workers"
        detail[label] = measured
        for work in works:
            middle = {key: median(values) for key, values in measured[work.name].items()}
            print(
                f"  {name}, {label}, {work.name}: {middle['faces_per_s']:.1f} faces/s,"
                f" {middle['cpu_ms_per_face']:.2f} ms of the processor a face; {middle['share']:.3f}"
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_data_argument(parser)
    parser.add_argument("--photos", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--embedders", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--quick", action="store_true", help="64 photos and two rounds")
    options = parser.parse_args()
    photos, rounds = (64, 2) if options.quick else (options.photos, options.rounds)
    paths = sorted((options.data / "people").glob("*/*"))
    if not paths:
        parser.error(f"there are no photos under {options.data / 'people'}")
    paths = paths[:: max(1, len(paths) // photos)][:photos]
    os.environ.setdefault("FACEINDEX_WEIGHTS", str(options.data.resolve().parent / "weights"))
    details: dict[str, object] = {}
    rows: list[dict[str, object]] = []
    with ThreadPoolExecutor(_workers(), initializer=use_one_thread) as pool:
        for name in options.embedders:
            details[name], more = run_embedder(name, paths, rounds, pool)
            rows += more
    payload = {"photos": len(paths), "rounds": rounds, "embedders": details, "targets": rows}
    print(write_result("embedding" + ("_quick" if options.quick else ""), payload))


if __name__ == "__main__":
    main()
