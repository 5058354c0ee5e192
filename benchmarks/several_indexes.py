"""Two indexes that share their people: names given in one, applied to the other by a few known photos.

Index A has the first 30 photos of each person of people/, index B the next 30. In A each person's largest
cluster is named. Four photos of each person are copied into a folder that B has too; then ``people export``,
``people apply`` and ``cluster`` name the clusters of B. All steps are the commands of docs/scale.md. Counts
the photos of B that are found by the right name, by a wrong one, and by none; and the same without known
photos.

    python benchmarks/several_indexes.py [--data DIR] [--quick]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from common import argument_parser, people_photos, spend, use_weights_beside, write_result

COMMAND = [sys.executable, "-m", "faceindex"]
KNOWN = 4  # photos of each person that both indexes have


def run(*arguments: object, cwd: Path) -> str:
    return spend([*COMMAND, *map(str, arguments)], cwd=cwd, codes=(0, 1)).output


def found(index: str, name: str, cwd: Path) -> list[str]:
    """Return the photos of a person, relative to the folder."""
    document = json.loads(run("find", name, "--index", index, "--absolute", "--json", cwd=cwd))
    return [Path(photo["path"]).relative_to(cwd.resolve()).as_posix() for photo in document["photos"]]


def score(people: list[str], cwd: Path) -> dict[str, int]:
    """Count the photos of the second year by whether they are found by the right name."""
    all_photos = [path.relative_to(cwd).as_posix() for path in sorted((cwd / "2002").iterdir())]
    right: set[str] = set()
    wrong: set[str] = set()
    for name in people:
        for photo in found("B", name, cwd):
            if photo.startswith("2002/"):
                (right if Path(photo).name.startswith(f"{name}-") else wrong).add(photo)
    return {
        "photos": len(all_photos),
        "right": len(right),
        "wrong": len(wrong),
        "none": len(set(all_photos) - right - wrong),
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="ten photos of each person in an index", data=True)
    options = parser.parse_args()
    use_weights_beside(options.data)
    many = 10 if options.quick else 30
    by_person: dict[str, list[Path]] = {}
    for path in people_photos(options.data):
        by_person.setdefault(path.parent.name.split()[0], []).append(path)
    people = sorted(by_person)
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        for year, start in (("2001", 0), ("2002", many)):
            (cwd / year).mkdir()
            for name, photos in by_person.items():
                for number, photo in enumerate(photos[start : start + many]):
                    shutil.copy(photo, cwd / year / f"{name}-{number:03}{photo.suffix}")
        for year, index in (("2001", "A"), ("2002", "B")):
            run("index", year, "--index", index, cwd=cwd)
            run("cluster", "--index", index, cwd=cwd)
        named = {}
        for row in json.loads(run("clusters", "--index", "A", "--json", cwd=cwd))["clusters"]:
            name = Path(row["example"]["photo"]).name.split("-")[0]
            if name not in named:  # the largest come first
                named[name] = row["cluster"]
                run("people", "name", f"c{row['cluster']}", name, "--index", "A", cwd=cwd)
        run("people", "export", "people.jsonl", "--index", "A", cwd=cwd)
        run("people", "apply", "people.jsonl", "--index", "B", cwd=cwd)
        run("cluster", "--index", "B", cwd=cwd)
        without = score(people, cwd)
        (cwd / "known").mkdir()
        for name in named:
            for relpath in found("A", name, cwd)[:KNOWN]:
                shutil.copy(cwd / relpath, cwd / "known")
        run("index", "known", "--index", "B", cwd=cwd)
        run("cluster", "--index", "B", cwd=cwd)
        run("people", "apply", "people.jsonl", "--index", "B", cwd=cwd)
        run("cluster", "--index", "B", cwd=cwd)
        together = score(people, cwd)
    print(f"without known photos {without}, with {KNOWN} of each person {together}")
    write_result(
        "several_indexes",
        {"people": len(people), "named": len(named), "known": KNOWN, "without": without, "with": together},
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
