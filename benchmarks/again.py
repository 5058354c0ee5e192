"""Rows 9 and 12: `faceindex index` again over unchanged files against `find`, and `--help` against Python.

Row 9 makes a tree of 50,000 small JPEGs in 120 folders, all different, and an index of it through the store,
with their true sizes, times and hashes and a made-up face each. Then whole processes take turns, pair by
pair: ``find TREE -newer REF``, which looks at the time of every file, and ``faceindex index TREE``. The first
run compares file by file and remembers what it found; it is told apart, as is a run after one file got a new
time. For orientation the same tree is walked by a few lines of Python that only look at each file: no
program in Python does it in less. All pages are in the cache. Row 12 lets the installed ``faceindex --help``
take turns with ``python -c pass``.

The ratios of the targets are of wall time; those of CPU time, which other load on the machine disturbs less,
are kept beside them. `find` is on every Unix; where there is none (Windows has another of that name) the
script says so. The page cache must hold the tree's directory entries: some 30 MB.

    python benchmarks/again.py            # 9 and 15 pairs, about a minute
    python benchmarks/again.py --quick    # 5 pairs of each; most of the time goes into making the tree
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
from common import Spent, spend, target, write_result
from made_up import face_vectors, long_tail
from PIL import Image

from faceindex import images
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import Faces

FILES = 50_000
FOLDERS = 120
COMMIT = 2_000
DIMENSION = 128
MODULES = "faceindex.cli.indexing, faceindex.api.adding, faceindex.cli.progress"

# Looks at every file as cheaply as Python can: by name in an open folder, and keeps nothing.
FLOOR = """
import os, stat, sys
waiting = [sys.argv[1]]
while waiting:
    path = waiting.pop()
    folder = os.open(path, os.O_RDONLY)
    with os.scandir(folder) as entries:
        for entry in entries:
            if stat.S_ISDIR(entry.stat().st_mode):
                waiting.append(os.path.join(path, entry.name))
    os.close(folder)
"""


def make_tree(tree: Path, files: int) -> list[tuple[str, bytes]]:
    """Write the photos; relative path and content of each."""
    buffer = BytesIO()
    Image.new("RGB", (16, 16), (200, 150, 120)).save(buffer, "JPEG")
    photo = buffer.getvalue()  # readers ignore what follows the end of a JPEG
    made = []
    for number in range(files):
        month = number * FOLDERS // files
        relpath = f"{2010 + month // 12}/{month % 12 + 1:02}/IMG_{number:06}.jpg"
        path = tree / relpath
        path.parent.mkdir(parents=True, exist_ok=True)
        content = photo + number.to_bytes(4, "big")
        path.write_bytes(content)
        made.append((relpath, content))
    return made


def make_index(directory: Path, tree: Path, files: Sequence[tuple[str, bytes]], seed: int) -> None:
    """An index of the tree as `index` would leave it, but for what the faces look like."""
    rng = np.random.default_rng(seed)
    vectors = face_vectors(long_tail(len(files), rng), DIMENSION, rng)
    with Store.create(directory, Pins("mtcnn", "dlib", DIMENSION, {"min_face": 40.0})) as store:
        root = store.add_root(tree, str(tree))
        for start in range(0, len(files), COMMIT):
            photos = []
            for (relpath, content), vector in zip(
                files[start : start + COMMIT], vectors[start : start + COMMIT], strict=True
            ):
                status = (tree / relpath).stat()
                face = Faces(
                    boxes=np.array([[4, 4, 12, 12]], np.float32),
                    landmarks=np.full((1, 5, 2), 8, np.float32),
                    scores=np.ones(1, np.float32),
                    vectors=vector[None],
                    norms=np.ones(1, np.float32),
                    sharpness=np.full(1, 0.3, np.float32),
                )
                photos.append(
                    NewPhoto(
                        root.id,
                        relpath,
                        status.st_size,
                        status.st_mtime_ns,
                        images.content_hash(content),
                        16,
                        16,
                        faces=face,
                    )
                )
            store.commit(photos)


def find_command(tree: Path, reference: Path) -> list[str]:
    find = shutil.which("find")
    if find is None or sys.platform == "win32":
        raise SystemExit("There is no Unix find here to compare with. Run this on Linux or macOS.")
    return [find, str(tree), "-newer", str(reference)]


def script() -> str:
    """The installed console script of this interpreter's environment."""
    found = shutil.which("faceindex", path=str(Path(sys.executable).parent)) or shutil.which("faceindex")
    if found is None:
        raise SystemExit("The command faceindex is not installed. Run `pip install -e .` first.")
    return found


def environment(index: Path) -> dict[str, str]:
    """As a user's shell would have it, with compiled modules as an installed package has them."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONPROFILEIMPORTTIME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "FACEINDEX_INDEX": str(index)}


def pairs(
    ours: Sequence[str], theirs: Sequence[str], number: int, env: Mapping[str, str]
) -> tuple[list[Spent], list[Spent]]:
    """Runs of both in turn."""
    taken = [(spend(theirs, env=env), spend(ours, env=env)) for _ in range(number)]
    return [ours for _, ours in taken], [theirs for theirs, _ in taken]


def seconds(runs: Sequence[Spent]) -> dict[str, float]:
    return {"wall": median(run.wall for run in runs), "cpu": median(run.cpu for run in runs)}


def compare(
    row: int,
    what: str,
    ours: Sequence[Spent],
    theirs: Sequence[Spent],
    limits: tuple[float, float],
    **more: object,
) -> dict[str, object]:
    cpu = [our.cpu / their.cpu for our, their in zip(ours, theirs, strict=True)]
    result = target(
        row,
        what,
        [our.wall / their.wall for our, their in zip(ours, theirs, strict=True)],
        reach=limits[0],
        beyond=limits[1],
        seconds=seconds(ours),
        peer_seconds=seconds(theirs),
        cpu_ratios=cpu,
        cpu_ratio=median(cpu),
        **more,
    )
    print(f"    CPU: {median(cpu):.3g}; ours {seconds(ours)}, theirs {seconds(theirs)}")
    return result


def again(files: int, number: int, seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        tree, index, reference = Path(folder, "tree"), Path(folder, "index"), Path(folder, "reference")
        make_index(index, tree, make_tree(tree, files), seed)
        reference.touch()
        env, find = environment(index), find_command(tree, reference)
        command = [script(), "index", str(tree)]
        as_json = [*command, "--json"]
        spend(as_json, env=env)  # compiles what is not, reads the tree into the cache
        with Store.open(index, write=True) as store:
            store.touch([])  # a commit that may have changed photos: nothing is remembered
        first = spend(command, env=env)
        ours, theirs = pairs(command, find, number, env)
        if any(run.output for run in theirs) or not ours[0].output.startswith(f"{files:,} photos in"):
            raise SystemExit("The tree was not unchanged.")
        counted = json.loads(spend(as_json, env=env).output)
        parsed, _ = pairs(as_json, find, 3, env)
        touched = []
        for _ in range(3):
            os.utime(next(tree.rglob("*.jpg")))
            touched.append(spend(command, env=env))
            spend(command, env=env)
        floor = [spend([sys.executable, "-c", FLOOR, str(tree)], env=env) for _ in range(number)]
        start = [spend([sys.executable, "-c", "pass"], env=env) for _ in range(number)]
        loads = [spend([sys.executable, "-c", f"import {MODULES}"], env=env) for _ in range(number)]
    parts = {
        "python -c pass": seconds(start),
        "python that imports what the command does": seconds(loads),
        "python that looks at each file and keeps nothing": seconds(floor),
        "the first run, file by file": seconds([first]),
        "with --json, whose options are parsed": seconds(parsed),
        "after one file got a new time": seconds(touched),
    }
    for name, taken in parts.items():
        print(f"    {name}: {taken['wall']:.3f} s, CPU {taken['cpu']:.3f} s")
    return compare(
        9,
        f"index again over {files:,} unchanged files / find -newer",
        ours,
        theirs,
        (5.0, 2.0),
        accuracy={"unchanged": counted["unchanged"], "opened": counted["opened"]},
        files=files,
        parts=parts,
    )


def help_text(number: int) -> dict[str, object]:
    env = environment(Path("none"))
    ours, theirs = pairs([script(), "--help"], [sys.executable, "-c", "pass"], number, env)
    if "Usage: faceindex" not in ours[0].output:
        raise SystemExit("That was not the help.")
    return compare(12, "faceindex --help / python -c pass", ours, theirs, (4.0, 2.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    targets = [again(FILES, 5 if quick else 9, arguments.seed)]
    targets.append(help_text(5 if quick else 15))
    path = write_result("again_quick" if quick else "again", {"seed": arguments.seed, "targets": targets})
    print(path)


if __name__ == "__main__":
    main()
