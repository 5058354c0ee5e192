"""Questions to the user about faces, in the order of what an answer settles.

Each question has an expected number of faces that become right by its answer, and those with the highest come
first:

- *who*: who is this cluster, or this face? All its faces get a name. A few faces are more often of
  bystanders: the number is multiplied by the probability that the user names them, which follows the answers
  so far.
- *same*: does an unnamed cluster show this person, or another unnamed cluster? It takes the place of *who*
  where the person is probable, because it is quicker to answer.
- *is*: do these faces show this person? Faces in no cluster that resemble a person count with the probability
  that they show the person (`faceindex.evidence`); faces in a cluster of the person that nobody has confirmed
  count with the probability that they do not. Four faces of a person are asked about at a time.
- *anyone*: can you name any of these faces in no cluster? The others are ignored.

Which clusters resemble each other most is measured by their *likeness*, as in
`faceindex.clustering.merging`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from faceindex.clustering.strangers import stranger_similarity
from faceindex.evidence import Ranking, evidence, odds
from faceindex.people.asked import Asked
from faceindex.people.board import Board
from faceindex.people.face_evidence import SHOWN, FaceEvidence
from faceindex.quality import POOR_QUALITY
from faceindex.store.decisions import Label
from faceindex.types import F64, I32, I64

__all__ = ["SHOWN", "Questions"]

# Probability that two clusters show one person, by their likeness (see `Questions.likeness`). Set by
# hand with all people of shared/data in view; `benchmarks/owner.py` shows what the questions are worth.
_LIKENESS = 16.0  # log-odds per unit
_EVEN = 0.66
_PROBABLE = 0.5  # from here on, `same` is asked instead of `who`
_LOOK_ALIKE = 0.25  # share of the smaller cluster that `same` of two unnamed clusters counts
_REMOVED = 0.5  # of a face that becomes right, what one counts that loses a wrong name
_LEAST = 0.02  # expected faces; a question that settles less is not asked
_DOUBT = 4.0  # faces that were named and faces that were ignored, before any answer
_MOST_KNOWN = 3.0  # greatest ratio of these
_POOR_KNOWN = 0.3  # the same for poor faces, relative to good ones
_RECOGNISED = 0.9  # probability that a face is named of which the user said so
_REFINED = 12  # faces of a person whose evidence is computed, by their similarity to the centre

_TOGETHER = 64  # clusters whose neighbours are found together

Skipped: TypeAlias = "Collection[tuple[object, ...]]"
"""Keys of questions that are left out, as of `Questions.key`."""


class _Bounds(NamedTuple):
    """Questions that may be asked.

    Attributes
    ----------
    most : (k,) float64
        Upper bounds of the expected faces of each.
    make : callable
        Makes the questions of one of them, by its number.
    """

    most: F64
    make: Callable[[int], list[Asked]]


class Questions:
    """Ranks the questions of a board.

    Parameters
    ----------
    board : Board
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._strangers = stranger_similarity(board.calibration)
        self._evidence = FaceEvidence(board)
        self._candidates: dict[int, tuple[bytes, I32, F64]] = {}

    def ranked(self, limit: int | None, skipped: Skipped = ()) -> list[Asked]:
        """Return the questions that settle most, the best first.

        Parameters
        ----------
        limit : int, optional
            None means all.
        skipped : collection of tuple
            Keys (`key`) of questions that are left out. If a face of an *is* question is in one of them, the
            question is left out too, and so are the faces of an *anyone* question. With ``"sorted"`` in place
            of ``"anyone"``, its faces are asked about one by one.
        """
        kinds = self._bounded(skipped)
        most = np.concatenate([kind.most for kind in kinds])
        which = np.repeat(np.arange(len(kinds)), [len(kind.most) for kind in kinds])
        number = np.concatenate([np.arange(len(kind.most)) for kind in kinds])
        found: list[Asked] = []
        best: list[float] = []  # expected faces of the best `limit`, a heap
        for i in np.argsort(-most, kind="stable"):
            if limit is not None and len(best) >= limit and (not best or best[0] >= most[i]):
                break
            made = kinds[which[i]].make(int(number[i]))
            found += made
            if limit is not None:
                for asked in made:
                    heapq.heappush(best, asked.expected)
                    if len(best) > limit:
                        heapq.heappop(best)
        found.sort(key=lambda q: (-q.expected, q.faces))
        return found[:limit]

    def key(self, asked: Asked) -> tuple[object, ...]:
        """Return what a skipped question is recognised by here, with positions of faces."""
        ids = self.board.ids
        if asked.kind == "is":
            return ("is", asked.person, *sorted(asked.faces))
        if asked.kind == "anyone":
            return ("anyone", *sorted(asked.faces))
        if asked.slot < 0:
            return ("who", "face", asked.faces[0])
        if asked.kind == "who":
            return ("who", ids[asked.slot])
        return ("same", *sorted((ids[asked.slot], ids[asked.other])))

    def count(self) -> int:
        """Count the questions, without those about doubtful faces: fast, and nearly right."""
        board = self.board
        _, _, chance = self._loose_people()
        likely = int((chance >= _LEAST).sum())
        return int(((board.person < 0) & (board.sizes > 1)).sum()) + -(-likely // SHOWN)

    # Clusters ----------------------------------------------------------------------------------

    def likeness(self, one: I64, other: I64) -> F64:
        """Return how similar two clusters are to each other, compared with each in itself, (k,).

        The average similarity of the faces of the one to those of the other, without that of strangers,
        divided by the geometric mean of those within the two. A cluster of one face has that of the other
        one.
        """
        slots, places = np.unique(np.concatenate([one, other]), return_inverse=True)
        sums, size = self.board.sums[slots], self.board.sizes[slots].astype(np.float64)
        squares = np.einsum("ij,ij->i", sums, sums, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (squares - size) / (size * (size - 1)) - self._strangers
        inside = np.where(size > 1, np.maximum(inside, 1e-6), np.nan)
        one, other = places[: len(one)], places[len(one) :]
        a, b = inside[one], inside[other]
        a, b = np.where(np.isnan(a), b, a), np.where(np.isnan(b), a, b)
        scale = np.sqrt(np.where(np.isnan(a), 0.4, a) * np.where(np.isnan(b), 0.4, b))
        products = np.einsum("ij,ij->i", sums[one], sums[other], dtype=np.float64)
        average = products / np.maximum(size[one] * size[other], 1)
        result: F64 = (average - self._strangers) / scale
        return result

    def _alike(self, slot: int) -> list[tuple[int, float]]:
        """Return the slots near one, with the probability that both show one person, the highest first."""
        board = self.board
        other = board.near(np.array([slot]))[0]
        other = other[other >= 0]
        one = np.full(len(other), slot)
        good = (board.sizes[other] > 0) & ~board.is_apart(one, other)
        one, other = one[good], other[good]
        odds = _LIKENESS * (self.likeness(one, other) - _EVEN)
        chance = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        order = np.argsort(-chance, kind="stable")
        return list(zip(other[order].tolist(), chance[order].tolist(), strict=True))

    def _bounded(self, skipped: Skipped) -> list[_Bounds]:
        """Return all questions that may be asked, by their kinds."""
        out = _skipped_faces(skipped)
        return [
            self._cluster_bounds(skipped),
            *self._loose_bounds(skipped, out),
            self._suspect_bounds(out),
        ]

    def _cluster_bounds(self, skipped: Skipped) -> _Bounds:
        board = self.board
        unnamed = np.flatnonzero((board.person < 0) & (board.sizes > 0))
        size = board.sizes[unnamed].astype(np.float64)
        worth = size * self._known_chance(size, poor=False)
        most = np.maximum(worth, _LOOK_ALIKE * size)
        order = np.argsort(-most, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))

        def make(number: int) -> list[Asked]:
            first = int(rank[number]) // _TOGETHER * _TOGETHER
            board.near(unnamed[order[first : first + _TOGETHER]])
            return self._about_cluster(int(unnamed[number]), float(worth[number]), skipped)

        return _Bounds(most, make)

    def _about_cluster(self, slot: int, worth: float, skipped: Skipped) -> list[Asked]:
        board, ids, size = self.board, self.board.ids, int(self.board.sizes[slot])
        near = [
            (other, chance)
            for other, chance in self._alike(slot)
            if ("same", *sorted((ids[slot], ids[other]))) not in skipped
        ]
        named = next(((other, chance) for other, chance in near if board.person[other] >= 0), None)
        alike = next(((other, chance) for other, chance in near if board.person[other] < 0), None)
        found = []
        if named is not None and named[1] >= _PROBABLE:
            found.append(self._same(slot, named[0], worth, named[1]))
        elif ("who", ids[slot]) not in skipped:
            found.append(self._who(slot, worth))
        elif named is not None and named[1] * worth >= _LEAST:
            found.append(self._same(slot, named[0], named[1] * worth, named[1]))
        if alike is not None and (size, -slot) <= (board.sizes[alike[0]], -alike[0]):
            value = _LOOK_ALIKE * alike[1] * size
            if value >= _LEAST:
                found.append(self._same(slot, alike[0], value, alike[1]))
        return found

    def _who(self, slot: int, worth: float) -> Asked:
        shown = self.typical(slot)
        size = int(self.board.sizes[slot])
        return Asked("who", slot, -1, -1, shown, (), size, worth, float("nan"))

    def _same(self, slot: int, other: int, worth: float, chance: float) -> Asked:
        board = self.board
        person = int(board.person[other])
        return Asked(
            "same", slot, other, person, self.typical(slot), self.typical(other),
            int(board.sizes[slot]), worth, chance,
        )  # fmt: skip

    def typical(self, slot: int) -> tuple[int, ...]:
        """Return faces of a cluster to show: the most typical of its good ones, and the least typical one."""
        board = self.board
        members = board.members(slot)
        if len(members) <= SHOWN:
            return tuple(members.tolist())
        similarity = board.centrality(slot)
        order = np.lexsort((-similarity, board.quality[members] < POOR_QUALITY))
        return (*members[order[: SHOWN - 1]].tolist(), int(members[int(similarity.argmin())]))

    # Faces in no cluster -----------------------------------------------------------------------

    def _loose_people(self) -> tuple[I32, I32, F64]:
        """Return faces in no cluster, the slot of a person near each, and a rough probability."""
        board = self.board
        if not len(board.loose) or not board.slots:
            return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0)
        near, similarity = board.loose_near, board.loose_similarity.copy()
        similarity[(near < 0) | (board.person[near] < 0)] = -2
        left = np.arange(len(near))
        best = np.zeros(len(near), np.int64)
        while len(left):  # the most similar one that is not kept apart
            best[left] = similarity[left].argmax(axis=1)
            left = left[similarity[left, best[left]] > -2]
            left = left[board.is_apart(board.slots + board.loose[left], near[left, best[left]])]
            similarity[left, best[left]] = -2
        every = np.arange(len(near))
        rows = np.flatnonzero(similarity[every, best] > -2)
        slots, similarity = near[rows, best[rows]], similarity[rows, best[rows]]
        exact: F64 = similarity.astype(np.float64)
        found = evidence(exact, exact, board.sizes[slots].astype(np.float64), board.calibration)
        nothing = np.full(len(found), -np.inf)
        ones = np.ones(len(found))
        chance = odds(
            Ranking(found, nothing, ones, ones, 1), board.calibration, board.quality[board.loose[rows]]
        ).probability
        return board.loose[rows], slots, chance

    def _loose_bounds(self, skipped: Skipped, out: set[tuple[int, int]]) -> list[_Bounds]:
        board = self.board
        faces, slots, chance = self._loose_people()
        people = board.person[slots]
        asked = np.zeros(len(faces), bool)
        if out:
            asked = np.fromiter(
                ((p, f) in out for p, f in zip(people.tolist(), faces.tolist(), strict=True)), bool
            )
        order = np.lexsort((-chance, people))
        order = order[~asked[order] & (chance[order] >= _LEAST / 4)]
        starts = np.flatnonzero(np.diff(people[order], prepend=-1))
        spans = [(a, min(b, a + _REFINED)) for a, b in pairwise([*starts.tolist(), len(order)])]
        # The exact probability may be higher than the rough one: the nearest faces are nearer.
        most = [float(np.minimum(1, 4 * chance[order[a:b]])[:SHOWN].sum()) for a, b in spans]

        def make(number: int) -> list[Asked]:
            mine = order[slice(*spans[number])]
            return self._is(int(people[mine[0]]), faces[mine], slots[mine])

        rest = np.setdiff1d(board.loose, faces[chance >= _PROBABLE])
        return [_Bounds(np.array(most, np.float64), make), *self._single_bounds(rest, skipped)]

    def _single_bounds(self, faces: I32, skipped: Skipped) -> list[_Bounds]:
        """Bound the questions about faces in no cluster that resemble nobody enough."""
        left_out = _faces_of(skipped, "anyone")
        sorted_out = _faces_of(skipped, "sorted")
        left_out |= {key[2] for key in skipped if key[:2] == ("who", "face")}
        faces = faces[~np.isin(faces, list(left_out))] if left_out else faces
        recognised = np.isin(faces, list(sorted_out)) if sorted_out else np.zeros(len(faces), bool)
        known, faces = faces[recognised], faces[~recognised]
        good, poor = self._known_chance(np.ones(1), poor=False), self._known_chance(np.ones(1), poor=True)
        chances = np.where(self.board.quality[faces] < POOR_QUALITY, poor, good)
        order = np.lexsort((faces, -chances))
        faces, chances = faces[order], chances[order]
        starts = np.arange(0, len(faces), SHOWN)
        number = np.add.reduceat(chances, starts) if len(faces) else np.empty(0)
        alone = np.minimum(starts + SHOWN, len(faces)) - starts == 1
        # Each face that is known takes a question of its own.
        worth = np.where(alone, number, number / (1 + number))
        worth = worth[: int(np.argmax(worth < _LEAST)) if (worth < _LEAST).any() else len(worth)]

        def ask_one(number: int) -> list[Asked]:
            return [self._who_face(int(known[number]), _RECOGNISED)]

        def ask_several(number: int) -> list[Asked]:
            shown = tuple(faces[starts[number] : starts[number] + SHOWN].tolist())
            value = float(worth[number])
            return [self._who_face(shown[0], value) if len(shown) == 1 else self._anyone(shown, value)]

        return [_Bounds(np.full(len(known), _RECOGNISED), ask_one), _Bounds(worth, ask_several)]

    def _known_chance(self, faces: F64, *, poor: bool) -> F64:
        """Estimate the probability that clusters of some numbers of faces show somebody whom the user names.

        The odds are the number of faces, times the ratio of the faces that were confirmed one by one to those
        that were ignored. Poor faces are counted apart: more of them are of bystanders.
        """
        label = self.board.said.label[(self.board.quality < POOR_QUALITY) == poor]
        named, strangers = (int((label == kind).sum()) for kind in (Label.CONFIRMED, Label.STRANGER))
        before = _DOUBT * (_POOR_KNOWN if poor else 1.0)
        ratio = min((named + before) / (strangers + _DOUBT), _MOST_KNOWN)
        chance: F64 = faces * ratio / (1 + faces * ratio)
        return chance

    def _anyone(self, faces: tuple[int, ...], worth: float) -> Asked:
        return Asked("anyone", -1, -1, -1, faces, (), len(faces), worth, float("nan"))

    def _who_face(self, face: int, worth: float) -> Asked:
        return Asked("who", -1, -1, -1, (face,), (), 1, worth, float("nan"))

    def _is(self, person: int, faces: I32, slots: I32) -> list[Asked]:
        """Make questions about faces in no cluster."""
        board = self.board
        state = b"".join((faces.tobytes(), slots.tobytes(), board.version[slots].tobytes()))
        kept = self._candidates.get(person)
        if kept is None or kept[0] != state:
            chance = self._evidence.of_loose(faces, slots, person)
            order = np.argsort(-chance, kind="stable")
            self._candidates[person] = kept = (state, faces[order], chance[order])
        _, faces, chance = kept
        return self._groups(person, int(slots[0]), faces, chance, chance)

    def _groups(self, person: int, slot: int, faces: I32, worth: F64, chance: F64) -> list[Asked]:
        found = []
        for start in range(0, len(faces), SHOWN):
            block = slice(start, start + SHOWN)
            expected = float(worth[block].sum())
            if expected >= _LEAST:
                shown = tuple(faces[block].tolist())
                all_right = float(np.prod(chance[block]))
                found.append(
                    Asked("is", -1, slot, person, shown, self.typical(slot), len(shown), expected, all_right)
                )
        return found

    # Doubtful faces ----------------------------------------------------------------------------

    def _suspect_bounds(self, out: set[tuple[int, int]]) -> _Bounds:
        board = self.board
        by_person: dict[int, list[int]] = {}
        for slot in np.flatnonzero((board.person >= 0) & (board.sizes > 1)).tolist():
            by_person.setdefault(int(board.person[slot]), []).append(slot)
        people = list(by_person)
        doubts = [sum(map(self._evidence.rough_doubt, by_person[person])) for person in people]
        most = _REMOVED * np.minimum(np.array(doubts, np.float64), SHOWN)
        return _Bounds(most, lambda number: self._suspects_of(people[number], by_person[people[number]], out))

    def _suspects_of(self, person: int, slots: list[int], out: set[tuple[int, int]]) -> list[Asked]:
        """Make questions about the faces of a person that are most probably wrong."""
        parts = [self._evidence.doubtful(slot) for slot in slots]
        faces = np.concatenate([faces for faces, _ in parts])
        wrong = np.concatenate([wrong for _, wrong in parts])
        open_ = self.board.said.label[faces] != Label.CONFIRMED
        open_ &= np.fromiter(((person, f) not in out for f in faces.tolist()), bool, len(faces))
        order = np.flatnonzero(open_)
        order = order[np.argsort(-wrong[order], kind="stable")]
        faces, wrong = faces[order], wrong[order]
        return self._groups(person, slots[0], faces, _REMOVED * wrong, 1 - wrong)


def _skipped_faces(skipped: Skipped) -> set[tuple[int, int]]:
    """Return the (person, face) of skipped *is* questions."""
    return {(int(key[1]), int(face)) for key in skipped if key[0] == "is" for face in key[2:]}  # type: ignore[call-overload]


def _faces_of(skipped: Skipped, kind: str) -> set[Any]:
    """Return the faces of skipped questions of a kind."""
    return {face for key in skipped if key[0] == kind for face in key[1:]}
