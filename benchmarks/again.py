"""Rows 9 and 12: `faceindex index` over unchanged files compared with `find`; `--help` with Python's start.

Row 9 makes a tree of 50,000 small, different JPEGs in 120 folders. It writes an index of the tree through
the store, with true sizes, times and hashes and one made-up face per photo. Then whole processes alternate:
``find TREE -newer REF``, which reads the time of every file, and ``faceindex index TREE``. The first run of
`index` compares file by file and stores a digest of the tree; it is reported separately, as is a run after
one file got a new time. For orientation, a few lines of Python that only call ``stat`` on every file show
the least time that a Python program needs. All pages are in the cache. Row 12 alternates the installed
``faceindex --help`` with ``python -c pass``.

The targets are ratios of wall time. The results also contain ratios of CPU time, which other programs
disturb less. The script needs the Unix `find`; the `find` of Windows is another program. The page cache must
hold the directory entries of the tree, some 30 MB.

    python benchmarks/again.py            # 9 and 15 pairs, about a minute
    python benchmarks/again.py --quick    # 5 pairs of each; making the tree takes most of the time
"""

from __future__ import annotations

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
from common import Spent, argument_parser, console_script, ratios, spend, target, write_result
from made_up import face_vectors, long_tail, one_face
from PIL import Image

from faceindex import images
from faceindex.store import NewPhoto, Pins, Store

FILES = 50_000
FOLDERS = 120
COMMIT = 2_000
DIMENSION = 128
MODULES = "faceindex.cli.index, faceindex.api.index, faceindex.cli.progress"

# The cheapest way in Python to call stat on every file: by name in an open folder, keeping nothing.
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
    """Write the photos; return the relative path and the content of each."""
    buffer = BytesIO()
    Image.new("RGB", (16, 16), (200, 150, 120)).save(buffer, "JPEG")
    photo = buffer.getvalue()  # readers ignore bytes after the end of a JPEG
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
    """Write an index of the tree, equal to that of `index` except for the faces."""
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
                photos.append(
                    NewPhoto(
                        root.id,
                        relpath,
                        status.st_size,
                        status.st_mtime_ns,
                        images.content_hash(content),
                        16,
                        16,
                        faces=one_face(vector, (4, 4, 12, 12)),
                    )
                )
            store.commit(photos)


def find_command(tree: Path, reference: Path) -> list[str]:
    find = shutil.which("find")
    if find is None or sys.platform == "win32":
        raise SystemExit("This benchmark needs the Unix find. Run it on Linux or macOS.")
    return [find, str(tree), "-newer", str(reference)]


def environment(index: Path) -> dict[str, str]:
    """Return the environment of a user's shell, in which Python uses compiled modules."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONPROFILEIMPORTTIME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "FACEINDEX_INDEX": str(index)}


def pairs(
    ours: Sequence[str], theirs: Sequence[str], number: int, env: Mapping[str, str]
) -> tuple[list[Spent], list[Spent]]:
    """Run both alternately."""
    taken = [(spend(theirs, env=env), spend(ours, env=env)) for _ in range(number)]
    return [ours for _, ours in taken], [theirs for theirs, _ in taken]


def medians(runs: Sequence[Spent]) -> dict[str, float]:
    return {"wall": median(run.wall for run in runs), "cpu": median(run.cpu for run in runs)}


def compare(
    row: int,
    what: str,
    ours: Sequence[Spent],
    theirs: Sequence[Spent],
    limits: tuple[float, float],
    accuracy: Mapping[str, object] | None = None,
    **more: object,
) -> dict[str, object]:
    cpu = ratios([run.cpu for run in ours], [run.cpu for run in theirs])
    result = target(
        row,
        what,
        ratios([run.wall for run in ours], [run.wall for run in theirs]),
        reach=limits[0],
        beyond=limits[1],
        accuracy=accuracy,
        seconds=medians(ours),
        peer_seconds=medians(theirs),
        cpu_ratios=cpu,
        cpu_ratio=median(cpu),
        **more,
    )
    print(f"    CPU: {median(cpu):.3g}; ours {medians(ours)}, peer {medians(theirs)}")
    return result


def again(files: int, number: int, seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        tree, index, reference = Path(folder, "tree"), Path(folder, "index"), Path(folder, "reference")
        make_index(index, tree, make_tree(tree, files), seed)
        reference.touch()
        env, find = environment(index), find_command(tree, reference)
        command = [console_script(), "index", str(tree)]
        as_json = [*command, "--json"]
        spend(as_json, env=env)  # compiles modules and reads the tree into the cache
        with Store.open(index, write=True) as store:
            store.update_size_and_time([])  # a commit that may have changed photos drops the stored digest
        first = spend(command, env=env)
        ours, theirs = pairs(command, find, number, env)
        if any(run.output for run in theirs) or not ours[0].output.startswith(f"{files:,} photos in"):
            raise SystemExit("The tree has changed during the benchmark.")
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
        "python -c pass": medians(start),
        "python that imports what the command does": medians(loads),
        "python that looks at each file and keeps nothing": medians(floor),
        "the first run, file by file": medians([first]),
        "with --json, whose options are parsed": medians(parsed),
        "after one file got a new time": medians(touched),
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
    ours, theirs = pairs([console_script(), "--help"], [sys.executable, "-c", "pass"], number, env)
    if "Usage: faceindex" not in ours[0].output:
        raise SystemExit("faceindex --help did not print the help.")
    return compare(12, "faceindex --help / python -c pass", ours, theirs, (4.0, 2.5))


def main() -> None:
    parser = argument_parser(__doc__, quick="5 pairs of each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    targets = [again(FILES, 5 if options.quick else 9, options.seed)]
    targets.append(help_text(5 if options.quick else 15))
    write_result("again", {"seed": options.seed, "targets": targets}, quick=options.quick)


if __name__ == "__main__":
    main()
