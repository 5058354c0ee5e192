"""The state of a session of questions: a board of the index that follows its journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from faceindex import models
from faceindex.api.following import DecisionChanges
from faceindex.api.reader import faces_at, find_faces
from faceindex.people.board import Board, BoardState
from faceindex.people.constraints import all_constraints, births_of, capture_times
from faceindex.people.questions import Questions
from faceindex.people.roster import Roster
from faceindex.people.view import PeopleView
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.api.results import Face
    from faceindex.types import I64

__all__ = ["Asking"]


class Asking:
    """Keeps a board of an index up to date with the decisions.

    Parameters
    ----------
    reader : Reader

    Attributes
    ----------
    board : Board
    questions : Questions
    roster : Roster
    skipped : set of tuple
        Keys of the questions that the user skipped.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader, self._store = reader, reader.store
        self.skipped: set[tuple[object, ...]] = set()
        self._build()

    def _build(self) -> None:
        with self._store.snapshot():
            tables = self._store.decisions
            self._generation, self._key = self._store.generation, self._state()
            self._table, self._names = self._reader.faces_and_photos()
            view = self._reader.people()
            constraints = all_constraints(tables, self._table)
            self._number = tables.newest()
            marked = tables.marked_faces()
            taken = capture_times(tables, self._table)
            vectors = self._reader.vectors()
        self._places: dict[int, list[int]] = {}
        at = np.searchsorted(self._table.face, marked["face"])
        for mark, position in zip(marked["mark"].tolist(), at.tolist(), strict=True):
            self._places.setdefault(mark, []).append(position)
        self.roster = view.roster
        self._said = BoardState(
            self._table.cluster.copy(),
            view.label.copy(),
            constraints.person.copy(),
            view.of_cluster,
            constraints.rejected,
            constraints.different,
            births_of(view.roster),
        )
        self.board = Board(
            vectors,
            self._table.photo,
            self._table.quality,
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
        if self._store.generation == self._generation:
            return
        with self._store.snapshot():
            if self._state() != self._key:
                self._build()
                return
            self._generation = self._store.generation
            tables = self._store.decisions
            changes = DecisionChanges.since(tables, self._number)
            self._number, marks, moved = changes.newest, sorted(changes.marks), changes.moved
            for mark, faces in tables.faces_of_marks(marks).items():
                self._places[mark] = find_faces(self._table, faces).tolist()
            self.roster = Roster.of(tables.people())
            roots = self.roster.roots
            said = self._said
            for mark, state in tables.labels(marks).items():
                places = self._places.get(mark, [])
                said.label[places] = int(state.label)
                said.person[places] = -1 if state.person is None else state.person
            if changes.people:
                known = said.person >= 0
                said.person[known] = [roots[p] for p in said.person[known].tolist()]
                said.born = births_of(self.roster)
            rejections, links = tables.all_rejections(), tables.all_links()
            said.rejected = _array(
                (place, roots[person])
                for mark, person, _ in rejections.tolist()
                for place in self._places.get(mark, ())
            )
            said.different = _array(
                (one, other)
                for a, b, same, _ in links.tolist()
                if not same
                for one in self._places.get(a, ())
                for other in self._places.get(b, ())
            )
            said.of_cluster = {c: roots[p] for c, p in tables.people_of_clusters().items()}
            now = tables.assigned(moved)
        positions = find_faces(self._table, moved) if moved else np.empty(0, np.int64)
        said.cluster[positions] = [now.get(face, -1) for face in moved]
        self.board.update(positions, said)

    def faces(self, positions: tuple[int, ...]) -> tuple[Face, ...]:
        """Return faces by their positions."""
        table = replace(self._table, cluster=self._said.cluster)
        view = PeopleView(self.roster, self.people(), self._said.label, dict(self._said.of_cluster))
        return tuple(faces_at(table, self._names, positions, view))

    def positions(self, faces: list[int]) -> I64:
        """Return the positions of faces; raises `UsageError` for an unknown one."""
        return find_faces(self._table, faces)

    def named(self) -> tuple[int, int]:
        """Count the faces that show a person, and all that may."""
        nobody = np.isin(self._said.label, [Label.STRANGER, Label.NOT_A_FACE])
        return int(((self.people() >= 0) & ~nobody).sum()), int((~nobody).sum())

    def people(self) -> I64:
        """Return the person that each face shows, (n,): by its label, else by its cluster; -1 for none."""
        board, said = self.board, self._said.person
        by_cluster = np.append(board.person, -1)[board.code]  # -1 is the last one
        people: I64 = np.where(said >= 0, said, by_cluster)
        return people


def _array(pairs: Iterable[tuple[int, int]]) -> I64:
    return np.array(list(pairs), np.int64).reshape(-1, 2)
