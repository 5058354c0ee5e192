"""Score the default clusters of every labelled album of the data, with three embedders, in one table.

The albums are people/, lfw/, pins/, group_photos/ (labels by boxes), the five sets of diverse/, each on its
own and together, and people/, nobody/ and art/ as one album. In that one the faces of nobody/ and art/ are
unknown, except those on the copies of two paintings, whose folders are their labels: a cluster of these is no
junk. They do not count for B-cubed F.
The embedders are dlib with mtcnn (the defaults without weights), mobilefacenet with yunet (the defaults with
weights) and facenet with yunet.

B-cubed F is that of the labelled faces: of all people, and of the faces of either half of them within the
whole clustering, so that a cluster with people of both halves counts in both. Methods are tuned on half A and
reported on half B; `stored.half` draws the halves by the CRC-32 of the names.
Doubles, junk, people per cluster and clusters per person are defined in `faceindex.metrics`.

    python benchmarks/albums.py --work INDEXES          # indexes what is missing there; then it takes seconds
    python benchmarks/albums.py --work INDEXES --before benchmarks/results/albums.json
    python benchmarks/albums.py --quick                 # people/ and group_photos/, the default with weights

`--before` adds the F of an earlier result. `p/c` is people per cluster, `c/p` clusters per person. With
`--sets`, `--embedders` or `--quick` the name of the result ends with ``_quick``.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from common import argument_parser, seconds, use_weights_beside, write_result
from stored import PIPELINES, StoredPhotos, commit_stored, in_half, read_stored

from faceindex import FaceIndex
from faceindex.metrics import Scores, bcubed, bcubed_of_faces, bootstrap_f, junk_faces, score_album

DIVERSE = ("bollywood", "kpop_small", "malayalam", "pak_politicians", "thai")
MIXED = "people + nobody + art"
TOGETHER = "diverse together"
SETS = (
    *("people", "lfw", "pins", "group_photos"),
    *(f"diverse/{name}" for name in DIVERSE),
    *(TOGETHER, MIXED),
)
QUICK = ("people", "group_photos")
MEAN = "diverse, mean of five"
COPIES = ("art/monaLisa/", "art/theCreationOfAdam/")  # each folder has many copies of one painting


class Album:
    """Photos to cluster, and which labels apply to them.

    Parameters
    ----------
    name : str
        One of `SETS`.
    read : callable
        Returns the photos of a folder of the data.
    data : Path
    """

    def __init__(self, name: str, read: Callable[[str], StoredPhotos], data: Path) -> None:
        self.face = "center" if name == "lfw" else None
        self.labels = data / "group_photos" / "boxes.csv" if name == "group_photos" else None
        self.only: str | None = None
        if name == MIXED:
            self.photos = read("people") + read("nobody") + read("art")
            self.only = "people/"
        elif name == TOGETHER:
            self.photos = read("diverse")
        elif name.startswith("diverse/"):
            self.photos = read("diverse").inside(name)
        else:
            self.photos = read(name)

    def labels_in(self, folder: Path) -> Path | None:
        """Return the file of labels; if only some photos are labelled, write it to `folder`."""
        if self.only is None:
            return self.labels
        path = folder / "labels.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["photo", "label"])
            writer.writerows(
                [photo.relpath, Path(photo.relpath).parent.name]
                for photo in self.photos.photos
                if photo.relpath.startswith(self.only)
            )
        return path


def score(album: Album, seed: int) -> dict[str, object]:
    """Cluster an album with the defaults and score the clusters."""
    with (
        tempfile.TemporaryDirectory() as folder,
        commit_stored(Path(folder) / "index", album.photos) as store,
    ):
        index = FaceIndex(store)
        spent = seconds(index.cluster)
        labelled = index.evaluation.labelled(album.labels_in(Path(folder)), face=album.face)
        table = index.table()
        paths = [face.path for face in index.faces()]
    clusters, people = table.cluster[labelled.positions], labelled.people
    whole = bcubed(clusters, people)
    precision, recall = bcubed_of_faces(clusters, people)
    interval = bootstrap_f(precision, recall, people, seed=seed)
    halves: dict[str, float | None] = {}
    for which in "AB":
        chosen = in_half(labelled.names, which)[people]
        part = Scores(precision[chosen].mean(), recall[chosen].mean()) if chosen.any() else None
        halves[which] = None if part is None else float(part.f)
    everyone = labelled.person_of_faces(len(table))
    found = score_album(table.cluster, table.photo, everyone)
    relative = [Path(path).relative_to(album.photos.folder) for path in paths]
    copies = np.array([path.as_posix().startswith(COPIES) for path in relative], bool)
    is_junk = junk_faces(table.cluster, (everyone >= 0) | copies)
    junk, folders = np.unique(table.cluster[is_junk]), [path.parts[0] for path in relative]
    return {
        "photos": len(album.photos),
        "faces": len(table),
        "labelled": len(people),
        "people": len(labelled.names),
        "bcubed": {"f": whole.f, "precision": whole.precision, "recall": whole.recall},
        "interval": None if interval is None else [interval.low, interval.high],
        "f_half_a": halves["A"],
        "f_half_b": halves["B"],
        "doubles": found.doubles,
        "junk": int(is_junk.sum()),
        "junk_per_1000_photos": 1000 * int(is_junk.sum()) / len(album.photos),
        "junk_clusters": [dict(Counter(np.array(folders)[table.cluster == i].tolist())) for i in junk],
        "people_per_cluster": found.people_per_cluster,
        "clusters_per_person": found.clusters_per_person,
        "clusters": len(np.unique(table.cluster[table.cluster >= 0])),
        "labelled_in_no_cluster": int((clusters < 0).sum()),
        "seconds": spent,
    }


def mean_of_diverse(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the mean scores of the five sets of diverse/ with one embedder, if all are there."""
    five = [row for row in rows if row["album"].startswith("diverse/")]
    if len(five) < len(DIVERSE):
        return None
    result: dict[str, Any] = {"album": MEAN, "embedder": five[0]["embedder"], "detector": five[0]["detector"]}
    result["bcubed"] = {key: mean(row["bcubed"][key] for row in five) for key in five[0]["bcubed"]}
    for key in ("f_half_a", "f_half_b"):
        result[key] = mean(row[key] for row in five if row[key] is not None)
    for key in ("doubles", "junk", "junk_per_1000_photos", "people_per_cluster", "clusters_per_person"):
        result[key] = mean(row[key] for row in five)
    return result


def show(rows: list[dict[str, Any]], before: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Print the table; with the F of an earlier result, if there is one."""

    def number(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    print(
        f"{'':24}{'embedder':15}{'F':>7}{'before' if before else '':>8}{'prec.':>7}{'recall':>7}{'95 %':>14}"
        f"{'half A':>8}{'half B':>7}{'doubles':>8}{'junk':>6}{'/1000':>7}{'p/c':>6}{'c/p':>6}{'s':>7}"
    )
    for row in rows:
        earlier = before.get((row["album"], row["embedder"]))
        b, interval = row["bcubed"], row.get("interval")
        print(
            f"{row['album']:24}{row['embedder']:15}{b['f']:7.4f}"
            f"{number(earlier['bcubed']['f'], 4) if earlier else '':>8}"
            f"{b['precision']:7.3f}{b['recall']:7.3f}"
            f"{f'{interval[0]:.3f}-{interval[1]:.3f}' if interval else '':>14}"
            f"{number(row['f_half_a'], 4):>8}{number(row['f_half_b'], 4):>7}"
            f"{row['doubles']:8g}{row['junk']:6g}{row['junk_per_1000_photos']:7.1f}"
            f"{number(row['people_per_cluster'], 2):>6}{number(row['clusters_per_person'], 2):>6}"
            f"{number(row.get('seconds'), 2):>7}"
        )


def main() -> None:
    parser = argument_parser(__doc__, quick="people/ and group_photos/, the default with weights", data=True)
    parser.add_argument("--work", type=Path, help="folder of indexes, such as people-yu; kept")
    parser.add_argument("--sets", default="", help=f"only albums with one of these words: {', '.join(SETS)}")
    parser.add_argument("--embedders", default="", help=f"only these: {', '.join(PIPELINES)}")
    parser.add_argument("--before", type=Path, help="an earlier result to compare with")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    options = parser.parse_args()
    use_weights_beside(options.data)
    words = [word for word in options.sets.split(",") if word]
    chosen = [name for name in SETS if not words or any(word in name for word in words)]
    embedders = [name for name in PIPELINES if name in (options.embedders or ",".join(PIPELINES)).split(",")]
    if options.quick:
        chosen, embedders = list(QUICK), ["mobilefacenet"]
    before: dict[tuple[str, str], dict[str, Any]] = {}
    if options.before:
        earlier = json.loads(options.before.read_text(encoding="utf-8"))["rows"]
        before = {(row["album"], row["embedder"]): row for row in earlier}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for embedder in embedders:
            read = cache(partial(read_stored, options.data, embedder, options.work or Path(temporary)))
            found = [
                {
                    "album": name,
                    "embedder": embedder,
                    "detector": PIPELINES[embedder][0],
                    **score(Album(name, read, options.data), options.seed),
                }
                for name in chosen
            ]
            average = mean_of_diverse(found)
            rows += found if average is None else [*found, average]
    rows.sort(key=lambda row: ((*SETS, MEAN).index(row["album"]), list(PIPELINES).index(row["embedder"])))
    show(rows, before)
    write_result(
        "albums",
        {"seed": options.seed, "rows": rows},
        quick=bool(options.quick or words or options.embedders),
    )


if __name__ == "__main__":
    main()
