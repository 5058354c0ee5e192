"""Turn the catalog of an index into one of an older format."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

from faceindex.store.migrations import MIGRATIONS

__all__ = ["downgrade"]


def downgrade(index: Path, version: int) -> None:
    """Undo the migrations after a format version, 4 or later, of an index that no one has open."""
    database = sqlite3.connect(index / "catalog.sqlite")
    try:
        if version < 13:
            database.execute("DROP TABLE exchanged_regions")
        if version < 12:
            for table in ("hand_boxes", "hand_faces"):
                database.execute(f"DROP TABLE {table}")
            database.execute("ALTER TABLE transfer_faces DROP COLUMN by_hand")
        if version < 11:
            for table in ("copies", "forgotten_places", "forgotten_people"):
                database.execute(f"DROP TABLE {table}")
        if version < 8:
            for table in ("mounts", "away_faces", "away_images"):
                database.execute(f"DROP TABLE {table}")
        if version < 9:
            for column in ("ctime_ns", "inode", "failed"):
                database.execute(f"ALTER TABLE images DROP COLUMN {column}")
        if version < 10:
            database.execute("DROP TABLE suspects")
        if version < 7:
            (index / "catalog.digests").unlink(missing_ok=True)
            _remove_header(index, database)
            database.execute("DROP TABLE vector_digests")
            database.execute("DELETE FROM meta WHERE key IN ('index_id', 'header', 'part_header', 'erasing')")
        if version < 6:
            database.execute("DROP INDEX clusters_by_person")
            for table in ("marked_faces", "links", "rejections", "marks", "decisions", "people"):
                database.execute(f"DROP TABLE {table}")
            for statement in MIGRATIONS[0][1]:
                if re.match("CREATE TABLE (people|labels|rejections) ", statement):
                    database.execute(statement)
        if version < 5:
            database.execute("DROP INDEX images_by_picture")
            for column in ("picture", "orientation", "taken"):
                database.execute(f"ALTER TABLE images DROP COLUMN {column}")
        database.execute(f"PRAGMA user_version = {version}")
        database.commit()
    finally:
        database.close()


def _remove_header(index: Path, database: sqlite3.Connection) -> None:
    values = {key: json.loads(value) for key, value in database.execute("SELECT key, value FROM meta")}
    path = index / values.get("vectors", "vectors.f32")
    path.write_bytes(path.read_bytes()[values.get("header", 0) :])
