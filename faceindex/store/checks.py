"""All damage in a catalog, listed at once for `doctor`.

The loaders raise `IndexCorrupt` at the first wrong value that they read. `find_damage` reads everything, and
names what is wrong in each table, with the statement that repairs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.errors import FaceIndexError, IndexCorrupt
from faceindex.store.checked_json import Malformed, list_of, mapping, moment, parse
from faceindex.store.decisions import DecisionTables
from faceindex.store.journal import newest_runs
from faceindex.store.migrations import WITH_DECISIONS, WITH_PICTURES, WITH_PREVIOUS_CLUSTERING
from faceindex.store.records import HnswParams, Status
from faceindex.store.sqlite import corrupt

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog

__all__ = ["Finding", "explain_failure", "find_damage"]

_INTEGER = "typeof({0}) <> 'integer'"
_NATURAL = "typeof({0}) <> 'integer' OR {0} < 0"
_FLAG = "typeof({0}) <> 'integer' OR {0} NOT IN (0, 1)"
_TEXT = "typeof({0}) <> 'text'"
_BLOB = "typeof({0}) <> 'blob'"
_PATH = "typeof({0}) <> 'blob' OR length({0}) = 0 OR instr({0}, x'00')"
_INSIDE = (
    f"{_PATH} OR substr({{0}}, 1, 1) = x'2f'"
    " OR instr(CAST('/' || {0} || '/' AS BLOB), CAST('/../' AS BLOB))"
)
_SIMILARITY = "typeof({0}) NOT IN ('real', 'integer') OR abs({0}) > 1.01"
_STATUS = "{0} NOT IN (" + ", ".join(f"'{status.value}'" for status in Status) + ")"
_LABEL = "typeof({0}) <> 'integer' OR {0} NOT BETWEEN 0 AND 4"
_TURN = "typeof({0}) <> 'integer' OR {0} NOT BETWEEN 1 AND 8"
_BOX = "typeof({0}) <> 'blob' OR length({0}) <> 16"
_OBJECT = "CASE WHEN typeof({0}) = 'text' AND json_valid({0}) THEN json_type({0}) <> 'object' ELSE 1 END"
_SHAPE = "typeof({0}) <> 'blob' OR length({0}) NOT IN (68, 76)"


def _or_null(condition: str) -> str:
    return f"{{0}} IS NOT NULL AND ({condition})"


# The photo is read again: `index` finds another size, time, content and picture than the stored ones.
_READ_AGAIN = (
    "UPDATE images SET size = 0, mtime_ns = 0, content_hash = NULL{picture},"
    " faces = (SELECT count(*) FROM faces f WHERE f.image_id = images.id) WHERE {where}"
)

# Table: columns with the condition for a wrong value, and the statement that repairs the row, where
# {where} is that condition. None: deleting the row would lose more than the value.
_COLUMNS: dict[str, tuple[dict[str, str], str | None]] = {
    "roots": ({"id": _NATURAL, "path": _PATH, "given": _BLOB}, None),
    "images": (
        {
            "id": _NATURAL, "root_id": _INTEGER, "relpath": _INSIDE, "size": _NATURAL, "mtime_ns": _INTEGER,
            "content_hash": _or_null(_BLOB), "width": _NATURAL, "height": _NATURAL, "status": _STATUS,
            "reason": _or_null(_TEXT), "detail": _or_null(_TEXT), "faces": _NATURAL,
            "picture": _or_null(_BLOB), "orientation": _TURN, "taken": _or_null(_INTEGER),
        },
        "DELETE FROM images WHERE {where}",
    ),
    "faces": (
        {"id": _NATURAL, "image_id": _INTEGER, "vector_row": _NATURAL, "geometry": _SHAPE},
        "DELETE FROM faces WHERE {where}",
    ),
    "clusterings": ({"id": _NATURAL, "algorithm": _TEXT, "seed": _INTEGER}, None),
    "clusters": ({"id": _NATURAL}, "DELETE FROM clusters WHERE {where}"),
    "copies": (
        {"path": _PATH, "kind": _TEXT, "options": _OBJECT, "stale": _FLAG}, "DELETE FROM copies WHERE {where}"
    ),
    "assignments": (
        {"face_id": _INTEGER, "cluster_id": _NATURAL, "similarity": _SIMILARITY},
        "DELETE FROM assignments WHERE {where}",
    ),
    "previous_assignments": (
        {"cluster_id": _or_null(_INTEGER)}, "DELETE FROM previous_assignments WHERE {where}",
    ),
    "people": (
        {
            "id": _NATURAL, "uid": _TEXT, "name": _or_null(_TEXT), "name_key": _or_null(_TEXT),
            "born": _or_null(_TEXT), "died": _or_null(_TEXT), "hidden": _FLAG, "note": _or_null(_TEXT),
            "written": _NATURAL,
        },
        None,
    ),
    "decisions": ({"id": _NATURAL, "uid": _TEXT, "command": _TEXT}, None),
    "marks": (
        {"id": _NATURAL, "picture": _BLOB, "box": _BOX, "label": _LABEL, "written": _NATURAL}, None,
    ),
    "rejections": ({"written": _NATURAL}, "UPDATE rejections SET written = 0 WHERE {where}"),
    "links": ({"same": _FLAG, "written": _NATURAL}, "DELETE FROM links WHERE {where}"),
    "transfer_faces": (
        {"face_id": _or_null(_INTEGER), "vector_row": _NATURAL, "geometry": _SHAPE},
        "DELETE FROM transfer_images WHERE image_id IN (SELECT image_id FROM transfer_faces WHERE {where})",
    ),
    "away_images": ({"relpath": _INSIDE}, "DELETE FROM away_images WHERE {where}"),
    "away_faces": (
        {"vector_row": _NATURAL, "geometry": _SHAPE}, "DELETE FROM away_faces WHERE {where}",
    ),
}  # fmt: skip

# Column: the table that has no such id, and the repair.
_REFERENCES: tuple[tuple[str, str, str, str], ...] = (
    ("images", "root_id", "roots", "DELETE FROM images WHERE {where}"),
    ("faces", "image_id", "images", "DELETE FROM faces WHERE {where}"),
    ("assignments", "face_id", "faces", "DELETE FROM assignments WHERE {where}"),
    ("assignments", "cluster_id", "clusters", "DELETE FROM assignments WHERE {where}"),
    ("previous_assignments", "face_id", "faces", "DELETE FROM previous_assignments WHERE {where}"),
    ("clusterings", "previous_id", "clusterings", "UPDATE clusterings SET previous_id = NULL WHERE {where}"),
    ("clusters", "person_id", "people", "UPDATE clusters SET person_id = NULL WHERE {where}"),
    ("people", "into_id", "people", "UPDATE people SET into_id = NULL WHERE {where}"),
    ("decisions", "undone_by", "decisions", "UPDATE decisions SET undone_by = NULL WHERE {where}"),
    ("marks", "person_id", "people", "UPDATE marks SET person_id = NULL, label = 0 WHERE {where}"),
    ("rejections", "mark_id", "marks", "DELETE FROM rejections WHERE {where}"),
    ("rejections", "person_id", "people", "DELETE FROM rejections WHERE {where}"),
    ("links", "a", "marks", "DELETE FROM links WHERE {where}"),
    ("links", "b", "marks", "DELETE FROM links WHERE {where}"),
    ("marked_faces", "face_id", "faces", "DELETE FROM marked_faces WHERE {where}"),
    ("marked_faces", "mark_id", "marks", "DELETE FROM marked_faces WHERE {where}"),
    ("transfer_images", "image_id", "images", "DELETE FROM transfer_images WHERE {where}"),
    ("transfer_faces", "image_id", "transfer_images", "DELETE FROM transfer_faces WHERE {where}"),
    ("away_faces", "image_id", "away_images", "DELETE FROM away_faces WHERE {where}"),
)
_TARGET_KEYS = {"transfer_images": "image_id"}

_TEXTS = {
    "images": ("reason", "detail"),
    "people": ("uid", "name", "name_key", "born", "died", "note"),
    "decisions": ("uid", "at", "command"),
    "clusterings": ("algorithm", "created"),
}

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


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a catalog.

    Attributes
    ----------
    table : str
        The table, or ``meta`` for a single value.
    what : str
        What is wrong, as the end of a sentence that begins with the name of the file.
    rows : int
        Number of rows that it concerns.
    repair : str or None
        A statement of SQL that removes the damage and leaves everything else; to be run in a transaction.
        None if no statement can do it without losing decisions of the user.
    """

    table: str
    what: str
    rows: int
    repair: str | None


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
        for check in (_meta, _columns, _texts, _references, _positions, _counts, _documents, _chains):
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
        (lambda: pending_contents(catalog), erasing),
        (
            lambda: scans.load_scan(catalog, "", None),
            "DELETE FROM meta WHERE key IN ('seen', 'seen_at')",
        ),
    )
    for read, repair in reads:
        try:
            read()
        except IndexCorrupt as error:  # noqa: PERF203 - eight rounds
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


def _columns(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Types and ranges of the values of each column."""
    for table, (columns, repair) in _COLUMNS.items():
        if table not in tables or (table == "people" and catalog.format_version < WITH_DECISIONS):
            continue
        if table == "rejections" and catalog.format_version < WITH_DECISIONS:
            continue
        for column, condition in columns.items():
            if column in ("picture", "orientation", "taken") and catalog.format_version < WITH_PICTURES:
                continue
            where = condition.format(column)
            if rows := _count(catalog, table, where):
                statement = None if repair is None else repair.format(where=where)
                yield Finding(table, f"the column {column} of {table} has invalid values", rows, statement)


def _texts(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Texts that are not UTF-8: SQLite stores any bytes."""
    for table, columns in _TEXTS.items():
        if table not in tables or (table == "people" and catalog.format_version < WITH_DECISIONS):
            continue
        for column in columns:
            found = catalog.query(
                f"SELECT rowid, CAST({column} AS BLOB) FROM {table} WHERE typeof({column}) = 'text'"
            )
            if bad := [row for row, content in found if not _is_text(content)]:
                where = f"rowid IN ({', '.join(str(int(row)) for row in bad)})"
                repair = f"UPDATE {table} SET {column} = NULL WHERE {where}"
                nullable = (table, column) in {
                    ("images", "reason"), ("images", "detail"), *(("people", c) for c in _TEXTS["people"][1:])
                }  # fmt: skip
                yield Finding(
                    table,
                    f"the column {column} of {table} has text that is not UTF-8",
                    len(bad),
                    repair if nullable else None,
                )


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _references(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Ids of rows that do not exist."""
    for table, column, target, repair in _REFERENCES:
        if not {table, target} <= tables or _is_older(catalog, table, column):
            continue
        key = _TARGET_KEYS.get(target, "id")
        where = f"{column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {target})"
        if rows := _count(catalog, table, where):
            what = f"the column {column} of {table} names rows that {target} does not have"
            yield Finding(table, what, rows, repair.format(where=where))


def _is_older(catalog: Catalog, table: str, column: str) -> bool:
    """Whether a catalog is of a format before a column that other formats have."""
    version = catalog.format_version
    if column == "previous_id":
        return version < WITH_PREVIOUS_CLUSTERING
    return version < WITH_DECISIONS and (table in ("rejections", "people") or column == "person_id")


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
        if rows := _count(catalog, table, where):
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
    if rows := _count(catalog, "images", where):
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
    if rows := _count(catalog, "decisions", where):
        repair = f"UPDATE decisions SET undone_by = NULL WHERE {where}"
        yield Finding("decisions", "decisions are undone by earlier ones", rows, repair)
    where = "a >= b"
    if rows := _count(catalog, "links", where):
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


def _count(catalog: Catalog, table: str, where: str) -> int:
    return int(catalog.query(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])


def _reason(error: IndexCorrupt) -> str:
    """Return what a loader says of a value, without the name of the file."""
    return str(error.__cause__ or error.problem).rstrip(os.linesep)
