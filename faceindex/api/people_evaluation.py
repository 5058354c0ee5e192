"""Score an index by the decisions of its user: cluster without them, and identify each decided face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from faceindex.api.clustering import group_afresh, make_method, parameters_of
from faceindex.api.matcher import Matcher
from faceindex.evaluation.decisions import (
    DecidedFaces,
    DecidedIdentification,
    PeopleEvaluation,
    decided_faces,
    score_answers,
    score_clusters,
)
from faceindex.identification import identify
from faceindex.people.said import NOTHING, left_out, not_yet_born

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.store import Clustering
    from faceindex.types import I64

__all__ = ["MOST_SEARCHES", "score_people"]

MOST_SEARCHES: Final = 2000
"""Labelled faces that are identified; of more, as many are drawn. So many faces that are nobody too."""


def score_people(reader: Reader, *, named: bool, seed: int) -> PeopleEvaluation:
    """Score an index by its decisions; see `faceindex.api.evaluation.IndexEvaluation.people`."""
    with reader.store.snapshot():
        clustering, table, people = reader.clustering(), reader.table(), reader.people()
        names = {person: people.roster.title(person) for person in set(people.person.tolist()) if person >= 0}
        decided = decided_faces(people.label, people.person, names, named=named)
        clusters = _cluster_without_decisions(reader, clustering)
        answers = _identify(reader, decided, seed)
    return score_clusters(clusters, table.photo, decided, clustering.algorithm, answers, seed=seed)


def _cluster_without_decisions(reader: Reader, clustering: Clustering) -> I64:
    """Cluster all faces afresh with the method of the index."""
    parameters = parameters_of(clustering)
    method = make_method(clustering.algorithm, parameters, clustering.seed, lambda: reader.embedder_spec)
    return group_afresh(reader.store.directory, method, reader.table(), reader.vectors()).labels


def _identify(reader: Reader, decided: DecidedFaces, seed: int) -> DecidedIdentification | None:
    """Identify decided faces by the faces on other pictures."""
    matcher, table, people = Matcher(reader), reader.table(), reader.people()
    judge = matcher.judge(table, None)
    if judge is None:
        return None
    rng = np.random.default_rng(seed)
    labelled, nobody = (_draw(faces, rng) for faces in (decided.positions, decided.nobody))
    at = np.concatenate([labelled, nobody])
    shown = np.concatenate([people.person[labelled], np.full(len(nobody), -1)])
    picture = _pictures(reader)
    order = np.argsort(picture, kind="stable")
    ordered = picture[order]
    by_id = reader.faces_and_photos()[1].by_id
    whole = matcher.representatives()
    best = np.full(len(at), -1, np.int64)
    sure, searched = (np.zeros(len(at), bool) for _ in range(2))
    probability = np.full(len(at), np.nan)
    for i, (face, person) in enumerate(zip(at.tolist(), shown.tolist(), strict=True)):
        same = slice(*(int(np.searchsorted(ordered, picture[face], side)) for side in ("left", "right")))
        others = whole.without(order[same])
        if person >= 0 and person not in {people.of_cluster.get(cluster) for cluster in others.counts}:
            continue
        searched[i] = True
        unborn = not_yet_born(people.roster, by_id[int(table.photo[face])].taken)
        (match,) = identify(
            reader.store.vectors(table.row[[face]]),
            reader.store.search,
            faces=table.face,
            clusters=table.cluster,
            judge=judge,
            quality=table.quality[[face]],
            representatives=others,
            left_out=[left_out(people, NOTHING, others.counts, unborn)],
            neighbours=0,
        )
        if match.nearest_cluster is not None:
            best[i] = people.of_cluster.get(match.nearest_cluster, -1)
            sure[i], probability[i] = match.cluster is not None, match.probability
    return score_answers(shown, best, sure, probability, searched, drawn_from=len(decided.positions))


def _draw(faces: I64, rng: np.random.Generator) -> I64:
    if len(faces) <= MOST_SEARCHES:
        return faces
    return np.sort(rng.choice(faces, MOST_SEARCHES, replace=False))


def _pictures(reader: Reader) -> I64:
    """Return a number for each face: the same on all photos with the same picture."""
    table, names = reader.faces_and_photos()
    codes: dict[object, int] = {}
    code_of = {
        record.id: codes.setdefault(record.picture or record.content_hash or record.id, len(codes))
        for record in names.records
    }
    return np.array([code_of[photo] for photo in table.photo.tolist()], np.int64)
