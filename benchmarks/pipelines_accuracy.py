"""Accuracy of the whole programs of `pipelines.py`, from the faces that each program stored."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matching import Match

from faceindex import FaceIndex, images, models
from faceindex.metrics import bcubed

__all__ = ["MIN_FACE", "PEER_SCRIPTS", "SEED", "accuracy_of_row_1", "accuracy_of_row_2"]

PEER_SCRIPTS = Path(__file__).resolve().parent / "peer_scripts"
MIN_FACE = 20
KEPT_SCORE, KEPT_VISIBLE = 0.9, 0.6  # the faces of MTCNN that an index keeps; faceindex/recognition.py
SEED = 0


@dataclass(frozen=True)
class Found:
    """All faces that a program stored; `photos` are positions in `paths`."""

    paths: list[str]
    photos: np.ndarray
    boxes: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray | None = None
    clusters: np.ndarray | None = None


def stored_by_peer(out: Path) -> Found:
    """Read the faces that a script of a peer wrote."""
    with np.load(out) as data:
        scores = data.get("scores")
        paths = [str(path) for path in data["paths"]]
        return Found(paths, data["photos"], data["boxes"], data["vectors"], scores)


def stored_by_ours(directory: Path, paths: list[str], *, kmeans: int | None = None) -> Found:
    """Cluster an index and read its faces.

    Parameters
    ----------
    directory : Path
        Of the index.
    paths : list of str
        All photos.
    kmeans : int, optional
        Number of clusters of KMeans; None means the default clusterer.
    """
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
    """Return the position of the largest face of each photo that has one."""
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).astype(float)
    order = np.lexsort((-sides.prod(axis=1), found.photos))
    return order[np.unique(found.photos[order], return_index=True)[1]]


def scores(found: Found, clusters: np.ndarray) -> dict[str, object]:
    """Score clusters on the largest face of each photo; the folder is the label."""
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
    """Match the boxes of ours and of a peer, photo by photo."""
    match = Match()
    for photo in range(len(peer.paths)):
        match.add(ours.boxes[ours.photos == photo], peer.boxes[peer.photos == photo])
    return match.result()


def kept(found: Found) -> Found:
    """Return the faces of facenet-pytorch that an index would keep."""
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
    """Return all faces that our MTCNN finds in one pass, without the rules of an index."""
    detector = models.load(models.get("detector", "mtcnn"), min_face=float(MIN_FACE))
    photos, boxes = [], [np.empty((0, 4), np.float32)]
    for start in range(0, len(paths), 16):
        some = paths[start : start + 16]
        decoded = [images.decode(images.read(Path(path)), path).image for path in some]
        for number, found in enumerate(detector.detect(decoded), start):
            photos += [number] * len(found)
            boxes.append(found.boxes)
    return Found(paths, np.array(photos, np.int64), np.concatenate(boxes), np.empty((0, 0)))


def accuracy_of_row_1(ours: Mapping[str, Path], peer: Path) -> dict[str, object]:
    """Compare our indexes, by name, with the faces of facenet-pytorch."""
    from sklearn.cluster import KMeans

    theirs = stored_by_peer(peer)
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
    for name, index in ours.items():
        by_kmeans = stored_by_ours(index, theirs.paths, kmeans=people)
        by_default = stored_by_ours(index, theirs.paths)
        assert by_kmeans.clusters is not None and by_default.clusters is not None
        our_scores = scores(by_kmeans, by_kmeans.clusters)
        result[name] = {
            "matched": matched(by_kmeans, their_kept),
            "kmeans": our_scores,
            "album": scores(by_default, by_default.clusters),
            "bcubed_not_lower": all(not_lower(our_scores, peer_scores) for peer_scores in peers.values()),
        }
    return result


def accuracy_of_row_2(ours: Mapping[str, Path], peers: Mapping[str, Path], python: Path) -> dict[str, object]:
    """Compare our indexes with the faces of face_recognition, both by name.

    Parameters
    ----------
    python : Path
        The interpreter with which dlib clusters the faces of the peers.
    """
    result: dict[str, object] = {}
    theirs = []
    for name, out in peers.items():
        found = stored_by_peer(out)
        labels = out.with_suffix(".npy")
        script = PEER_SCRIPTS / "face_recognition_pipeline.py"
        subprocess.run([str(python), script, "--cluster", out, labels], check=True)
        theirs.append(scores(found, np.load(labels)))
        result[name] = theirs[-1]
    for name, index in ours.items():
        mine = stored_by_ours(index, found.paths)
        assert mine.clusters is not None
        result[name] = our_scores = scores(mine, mine.clusters)
        result[f"bcubed_not_lower, {name}"] = all(not_lower(our_scores, their) for their in theirs)
    return result


def not_lower(ours: Mapping[str, object], peer: Mapping[str, object]) -> bool:
    """Return whether both B-cubed F of ours are at least those of the peer."""
    keys = ("bcubed_f", "bcubed_f_over_all_photos")
    return all(float(str(ours[key])) >= float(str(peer[key])) for key in keys)
