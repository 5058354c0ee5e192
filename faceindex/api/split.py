"""Split a person or a cluster in two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from faceindex import models
from faceindex.api.deciding import Decider, PersonRef, command_text, face_words
from faceindex.api.question_results import Split
from faceindex.api.reader import faces_at, find_faces
from faceindex.errors import UsageError
from faceindex.people.roster import clean_name
from faceindex.people.splitting import Division, divide
from faceindex.store.decisions import Label

if TYPE_CHECKING:
    from faceindex.api.people_results import Decided
    from faceindex.api.reader import Reader
    from faceindex.api.results import Face
    from faceindex.people.editor import Editor
    from faceindex.store.decisions import Decision
    from faceindex.types import I64, BoolArray

__all__ = ["already", "carry_out", "propose"]

_SAMPLES = 4  # faces of either side that are shown
_MIDDLE = 3  # faces of either side that are kept apart
_FIRM = 2.0  # nats; faces with less are counted as uncertain


def propose(reader: Reader, decider: Decider, what: PersonRef | int, seeds: Sequence[int]) -> Split:
    """Divide the faces of a person or a cluster; see `AskingPeople.propose_split`."""
    reader.clustering()
    with reader.store.snapshot():
        table, names = reader.faces_and_photos()
        view = reader.people()
        vectors = reader.vectors()
    person: int | None = None
    if isinstance(what, int):
        reader.check_cluster(what)
        positions = np.flatnonzero(table.cluster == what)
        person = view.of_cluster.get(what)
        title = f"Cluster {what}"
    else:
        person = decider.person(what)
        title = view.roster.title(person)
        positions = np.flatnonzero(view.person == person)
    wanted = find_faces(table, seeds) if seeds else np.empty(0, np.int64)
    outside = np.setdiff1d(wanted, positions)
    if len(outside):
        raise UsageError(
            f"Face {table.face[outside[0]]} is not among the faces of {_lower(title)}.",
            "Give faces that are, and that belong to the part to split off.",
        )
    if len(wanted) and len(wanted) == len(positions):
        raise UsageError(f"These are all faces of {_lower(title)}.", "Give fewer faces, or use `rename`.")
    own, photos = np.array(vectors[positions]), table.photo[positions]
    calibration = models.calibration_of(reader.embedder_spec)
    local = np.searchsorted(positions, wanted)
    clusters = table.cluster[positions]
    whole = _clusters_are_units(clusters)
    division, by_clusters = None, False
    if whole:
        loose = clusters < 0
        units = np.where(loose, -1 - np.arange(len(clusters)), clusters)
        division = divide(own, photos, calibration, seeds=_with_clusters(local, units), units=units)
        by_clusters = division is not None and division.is_clear
    if not by_clusters:
        division = divide(own, photos, calibration, seeds=local if len(local) else None)
    confirmed = view.label[positions] == Label.CONFIRMED
    part = None if division is None else _without_confirmed(division, confirmed, local)
    if division is None or part is None or not part.any() or part.all():
        raise UsageError(
            f"{title} cannot be divided: there are too few faces.", "Use `reject` for single faces."
        )
    if not len(local) and not division.is_clear:
        raise UsageError(
            f"The faces of {_lower(title)} cannot be divided better than by chance.",
            "Name one to three faces of the part to split off.",
        )

    def faces_of(side: I64) -> tuple[int, ...]:
        return tuple(table.face[positions[side]].tolist())

    def samples(side: I64) -> I64:
        order = np.argsort(-division.margins[side], kind="stable")
        chosen = side[order]
        if len(chosen) > _SAMPLES:
            chosen = np.append(chosen[: _SAMPLES - 1], chosen[-1])
        return positions[chosen]

    inside, outside_ = np.flatnonzero(part), np.flatnonzero(~part)
    return Split(
        person=None if person is None else view.roster.title(person),
        cluster=what if isinstance(what, int) else None,
        part=faces_of(inside),
        rest=faces_of(outside_),
        seeds=tuple(seeds),
        likeness=round(division.likeness, 4),
        clear=division.is_clear,
        uncertain=int((division.margins < _FIRM).sum()),
        clusters=tuple(np.unique(clusters[part & (clusters >= 0)]).tolist()) if by_clusters else (),
        part_samples=tuple(faces_at(table, names, samples(inside).tolist(), view)),
        rest_samples=tuple(faces_at(table, names, samples(outside_).tolist(), view)),
    )


def already(decider: Decider, decision: Decision, seeds: Sequence[int]) -> Split:
    """Return the split that a stored decision made: the part, as far as the journal has it."""
    marks = sorted({mark for action in decision.actions for mark in _part_marks(action)})
    part = sorted({face for faces in decider.tables.faces_of_marks(marks).values() for face in faces})
    return Split(
        person=None,
        cluster=None,
        part=tuple(part),
        rest=(),
        seeds=tuple(seeds),
        likeness=float("nan"),
        clear=False,
        uncertain=0,
        clusters=(),
        part_samples=(),
        rest_samples=(),
    )


def _part_marks(action: dict[str, Any]) -> Sequence[int]:
    """Return the marks of the part that an action of a split names."""
    faces: Sequence[Any] = action.get("faces", ())
    part: Sequence[int] = faces[0] if action.get("do") in ("different", "unlink") else faces
    return part


def carry_out(decider: Decider, split: Split, name: str | None, *, uid: str | None, dry_run: bool) -> Decided:
    """Make the decision of a split; see `AskingPeople.split`."""
    tables = decider.tables
    name = None if name is None else clean_name(name)
    part = list(split.part)
    decider.check_faces([*part, *split.rest])
    person = None if split.person is None else decider.person(split.person)
    if name is not None and person is not None and decider.roster().title(person) == name:
        raise UsageError(f"The part would be {name} again.", "Give it another name.")
    middles = [_middle(split.part_samples), _middle(split.rest_samples)]
    target = None

    def work(editor: Editor) -> None:
        marks = decider.marks(part)
        if person is not None:
            editor.reject(person, marks)
        if name is not None:
            editor.label(editor.person(name), marks, Label.NAMED)
        if person is None:
            known = tables.marks_of_faces(split.rest)
            editor.unlink(marks, sorted(set(known.values())))
            one, other = (decider.marks(faces) for faces in middles)
            editor.different(one, other)

    words = [split.person or str(split.cluster), *face_words(split.seeds)]
    command = command_text("split", *words, options={"name": name})
    found: list[Decided] = []

    def make() -> None:
        nonlocal target
        clusters = tables.assigned(part)
        moved = [face for face in part if face in clusters] if not split.clusters and len(part) > 1 else []
        if moved:
            target = tables.next_cluster_id()
            none = np.empty(0, np.int64)
            tables.move_faces(none, none, np.empty(0, np.float32), target + 1)
        found.append(decider.make(command, work, [(face, target, clusters[face]) for face in moved], uid=uid))

    decider.require_writable()
    decider.reader.clustering()
    decider.know_pictures([*part, *split.rest] if person is None else part)
    decider.in_transaction(make, dry_run=dry_run)
    return found[0]


def _clusters_are_units(clusters: I64) -> bool:
    _, sizes = np.unique(clusters[clusters >= 0], return_counts=True)
    return int((sizes > 1).sum()) > 1


def _with_clusters(seeds: I64, units: I64) -> I64 | None:
    """Return the seeds and all faces of their units."""
    return np.flatnonzero(np.isin(units, units[seeds])).astype(np.int64) if len(seeds) else None


def _without_confirmed(division: Division, confirmed: BoolArray, seeds: I64) -> BoolArray:
    """Return the part without faces that the user confirmed, unless they are seeds."""
    part: BoolArray = division.part.copy()
    if not len(seeds) and confirmed[part].sum() > confirmed[~part].sum():
        part = ~part
    keep = confirmed.copy()
    keep[seeds] = False
    part[keep] = False
    return part


def _middle(samples: Sequence[Face]) -> list[int]:
    return [face.face for face in samples[:_MIDDLE]]


def _lower(title: str) -> str:
    return title[0].lower() + title[1:] if title.startswith("Cluster ") else title
