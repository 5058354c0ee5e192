"""Whole programs, from a folder of photos to stored vectors, start-up included.

1. ``faceindex index --detector mtcnn --embedder facenet --min-face 20``, and again with ``--half``, against
   facenet-pytorch's own pipeline with the same weights (``peer_scripts/facenet_pipeline.py``).
2. ``faceindex index`` with its defaults (mtcnn, dlib, smallest face 30 px), and again with ``--half`` and
   with ``--min-face 20``, against that of face_recognition (``peer_scripts/face_recognition_pipeline.py``):
   with dlib from source and OpenBLAS, and with wheels; in one process as documented, which is what
   counts, and in one per core.

Each is a process of its own on the photos of people/, in turns; the order is turned round with every
round. A warm page cache, threads as each program chooses them; with one process per core OpenBLAS is told
to use one thread, which is faster. What the stand-in for torchvision's `nms` takes
(``peer_scripts/torchvision_nms.py``) is not counted. CPU seconds stand beside those of the wall, except for
several processes, whose account the system does not give.

Accuracy, from what each program stored in the first round:

- Row 1: faces that the other side has too at IoU >= 0.9; of facenet-pytorch's those that an index would
  keep, with a score of 0.9 or more and 60 % of the box on the photo. Beside it, all that either MTCNN finds.
- B-cubed F of the largest face of each photo, folders as labels. Row 1: KMeans with as many clusters as
  folders, on the faces of ours, and on facenet-pytorch's: all of them, those that an index would keep, and
  only the largest of each photo, which spares it the strangers; and `faceindex cluster`. Row 2: `faceindex
  cluster`, and ``dlib.chinese_whispers_clustering`` at 0.5. A second B-cubed F counts a photo without a face
  as a person of its own, for nobody to gain by leaving photos out.

    python benchmarks/peers.py facenet-pytorch face_recognition face_recognition-wheels
    python benchmarks/pipelines.py [--rows 1 2] [--pairs N] [--limit PHOTOS] [--one-process] [--quick]
                                   [--data ../shared/data] [--peers DIR]

Results are written after every round. Five rounds take about ten minutes for row 1 and 40 for row 2 on two
cores (25 with ``--one-process``).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from common import Spent, spend, target, write_result
from labelled import add_data_argument
from matching import Match
from peers import about, add_peers_argument, interpreter, left_out

from faceindex import FaceIndex, images, models
from faceindex.metrics import bcubed

SCRIPTS = Path(__file__).resolve().parent / "peer_scripts"
MIN_FACE = 20
KEPT_SCORE, KEPT_VISIBLE = 0.9, 0.6  # what an index keeps of MTCNN's faces; faceindex/recognition.py
SEED = 0
NEEDED = {1: ("facenet-pytorch",), 2: ("face_recognition", "face_recognition-wheels")}  # peers of each row


@dataclass(frozen=True)
class Contestant:
    """A program: what runs it, where it writes, and whether its account of CPU seconds is whole."""

    name: str
    command: tuple[str | Path, ...]
    out: Path
    threads: int | None = None  # of OpenBLAS
    whole_cpu: bool = True

    @property
    def ours(self) -> bool:
        return self.name.startswith("faceindex")


@dataclass
class Runs:
    """What a contestant took, round by round, and what it said of itself the first time."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    said: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """All faces that a program stored; `photos` are numbers into `paths`."""

    paths: list[str]
    photos: np.ndarray
    boxes: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray | None = None
    clusters: np.ndarray | None = None


def contestants(row: int, folder: Path, work: Path, options: argparse.Namespace) -> list[Contestant]:
    script = Path(sysconfig.get_path("scripts")) / "faceindex"

    def ours(name: str, *more: str) -> Contestant:
        index = work / f"{name}.index"
        return Contestant(name, (script, "index", folder, "--index", index, "--quiet", *more), index)

    if row == 1:
        out = work / "facenet-pytorch.npz"
        python = interpreter(options.peers, "facenet-pytorch")
        spec = models.get("embedder", "facenet")
        assert isinstance(spec, models.EmbedderSpec)
        weights = models.find_weights(spec.weights[0])
        chosen = ("--detector", "mtcnn", "--embedder", "facenet", "--min-face", str(MIN_FACE))
        theirs = (python, SCRIPTS / "facenet_pipeline.py", folder, out, weights, str(MIN_FACE))
        return [
            ours("faceindex", *chosen),
            Contestant("facenet-pytorch", theirs, out),
            ours("faceindex, half", *chosen, "--half"),
        ]

    def face_recognition(peer: str, processes: int) -> Contestant:
        name = f"{peer}, {processes} process{'es' if processes > 1 else ''}"
        out = work / f"{name}.npz"
        command = (interpreter(options.peers, peer), SCRIPTS / "face_recognition_pipeline.py", folder, out)
        if processes == 1:
            return Contestant(name, command, out)
        return Contestant(name, (*command, "--processes", str(processes)), out, threads=1, whole_cpu=False)

    several = [] if options.one_process else [os.cpu_count() or 1]
    return [
        ours("faceindex"),
        *(face_recognition(peer, 1) for peer in ("face_recognition", "face_recognition-wheels")),
        ours("faceindex, min face 20", "--min-face", "20"),
        ours("faceindex, half", "--half"),
        *(
            face_recognition(peer, processes)
            for processes in several
            if processes > 1
            for peer in ("face_recognition", "face_recognition-wheels")
        ),
    ]


def run(contestant: Contestant) -> tuple[Spent, dict[str, object]]:
    """One process, from nothing; what it said of itself."""
    shutil.rmtree(contestant.out, ignore_errors=True)
    env = dict(os.environ)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles a program again at every start
    if contestant.threads:
        env["OPENBLAS_NUM_THREADS"] = str(contestant.threads)
    spent = spend(contestant.command, env=env)
    said = {} if contestant.ours else json.loads(spent.output.splitlines()[-1])
    return spent, said


def uncounted(said: Mapping[str, object], key: str) -> float:
    """Seconds of the stand-in for torchvision's `nms`."""
    return float(str(said.get(key, 0.0)))


def stored_by_peer(out: Path) -> Found:
    with np.load(out) as data:
        scores = data.get("scores")
        paths = [str(path) for path in data["paths"]]
        return Found(paths, data["photos"], data["boxes"], data["vectors"], scores)


def stored_by_ours(directory: Path, paths: list[str], *, kmeans: int | None = None) -> Found:
    """The index's faces and clusters, of Chinese Whispers or of KMeans with so many clusters."""
    number = {os.path.realpath(path): i for i, path in enumerate(paths)}
    with FaceIndex.open(directory, write=True) as index:
        if kmeans is None:
            index.cluster(seed=SEED, rebuild=True)
        else:
            index.cluster("kmeans", k=kmeans, seed=SEED, rebuild=True)
        rows = list(index.faces())
        vectors = np.array(index.vectors())
    return Found(
        paths,
        np.array([number[os.path.realpath(row.path)] for row in rows], np.int64),
        np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        vectors,
        np.array([row.score for row in rows], np.float32),
        np.array([-1 if row.cluster is None else row.cluster for row in rows], np.int64),
    )


def largest(found: Found) -> np.ndarray:
    """The position of the largest face of each photo that has one, by photo."""
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).astype(float)
    order = np.lexsort((-sides.prod(axis=1), found.photos))
    return order[np.unique(found.photos[order], return_index=True)[1]]


def scores(found: Found, clusters: np.ndarray) -> dict[str, object]:
    """B-cubed F of the largest face of each photo; the folder is the label."""
    main = largest(found)
    photos = found.photos[main]
    people = np.array([Path(path).parent.name for path in found.paths])
    every = np.full(len(people), -1)
    every[photos] = clusters[main]
    over_faces, over_photos = bcubed(every[photos], people[photos]), bcubed(every, people)
    return {
        "bcubed_f": over_faces.f,
        "precision": over_faces.precision,
        "recall": over_faces.recall,
        "bcubed_f_over_all_photos": over_photos.f,
        "photos_with_a_face": len(photos),
        "faces": len(found.photos),
        "clusters": len(set(clusters.tolist()) - {-1}),
    }


def matched(ours: Found, peer: Found) -> dict[str, object]:
    match = Match()
    for photo in range(len(peer.paths)):
        match.add(ours.boxes[ours.photos == photo], peer.boxes[peer.photos == photo])
    return match.result()


def kept(found: Found) -> Found:
    """Those of a peer's MTCNN faces that an index keeps."""
    assert found.scores is not None
    sizes = []
    for path in found.paths:
        width, height, _ = images.probe(images.read(Path(path)), path)
        sizes.append((width, height))
    boxes = found.boxes.astype(float)
    corner = np.array(sizes, float)[found.photos]
    inside = np.minimum(boxes[:, 2:], corner) - np.maximum(boxes[:, :2], 0)
    visible = inside.clip(0).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return pick(found, (found.scores >= KEPT_SCORE) & (visible >= KEPT_VISIBLE))


def pick(found: Found, which: np.ndarray) -> Found:
    return Found(found.paths, found.photos[which], found.boxes[which], found.vectors[which])


def all_that_mtcnn_finds(paths: list[str]) -> Found:
    """Without what an index leaves out, and without its second look."""
    detector = models.load(models.get("detector", "mtcnn"), min_face=float(MIN_FACE))
    photos, boxes = [], [np.empty((0, 4), np.float32)]
    for start in range(0, len(paths), 16):
        some = paths[start : start + 16]
        decoded = [images.decode(images.read(Path(path)), path).image for path in some]
        for number, found in enumerate(detector.detect(decoded), start):
            photos += [number] * len(found)
            boxes.append(found.boxes)
    return Found(paths, np.array(photos, np.int64), np.concatenate(boxes), np.empty((0, 0)))


def accuracy_of_row_1(ours: list[Contestant], peer: Contestant) -> dict[str, object]:
    from sklearn.cluster import KMeans

    theirs = stored_by_peer(peer.out)
    people = len({Path(path).parent for path in theirs.paths})

    def their_scores(found: Found) -> dict[str, object]:
        labels = KMeans(people, n_init=10, random_state=SEED).fit_predict(found.vectors)
        return scores(found, labels)

    their_kept = kept(theirs)
    peers = {
        "peer_kmeans": their_scores(theirs),
        "peer_kmeans_of_kept_faces": their_scores(their_kept),
        "peer_kmeans_of_largest_faces": their_scores(pick(theirs, largest(theirs))),
    }
    result: dict[str, object] = {
        "matched_all_of_mtcnn": matched(all_that_mtcnn_finds(theirs.paths), theirs),
        **peers,
    }
    for one in ours:
        by_kmeans = stored_by_ours(one.out, theirs.paths, kmeans=people)
        by_whispers = stored_by_ours(one.out, theirs.paths)
        assert by_kmeans.clusters is not None and by_whispers.clusters is not None
        our_scores = scores(by_kmeans, by_kmeans.clusters)
        result[one.name] = {
            "matched": matched(by_kmeans, their_kept),
            "kmeans": our_scores,
            "chinese_whispers": scores(by_whispers, by_whispers.clusters),
            "bcubed_not_lower": all(not_lower(our_scores, peer_scores) for peer_scores in peers.values()),
        }
    return result


def accuracy_of_row_2(
    ours: list[Contestant], peers: list[Contestant], options: argparse.Namespace
) -> dict[str, object]:
    result: dict[str, object] = {}
    theirs = []
    for peer in peers:
        found = stored_by_peer(peer.out)
        labels = peer.out.with_suffix(".npy")
        python = interpreter(options.peers, "face_recognition-wheels")
        script = SCRIPTS / "face_recognition_pipeline.py"
        subprocess.run([str(python), script, "--cluster", peer.out, labels], check=True)
        theirs.append(scores(found, np.load(labels)))
        result[peer.name] = theirs[-1]
    paths = found.paths
    for one in ours:
        mine = stored_by_ours(one.out, paths)
        assert mine.clusters is not None
        result[one.name] = found_scores = scores(mine, mine.clusters)
        result[f"bcubed_not_lower, {one.name}"] = all(not_lower(found_scores, their) for their in theirs)
    return result


def not_lower(ours: Mapping[str, object], peer: Mapping[str, object]) -> bool:
    keys = ("bcubed_f", "bcubed_f_over_all_photos")
    return all(float(str(ours[key])) >= float(str(peer[key])) for key in keys)


def ratios(runs: Mapping[str, Runs], peer: str, ours: str, clock: str = "wall") -> list[float]:
    pairs = zip(getattr(runs[peer], clock), getattr(runs[ours], clock), strict=True)
    return [their / our for their, our in pairs if their and our]


def targets(row: int, runs: Mapping[str, Runs], accuracy: dict[str, object]) -> list[dict[str, object]]:
    medians = {
        name: {clock: median(values) for clock in ("wall", "cpu") if (values := getattr(one, clock))}
        for name, one in runs.items()
    }
    lines = []
    if row == 1:
        for ours, what in (("faceindex", ""), ("faceindex, half", " in bfloat16")):
            lines.append(
                target(
                    1,
                    f"facenet-pytorch / index with mtcnn and facenet{what}, min face 20",
                    ratios(runs, "facenet-pytorch", ours),
                    reach=4.0,
                    beyond=6.0,
                    accuracy=of_one(accuracy, ours),
                    cpu_ratios=ratios(runs, "facenet-pytorch", ours, "cpu"),
                    median_seconds=medians,
                )
            )
        return lines
    single = [name for name in runs if name.endswith("1 process")]
    others = [name for name in runs if name.endswith("processes")]
    for name in single:
        more: dict[str, object] = {
            "cpu_ratios": ratios(runs, name, "faceindex", "cpu"),
            "ratios_at_min_face_20": ratios(runs, name, "faceindex, min face 20"),
        }
        for other in others:
            if other.partition(",")[0] == name.partition(",")[0]:
                more["ratios_with_a_process_per_core"] = ratios(runs, other, "faceindex")
                more["ratios_with_a_process_per_core_at_min_face_20"] = ratios(
                    runs, other, "faceindex, min face 20"
                )
        for ours, what in (("faceindex", ""), ("faceindex, half", " in bfloat16")):
            lines.append(
                target(
                    2,
                    f"{name} / index with mtcnn and dlib{what}",
                    ratios(runs, name, ours),
                    reach=8.0,
                    beyond=12.0,
                    accuracy=of_one(accuracy, ours),
                    median_seconds=medians,
                    **more,
                )
            )
    return lines


def of_one(accuracy: Mapping[str, object], ours: str) -> dict[str, object]:
    """Without what other runs of ours had."""
    return {key: value for key, value in accuracy.items() if "faceindex" not in key or key.endswith(ours)}


def photographs(data: Path, limit: int | None, work: Path) -> tuple[Path, int]:
    """The folder to index: people/ itself, or copies of some; and how many photos that are."""
    people = data / "people"
    paths = sorted(path for path in people.glob("*/*") if path.is_file())
    if not paths:
        raise SystemExit(f"There are no photos under {people}; --data names the folder that holds people/.")
    if limit is None or limit >= len(paths):
        folder = people.resolve()
    else:
        folder = work / "photos"
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, limit).round().astype(int)]
        for path in paths:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.parent.name)
    for path in paths:
        path.read_bytes()  # into the page cache
    return folder, len(paths)


def measure(row: int, folder: Path, photos: int, work: Path, options: argparse.Namespace) -> None:
    every = contestants(row, folder, work, options)
    runs = {one.name: Runs() for one in every}
    accuracy: dict[str, object] = {}
    name = {1: "pipelines_facenet", 2: "pipelines_dlib"}[row] + ("_quick" if options.quick else "")
    peers = NEEDED[row]
    for number in range(options.pairs):
        for one in every if number % 2 == 0 else reversed(every):
            spent, said = run(one)
            mine = runs[one.name]
            mine.wall.append(spent.wall - uncounted(said, "nms_wall_s"))
            if one.whole_cpu:
                mine.cpu.append(spent.cpu - uncounted(said, "nms_cpu_s"))
            mine.peak_mib.append(spent.peak_mib)
            mine.said = mine.said or said
            print(f"{one.name}: {mine.wall[-1]:.1f} s", flush=True)
        if not number:
            ours = [one for one in every if one.ours]
            theirs = [one for one in every if not one.ours]
            accuracy = (
                accuracy_of_row_1(ours, theirs[0])
                if row == 1
                else accuracy_of_row_2(ours, [one for one in theirs if one.whole_cpu], options)
            )
            print(json.dumps(accuracy, indent=1))
        payload = {
            "seed": SEED,
            "photos": photos,
            "rounds": number + 1,
            "complete": number + 1 == options.pairs,
            "peers": {peer: about(options.peers, peer) for peer in peers},
            "left_out": left_out(),
            "runs": {
                one: {
                    "wall_s": taken.wall,
                    "cpu_s": taken.cpu,
                    "peak_mib": taken.peak_mib,
                    "first_said": taken.said,
                }
                for one, taken in runs.items()
            },
            "targets": targets(row, runs, accuracy),
        }
        path = write_result(name, payload)
    print(f"Written to {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_data_argument(parser)
    add_peers_argument(parser)
    parser.add_argument("--rows", type=int, nargs="+", choices=(1, 2), default=(1, 2))
    parser.add_argument("--pairs", type=int, default=5, help="rounds")
    parser.add_argument("--limit", type=int, help="photos; all by default")
    parser.add_argument("--one-process", action="store_true", help="row 2 only with one process of the peers")
    parser.add_argument("--quick", action="store_true", help="a tenth of the photos, one round")
    options = parser.parse_args()
    if options.pairs < 1 or (options.limit is not None and options.limit < 1):
        parser.error("--pairs and --limit are 1 or more")
    if options.quick:
        options.pairs, options.limit = 1, options.limit or 80
    options.data, options.peers = options.data.resolve(), options.peers.resolve()
    for row in options.rows:
        for peer in NEEDED[row]:
            interpreter(options.peers, peer)  # before the first row has taken its minutes
    os.environ.setdefault("FACEINDEX_WEIGHTS", str(options.data.parent / "weights"))
    for row in options.rows:
        with tempfile.TemporaryDirectory() as work:
            folder, photos = photographs(options.data, options.limit, Path(work))
            measure(row, folder, photos, Path(work), options)


if __name__ == "__main__":
    main()
