"""Compute what 10^6 to 10^9 faces cost from measured unit costs, and write the tables of docs/scale.md.

    python benchmarks/scale_paper.py                       # rewrite the tables between the markers
    python benchmarks/scale_paper.py --photos 50e6 --megabytes 4 --core-hour 0.05 --cores 16 --machines 8
    python benchmarks/scale_paper.py --photos 50e6 --gpu-ms 2.5 --gpu-hour 1.5

Every figure comes from results/*.json. A cost that was measured at several sizes follows a power law through the two
largest of them, ``cost(n) = cost(m) (n / m)^e`` with ``e`` at least 1, because nothing that reads every face grows more slowly; one
that was measured at one size grows in proportion (e = 1). A cost of one command grows with its measured
exponent. Prices and the sizes of photos are parameters; the example on the page states its own.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
SIZES = (10**6, 10**7, 10**8, 10**9)
HOUR, MIB, GB = 3600, 2**20, 10**9


@cache
def result(name: str) -> dict[str, Any]:
    """Return a stored result."""
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return document


@dataclass(frozen=True)
class Law:
    """A cost by the number of faces: as measured, and a power law beyond.

    Attributes
    ----------
    points : mapping of int to float
        Measured costs.
    least : float
        Least exponent; 1 for what must read every face.
    """

    points: Mapping[int, float]
    least: float = 1.0

    @property
    def exponent(self) -> float:
        """The exponent between the two largest sizes; 1 if only one was measured."""
        if len(self.points) < 2:
            return 1.0
        (a, small), (b, large) = sorted(self.points.items())[-2:]
        return max(self.least, math.log(large / small) / math.log(b / a))

    @property
    def largest(self) -> int:
        """The largest size that was measured."""
        return max(self.points)

    def at(self, faces: float) -> float:
        """Return the cost at a number of faces."""
        if faces in self.points:
            return self.points[int(faces)]
        nearest = min(self.points, key=lambda n: abs(math.log(n / faces)))
        base = nearest if faces < self.largest else self.largest
        return self.points[base] * (faces / base) ** self.exponent

    def measured(self, faces: float) -> bool:
        """Whether the cost was measured at this size."""
        return faces in self.points


@dataclass(frozen=True)
class Stage:
    """A stage of work on all faces, by its CPU seconds."""

    what: str
    unit: str  # what the unit cost is of
    law: Law
    of: str  # the result
    per: float = 1.0  # units for each face
    note: str = ""


def faces_per_photo() -> float:
    """Return faces for each photo in the run of on_ray.json."""
    cost = result("on_ray")["parts"]["cost"]
    return float(cost["faces"]) / float(cost["photos"])


def small_photo_cpu(side: str) -> float:
    """Return the CPU seconds of a photo, found to committed, of a run with or without Ray."""
    cost = result("on_ray")["parts"]["cost"]
    return median(run["cpu"] for run in cost[side]) / float(cost["photos"])


def large_photo_cpu() -> float:
    """Return the CPU seconds of decoding a 12-megapixel photo and detecting, and of embedding its faces."""
    detecting = float(result("large_photos")["sides"]["ours, one thread"]["cpu_ms_per_photo"])
    embedding = result("embedding")["embedders"]["dlib"]["one thread"]["batches of index"]["cpu_ms_per_face"]
    return (detecting + median(embedding) * faces_per_photo()) / 1000


def of_catalog(*path: str, key: str = "cpu_s") -> Law:
    """Return a cost in catalog.json by the number of faces."""
    points = {}
    for row in result("catalog")["rows"]:
        value: Any = row
        for name in (*path, key):
            value = value.get(name) if isinstance(value, dict) else None
        if value:
            points[int(row["faces"])] = float(value)
    return Law(points, least=1.0 if path[0] in ("write", "cluster", "again", "bytes") else 0.0)


def of_clustering(step: str, key: str = "cpu_seconds") -> Law:
    """Return a cost in scale_large.json by the number of faces."""
    rows = result("scale_large")["rows"]
    return Law({int(r["faces"]): float(r["steps"][step][key]) for r in rows if step in r["steps"]})


def clustering_memory() -> Law:
    """Return the MiB of the search for neighbours, without the pages of the file of vectors."""
    return of_clustering("neighbours", "anonymous_mib")


def default_memory() -> Law:
    """Return the MiB of clustering with the 80 neighbours of `faceindex cluster`, from scale.json."""
    rows = result("scale")["rows"]
    return Law({int(r["faces"]): median(run["peak_mib"] for run in r["cluster"]) for r in rows})


def hnsw_build() -> Law:
    """Return the seconds of one thread that builds the HNSW index, from grow.json."""
    return Law({int(r["faces"]): float(r["ann_s"]) for r in result("grow")["rows"] if r["ann_s"] > 1})


def milvus(engine: str, key: str) -> Law:
    rows = [r for r in result("milvus")["search"] if r["engine"] == engine]
    return Law({int(r["faces"]): float(r[key]) for r in rows})


def catalog_bytes() -> Law:
    """Return the bytes of the catalog and its digests, with a clustering and names."""
    return Law(
        {
            int(row["faces"]): float(sum(row["bytes"]["files"][name] for name in ("catalog.sqlite", "catalog.digests")))
            for row in result("catalog")["rows"]
        }
    )


def stages() -> list[Stage]:
    """Return the stages of work on all faces, in their order."""
    one = 1 / faces_per_photo()

    def photos(seconds: float) -> Law:
        n = int(result("on_ray")["parts"]["cost"]["faces"])
        return Law({n: seconds * n * one})

    dlib = "128 dimensions"
    return [
        Stage("list the photos and compare them, first run", "photo", of_catalog("again", "first"), "catalog", 0.5),
        Stage("the same, nothing has changed", "photo", of_catalog("again", "next"), "catalog", 0.5),
        Stage("decode, detect, embed: 250 px", "photo", photos(small_photo_cpu("without_ray")), "on_ray", one),
        Stage("the same in actors of Ray", "photo", photos(small_photo_cpu("with_ray")), "on_ray", one),
        Stage("decode, detect, embed: 12 megapixels", "photo", photos(large_photo_cpu()), "large_photos", one,
              "detection of large_photos, embedding of embedding.json"),
        Stage("commit to the catalog", "face", of_catalog("write"), "catalog"),
        Stage("neighbour graph, 20 neighbours", "face", of_clustering("neighbours"), "scale_large", note=dlib),
        Stage("symmetric graph", "face", of_clustering("graph"), "scale_large"),
        Stage("labels: Chinese Whispers", "face", of_clustering("plain"), "scale_large"),
        Stage("labels: `album`, the default", "face", of_clustering("album"), "scale_large"),
        Stage("store the clustering", "face", of_catalog("cluster", "stored"), "catalog"),
        Stage("HNSW index, one thread", "face", hnsw_build(), "grow", note=dlib),
        Stage("Milvus Lite: write, FLAT", "face", milvus("milvus-flat", "upsert_cpu_s"), "milvus", note=dlib),
        Stage("Milvus Lite: build HNSW", "face", milvus("milvus", "build_cpu_s"), "milvus", note=dlib),
        Stage("`doctor`, the catalog", "face", of_catalog("doctor"), "catalog"),
    ]  # fmt: skip


def commands() -> list[tuple[str, Law, Law]]:
    """Return commands and calls with the CPU seconds and the bytes read of each."""
    found = [
        ("open the index for reading: every command", ("open", "reader")),
        ("open it for writing", ("open", "writer")),
        ("commit one photo", ("commit_one", "next")),
        ("read all assignments", ("read", "assignments")),
        ("`status`: the counts", ("read", "counts")),
        ("`people`: the list", ("read", "list_of_people")),
        ("identify the first photo, search included", ("identify", "first")),
        ("identify the next one", ("identify", "next")),
        ("confirm a face, the index being open", ("decide", "confirm", "next")),
        ("name a cluster", ("decide", "name_a_cluster", "next")),
        ("undo", ("decide", "undo", "next")),
        ("`find` one person", ("find", "one_person", "next")),
        ("`find` all photos without a person", ("find", "all_without_one", "next")),
        ("`forget` a person", ("forget",)),
    ]
    return [(what, of_catalog(*path), of_catalog(*path, key="read_bytes")) for what, path in found]


# Texts -----------------------------------------------------------------------------------------


def short(value: float, digits: int = 2) -> str:
    """Return a number with two or three digits that count."""
    if value >= 100:
        rounded = round(value, 2 - math.floor(math.log10(value)))
        return f"{rounded:,.0f}"
    return f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    for limit, unit, name in ((1e-3, 1e-6, "µs"), (1, 1e-3, "ms"), (300, 1, "s"), (2 * HOUR, 60, "min")):
        if seconds < limit:
            return f"{short(seconds / unit)} {name}"
    return f"{short(seconds / HOUR)} h"


def size(count: float) -> str:
    for limit, unit, name in ((1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (1e12, 1e9, "GB")):
        if count < limit:
            return f"{short(count / unit)} {name}"
    return f"{short(count / 1e12)} TB"


def power(faces: int) -> str:
    exponent = round(math.log10(faces))
    return f"10^{exponent}" if 10**exponent == faces else f"{faces / 10 ** math.floor(math.log10(faces)):g} x 10^{math.floor(math.log10(faces))}"


def mark(text: str, measured: bool) -> str:
    return f"**{text}**" if measured else text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def source(name: str) -> str:
    return f"[{name}](../benchmarks/results/{name}.json)"


def unit_costs() -> str:
    """Return the table of measured unit costs."""
    rows = []
    for stage in stages():
        largest = stage.law.largest
        unit = stage.law.at(largest) / (largest * stage.per)
        exponent = f"{stage.law.exponent:.2f}" if len(stage.law.points) > 1 else "taken as 1"
        sizes = ", ".join(f"{n:,}" for n in sorted(stage.law.points)[-2:])
        rows.append([stage.what, f"{duration(unit)} a {stage.unit}", sizes, exponent, source(stage.of)])
    return table(["stage", "CPU time", "measured at (faces)", "exponent", "result"], rows)


def totals() -> str:
    """Return the CPU time of each stage at each size."""
    rows = [
        [stage.what, *(mark(duration(stage.law.at(n)), stage.law.measured(n)) for n in SIZES)]
        for stage in stages()
    ]
    return table(["CPU time of", *map(power, SIZES)], rows)


def per_command() -> str:
    rows = []
    for what, cpu, read in commands():
        largest = cpu.largest
        rows.append(
            [
                what,
                *(mark(duration(cpu.at(n)), cpu.measured(n)) for n in (10**5, 10**6, 10**7, 10**8)),
                size(read.at(largest)),
                f"{cpu.exponent:.2f}",
            ]
        )
    last = power(max(of_catalog("open", "reader").points))
    return table(["CPU time of", "10^5", "10^6", "10^7", "10^8", f"read at {last}", "exponent"], rows)


def storage() -> str:
    """Return bytes on disk and memory at each size."""
    catalog, near, default = catalog_bytes(), clustering_memory(), default_memory()
    flat, lite = milvus("milvus-flat", "disk_mb"), milvus("milvus", "disk_mb")
    rows: list[list[str]] = [
        ["catalog and digests", *(mark(size(catalog.at(n)), catalog.measured(n)) for n in SIZES)],
        ["vectors, 128 dimensions", *(size(512 * n) for n in SIZES)],
        ["vectors, 512 dimensions", *(size(2048 * n) for n in SIZES)],
        ["Milvus Lite, FLAT", *(mark(size(1e6 * flat.at(n)), flat.measured(n)) for n in SIZES)],
        ["Milvus Lite, HNSW", *(mark(size(1e6 * lite.at(n)), lite.measured(n)) for n in SIZES)],
        ["memory: neighbour graph, 20 neighbours",
         *(mark(size(MIB * near.at(n)), near.measured(n)) for n in SIZES)],
        ["memory: `cluster`, 80 neighbours", *(mark(size(MIB * default.at(n)), default.measured(n)) for n in SIZES)],
    ]  # fmt: skip
    try:
        hnsw = of_clustering("hnsw", "file_bytes")
        loaded = of_clustering("hnsw", "load_mib")
        rows.insert(3, ["HNSW index, 128 dimensions", *(mark(size(hnsw.at(n)), hnsw.measured(n)) for n in SIZES)])
        rows.append(["memory: HNSW index", *(mark(size(MIB * loaded.at(n)), loaded.measured(n)) for n in SIZES)])
    except ValueError:
        pass
    return table(["", *map(power, SIZES)], rows)


def curves() -> str:
    """Return the simulation: costs, recall and accuracy at each number of made-up faces."""
    rows = []
    for row in result("scale_large")["rows"]:
        steps, n = row["steps"], int(row["faces"])
        near, plain, album = steps["neighbours"], steps.get("plain"), steps.get("album")
        rows.append(
            [
                f"{n:,}",
                duration(near["cpu_seconds"]),
                size(MIB * near["anonymous_mib"]),
                f"{near['recall_at_20']:.3f}",
                f"{near['similarity_lost']:.1e}",
                duration(steps["graph"]["cpu_seconds"]) if "graph" in steps else "",
                duration(plain["cpu_seconds"]) if plain else "",
                f"{plain['bcubed']['f']:.3f}" if plain else "",
                f"{album['bcubed']['f']:.3f}" if album else "not run",
            ]
        )
    head = ["faces", "neighbours, CPU", "memory", "recall@20", "similarity lost", "graph", "labels", "B-cubed F, plain",
            "B-cubed F, `album`"]  # fmt: skip
    return table(head, rows)


@dataclass(frozen=True)
class Prices:
    """What the reader puts in. The defaults are those of the example on the page: assumptions, no vendor's."""

    photos: float = 50e6
    megabytes: float = 4.0
    core_hour: float = 0.05
    cores: int = 16
    machines: int = 8
    gpu_ms: float | None = None
    gpu_hour: float = 0.0


def estimate(prices: Prices) -> list[tuple[str, str]]:
    """Return what a collection costs: name and text of each line."""
    faces = prices.photos * faces_per_photo()
    at_once = prices.cores * prices.machines
    ray = small_photo_cpu("with_ray") / small_photo_cpu("without_ray")
    small, large = prices.photos * small_photo_cpu("with_ray"), prices.photos * large_photo_cpu() * ray

    def work(seconds: float, cores: int) -> str:
        hours = seconds / HOUR
        wall = duration(seconds / cores)
        return f"{short(hours)} core-hours, {short(hours * prices.core_hour)} in money, {wall} on {cores} cores"

    graph = of_clustering("neighbours").at(faces) + of_clustering("graph").at(faces)
    labels = of_clustering("album").at(faces)
    lines = [
        ("faces", f"{short(faces)}"),
        ("decode, detect, embed: photos of 250 px", work(small, at_once)),
        ("decode, detect, embed: photos of 12 megapixels", work(large, at_once)),
        ("bytes of photos to read, once", size(prices.photos * prices.megabytes * 1e6)),
        ("bytes of vectors from the machines of Ray", size(faces * 512)),
        ("commit, one writer", work(of_catalog("write").at(faces), 1)),
        ("neighbour graph, one machine", work(graph, prices.cores)),
        ("labels, one core", work(labels, 1)),
        ("memory of the neighbour graph", size(MIB * clustering_memory().at(faces))),
        ("catalog", size(catalog_bytes().at(faces))),
        ("vectors, 128 dimensions", size(512 * faces)),
    ]
    if prices.gpu_ms is not None:
        hours = prices.photos * prices.gpu_ms / 1000 / HOUR
        lines.insert(3, ("the same on a GPU, by your unit cost",
                         f"{short(hours)} GPU-hours, {short(hours * prices.gpu_hour)} in money"))  # fmt: skip
    return lines


def example() -> str:
    prices = Prices()
    text = (
        f"Assumed: {prices.photos / 1e6:g} million photos of {prices.megabytes:g} MB, {faces_per_photo():.2f} faces each"
        f" (as in {source('on_ray')}), {prices.machines} machines of {prices.cores} cores,"
        f" {prices.core_hour:g} for a core-hour in any currency. The price is made up, and is no vendor's."
    )
    return text + "\n\n" + table(["", ""], ([name, value] for name, value in estimate(prices)))


def breaking() -> str:
    """Return what breaks first at each size."""
    opened, catalog, default, hnsw = of_catalog("open", "reader"), catalog_bytes(), default_memory(), hnsw_build()
    large, one = large_photo_cpu(), 1 / faces_per_photo()

    def row(n: int, what: str, remedy: str) -> list[str]:
        return [power(n), what, remedy]

    rows = [
        row(10**6,
            f"Extraction: {duration(n_photos(10**6, one) * large)} of one core for photos of 12 megapixels.",
            "One machine, overnight; more cores, [Ray](ray.md)."),
        row(10**7,
            f"Memory of `cluster`: {size(MIB * default.at(10**7))}, {size(MIB * clustering_memory().at(10**7))} with 20"
            f" neighbours. Then the HNSW index, {duration(hnsw.at(10**7))} of one thread. Each command reads the catalog"
            f" of {size(catalog.at(10**7))} when it starts: {duration(opened.at(10**7))}.",
            "A machine with more memory. `--search` in [Milvus](milvus.md), or exact search, instead of the HNSW index. The page and"
            " the library open the index once."),
        row(10**8,
            f"Extraction: {short(n_photos(10**8, one) * large / HOUR)} core-hours for 12 megapixels. `cluster` would take"
            f" {size(MIB * default.at(10**8))} of memory. Each command starts with {duration(opened.at(10**8))} of reading"
            f" {size(catalog.at(10**8))}; lists of all photos become Python objects.",
            "Ray for extraction. [Several indexes](#several-indexes-that-share-names), of 10^7 faces or fewer each."),
        row(10**9,
            "Ids of clusters and of people end at 10^8, and the index refuses more. All of the above, ten times.",
            "Several indexes. One index of this size is not supported."),
    ]  # fmt: skip
    return table(["faces", "what breaks first", "remedy"], rows)


def n_photos(faces: int, one: float) -> float:
    return faces * one


def hardware() -> str:
    """Return date, processor and command of each result that is used."""
    rows = []
    for name in ("catalog", "scale_large", "scale", "grow", "on_ray", "large_photos", "embedding", "milvus"):
        found = result(name)["environment"]
        command = str(found["command"]).split(" --work")[0].split(" --steps-on-disk")[0]
        rows.append([source(name), found["time"][:10], f"{found['cores']} cores, {found['cpu']}", f"`{command}`"])
    return table(["result", "date", "machine", "command"], rows)


PARTS = {
    "breaking": breaking,
    "units": unit_costs,
    "totals": totals,
    "commands": per_command,
    "storage": storage,
    "curves": curves,
    "example": example,
    "hardware": hardware,
}


def rewritten(page: str) -> str:
    """Return the page with all generated parts as the results have them now."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}: begin, by benchmarks/scale_paper.py -->", f"<!-- {name}: end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(page):
            raise SystemExit(f"{PAGE.name} has no part {name}.")
        text = f"{begin}\n{make()}\n{end}"
        page = pattern.sub(lambda _, text=text: text, page)  # type: ignore[misc]
    return page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=float, help="print the costs of so many photos, and write nothing")
    parser.add_argument("--megabytes", type=float, default=Prices.megabytes, help="of a photo")
    parser.add_argument("--core-hour", type=float, default=Prices.core_hour, help="price")
    parser.add_argument("--cores", type=int, default=Prices.cores, help="of a machine")
    parser.add_argument("--machines", type=int, default=Prices.machines)
    parser.add_argument("--gpu-ms", type=float, help="your milliseconds of a GPU for a photo")
    parser.add_argument("--gpu-hour", type=float, default=0.0, help="price")
    options = parser.parse_args()
    if options.photos is None:
        PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {PAGE.name}")
        return
    for name, value in estimate(Prices(**vars(options))):
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
