"""Measured unit costs of all stages, from results/*.json, and the laws by which they grow."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
SMALL, LARGE = "decode, detect, embed: 250 px", "decode, detect, embed: 12 megapixels"


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
        return float(self.points[base] * (faces / base) ** self.exponent)

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


def faces_per_photo() -> float:
    """Return faces for each photo in the run of on_ray.json."""
    cost = result("on_ray")["parts"]["cost"]
    return float(cost["faces"]) / float(cost["photos"])


def small_photo_cpu(side: str) -> float:
    """Return the CPU seconds of a photo, found to committed, of a run with or without Ray."""
    cost = result("on_ray")["parts"]["cost"]
    return float(median(run["cpu"] for run in cost[side])) / float(cost["photos"])


def large_photo_cpu() -> float:
    """Return the CPU seconds of decoding a 12-megapixel photo and detecting, and of embedding its faces."""
    detecting = float(result("large_photos")["sides"]["ours, one thread"]["cpu_ms_per_photo"])
    embedding = result("embedding")["embedders"]["dlib"]["one thread"]["batches of index"]["cpu_ms_per_face"]
    return (detecting + float(median(embedding)) * faces_per_photo()) / 1000


def of_catalog(*path: str, key: str = "cpu_s", reads_all: bool = True) -> Law:
    """Return a cost in catalog.json by the number of faces; `reads_all` if it is of every face or photo."""
    points = {}
    for row in result("catalog")["rows"]:
        value: Any = row
        for name in (*path, key):
            value = value.get(name) if isinstance(value, dict) else None
        if value:
            points[int(row["faces"])] = float(value)
    return Law(points, least=1.0 if reads_all else 0.0)


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


def memory_in_parts() -> Law:
    """Return the MiB of this process while it clusters in parts, beside those before, from parts.json.

    They contain the pages of files that are mapped.
    """
    points = {}
    for name, runs in result("parts")["albums"].items():
        if name.endswith("made-up faces"):
            mib = runs["n/30"]["peak_mib"]
            points[int(name.split()[0].replace(",", ""))] = mib["driver"] - mib["before"]
    return Law(points)


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
            int(row["faces"]): float(
                sum(row["bytes"]["files"][name] for name in ("catalog.sqlite", "catalog.digests"))
            )
            for row in result("catalog")["rows"]
        }
    )


def stages() -> list[Stage]:
    """Return the stages of work on all faces, in their order."""
    one = 1 / faces_per_photo()
    few, some = (
        float(found["photos"]) for found in (result("large_photos"), result("on_ray")["parts"]["cost"])
    )

    def photos(number: float, seconds: float) -> Law:
        return Law({round(number / one): seconds * number})

    again, clustering = partial(of_catalog, "again"), of_clustering
    return [
        Stage("list and compare the photos, first run", "photo", again("first"), "catalog", 0.5),
        Stage("the same, nothing has changed", "photo", again("next"), "catalog", 0.5),
        Stage(SMALL, "photo", photos(some, small_photo_cpu("without_ray")), "on_ray", one),
        Stage("the same in actors of Ray", "photo", photos(some, small_photo_cpu("with_ray")), "on_ray", one),
        Stage(LARGE, "photo", photos(few, large_photo_cpu()), "large_photos", one),
        Stage("commit to the catalog", "face", of_catalog("write"), "catalog"),
        Stage("neighbour graph, 20 neighbours", "face", clustering("neighbours"), "scale_large"),
        Stage("symmetric graph", "face", clustering("graph"), "scale_large"),
        Stage("labels: Chinese Whispers", "face", clustering("plain"), "scale_large"),
        Stage("labels: `album`, the default", "face", clustering("album"), "scale_large"),
        Stage("store the clustering", "face", of_catalog("cluster", "stored"), "catalog"),
        Stage("HNSW index, one thread", "face", hnsw_build(), "grow"),
        Stage("Milvus Lite: write, FLAT", "face", milvus("milvus-flat", "upsert_cpu_s"), "milvus"),
        Stage("Milvus Lite: build HNSW", "face", milvus("milvus", "build_cpu_s"), "milvus"),
        Stage("`doctor`, the catalog", "face", of_catalog("doctor"), "catalog"),
    ]


def commands() -> list[tuple[str, Law, Law]]:
    """Return commands and calls with the CPU seconds and the bytes read of each."""
    whole = [
        ("open the index for reading: every command", ("open", "reader")),
        ("open it for writing", ("open", "writer")),
        ("open it, commit one photo, close it", ("commit_one", "next")),
        ("read all assignments", ("read", "assignments")),
        ("`status`: the counts", ("read", "counts")),
        ("`people`: the list", ("read", "list_of_people")),
        ("identify the first photo (8 dimensions, exact)", ("identify", "first")),
        ("`find` all photos without a person", ("find", "all_without_one", "next")),
        ("`forget` a person", ("forget",)),
    ]
    parts = [
        ("identify the next one", ("identify", "next")),
        ("confirm a face", ("decide", "confirm", "next")),
        ("name a cluster", ("decide", "name_a_cluster", "next")),
        ("undo", ("decide", "undo", "next")),
        ("`find` one person", ("find", "one_person", "next")),
    ]
    return [
        (what, of_catalog(*path, reads_all=every), of_catalog(*path, key="read_bytes", reads_all=every))
        for every, found in ((True, whole), (False, parts))
        for what, path in found
    ]
