"""Measure the main job from the command line, with defaults, on labelled photographs.

- people: photos with a face; B-cubed F of `cluster` (largest face of each photo, folder as
  label), and of KMeans with as many clusters as people; peak memory, also with a tenth of the photos;
  a second `index` over unchanged photos, and one after renaming, deleting and editing files.
- identify: four fifths of each person's photos are indexed; the queries are the others and 100 strangers;
  five folds, so that every photo is a query once.
- lfw: B-cubed F of `cluster` (face nearest the centre, folder as label).

The names of the results contain the names of models that are not the defaults.

    python benchmarks/main_job.py [--data ../shared/data] [--part people identify lfw] [--quick]
                                  [--detector NAME] [--embedder NAME]
"""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TypeAlias

from common import Spent, argument_parser, spend, write_result
from labelled import add_model_arguments, result_name

from faceindex.images import probe, read
from faceindex.metrics import bcubed

SEED = 7
FOLDS = 5

Models: TypeAlias = tuple[str, ...]
"""The options that choose the models when an index is created."""


def faceindex(*arguments: object, cwd: Path) -> Spent:
    """Run one command and measure it; exit code 1 means a partial or empty result."""
    return spend([sys.executable, "-m", "faceindex", *map(str, arguments)], cwd=cwd, codes=(0, 1))


def labelled_faces(work: Path, which: str) -> tuple[list[int], list[str]]:
    """Return the cluster and the person of the labelled face of each photo; -1 is no cluster."""
    output = faceindex("faces", "--csv", cwd=work).output
    best: dict[str, tuple[float, int]] = {}
    for row in csv.DictReader(io.StringIO(output)):
        x1, y1, x2, y2 = (float(row[column]) for column in ("x1", "y1", "x2", "y2"))
        if which == "largest":
            rank = -(x2 - x1) * (y2 - y1)
        else:
            width, height, _ = probe(read(work / row["photo"]), row["photo"])
            rank = (x1 + x2 - width) ** 2 + (y1 + y2 - height) ** 2
        cluster = int(row["cluster"]) if row["cluster"] else -1
        if row["photo"] not in best or rank < best[row["photo"]][0]:
            best[row["photo"]] = (rank, cluster)
    return [cluster for _, cluster in best.values()], [Path(photo).parent.name for photo in best]


def copy(source: Path, target: Path, limit: int | None = None) -> int:
    """Copy a folder of folders, at most `limit` photos of each; return the number of photos."""
    count = 0
    for person in sorted(source.iterdir()):
        (target / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:limit]:
            shutil.copy(photo, target / person.name)
            count += 1
    return count


def clustering_scores(work: Path, which: str, *options: object) -> dict[str, float]:
    spent = faceindex("cluster", "--rebuild", *options, cwd=work)
    clusters, people = labelled_faces(work, which)
    scores = bcubed(clusters, people)
    return {
        "f": scores.f,
        "precision": scores.precision,
        "recall": scores.recall,
        "clusters": len(set(clusters) - {-1}),
        "seconds": spent.wall,
    }


def people(data: Path, work: Path, limit: int | None, models: Models) -> dict[str, object]:
    rng = random.Random(SEED)
    count = copy(data / "people", work / "photos", limit)
    copy(data / "people", work / "tenth", max(1, (limit or 100) // 10))
    tenth = faceindex("index", "tenth", "--index", "tenth.faceindex", *models, cwd=work)
    first = faceindex("index", "photos", *models, cwd=work)
    album = clustering_scores(work, "largest")
    persons = len(list((data / "people").iterdir()))
    kmeans = clustering_scores(work, "largest", "--algorithm", "kmeans", "--k", persons)
    with_face = len(labelled_faces(work, "largest")[0])
    second = faceindex("index", "photos", "--json", cwd=work)

    paths = sorted((work / "photos").rglob("*.jpg"))
    some = rng.sample(paths, 90 if count >= 200 else 9)
    part = len(some) // 9
    renamed, deleted, edited = some[: 5 * part], some[5 * part : 7 * part], some[7 * part :]
    for path in renamed:
        path.rename(path.with_name(f"renamed {path.name}"))
    for path in deleted:
        path.unlink()
    for path in edited:
        path.write_bytes(path.read_bytes() + b"\0" * 16)
    changes = json.loads(faceindex("index", "photos", "--json", cwd=work).output)
    again = json.loads(second.output)
    del changes["index"], again["index"]  # the path of a temporary folder
    return {
        "photos": count,
        "photos_with_a_face": with_face / count,
        "album": album,
        "kmeans": kmeans,
        "index_seconds": first.wall,
        "peak_mib": first.peak_mib,
        "peak_mib_of_a_tenth": tenth.peak_mib,
        "again_seconds": second.wall,
        "again_share": second.wall / first.wall,
        "again": again,
        "asked": {"renamed": len(renamed), "deleted": len(deleted), "edited": len(edited)},
        "told": changes,
    }


def identify(data: Path, work: Path, limit: int | None, models: Models) -> dict[str, object]:
    rng = random.Random(SEED)
    photos = {person.name: sorted(person.iterdir())[:limit] for person in sorted((data / "people").iterdir())}
    same = {person.replace(" ", "_") for person in photos}
    strangers = [path for path in sorted((data / "lfw").rglob("*.jpg")) if path.parent.name not in same]
    strangers = rng.sample(strangers, 500)
    for some in photos.values():
        rng.shuffle(some)
    folds = []
    for fold in range(1 if limit else FOLDS):
        folder = work / str(fold)
        for person, some in photos.items():
            (folder / "photos" / person).mkdir(parents=True)
            for i, photo in enumerate(some):
                if i % FOLDS != fold:
                    shutil.copy(photo, folder / "photos" / person)
        queries = [photo for some in photos.values() for photo in some[fold::FOLDS]]
        folds.append(identify_once(folder, queries, strangers[fold::FOLDS], models))
    means = {key: sum(row[key] for row in folds) / len(folds) for key in folds[0]}
    return {"folds": folds, "mean": means}


def identify_once(work: Path, queries: list[Path], strangers: list[Path], models: Models) -> dict[str, float]:
    """Index the photos of a fold, and identify the queries and the strangers."""
    faceindex("index", "photos", *models, cwd=work)
    faceindex("cluster", cwd=work)
    clusters, people = labelled_faces(work, "largest")
    own = {
        person: Counter(c for c, p in zip(clusters, people, strict=True) if p == person).most_common(1)[0][0]
        for person in people
    }
    answers = json.loads(faceindex("identify", "--json", *queries, cwd=work).output)["photos"]
    right = 0
    for photo, answer in zip(queries, answers, strict=True):
        largest = max(answer["faces"], key=_area, default=None)
        right += largest is not None and largest["cluster"] == own[photo.parent.name]
    answers = json.loads(faceindex("identify", "--json", *strangers, cwd=work).output)["photos"]
    central = [_central(answer) for answer in answers]
    unknown = [all(face["cluster"] is None for face in answer["faces"]) for answer in answers]
    return {
        "right": right / len(queries),
        "strangers_unknown": sum(face is None or face["cluster"] is None for face in central) / len(central),
        "stranger_photos_with_nobody_known": sum(unknown) / len(unknown),
    }


def _area(face: dict[str, list[float]]) -> float:
    x1, y1, x2, y2 = face["box"]
    return (x2 - x1) * (y2 - y1)


def _central(answer: dict[str, list[dict[str, list[float]]]]) -> dict[str, list[float]] | None:
    """Return the face nearest the middle of a photo of LFW, which has 250 x 250 px."""

    def distance(face: dict[str, list[float]]) -> float:
        x1, y1, x2, y2 = face["box"]
        return (x1 + x2 - 250) ** 2 + (y1 + y2 - 250) ** 2

    return min(answer["faces"], key=distance, default=None)


def lfw(data: Path, work: Path, limit: int | None, models: Models) -> dict[str, object]:
    (work / "photos").mkdir()
    for person in sorted((data / "lfw").iterdir())[:limit]:
        shutil.copytree(person, work / "photos" / person.name)
    spent = faceindex("index", "photos", *models, cwd=work)
    scores = clustering_scores(work, "central")
    return {"index_seconds": spent.wall, "peak_mib": spent.peak_mib, "album": scores}


def main() -> None:
    parser = argument_parser(__doc__, quick="ten photos of each person, 100 people of lfw", data=True)
    parts = {"people": people, "identify": identify, "lfw": lfw}
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    add_model_arguments(parser)
    options = parser.parse_args()
    models = ("--detector", options.detector, "--embedder", options.embedder)
    for name in options.part:
        with tempfile.TemporaryDirectory() as work:
            quick = {"people": 10, "identify": 10, "lfw": 100}[name] if options.quick else None
            result = parts[name](options.data, Path(work), quick, models)
        print(name, json.dumps(result, indent=2))
        full_name = result_name(f"main_job_{name}", options.detector, options.embedder)
        write_result(full_name, {"seed": SEED, **result}, quick=options.quick)


if __name__ == "__main__":
    main()
