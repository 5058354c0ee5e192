"""Everything wrong in an index directory, found without changing it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex.documents import Result
from faceindex.errors import IndexCorrupt, IndexNotFound, IndexVersionError, StoreError
from faceindex.locks import find_holder
from faceindex.scratch import find_leftovers
from faceindex.store import migrations
from faceindex.store.catalog import Catalog
from faceindex.store.checks import find_damage
from faceindex.store.directory import (
    CATALOG,
    DIGESTS,
    LOCK,
    PARTS,
    THUMBNAILS,
    check_catalog_files,
    hnsw_name,
    is_index,
    is_numbered,
    next_vectors_name,
    part_name,
)
from faceindex.store.exact import top_k
from faceindex.store.faces import face_rows
from faceindex.store.hnsw import HnswIndex
from faceindex.store.mending import Damage, find_damaged_rows
from faceindex.store.pages import damaged_pages, read_digests
from faceindex.store.salvage import rows_in_doubt
from faceindex.store.sqlite import Error, connect_unchecked
from faceindex.store.thumbnail_file import check_thumbnails

__all__ = ["LEAST_RECALL", "NEIGHBOURS", "QUERIES", "Checkup", "Problem", "check_index"]

LEAST_RECALL = 0.95
"""Recall of 20 neighbours below which the HNSW index is built again.

It is 0.997 for 100,000 faces (benchmarks/search.py, results/search-128d.json) and 0.968 with a third of the
candidates (`records.HnswParams`); a sample of 100 queries, 2,000 neighbours, is off by less than 0.01.
"""

QUERIES, NEIGHBOURS = 100, 20
"""Faces of the sample, and their neighbours, that are searched to measure recall."""

_ATTEMPTS, _PAUSE = 5, 0.2  # seconds; while another process writes
_MOST = 20  # faults that SQLite lists


@dataclass(frozen=True, slots=True)
class Problem(Result):
    """Something wrong with an index.

    Attributes
    ----------
    file : str
        Name of the file.
    kind : str
        ``pages``, ``structure``, ``log``, ``values``, ``digests``, ``vectors``, ``hnsw``, ``thumbnails``,
        ``unused`` or ``search``.
    what : str
        One sentence.
    repairable : bool
        Whether a repair removes it without losing what the user decided.
    """

    file: str
    kind: str
    what: str
    repairable: bool = True


@dataclass(frozen=True, slots=True)
class Checkup:
    """What is wrong with an index, and what could be measured.

    Attributes
    ----------
    problems : list of Problem
    vectors : Damage or None
        None if the catalog does not say what the vector file contains.
    recall : float or None
        Share of the 20 nearest faces that the HNSW index finds; None without one.
    rows : int or None
        Rows of the vector file.
    """

    problems: list[Problem]
    vectors: Damage | None
    recall: float | None
    rows: int | None


def check_index(directory: Path) -> Checkup:
    """Check all files of an index. Nothing is changed, but for the files of SQLite's log.

    Raises
    ------
    IndexNotFound
        If there is none.
    IndexVersionError
        If a newer faceindex wrote it.
    StoreError
        If its files cannot be read.
    """
    path = directory / CATALOG
    if not is_index(directory):
        raise IndexNotFound(
            f"There is no index in {directory}.", "Create one with `faceindex index PATH...`."
        )
    if not path.is_file():
        problem = Problem(CATALOG, "structure", f"{path} is missing.", repairable=False)
        return Checkup([problem], None, None, None)
    check_catalog_files(path, write=False)
    for _ in range(_ATTEMPTS):
        written = _is_written(directory)
        found = _check_index(directory, path)
        if not found.problems or not (written or _is_written(directory)):
            break
        time.sleep(_PAUSE)  # what a writer is about to do may look like damage
    return found


def _is_written(directory: Path) -> bool:
    """Whether another process is writing to the index."""
    with contextlib.suppress(OSError):
        return find_holder(directory / LOCK) is not None
    return False


def _check_index(directory: Path, path: Path) -> Checkup:
    problems = list(_check_file(path))
    vectors, recall, rows = None, None, None
    try:
        with closing(Catalog(path, connect_unchecked(path))) as catalog, catalog.snapshot():
            if catalog.format_version > migrations.format_version():
                raise IndexVersionError(
                    f"The index in {directory} has format {catalog.format_version}; this faceindex reads "
                    f"formats up to {migrations.format_version()}.",
                    "Upgrade faceindex: `pip install --upgrade faceindex`.",
                )
            problems += _check_values(catalog)
            rows = catalog.rows
            vectors = find_damaged_rows(catalog, directory)
            if vectors.problem is not None:
                problems.append(Problem(vectors.file.path.name, "vectors", vectors.problem))
            found, recall = _check_hnsw(catalog, directory, vectors)
            problems += found
            vectors.file.close()
            if what := check_thumbnails(directory, catalog.index_id):
                problems.append(Problem(THUMBNAILS, "thumbnails", what))
            if not _is_written(directory):  # else, a file that is not in use yet
                problems += _unused_files(catalog, directory)
    except IndexVersionError:
        raise
    except (IndexCorrupt, Error, LookupError, ValueError, TypeError, OverflowError) as error:
        problems.append(Problem(CATALOG, "values", str(getattr(error, "problem", error))))
    return Checkup(problems, vectors, recall, rows)


def _check_file(path: Path) -> Iterator[Problem]:
    """Digests of pages, structure, and the last commit."""
    commit = 0
    try:
        digests = read_digests(path)
        if digests is not None:
            commit = digests.commit
            if pages := damaged_pages(path, digests):
                what = _describe(path, pages)
                yield Problem(CATALOG, "pages", what)
        elif _format_of(path) >= migrations.WITH_DIGESTS:
            yield Problem(DIGESTS, "digests", f"{path.with_name(DIGESTS)} is missing.")
    except IndexCorrupt as error:
        yield Problem(DIGESTS, "digests", error.problem)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}.", "Check the disk and the permissions."
        ) from error
    try:
        with closing(connect_unchecked(path)) as database:
            found = database.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
            for (fault,) in found if found != [("ok",)] else ():
                for line in str(fault).splitlines()[:_MOST]:
                    yield Problem(CATALOG, "structure", f"{path} is damaged: {line}.")
        if commit:
            with closing(Catalog(path, connect_unchecked(path))) as catalog:
                if catalog.generation < commit:
                    what = f"{path} and its log have only {catalog.generation:,} of {commit:,} commits."
                    yield Problem(CATALOG, "log", what)
    except (IndexCorrupt, Error) as error:
        yield Problem(CATALOG, "structure", f"{path} is damaged: {getattr(error, 'problem', error)}.")


def _format_of(path: Path) -> int:
    with contextlib.suppress(Error), closing(connect_unchecked(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])
    return 0


def _describe(path: Path, pages: list[int]) -> str:
    doubt = rows_in_doubt(path)
    where = ", ".join(
        f"{table} ({len(ids):,} rows)" if ids else table for table, ids in sorted(doubt.items())
    )
    number = f"page {pages[0]}" if len(pages) == 1 else f"{len(pages):,} pages"
    return f"{path} is damaged in {number}: {where or 'unused space, or a part of a long text'}."


def _check_values(catalog: Catalog) -> Iterator[Problem]:
    try:
        findings = find_damage(catalog)
    except (Error, LookupError, ValueError, TypeError, OverflowError) as error:  # of pages that are no pages
        yield Problem(CATALOG, "values", f"{catalog.path} cannot be read: {error}.")
        return
    for finding in findings:
        rows = f" ({finding.rows:,} rows)" if finding.rows > 1 else ""
        yield Problem(CATALOG, "values", f"{catalog.path}: {finding.what}{rows}.", finding.repair is not None)


def _check_hnsw(catalog: Catalog, directory: Path, damage: Damage) -> tuple[list[Problem], float | None]:
    """Whether the HNSW index can be read and finds what exact search finds, and its recall."""
    name = hnsw_name(catalog.vectors_name)
    path, rows = directory / name, catalog.rows
    if not path.exists():
        return [], None
    if damage.problem is not None:
        return [], None  # it is built again with the vectors
    vectors = damage.file.read(rows)
    hnsw = HnswIndex.load(path, vectors, catalog.hnsw(), catalog.index_id, keep=True)
    if hnsw is None:
        return [Problem(name, "hnsw", f"{path} is damaged, or was built from other vectors.")], None
    faces, row_of_face = face_rows(catalog)
    alive = np.zeros(rows, np.bool_)
    alive[row_of_face] = True
    members = hnsw.rows
    missing = int(alive[: hnsw.covered].sum() - alive[members].sum())
    problems = []
    if missing:
        problems.append(Problem(name, "hnsw", f"{path} lacks {missing:,} of the rows that it covers."))
    k = min(NEIGHBOURS, int(alive[members].sum()))
    if k == 0:
        return problems, None
    sample = np.random.default_rng(0).choice(row_of_face, min(QUERIES, len(faces)), replace=False)
    queries = np.ascontiguousarray(vectors[np.sort(sample)])
    near = hnsw.search(queries, k, alive)
    exact, _ = top_k(queries, vectors[: hnsw.covered], k, alive[: hnsw.covered])
    if near is None:
        return [*problems, Problem(name, "hnsw", f"{path} does not find {k} neighbours.")], 0.0
    recall = float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(near[0], exact, strict=True)]))
    if recall < LEAST_RECALL:
        what = f"{path} finds only {recall:.1%} of the {k} nearest faces; it should find {LEAST_RECALL:.0%}."
        problems.append(Problem(name, "hnsw", what))
    return problems, recall


def _unused_files(catalog: Catalog, directory: Path) -> Iterator[Problem]:
    name = catalog.vectors_name
    used = {name, hnsw_name(name)}
    if catalog.transfer() is not None:
        used.add(part_name(next_vectors_name(name)))
    for path in sorted(directory.iterdir()):
        if is_numbered(path.name) and path.name not in used:
            yield Problem(path.name, "unused", f"{path} is not used by the index.")
    for path in find_leftovers(directory, PARTS):
        what = f"{path} has vectors of faces that a killed run of `cluster` left."
        yield Problem(path.name, "unused", what)
