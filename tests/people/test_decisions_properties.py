"""Random operations on an index, compared with a plain model of what the user said."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from album_page import AlbumPage
from decided_index import (
    PINS,
    Key,
    check_constraints,
    make_faces,
    make_photo,
    place_of,
    places_of_faces,
    said_by_user,
    year_of,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from faceindex import FaceIndex
from faceindex.api.clustering import cluster_afresh, method_for_new_models
from faceindex.errors import UsageError
from faceindex.models import get
from faceindex.people.dates import first_second
from faceindex.store import Store
from faceindex.store.away import Return
from faceindex.store.decisions import Label
from faceindex.store.transfer import StagedPhoto

EXAMPLES = int(os.environ.get("FACEINDEX_EXAMPLES", "12"))
STEPS = 40

PICTURES = 14
NAMES = ("Anna", "Ben", "Carl", "Dora")
SEEDS = st.integers(0, 2**20)


@dataclass
class Model:
    """What the user said: the labels and rejections of places, and the names of people."""

    labels: dict[Key, str] = field(default_factory=dict)  # the uid of a person
    nobody: dict[Key, Label] = field(default_factory=dict)
    rejected: set[tuple[Key, str]] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)  # by uid
    born: dict[str, str] = field(default_factory=dict)

    def label(self, uid: str, keys: list[Key]) -> None:
        for key in keys:
            self.labels[key] = uid
            self.nobody.pop(key, None)
            self.rejected.discard((key, uid))

    def reject(self, uid: str, keys: list[Key]) -> None:
        for key in keys:
            if self.labels.get(key) == uid:
                del self.labels[key]
            self.rejected.add((key, uid))

    def forget(self, label: Label, keys: list[Key]) -> None:
        for key in keys:
            self.labels.pop(key, None)
            self.nobody[key] = label

    def merge(self, into: str, other: str) -> None:
        self.labels = {key: into if uid == other else uid for key, uid in self.labels.items()}
        self.rejected = {(key, into if uid == other else uid) for key, uid in self.rejected}
        self.names.pop(other)
        self.born.pop(other, None)


class PeopleMachine(RuleBasedStateMachine):
    """Applies each operation to an index and to the model, and compares them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._directory = Path(self._folder.name) / "index"
        store = Store.create(self._directory, PINS)
        self._root = store.add_root("/photos", "photos").id
        self._index = FaceIndex(store)
        self._page = AlbumPage(FaceIndex.open(self._directory))
        self._steps = 0
        self._model = Model()
        self._undo: list[Model] = []
        self._paths: dict[str, int] = {}  # the picture of each photo
        self._away: dict[int, tuple[int, set[int]]] = {}  # picture and faces of each photo that is away
        self._version = 0
        self._fresh = 0
        self._clustered = False
        self._settled = False  # no faces came since the last clustering

    def teardown(self) -> None:
        self._page.follow()
        self._page.index.close()
        self._index.close()
        self._folder.cleanup()

    # Photos ------------------------------------------------------------------------------------

    @rule(pictures=st.lists(st.integers(0, PICTURES - 1), min_size=1, max_size=6), copies=st.booleans())
    def add(self, pictures: list[int], copies: bool) -> None:
        self._commit([(f"{'copies/' * copies}{picture}.jpg", picture) for picture in pictures])

    @precondition(lambda self: self._paths)
    @rule(data=st.data())
    def replace_by_another_picture(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self._paths)))
        self._commit([(path, data.draw(st.integers(0, PICTURES - 1)))])

    @precondition(lambda self: self._paths)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        paths = data.draw(st.lists(st.sampled_from(sorted(self._paths)), min_size=1, max_size=4, unique=True))
        ids = {path: record.id for (_, path), record in self._store.photos().items()}
        self._store.remove_photos([ids[path] for path in paths])
        for path in paths:
            del self._paths[path]
        self._settled = False  # the clusters of the others may have lost their only label
        if not self._paths:
            self._root = self._store.add_root("/photos", "photos").id

    @precondition(lambda self: self._paths)
    @rule(data=st.data())
    def put_away(self, data: st.DataObject) -> None:
        paths = data.draw(st.lists(st.sampled_from(sorted(self._paths)), min_size=1, max_size=4, unique=True))
        faces, ids = self._faces_of_photos(), {r.relpath: r.id for r in self._store.photos().values()}
        self._store.put_away([ids[path] for path in paths])
        for path in paths:
            self._away[ids[path]] = self._paths.pop(path), faces.get(path, set())
        self._settled = False
        if not self._paths:
            self._root = self._store.add_root("/photos", "photos").id

    @precondition(lambda self: self._away)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        """Whatever was decided meanwhile, the faces are the same."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self._away)), min_size=1, max_size=4, unique=True))
        paths = {id: f"returned/{id}.jpg" for id in ids}
        self._store.bring_back([Return(id, self._root, path, 1, 1) for id, path in paths.items()])
        faces = self._faces_of_photos()
        for id, path in paths.items():
            self._paths[path], before = self._away.pop(id)
            assert faces.get(path, set()) == before
        self._settled = False

    @precondition(lambda self: self._paths)
    @rule(data=st.data(), number=st.integers(0, 99))
    def move(self, data: st.DataObject, number: int) -> None:
        path = data.draw(st.sampled_from(sorted(self._paths)))
        new = f"moved/{number}.jpg"
        if new in self._paths:
            return
        record = self._store.photos()[self._root, path]
        self._store.move_photos([(record.id, self._root, new, 1, 1)])
        self._paths[new] = self._paths.pop(path)

    @rule()
    def another_version_of_the_models(self) -> None:
        self._version += 1

    @precondition(lambda self: self._paths)
    @rule()
    def migrate(self) -> None:
        self._version += 1
        pins = replace(PINS, settings={"min_face": 20.0 + self._version})
        transfer = self._store.begin_transfer(pins)
        table = self._store.faces()
        staged = []
        for (_, path), record in self._store.photos().items():
            found = make_faces(self._paths[path], self._version)
            mine = np.flatnonzero(table.photo == record.id)
            places = {place_of(table.boxes[i]): int(table.face[i]) for i in mine.tolist()}
            replaces = np.array([places.get(place_of(box), -1) for box in found.boxes], np.int64)
            staged.append(StagedPhoto(record.id, found, replaces))
        transfer.stage(staged)
        faces = transfer.prepare()
        previous = self._store.active_clustering()
        clusters = None
        if previous is not None and len(faces.table) >= 3:  # as many as KMeans needs
            method = method_for_new_models(previous, get("embedder", "fake"))
            clusters = cluster_afresh(self._store, method, faces.table, faces.vectors, previous)
        transfer.switch(faces, clusters, {})
        assert self._store.away_photos() == []  # their vectors are of the old models
        self._away = {}

    @rule()
    def reopen(self) -> None:
        self._index.close()
        self._index = FaceIndex.open(self._directory, write=True)

    # Clusters ----------------------------------------------------------------------------------

    @rule(rebuild=st.booleans())
    def cluster(self, rebuild: bool) -> None:
        self._index.cluster(rebuild=rebuild)
        self._clustered = self._settled = True

    @rule()
    def cluster_by_kmeans(self) -> None:
        if len(self._index) >= 3:
            self._index.cluster("kmeans", k=3)
            self._clustered = self._settled = True

    @precondition(lambda self: self._clustered)
    @rule()
    def restore(self) -> None:
        try:
            self._index.cluster.restore()
        except UsageError:
            return
        self._settled = True

    # Decisions ---------------------------------------------------------------------------------

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def name_a_cluster(self, data: st.DataObject, name: str) -> None:
        clusters = sorted({face.cluster for face in self._index if face.cluster is not None})
        if not clusters:
            return
        cluster = data.draw(st.sampled_from(clusters))
        keys = [self._keys()[face.face] for face in self._index.faces(cluster=cluster)]

        def change(model: Model) -> None:
            uid = self._uid(model, name)
            # What was said about a single face counts more than the name of its cluster.
            different = {frozenset(pair[:2]) for pair in before if not pair[2]}
            of_person = {key for key, said in model.labels.items() if said == uid}
            refused = {
                key for key in keys if any(frozenset((key, other)) in different for other in of_person)
            }
            model.label(uid, [k for k in keys if (k, uid) not in model.rejected and k not in refused])

        before = self._said()[2]
        self._decide(lambda: self._index.people.name(name, clusters=[cluster]), change)

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def name_faces(self, data: st.DataObject, name: str) -> None:
        faces, keys = self._some_faces(data)
        self._decide(
            lambda: self._index.people.name(name, faces=faces),
            lambda model: model.label(self._uid(model, name), keys),
        )

    @precondition(lambda self: self._clustered and self._paths and self._model.names)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        faces, keys = self._some_faces(data)
        uid = self._somebody(data)
        self._decide(
            lambda: self._index.people.confirm(faces, self._model.names[uid]),
            lambda model: model.label(uid, keys),
        )

    @precondition(lambda self: self._clustered and self._paths and self._model.names)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        faces, keys = self._some_faces(data)
        uid = self._somebody(data)
        self._decide(
            lambda: self._index.people.reject(faces, self._model.names[uid]),
            lambda model: model.reject(uid, keys),
        )

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data(), stranger=st.booleans())
    def nobody(self, data: st.DataObject, stranger: bool) -> None:
        faces, keys = self._some_faces(data)
        people = self._index.people
        self._decide(
            lambda: people.ignore(faces=faces) if stranger else people.not_a_face(faces=faces),
            lambda model: model.forget(Label.STRANGER if stranger else Label.NOT_A_FACE, keys),
        )

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data())
    def same(self, data: st.DataObject) -> None:
        faces, keys = self._some_faces(data)
        people = {self._model.labels[key] for key in keys if key in self._model.labels}
        if len(people) > 1:
            with pytest.raises(UsageError):
                self._index.people.same(faces)
        else:
            self._decide(lambda: self._index.people.same(faces), lambda model: None)

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data())
    def different(self, data: st.DataObject) -> None:
        (one, keys), (other, others) = self._some_faces(data), self._some_faces(data)
        if set(keys) & set(others):
            return
        labels = self._model.labels
        if {labels[k] for k in keys if k in labels} & {labels[k] for k in others if k in labels}:
            with pytest.raises(UsageError):
                self._index.people.different(one, other)
        else:
            self._decide(lambda: self._index.people.different(one, other), lambda model: None)

    @precondition(lambda self: self._clustered and self._model.names)
    @rule(data=st.data(), name=st.sampled_from((*NAMES, "Emil", "Frieda")))
    def rename(self, data: st.DataObject, name: str) -> None:
        uid = self._somebody(data)
        old = self._model.names[uid]
        if name in self._model.names.values() and name != old:
            with pytest.raises(UsageError, match="Another person"):
                self._index.people.rename(old, name)
            return

        def change(model: Model) -> None:
            model.names[uid] = name

        self._decide(lambda: self._index.people.rename(old, name), change)

    @precondition(lambda self: self._clustered and self._model.names)
    @rule(data=st.data(), year=st.integers(1940, 2030))
    def born(self, data: st.DataObject, year: int) -> None:
        uid = self._somebody(data)

        def change(model: Model) -> None:
            model.born[uid] = str(year)

        self._decide(lambda: self._index.people.born(self._model.names[uid], str(year)), change)

    @precondition(lambda self: self._clustered and len(self._model.names) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        by_name = {name: uid for uid, name in self._model.names.items()}  # uids are random
        into, other = (
            by_name[name]
            for name in data.draw(
                st.lists(st.sampled_from(sorted(by_name)), min_size=2, max_size=2, unique=True)
            )
        )
        names = self._model.names
        self._decide(
            lambda: self._index.people.merge(names[into], names[other]),
            lambda model: model.merge(into, other),
        )

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        """Split off what resembles one face, from its person or from its cluster without a name."""
        (seed, *_), _ = self._some_faces(data)
        found = next(face for face in self._index if face.face == seed)
        what = found.cluster if found.person is None else found.person
        if what is None:
            return
        try:
            split = self._index.people.propose_split(what, [seed])
        except UsageError:
            return  # there is nothing to divide
        keys = self._keys()
        part = [keys[face] for face in split.part]

        def change(model: Model) -> None:
            for uid, name in model.names.items():
                if name == found.person:
                    model.reject(uid, part)

        self._decide(lambda: self._index.people.split(split), change)

    @precondition(lambda self: self._undo)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, min(3, len(self._undo))))
        before = self._said()
        self._index.people.undo(number, dry_run=True)
        assert self._said() == before
        undone = self._index.people.undo(number)
        assert [decided.kept for _, decided in undone] == [0] * number
        for _ in range(number):
            self._model = self._undo.pop()

    @precondition(lambda self: self._clustered and self._paths)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def dry_run(self, data: st.DataObject, name: str) -> None:
        before = self._said(), [(face.face, face.cluster) for face in self._index]
        self._index.people.name(name, faces=self._some_faces(data)[0], dry_run=True)
        assert (self._said(), [(face.face, face.cluster) for face in self._index]) == before

    # Other indexes -----------------------------------------------------------------------------

    @precondition(lambda self: self._clustered)
    @rule(version=st.integers(0, 5))
    def replay_on_a_fresh_index(self, version: int) -> None:
        journal = Path(self._folder.name) / "journal.jsonl"
        self._index.people.export(journal)
        self._fresh += 1
        fresh = Path(self._folder.name) / f"fresh{self._fresh}"
        with Store.create(fresh, PINS) as store:
            root = store.add_root("/elsewhere", "elsewhere").id
            pictures = sorted(set(self._paths.values()))
            store.commit([make_photo(root, f"{picture}.jpg", picture, version) for picture in pictures])
        with FaceIndex.open(fresh, write=True) as index:
            replayed = index.people.apply(journal)
            assert not replayed.conflicts
            index.cluster()
            assert said_by_user(index) == self._said()
            assert index.people.apply(journal).decisions == 0
            check_constraints(index)

    # What holds after each operation -----------------------------------------------------------

    @invariant()
    def every_word_of_the_user_holds(self) -> None:
        table, view = self._index._reader.table(), self._index._reader.people()
        keys = self._keys()
        roster = view.roster
        uid_of = {id: roster.records[root].uid for id, root in roster.roots.items()}
        linked = {key for one, other, same in self._said()[2] if same for key in (one, other)}
        for face, person, label in zip(
            table.face.tolist(), view.person.tolist(), view.label.tolist(), strict=True
        ):
            key = keys[face]
            shown = uid_of.get(person)
            if (said := self._model.labels.get(key)) is not None:
                assert shown == said
            elif shown is not None:
                assert (key, shown) not in self._model.rejected
                assert key not in self._model.nobody
                is_free = self._settled and key not in linked  # by the word of the user, whatever the date
                if is_free and shown in self._model.born and year_of(key[0]) is not None:
                    taken = first_second(f"{year_of(key[0])}-06")
                    assert taken >= first_second(self._model.born[shown])
            if key in self._model.nobody:
                assert label == self._model.nobody[key]
        assert {person.uid: person.name for person in self._index.people.list()} == self._model.names
        if self._settled:
            check_constraints(self._index)

    @invariant()
    def a_page_that_follows_shows_what_the_index_has(self) -> None:
        self._steps += 1
        if self._steps % 3:  # several steps at once, too
            self._page.follow()

    # -------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        return self._index._store

    def _commit(self, photos: list[tuple[str, int]]) -> None:
        self._store.commit([make_photo(self._root, path, picture, self._version) for path, picture in photos])
        self._paths.update(photos)
        self._settled = False

    def _faces_of_photos(self) -> dict[str, set[int]]:
        """The ids of the faces on each photo, by its path inside the root."""
        found: dict[str, set[int]] = {}
        for face in self._index:
            found.setdefault(Path(face.path).relative_to("/photos").as_posix(), set()).add(face.face)
        return found

    def _keys(self) -> dict[int, Key]:
        return places_of_faces(self._index)

    def _said(self) -> tuple[set[Any], set[Any], set[Any], set[Any]]:
        return said_by_user(self._index)

    def _some_faces(self, data: st.DataObject) -> tuple[list[int], list[Key]]:
        keys = self._keys()
        faces = data.draw(st.lists(st.sampled_from(sorted(keys)), min_size=1, max_size=4, unique=True))
        return faces, [keys[face] for face in faces]

    def _somebody(self, data: st.DataObject) -> str:
        by_name = {name: uid for uid, name in self._model.names.items()}
        return by_name[data.draw(st.sampled_from(sorted(by_name)))]

    def _uid(self, model: Model, name: str) -> str:
        (uid,) = (person.uid for person in self._index.people.list() if person.name == name)
        model.names.setdefault(uid, name)
        return uid

    def _decide(self, decide: Callable[[], object], change: Callable[[Model], None]) -> None:
        before = copy.deepcopy(self._model)
        number = self._index.people.log(1)[:1]
        decide()
        change(self._model)
        if self._index.people.log(1)[:1] != number:
            self._undo.append(before)
        else:
            assert self._model == before


def test_what_the_user_says_holds(fake_models: ModuleType) -> None:
    run_state_machine_as_test(
        PeopleMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=EXAMPLES == 12,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            print_blob=True,
        ),
    )
