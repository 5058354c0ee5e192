"""Calibrate the similarities of an embedder: at which similarity do two faces show the same person?

Measures, for one embedder, on labelled photos and with default settings:

1. The log-likelihood ratio of "same person" to "different people" by similarity, and the straight line
   that fits it, as `faceindex models calibrate` does (`faceindex.metrics.calibration`). The weight of a
   person grows with the number of photos, not of pairs.
2. B-cubed F of Chinese Whispers by constant threshold, and of the default clusterer, on collections from 80
   to thousands of faces. No constant is good for all of them.
3. Identification by the most similar face of a person, by the mean of several, and by the centroid, with the
   true people as clusters; ``main_job.py`` measures the whole chain.
4. How much more often two strangers are similar if both faces are blurred, and if one is
   (`Calibration.blurred`), relative to pairs of sharp faces, at the similarity that one in 10,000 of those
   pairs exceeds.

The people are split in two halves by name, to show how much the constants depend on the people: the fit on
half A alone, and the scores of the defaults on half B. The defaults were chosen with both halves.

    python benchmarks/calibrate.py [--detector NAME] [--embedder NAME] [--data ../shared/data] [--work DIR]
                                   [--quick]

The names of the results contain the names of models that are not the defaults.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import argument_parser, write_result
from labelled import Labelled, add_model_arguments, load, result_name
from made_up import one_face_a_photo
from stored import half

from faceindex import models
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import GRAPH_FLOOR, log_odds, symmetric_graph
from faceindex.clustering.incremental import NEIGHBOURS
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.metrics import bcubed
from faceindex.metrics.calibration import fit_line, pairs_of_people
from faceindex.models import Calibration
from faceindex.types import F32

STEPS = np.arange(-9.0, 6.1, 1.0)  # constant thresholds, in nats from the default for 1,000 faces
ALIKE = 1e-4  # share of the pairs of sharp strangers that count as similar
BLURS = (0.10, 0.12, 0.14, 0.16, 0.18)


def fit(vectors: F32, people: np.ndarray) -> dict[str, float]:
    """Fit slope and midpoint of the log-likelihood ratio; return them with the range of the data."""
    codes = np.unique(people, return_inverse=True)[1].astype(np.int64)
    line = fit_line(*pairs_of_people(vectors, codes, np.arange(len(codes))))
    if line is None:
        raise SystemExit("The similarities of one person are not above those of different people.")
    return {"slope": line.slope, "midpoint": line.midpoint, "from": line.low, "to": line.high}


def curve(
    vectors: F32, people: np.ndarray, thresholds: np.ndarray, calibration: Calibration
) -> dict[str, float]:
    """Return B-cubed F of Chinese Whispers by constant threshold, and of the default clusterer."""
    neighbours, similarities = exact_neighbours(vectors, NEIGHBOURS)
    scores = {}
    for threshold in thresholds:
        graph = symmetric_graph(neighbours, similarities - np.float32(threshold))
        scores[f"{threshold:.3f}"] = bcubed(chinese_whispers(graph), people).f
    weights = log_odds(similarities, len(vectors), calibration)
    graph = symmetric_graph(neighbours, weights, floor=GRAPH_FLOOR)
    clusterer: Clusterer = models.load(
        models.get("clusterer", "album"), options=ClusterOptions(calibration=calibration)
    )
    return {**scores, "defaults": bcubed(clusterer.fit(one_face_a_photo(vectors, graph)), people).f}


def identification(
    vectors: F32, people: np.ndarray, strangers: F32, repeats: int, calibration: Calibration
) -> dict[str, object]:
    """Identify 20 % of each person's photos, and strangers, against the other 80 %."""
    rng = np.random.default_rng(0)
    right: dict[tuple[str, float], list[float]] = {}
    default: list[tuple[float, float]] = []
    for _ in range(repeats):
        known = np.zeros(len(people), bool)
        for person in np.unique(people):
            photos = rng.permutation(np.flatnonzero(people == person))
            known[photos[: round(0.8 * len(photos))]] = True
        names = np.unique(people)
        for rule in ("nearest", "mean of 3", "mean of 5", "centroid"):
            members = _scores(vectors[~known], vectors[known], people[known], names, rule)
            alarms = _scores(strangers, vectors[known], people[known], names, rule).max(axis=1)
            correct = names[members.argmax(axis=1)] == people[~known]
            for rate in (0.03, 0.01, 0.001):
                threshold = np.quantile(alarms, 1 - rate)
                share = float((correct & (members.max(axis=1) >= threshold)).mean())
                right.setdefault((rule, rate), []).append(share)
            if rule == "mean of 3":
                threshold = calibration.threshold(int(known.sum()))
                threshold -= calibration.consensus / calibration.slope
                named = float((correct & (members.max(axis=1) >= threshold)).mean())
                default.append((named, float((alarms < threshold).mean())))
    return {
        "right_at_false_alarms": {f"{r}, {a:.1%}": float(np.mean(v)) for (r, a), v in right.items()},
        "defaults_right": float(np.mean([named for named, _ in default])),
        "defaults_unknown": float(np.mean([unknown for _, unknown in default])),
    }


def _scores(queries: F32, known: F32, people: np.ndarray, names: np.ndarray, rule: str) -> F32:
    """Return the similarity (m, p) of each query to each person by a rule."""
    columns = []
    for name in names:
        gallery = known[people == name]
        if rule == "centroid":
            centroid = gallery.sum(axis=0)
            columns.append(queries @ (centroid / np.linalg.norm(centroid)))
        else:
            count = {"nearest": 1, "mean of 3": 3, "mean of 5": 5}[rule]
            top = np.sort(queries @ gallery.T, axis=1)[:, -count:]
            columns.append(top.mean(axis=1))
    return np.stack(columns, axis=1)


def blur(data: Labelled, limit: float) -> dict[str, float]:
    """Return how often strangers with blurred faces are similar, as a multiple of the rate of sharp pairs."""
    vectors, people = data.vectors[data.main], data.people[data.main]
    blurred = data.sharpness[data.main] < limit
    first, second = np.triu_indices(len(vectors), 1)
    kinds = blurred[first].astype(np.int8) + blurred[second]
    strangers = people[first] != people[second]
    similarities = (vectors @ vectors.T)[first, second]
    similar = similarities > np.quantile(similarities[strangers & (kinds == 0)], 1 - ALIKE)
    both, one = (similar[strangers & (kinds == count)] for count in (2, 1))
    return {
        "blurred_faces": int(blurred.sum()),
        "pairs_of_both": len(both),
        "both_blurred": float(both.sum() / max(1, len(both)) / ALIKE),
        "one_blurred": float(one.sum() / max(1, len(one)) / ALIKE),
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="one split instead of ten", data=True)
    parser.add_argument("--work", type=Path, help="folder in which to keep the two indexes")
    add_model_arguments(parser)
    options = parser.parse_args()
    spec = models.get("embedder", options.embedder)
    calibration = models.calibration_of(spec)
    centre = calibration.threshold(1000)
    thresholds = np.round(centre + STEPS / calibration.slope, 3)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        chosen = {"detector": options.detector, "embedder": options.embedder}
        people = load(options.data / "people", work / "people.faceindex", "largest", **chosen)
        lfw = load(options.data / "lfw", work / "lfw.faceindex", "central", **chosen)
    sets = {}
    for name, data in (("people", people), ("lfw", lfw)):
        vectors, labels = data.vectors[data.main], data.people[data.main]
        halves = np.array([half(label) for label in labels])
        for which in "AB":
            sets[name, which] = (vectors[halves == which], labels[halves == which])
        sets[name, "all"] = (vectors, labels)

    defaults = {"slope": calibration.slope, "midpoint": calibration.midpoint}
    print("log-likelihood ratio = slope (similarity - midpoint); the defaults are", defaults)
    fits = {f"{name} {which}": fit(*sets[name, which]) for name in ("people", "lfw") for which in "AB"}
    for name, line in fits.items():
        print(
            f"  {name:10}  slope {line['slope']:5.0f}  midpoint {line['midpoint']:.4f}"
            f"  data from {line['from']:.3f} to {line['to']:.3f}"
        )

    rng = np.random.default_rng(7)
    collections = {f"{name} {which}": sets[name, which] for name, which in sets}
    vectors, labels = sets["people", "B"]
    some = rng.permutation(len(vectors))[:80]
    collections["80 of people B"] = (vectors[some], labels[some])
    names, counts = np.unique(sets["lfw", "B"][1], return_counts=True)
    once = np.isin(sets["lfw", "B"][1], names[counts == 1])
    collections["people B + strangers B"] = (
        np.concatenate([vectors, sets["lfw", "B"][0][once]]),
        np.concatenate([labels, sets["lfw", "B"][1][once]]),
    )
    curves = {name: curve(*collection, thresholds, calibration) for name, collection in collections.items()}
    print("\nB-cubed F of Chinese Whispers by constant threshold, and of the defaults")
    print(f"  {'':24}{'faces':>6} ", *(f"{t:.3f}"[1:].rjust(5) for t in thresholds), " defaults (at)")
    for name, scores in curves.items():
        n = len(collections[name][0])
        row = [f"{scores[f'{t:.3f}']:.3f}" for t in thresholds]
        print(f"  {name:24}{n:6} ", *row, f" {scores['defaults']:.4f} ({calibration.threshold(n):.3f})")
    floor = {key: min(c[key] for c in curves.values()) for key in next(iter(curves.values()))}
    print(
        f"  {'lowest':30} ",
        *(f"{floor[f'{t:.3f}']:.3f}" for t in thresholds),
        f" {floor['defaults']:.4f}",
    )

    known = {label.replace(" ", "_") for label in np.unique(people.people)}
    strangers = lfw.vectors[lfw.main & ~np.isin(lfw.people, sorted(known))]
    found = identification(*sets["people", "all"], strangers, 1 if options.quick else 10, calibration)
    print(f"\nidentification: 20 % of people/ and {len(strangers)} strangers against the other 80 %")
    for rule, share in found["right_at_false_alarms"].items():  # type: ignore[attr-defined]
        print(f"  right, by {rule} false alarms: {share:.4f}")
    print(f"  defaults: {found['defaults_right']:.4f} right, {found['defaults_unknown']:.4f} unknown")

    blurs = {f"{limit:.2f}": blur(lfw, limit) for limit in BLURS}
    print("\nlfw/: how many times as often as sharp pairs strangers are similar, by the limit of sharpness")
    for limit, counted in blurs.items():
        print(
            f"  {limit}: {counted['blurred_faces']:4.0f} faces; both blurred {counted['both_blurred']:6.1f} "
            f"({counted['pairs_of_both']:.0f} pairs), one {counted['one_blurred']:.1f}"
        )
    payload = {"defaults": defaults, "fits": fits, "curves": curves, "identification": found, "blur": blurs}
    name = result_name("calibrate", options.detector, options.embedder)
    write_result(name, payload, quick=options.quick)


if __name__ == "__main__":
    main()
