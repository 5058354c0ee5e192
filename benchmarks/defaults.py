"""`faceindex index` with its default models against the programs it comes from, and its clusters.

1. The pipeline of facenet-pytorch (``peer_scripts/facenet_pipeline.py``, smallest face 20 px), and KMeans
   with as many clusters as there are people.
2. The pipeline of face_recognition (``peer_scripts/face_recognition_pipeline.py``), with wheels, in one
   process, and dlib's Chinese Whispers at 0.5.

Every program is a new process on some photos of people/, lfw/ and diverse/, evenly spread. The programs
alternate, and the order reverses with every round; the page cache is warm. The time of the stand-in for
torchvision's `nms` is subtracted. B-cubed F is that of `pipelines_accuracy.py`: of the largest face of each
photo, and over all photos, where a photo without a face is a person of its own.

    python benchmarks/peers.py facenet-pytorch face_recognition-wheels
    python benchmarks/defaults.py [--pairs N] [--limit PHOTOS] [--sets NAME...] [--quick]
                                  [--data ../shared/data] [--peers DIR]

Writes ``results/defaults.json``. Three rounds with 160 photos of people/, and one with as many of each of the
others, take 8 minutes on two cores; start-up takes half of our time then. One round with all 800 photos of
people/ takes 10 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from common import argument_parser, console_script, spend, target, use_weights_beside, write_result
from peers import about, add_peers_argument, interpreter
from pipelines_accuracy import MIN_FACE, PEER_SCRIPTS, SEED, not_lower, scores, stored_by_ours, stored_by_peer

from faceindex import models

SETS = ("people", "lfw", "diverse")
PEERS = {"facenet-pytorch": (6.0, 9.0), "face_recognition-wheels": (10.0, 14.0)}  # reach, beyond
OURS = "faceindex"


def some_photos(data: Path, name: str, limit: int, work: Path) -> Path:
    """Copy photos of a set, evenly spread, into one folder for each person."""
    every = sorted(path for path in (data / name).rglob("*.jp*g") if path.is_file())
    if not every:
        raise SystemExit(f"There are no photos in {data / name}.")
    folder = work / f"{name}-photos"
    for i in np.linspace(0, len(every) - 1, min(limit, len(every))).round().astype(int):
        (folder / every[i].parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(every[i], folder / every[i].parent.name)
    return folder


def commands(folder: Path, work: Path, peers: Path) -> dict[str, tuple[list[str | Path], Path]]:
    """Return the command and the output of each program, by name."""
    index, facenet, recognition = work / "index", work / "facenet.npz", work / "recognition.npz"
    weights = models.find_weights(models.get("embedder", "facenet").weights[0])
    return {
        OURS: ([console_script(), "index", folder, "--index", index, "--quiet"], index),
        "facenet-pytorch": (
            [
                interpreter(peers, "facenet-pytorch"),
                *(PEER_SCRIPTS / "facenet_pipeline.py", folder, facenet, weights, str(MIN_FACE)),
            ],
            facenet,
        ),
        "face_recognition-wheels": (
            [
                interpreter(peers, "face_recognition-wheels"),
                *(PEER_SCRIPTS / "face_recognition_pipeline.py", folder, recognition),
            ],
            recognition,
        ),
    }


def accuracy(outputs: dict[str, Path], peers: Path) -> dict[str, object]:
    """Score the clusters of each program."""
    from sklearn.cluster import KMeans

    facenet = stored_by_peer(outputs["facenet-pytorch"])
    people = len({Path(path).parent for path in facenet.paths})
    result: dict[str, dict[str, object]] = {
        "facenet-pytorch": scores(
            facenet, KMeans(people, n_init=10, random_state=SEED).fit_predict(facenet.vectors)
        )
    }
    out = outputs["face_recognition-wheels"]
    labels = out.with_suffix(".npy")
    script = PEER_SCRIPTS / "face_recognition_pipeline.py"
    python = interpreter(peers, "face_recognition-wheels")
    subprocess.run([python, script, "--cluster", out, labels], check=True)
    result["face_recognition-wheels"] = scores(stored_by_peer(out), np.load(labels))
    ours = stored_by_ours(outputs[OURS], facenet.paths)
    assert ours.clusters is not None
    result[OURS] = scores(ours, ours.clusters)
    return {**result, "not_lower": all(not_lower(result[OURS], result[peer]) for peer in PEERS)}


def measure(name: str, rounds: int, options: argparse.Namespace) -> dict[str, object]:
    """Run every program on photos of one set."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        folder = some_photos(options.data, name, options.limit, work)
        programs = commands(folder, work, options.peers)
        wall: dict[str, list[float]] = {program: [] for program in programs}
        scored: dict[str, object] = {}
        for number in range(rounds):
            for program in list(programs) if number % 2 == 0 else reversed(programs):
                command, out = programs[program]
                shutil.rmtree(out, ignore_errors=True)
                spent = spend(command, env=dict(os.environ))
                report = {} if program == OURS else json.loads(spent.output.splitlines()[-1])
                wall[program].append(spent.wall - float(report.get("nms_wall_s", 0.0)))
                print(f"{name}: {program}: {wall[program][-1]:.1f} s", flush=True)
            if not number:
                scored = accuracy({program: out for program, (_, out) in programs.items()}, options.peers)
                print(json.dumps(scored, indent=1), flush=True)
    return {"photos": options.limit, "wall_s": wall, "accuracy": scored}


def main() -> None:
    parser = argument_parser(__doc__, quick="40 photos, one round", data=True)
    add_peers_argument(parser)
    parser.add_argument("--pairs", type=int, default=3, help="number of rounds on people/")
    parser.add_argument("--limit", type=int, default=160, help="number of photos of each set")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="people must be among them")
    if "people" not in (options := parser.parse_args()).sets:
        parser.error("--sets must contain people")
    if options.pairs < 1 or options.limit < 1:
        parser.error("--pairs and --limit must be 1 or more")
    if options.quick:
        options.pairs, options.limit = 1, 40
    options.data, options.peers = options.data.resolve(), options.peers.resolve()
    use_weights_beside(options.data)
    choice = models.choose()
    sets = {name: measure(name, options.pairs if name == "people" else 1, options) for name in options.sets}
    wall = sets["people"]["wall_s"]
    assert isinstance(wall, dict)
    targets = [
        target(
            number,
            f"{peer} / index with the default models",
            [their / our for their, our in zip(wall[peer], wall[OURS], strict=True)],
            reach=reach,
            beyond=beyond,
            median_seconds={program: median(seconds) for program, seconds in wall.items()},
        )
        for number, (peer, (reach, beyond)) in enumerate(PEERS.items(), 14)
    ]
    payload = {
        "seed": SEED,
        "models": [choice.detector, choice.embedder],
        "peers": {peer: about(options.peers, peer) for peer in PEERS},
        "sets": sets,
        "targets": targets,
    }
    write_result("defaults", payload, quick=options.quick)


if __name__ == "__main__":
    main()
