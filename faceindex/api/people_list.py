"""List the people of an index, for ``index.people.list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from faceindex.api.people_results import Person
from faceindex.people.dates import moment_of
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.reader import Reader

__all__ = ["list_people"]


def list_people(reader: Reader) -> list[Person]:
    """Return all people, those with most faces first."""
    with reader.store.snapshot():
        table, names = reader.faces_and_photos()
        view = reader.people()
    records = {record.id: record for record in view.roster.people()}
    found = []
    clusters: dict[int, list[int]] = {}
    for cluster, person in view.of_cluster.items():
        clusters.setdefault(person, []).append(cluster)
    sizes = np.bincount(table.cluster[table.cluster >= 0]) if len(table) else np.zeros(0, np.int64)
    order = np.argsort(view.person, kind="stable")
    ordered = view.person[order]
    for id, record in records.items():
        mine = order[np.searchsorted(ordered, id, "left") : np.searchsorted(ordered, id, "right")]
        photos = np.unique(table.photo[mine])
        taken = [t for photo in photos.tolist() if (t := names.by_id[photo].taken) is not None]
        found.append(
            Person(
                id=id,
                uid=record.uid,
                name=view.roster.title(id),
                born=record.born,
                died=record.died,
                hidden=record.hidden,
                note=record.note,
                clusters=tuple(sorted(clusters.get(id, ()), key=lambda c: (-sizes[c], c))),
                faces=len(mine),
                photos=len(photos),
                named=int((view.label[mine] == Label.NAMED).sum()),
                confirmed=int((view.label[mine] == Label.CONFIRMED).sum()),
                first=moment_of(min(taken)) if taken else None,
                last=moment_of(max(taken)) if taken else None,
            )
        )
    return sorted(found, key=lambda person: (-person.faces, person.name))
