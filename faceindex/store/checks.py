"""All damage in a catalog, listed at once for `doctor`.

The loaders raise `IndexCorrupt` at the first wrong value that they read. `find_damage` reads everything, and
names what is wrong in each table, with the statement that repairs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from faceindex.errors import FaceIndexError, IndexCorrupt
from faceindex.store.checked_json import Malformed, list_of, mapping, moment, parse
from faceindex.store.column_checks import check_columns, check_references, check_texts
from faceindex.store.decisions import DecisionTables
from faceindex.store.findings import Finding, count_rows
from faceindex.store.journal import newest_runs
from faceindex.store.migrations import WITH_DECISIONS, WITH_PICTURES
from faceindex.store.records import HnswParams
from faceindex.store.sqlite import corrupt

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog

__all__ = ["explain_failure", "find_damage"]

# The photo is read again: `index` finds another size, time, content and picture than the stored ones.
_READ_AGAIN = (
    "UPDATE images SET size = 0, mtime_ns = 0, content_hash = NULL{picture},"
    " faces = (SELECT count(*) FROM faces f WHERE f.image_id = images.id) WHERE {where}"
)

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

_BATCH = 65_536  # faces whose positions are in memory at a time


def find_damage(catalog: Catalog) -> list[Finding]:
    """List everything in a catalog that its loaders refuse, at one moment.

    Parameters
    ----------
    catalog : Catalog
        Its files are read, never changed. The vectors are not read.

    Returns
    -------
    list of Finding
        In the order in which the repairs must run; empty for a sound catalog. What a repair deletes may
        be named elsewhere: run it all again until nothing is found.

    Notes
    -----
    The file itself may be damaged, too: SQLite's ``integrity_check`` finds that.
    """
    findings: list[Finding] = []
    with catalog.snapshot():
        tables = {name for (name,) in catalog.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for check in (
            _meta,
            check_columns,
            check_texts,
            check_references,
            _positions,
            _counts,
            _documents,
            _chains,
        ):
            try:
                findings += check(catalog, tables)
            except IndexCorrupt as error:  # noqa: PERF203 - the file itself is damaged
                findings.append(Finding("catalog", error.problem, 1, None))
    return findings


def explain_failure(catalog: Catalog, error: BaseException) -> None:
    """Raise `IndexCorrupt` for an error that nobody raised on purpose, if the catalog is damaged.

    The loaders check what they read. This covers damage that only several values together show.
    """
    if isinstance(error, FaceIndexError) or not isinstance(error, _FAILURES):
        return
    try:
        found = find_damage(catalog)
    except Exception:  # `error` itself is worth more
        return
    if found:
        raise corrupt(catalog.path, found[0].what) from error


def _meta(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Single values: models, parameters, counters."""
    from faceindex.store import scans
    from faceindex.store.erasing import pending_contents

    erasing = (
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('forgetting', '{\"contents\":[],\"files\":1}')"
    )
    default = json.dumps({name: getattr(HnswParams(), name) for name in HnswParams.__slots__})
    reads: tuple[tuple[Callable[[], object], str | None], ...] = (
        (catalog.pins, None),
        (catalog.hnsw, f"INSERT OR REPLACE INTO meta (key, value) VALUES ('hnsw', '{default}')"),
        (lambda: catalog.rows, None),
        (lambda: catalog.vectors_name, None),
        (lambda: catalog.generation, "DELETE FROM meta WHERE key = 'generation'"),
        (catalog.transfer, "DELETE FROM meta WHERE key = 'transfer'"),
        (catalog.search, "DELETE FROM meta WHERE key = 'search'"),
        (lambda: catalog.searched(""), "DELETE FROM meta WHERE key = 'searched'"),
        (lambda: catalog.search_erasing, "UPDATE meta SET value = '1' WHERE key = 'search_erasing'"),
        (lambda: pending_contents(catalog), erasing),
        (
            lambda: scans.load_scan(catalog, "", None),
            "DELETE FROM meta WHERE key IN ('seen', 'seen_at')",
        ),
    )
    for read, repair in reads:
        try:
            read()
        except IndexCorrupt as error:  # noqa: PERF203 - a few rounds
            yield Finding("meta", _reason(error), 1, repair)
    ((last,),) = catalog.query("SELECT coalesce(max(id), -1) FROM clusters")
    last = last if isinstance(last, int) else -1
    try:
        following = DecisionTables(catalog).next_cluster_id()
        problem = None if following > last else "its 'next_cluster_id' is the id of a cluster"
    except IndexCorrupt as error:
        problem = _reason(error)
    if problem is not None:
        yield Finding(
            "meta",
            problem,
            1,
            f"INSERT OR REPLACE INTO meta (key, value) VALUES ('next_cluster_id', '{last + 1}')",
        )


def _positions(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Rows of vectors out of range, and positions on photos that are not numbers."""
    import numpy as np

    from faceindex.store.faces import geometry_problem, unpack_geometry

    try:
        committed = catalog.rows
    except IndexCorrupt:
        return  # `_meta` lists it
    where = f"typeof(vector_row) = 'integer' AND vector_row >= {committed}"
    for table in ("faces", "away_faces"):
        if table not in tables:
            continue
        if rows := count_rows(catalog, table, where):
            what = f"the column vector_row of {table} names rows from {committed:,} on, which do not exist"
            yield Finding(table, what, rows, f"DELETE FROM {table} WHERE {where}")
        bad: dict[str, list[int]] = {}
        last = -(2**63)
        while True:
            found = catalog.query(
                f"SELECT id, geometry FROM {table} WHERE id > ? AND typeof(geometry) = 'blob'"
                " AND length(geometry) IN (68, 76) ORDER BY id LIMIT ?",
                (last, _BATCH),
            )
            if not found:
                break
            last = found[-1][0]
            geometry = unpack_geometry([content for _, content in found])
            if problem := geometry_problem(geometry):
                what, wrong = problem
                bad.setdefault(what, []).extend(found[i][0] for i in np.flatnonzero(wrong).tolist())
        for what, ids in bad.items():
            listed = ", ".join(map(str, ids))
            yield Finding(
                table,
                f"{table} have {what} that no detector returns",
                len(ids),
                f"DELETE FROM {table} WHERE id IN ({listed})",
            )


def _counts(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Photos with another number of faces than they state: they are read again."""
    where = "faces <> (SELECT count(*) FROM faces f WHERE f.image_id = images.id)"
    if rows := count_rows(catalog, "images", where):
        picture = ", picture = NULL" if catalog.format_version >= WITH_PICTURES else ""
        yield Finding(
            "images",
            "photos state another number of faces than they have",
            rows,
            _READ_AGAIN.format(picture=picture, where=where),
        )


def _documents(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """JSON and times."""
    for row, created, params in catalog.query(
        "SELECT id, CAST(created AS BLOB), CAST(params AS BLOB) FROM clusterings"
    ):
        if not _passes(lambda text: moment(text, ""), created):
            repair = f"UPDATE clusterings SET created = '1970-01-01T00:00:00+00:00' WHERE id = {int(row)}"
            yield Finding("clusterings", "the time of a clustering is not a time", 1, repair)
        if not _passes(lambda text: parse(text, "", mapping()), params):
            repair = f"UPDATE clusterings SET params = '{{}}' WHERE id = {int(row)}"
            yield Finding("clusterings", "the parameters of a clustering are no JSON object", 1, repair)
    try:
        newest_runs(catalog, -1)
    except IndexCorrupt as error:
        yield Finding("journal", _reason(error), 1, "DELETE FROM journal")
    if catalog.format_version < WITH_DECISIONS:
        return
    decisions = DecisionTables(catalog)
    for row, at, actions in catalog.query(
        "SELECT id, CAST(at AS BLOB), CAST(actions AS BLOB) FROM decisions"
    ):
        if not _passes(lambda text: moment(text, ""), at):
            repair = f"UPDATE decisions SET at = '1970-01-01T00:00:00+00:00' WHERE id = {int(row)}"
            yield Finding("decisions", f"the time of decision {row} is not a time", 1, repair)
        if not _passes(lambda text: parse(text, "", list_of(mapping())), actions):
            yield Finding("decisions", f"the actions of decision {row} are no list of JSON objects", 1, None)
        try:
            decisions.changes(row)
        except IndexCorrupt:
            yield Finding(
                "decisions",
                f"the changes of decision {row} cannot be read, so that it cannot be undone",
                1,
                f"UPDATE decisions SET changes = '[]' WHERE id = {int(row)}",
            )


def _passes(check: Callable[[str], object], content: object) -> bool:
    try:
        check(content.decode() if isinstance(content, bytes) else "")
    except (Malformed, UnicodeDecodeError):
        return False
    return True


def _chains(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """People that were merged into themselves over some steps, and decisions undone by earlier ones."""
    if catalog.format_version < WITH_DECISIONS:
        return
    into = dict(catalog.query("SELECT id, into_id FROM people WHERE into_id IS NOT NULL"))
    circles = [person for person in into if _returns(person, into)]
    if circles:
        where = f"id IN ({', '.join(str(int(person)) for person in circles)})"
        repair = f"UPDATE people SET into_id = NULL WHERE {where}"
        yield Finding("people", "people are merged into each other in a circle", len(circles), repair)
    where = "undone_by IS NOT NULL AND undone_by <= id"
    if rows := count_rows(catalog, "decisions", where):
        repair = f"UPDATE decisions SET undone_by = NULL WHERE {where}"
        yield Finding("decisions", "decisions are undone by earlier ones", rows, repair)
    where = "a >= b"
    if rows := count_rows(catalog, "links", where):
        yield Finding(
            "links", "links do not name the lower mark first", rows, f"DELETE FROM links WHERE {where}"
        )


def _returns(person: int, into: dict[int, int]) -> bool:
    """Whether a chain of merges leads from a person to itself."""
    now = person
    for _ in range(len(into)):
        if now not in into:
            return False
        now = into[now]
        if now == person:
            return True
    return False


def _reason(error: IndexCorrupt) -> str:
    """Return what a loader says of a value, without the name of the file."""
    return str(error.__cause__ or error.problem).rstrip(os.linesep)
