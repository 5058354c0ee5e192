"""Make a sound catalog from a damaged one; for `doctor --repair`.

1. The damaged files are copied aside.
2. A new file gets all rows that can be read: by VACUUM INTO if SQLite finds no fault in the structure, else
   table by table, row by row where needed.
3. Photos whose rows were on damaged pages are read again by the next `index`; other derived rows of such
   pages are deleted. What the user decided stays as it can be read, and is named.
4. The repairs of `checks.find_damage` run until nothing is found.
5. The new file takes the place of the old one. Until its digests are there, the index counts as damaged, so
   that a repair that was killed is repeated.
"""

from __future__ import annotations

import contextlib
import filecmp
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from faceindex.errors import IndexCorrupt
from faceindex.files import replace_durably, sync_directory, write_durably
from faceindex.store import migrations
from faceindex.store.btree import rows_on_pages
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import natural
from faceindex.store.checks import find_damage
from faceindex.store.directory import DIGESTS
from faceindex.store.pages import damaged_pages, read_digests
from faceindex.store.sqlite import (
    Connection,
    Error,
    IntegrityError,
    chunks,
    connect,
    connect_unchecked,
    placeholders,
)

__all__ = ["Salvage", "rows_in_doubt", "salvage_catalog"]

_DECIDED = ("decisions", "people", "marks", "rejections", "links", "hand_boxes")
_MOST_ADDED = 1 << 30  # bytes; the length in a damaged header may be any
_ROUNDS = 20  # of repairs: what one deletes may be named elsewhere

# What is deleted of rows in doubt; `index`, `cluster` and `match` make it again.
_READ_AGAIN = (
    "UPDATE images SET size = 0, mtime_ns = 0, content_hash = NULL, picture = NULL, status = 'ok',"
    " faces = 0 WHERE id IN ({0})"
)
_DOUBTED = {
    "images": ("DELETE FROM faces WHERE image_id IN ({0})", "DELETE FROM images WHERE id IN ({0})"),
    "faces": (
        _READ_AGAIN.format("SELECT image_id FROM faces WHERE id IN ({0})"),
        "DELETE FROM faces WHERE image_id IN (SELECT image_id FROM faces WHERE id IN ({0}))",
    ),
    "assignments": ("DELETE FROM assignments WHERE face_id IN ({0})",),
    "previous_assignments": ("DELETE FROM previous_assignments",),
    "marked_faces": ("DELETE FROM marked_faces",),
    # `index` makes them again: as a detected face, one of these could not be taken back.
    "hand_faces": ("DELETE FROM hand_faces WHERE face_id IN ({0})",),
    "away_images": ("DELETE FROM away_images WHERE id IN ({0})",),
    "away_faces": (
        "DELETE FROM away_images WHERE id IN (SELECT image_id FROM away_faces WHERE id IN ({0}))",
    ),
    "transfer_faces": ("DELETE FROM transfer_images", "DELETE FROM meta WHERE key = 'transfer'"),
    "transfer_images": ("DELETE FROM transfer_images", "DELETE FROM meta WHERE key = 'transfer'"),
    "journal": ("DELETE FROM journal WHERE id IN ({0})",),
    # The next exchange finds out what the file and the index agree on.
    "exchanged_regions": ("DELETE FROM exchanged_regions WHERE id IN ({0})",),
}


@dataclass
class Salvage:
    """What a repair of the catalog did.

    Attributes
    ----------
    kept : list of str
        Names of the damaged files.
    lost : dict of str to int
        Rows that could not be read, by table.
    doubted : dict of str to set of int
        Ids of rows that were on damaged pages, by table.
    repairs : list of str
        What was wrong and was repaired.
    """

    kept: list[str] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    doubted: dict[str, set[int]] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)

    def deleted(self) -> dict[str, int]:
        """Return the numbers of rows that are not in the new catalog, by table; 0 if unknown."""
        doubted = {table: len(ids) for table, ids in self.doubted.items() if table in _DOUBTED}
        return doubted | {table: doubted.get(table, 0) + lost for table, lost in self.lost.items()}

    def decided(self) -> dict[str, set[int]]:
        """Return the rows in doubt of what the user decided."""
        return {table: ids for table, ids in self.doubted.items() if table in _DECIDED}


def rows_in_doubt(path: Path) -> dict[str, set[int]]:
    """Return the rows on the pages of a catalog that differ from their digests, by table.

    None are in doubt if the digests are of another commit: then one of the two is an old copy, or
    commits in the log were lost, and the digests say nothing about the pages.
    """
    try:
        digests = read_digests(path)
    except IndexCorrupt:
        return {}
    pages = set() if digests is None else set(damaged_pages(path, digests))
    if digests is None or not pages:
        return {}
    roots: dict[str, int] = {}
    with contextlib.suppress(Error, IndexCorrupt), closing(connect_unchecked(path)) as database:
        # A writer that was killed may have stored the digests of all commits but the last.
        if not 0 <= Catalog(path, database).generation - digests.commit <= 1:
            return {}
        for kind, name, root in database.execute("SELECT type, name, rootpage FROM sqlite_master"):
            roots[name if kind == "table" else f"index {name}"] = int(root)
    return rows_on_pages(path, digests.page_size, pages, roots)


def salvage_catalog(path: Path) -> Salvage:
    """Put a sound catalog in place of a damaged one; the caller has the writer's lock.

    Raises
    ------
    IndexCorrupt
        If it has no readable tables.
    OSError
        If the disk is full or fails. The damaged catalog is still in place then.
    """
    _restore_log(path)
    done = Salvage(doubted=rows_in_doubt(path))
    done.kept = _keep_aside(path)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        _restore_length(path)
        with closing(connect_unchecked(path)) as old:
            _copy(old, new, done, path)
        catalog = Catalog(new, connect(new))
        try:
            catalog.execute("PRAGMA journal_mode = DELETE").fetchall()
            catalog.execute("PRAGMA foreign_keys = ON")
            _delete_doubted(catalog, done)
            _run_repairs(catalog, done)
            digests = None
            with contextlib.suppress(IndexCorrupt):
                digests = read_digests(path)
            with catalog.transaction():
                generation = catalog.get("generation", natural, 0)
                # Two commits more than the digests: if this is killed before they are deleted, the next
                # repair does not take all pages for damaged.
                catalog.set("generation", max(generation, 0 if digests is None else digests.commit) + 1)
        finally:
            catalog.close()
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    replace_durably(new, path)
    path.with_name(DIGESTS).unlink(missing_ok=True)
    return done


def _restore_log(path: Path) -> None:
    """Put back the log that a repair had deleted when it was killed before the new catalog was in place."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        return
    for kept in path.parent.glob(f"{path.name}.damaged-*-wal"):
        if filecmp.cmp(path, kept.with_name(kept.name.removesuffix("-wal")), shallow=False):
            path.with_name(path.name + "-shm").unlink(missing_ok=True)
            write_durably(log, kept.read_bytes())
            return


def _keep_aside(path: Path) -> list[str]:
    number = 1
    while path.with_name(f"{path.name}.damaged-{number}").exists():
        number += 1
    kept = []
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists() and (not suffix or source.stat().st_size):
            target = path.with_name(f"{path.name}.damaged-{number}{suffix}")
            shutil.copyfile(source, target)
            target.chmod(0o600)
            kept.append(target.name)
    sync_directory(path.parent)
    return kept


def _restore_length(path: Path) -> None:
    """Append zeros to a file that is shorter than its header says: SQLite reads nothing of it otherwise.

    The file as it was is kept aside.
    """
    with path.open("r+b") as file:
        header = file.read(100)
        size = int.from_bytes(header[16:18], "big")
        length = (65536 if size == 1 else size) * int.from_bytes(header[28:32], "big")
        now = file.seek(0, 2)
        if len(header) == 100 and now < length <= 64 * now + _MOST_ADDED:
            file.truncate(length)


def _copy(old: Connection, new: Path, done: Salvage, path: Path) -> None:
    """Copy all that can be read into a new file."""
    with contextlib.suppress(Error):
        if old.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]:
            old.execute("VACUUM INTO ?", (str(new),))
            new.chmod(0o600)
            return
    new.unlink(missing_ok=True)
    try:
        version = int(old.execute("PRAGMA user_version").fetchone()[0])
        tables = {str(name) for (name,) in old.execute("SELECT name FROM sqlite_master")}
    except (Error, TypeError, ValueError) as error:
        raise _lost(path) from error
    if not 1 <= version <= migrations.format_version():
        version = migrations.format_version()
    new.touch(0o600)
    database = connect(new)
    try:
        for _, statements in migrations.MIGRATIONS[:version]:
            for statement in statements:
                database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")
        database.execute("DELETE FROM meta")
        for (table,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'"
        ).fetchall():
            if table in tables:
                lost = _copy_table(old, database, str(table))
                if lost:
                    done.lost[str(table)] = lost
        with contextlib.suppress(Error):
            for name, last in old.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
                database.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, name))
        if not database.execute("SELECT 1 FROM meta WHERE key = 'pins'").fetchone():
            raise _lost(path)
    finally:
        database.close()


def _copy_table(old: Connection, new: Connection, table: str) -> int:
    """Copy the readable rows of a table, and return how many rows were skipped at least."""
    names = [str(column[1]) for column in new.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(names)
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))})"
    new.execute("BEGIN")
    try:
        try:
            new.executemany(insert, old.execute(f"SELECT {columns} FROM {table} NOT INDEXED"))
            return 0
        except (Error, OverflowError):
            pass
        ids = _ids(old, table)
        if ids is None:  # of a table without row ids: what comes before the damage was copied
            return 1
        read = f"SELECT {columns} FROM {table} WHERE rowid = ?"
        return max(1, sum(not _copy_row(old, new, read, insert, id) for id in ids))
    finally:
        new.execute("COMMIT")


def _copy_row(old: Connection, new: Connection, read: str, insert: str, id: int) -> bool:
    """Copy one row if there is one; whether it could be read."""
    try:
        row = old.execute(read, (id,)).fetchone()
        if row is not None:
            new.execute(insert, row)
    except (Error, OverflowError):
        return False
    return True


def _ids(old: Connection, table: str) -> range | None:
    """Return the ids that rows of a table may have."""
    try:
        found = old.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        last = None if found is None else int(found[0])
        if last is None:
            found = old.execute(f"SELECT max(rowid) FROM {table}").fetchone()
            last = int(found[0] or 0)
    except (Error, TypeError, ValueError):
        return None
    return range(min(last, 10**7) + 1)


def _delete_doubted(catalog: Catalog, done: Salvage) -> None:
    with catalog.transaction():
        for table, ids in done.doubted.items():
            for statement in _DOUBTED.get(table, ()):
                if "{0}" not in statement:
                    catalog.execute(statement)
                    continue
                for chunk in chunks(sorted(ids)):
                    catalog.execute(statement.format(placeholders(chunk)), chunk)


def _run_repairs(catalog: Catalog, done: Salvage) -> None:
    """Run the repairs of what the loaders refuse, until nothing is left that has one."""
    for _ in range(_ROUNDS):
        findings = [finding for finding in find_damage(catalog) if finding.repair is not None]
        if not findings:
            return
        with catalog.transaction():
            for finding in findings:
                with contextlib.suppress(IntegrityError):
                    catalog.execute(str(finding.repair))
                done.repairs.append(finding.what)


def _lost(path: Path) -> IndexCorrupt:
    return IndexCorrupt(
        f"{path} cannot be repaired: its tables, or its models, cannot be read.",
        f"Restore it from a backup, or delete {path.parent} and index again.",
    )
