"""The state of a session of questions: a board of the index that follows its journal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from faceindex import models
from faceindex.api.following import DecisionChanges
from faceindex.api.reader import faces_at
from faceindex.people.board import Board, BoardState
from faceindex.people.constraints import (
    births_of,
    capture_times,
    places_of_marks,
    roots_of,
)
from faceindex.people.questions import Questions
from faceindex.people.roster import Roster
from faceindex.people.view import PeopleView
from faceindex.store.decisions import Label
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.question_results import Question
    from faceindex.api.reader import Reader
    from faceindex.api.results import Face
    from faceindex.people.asked import Asked, Key
    from faceindex.types import I32, I64, BoolArray

__all__ = ["Asking", "key_of"]


class Asking:
    """Keeps a board of an index up to date with the decisions.

    It has no names of photos and no positions of faces: these are read for the faces that are shown.

    Parameters
    ----------
    reader : Reader

    Attributes
    ----------
    board : Board
    questions : Questions
    roster : Roster
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self._store = reader, reader.store
        self._build()

    def _build(self) -> None:
        with self._store.snapshot():
            tables = self._store.decisions
            self._generation, self._key = self._store.generation, self._state()
            self.roster = Roster.of(tables.people())
            self._number = tables.newest()
            table = self._store.assignments()
            taken = capture_times(tables, table)
            vectors = self._store.vectors(table.row)
            # Nothing but these stays of the table: a million faces of it take 60 MiB.
            cluster, photo, quality = table.cluster.astype(np.int32), narrow(table.photo), table.quality
            self._faces = narrow(table.face)
            del table
            label = np.zeros(len(self._faces), np.uint8)
            self._labelled = np.full(len(label), -1, np.int32)  # before merges: one may be undone
            marked = tables.marked_faces()
            places, live = self._find(marked["face"])
            places, marked = places[live], marked[live]
            label[places], self._labelled[places] = marked["label"], marked["person"]
            order = np.argsort(marked["mark"], kind="stable")
            self._marks = narrow(marked["mark"][order])  # of each marked face, ascending
            self._places = places[order].astype(np.int32)
            del marked, places, live, order
            self._said = BoardState(
                cluster,
                label,
                roots_of(self.roster, self._labelled),
                self._people_of_clusters(),
                self._rejected(),
                self._different(),
                births_of(self.roster),
            )
        self.board = Board(
            vectors,
            photo,
            quality,
            taken,
            models.calibration_of(self._reader.embedder_spec),
            self._said,
        )
        self.questions = Questions(self.board)

    def _state(self) -> tuple[object, ...]:
        """Return what decisions do not change: the clustering and the faces."""
        clustering = self._store.active_clustering()
        return (None if clustering is None else (clustering.id, clustering.created), self._store.last_faces())

    def follow(self) -> None:
        """Take over what has changed in the index since the last call."""
        with self._store.snapshot():
            generation = self._store.generation
            if generation == self._generation:
                return
            if self._state() != self._key:
                self._build()
                return
            self._generation = generation
            changes = DecisionChanges.since(self._store.decisions, self._number)
            if changes.numbers:
                self._number = changes.numbers[-1]
                self._take_over(changes)

    def _take_over(self, changes: DecisionChanges) -> None:
        tables, said = self._store.decisions, self._said
        marks = np.array(sorted(changes.marks), np.int64)
        if len(marks):
            self._read_places(marks)
        if "person" in changes.kinds:
            self.roster = Roster.of(tables.people())
            said.born = births_of(self.roster)
        if len(marks):
            states = tables.labels(marks.tolist())
            labels = np.array([states[mark].label for mark in marks.tolist()], np.uint8)
            people = [states[mark].person for mark in marks.tolist()]
            which, places = places_of_marks(marks, self._marks, self._places)
            said.label[places] = labels[which]
            named = np.array([-1 if person is None else person for person in people], np.int32)
            self._labelled[places] = named[which]
        said.person = roots_of(self.roster, self._labelled)
        if changes.kinds & {"rejection", "person"}:
            said.rejected = self._rejected()
        if "link" in changes.kinds:
            said.different = self._different()
        said.of_cluster = self._people_of_clusters()
        now = tables.assigned(changes.moved)
        positions = self.positions(changes.moved)
        said.cluster[positions] = [now.get(face, -1) for face in self._faces[positions].tolist()]
        self.board.update(positions, said)

    def _rejected(self) -> I64:
        rejections = self._store.decisions.all_rejections()
        which, places = places_of_marks(rejections[:, 0], self._marks, self._places)
        return np.stack([places, roots_of(self.roster, rejections[which, 1])], axis=1)

    def _different(self) -> I64:
        links = self._store.decisions.all_links()
        links = links[links[:, 2] == 0]
        link, one = places_of_marks(links[:, 0], self._marks, self._places)
        again, other = places_of_marks(links[link, 1], self._marks, self._places)
        return np.stack([one[again], other], axis=1)

    def _people_of_clusters(self) -> dict[int, int]:
        roots = self.roster.roots
        return {c: roots[p] for c, p in self._store.decisions.people_of_clusters().items()}

    def _read_places(self, marks: I64) -> None:
        """Read which faces some marks are on; decisions make new marks."""
        found = self._store.decisions.faces_of_marks(marks.tolist())
        pairs = [(mark, face) for mark, faces in found.items() for face in faces]
        new = np.array(pairs, np.int64).reshape(-1, 2)
        places, live = self._find(new[:, 1])
        kept = ~np.isin(self._marks, marks)
        every = np.concatenate([self._marks[kept], new[live, 0]])
        order = np.argsort(every, kind="stable")
        self._marks = narrow(every[order])
        self._places = np.concatenate([self._places[kept], places[live].astype(np.int32)])[order]

    def ranked(self, limit: int | None, skipped: Collection[Key] = ()) -> list[Asked]:
        """Return the questions that settle most; see `faceindex.people.questions.Questions.ranked`.

        Parameters
        ----------
        limit : int, optional
        skipped : collection of tuple
            Keys that `key_of` returns: with face ids in place of positions.
        """
        return self.questions.ranked(limit, {self._placed(key) for key in skipped})

    def _placed(self, key: Key) -> tuple[object, ...]:
        """Return a key as `Questions.key` has it: with positions of faces, and the person after merges."""
        kind, person, clusters, faces = key
        at = self.positions(faces).tolist()
        if kind == "is":
            return ("is", self.roster.roots.get(person, person), *sorted(at))
        if kind in ("anyone", "sorted"):
            return (kind, *sorted(at))
        if kind == "who" and not clusters:
            return ("who", "face", *at[:1])
        return (kind, *clusters)

    def faces(self, asked: Sequence[Asked]) -> dict[int, Face]:
        """Return the faces that questions show, by their positions."""
        positions = sorted({place for one in asked for place in (*one.faces, *one.others)})
        at = np.array(positions, np.int64)
        with self._store.snapshot():
            table = self._store.faces(self._faces[at].tolist())
            names = PhotoNames(self._store, table.photo.tolist())
        view = PeopleView(
            self.roster,
            self.people()[at].astype(np.int64),
            self._said.label[at].astype(np.int64),
            dict(self._said.of_cluster),
        )
        table = replace(table, cluster=self._said.cluster[at].astype(np.int64))
        return dict(zip(positions, faces_at(table, names, range(len(at)), view), strict=True))

    def positions(self, faces: Sequence[int]) -> I64:
        """Return the positions of faces; those that are not in the index are left out."""
        at, live = self._find(np.array(faces, np.int64))
        return at[live]

    def _find(self, faces: I64) -> tuple[I64, BoolArray]:
        """Return the position of each of some faces, (k,), and whether it is in the index, (k,)."""
        live = (faces >= 0) & (faces <= np.iinfo(self._faces.dtype).max)
        wanted = np.where(live, faces, 0).astype(self._faces.dtype)  # else, all faces would be made int64
        at = np.searchsorted(self._faces, wanted)
        live &= at < len(self._faces)
        live[live] = self._faces[at[live]] == wanted[live]
        return at, live

    def named(self) -> tuple[int, int]:
        """Count the faces that show a person, and all that may."""
        label = self._said.label
        nobody = (label == Label.STRANGER) | (label == Label.NOT_A_FACE)
        return int(((self.people() >= 0) & ~nobody).sum()), int((~nobody).sum())

    def people(self) -> I32:
        """Return the person that each face shows, (n,): by its label, else by its cluster; -1 for none."""
        board, said = self.board, self._said.person
        by_cluster = np.append(board.person, -1).astype(np.int32)[board.code]  # -1 is the last one
        people: I32 = np.where(said >= 0, said, by_cluster)
        return people


def narrow(values: I64) -> I32 | I64:
    """Return values of 0 and above as int32 if they fit, which is half of the memory."""
    return values.astype(np.int32) if values.max(initial=0) <= np.iinfo(np.int32).max else values


def key_of(question: Question, person: int = -1, *, sorted_out: bool = False) -> Key:
    """Return what a skipped question is recognised by, as long as the clusters stay.

    Parameters
    ----------
    question : Question
    person : int
        Id of the person of an *is* question.
    sorted_out : bool
        The question is an *anyone* question whose faces are asked about one by one.
    """
    faces = tuple(sorted(face.face for face in question.faces))
    if question.kind == "is":
        return ("is", person, (), faces)
    if question.kind == "anyone":
        return ("sorted" if sorted_out else "anyone", -1, (), faces)
    clusters = (question.cluster,) if question.kind == "who" else (question.cluster, question.other)
    given = tuple(sorted(cluster for cluster in clusters if cluster is not None))
    return (question.kind, -1, given, () if given else faces)
