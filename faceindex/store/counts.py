"""Numbers of photos, faces and clusters in the catalog."""

from __future__ import annotations

from pathlib import Path

from faceindex.store.away import count_away
from faceindex.store.catalog import Catalog
from faceindex.store.clusterings import count_newer_faces
from faceindex.store.directory import file_sizes
from faceindex.store.journal import newest_runs
from faceindex.store.records import VIDEO_PREFIX, Counts, Status

__all__ = ["cluster_sizes", "count_everything", "count_faces"]


def count_faces(catalog: Catalog) -> int:
    """Count live faces."""
    return int(catalog.query("SELECT count(*) FROM faces")[0][0])


def cluster_sizes(catalog: Catalog, limit: int) -> list[tuple[int, int]]:
    """Return the largest clusters with their numbers of faces, largest first."""
    return catalog.query(
        "SELECT cluster_id, count(*) FROM assignments GROUP BY cluster_id ORDER BY 2 DESC, 1 LIMIT ?",
        (limit,),
    )


def count_everything(catalog: Catalog, directory: Path) -> Counts:
    """Count photos, faces and clusters at one moment, and measure the files of the index."""
    with catalog.snapshot():
        by_status = dict(catalog.query("SELECT status, count(*) FROM images GROUP BY status"))
        reasons = dict(
            catalog.query(
                "SELECT coalesce(reason, ''), count(*) FROM images WHERE status = ? GROUP BY 1 ORDER BY 1",
                (Status.UNREADABLE.value,),
            )
        )
        videos, moments = _count_videos(catalog)
        clustered, clusters = catalog.query("SELECT count(*), count(DISTINCT cluster_id) FROM assignments")[0]
        newer = count_newer_faces(catalog)
        faces, rows, runs = count_faces(catalog), catalog.rows, newest_runs(catalog, 1)
        vectors = catalog.vectors_name
        away = count_away(catalog)
    return Counts(
        photos={status: by_status.get(status.value, 0) for status in Status},
        reasons=reasons,
        faces=faces,
        clustered=clustered,
        clusters=clusters,
        newer_faces=newer,
        rows=rows,
        bytes=file_sizes(directory, vectors),
        last_run=runs[0] if runs else None,
        away_photos=away.photos,
        away_faces=away.faces,
        away_since=away.since,
        videos=videos,
        moments=moments,
    )


def _count_videos(catalog: Catalog) -> tuple[int, int]:
    """Count the videos that were read, and their moments, which are photos below the paths of videos."""
    videos = catalog.query(
        "SELECT root_id, CAST(relpath || '/' AS BLOB) FROM images WHERE status = ? AND reason LIKE ?",
        (Status.OK.value, f"{VIDEO_PREFIX}%"),
    )
    moments = 0
    for root, start in videos:
        # Paths that begin so are those from here to the same with the next byte after the slash.
        found = catalog.query(
            "SELECT count(*) FROM images WHERE root_id = ? AND relpath > ? AND relpath < ?",
            (root, start, start[:-1] + b"0"),
        )
        moments += int(found[0][0])
    return len(videos), moments
