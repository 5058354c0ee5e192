"""How probable it is that faces of a board show the people of its clusters."""

from __future__ import annotations

from typing import Final

import numpy as np

from faceindex.evidence import Ranking, evidence, odds, rivals
from faceindex.people.board import Board, greatest
from faceindex.types import F32, F64, I32, I64

__all__ = ["SHOWN", "FaceEvidence"]

SHOWN: Final = 4
"""Most faces that are shown of each side of a question, and most that one *is* question is about."""

_KEPT = 2.0  # log-odds for a face to be in the right cluster, before its own evidence
_RIVAL = 0.2  # size of an unnamed cluster that may be another person, as a share of the person's cluster
_NEAREST = 3
_RIVALS = 2  # of these, whose evidence is computed
_SUSPECTS = 64
_FEW_SUSPECTS = 16


class FaceEvidence:
    """Computes probabilities of single faces, and keeps those of clusters until these change.

    Parameters
    ----------
    board : Board
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._suspects: dict[int, tuple[bytes, I32, F64]] = {}
        self._doubts: dict[int, tuple[int, float]] = {}

    def of_loose(self, faces: I32, slots: I32, person: int) -> F64:
        """Return the probability that faces in no cluster show a person, whose slots are nearest, (k,)."""
        board = self.board
        sizes = board.sizes[board.sizes > 0].astype(np.float64)
        of = rivals(board.sizes[slots].astype(np.float64), sizes)
        rival = self._rivals(faces, person)
        ranking = Ranking(
            self._own(faces, slots), rival, of, np.full(len(faces), float(len(sizes))), len(sizes)
        )
        return odds(ranking, board.calibration, board.quality[faces]).probability

    def _own(self, faces: I32 | I64, slots: I32 | I64) -> F64:
        """Return the evidence that each face shows its slot, (k,); the face itself does not count."""
        board = self.board
        nearest, centroid, others = np.zeros(len(faces)), np.zeros(len(faces)), np.zeros(len(faces))
        for slot in np.unique(slots).tolist():  # the members of each are read once
            asked = np.flatnonzero(slots == slot)
            queries, members = board.vectors[faces[asked]], board.members(slot)
            values = board.compare(queries, members)
            inside = board.code[faces[asked]] == slot
            values[members == faces[asked][:, None]] = -np.inf
            others[asked] = len(members) - inside
            top = min(_NEAREST, len(members))
            values.partition(len(members) - top, axis=1)
            best = -np.sort(-values[:, len(members) - top :])
            counted = np.minimum(others[asked], _NEAREST)
            best[np.arange(top) >= counted[:, None]] = 0
            nearest[asked] = best.sum(axis=1, dtype=np.float64) / np.maximum(counted, 1)
            centre = board.sums[slot] - queries * inside[:, None]
            length = np.maximum(np.linalg.norm(centre, axis=1), 1e-12)
            centroid[asked] = np.einsum("ij,ij->i", centre, queries, dtype=np.float64) / length
        found = evidence(nearest, centroid, np.maximum(others, 1), board.calibration)
        return np.where(others > 0, found, -np.inf)

    def _rivals(self, faces: I32 | I64, person: int) -> F64:
        """Return the evidence that each face shows somebody else, the most similar one, (k,)."""
        board = self.board
        similarity = board.similarities(board.vectors[faces])
        own = int(board.sizes[board.person == person].max(initial=1))
        small = (board.person < 0) & (board.sizes < _RIVAL * own)  # it may be the same person
        similarity[:, (board.sizes == 0) | (board.person == person) | small] = -2
        kept = min(_NEAREST, board.slots)
        best = greatest(similarity, kept)
        values = np.take_along_axis(similarity, best, axis=1)
        order = np.argsort(-values, axis=1)
        best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
        items = np.where(board.code[faces] < 0, board.slots + faces, 0)
        rows = np.repeat(np.arange(len(faces)), kept)
        good = values > -2
        apart = board.is_apart(items[rows], best.ravel()).reshape(good.shape)
        good &= ~apart | (board.code[faces] >= 0)[:, None]
        good &= np.cumsum(good, axis=1) <= _RIVALS
        found = np.full(len(faces), -np.inf)
        row, column = np.nonzero(good)
        np.maximum.at(found, row, self._own(faces[row], best[row, column]))
        return found

    def rough_doubt(self, slot: int) -> float:
        """Bound the number of wrong faces among the most doubtful ones of a cluster, by its centre alone."""
        board = self.board
        version = int(board.version[slot])
        kept = self._doubts.get(slot)
        if kept is None or kept[0] != version:
            members = board.members(slot)
            similarity = board.centrality(slot).astype(np.float64)
            lowest = np.argsort(similarity, kind="stable")[:SHOWN]
            found = evidence(similarity[lowest], similarity[lowest], float(len(members)), board.calibration)
            wrong = self._wrong(found, np.full(len(found), -np.inf), board.quality[members[lowest]])
            # Somebody else may be as similar, which raises the probability.
            kept = self._doubts[slot] = (version, float(np.minimum(1, 3 * wrong + 0.03).sum()))
        return kept[1]

    def doubtful(self, slot: int) -> tuple[I32, F64]:
        """Return the least similar faces of a named cluster, and the probability that each is wrong."""
        board = self.board
        near = board.near(np.array([slot]))[0]
        state = b"".join(
            array.tobytes() for array in (near, board.version[[slot, *near]], board.person[[slot, *near]])
        )
        kept = self._suspects.get(slot)
        if kept is not None and kept[0] == state:
            return kept[1], kept[2]
        members = board.members(slot)
        similarity = board.centrality(slot)
        number = min(len(members), _SUSPECTS, max(_FEW_SUSPECTS, len(members) // 4))
        faces = members[np.argsort(similarity, kind="stable")[:number]]
        own = self._own(faces, np.full(len(faces), slot))
        wrong = self._wrong(own, self._rivals(faces, int(board.person[slot])), board.quality[faces])
        self._suspects[slot] = (state, faces, wrong)
        return faces, wrong

    def _wrong(self, own: F64, rival: F64, quality: F32) -> F64:
        """Return the probability that faces of a cluster do not belong there, by their evidence."""
        ones = np.ones(len(own))
        ranking = Ranking(own, rival, ones, ones, max(1, int((self.board.sizes > 0).sum())))
        log_odds = odds(ranking, self.board.calibration, quality).log_odds
        wrong: F64 = 1 / (1 + np.exp(np.clip(log_odds + _KEPT, -50, 50)))
        return wrong
