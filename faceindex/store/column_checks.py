"""Damage in the columns of a catalog, each value by itself: types, ranges, texts, and ids of other rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from faceindex.store.decisions import MOST_PEOPLE
from faceindex.store.faces import MOST_CLUSTERS
from faceindex.store.findings import Finding, count_rows
from faceindex.store.migrations import WITH_DECISIONS, WITH_PICTURES, WITH_PREVIOUS_CLUSTERING
from faceindex.store.records import Status

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog

__all__ = ["check_columns", "check_references", "check_texts"]

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
_AWAY = f"{_PATH} OR root_id IS NOT NULL AND ({_INSIDE})"  # absolute once the root is gone
_CLUSTER = f"typeof({{0}}) <> 'integer' OR {{0}} NOT BETWEEN 0 AND {MOST_CLUSTERS - 1}"
_PERSON = f"typeof({{0}}) <> 'integer' OR {{0}} NOT BETWEEN 1 AND {MOST_PEOPLE - 1}"
_SIMILARITY = "typeof({0}) NOT IN ('real', 'integer') OR abs({0}) > 1.01"
_STATUS = "{0} NOT IN (" + ", ".join(f"'{status.value}'" for status in Status) + ")"
_LABEL = "typeof({0}) <> 'integer' OR {0} NOT BETWEEN 0 AND 4"
_STATE = "typeof({0}) <> 'integer' OR {0} NOT BETWEEN 0 AND 3"
_TURN = "typeof({0}) <> 'integer' OR {0} NOT BETWEEN 1 AND 8"
_BOX = "typeof({0}) <> 'blob' OR length({0}) <> 16"
_OBJECT = "CASE WHEN typeof({0}) = 'text' AND json_valid({0}) THEN json_type({0}) <> 'object' ELSE 1 END"
_SHAPE = "typeof({0}) <> 'blob' OR length({0}) NOT IN (68, 76)"


def _or_null(condition: str) -> str:
    return f"{{0}} IS NOT NULL AND ({condition})"


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
        {"face_id": _INTEGER, "cluster_id": _CLUSTER, "similarity": _SIMILARITY},
        "DELETE FROM assignments WHERE {where}",
    ),
    "previous_assignments": (
        {"cluster_id": _or_null(_INTEGER)}, "DELETE FROM previous_assignments WHERE {where}",
    ),
    "people": (
        {
            "id": _PERSON, "uid": _TEXT, "name": _or_null(_TEXT), "name_key": _or_null(_TEXT),
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
    "hand_boxes": ({"written": _NATURAL}, "UPDATE hand_boxes SET written = 0 WHERE {where}"),
    "exchanged_regions": (
        {
            "id": _NATURAL, "image_id": _INTEGER, "picture": _BLOB, "box": _BOX, "name": _or_null(_TEXT),
            "embedded": _FLAG, "state": _STATE, "written": _NATURAL,
        },
        "DELETE FROM exchanged_regions WHERE {where}",
    ),
    "transfer_faces": (
        {"face_id": _or_null(_INTEGER), "vector_row": _NATURAL, "geometry": _SHAPE},
        "DELETE FROM transfer_images WHERE image_id IN (SELECT image_id FROM transfer_faces WHERE {where})",
    ),
    "away_images": ({"relpath": _AWAY}, "DELETE FROM away_images WHERE {where}"),
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
    ("hand_boxes", "mark_id", "marks", "DELETE FROM hand_boxes WHERE {where}"),
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
    "exchanged_regions": ("name",),
}


def check_columns(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Find values that have another type than their column, or are out of its range."""
    for table, (columns, repair) in _COLUMNS.items():
        if table not in tables or _is_older(catalog, table):
            continue
        for column, condition in columns.items():
            if column in ("picture", "orientation", "taken") and catalog.format_version < WITH_PICTURES:
                continue
            where = condition.format(column)
            if rows := count_rows(catalog, table, where):
                statement = None if repair is None else repair.format(where=where)
                yield Finding(table, f"the column {column} of {table} has invalid values", rows, statement)


def check_texts(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Find texts that are not UTF-8: SQLite stores any bytes."""
    for table, columns in _TEXTS.items():
        if table not in tables or _is_older(catalog, table):
            continue
        for column in columns:
            found = catalog.query(
                f"SELECT rowid, CAST({column} AS BLOB) FROM {table} WHERE typeof({column}) = 'text'"
            )
            if bad := [row for row, content in found if not _is_text(content)]:
                where = f"rowid IN ({', '.join(str(int(row)) for row in bad)})"
                repair = f"UPDATE {table} SET {column} = NULL WHERE {where}"
                nullable = (table, column) in {
                    ("images", "reason"), ("images", "detail"), ("exchanged_regions", "name"),
                    *(("people", c) for c in _TEXTS["people"][1:])
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


def check_references(catalog: Catalog, tables: set[str]) -> Iterator[Finding]:
    """Find ids of rows that do not exist."""
    for table, column, target, repair in _REFERENCES:
        if not {table, target} <= tables or _is_older(catalog, table, column):
            continue
        key = _TARGET_KEYS.get(target, "id")
        where = f"{column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {target})"
        if rows := count_rows(catalog, table, where):
            what = f"the column {column} of {table} names rows that {target} does not have"
            yield Finding(table, what, rows, repair.format(where=where))


def _is_older(catalog: Catalog, table: str, column: str = "") -> bool:
    """Whether a catalog is of a format before a column, or before a table of these columns."""
    version = catalog.format_version
    if column == "previous_id":
        return version < WITH_PREVIOUS_CLUSTERING
    return version < WITH_DECISIONS and (table in ("rejections", "people") or column == "person_id")
