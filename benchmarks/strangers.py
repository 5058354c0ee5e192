"""Are strangers kept out, known people named, and the probabilities right? (`faceindex.evidence`)

The true people are the clusters, so that only identification is measured; the last row has the program's own.
Labelled faces of shared data, with default settings:

- people/: a fifth of the photos of each person is searched among the rest, with 500 faces of lfw/ as
  strangers.
- one person: 2, 3, 12 or 80 photos of each person of people/ in turn; the rest of their photos are searched,
  500 faces of lfw/, and the other people of people/ (who are like no sample of strangers: two of them look
  alike).
- half unknown: half of the people are enrolled with four fifths of their photos; the rest, and all photos of
  the other half, are searched. For people/, pins/, lfw/, group_photos/, and diverse/ as one and set by set.
- sizes: 8 to 600 people of lfw/ with two photos and more; and 1,000 with one photo each.
- false faces and bystanders: what is found on nobody/ and art/, and the unlabelled faces of people/, diverse/
  and lfw/, searched among people/ and one person.
- own clusters: people/ clustered by the program; each photo is searched without its own faces. A name is
  right if most faces of the cluster are of that person.

Prints the share of strangers named and of known people named right, with 95 % intervals (E. B. Wilson, 1927),
and a reliability table: how many answers of each probability are right. The people are split in two halves by
name, and ``--half`` reports one of them. The constants were chosen with all people in view, so neither half
is held out; how much the halves differ shows how much they depend on the people.

The fits: `Calibration.strangers`, `known` and `poor` of each set, as `faceindex models calibrate` measures
them; and the evidence that 1 %, 0.1 % and 0.01 % of the faces of lfw/ have for people with 1 to 70 faces,
from which the spread of strangers and the effect of the number of faces were chosen.

    python benchmarks/strangers.py [--detector NAME] [--embedder NAME] [--half A|B] [--work DIR] [--quick]

Writes ``results/strangers.json``; the names of models that are not the defaults, and the half, are appended.
``--work`` keeps the indexes, one for each folder, named like it.
"""

from __future__ import annotations

import csv
import math
import tempfile
import zlib
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from common import argument_parser, use_weights_beside, write_result
from labelled import add_model_arguments, result_name

from faceindex import FaceIndex, models
from faceindex.evaluation.labels import FaceChoice
from faceindex.evidence import FALSE_ALARMS, STRICT_FALSE_ALARMS, Odds, is_named, odds
from faceindex.identification import Judge, Representatives, identify, shown_well
from faceindex.metrics import reliability, weigh_people
from faceindex.metrics.calibration import pairs_of_people
from faceindex.metrics.strangers import evidence_of_known, evidence_of_strangers
from faceindex.models import Calibration
from faceindex.types import F32, I64, BoolArray

SETS: dict[str, FaceChoice] = {"people": "largest", "pins": "largest", "diverse": "largest", "lfw": "center"}
ALL = (*SETS, "group_photos", "nobody", "art")
STRANGERS = 500
ONE_PERSON = (2, 3, 12, 80)
SIZES = (8, 36, 200, 600)
RELIABLE = (
    "people",
    "one person",
    "sizes",
    "half unknown: people",
    "half unknown: pins",
    "half unknown: lfw",
)


@dataclass(frozen=True)
class Faces:
    """Faces of one data set: vectors, quality, names ('' for unlabelled faces), the subfolder of each."""

    vectors: F32
    quality: F32
    names: np.ndarray
    parts: np.ndarray

    def __getitem__(self, which: np.ndarray) -> Faces:
        return Faces(self.vectors[which], self.quality[which], self.names[which], self.parts[which])

    def __add__(self, other: Faces) -> Faces:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return Faces(*(np.concatenate(pair) for pair in pairs))

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Answers:
    """Answers to searches: what each is worth, whether it is right, and whether the person is enrolled."""

    worth: Odds
    right: BoolArray
    mated: BoolArray

    def summary(self, rate: float) -> dict[str, int]:
        named = is_named(self.worth, rate)
        return {
            "strangers": int((~self.mated).sum()),
            "strangers_named": int(named[~self.mated].sum()),
            "known": int(self.mated.sum()),
            "known_right": int((named & self.right)[self.mated].sum()),
            "known_wrong": int((named & ~self.right)[self.mated].sum()),
        }


def plain(name: str) -> str:
    return name.lower().replace("pins_", "").replace(" ", "_")


def half(name: str) -> str:
    return "AB"[zlib.crc32(plain(name).encode()) & 1]


def load(folder: Path, work: Path, name: str, detector: str, embedder: str) -> Faces:
    with FaceIndex.open_or_create(work / f"{name}.faceindex", detector=detector, embedder=embedder) as index:
        index.add([folder])
        rows, vectors = list(index.faces()), index.vectors()
        quality = index.table().quality
        names = np.full(len(rows), "", object)
        if name in SETS:
            labelled = index.evaluation.labelled(face=SETS[name])
            names[labelled.positions] = np.array(labelled.names, object)[labelled.people]
        elif name == "group_photos":
            names[:] = _named_boxes(folder / "boxes.csv", [(Path(row.path).name, row.box) for row in rows])
    parts = np.array([Path(row.path).parent.parent.name for row in rows])
    return Faces(vectors, quality, names.astype(str), parts)


def _named_boxes(file: Path, faces: list[tuple[str, tuple[float, float, float, float]]]) -> list[str]:
    """Return the name of the box that the middle of each face is in, the nearest one."""
    boxes: dict[str, list[tuple[float, ...]]] = {}
    names: dict[str, list[str]] = {}
    with file.open() as lines:
        for row in csv.DictReader(lines):
            boxes.setdefault(row["file"], []).append(tuple(float(row[k]) for k in ("x1", "y1", "x2", "y2")))
            names.setdefault(row["file"], []).append(row["name"])
    found = []
    for photo, (x1, y1, x2, y2) in faces:
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        hits = [
            (abs((b[0] + b[2]) / 2 - x) + abs((b[1] + b[3]) / 2 - y), name)
            for b, name in zip(boxes.get(photo, []), names.get(photo, []), strict=True)
            if b[0] <= x <= b[2] and b[1] <= y <= b[3]
        ]
        found.append(min(hits)[1] if hits else "")
    return found


def search(queries: Faces, gallery: Faces, calibration: Calibration) -> Answers:
    people, codes = np.unique(gallery.names, return_inverse=True)
    best, ranking = weigh_people(queries.vectors, gallery.vectors, codes.astype(np.int64), calibration)
    return Answers(
        worth=odds(ranking, calibration, queries.quality),
        right=people[best] == queries.names,
        mated=np.isin(queries.names, people),
    )


def some(mask: BoolArray, number: int, rng: np.random.Generator) -> I64:
    """Draw positions where the mask is true."""
    return rng.permutation(np.flatnonzero(mask))[:number]


def fits(data: dict[str, Faces], calibration: Calibration, which: str | None) -> dict[str, object]:
    """Fit the constants of each set; measure the evidence of strangers by the number of faces."""
    found: dict[str, object] = {}
    for name, faces in data.items():
        kept = faces[np.array([bool(n) and (which is None or half(n) == which) for n in faces.names], bool)]
        codes = np.unique(kept.names, return_inverse=True)[1].astype(np.int64)
        if not len(codes):
            continue
        different = pairs_of_people(kept.vectors, codes, np.arange(len(codes)))[0]
        people = len(np.unique(codes))
        strangers = evidence_of_strangers(different, people, calibration)
        known = evidence_of_known(kept.vectors, codes, kept.quality, calibration)
        found[name] = {"people": people, "strangers": strangers, "known_and_poor": known}
        print(f"{name:14} {people:5} people  strangers {strangers}  known, poor {known}")
    lfw = data["lfw"]
    queries = lfw[np.unique(lfw.names, return_index=True)[1][1:]]  # a face of each person; '' comes first
    rng = np.random.default_rng(0)
    for number in (1, 3, 12, 24, 70):
        values = []
        for faces in (data["people"], data["diverse"], lfw):
            names, counts = np.unique(faces.names[faces.names != ""], return_counts=True)
            for name in names[counts >= number][:60]:
                own = faces[some(faces.names == name, number, rng)]
                others = np.array([plain(n) != plain(name) for n in queries.names], bool)
                ranking = weigh_people(
                    queries.vectors[others], own.vectors, np.zeros(number, np.int64), calibration
                )[1]
                values.append(ranking.best)
        tails = np.quantile(np.concatenate(values), (0.99, 0.999, 0.9999)).tolist()
        found[f"{number} faces"] = {"tails": tails, "spread": (tails[2] - tails[0]) / (3.719 - 2.326)}
        print(f"{number:3} faces: {tails[0]:5.1f} {tails[1]:5.1f} {tails[2]:5.1f} nats")
    return found


def fifths(faces: Faces, enrolled: np.ndarray, rng: np.random.Generator) -> BoolArray:
    """Draw four fifths of the faces of each enrolled person, two at least."""
    gallery = np.zeros(len(faces), bool)
    for name in enrolled:
        own = some(faces.names == name, len(faces), rng)
        gallery[own[: max(2, int(0.8 * len(own)))]] = True
    return gallery


def scenarios(
    data: dict[str, Faces], calibration: Calibration, which: str | None, repeats: int
) -> Iterator[tuple[str, Answers]]:
    """Yield the answers of each draw of each scenario."""
    rng = np.random.default_rng(0)
    of_half = {
        name: faces[
            np.array([bool(n) and (which is None or half(n) == which) for n in faces.names], dtype=bool)
        ]
        for name, faces in data.items()
    }
    people, lfw = of_half["people"], of_half["lfw"]
    famous = {plain(name) for name in np.unique(people.names)}
    lfw = lfw[np.array([plain(name) not in famous for name in lfw.names], bool)]
    unlabelled = {name: faces[faces.names == ""] for name, faces in data.items()}
    false = unlabelled["nobody"] + unlabelled["art"]
    bystanders = unlabelled["people"] + unlabelled["diverse"] + unlabelled["lfw"]
    all_lfw = np.ones(len(lfw), bool)

    for _ in range(5):
        gallery = fifths(people, np.unique(people.names), rng)
        queries = people[~gallery] + lfw[some(all_lfw, STRANGERS, rng)]
        yield "people: a fifth, and lfw", search(queries, people[gallery], calibration)
    for name in np.unique(people.names):
        own = people.names == name
        for number in ONE_PERSON:
            drawn = some(own, number, rng)
            rest = own.copy()
            rest[drawn] = False
            queries = people[rest] + lfw[some(all_lfw, STRANGERS, rng)]
            yield f"one person, {number} photos, and lfw", search(queries, people[drawn], calibration)
            if number == 12:
                for what, others in (("other people", people[~own]), ("false faces", false)):
                    yield f"one person, 12 photos: {what}", search(others, people[drawn], calibration)
                yield "one person, 12 photos: bystanders", search(bystanders, people[drawn], calibration)
    for what, others in (("false faces", false), ("bystanders", bystanders), ("diverse", of_half["diverse"])):
        yield f"people: {what}", search(others, people, calibration)

    diverse = of_half["diverse"]
    halves = {name: of_half[name] for name in ("people", "pins", "diverse", "group_photos")} | {"lfw": lfw}
    halves |= {part: diverse[diverse.parts == part] for part in sorted(set(diverse.parts.tolist()))}
    for name, faces in halves.items():
        names, counts = np.unique(faces.names, return_counts=True)
        for _ in range(repeats):
            enrolled = rng.permutation(names)[: len(names) // 2]
            enrolled = enrolled[np.isin(enrolled, names[counts > 2])]
            if len(enrolled):
                gallery = fifths(faces, enrolled, rng)
                yield f"half unknown: {name}", search(faces[~gallery], faces[gallery], calibration)

    names, counts = np.unique(lfw.names, return_counts=True)
    once, more = names[counts == 1], names[counts > 1]
    for size in (size for size in SIZES if size <= len(more)):
        for _ in range(repeats):
            enrolled = rng.permutation(more)[:size]
            gallery = fifths(lfw, enrolled, rng) & np.isin(lfw.names, enrolled)
            strangers = some(np.isin(lfw.names, once), STRANGERS, rng)
            queries = lfw[np.isin(lfw.names, enrolled) & ~gallery] + lfw[strangers]
            yield f"sizes: {size} people", search(queries, lfw[gallery], calibration)
    shuffled = rng.permutation(once)
    alone, rest = shuffled[:1000], shuffled[1000 : 1000 + STRANGERS]
    queries, gallery_of_one = lfw[np.isin(lfw.names, rest)], lfw[np.isin(lfw.names, alone)]
    yield f"sizes: {len(alone)} people, one photo each", search(queries, gallery_of_one, calibration)


def own_clusters(directory: Path, lfw: Faces, calibration: Calibration, rate: float) -> dict[str, int]:
    """Search photos of people/ without their own faces, and strangers, in the clusters of the program."""
    with FaceIndex.open(directory, write=True) as index:
        if index.clustering is None:
            index.cluster()
        table, vectors = index.table(), index.vectors()
        labelled = index.evaluation.labelled(face="largest")
    names = np.full(len(table), "", object)
    names[labelled.positions] = np.array(labelled.names, object)[labelled.people]
    person = {
        cluster: Counter(names[(table.cluster == cluster)].tolist()).most_common(1)[0][0]
        for cluster in np.unique(table.cluster[table.cluster >= 0]).tolist()
    }
    judge = Judge(calibration, lambda positions: vectors[positions], rate)
    well = shown_well(table.cluster, table.quality)

    def name_of(query: F32, quality: float, hidden: BoolArray) -> str | None:
        def nearest(queries: F32, k: int) -> tuple[I64, F32]:
            found = np.where(hidden, -np.inf, vectors @ queries[0]).astype(np.float32)
            order = np.argsort(-found)[: min(k, int((~hidden).sum()))]
            return table.face[order][None], found[order][None]

        (match,) = identify(
            query[None],
            nearest,
            faces=table.face,
            clusters=table.cluster,
            judge=judge,
            quality=np.array([quality], np.float32),
            representatives=Representatives.of(table.cluster, well & ~hidden),
        )
        return None if match.cluster is None else str(person[match.cluster])

    found = Counter[str]()
    for position in labelled.positions.tolist():
        name = name_of(vectors[position], table.quality[position], table.photo == table.photo[position])
        found["known"] += 1
        found["known_right"] += name == names[position]
        found["known_wrong"] += name not in (None, names[position])
    famous = {plain(name) for name in labelled.names}
    rng = np.random.default_rng(0)
    strangers = np.array([bool(name) and plain(name) not in famous for name in lfw.names], bool)
    drawn, nobody = lfw[some(strangers, STRANGERS, rng)], np.zeros(len(table), bool)
    for vector, quality in zip(drawn.vectors, drawn.quality, strict=True):
        found["strangers"] += 1
        found["strangers_named"] += name_of(vector, quality, nobody) is not None
    return {
        key: found[key] for key in ("strangers", "strangers_named", "known", "known_right", "known_wrong")
    }


def wilson(hits: int, number: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    z, share = 1.96, hits / number
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    spread = (
        z * math.sqrt(share * (1 - share) / number + z * z / (4 * number * number)) / (1 + z * z / number)
    )
    return max(0.0, middle - spread), min(1.0, middle + spread)


def share(hits: int, number: int) -> str:
    if not number:
        return "-"
    low, high = wilson(hits, number)
    return f"{hits / number:7.2%} ({low:.2%} to {high:.2%})"


def line(name: str, counted: dict[str, int]) -> str:
    strangers = share(counted["strangers_named"], counted["strangers"])
    return f"{name:44} {strangers:30} {share(counted['known_right'], counted['known'])}"


def parse_options(description: str | None) -> Namespace:
    """Return the options of the command line, and find the weights."""
    parser = argument_parser(description, quick="two draws instead of ten", data=True)
    parser.add_argument("--work", type=Path, help="folder in which to keep the indexes")
    parser.add_argument("--half", choices=("A", "B"), help="only this half of the people")
    add_model_arguments(parser)
    options = parser.parse_args()
    use_weights_beside(options.data)
    return options


def main() -> None:
    options = parse_options(__doc__)
    calibration = models.calibration_of(models.get("embedder", options.embedder))
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        names = options.detector, options.embedder
        data = {name: load(options.data / name, work, name, *names) for name in ALL}
        own = own_clusters(work / "people.faceindex", data["lfw"], calibration, FALSE_ALARMS)
    constants = fits(data, calibration, options.half)
    found: dict[str, list[Answers]] = {}
    for name, answers in scenarios(data, calibration, options.half, 2 if options.quick else 10):
        found.setdefault(name, []).append(answers)
    rows: dict[str, dict[str, dict[str, int]]] = {}
    for rate in (FALSE_ALARMS, STRICT_FALSE_ALARMS):
        print(f"\nmax_false_alarms {rate:g}: {'strangers named':>42} {'known people named right':>40}")
        rows[f"{rate:g}"] = {}
        for name, parts in found.items():
            counts: Counter[str] = Counter()
            for part in parts:
                counts.update(part.summary(rate))
            rows[f"{rate:g}"][name] = dict(counts)
            print(line(name, dict(counts)))
        if rate == FALSE_ALARMS:
            print(line("people: own clusters, and lfw", own))
    reliable = [a for name, parts in found.items() if name.startswith(RELIABLE) for a in parts]
    reliable = [a for a in reliable if a.mated.any() and not a.mated.all()]
    print("\nprobability: answers, mean probability, share right (as many known people as strangers)")
    bins = reliability(
        np.concatenate([a.worth.probability for a in reliable]),
        np.concatenate([a.right for a in reliable]),
        np.concatenate([a.mated for a in reliable]),
    )
    for row in bins:
        columns = f"{row.searches:7,} {row.probability:8.1%} {row.right:8.1%}"
        print(f"{row.low:5.2f} to {row.high:4.2f}: {columns}")
    name = result_name("strangers", options.detector, options.embedder)
    payload = {
        "half": options.half,
        "fits": constants,
        "rows": rows,
        "own_clusters": own,
        "reliability": [asdict(b) for b in bins],
    }
    write_result(f"{name}_{options.half}" if options.half else name, payload, quick=options.quick)


if __name__ == "__main__":
    main()
