"""Does a name that joins the clusters of one person help `identify`?

The program may split a person: child and adult, with and without a beard. Here the labelled faces of each
enrolled person are split in two by the sign of their first principal component, as by age or pose; the larger
part is called the first. Three galleries have the same faces:

- whole: one cluster for each person, which is the best that clusters could be.
- split: two clusters for each person, nobody named. An answer is right if it is either of the two.
- named: the same two clusters, joined by the name.

Searched are the faces of these people that are not enrolled, a fifth, and strangers: 500 faces of lfw/ for
people/; faces of people with one photo for lfw/ (people with six photos and more are enrolled); for pins/ and
diverse/, half of the people are enrolled, and the faces of the rest are strangers.

Prints, for 1 % and for 0.1 % of false alarms, the share of known faces named right and of strangers named.
The people are split in two halves by name, as in strangers.py: how a person with several clusters is compared
with others was chosen on half A, and half B is held out.

    python benchmarks/named_people.py [--detector NAME] [--embedder NAME] [--half A|B] [--work DIR] [--quick]

Writes ``results/named_people.json``, with names appended as strangers.py does.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import write_result
from labelled import result_name
from strangers import STRANGERS, Faces, fifths, half, load, parse_options, plain, share, some

from faceindex import models
from faceindex.evidence import FALSE_ALARMS, STRICT_FALSE_ALARMS
from faceindex.identification import Judge, Match, Representatives, identify
from faceindex.models import Calibration
from faceindex.types import F32, I64

SETS = ("people", "lfw", "pins", "diverse")
MOST_QUERIES = 1500


def parts(gallery: Faces) -> tuple[I64, I64]:
    """Return the person of each face, and the cluster: two for each person with four faces and more."""
    _, people = np.unique(gallery.names, return_inverse=True)
    clusters = 2 * people
    for person in range(people.max() + 1):
        own = np.flatnonzero(people == person)
        if len(own) < 4:
            continue
        centred = gallery.vectors[own] - gallery.vectors[own].mean(axis=0)
        second = centred @ np.linalg.svd(centred, full_matrices=False)[2][0] > 0
        if second.mean() > 0.5:
            second = ~second
        clusters[own[second]] += 1
    return people.astype(np.int64), clusters.astype(np.int64)


def answers(
    queries: Faces,
    gallery: Faces,
    clusters: I64,
    people: dict[int, int],
    calibration: Calibration,
    rate: float,
) -> list[Match]:
    def nearest(probes: F32, k: int) -> tuple[I64, F32]:
        products = probes @ gallery.vectors.T
        order = np.argsort(-products, axis=1)[:, :k]
        return order, np.take_along_axis(products, order, 1)

    return identify(
        queries.vectors,
        nearest,
        faces=np.arange(len(gallery)),
        clusters=clusters,
        judge=Judge(calibration, lambda positions: gallery.vectors[positions], rate),
        quality=queries.quality,
        representatives=Representatives.of(clusters, people=people),
        neighbours=0,
    )


def draws(data: dict[str, Faces], which: str | None, repeats: int) -> Iterator[tuple[str, Faces, Faces]]:
    """Yield sets of faces: the gallery, and the queries."""
    rng = np.random.default_rng(0)
    of_half = {
        name: faces[np.array([bool(n) and which in (None, half(n)) for n in faces.names], bool)]
        for name, faces in data.items()
    }
    people, lfw = of_half["people"], of_half["lfw"]
    famous = {plain(name) for name in np.unique(people.names)}
    lfw = lfw[np.array([plain(name) not in famous for name in lfw.names], bool)]
    names, counts = np.unique(lfw.names, return_counts=True)
    for _ in range(repeats):
        gallery = fifths(people, np.unique(people.names), rng)
        strangers = lfw[some(np.ones(len(lfw), bool), STRANGERS, rng)]
        yield "people", people[gallery], people[~gallery] + strangers

        enrolled = names[counts >= 6]
        gallery = fifths(lfw, enrolled, rng)
        known = np.isin(lfw.names, enrolled) & ~gallery
        once = lfw[some(np.isin(lfw.names, names[counts == 1]), STRANGERS, rng)]
        yield "lfw", lfw[gallery], lfw[some(known, MOST_QUERIES, rng)] + once

        for name in ("pins", "diverse"):
            faces = of_half[name]
            every, number = np.unique(faces.names, return_counts=True)
            chosen = rng.permutation(every)[: len(every) // 2]
            chosen = chosen[np.isin(chosen, every[number > 4])]
            gallery = fifths(faces, chosen, rng)
            yield name, faces[gallery], faces[some(~gallery, MOST_QUERIES, rng)]


def count(
    matches: list[Match], queries: Faces, people: list[str], of_cluster: dict[int, int]
) -> Counter[str]:
    found: Counter[str] = Counter()
    for match, name in zip(matches, queries.names.tolist(), strict=True):
        answer = None if match.cluster is None else people[of_cluster[match.cluster]]
        kind = "known" if name in people else "strangers"
        found[kind] += 1
        found[f"{kind}_named"] += answer is not None
        found[f"{kind}_right"] += answer == name
    return found


def main() -> None:
    options = parse_options(__doc__)
    calibration = models.calibration_of(models.get("embedder", options.embedder))
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        names = options.detector, options.embedder
        data = {name: load(options.data / name, work, name, *names) for name in SETS}
    rows: dict[str, dict[str, Counter[str]]] = {}
    for name, gallery, queries in draws(data, options.half, 2 if options.quick else 10):
        people, clusters = parts(gallery)
        of_cluster = dict(zip(clusters.tolist(), people.tolist(), strict=True))
        who = np.unique(gallery.names).tolist()
        for rate in (FALSE_ALARMS, STRICT_FALSE_ALARMS):
            for kind, labels, joined in (
                ("whole", 2 * people, {}),
                ("split", clusters, {}),
                ("named", clusters, of_cluster),
            ):
                matches = answers(queries, gallery, labels, joined, calibration, rate)
                row = rows.setdefault(f"{name}, {rate:g}", {}).setdefault(kind, Counter())
                row.update(count(matches, queries, who, of_cluster | {2 * p: p for p in range(len(who))}))
    for name, kinds in rows.items():
        for kind, row in kinds.items():
            known = share(row["known_right"], row["known"])
            wrong = row["known_named"] - row["known_right"]
            strangers = share(row["strangers_named"], row["strangers"])
            print(f"{name:14} {kind:6} known right {known}, wrong {wrong:3}; strangers named {strangers}")
    file = result_name("named_people", options.detector, options.embedder)
    payload = {
        "half": options.half,
        "rows": {n: {k: dict(r) for k, r in ks.items()} for n, ks in rows.items()},
    }
    write_result(f"{file}_{options.half}" if options.half else file, payload, quick=options.quick)


if __name__ == "__main__":
    main()
