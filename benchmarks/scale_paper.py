"""Compute what 10^6 to 10^9 faces cost from measured unit costs, and write the tables of docs/scale.md.

    python benchmarks/scale_paper.py                       # rewrite the tables between the markers
    python benchmarks/scale_paper.py --photos 50e6 --megabytes 4 --core-hour 0.05 --cores 16 --machines 8
    python benchmarks/scale_paper.py --photos 50e6 --gpu-ms 2.5 --gpu-hour 1.5

Every figure comes from results/*.json. A cost that was measured at several sizes follows a power law through
the two largest of them, ``cost(n) = cost(m) (n / m)^e`` with ``e`` at least 1, because nothing that reads
every face grows more slowly; one that was measured at one size grows in proportion (e = 1). A cost of one
command grows with its measured exponent. Prices and the sizes of photos are parameters; the example on the
page states its own.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scale_costs import (
    Law,
    catalog_bytes,
    clustering_memory,
    commands,
    default_memory,
    faces_per_photo,
    hnsw_build,
    large_photo_cpu,
    memory_in_parts,
    milvus,
    of_catalog,
    of_clustering,
    result,
    small_photo_cpu,
    stages,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
SIZES = (10**6, 10**7, 10**8, 10**9)
HOUR, MIB = 3600, 2**20


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
    return (
        f"10^{exponent}"
        if 10**exponent == faces
        else f"{faces / 10 ** math.floor(math.log10(faces)):g} x 10^{math.floor(math.log10(faces))}"
    )


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
    rows.append(["detect and embed on a GPU", *["not measured"] * len(SIZES)])
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

    def row(what: str, law: Law, unit: float = 1.0) -> list[str]:
        return [what, *(mark(size(unit * law.at(n)), law.measured(n)) for n in SIZES)]

    rows = [
        row("catalog and digests", catalog_bytes()),
        ["vectors, 128 dimensions", *(size(512 * n) for n in SIZES)],
        ["vectors, 512 dimensions", *(size(2048 * n) for n in SIZES)],
        row("HNSW index, 128 dimensions", of_clustering("hnsw", "file_bytes")),
        row("Milvus Lite, FLAT", milvus("milvus-flat", "disk_mb"), 1e6),
        row("Milvus Lite, HNSW", milvus("milvus", "disk_mb"), 1e6),
        row("memory: `index` of unchanged photos", of_catalog("again", key="peak_mib"), MIB),
        row("memory: list of people, `find` without a person", of_catalog("read", key="peak_mib"), MIB),
        row("memory: neighbour graph, 20 neighbours", clustering_memory(), MIB),
        row("memory: `cluster`, 80 neighbours", default_memory(), MIB),
        row("memory: `cluster --part-size`, this process, mapped files included", memory_in_parts(), MIB),
    ]
    return table(["", *map(power, SIZES)], rows)


def curves(name: str = "scale_large") -> str:
    """Return the simulation: costs, recall and accuracy at each number of made-up faces."""
    rows = []
    found = result(name)["rows"]
    has_people = "same_person_recall" in found[0]["steps"]["neighbours"]
    for row in found:
        steps, n = row["steps"], int(row["faces"])
        near, plain, album = steps["neighbours"], steps.get("plain"), steps.get("album")
        rows.append(
            [
                f"{n:,}",
                duration(near["cpu_seconds"]),
                size(MIB * near["anonymous_mib"]),
                f"{near['recall_at_20']:.3f}",
                *([f"{near['same_person_recall']:.4f}"] if has_people else []),
                f"{near['similarity_lost']:.1e}",
                duration(steps["graph"]["cpu_seconds"]) if "graph" in steps else "",
                duration(plain["cpu_seconds"]) if plain else "",
                f"{plain['bcubed']['f']:.3f}" if plain else "",
                f"{album['bcubed']['f']:.3f}" if album else "not run",
            ]
        )
    scores = ["B-cubed F, plain", "B-cubed F, `album`"]
    recall = ["recall@20", *(["of the person's own"] if has_people else [])]
    head = ["faces", "neighbours, CPU", "memory", *recall, "similarity lost", "graph", "labels", *scores]
    return table(head, rows)


@dataclass(frozen=True)
class Prices:
    """What the reader puts in. The defaults are those of the example: assumptions, and no vendor's."""

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
        hours, where = seconds / HOUR, "one core" if cores == 1 else f"{cores} cores, at best"
        wall = duration(seconds / cores)
        return f"{short(hours)} core-hours, {short(hours * prices.core_hour)} in money, {wall} on {where}"

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
        f"Assumed: {prices.photos / 1e6:g} million photos of {prices.megabytes:g} MB with"
        f" {faces_per_photo():.2f} faces each (as in {source('on_ray')}), {prices.machines} machines of"
        f" {prices.cores} cores, and {prices.core_hour:g} for a core-hour, in any currency. The price is made"
        " up, and is no vendor's."
    )
    return text + "\n\n" + table(["", ""], ([name, value] for name, value in estimate(prices)))


def writer() -> str:
    """Return how many cores one writer can keep busy, and what an object store and Ray add."""
    commit = of_catalog("write").at(10**6) / 10**6 * faces_per_photo()
    small, large = small_photo_cpu("with_ray") / commit, large_photo_cpu() / commit
    remote = result("remote")["cpu_over_folder"]["store"]
    ray = result("cluster_on_ray")
    most = max(ray["sizes"], key=lambda row: row["faces"])
    return (
        f"One writer commits what {short(small)} cores recognise of photos of 250 px, or {short(large)} cores"
        f" of photos of 12 megapixels. Photos of 250 px in an object store take {remote:.2f} times the CPU"
        f" time of those in a folder ({source('remote')}). For"
        f" {most['faces']:,} faces, `cluster --on ray` with"
        f" {ray['actors']} actors took {median(most['cpu_ratio']):.2f} times the CPU time of `cluster`, with"
        f" the start of Ray, and made the same clusters ({source('cluster_on_ray')})."
    )


def falling() -> str:
    """Return how B-cubed F of plain Chinese Whispers falls from a million faces to the most."""
    steps = {int(r["faces"]): r["steps"] for r in result("scale_large")["rows"] if "plain" in r["steps"]}
    most, step = max(steps), "album" if "album" in steps[max(steps)] else "plain"
    few, many = (steps[n][step]["bcubed"]["f"] for n in (10**6, most))
    return (
        f" B-cubed F of made-up faces falls from {few:.3f} at {power(10**6)} to {many:.3f} at {power(most)}"
        f" ([the simulation](#the-simulation))."
    )


IN_PARTS = "[`cluster --part-size N`](clustering.md#more-faces-than-memory), with or without Ray"


def breaking() -> str:
    """Return what breaks first at each size."""
    opened, catalog, hnsw = of_catalog("open", "reader"), catalog_bytes(), hnsw_build()
    listing, album = of_catalog("read", "list_of_people"), of_clustering("album")
    default, fewer, photo = default_memory(), clustering_memory(), large_photo_cpu() / faces_per_photo()

    def memory(law: Law, n: int) -> str:
        return size(MIB * law.at(n))

    million, ten, hundred, _ = SIZES
    rows = [
        [
            f"Extraction: {duration(million * photo)} of one core for photos of 12 megapixels.",
            "One machine; more cores, with [Ray](ray.md).",
        ],
        [
            f"The memory of `cluster`: {memory(default, ten)}. With 20 neighbours, {memory(fewer, ten)} would"
            f" do. Then the HNSW index: {duration(hnsw.at(ten))} of one thread. Each command reads the"
            f" catalog when it starts, {size(catalog.at(ten))}: {duration(opened.at(ten))}." + falling(),
            f"{IN_PARTS}, or a machine with more memory. Exact search or [Milvus](milvus.md) instead of the"
            " HNSW index. The page, or a program that keeps the index open. Smaller indexes for accuracy.",
        ],
        [
            f"Extraction: {short(hundred * photo / HOUR)} core-hours for photos of 12 megapixels. `cluster`"
            f" would take {memory(default, hundred)} of memory, and {duration(album.at(hundred))} for labels"
            f" by `album`. Each command starts with {duration(opened.at(hundred))} of reading"
            f" {size(catalog.at(hundred))}; the list of people takes {duration(listing.at(hundred))}.",
            f"Ray for extraction. {IN_PARTS}, which bounds memory and the labels of each part. [Several"
            " indexes](#several-indexes-that-share-names) of ten million faces or fewer for the rest.",
        ],
        [
            "Ids of clusters and of people end at 10^8: one index of this size is not supported.",
            "Several indexes.",
        ],
    ]
    return table(
        ["faces", "what breaks first", "remedy"],
        ([power(n), *row] for n, row in zip(SIZES, rows, strict=True)),
    )


def shared() -> str:
    """Return what came of two indexes that share their people."""
    found = result("several_indexes")
    after, before = found["with"], found["without"]
    return (
        f"Tried with {found['people']} people ({source('several_indexes')}): without the known photos,"
        f" {before['right']} of {before['photos']} photos in B were found by the right name; with"
        f" {found['known']} of each person, {after['right']}, and {after['wrong']} by a wrong name."
    )


def hardware() -> str:
    """Return date, processor and command of each result that is used."""
    rows = []
    for name in (
        *("catalog", "scale_large", "scale_large_mobilefacenet", "scale", "grow"),
        *("on_ray", "cluster_on_ray", "parts", "large_photos", "embedding", "milvus"),
    ):
        found = result(name)["environment"]
        command = str(found["command"]).split(" --work")[0].split(" --steps-on-disk")[0]
        rows.append(
            [source(name), found["time"][:10], f"{found['cores']} cores, {found['cpu']}", f"`{command}`"]
        )
    return table(["result", "date", "machine", "command"], rows)


PARTS = {
    "breaking": breaking,
    "writer": writer,
    "units": unit_costs,
    "totals": totals,
    "commands": per_command,
    "storage": storage,
    "curves": curves,
    "default curves": lambda: curves("scale_large_mobilefacenet"),
    "example": example,
    "shared": shared,
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
