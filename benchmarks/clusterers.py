"""Compare clusterers on the same faces and neighbour graphs, and leave out each part of `album` in turn.

The faces are those of people/, lfw/, pins/, group_photos/ and the five sets of diverse/, found with the
models of `albums.py`. The graph is that of `faceindex cluster`: 80 neighbours, log-odds from -4 on. Each
clusterer has one free parameter (`rivals.py`), chosen on half A of the people: the greatest mean of B-cubed F
over people, lfw, pins, group_photos, the mean of the five sets of diverse, and the three embedders. One value
serves all of them. Half B of the people and all of them are reported. `album` has no free parameter; its
constants were chosen on half A before. The column `double` is the sum of doubles over all albums and
embedders. The column `junk` is that of people/, nobody/ and art/ as one album, which does not count for the
choice. Both are defined in `faceindex.metrics`.

- album: the default of `faceindex cluster`
- three steps: the default until commit 42131a0, as it was and with a chosen offset
- chinese-whispers: over the edges of positive weight; "photos" adds `compete` and the penalty of faces on one
  photo
- signed propagation: the same with negative edges, and with penalties between the faces of a photo;
  "competing": on the graph after `compete`, here and below
- greedy joining: local moves and aggregation; pairs without an edge count against a class
- average linkage: of all pairs of faces, without a graph (scipy)
- map equation, modularity: two levels, by local moves and aggregation
- hdbscan: on the vectors, without a graph (scikit-learn)

Then `album` is run without each of its parts; with `--ablation`, only that.

    python benchmarks/clusterers.py --work INDEXES     # two minutes; indexes what is missing there
    python benchmarks/clusterers.py --work INDEXES --ablation
    python benchmarks/clusterers.py --quick            # people/ and group_photos/, the default with weights
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np
from albums import COPIES, DIVERSE, MIXED, QUICK
from albums import Album as LabelledAlbum
from common import argument_parser, use_weights_beside, write_result
from rivals import RIVALS, Problem, Rival
from stored import PIPELINES, commit_stored, in_half, read_stored

from faceindex import FaceIndex, models
from faceindex.clustering import Album, ClusterOptions, merging, same_photo
from faceindex.clustering import album as parts
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import GRAPH_FLOOR
from faceindex.clustering.incremental import NEIGHBOURS, evidence_graph, good_faces
from faceindex.clustering.neighbours import near_neighbours
from faceindex.clustering.strangers import stranger_similarity
from faceindex.metrics import Scores, bcubed_of_faces, count_doubles, junk_faces
from faceindex.types import I64, BoolArray, Graph

SETS = ("people", "lfw", "pins", "group_photos", *(f"diverse/{name}" for name in DIVERSE), MIXED)
COLUMNS = ("people", "lfw", "pins", "group_photos", "diverse")


@dataclass(frozen=True, eq=False)
class Case:
    """An album with one embedder, and who is on its faces.

    Attributes
    ----------
    name, embedder : str
    problem : Problem
    labelled : (m,) int64
        Positions of the labelled faces.
    people : (m,) int64
    names : list of str
        Of the people.
    known : (n,) bool
        Faces that are no junk: the labelled ones, and in the mixed album copies of a painting.
    """

    name: str
    embedder: str
    problem: Problem
    labelled: I64
    people: I64
    names: list[str]
    known: BoolArray

    def score(self, labels: I64) -> dict[str, Any]:
        """Score the labels of the faces."""
        precision, recall = bcubed_of_faces(labels[self.labelled], self.people)

        def f(chosen: BoolArray) -> float | None:
            if not chosen.any():
                return None
            return float(Scores(precision[chosen].mean(), recall[chosen].mean()).f)

        return {
            "f": f(np.ones(len(self.people), bool)),
            "a": f(in_half(self.names, "A")[self.people]),
            "b": f(in_half(self.names, "B")[self.people]),
            "precision": float(precision.mean()),
            "recall": float(recall.mean()),
            "doubles": count_doubles(labels, self.problem.album.photos),
            "junk": int(junk_faces(labels, self.known).sum()),
        }


def read_case(album: LabelledAlbum, name: str, embedder: str) -> Case:
    """Read the faces of an album, and search their neighbours."""
    with (
        tempfile.TemporaryDirectory() as folder,
        commit_stored(Path(folder) / "index", album.photos) as store,
    ):
        index = FaceIndex(store)
        labelled = index.evaluation.labelled(album.labels_in(Path(folder)), face=album.face)
        table, vectors = index.table(), np.array(index.vectors())
        paths = [Path(face.path).relative_to(album.photos.folder).as_posix() for face in index.faces()]
    n = len(table)
    calibration = models.calibration_of(models.get("embedder", PIPELINES[embedder][1]))
    floor = calibration.threshold(n) + GRAPH_FLOOR / calibration.slope
    found = near_neighbours(vectors, NEIGHBOURS, floor=floor)
    graph = evidence_graph(*found, n, ClusterOptions(calibration=calibration))
    faces = Album(vectors, table.photo, good_faces(table.quality), graph, np.full(n, -1), n)
    known = np.array([path.startswith(COPIES) for path in paths])
    known[labelled.positions] = True
    problem = Problem(faces, table.sharpness, calibration)
    return Case(name, embedder, problem, labelled.positions, labelled.people, labelled.names, known)


def averages(scores: Mapping[tuple[str, str], Mapping[str, Any]], key: str) -> dict[str, float]:
    """Return the mean of a score over the embedders, for each of `COLUMNS` that is there, and over these."""
    found = {}
    for column in COLUMNS:
        values = [
            score[key]
            for (name, _), score in scores.items()
            if name.split("/")[0] == column and score[key] is not None
        ]
        if values:
            found[column] = mean(values)
    return {**found, "all": mean(found.values())}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call and its wall seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def run(rival: Rival, cases: list[Case]) -> dict[str, Any]:
    """Score a clusterer with all values of its parameter; return the result of the one that is best on A."""
    scores: dict[float, dict[tuple[str, str], dict[str, Any]]] = {value: {} for value in rival.values}
    spent: dict[float, float] = dict.fromkeys(rival.values, 0.0)
    for case in cases:
        prepared, before = timed(partial(rival.prepare, case.problem))
        for value in rival.values:
            labels, took = timed(partial(rival.fit, case.problem, prepared, value))
            scores[value][case.name, case.embedder] = {**case.score(labels), "seconds": before + took}
            spent[value] += before + took
    of_a = {value: averages(scores[value], "a")["all"] for value in rival.values}
    best = max(rival.values, key=lambda value: of_a[value])
    return {
        "clusterer": rival.name,
        "parameter": rival.parameter,
        "value": best if rival.parameter else None,
        "half_a_by_value": {str(value): score for value, score in of_a.items()} if rival.parameter else {},
        "seconds": spent[best],
        **summary(scores[best]),
    }


def summary(scores: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return means and sums of the scores of the albums, by embedder and in all, and these scores."""
    labelled = {key: score for key, score in scores.items() if key[0] != MIXED}
    return {
        **{key: averages(labelled, key) for key in ("f", "a", "b", "precision", "recall")},
        "f_by_embedder": {
            embedder: averages({key: s for key, s in labelled.items() if key[1] == embedder}, "f")
            for embedder in dict.fromkeys(embedder for _, embedder in scores)
        },
        "doubles": sum(score["doubles"] for score in labelled.values()),
        "junk": sum(score["junk"] for key, score in scores.items() if key[0] == MIXED),
        "albums": [{"album": name, "embedder": embedder, **s} for (name, embedder), s in scores.items()],
    }


def warm_up(rivals: tuple[Rival, ...], cases: list[Case]) -> None:
    """Compile the kernels with the smallest album."""
    smallest = min(cases, key=lambda case: len(case.problem.album))
    for rival in rivals:
        rival.fit(smallest.problem, rival.prepare(smallest.problem), rival.values[0])


# --- Ablation ----------------------------------------------------------------------------------------------


def _without_competition(graph: Graph, groups: same_photo.PhotoGroups, copies_from: float) -> Graph:
    competed = same_photo.compete(graph, groups, copies_from)
    rows = np.repeat(groups.of, np.diff(graph.indptr))
    same = (rows >= 0) & (rows == groups.of[graph.indices])
    return replace(graph, weights=np.where(same, competed.weights, graph.weights))


def _propagation_without_groups(graph: Graph, *, seed: int = 0, groups: object = None) -> I64:
    return chinese_whispers(graph, seed=seed)


_BUILD = same_photo.PhotoGroups.build


def _each_face_alone(photos: I64) -> same_photo.PhotoGroups:
    return _BUILD(np.arange(len(photos)))


def _unchanged(at: int) -> Callable[..., Any]:
    """Return a function that returns its argument at a position."""
    return lambda *arguments, **_: arguments[at]


# What is replaced in which module to leave a part of `album` out.
PARTS: dict[str, list[tuple[Any, str, Any]]] = {
    "nothing": [],
    "faces of two photos compete": [(parts, "compete", _without_competition)],
    "penalty on one photo": [
        (parts, "chinese_whispers", _propagation_without_groups),
        (merging, "_TOGETHER", 0.0),
    ],
    "penalty of shared photos, in merges": [(merging, "_TOGETHER", 0.0)],
    "all evidence of photos": [(same_photo.PhotoGroups, "build", staticmethod(_each_face_alone))],
    "strangers of the album": [
        (parts, "strangers_of_album", lambda vectors, groups, good, line: stranger_similarity(line))
    ],
    "runs that agree": [(parts, "_RUNS", 1), (parts, "_RUNS_OF_MANY", 1)],
    "merges": [(parts, "merge_clusters", _unchanged(1))],
    "joins": [(parts, "join_settled", _unchanged(0))],
    "second round of merges and joins": [(parts, "_ROUNDS", 1)],
    "assignment of shared photos": [(parts, "assign_shared_photos", _unchanged(0))],
    "junk dissolved": [(parts, "without_junk", _unchanged(1))],
    "doubt of poor pairs": [(parts, "_doubt_poor_pairs", _unchanged(0))],
    "likeness, in merges": [(merging, "_LIKENESS", 0.0)],
    "evidence and prior, in merges": [(merging, "_EVIDENCE", 0.0), (merging, "_PRIOR", 0.0)],
}


@contextmanager
def left_out(part: str) -> Iterator[None]:
    """Leave a part of `album` out."""
    with ExitStack() as stack:
        for owner, name, value in PARTS[part]:
            stack.enter_context(patch.object(owner, name, value))
        yield


def ablate(part: str, cases: list[Case]) -> dict[str, Any]:
    """Score `album` without a part; keep only means and sums."""
    with left_out(part):
        row = run(RIVALS[0], cases)
    del row["albums"], row["parameter"], row["value"], row["half_a_by_value"]
    return {"without": part, **row, "clusterer": "album"}


def show(rows: list[dict[str, Any]], *, embedders: bool) -> None:
    """Print the table: the mean over all embedders, and a line for each of them."""
    names = [row.get("without", row["clusterer"]) for row in rows]
    width = max(map(len, names)) + 2
    columns = "".join(f"{column:>14}" for column in COLUMNS)
    more = f"{'mean':>8}{'half A':>8}{'half B':>8}{'double':>8}{'junk':>6}{'s':>8}"
    print(f"{'':{width}}{'parameter':>16}{columns}{more}")

    def cells(scores: Mapping[str, float]) -> str:
        return "".join(f"{scores[column]:14.4f}" if column in scores else f"{'-':>14}" for column in COLUMNS)

    for name, row in zip(names, rows, strict=True):
        value = f"{row['parameter']} {row['value']:g}" if row.get("parameter") else "-"
        print(
            f"{name:{width}}{value:>16}{cells(row['f'])}{row['f']['all']:8.4f}{row['a']['all']:8.4f}"
            f"{row['b']['all']:8.4f}{row['doubles']:8}{row['junk']:6}{row['seconds']:8.1f}",
            flush=True,
        )
        if embedders and len(row["f_by_embedder"]) > 1:
            for embedder, scores in row["f_by_embedder"].items():
                print(f"{'  ' + embedder:{width + 16}}{cells(scores)}{scores['all']:8.4f}")


def main() -> None:
    parser = argument_parser(__doc__, quick="people/ and group_photos/, the default with weights", data=True)
    parser.add_argument("--work", type=Path, help="folder of indexes, such as people-yu; kept")
    parser.add_argument("--ablation", action="store_true", help="only `album` without each of its parts")
    parser.add_argument("--embedders", default="", help=f"only these: {', '.join(PIPELINES)}")
    options = parser.parse_args()
    use_weights_beside(options.data)
    embedders = [name for name in PIPELINES if name in (options.embedders or ",".join(PIPELINES)).split(",")]
    sets: tuple[str, ...] = SETS
    if options.quick:
        sets, embedders = QUICK, ["mobilefacenet"]
    cases = []
    with tempfile.TemporaryDirectory() as temporary:
        for embedder in embedders:
            read = cache(partial(read_stored, options.data, embedder, options.work or Path(temporary)))
            cases += [read_case(LabelledAlbum(name, read, options.data), name, embedder) for name in sets]
    payload: dict[str, Any] = {"sets": list(sets), "embedders": embedders}
    if not options.ablation:
        warm_up(RIVALS, cases)
        payload["clusterers"] = [run(rival, cases) for rival in RIVALS]
        show(payload["clusterers"], embedders=True)
    warm_up(RIVALS[:1], cases)
    payload["without"] = [ablate(part, cases) for part in PARTS]
    print("\nalbum without")
    show(payload["without"], embedders=False)
    name = "clusterers_ablation" if options.ablation else "clusterers"
    write_result(name, payload, quick=bool(options.quick or options.embedders))


if __name__ == "__main__":
    main()
