"""Answer the questions of `faceindex people suggest` from the labels, and count the answers that it takes.

The simulated owner of an album can name its labelled faces and nobody else. It answers truthfully, and as
fully as the terminal allows: where a cluster is not the person, it gives the right name, and of faces shown
together it picks out those that are wrong. A cluster gets the name of most of the faces that are shown. Faces
without a label are strangers, whom it ignores.

A labelled face is right if the index gives it its name. Three orders of questions are compared:

- best: the order of `suggest`.
- random: one of all questions that `suggest` has at that moment, drawn at random; the mean of several seeds.
- size: only *who is this?* of the clusters, the largest first, and of the faces in none in the order of the
  index.

Clusters are made again after every 50 answers, as `faceindex cluster` does when photos are added.

    python benchmarks/owner.py --work INDEXES       # indexes what is missing there
    python benchmarks/owner.py --quick              # group_photos/ only, one seed of the random order
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from albums import DIVERSE, Album
from common import argument_parser, use_weights_beside, write_result
from stored import PIPELINES, commit_stored, half, read_stored

from faceindex import FaceIndex, images
from faceindex.api.question_results import Question

SETS = ("people", "group_photos", *(f"diverse/{name}" for name in DIVERSE), "diverse together")
QUICK = ("group_photos",)
AGAIN = 50  # answers between two runs of `cluster`
SHOWN_AT = (10, 20, 30, 50, 100)  # answers
SHARES = (0.95, 0.99)
STRANGER = ""


class Owner:
    """Answers questions about the faces of an index, and measures what is right.

    Parameters
    ----------
    index : FaceIndex
        Open for writing, and clustered.
    names : dict of int to str
        Name of each face, `STRANGER` without a label.
    """

    def __init__(self, index: FaceIndex, names: dict[int, str]) -> None:
        self.index, self.names = index, names
        self.answers = 0
        self.single_answers = 0  # as if each face of a group had been a question of its own
        self.names_typed = 0
        self.kinds: Counter[str] = Counter()
        self.wasted: Counter[str] = Counter()  # answers after which no more faces are right
        self.seconds: list[float] = []  # until the next question
        self.right = [self.share_right()]
        self.right_single = [(0, self.right[0])]
        self.right_half = {which: [self.share_right(which)] for which in "AB"}

    def share_right(self, which: str | None = None) -> float:
        """Return the share of the labelled faces, of all people or of a half, that have their name."""
        right = [
            face.person == name
            for face in self.index.faces()
            if (name := self.names[face.face]) != STRANGER and (which is None or half(name) == which)
        ]
        return mean(right) if right else 1.0

    def wrong_strangers(self) -> int:
        """Count the strangers that have a name."""
        return sum(
            face.person is not None and self.names[face.face] == STRANGER for face in self.index.faces()
        )

    def answer(self, question: Question) -> None:
        """Answer a question truthfully."""
        people = self.index.people
        shown = [self.names[face.face] for face in question.faces]
        most = Counter(shown).most_common(1)[0][0]
        single = 1
        if question.kind in ("is", "anyone"):
            wanted = question.person
            wrong = [
                face.face
                for face, name in zip(question.faces, shown, strict=True)
                if (name == STRANGER if wanted is None else name != wanted)
            ]
            single = len(shown)
            if wrong:
                people.answer(question, wrong=wrong)
            else:
                people.answer(question, "yes")
        elif most == STRANGER:
            people.answer(question, "ignore")
        elif question.kind == "who" or question.person not in (None, most):
            people.answer(question, name=most)
            self.names_typed += 1
        else:
            others = Counter(self.names[face.face] for face in question.others).most_common(1)[0][0]
            same = question.person == most or (question.person is None and others == most)
            people.answer(question, "yes" if same else "no")
        self._count(question.kind, single)

    def name(self, clusters: list[int], faces: list[int]) -> None:
        """Name or ignore clusters or faces, without a question."""
        shown = [face.face for face in self.index.faces(cluster=clusters[0])][:4] if clusters else faces
        most = Counter(self.names[face] for face in shown).most_common(1)[0][0]
        if most == STRANGER:
            self.index.people.ignore(clusters=clusters, faces=faces)
        else:
            self.index.people.name(most, clusters=clusters, faces=faces)
        self._count("who", 1)

    def _count(self, kind: str, single: int) -> None:
        self.answers += 1
        self.single_answers += single
        self.kinds[kind] += 1
        if self.answers % AGAIN == 0:
            self.index.cluster()
        share = self.share_right()
        self.wasted[kind] += share <= self.right[-1]
        self.right.append(share)
        self.right_single.append((self.single_answers, share))
        for which, shares in self.right_half.items():
            shares.append(self.share_right(which))


def best(owner: Owner, most: int) -> None:
    """Answer the questions in the order of `suggest`."""
    while owner.answers < most:
        start = time.perf_counter()
        questions = owner.index.people.suggest(1)
        owner.seconds.append(time.perf_counter() - start)
        if not questions:
            return
        owner.answer(questions[0])


def at_random(owner: Owner, most: int, *, seed: int) -> None:
    """Answer the same questions in random order."""
    draw = random.Random(seed)
    while owner.answers < most and (questions := owner.index.people.suggest(None)):
        owner.answer(draw.choice(questions))


def by_size(owner: Owner, most: int) -> None:
    """Name clusters, the largest first, and then the faces in none."""
    for cluster in [row.cluster for row in owner.index.clusters()]:
        # `cluster` may have ended it since.
        if owner.answers < most and any(face.cluster == cluster for face in owner.index.faces()):
            owner.name([cluster], [])
    for face in [face.face for face in owner.index.faces() if face.cluster is None]:
        if owner.answers < most:
            owner.name([], [face])


def needed(right: list[float], share: float) -> int | None:
    """Return the number of answers after which a share is right for the first time."""
    return next((number for number, value in enumerate(right) if value >= share), None)


def needed_single(right: list[tuple[int, float]], share: float) -> int | None:
    return next((number for number, value in right if value >= share), None)


def prepare(album: Album, folder: Path) -> tuple[Path, dict[int, str]]:
    """Make a clustered index of an album that has its pictures; return it and the names of its faces."""
    path = folder / "album"
    with commit_stored(path, album.photos) as store:
        pictures = []
        for record in store.photos().values():
            data = (album.photos.folder / record.relpath).read_bytes()
            pictures.append((record.id, images.read_picture(data)))
        store.save_pictures(pictures)
        index = FaceIndex(store)
        index.cluster()
        labelled = index.evaluation.labelled(album.labels_in(folder), face=album.face)
        people = labelled.person_of_faces(len(index))
        table = index.table()
    names = {
        face: STRANGER if person < 0 else labelled.names[person]
        for face, person in zip(table.face.tolist(), people.tolist(), strict=True)
    }
    return path, names


def simulate(
    path: Path, names: dict[int, str], order: Callable[[Owner, int], None], most: int
) -> dict[str, Any]:
    """Answer up to `most` questions in an order, on a copy of an index."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "index"
        shutil.copytree(path, copy)
        with FaceIndex.open(copy, write=True) as index:
            owner = Owner(index, names)
            order(owner, most)
            return {
                "answers": owner.answers,
                "right": owner.right,
                "needed": {str(share): needed(owner.right, share) for share in SHARES},
                "needed_half": {
                    which: {str(share): needed(right, share) for share in SHARES}
                    for which, right in owner.right_half.items()
                },
                "needed_single": {str(share): needed_single(owner.right_single, share) for share in SHARES},
                "kinds": dict(owner.kinds),
                "wasted": dict(owner.wasted),
                "names_typed": owner.names_typed,
                "strangers_named": owner.wrong_strangers(),
                "first_question_s": owner.seconds[0] if owner.seconds else None,
                "next_question_s": float(np.quantile(owner.seconds[1:], 0.95)) if owner.seconds[1:] else None,
            }


def run(name: str, read: Callable[[str], Any], options: Namespace) -> dict[str, Any]:
    """Simulate the owner of an album with every order."""
    album = Album(name, read, options.data)
    with tempfile.TemporaryDirectory() as folder:
        path, names = prepare(album, Path(folder))
        found: dict[str, Any] = {
            "album": name,
            "faces": len(names),
            "labelled": sum(label != STRANGER for label in names.values()),
            "people": len(set(names.values()) - {STRANGER}),
            "best": simulate(path, names, best, options.most),
            "size": simulate(path, names, by_size, options.most),
            "random": [
                simulate(path, names, partial(at_random, seed=seed), options.most)
                for seed in range(1 if options.quick else options.seeds)
            ],
        }
    return found


def share_after(simulated: dict[str, Any], answers: int) -> float:
    """Return the share that is right after a number of answers."""
    right = simulated["right"]
    return float(right[min(answers, len(right) - 1)])


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    print(
        f"{'':18}{'order':8}" + "".join(f"{n:>8}" for n in SHOWN_AT) + f"{'95 %':>8}{'99 %':>8}{'asked':>8}"
    )
    for row in rows:
        for order in ("best", "random", "size"):
            runs = row[order] if isinstance(row[order], list) else [row[order]]
            shares = "".join(f"{mean(share_after(one, n) for one in runs):8.1%}" for n in SHOWN_AT)
            ends = ""
            for share in SHARES:
                all_needed = [one["needed"][str(share)] for one in runs]
                ends += f"{'-' if None in all_needed else format(mean(all_needed), '.0f'):>8}"
            title = f"{row['album']}" if order == "best" else ""
            print(f"{title:18}{order:8}{shares}{ends}{mean(one['answers'] for one in runs):8.0f}")
        one = row["best"]
        print(
            f"{'':18}single faces: {one['needed_single']}, halves {one['needed_half']}, kinds {one['kinds']},"
            f" without effect {one['wasted']}, strangers named {one['strangers_named']},"
            f" next question {one['next_question_s'] or 0:.3f} s"
        )


def main() -> None:
    parser = argument_parser(__doc__, quick="group_photos/ only, one random order", data=True)
    parser.add_argument("--work", type=Path, help="folder of indexes, such as people-yu; kept")
    parser.add_argument("--sets", default="", help=f"only albums with one of these words: {', '.join(SETS)}")
    parser.add_argument("--embedder", default="mobilefacenet", choices=PIPELINES)
    parser.add_argument("--seeds", type=int, default=3, help="random orders")
    parser.add_argument("--most", type=int, default=200, help="answers")
    options = parser.parse_args()
    use_weights_beside(options.data)
    words = [word for word in options.sets.split(",") if word]
    chosen = QUICK if options.quick else [n for n in SETS if not words or any(word in n for word in words)]
    with tempfile.TemporaryDirectory() as temporary:
        read = partial(read_stored, options.data, options.embedder, options.work or Path(temporary))
        rows = [run(name, read, options) for name in chosen]
    show(rows)
    write_result(
        "owner" if options.embedder == "mobilefacenet" else f"owner_{options.embedder}",
        {"again": AGAIN, "embedder": options.embedder, "rows": rows},
        quick=bool(options.quick or words),
    )


if __name__ == "__main__":
    main()
