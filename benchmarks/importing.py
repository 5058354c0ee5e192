"""Import the names of a large program: `index.people.import_album` on 100,000 made-up faces.

The index has 100,000 faces of 2,000 people on 50,000 photos, clustered, and the program has a region with a
name for each face, at a box that is 10 % larger, by paths of another machine. A process of its own imports
them, imports them again, and undoes that. A second index has ten times fewer faces: the CPU time of a region
shows whether the time grows faster than the number of regions, and the peak memory what each one needs.

    python benchmarks/importing.py            # some minutes
    python benchmarks/importing.py --quick    # 4,000 and 400 faces
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import argument_parser, peak_mib, run_child, target, write_result
from find import make_index

from faceindex import FaceIndex
from faceindex.interchange.regions import Region, SourceAlbum, SourcePhoto

MOST_MS = 2.0
"""CPU time for each region, in milliseconds."""

MOST_GROWTH = 1.5
"""How much more time a region may take in an album that is ten times larger."""

LARGER = 0.05  # on each side, in sides of the box


def photos_of(index: FaceIndex) -> Iterator[SourcePhoto]:
    """Yield the photos of a program that names every face as its cluster."""
    table = index.table()
    records = index._store.photos_by_id(np.unique(table.photo).tolist())
    order = np.argsort(table.photo, kind="stable")
    starts = np.flatnonzero(np.diff(table.photo[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        record = records[int(table.photo[rows[0]])]
        side = np.array([record.width, record.height] * 2, np.float32)
        boxes = table.boxes[rows]
        grown = (boxes[:, 2:] - boxes[:, :2]) * LARGER
        larger = np.concatenate([boxes[:, :2] - grown, boxes[:, 2:] + grown], axis=1) / side
        regions = tuple(
            Region((x1, y1, x2, y2), f"Person {cluster} x")
            for (x1, y1, x2, y2), cluster in zip(larger.tolist(), table.cluster[rows].tolist(), strict=True)
        )
        yield SourcePhoto(f"/mnt/old/photos/{record.relpath}", regions, frame="upright")


def child(directory: str) -> dict[str, Any]:
    """Import, import again, and undo; return the times, the memory and the numbers."""
    result: dict[str, Any] = {}
    with FaceIndex.open(directory, write=True) as index:
        photos = list(photos_of(index))
        index._reader._table = None
        result["before_mib"] = peak_mib()
        for step in ("import", "again"):
            start = time.process_time()
            report = index.people.import_album(SourceAlbum("Made up", photos, {}, []))
            result[f"{step}_seconds"] = time.process_time() - start
            result[step] = {key: value for key, value in report.as_dict().items() if isinstance(value, int)}
        result["after_mib"] = peak_mib()
        start = time.process_time()
        index.people.undo()
        result["undo_seconds"] = time.process_time() - start
        result["left"] = len(index.people.list())
    return result


def main() -> None:
    """Measure both sizes."""
    parser = argument_parser(__doc__, quick="4,000 and 400 faces")
    args = parser.parse_args()
    results: dict[int, dict[str, Any]] = {}
    for faces in (400, 4_000) if args.quick else (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "index"
            make_index(directory, faces, faces // 50, seed=0, named=False)
            results[faces] = run_child(__file__, "--child", directory)
        found = results[faces]
        first, again = found["import"], found["again"]
        print(
            f"{faces:,} regions: {first['named']:,} named in {found['import_seconds']:.1f} s of CPU time, "
            f"again {found['again_seconds']:.1f} s, undo {found['undo_seconds']:.1f} s; "
            f"{found['after_mib'] - found['before_mib']:.0f} MiB"
        )
        if first["named"] + first["contradicting"] != faces or again["named"] or "decision" in again:
            raise SystemExit(
                f"Not every region has its face, or the second import decided something: {found}"
            )
        if again["known"] != first["named"] or found["left"]:
            raise SystemExit(f"The second import or the undo left something: {found}")
    small, large = (results[faces]["import_seconds"] / faces for faces in sorted(results))
    outcomes = [
        target(0, "milliseconds of CPU time for a region", [1000 * large], reach=MOST_MS, beyond=MOST_MS / 2),
        target(0, "the same, to an album of a tenth", [large / small], reach=MOST_GROWTH, beyond=1.0),
    ]
    write_result("importing", {"results": results, "targets": outcomes}, quick=args.quick)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        json.dump(child(sys.argv[2]), sys.stdout)
    else:
        main()
