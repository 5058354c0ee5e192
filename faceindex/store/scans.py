"""Scans that found nothing to do. If the next scan finds the same files, the photos need not be read."""

from __future__ import annotations

from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import fields, integer, list_of, mapping, natural, optional
from faceindex.store.migrations import WITH_PICTURES
from faceindex.store.records import ScanCounts

__all__ = ["load_scan", "save_scan"]

_MOST = 16  # scans that are kept, of folders of one index that are indexed in turn

_SCANS = mapping(
    fields(photos=natural, ignored=natural, unreadable=mapping(natural), graph=optional(list_of(integer)))
)
"""By digest. ``graph`` is the state of the HNSW index's file."""

_COMPANIONS = mapping(mapping(natural))
"""`ScanCounts.companions` by digest, of scans that have any."""


def save_scan(catalog: Catalog, digest: str, counts: ScanCounts, hnsw_file: list[int] | None) -> None:
    """Save a scan, as `Store.save_scan`, and the state of the HNSW index's file; inside a transaction."""
    generation = catalog.generation
    is_current = catalog.get("seen_at", integer, -1) == generation
    scans = catalog.get("seen", _SCANS, {}) if is_current else {}
    scans.pop(digest, None)
    scans[digest] = {
        "photos": counts.photos,
        "ignored": counts.ignored,
        "unreadable": dict(counts.unreadable),
        "graph": hnsw_file,
    }
    kept = dict(list(scans.items())[-_MOST:])
    catalog.set("seen", kept)
    before = catalog.get("seen_companions", _COMPANIONS, {})
    now = {**before, digest: dict(counts.companions)}
    now = {digest: numbers for digest, numbers in now.items() if numbers and digest in kept}
    if now != before:
        catalog.set("seen_companions", now)
    catalog.set("seen_at", generation)


def load_scan(catalog: Catalog, digest: str, hnsw_file: list[int] | None) -> ScanCounts | None:
    """Return a saved scan; None if there is none, or if photos or the HNSW index have changed since.

    There is none in an index without pictures either: the next run has to read its photos.
    """
    if catalog.format_version < WITH_PICTURES:
        return None
    if catalog.get("seen_at", integer, -1) != catalog.generation:
        return None
    scan = catalog.get("seen", _SCANS, {}).get(digest)
    if scan is None or scan.pop("graph") != hnsw_file:
        return None
    return ScanCounts(**scan, companions=catalog.get("seen_companions", _COMPANIONS, {}).get(digest, {}))
