"""Merge two people of the labelled data under one name, and split them again.

For each pair of people of people/, group_photos/ and the sets of diverse/ with people of 15 faces, all faces
of both are divided with 1, 2 and 3 seeds, faces of the smaller one drawn at random, and without seeds. A face
is on the right side if it is with most faces of its person. The faces of each person alone are divided
without seeds too: such a division should be refused. Single people have one name; half A and half B are
`stored.half`.

    python benchmarks/splits.py --work INDEXES
    python benchmarks/splits.py --quick                # group_photos/ only
"""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from albums import DIVERSE, Album
from common import argument_parser, use_weights_beside, write_result
from stored import PIPELINES, commit_stored, half, read_stored

from faceindex import FaceIndex, models
from faceindex.people.splitting import Division, divide
from faceindex.types import BoolArray

SETS = ("people", "group_photos", *(f"diverse/{name}" for name in DIVERSE if name != "thai"))
QUICK = ("group_photos",)
FEWEST = 15  # faces of a person
DRAWS = 3  # of the seeds


def right_sides(division: Division | None, of_first: BoolArray) -> float:
    """Return the share of the faces on the right side."""
    if division is None:
        return float(max(of_first.mean(), 1 - of_first.mean()))
    same = float((division.part == of_first).mean())
    return max(same, 1 - same)


def run(name: str, read: Any, data: Path, seed: int) -> dict[str, Any]:
    """Divide all pairs of people of an album, and each person."""
    album = Album(name, read, data)
    with tempfile.TemporaryDirectory() as folder, commit_stored(Path(folder) / "i", album.photos) as store:
        index = FaceIndex(store)
        labelled = index.evaluation.labelled(album.labels_in(Path(folder)), face=album.face)
        people = labelled.person_of_faces(len(index))
        vectors, photos = np.array(index.vectors()), index.table().photo
        calibration = models.calibration_of(models.get("embedder", index.pins.embedder))
    random = np.random.default_rng(seed)
    large = [p for p in range(len(labelled.names)) if (people == p).sum() >= FEWEST]
    pairs: list[dict[str, Any]] = []
    for one, other in itertools.combinations(large, 2):
        both = np.flatnonzero((people == one) | (people == other))
        of_one = people[both] == one
        smaller = of_one if of_one.sum() * 2 <= len(both) else ~of_one
        free = divide(vectors[both], photos[both], calibration)
        row: dict[str, Any] = {
            "people": [labelled.names[one], labelled.names[other]],
            "right": {"0": right_sides(free, of_one)},
            "likeness": None if free is None else free.likeness,
            "clear": free is not None and free.is_clear,
        }
        for number in (1, 2, 3):
            row["right"][str(number)] = mean(
                right_sides(divide(vectors[both], photos[both], calibration, seeds=chosen), of_one)
                for chosen in (
                    random.choice(np.flatnonzero(smaller), number, replace=False) for _ in range(DRAWS)
                )
            )
        pairs.append(row)
    single = {}
    for person in large:
        mine = np.flatnonzero(people == person)
        found = divide(vectors[mine], photos[mine], calibration)
        single[labelled.names[person]] = (
            None if found is None else {"likeness": found.likeness, "clear": found.is_clear}
        )
    return {"album": name, "pairs": pairs, "single": single}


def main() -> None:
    parser = argument_parser(__doc__, quick="group_photos/ only", data=True)
    parser.add_argument("--work", type=Path, help="folder of indexes, such as people-yu; kept")
    parser.add_argument("--embedder", default="mobilefacenet", choices=PIPELINES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    use_weights_beside(options.data)
    with tempfile.TemporaryDirectory() as temporary:
        read = partial(read_stored, options.data, options.embedder, options.work or Path(temporary))
        rows = [run(n, read, options.data, options.seed) for n in (QUICK if options.quick else SETS)]
    print(
        f"{'':24}{'pairs':>6}{'none':>8}{'1 seed':>8}{'2':>8}{'3':>8}{'worst':>8}{'refused':>9}{'alone':>10}"
    )
    for row in rows:
        pairs = row["pairs"]
        shares = "".join(f"{mean(p['right'][k] for p in pairs):8.1%}" for k in "0123")
        worst = min(p["right"]["3"] for p in pairs)
        refused = sum(not p["clear"] for p in pairs)
        alone = [v for v in row["single"].values() if v is not None]
        kept = sum(not v["clear"] for v in alone)
        print(
            f"{row['album']:24}{len(pairs):6}{shares}{worst:8.1%}{refused:9}{f'{kept} of {len(alone)}':>10}"
        )
    for which in "AB":
        alike = [p["likeness"] for r in rows for p in r["pairs"] if {half(n) for n in p["people"]} == {which}]
        alone = [v["likeness"] for r in rows for n, v in r["single"].items() if half(n) == which and v]
        print(f"half {which}: two people up to {max(alike):.2f}, one person from {min(alone):.2f}")
    write_result(f"splits_{options.embedder}", {"seed": options.seed, "rows": rows}, quick=options.quick)


if __name__ == "__main__":
    main()
