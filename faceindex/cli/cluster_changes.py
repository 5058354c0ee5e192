"""How ``faceindex clusters diff`` and ``faceindex cluster --dry-run`` print the changes of the clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from faceindex.cli.render import Output, columns, count
from faceindex.documents import Json

if TYPE_CHECKING:
    from faceindex.api import ClusterChanges, ClusterPart, MovedFace

__all__ = ["changes_as_json", "print_changes"]

_ROWS = 20  # in the table; --verbose shows all
_PHOTOS = 2  # of faces that moved together
_HEADER = ("change", "cluster", "faces", "details")


def changes_as_json(changes: ClusterChanges, absolute: bool) -> dict[str, Json]:
    """Return the changes as JSON values; `absolute` is as in `print_changes`."""
    document = changes.as_dict()
    for name in ("moved", "joined", "left"):
        faces: Sequence[MovedFace] = getattr(changes, name)
        document[name] = [
            {
                "face": face.face,
                "photo": _photo(face, absolute),
                "path": face.path,
                "old_cluster": face.old_cluster,
                "new_cluster": face.new_cluster,
            }
            for face in faces
        ]
    return document


def print_changes(out: Output, changes: ClusterChanges, absolute: bool) -> None:
    """Print a summary, and a table of the clusters that changed and of the faces that moved on their own.

    Parameters
    ----------
    out : Output
    changes : ClusterChanges
    absolute : bool
        Print absolute paths of photos.
    """
    out.paragraph(out.styled(_summary(changes), "bold"))
    details = [
        f"{name}: {made.astimezone():%Y-%m-%d %H:%M}"
        for name, made in (("before", changes.before), ("after", changes.after))
        if made is not None
    ]
    if changes.newer_faces:
        joined = changes.newer_faces - changes.newer_unclustered
        newer = f"{count(changes.newer_faces, 'face')} newer than the clusters before"
        details.append(f"{newer}, {joined:,} of them in a cluster")
    if details:
        out.paragraph(f"({'; '.join(details)})")
    rows = list(_rows(changes, absolute))
    if not rows:
        return
    shown = rows if out.verbose else rows[:_ROWS]
    out.answer()
    for line in columns(shown, header=_HEADER, right=[1, 2], width=out.width):
        out.answer(line)
    if len(shown) < len(rows):
        out.answer(f"and {count(len(rows) - len(shown), 'more row')}; -v shows all")


def _summary(changes: ClusterChanges) -> str:
    head = f"{count(changes.old_clusters, 'cluster')} before, {changes.new_clusters:,} after"
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (len(changes.merged), "merged"),
            (len(changes.split), "split"),
            (len(changes.renumbered), "renumbered"),
            (len(changes.new), "new"),
            (len(changes.gone), "gone"),
        )
        if number
    ]
    parts += [
        f"{count(number, 'face')} {words}"
        for number, words in (
            (len(changes.moved), "moved to another cluster"),
            (len(changes.joined), "now in a cluster"),
            (len(changes.left), "no longer in a cluster"),
        )
        if number
    ]
    return f"{head}: {', '.join(parts) or 'no older face changed its cluster'}"


def _rows(changes: ClusterChanges, absolute: bool) -> Iterator[tuple[str, str, str, str]]:
    for each in changes.merged:
        yield "merged", str(each.cluster), f"{each.faces:,}", f"from {_parts(each.parts)}"
    for each in changes.split:
        yield "split", str(each.cluster), f"{each.faces:,}", f"into {_parts(each.parts)}"
    for same in changes.renumbered:
        yield "renumbered", str(same.old_cluster), f"{same.faces:,}", f"is cluster {same.new_cluster} now"
    for part in changes.new:
        yield "new", str(part.cluster), f"{part.faces:,}", ""
    for part in changes.gone:
        yield "gone", str(part.cluster), f"{part.faces:,}", ""
    for name, faces in (("moved", changes.moved), ("joined", changes.joined), ("left", changes.left)):
        for together in _by_clusters(faces):
            photos = list(dict.fromkeys(_photo(face, absolute) for face in together))
            more = f" and {len(photos) - _PHOTOS:,} more" if len(photos) > _PHOTOS else ""
            old, new = together[0].old_cluster, together[0].new_cluster
            cluster = f"{'-' if old is None else old} > {'-' if new is None else new}"
            yield name, cluster, f"{len(together):,}", ", ".join(photos[:_PHOTOS]) + more


def _parts(parts: Sequence[ClusterPart]) -> str:
    return ", ".join(f"{part.cluster} ({count(part.faces, 'face')})" for part in parts)


def _by_clusters(faces: Sequence[MovedFace]) -> list[list[MovedFace]]:
    """Group faces that moved between the same clusters; the largest group first."""
    found: dict[tuple[int | None, int | None], list[MovedFace]] = {}
    for face in faces:
        found.setdefault((face.old_cluster, face.new_cluster), []).append(face)
    return sorted(found.values(), key=lambda together: -len(together))


def _photo(face: MovedFace, absolute: bool) -> str:
    return face.path if absolute else face.photo
