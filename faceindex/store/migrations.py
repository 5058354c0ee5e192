"""The schema of the catalog, as numbered migrations. Append; never edit a migration that was released.

Migration ``n`` takes a catalog from format version ``n - 1`` to ``n`` (``PRAGMA user_version``), in one
transaction with the new version. The names of tables, columns and keys are part of the format: what the
code calls a photo is an ``image`` there.

Paths are BLOBs: file names are bytes on most systems, and not all of them are valid text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.store.sqlite import Connection

__all__ = [
    "MIGRATIONS",
    "OLDEST_READABLE",
    "WITH_AWAY_PHOTOS",
    "WITH_COPIES",
    "WITH_DECISIONS",
    "WITH_DIGESTS",
    "WITH_EXCHANGED_REGIONS",
    "WITH_FILE_IDS",
    "WITH_PICTURES",
    "WITH_PREVIOUS_CLUSTERING",
    "WITH_SUSPECTS",
    "format_version",
    "migrate",
]

MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "catalog of images, faces, clusterings and people",
        (
            # Values are JSON. Counters: rows, generation, next_cluster_id. Choices: pins, hnsw.
            # Derived: seen (scans that found nothing to do, see `scans`) and seen_at (their generation);
            # photos_at (the commit that last changed photos, roots or vectors; 0 if missing).
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE roots (id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE,"
            " given BLOB NOT NULL)",
            "CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " root_id INTEGER NOT NULL REFERENCES roots (id), relpath BLOB NOT NULL,"
            " size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_hash BLOB,"
            " width INTEGER NOT NULL, height INTEGER NOT NULL,"
            " status TEXT NOT NULL, reason TEXT, detail TEXT, faces INTEGER NOT NULL,"
            " UNIQUE (root_id, relpath))",
            "CREATE INDEX images_by_hash ON images (content_hash)",
            # Live faces. A row of vectors.f32 that no face names is a tombstone.
            # geometry: 17 little-endian float32: box 4, landmarks 10, score, norm, sharpness. Reading
            # 100,000 faces is two to three times as fast from one BLOB each as from REAL columns.
            "CREATE TABLE faces (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,"
            " vector_row INTEGER NOT NULL UNIQUE, geometry BLOB NOT NULL)",
            "CREATE INDEX faces_by_image ON faces (image_id)",
            "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
            "CREATE TABLE clusterings (id INTEGER PRIMARY KEY AUTOINCREMENT, algorithm TEXT NOT NULL,"
            " params TEXT NOT NULL, seed INTEGER NOT NULL, created TEXT NOT NULL)",
            "CREATE TABLE clusters (id INTEGER PRIMARY KEY,"
            " person_id INTEGER REFERENCES people (id) ON DELETE SET NULL)",
            "CREATE TABLE assignments ("
            " face_id INTEGER PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,"
            " cluster_id INTEGER NOT NULL REFERENCES clusters (id), similarity REAL NOT NULL)",
            "CREATE INDEX assignments_by_cluster ON assignments (cluster_id)",
            # Decisions of the user: this face shows that person, or does not.
            "CREATE TABLE labels (face_id INTEGER PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,"
            " person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE)",
            "CREATE TABLE rejections (face_id INTEGER NOT NULL REFERENCES faces (id) ON DELETE CASCADE,"
            " person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,"
            " PRIMARY KEY (face_id, person_id)) WITHOUT ROWID",
            "CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,"
            " kind TEXT NOT NULL, detail TEXT NOT NULL)",
        ),
    ),
    (
        "faces on their way to other models",
        (
            # New keys of meta: vectors (name of the vector file; vectors.f32 if missing), transfer.
            # The photos and faces of the key transfer, with vectors in the file NAME.part of the next name.
            # face_id: the face that these values replace; NULL for a new one.
            "CREATE TABLE transfer_images (image_id INTEGER PRIMARY KEY REFERENCES images (id)"
            " ON DELETE CASCADE)",
            "CREATE TABLE transfer_faces (id INTEGER PRIMARY KEY,"
            " image_id INTEGER NOT NULL REFERENCES transfer_images (image_id) ON DELETE CASCADE,"
            " face_id INTEGER UNIQUE, vector_row INTEGER NOT NULL, geometry BLOB NOT NULL)",
            "CREATE INDEX transfer_faces_by_image ON transfer_faces (image_id)",
        ),
    ),
    (
        "quality and turn of faces",
        (
            # geometry: 19 little-endian float32, quality and turn (degrees) at its end. Faces without a
            # quality (NaN) get it when they are read: all it depends on is stored.
            "UPDATE faces SET geometry = CAST(geometry || x'0000c07f00000000' AS BLOB)"
            " WHERE length(geometry) = 68",
            "UPDATE transfer_faces SET geometry = CAST(geometry || x'0000c07f00000000' AS BLOB)"
            " WHERE length(geometry) = 68",
        ),
    ),
    (
        "the clustering before the active one",
        (
            # The active clustering is the newest row. previous_id: the one that it replaced, whose clusters
            # are those of the active one, except for the faces of previous_assignments.
            # cluster_id: NULL for none. It may name a cluster that has no row in clusters.
            "ALTER TABLE clusterings ADD COLUMN previous_id INTEGER REFERENCES clusterings (id)",
            "CREATE TABLE previous_assignments ("
            " face_id INTEGER PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,"
            " cluster_id INTEGER)",
        ),
    ),
    (
        "pictures of photos: hash, orientation, capture date",
        (
            # picture: hash of the stored pixels; NULL until the photo is read. orientation: of EXIF, 1 to 8.
            # taken: seconds since 1970 in the local time of the camera; NULL if the photo does not state it.
            "ALTER TABLE images ADD COLUMN picture BLOB",
            "ALTER TABLE images ADD COLUMN orientation INTEGER NOT NULL DEFAULT 1",
            "ALTER TABLE images ADD COLUMN taken INTEGER",
            "CREATE INDEX images_by_picture ON images (picture)",
            # The next run of `index` reads unchanged photos too, once.
            "DELETE FROM meta WHERE key IN ('seen', 'seen_at')",
        ),
    ),
    (
        "decisions of the user",
        (
            # Format 1 had tables of people, labels and rejections that nothing ever wrote.
            "DROP TABLE labels",
            "DROP TABLE rejections",
            "DROP TABLE people",
            # name_key: the name as it is compared. into_id: the person that this one was merged into.
            # written, here and below: the decision that wrote the row last; 0 for none.
            "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE,"
            " name TEXT, name_key TEXT, born TEXT, died TEXT, hidden INTEGER NOT NULL DEFAULT 0, note TEXT,"
            " into_id INTEGER REFERENCES people (id), written INTEGER NOT NULL)",
            "CREATE INDEX people_by_name ON people (name_key)",
            # The truth. actions and changes: JSON; changes has the values before and after, to undo them.
            "CREATE TABLE decisions (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE,"
            " at TEXT NOT NULL, command TEXT NOT NULL, actions TEXT NOT NULL, changes TEXT NOT NULL,"
            " undone_by INTEGER REFERENCES decisions (id))",
            # What the decisions add up to. box: 4 little-endian float32, fractions of the stored picture.
            # label: 0 none, 1 named with its cluster, 2 confirmed, 3 stranger, 4 not a face.
            "CREATE TABLE marks (id INTEGER PRIMARY KEY AUTOINCREMENT, picture BLOB NOT NULL,"
            " box BLOB NOT NULL, label INTEGER NOT NULL, person_id INTEGER REFERENCES people (id),"
            " written INTEGER NOT NULL)",
            "CREATE INDEX marks_by_picture ON marks (picture)",
            "CREATE INDEX marks_by_person ON marks (person_id)",
            "CREATE TABLE rejections (mark_id INTEGER NOT NULL REFERENCES marks (id),"
            " person_id INTEGER NOT NULL REFERENCES people (id), written INTEGER NOT NULL,"
            " PRIMARY KEY (mark_id, person_id)) WITHOUT ROWID",
            "CREATE INDEX rejections_by_person ON rejections (person_id)",
            "CREATE TABLE links (a INTEGER NOT NULL REFERENCES marks (id),"
            " b INTEGER NOT NULL REFERENCES marks (id), same INTEGER NOT NULL, written INTEGER NOT NULL,"
            " PRIMARY KEY (a, b)) WITHOUT ROWID",
            "CREATE INDEX links_by_b ON links (b)",
            # Derived: the faces of the marks.
            "CREATE TABLE marked_faces (face_id INTEGER PRIMARY KEY REFERENCES faces (id) ON DELETE CASCADE,"
            " mark_id INTEGER NOT NULL REFERENCES marks (id))",
            "CREATE INDEX marked_faces_by_mark ON marked_faces (mark_id)",
            "CREATE INDEX clusters_by_person ON clusters (person_id)",
        ),
    ),
    (
        "id of the index, digests of the vectors",
        (
            # New keys of meta: index_id (UUID 4, hexadecimal), header and part_header (bytes before the first
            # row of the vector file, and of the unfinished one; 0 if missing), erasing (files to overwrite).
            # crc: CRC-32 of up to 256 rows. Rows of older formats get theirs when a writer opens the index.
            "CREATE TABLE vector_digests (file TEXT NOT NULL, block INTEGER NOT NULL, crc INTEGER NOT NULL,"
            " PRIMARY KEY (file, block)) WITHOUT ROWID",
            "INSERT INTO meta (key, value) VALUES ('index_id', '\"' || lower(hex(randomblob(6)) || '4'"
            " || substr(hex(randomblob(2)), 2) || substr('89ab', 1 + (random() & 3), 1)"
            " || substr(hex(randomblob(2)), 2) || hex(randomblob(6))) || '\"')",
        ),
    ),
    (
        "photos that are away",
        (
            # Photos that are gone, or whose picture was replaced, with their faces, as in images, faces and
            # assignments. They come back with their ids, or are deleted some time after away_since (seconds
            # since 1970). root_id: NULL once the root is gone; relpath is absolute then.
            # No live face has the row of an away face: its vector is appended again when it comes back.
            "CREATE TABLE away_images (id INTEGER PRIMARY KEY,"
            " root_id INTEGER REFERENCES roots (id) ON DELETE SET NULL, relpath BLOB NOT NULL,"
            " size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_hash BLOB,"
            " width INTEGER NOT NULL, height INTEGER NOT NULL,"
            " status TEXT NOT NULL, reason TEXT, detail TEXT, faces INTEGER NOT NULL,"
            " picture BLOB, orientation INTEGER NOT NULL DEFAULT 1, taken INTEGER,"
            " away_since INTEGER NOT NULL)",
            "CREATE INDEX away_images_by_time ON away_images (away_since)",
            "CREATE TABLE away_faces (id INTEGER PRIMARY KEY,"
            " image_id INTEGER NOT NULL REFERENCES away_images (id) ON DELETE CASCADE,"
            " vector_row INTEGER NOT NULL UNIQUE, geometry BLOB NOT NULL,"
            " cluster_id INTEGER, similarity REAL)",
            "CREATE INDEX away_faces_by_image ON away_faces (image_id)",
            # Folders with photos that are on another device than the folder above; '' is the root itself.
            # last_photo: while the disk is missing, the greatest id of a photo that may be on it; else NULL.
            "CREATE TABLE mounts (root_id INTEGER NOT NULL REFERENCES roots (id) ON DELETE CASCADE,"
            " relpath BLOB NOT NULL, last_photo INTEGER, PRIMARY KEY (root_id, relpath)) WITHOUT ROWID",
            # The next run of `index` stores them.
            "DELETE FROM meta WHERE key IN ('seen', 'seen_at')",
        ),
    ),
    (
        "inodes and status changes of files",
        (
            # As of when the content was last read; NULL if unknown. ctime_ns: of stat(2), limited to 64 bits.
            # inode: as a signed number. failed: why a photo could not be read that is indexed (status ok), as
            # a value of errors.Reason; NULL if it was read. New key of meta: volumes, see `volumes`.
            "ALTER TABLE images ADD COLUMN ctime_ns INTEGER",
            "ALTER TABLE images ADD COLUMN inode INTEGER",
            "ALTER TABLE images ADD COLUMN failed TEXT",
        ),
    ),
    (
        "photos that may have ended a run",
        (
            # path: absolute. deaths: runs that died while the photo was in work. alone: those of them in
            # which no other photo was. A photo is removed once it has a result.
            "CREATE TABLE suspects (path BLOB PRIMARY KEY, deaths INTEGER NOT NULL, alone INTEGER NOT NULL)"
            " WITHOUT ROWID",
        ),
    ),
    (
        "copies outside the index, forgotten faces",
        (
            # Exports and galleries that were written from the index. path: absolute. options: JSON, to make
            # the copy again; people are ids there. stale: 1 until what was forgotten has left the copy.
            "CREATE TABLE copies (id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL,"
            " kind TEXT NOT NULL, options TEXT NOT NULL, at TEXT NOT NULL,"
            " stale INTEGER NOT NULL DEFAULT 0, UNIQUE (path, kind))",
            # Places of forgotten faces, so that no run brings them back. picture: its hash, or that of the
            # file where the picture is not known. box: as in marks; NULL for the whole photo.
            "CREATE TABLE forgotten_places (picture BLOB NOT NULL, box BLOB)",
            "CREATE INDEX forgotten_places_by_picture ON forgotten_places (picture)",
            # digest: BLAKE2b of the uid of a forgotten person.
            "CREATE TABLE forgotten_people (digest BLOB PRIMARY KEY) WITHOUT ROWID",
            # New key of meta: forgetting (what remains to be erased).
        ),
    ),
    (
        "faces drawn by hand",
        (
            # Marks whose box the user drew, because no detector found the face. written: as in people.
            "CREATE TABLE hand_boxes (mark_id INTEGER PRIMARY KEY REFERENCES marks (id),"
            " written INTEGER NOT NULL)",
            # Derived: the faces that were embedded at such boxes, also those of photos that are away. A face
            # that is not here was detected. Ids of faces that were deleted may remain.
            "CREATE TABLE hand_faces (face_id INTEGER PRIMARY KEY)",
            "ALTER TABLE transfer_faces ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0",
        ),
    ),
    (
        "regions that were exchanged with files",
        (
            # Named regions in sidecars and photos on which the file and the index agreed last. image_id: also
            # of a photo that is away; ids of photos that were deleted may remain. picture, box: as in marks.
            # name: as in the file; NULL for a region that is to be removed from it. embedded: 1 if the region
            # is in the photo itself. state: 0 another program wrote it, 1 faceindex did, 2 faceindex was
            # about to, 3 to be removed. written: the decision that read it; a row counts until it is undone.
            "CREATE TABLE exchanged_regions (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " image_id INTEGER NOT NULL, picture BLOB NOT NULL, box BLOB NOT NULL, name TEXT,"
            " embedded INTEGER NOT NULL, state INTEGER NOT NULL, written INTEGER NOT NULL)",
            "CREATE INDEX exchanged_regions_by_image ON exchanged_regions (image_id)",
        ),
    ),
)

OLDEST_READABLE = 1
"""The oldest format that can be read without migrating it first."""

WITH_PREVIOUS_CLUSTERING = 4
"""The oldest format that stores the clustering before the active one."""

WITH_PICTURES = 5
"""The oldest format that stores the pictures of photos."""

WITH_DECISIONS = 6
"""The oldest format that stores decisions of the user."""

WITH_DIGESTS = 7
"""The oldest format that has an id and digests of the vectors."""

WITH_AWAY_PHOTOS = 8
"""The oldest format that keeps the faces of photos that are away."""

WITH_FILE_IDS = 9
"""The oldest format that stores the inode and the time of the last status change of files."""

WITH_SUSPECTS = 10
"""The oldest format that stores the photos that may have ended a run."""

WITH_COPIES = 11
"""The oldest format that stores where exports and galleries are."""

WITH_HAND_FACES = 12
"""The oldest format that stores faces whose boxes the user drew."""

WITH_EXCHANGED_REGIONS = 13
"""The oldest format that stores the regions that were exchanged with sidecars and photos."""


def format_version() -> int:
    """Return the format version that this faceindex writes."""
    return len(MIGRATIONS)


def migrate(connection: Connection, version: int) -> None:
    """Run all migrations after format version `version`, each in a transaction of its own."""
    for number, (_, statements) in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk has ended it, and a failure here would hide that
                connection.execute("ROLLBACK")
            raise
