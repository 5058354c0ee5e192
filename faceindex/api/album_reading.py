"""Read an album from an index, and bring it up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from faceindex.api.album_history import AlbumHistory, Step
from faceindex.api.album_state import AlbumState
from faceindex.api.following import DecisionChanges
from faceindex.page.bundle import quantised
from faceindex.people.roster import Roster
from faceindex.store.directory import CATALOG
from faceindex.store.sqlite import corrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceindex.store import Store
    from faceindex.types import I64, BoolArray

__all__ = ["follow", "read_album"]

_UNSIGNED = np.iinfo(np.uint32).max

_ARRAYS = ("face", "photo", "cluster", "person", "label", "similarity", "quality", "said", "photos", "taken")
_VALUES = (
    *("people", "roots", "cluster_person", "generation", "decision", "clustered", "newer_faces"),
    *("undo", "undo_number", "base"),
)


def read_album(store: Store) -> AlbumState:
    """Read all faces and photos of an index at one moment; raises `IndexCorrupt`."""
    with store.snapshot():
        tables, queries = store.decisions, store.album
        found, (photos, taken) = queries.faces(), queries.photos()
        marked = tables.marked_faces()
        roster = Roster.of(tables.people())
        of_cluster = tables.people_of_clusters()
        generation, base, newest = store.generation, queries.base(), tables.newest()
        clustered, newer = store.active_clustering() is not None, store.count_newer_faces()
        undo_number, undo = _undo(store)
    at = np.minimum(np.searchsorted(photos, found.photo), max(len(photos) - 1, 0))
    if len(found.photo) and (not len(photos) or (photos[at] != found.photo).any()):
        raise corrupt(store.directory / CATALOG, "a face is on a photo that does not exist")
    _check_ids(store, "face", found.face, _UNSIGNED)
    _check_ids(store, "photo", photos, _UNSIGNED)
    label = np.zeros(len(found.face), np.uint8)
    said = np.full(len(found.face), -1, np.int32)
    place = np.searchsorted(found.face, marked["face"])
    live = place < len(found.face)
    # While an index moves to other models, faces of marks may not be live.
    live[live] = found.face[place[live]] == marked["face"][live]
    label[place[live]], said[place[live]] = marked["label"][live], marked["person"][live]
    cluster = found.cluster.astype(np.int32)
    cluster_person = _of_clusters(cluster, of_cluster, roster.roots)
    return AlbumState(
        face=found.face.astype(np.uint32),
        photo=at.astype(np.uint32),
        cluster=cluster,
        person=_people(cluster, said, cluster_person, roster.roots),
        label=label,
        similarity=found.similarity,
        quality=found.quality,
        said=said,
        photos=photos.astype(np.uint32),
        taken=taken,
        people=roster.people(),
        roots=roster.roots,
        cluster_person=cluster_person,
        generation=generation,
        decision=newest,
        clustered=clustered,
        newer_faces=newer,
        undo=undo,
        undo_number=undo_number,
        base=base,
        history=AlbumHistory.begin(generation, len(found.face)),
    )


def follow(store: Store, state: AlbumState) -> bool:
    """Bring an album to the newest commit, in place; return whether there was a new one.

    If only decisions were made, their changes in the journal say what to read. Otherwise all is read anew.
    An album does not change if reading it raises.
    """
    if store.generation == state.generation:
        return False
    with store.snapshot():
        only_decisions = store.album.base() == state.base and store.decisions.newest() >= state.decision
        changes = DecisionChanges.since(store.decisions, state.decision) if only_decisions else None
        if changes is None or "face" in changes.kinds:
            _follow_everything(store, state, changes)
        else:
            _follow_decisions(store, state, changes)
    return True


def _undo(store: Store) -> tuple[int | None, str | None]:
    """Return the number and the command of the decision that would be undone."""
    tables = store.decisions
    found = tables.to_undo(1) if tables.exist else []
    return (found[0].number, found[0].command) if found else (None, None)


def _step(store: Store, changes: DecisionChanges) -> Step:
    found = store.decisions.decision(changes.numbers[-1]) if changes.numbers else None
    return Step(changes.numbers, None if found is None else found.command, everything=False)


def _check_ids(store: Store, what: str, ids: I64, most: int) -> None:
    if len(ids) and int(ids.max()) > most:
        raise corrupt(
            store.directory / CATALOG, f"the id of a {what} is {ids.max()}, and none is above {most}"
        )


# People of faces ---------------------------------------------------------------------------------


def _of_clusters(
    cluster: NDArray[np.int32], of_cluster: Mapping[int, int], roots: Mapping[int, int]
) -> dict[int, int]:
    """Return the people of the clusters that have faces, after merges."""
    present = np.zeros(int(cluster.max(initial=-1)) + 1, bool)
    present[cluster[cluster >= 0]] = True
    return {id: roots[person] for id, person in of_cluster.items() if 0 <= id < len(present) and present[id]}


def _people(
    cluster: NDArray[np.int32],
    said: NDArray[np.int32],
    cluster_person: Mapping[int, int],
    roots: Mapping[int, int],
) -> NDArray[np.int32]:
    """Return the person of each face, (n,) int32: by its label, else by its cluster; -1 for none."""
    most = max(int(cluster.max(initial=-1)), max(cluster_person, default=-1))
    by_cluster = np.full(most + 2, -1, np.int32)  # -1 is the last one
    by_cluster[list(cluster_person)] = list(cluster_person.values())
    person = by_cluster[cluster]
    labelled = np.flatnonzero(said >= 0)
    if len(labelled):
        ids = np.array(sorted(roots), np.int32)  # not an array of all ids: one may be 2**31 - 1
        root = np.array([*(roots[id] for id in ids.tolist()), -1], np.int32)
        at = np.minimum(np.searchsorted(ids, said[labelled]), len(ids) - 1)
        person[labelled] = root[np.where(ids[at] == said[labelled], at, -1)] if len(ids) else -1
    return person


# Following ---------------------------------------------------------------------------------------


def _follow_decisions(store: Store, state: AlbumState, changes: DecisionChanges) -> None:
    """Read what new decisions changed."""
    tables, queries = store.decisions, store.album
    rows = queries.said_on_pictures(sorted(changes.marks))
    members, of_members, similarities = queries.members(sorted(changes.clusters))
    people, roots = state.people, state.roots
    if "person" in changes.kinds:
        roster = Roster.of(tables.people())
        people, roots = roster.people(), roster.roots
    of_cluster = tables.people_of_clusters() if changes.numbers else None
    undo_number, undo = _undo(store)
    decision = max(changes.numbers, default=state.decision)
    step = _step(store, changes)
    generation = store.generation

    # Nothing below can fail: the album changes as a whole.
    label, said, cluster, similarity = state.label, state.said, state.cluster, state.similarity
    marked = np.array(rows, np.int64).reshape(-1, 3)
    at = state.positions(marked[:, 0])
    marked, at = marked[at >= 0], at[at >= 0]
    moved = state.positions(changes.moved)
    there = state.positions(members)
    touched = np.unique(np.concatenate([at, moved[moved >= 0], there[there >= 0]]))
    before = label[touched].copy(), cluster[touched].copy(), quantised(similarity[touched])
    label[at], said[at] = marked[:, 1], marked[:, 2]
    cluster[moved[moved >= 0]], similarity[moved[moved >= 0]] = -1, np.nan
    cluster[there[there >= 0]] = of_members[there >= 0]
    similarity[there[there >= 0]] = similarities[there >= 0]
    now = label[touched], cluster[touched], quantised(similarity[touched])

    known = state.cluster_person
    cluster_person = known if of_cluster is None else _of_clusters(cluster, of_cluster, roots)
    decided = np.zeros(len(state), bool)
    decided[touched] = (before[0] != now[0]) | (before[1] != now[1])
    person = state.person
    if (
        cluster_person == known and roots is state.roots
    ):  # then only theirs may differ: 30 ms less at a million
        theirs = _people(cluster[touched], said[touched], cluster_person, roots)
        decided[touched] |= person[touched] != theirs
        person[touched] = theirs
    else:
        person = _people(cluster, said, cluster_person, roots)
        decided |= person != state.person
    shown = decided.copy()
    shown[touched] |= before[2] != now[2]
    left = before[1] != now[1]
    _keep_history(
        state, generation, step, shown, decided,
        np.concatenate([before[1][left], now[1][left]]), people, roots, cluster_person,
    )  # fmt: skip
    state.person, state.people, state.roots, state.cluster_person = person, people, roots, cluster_person
    state.generation, state.decision = generation, decision
    state.undo, state.undo_number = undo, undo_number


def _follow_everything(store: Store, state: AlbumState, changes: DecisionChanges | None) -> None:
    """Read all anew, and find what differs; `changes` if nothing but decisions were made."""
    new = read_album(store)
    same = all(
        np.array_equal(getattr(state, name), getattr(new, name), equal_nan=name in ("quality", "taken"))
        for name in ("face", "photo", "quality", "photos", "taken")
    )
    at = np.arange(len(new)) if same else state.positions(new.face)
    kept = at >= 0
    history = state.history
    decided, shown = ~kept, ~kept
    for name in ("cluster", "person", "label"):
        decided[kept] |= getattr(state, name)[at[kept]] != getattr(new, name)[kept]
    shown |= decided
    shown[kept] |= quantised(state.similarity[at[kept]]) != quantised(new.similarity[kept])
    gone = np.ones(len(state), bool)
    gone[at[kept]] = False
    old_cluster = np.full(len(new), -1)
    old_cluster[kept] = state.cluster[at[kept]]
    left = old_cluster != new.cluster
    if not same:
        history.shown, history.decided = (
            _moved(values, at, new.generation) for values in (history.shown, history.decided)
        )
        history.reloaded = new.generation
    if changes is None:
        history.forget_commands()
    step = Step((), None, everything=True) if changes is None else _step(store, changes)
    _keep_history(
        state, new.generation, step, shown, decided,
        np.concatenate([old_cluster[left], new.cluster[left], state.cluster[gone]]),
        new.people, new.roots, new.cluster_person,
    )  # fmt: skip
    for name in (*_ARRAYS, *_VALUES):
        setattr(state, name, getattr(new, name))


def _moved(values: I64, at: I64, otherwise: int) -> I64:
    """Return the values of some positions; `otherwise` for -1."""
    if not len(values):
        return np.full(len(at), otherwise)
    return np.where(at >= 0, values[at], otherwise)


def _keep_history(
    state: AlbumState,
    generation: int,
    step: Step,
    shown: BoolArray,
    decided: BoolArray,
    clusters: NDArray[Any],
    people: list[Any],
    roots: Mapping[int, int],
    cluster_person: dict[int, int],
) -> None:
    """Keep when what changed; `state` still has the people before."""
    history = state.history
    history.add_step(generation, step)
    history.shown[shown] = history.decided[decided] = generation
    changed = {*np.unique(clusters[clusters >= 0]).tolist()}
    if (before := state.cluster_person) != cluster_person:
        history.names = generation
        changed |= {id for id, _ in before.items() ^ cluster_person.items()}
    history.clusters.update(dict.fromkeys(changed, generation))
    if people != state.people or roots != state.roots:
        history.roster = generation
        old, new = ({record.id: record for record in each} for each in (state.people, people))
        differ = {id for id in old.keys() | new.keys() if old.get(id) != new.get(id)}
        differ |= {root for id in differ for root in (state.roots.get(id), roots.get(id)) if root is not None}
        history.people.update(dict.fromkeys(differ, generation))
