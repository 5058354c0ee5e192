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

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np

from faceindex.clustering.graph import stranger_similarity
from faceindex.evidence import Ranking, evidence, odds, rivals
from faceindex.people.asked import Asked
from faceindex.people.board import Board
from faceindex.quality import POOR_QUALITY
from faceindex.store.decisions import Label
from faceindex.types import F32, F64, I64

__all__ = ["SHOWN", "Questions"]

SHOWN: Final = 4
"""Most faces that are shown of each side of a question, and most that one *is* question is about."""

# Probability that two clusters show one person, by their likeness (see `Questions.likeness`). Set by
# hand with all people of shared/data in view; `benchmarks/owner.py` shows what the questions are worth.
_LIKENESS = 16.0  # log-odds per unit
_EVEN = 0.66
_PROBABLE = 0.5  # from here on, `same` is asked instead of `who`
_LOOK_ALIKE = 0.25  # share of the smaller cluster that `same` of two unnamed clusters counts
_REMOVED = 0.5  # of a face that becomes right, what one counts that loses a wrong name
_KEPT = 2.0  # log-odds for a face to be in the right cluster, before its own evidence
_LEAST = 0.02  # expected faces; a question that settles less is not asked
_DOUBT = 4.0  # faces that were named and faces that were ignored, before any answer
_MOST_KNOWN = 3.0  # greatest ratio of these
_POOR_KNOWN = 0.3  # the same for poor faces, relative to good ones
_RECOGNISED = 0.9  # probability that a face is named of which the user said so
_RIVAL = 0.2  # size of an unnamed cluster that may be another person, as a share of the person's cluster
_NEAREST = 3
_REFINED = 12  # faces of a person whose evidence is computed, by their similarity to the centre
_SUSPECTS = 64
_FEW_SUSPECTS = 16

_Maker: TypeAlias = Callable[[], list[Asked]]
"""Makes questions, once they are needed."""


class Questions:
    """Ranks the questions of a board.

    Parameters
    ----------
    board : Board
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._strangers = stranger_similarity(board.calibration)
        self._suspects: dict[int, tuple[bytes, I64, F64]] = {}
        self._doubts: dict[int, tuple[int, float]] = {}
        self._candidates: dict[int, tuple[bytes, I64, F64]] = {}

    def ranked(self, limit: int | None, skipped: Collection[tuple[object, ...]] = ()) -> list[Asked]:
        """Return the questions that settle most, the best first.

        Parameters
        ----------
        limit : int, optional
            None means all.
        skipped : collection of tuple
            Keys (`key`) of questions that are left out. If a face of an *is* question is in one of them, the
            question is left out too.
        """
        wanted = limit if limit is not None else 1 << 60
        found: list[Asked] = []
        bounded = sorted(self._bounded(skipped), key=lambda item: -item[0])
        for bound, make in bounded:
            found.sort(key=lambda q: -q.expected)
            if len(found) >= wanted and found[wanted - 1].expected >= bound:
                break
            found += make()
        found.sort(key=lambda q: (-q.expected, q.faces))
        return found[:limit]

    def key(self, asked: Asked) -> tuple[object, ...]:
        """Return what a skipped question is recognised by, as long as the clusters stay."""
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
        board = self.board
        size = board.sizes.astype(np.float64)
        squares = np.einsum("ij,ij->i", board.sums, board.sums, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (squares - size) / (size * (size - 1)) - self._strangers
        inside = np.where(size > 1, np.maximum(inside, 1e-6), np.nan)
        a, b = inside[one], inside[other]
        a, b = np.where(np.isnan(a), b, a), np.where(np.isnan(b), a, b)
        scale = np.sqrt(np.where(np.isnan(a), 0.4, a) * np.where(np.isnan(b), 0.4, b))
        products = np.einsum("ij,ij->i", board.sums[one], board.sums[other], dtype=np.float64)
        average = products / np.maximum(size[one] * size[other], 1)
        result: F64 = (average - self._strangers) / scale
        return result

    def _pairs(self) -> tuple[I64, I64, F64]:
        """Return unnamed clusters, clusters near them, and the probability that they show one person."""
        board = self.board
        unnamed = np.flatnonzero((board.person < 0) & (board.sizes > 0))
        one = np.repeat(unnamed, board.near.shape[1])
        other = board.near[unnamed].ravel()
        good = other >= 0
        one, other = one[good], other[good]
        good = (board.sizes[other] > 0) & ~board.is_apart(one, other)
        one, other = one[good], other[good]
        odds = _LIKENESS * (self.likeness(one, other) - _EVEN)
        chance = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        return one, other, chance

    def _bounded(self, skipped: Collection[tuple[object, ...]]) -> Iterator[tuple[float, _Maker]]:
        """Yield upper bounds of the expected faces of questions, each with a function that makes them."""
        board = self.board
        one, other, chance = self._pairs()
        named = board.person[other] >= 0
        order = np.lexsort((-chance,))
        best: dict[int, tuple[int, float]] = {}
        alike: dict[int, tuple[int, float]] = {}
        ids = board.ids
        known = self._known_chance(board.sizes.astype(np.float64), poor=False)
        for i in order.tolist():
            a, b = int(one[i]), int(other[i])
            if ("same", *sorted((ids[a], ids[b]))) in skipped:
                continue
            (best if named[i] else alike).setdefault(a, (b, float(chance[i])))
        for a in np.flatnonzero((board.person < 0) & (board.sizes > 0)).tolist():
            size = int(board.sizes[a])
            worth = size * float(known[a])
            found = best.get(a)
            if found is not None and found[1] >= _PROBABLE:
                yield worth, partial(self._same, a, found[0], worth, found[1])
            elif ("who", ids[a]) not in skipped:
                yield worth, partial(self._who, a, worth)
            elif found is not None and found[1] * worth >= _LEAST:
                yield found[1] * worth, partial(self._same, a, found[0], found[1] * worth, found[1])
            if a in alike and (board.sizes[a], -a) <= (board.sizes[alike[a][0]], -alike[a][0]):
                value = _LOOK_ALIKE * alike[a][1] * size
                if value >= _LEAST:
                    yield value, partial(self._same, a, alike[a][0], value, alike[a][1])
        out = _skipped_faces(skipped)
        yield from self._loose_bounds(skipped, out)
        yield from self._suspect_bounds(out)

    def _who(self, slot: int, worth: float) -> list[Asked]:
        shown = self.typical(slot)
        size = int(self.board.sizes[slot])
        return [Asked("who", slot, -1, -1, shown, (), size, worth, float("nan"))]

    def _same(self, slot: int, other: int, worth: float, chance: float) -> list[Asked]:
        board = self.board
        person = int(board.person[other])
        return [
            Asked("same", slot, other, person, self.typical(slot), self.typical(other),
                  int(board.sizes[slot]), worth, chance)
        ]  # fmt: skip

    def typical(self, slot: int) -> tuple[int, ...]:
        """Return faces of a cluster to show: the most typical of its good ones, and the least typical one."""
        board = self.board
        members = board.members(slot)
        if len(members) <= SHOWN:
            return tuple(members.tolist())
        similarity = board.vectors[members] @ board.centres[slot]
        order = np.lexsort((-similarity, board.quality[members] < POOR_QUALITY))
        return (*members[order[: SHOWN - 1]].tolist(), int(members[int(similarity.argmin())]))

    # Faces in no cluster -----------------------------------------------------------------------

    def _loose_people(self) -> tuple[I64, I64, F64]:
        """Return faces in no cluster, the slot of a person near each, and a rough probability."""
        board = self.board
        if not len(board.loose) or not board.slots:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        rows = np.repeat(np.arange(len(board.loose)), board.loose_near.shape[1])
        slots, similarity = board.loose_near.ravel(), board.loose_similarity.ravel()
        good = (slots >= 0) & (board.person[slots] >= 0)
        rows, slots, similarity = rows[good], slots[good], similarity[good]
        good = ~board.is_apart(board.slots + board.loose[rows], slots)
        rows, slots, similarity = rows[good], slots[good], similarity[good]
        order = np.lexsort((-similarity, rows))
        rows, slots, similarity = rows[order], slots[order], similarity[order]
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        rows, slots, similarity = rows[first], slots[first], similarity[first]
        exact: F64 = similarity.astype(np.float64)
        found = evidence(exact, exact, board.sizes[slots].astype(np.float64), board.calibration)
        nothing = np.full(len(found), -np.inf)
        ones = np.ones(len(found))
        chance = odds(
            Ranking(found, nothing, ones, ones, 1), board.calibration, board.quality[board.loose[rows]]
        ).probability
        return board.loose[rows], slots, chance

    def _loose_bounds(
        self, skipped: Collection[tuple[object, ...]], out: set[tuple[int, int]]
    ) -> Iterator[tuple[float, _Maker]]:
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
        for begin, end in pairwise([*starts.tolist(), len(order)]):
            mine = order[begin : min(end, begin + _REFINED)]
            # The exact probability may be higher than the rough one: the nearest faces are nearer.
            bound = float(np.minimum(1, 4 * chance[mine])[:SHOWN].sum())
            yield bound, partial(self._is, int(people[mine[0]]), faces[mine], slots[mine])
        yield from self._single_bounds(np.setdiff1d(board.loose, faces[chance >= _PROBABLE]), skipped)

    def _single_bounds(
        self, faces: I64, skipped: Collection[tuple[object, ...]]
    ) -> Iterator[tuple[float, _Maker]]:
        """Bound the questions about faces in no cluster that resemble nobody enough."""
        asked = {face for key in skipped if key[0] == "anyone" for face in key[1:]}
        rest = []
        quality = self.board.quality[faces]
        one = np.ones(len(faces))
        poor = quality < POOR_QUALITY
        chances = np.where(poor, self._known_chance(one, poor=True), self._known_chance(one, poor=False))
        for face, chance in zip(faces.tolist(), chances.tolist(), strict=True):
            if face not in asked:
                rest.append((-chance, face))
            elif ("who", "face", face) not in skipped:
                yield _RECOGNISED, partial(self._who_face, face, _RECOGNISED)
        rest.sort()
        for start in range(0, len(rest), SHOWN):
            block = rest[start : start + SHOWN]
            number = -sum(chance for chance, _ in block)
            # Each face that is known takes a question of its own.
            worth = number if len(block) == 1 else number / (1 + number)
            if worth < _LEAST:
                return
            shown = tuple(face for _, face in block)
            if len(shown) > 1:
                yield worth, partial(self._anyone, shown, worth)
            elif ("who", "face", shown[0]) not in skipped:
                yield worth, partial(self._who_face, shown[0], worth)

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

    def _anyone(self, faces: tuple[int, ...], worth: float) -> list[Asked]:
        return [Asked("anyone", -1, -1, -1, faces, (), len(faces), worth, float("nan"))]

    def _who_face(self, face: int, worth: float) -> list[Asked]:
        return [Asked("who", -1, -1, -1, (face,), (), 1, worth, float("nan"))]

    def _is(self, person: int, faces: I64, slots: I64) -> list[Asked]:
        """Make questions about faces in no cluster."""
        board = self.board
        state = b"".join((faces.tobytes(), slots.tobytes(), board.version[slots].tobytes()))
        kept = self._candidates.get(person)
        if kept is None or kept[0] != state:
            own = np.array(
                [self._evidence(f, s) for f, s in zip(faces.tolist(), slots.tolist(), strict=True)]
            )
            rival = np.array([self._best_other(f, person) for f in faces.tolist()])
            chance = self._chance(own, rival, slots, board.quality[faces])
            order = np.argsort(-chance, kind="stable")
            self._candidates[person] = kept = (state, faces[order], chance[order])
        _, faces, chance = kept
        return self._groups(person, int(slots[0]), faces, chance, chance)

    def _groups(self, person: int, slot: int, faces: I64, worth: F64, chance: F64) -> list[Asked]:
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

    def _chance(self, own: F64, rival: F64, slots: I64, quality: F32) -> F64:
        board = self.board
        sizes = board.sizes[board.sizes > 0].astype(np.float64)
        of = rivals(board.sizes[slots].astype(np.float64), sizes)
        ranking = Ranking(own, rival, of, np.full(len(own), float(len(sizes))), len(sizes))
        return odds(ranking, board.calibration, quality).probability

    def _evidence(self, face: int, slot: int) -> float:
        """Return the evidence that a face shows a cluster; the face itself does not count."""
        board = self.board
        members = board.members(slot)
        members = members[members != face]
        if not len(members):
            return -np.inf
        values = board.vectors[members] @ board.vectors[face]
        top = min(_NEAREST, len(values))
        nearest = float(np.partition(values, len(values) - top)[len(values) - top :].mean())
        centre = board.sums[slot] - (board.vectors[face] if board.code[face] == slot else 0)
        centroid = float(centre @ board.vectors[face] / max(float(np.linalg.norm(centre)), 1e-12))
        return float(evidence(np.array(nearest), np.array(centroid), float(len(members)), board.calibration))

    def _best_other(self, face: int, person: int) -> float:
        """Return the evidence that a face shows somebody else, the most similar one."""
        board = self.board
        similarity = board.centres @ board.vectors[face]
        own = int(board.sizes[board.person == person].max(initial=1))
        small = (board.person < 0) & (board.sizes < _RIVAL * own)  # it may be the same person
        similarity[(board.sizes == 0) | (board.person == person) | small] = -2
        best = np.argpartition(-similarity, min(_NEAREST, len(similarity) - 1))[:_NEAREST]
        best = best[np.argsort(-similarity[best])]
        best = best[similarity[best] > -2]
        item = board.slots + face if board.code[face] < 0 else board.code[face]
        if board.code[face] < 0:
            best = best[~board.is_apart(np.full(len(best), item), best)]
        return max((self._evidence(face, int(slot)) for slot in best[:2]), default=-np.inf)

    # Doubtful faces ----------------------------------------------------------------------------

    def _suspect_bounds(self, out: set[tuple[int, int]]) -> Iterator[tuple[float, _Maker]]:
        board = self.board
        by_person: dict[int, list[int]] = {}
        for slot in np.flatnonzero((board.person >= 0) & (board.sizes > 1)).tolist():
            by_person.setdefault(int(board.person[slot]), []).append(slot)
        for person, slots in by_person.items():
            bound = sum(self._rough_doubt(slot) for slot in slots)
            yield _REMOVED * min(bound, SHOWN), partial(self._suspects_of, person, slots, out)

    def _suspects_of(self, person: int, slots: list[int], out: set[tuple[int, int]]) -> list[Asked]:
        """Make questions about the faces of a person that are most probably wrong."""
        parts = [self._doubtful(slot) for slot in slots]
        faces = np.concatenate([faces for faces, _ in parts])
        wrong = np.concatenate([wrong for _, wrong in parts])
        open_ = self.board.said.label[faces] != Label.CONFIRMED
        open_ &= np.fromiter(((person, f) not in out for f in faces.tolist()), bool, len(faces))
        order = np.flatnonzero(open_)
        order = order[np.argsort(-wrong[order], kind="stable")]
        faces, wrong = faces[order], wrong[order]
        return self._groups(person, slots[0], faces, _REMOVED * wrong, 1 - wrong)

    def _rough_doubt(self, slot: int) -> float:
        """Bound the number of wrong faces among the most doubtful ones of a cluster, by its centre alone."""
        board = self.board
        version = int(board.version[slot])
        kept = self._doubts.get(slot)
        if kept is None or kept[0] != version:
            members = board.members(slot)
            similarity = (board.vectors[members] @ board.centres[slot]).astype(np.float64)
            lowest = np.argsort(similarity, kind="stable")[:SHOWN]
            found = evidence(similarity[lowest], similarity[lowest], float(len(members)), board.calibration)
            wrong = self._wrong(found, np.full(len(found), -np.inf), board.quality[members[lowest]])
            # Somebody else may be as similar, which raises the probability.
            kept = self._doubts[slot] = (version, float(np.minimum(1, 3 * wrong + 0.03).sum()))
        return kept[1]

    def _doubtful(self, slot: int) -> tuple[I64, F64]:
        """Return the least similar faces of a named cluster, and the probability that each is wrong."""
        board = self.board
        near = board.near[slot]
        state = b"".join(
            array.tobytes() for array in (near, board.version[[slot, *near]], board.person[[slot, *near]])
        )
        kept = self._suspects.get(slot)
        if kept is not None and kept[0] == state:
            return kept[1], kept[2]
        members = board.members(slot)
        similarity = board.vectors[members] @ board.centres[slot]
        number = min(len(members), _SUSPECTS, max(_FEW_SUSPECTS, len(members) // 4))
        faces = members[np.argsort(similarity, kind="stable")[:number]]
        own = np.array([self._evidence(face, slot) for face in faces.tolist()])
        person = int(board.person[slot])
        rival = np.array([self._best_other(face, person) for face in faces.tolist()])
        wrong = self._wrong(own, rival, board.quality[faces])
        self._suspects[slot] = (state, faces, wrong)
        return faces, wrong

    def _wrong(self, own: F64, rival: F64, quality: F32) -> F64:
        """Return the probability that faces of a cluster do not belong there, by their evidence."""
        ones = np.ones(len(own))
        ranking = Ranking(own, rival, ones, ones, max(1, int((self.board.sizes > 0).sum())))
        log_odds = odds(ranking, self.board.calibration, quality).log_odds
        wrong: F64 = 1 / (1 + np.exp(np.clip(log_odds + _KEPT, -50, 50)))
        return wrong


def _skipped_faces(skipped: Collection[tuple[object, ...]]) -> set[tuple[int, int]]:
    """Return the (person, face) of skipped *is* questions."""
    return {(int(key[1]), int(face)) for key in skipped if key[0] == "is" for face in key[2:]}  # type: ignore[call-overload]
