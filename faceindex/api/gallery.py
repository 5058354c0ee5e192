"""What a gallery of an index shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from faceindex.api.album_state import people_as_dicts
from faceindex.documents import as_json
from faceindex.errors import ModelError, NotClustered
from faceindex.export.gallery_source import GallerySource
from faceindex.export.people import select_faces
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.question_results import Question
    from faceindex.api.reader import Reader
    from faceindex.documents import Json
    from faceindex.store.decisions import DecisionTables
    from faceindex.types import I64

__all__ = ["gallery_source"]

_QUESTIONS: Final = 200
_MOST_FACES: Final = 100_000
"""Faces above which no questions are computed: with more, that takes longer than to write the page anew."""


def gallery_source(reader: Reader, *, hidden: bool) -> GallerySource:
    """Read what a gallery shows, as it is at one moment.

    Parameters
    ----------
    reader : Reader
    hidden : bool
        Also show hidden people.
    """
    store = reader.store
    with store.snapshot():
        table, names = reader.faces_and_photos()
        view = reader.people()
        roster = view.roster
        people = [record for record in roster.people() if hidden or not record.hidden]
        questions = _questions(reader)
        decisions = store.decisions.decisions(limit=1)
        linked = _linked(store.decisions)
        forgotten = store.forgotten.contents() | store.forgotten_contents()
        newer, roots = store.count_newer_faces(), store.roots()
        clustered = store.active_clustering() is not None
    shown = np.array([record.id for record in people], np.int64)
    of_cluster = view.of_cluster
    person, label = view.person.copy(), view.label
    # Strangers, and what is not a face, may still have been labelled as somebody's before.
    person[(label == Label.STRANGER) | (label == Label.NOT_A_FACE)] = -1
    left_out = [cluster for cluster, one in of_cluster.items() if roster.records[one].hidden and not hidden]
    kept = ((person < 0) | np.isin(person, shown)) & ~np.isin(table.cluster, left_out)
    at = np.flatnonzero(kept)
    if len(at) < len(table):
        table, person, label = select_faces(table, at), person[at], label[at]
    present = {*np.unique(table.cluster).tolist()}
    by_name = {roster.title(record.id): record.id for record in people}
    return GallerySource(
        table=table,
        photos=names.records,
        roots=roots,
        path_of=names.path,
        clustered=clustered,
        person=person,
        label=label,
        people=people_as_dicts(people),
        cluster_person={c: one for c, one in of_cluster.items() if c in present},
        newer_faces=newer,
        forgotten=forgotten,
        index_id=store.index_id or "",
        decision=decisions[0].uid if decisions else None,
        linked=linked & {*table.face.tolist()},
        questions=[_as_dict(question, by_name) for question in _shown(questions, by_name, table.face)],
    )


def _linked(tables: DecisionTables) -> set[int]:
    """Return the faces that were said to be the same person as others."""
    links = tables.all_links()
    marks = np.unique(links[links[:, 2] == 1][:, :2]).tolist()
    return {face for faces in tables.faces_of_marks(marks).values() for face in faces}


def _questions(reader: Reader) -> Sequence[Question]:
    """Return the questions that settle most; none if the index cannot have any, or is large."""
    from faceindex.api.people_questions import AskingPeople

    if len(reader.table()) > _MOST_FACES:
        return ()
    try:
        return AskingPeople(reader).suggest(_QUESTIONS)
    except (NotClustered, ModelError):
        return ()


def _shown(questions: Sequence[Question], by_name: dict[str, int], faces: I64) -> list[Question]:
    """Return the questions that are about people and faces of the gallery only."""
    known = {*faces.tolist()}
    return [
        question
        for question in questions
        if (question.person is None or question.person in by_name)
        and all(face.face in known for face in (*question.faces, *question.others))
    ]


def _as_dict(question: Question, by_name: dict[str, int]) -> dict[str, Json]:
    """Return a question as JSON for the page, with people by id."""
    faces = [face.face for face in question.faces]
    others = [face.face for face in question.others]
    return {
        "id": "-".join(map(str, (question.kind, question.cluster, question.other, *faces, *others))),
        "kind": question.kind,
        "person": None if question.person is None else by_name[question.person],
        "cluster": question.cluster,
        "other": question.other,
        "faces": list(faces),
        "others": list(others),
        "settles": question.settles,
        "expected": as_json(question.expected),
        "probability": as_json(question.probability),
    }
