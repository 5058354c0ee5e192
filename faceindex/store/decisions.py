"""Decisions of the user in the catalog: the journal, and the state to which its entries add up.

Methods that write run inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from faceindex.errors import UsageError
from faceindex.store.checked_json import (
    Malformed,
    integer,
    list_of,
    mapping,
    moment,
    natural,
    optional,
    parse,
    text,
    up_to,
)
from faceindex.store.decision_changes import change
from faceindex.store.drawn_faces import DrawnFaces
from faceindex.store.marks import Label, MarkState, MarkTables
from faceindex.store.sqlite import IntegrityError, chunks, placeholders

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.types import F32, I64

__all__ = ["MOST_PEOPLE", "Decision", "DecisionTables", "Label", "MarkState", "PersonRecord"]

_MOST = 2**63 - 1  # that SQLite stores

MOST_PEOPLE = 10**8
"""Bound of the ids of people, as `faceindex.store.faces.MOST_CLUSTERS`: arrays have a place for each id."""


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person.

    Attributes
    ----------
    id : int
        In this index.
    uid : str
        The same in every index that has the person.
    name : str or None
    born, died : str or None
        Dates in ISO 8601: a year, a month or a day.
    hidden : bool
    note : str or None
    into : int or None
        The person that this one was merged into.
    written : int
        Number of the decision that wrote this last; 0 if the one that added the person was undone.
    """

    id: int
    uid: str
    name: str | None
    born: str | None
    died: str | None
    hidden: bool
    note: str | None
    into: int | None
    written: int


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of the journal.

    Attributes
    ----------
    number : int
        Ascending in the order in which decisions were made in this index.
    uid : str
        The same in every index that has the entry.
    at : datetime
        UTC.
    command : str
        The command, or the call, that made it.
    actions : list
        What it says. Faces are ids of marks. An action ``left_out`` has what conflicted of it, when it was
        applied from a file.
    undone_by : int or None
        Number of the decision that undid it.
    """

    number: int
    uid: str
    at: datetime
    command: str
    actions: list[dict[str, Any]]
    undone_by: int | None


class DecisionTables(MarkTables):
    """The tables of people, marks and decisions, and the people of clusters."""

    @property
    def drawn_faces(self) -> DrawnFaces:
        """The faces that the user drew."""
        return DrawnFaces(self._catalog)

    # People ------------------------------------------------------------------------------------

    def people(self) -> list[PersonRecord]:
        """Return all people, also those that were merged into others, in the order of their ids."""
        if not self.exist:
            return []
        found = self._people("ORDER BY id")
        known = {record.id for record in found}
        with self._catalog.checked():
            if any(record.into is not None and record.into not in known for record in found):
                raise Malformed("a person is merged into one that does not exist")
            for table in ("clusters", "marks", "rejections"):
                named = self._catalog.query(f"SELECT DISTINCT person_id FROM {table} WHERE person_id NOTNULL")
                if lost := {person for (person,) in named} - known:
                    raise Malformed(f"the person {min(lost)} of {table} does not exist")
        return found

    def person(self, person: int) -> PersonRecord | None:
        """Return a person by id."""
        found = self._people("WHERE id = ?", (person,))
        return found[0] if found else None

    def person_with_uid(self, uid: str) -> PersonRecord | None:
        """Return a person by uid."""
        found = self._people("WHERE uid = ?", (uid,))
        return found[0] if found else None

    def people_with_key(self, key: str) -> list[PersonRecord]:
        """Return the people whose name has this key, without those that were merged into others."""
        return (
            self._people("WHERE name_key = ? AND into_id IS NULL ORDER BY id", (key,)) if self.exist else []
        )

    def _people(self, clauses: str, parameters: Sequence[object] = ()) -> list[PersonRecord]:
        found = self._catalog.query(
            f"SELECT id, uid, name, born, died, hidden, note, into_id, written FROM people {clauses}",
            parameters,
        )
        with self._catalog.checked():
            return [
                PersonRecord(
                    up_to(MOST_PEOPLE - 1)(id, "the id of a person"),
                    text(uid, "the uid of a person"),
                    optional(text)(name, "the name of a person"),
                    optional(text)(born, "the birth of a person"),
                    optional(text)(died, "the death of a person"),
                    bool(natural(hidden, "whether a person is hidden")),
                    optional(text)(note, "the note on a person"),
                    optional(natural)(into, "a person's into_id"),
                    natural(written, "the decision of a person"),
                )
                for id, uid, name, born, died, hidden, note, into, written in found
            ]

    def insert_person(self, uid: str, written: int) -> int:
        """Add a person without a name, and return the id."""
        cursor = self._catalog.execute("INSERT INTO people (uid, written) VALUES (?, ?)", (uid, written))
        return int(cursor.lastrowid or 0)

    def update_person(self, record: PersonRecord, key: str | None) -> None:
        """Store all fields of a person; `key` is that of the name."""
        self._catalog.execute(
            "UPDATE people SET name = ?, name_key = ?, born = ?, died = ?, hidden = ?, note = ?, into_id = ?,"
            " written = ? WHERE id = ?",
            (record.name, key, record.born, record.died, record.hidden, record.note, record.into,
             record.written, record.id),
        )  # fmt: skip

    def delete_person(self, person: int) -> None:
        """Delete a person who was just added."""
        self._catalog.execute("DELETE FROM people WHERE id = ?", (person,))

    # The journal -------------------------------------------------------------------------------

    def append(self, uid: str, at: datetime, command: str, actions: Json) -> int:
        """Append a decision without its changes, and return its number."""
        try:
            cursor = self._catalog.execute(
                "INSERT INTO decisions (uid, at, command, actions, changes) VALUES (?, ?, ?, ?, '[]')",
                (uid, at.isoformat(), command, json.dumps(actions, separators=(",", ":"))),
            )
        except IntegrityError as error:
            raise UsageError("The journal has this decision already.", "Apply each decision once.") from error
        return int(cursor.lastrowid or 0)

    def remove(self, number: int) -> None:
        """Remove a decision that was not finished, and changed nothing."""
        self._catalog.execute("DELETE FROM decisions WHERE id = ?", (number,))

    def set_actions(self, number: int, actions: Json) -> None:
        """Store what a decision says."""
        self._catalog.execute(
            "UPDATE decisions SET actions = ? WHERE id = ?",
            (json.dumps(actions, separators=(",", ":")), number),
        )

    def set_changes(self, number: int, changes: Json) -> None:
        """Store what a decision changed, so that it can be undone."""
        self._catalog.execute(
            "UPDATE decisions SET changes = ? WHERE id = ?",
            (json.dumps(changes, separators=(",", ":")), number),
        )

    def changes(self, number: int) -> list[list[Any]]:
        """Return what a decision changed."""
        return self._changes("= ?", number)[number]

    def changes_since(self, number: int) -> dict[int, list[list[Any]]]:
        """Return what each decision after one changed, by its number; numbers have gaps."""
        return self._changes("> ? ORDER BY id", number) if self.exist else {}

    def _changes(self, which: str, number: int) -> dict[int, list[list[Any]]]:
        found = self._catalog.query(f"SELECT id, changes FROM decisions WHERE id {which}", (number,))
        with self._catalog.checked():
            return {id: parse(changes, "the changes of a decision", list_of(change)) for id, changes in found}

    def rewrite(self, number: int, command: str, actions: Json, changes: Json) -> None:
        """Replace all that a decision says; only to forget what it names."""
        self._catalog.execute("UPDATE decisions SET command = ? WHERE id = ?", (command, number))
        self.set_actions(number, actions)
        self.set_changes(number, changes)

    def set_undone(self, number: int, by: int | None) -> None:
        """Store by which decision another one was undone."""
        self._catalog.execute("UPDATE decisions SET undone_by = ? WHERE id = ?", (by, number))

    def left_out(self) -> dict[str, list[dict[str, Any]]]:
        """Return what was left out of decisions of files because it conflicted, by their uids."""
        decisions = self._decisions('WHERE undone_by IS NULL AND actions LIKE \'%"do":"left_out"%\'', ())
        return {
            decision.uid: action["actions"]
            for decision in decisions
            for action in decision.actions
            if action.get("do") == "left_out"
        }

    def newest(self) -> int:
        """Return the number of the newest decision; 0 if there is none."""
        if not self.exist:
            return 0
        return int(self._catalog.query("SELECT coalesce(max(id), 0) FROM decisions")[0][0])

    def count(self) -> int:
        """Count the decisions."""
        return int(self._catalog.query("SELECT count(*) FROM decisions")[0][0]) if self.exist else 0

    def uids(self) -> dict[str, int]:
        """Return the numbers of all decisions by their uids."""
        return {str(uid): int(id) for id, uid in self._catalog.query("SELECT id, uid FROM decisions")}

    def decisions(self, *, limit: int | None = None) -> list[Decision]:
        """Return the newest decisions, newest first; None means all."""
        if not self.exist:
            return []
        return self._decisions("ORDER BY id DESC LIMIT ?", (-1 if limit is None else min(limit, _MOST),))

    def to_undo(self, number: int) -> list[Decision]:
        """Return the newest decisions that were not undone or forgotten and undo none, newest first."""
        return self._decisions(
            'WHERE undone_by IS NULL AND actions NOT LIKE \'[{"do":"undo"%\''
            ' AND actions NOT LIKE \'[{"do":"forgotten"%\' ORDER BY id DESC LIMIT ?',
            (min(number, _MOST),),
        )

    def decision(self, number: int) -> Decision | None:
        """Return a decision by its number."""
        found = self._decisions("WHERE id = ?", (number,)) if self.exist else []
        return found[0] if found else None

    def decision_with_uid(self, uid: str) -> Decision | None:
        """Return a decision by its uid."""
        found = self._decisions("WHERE uid = ?", (uid,)) if self.exist else []
        return found[0] if found else None

    def _decisions(self, clauses: str, parameters: Sequence[object]) -> list[Decision]:
        found = self._catalog.query(
            f"SELECT id, uid, at, command, actions, undone_by FROM decisions {clauses}", parameters
        )
        with self._catalog.checked():
            return [
                Decision(
                    integer(id, "the number of a decision"),
                    text(uid, "the uid of a decision"),
                    moment(at, "the time of a decision"),
                    text(command, "the command of a decision"),
                    parse(actions, "the actions of a decision", list_of(mapping())),
                    optional(integer)(undone_by, "a decision's undone_by"),
                )
                for id, uid, at, command, actions, undone_by in found
            ]

    # Clusters ----------------------------------------------------------------------------------

    def people_of_clusters(self) -> dict[int, int]:
        """Return the person of each cluster that has one, as the label says, before merges of people."""
        if not self.exist:
            return {}
        found = self._catalog.query("SELECT id, person_id FROM clusters WHERE person_id IS NOT NULL")
        return {int(cluster): int(person) for cluster, person in found}

    def update_cluster_people(
        self, clusters: Iterable[int] | None = None, linked: Mapping[int, int] | None = None
    ) -> None:
        """Derive the person of clusters (None: of all) from the labels of their faces.

        Parameters
        ----------
        clusters : iterable of int, optional
        linked : mapping of int to int, optional
            The people of clusters without a label, of which a face shows one person with a labelled face.
        """
        joined = (
            "SELECT a.cluster_id, max(m.person_id) FROM marked_faces f JOIN marks m ON m.id = f.mark_id"
            " JOIN assignments a ON a.face_id = f.face_id WHERE m.person_id IS NOT NULL"
        )
        if clusters is None:
            self._catalog.execute("UPDATE clusters SET person_id = NULL WHERE person_id IS NOT NULL")
            found = self._catalog.query(f"{joined} GROUP BY 1")
        else:
            found = []
            for chunk in chunks([int(cluster) for cluster in clusters]):
                where = placeholders(chunk)
                self._catalog.execute(f"UPDATE clusters SET person_id = NULL WHERE id IN ({where})", chunk)
                found += self._catalog.query(f"{joined} AND a.cluster_id IN ({where}) GROUP BY 1", chunk)
        people = {**(linked or {}), **dict(found)}
        self._catalog.executemany(
            "UPDATE clusters SET person_id = ? WHERE id = ?",
            [(person, cluster) for cluster, person in people.items()],
        )

    def next_cluster_id(self) -> int:
        """Return the lowest id that no cluster ever had."""
        return int(self._catalog.get("next_cluster_id", natural))

    def assigned(self, faces: Sequence[int]) -> dict[int, int]:
        """Return the cluster of each face that is in one."""
        return {
            int(face): int(cluster)
            for face, cluster in self._catalog.query_in(
                "SELECT face_id, cluster_id FROM assignments WHERE face_id IN ({})", faces
            )
        }

    def faces_of_clusters(self, clusters: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return (face, vector row, cluster) of the faces in some clusters, by cluster and face."""
        return [
            (int(face), int(row), int(cluster))
            for face, row, cluster in self._catalog.query_in(
                "SELECT f.id, f.vector_row, a.cluster_id FROM assignments a JOIN faces f ON f.id = a.face_id"
                " WHERE a.cluster_id IN ({}) ORDER BY a.cluster_id, f.id",
                clusters,
            )
        ]

    def central_faces(self, cluster: int, number: int, left_out: Set[int]) -> list[int]:
        """Return the faces of a cluster that are most similar to its centroid, but for those left out."""
        found = self._catalog.query(
            "SELECT face_id FROM assignments WHERE cluster_id = ? ORDER BY similarity DESC, face_id LIMIT ?",
            (cluster, number + len(left_out)),
        )
        return [int(face) for (face,) in found if face not in left_out][:number]

    def clusters_of_people(self, people: Sequence[int]) -> list[int]:
        """Return the clusters whose label is one of some people."""
        return [
            int(cluster)
            for (cluster,) in self._catalog.query_in(
                "SELECT id FROM clusters WHERE person_id IN ({}) ORDER BY id", people
            )
        ]

    def move_faces(self, faces: I64, clusters: I64, similarities: F32, next_cluster: int) -> None:
        """Assign faces to clusters, -1 for none, and keep the greatest id that a cluster ever had.

        Parameters
        ----------
        faces, clusters : (n,) int64
        similarities : (n,) float32
        next_cluster : int
            The lowest id that no cluster ever had, after these.
        """
        moved = list(zip(faces.tolist(), clusters.tolist(), similarities.tolist(), strict=True))
        self._catalog.executemany("DELETE FROM assignments WHERE face_id = ?", [(f,) for f, _, _ in moved])
        self._catalog.executemany(
            "INSERT OR IGNORE INTO clusters (id) VALUES (?)",
            [(c,) for c in {c for _, c, _ in moved if c >= 0}],
        )
        self._catalog.executemany(
            "INSERT INTO assignments (face_id, cluster_id, similarity) VALUES (?, ?, ?)",
            [row for row in moved if row[1] >= 0],
        )
        self._catalog.set("next_cluster_id", next_cluster)
