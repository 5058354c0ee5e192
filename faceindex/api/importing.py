"""Make one decision of the names and regions of another program, for ``index.people.import_album``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from faceindex.addresses import normal_path
from faceindex.api.import_deciding import FACE, HAND, PLACED, WAITING, Claims, ImportDecision
from faceindex.api.import_drawing import EmbeddedRegions, embed_regions
from faceindex.api.import_gathering import Gathered, gather
from faceindex.api.import_names import ImportedPeople, import_command
from faceindex.api.import_results import MOST_LISTED, Counter, ImportReport
from faceindex.api.region_matching import match_regions
from faceindex.errors import FaceIndexError
from faceindex.matching import match_boxes
from faceindex.store import Status
from faceindex.store.decisions import Label
from faceindex.store.forgotten import select_faces

if TYPE_CHECKING:
    from faceindex.api.deciding import Decider
    from faceindex.api.people_results import Decided
    from faceindex.interchange.regions import SourceAlbum, SourcePhoto
    from faceindex.people.editor import Editor
    from faceindex.recognition import Recogniser
    from faceindex.store import PhotoRecord
    from faceindex.types import Faces

__all__ = ["ImportOptions", "import_album"]

_SIDE = np.float32(1000)  # pixels of a picture, for boxes in fractions


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import; see `faceindex.api.people_importing.ImportingPeople.import_album`.

    Attributes
    ----------
    renamed : mapping of int to int
        Marks that the program has given another name since the index and it agreed, and their person then,
        who is no conflict.
    also : callable
        Takes part in the decision after the names.
    """

    photos_at: str | os.PathLike[str] | None = None
    whole_photos: bool = False
    prefer: Literal["file", "index"] | None = None
    dry_run: bool = False
    progress: Callable[[str, int, int | None], None] = lambda what, done, total: None
    should_stop: Callable[[], bool] = lambda: False
    renamed: Mapping[int, int] = field(default_factory=dict)
    also: Callable[[Editor], None] = lambda editor: None


class _Stopped(Exception):
    """The user stopped reading."""


def import_album(
    decider: Decider,
    recogniser: Callable[[], Recogniser],
    album: SourceAlbum,
    options: ImportOptions,
) -> ImportReport:
    """Import names; see `faceindex.api.people_importing.ImportingPeople.import_album`."""
    decider.require_writable()
    return _Import(decider, recogniser, album, options).run()


class _Import:
    """One import."""

    def __init__(
        self,
        decider: Decider,
        recogniser: Callable[[], Recogniser],
        album: SourceAlbum,
        options: ImportOptions,
    ) -> None:
        self._decider, self._recogniser = decider, recogniser
        self._store, self._tables = decider.store, decider.tables
        self._album, self._options = album, options
        self._embedded: list[EmbeddedRegions] = []

    def run(self) -> ImportReport:
        """Read, match, embed, decide."""
        decider = self._decider
        try:
            gathered = self._gather()
        except _Stopped:
            return self._report(Counter(), None, None, stopped=True)
        gathered.refuse_weaker_claims()
        self._drop_unknown_pictures(gathered)
        people = ImportedPeople(self._store, decider.roster(), self._album.program, self._album.people)
        gathered.drop_names({name.id for name in gathered.names.all if people.is_forgotten(name)})
        for name in gathered.names.all:
            if (problem := people.doubt(name)) is not None:
                gathered.counter.list("problems", problem)
        gathered.pool_copies()
        said = self._said_places(gathered)
        stopped = False
        if gathered.drawn and not self._options.dry_run:
            self._embedded, stopped = embed_regions(
                self._store,
                self._recogniser,
                gathered.drawn,
                gathered.counter,
                progress=lambda done, total: self._options.progress("faces", done, total),
                should_stop=self._options.should_stop,
            )
        return self._decide(gathered, people, said, stopped)

    def _gather(self) -> Gathered:
        """Read all photos of the program, and match them."""
        roots = {root.id: root.given for root in self._store.roots()}

        def photo_name(record: PhotoRecord) -> str:
            return normal_path(os.path.join(roots.get(record.root_id, ""), record.relpath))  # noqa: PTH118

        names = {key: person.name for key, person in self._album.people.items()}
        matched = match_regions(
            self._decider.reader, self._watched(), names=names, photos_at=self._options.photos_at
        )
        return gather(
            matched,
            whole_photos=self._options.whole_photos,
            both=self._options.prefer == "file",
            photo_name=photo_name,
        )

    def _watched(self) -> Iterator[SourcePhoto]:
        for number, photo in enumerate(self._album.photos, 1):
            if self._options.should_stop():
                raise _Stopped
            yield photo
            self._options.progress("photos", number, None)

    def _drop_unknown_pictures(self, gathered: Gathered) -> None:
        """Read the pictures of photos that an older faceindex indexed; without them, nothing can be said."""
        faces = gathered.faces.tolist()
        without = self._tables.photos_without_picture(faces)
        if not without:
            return
        found, photos, _ = self._store.importing.faces_on(without)
        lost: set[int] = set()
        for photo in without:
            here = found[photos == photo].tolist()
            try:
                if not self._options.dry_run:
                    self._decider.know_pictures(here)
                    continue
            except FaceIndexError as error:
                gathered.counter.list("problems", error.problem)
            lost.update(here)
        gathered.drop_faces(lost, "known" if self._options.dry_run else "unread")

    def _said_places(self, gathered: Gathered) -> list[tuple[int, int]]:
        """Take out the regions without a face at whose place the user said something; return marks and names.

        With `prefer` "file", the file counts more, and none is taken out.
        """
        if self._options.prefer == "file":
            return []
        found, rest = [], []
        for place in gathered.drawn:
            mark = None if place.picture is None else self._mark_at(place.picture, place.stored)
            if mark is not None and self._says_something(mark):
                found.append((mark, place.name))
            else:
                rest.append(place)
        gathered.drawn = rest
        return found

    def _says_something(self, mark: int) -> bool:
        tables = self._tables
        labelled = tables.labels([mark])[mark].label is not Label.NONE
        return labelled or bool(tables.rejections([mark])) or bool(tables.links([mark]))

    def _mark_at(self, picture: bytes, box: tuple[float, ...]) -> int | None:
        """Return the mark at a place of a stored picture."""
        known = self._tables.marks_on_picture(picture)
        if not known:
            return None
        boxes = np.frombuffer(b"".join(box for _, box in known), "<f4").reshape(-1, 4).astype(np.float32)
        (at,) = match_boxes(boxes * _SIDE, np.array([box], np.float32) * _SIDE)
        return known[at][0] if at >= 0 else None

    def _decide(
        self,
        gathered: Gathered,
        people: ImportedPeople,
        said: Sequence[tuple[int, int]],
        stopped: bool,
    ) -> ImportReport:
        decider, counter = self._decider, gathered.counter
        parts = [self._on_copies(each) for each in self._embedded]
        if vectors := [faces.vectors for each in parts for _, faces in each]:
            self._store.append_vectors(np.concatenate(vectors))
        done: list[tuple[Decided, ImportDecision]] = []

        def work() -> None:
            claims = self._claims(gathered, said, parts)
            options = self._options
            decision = ImportDecision(
                self._tables, people, gathered.names.all, counter, options.prefer, options.renamed
            )
            chosen = decision.choose(claims)
            self._remove_refused(claims, chosen)
            faces = len(np.unique(chosen.mark))
            command = import_command(self._album.program)
            command += f"  # {faces:,} face{'' if faces == 1 else 's'}"

            def carry_out(editor: Editor) -> None:
                decision.carry_out(editor, chosen)
                options.also(editor)

            done.append((decider.make(command, carry_out), decision))

        decider.in_transaction(work, dry_run=self._options.dry_run)
        decided, decision = done[0]
        return self._report(counter, decided, decision, stopped=stopped)

    def _remove_refused(self, claims: Claims, chosen: Claims) -> None:
        """Remove the faces that were added for names that are left out."""
        drawn = self._tables.drawn_faces
        added = set(claims.mark[claims.kind == HAND].tolist())
        for mark in sorted(added - set(chosen.mark.tolist())):
            if drawn.drawn(mark) is None:
                drawn.remove_faces(mark)

    def _on_copies(self, embedded: EmbeddedRegions) -> list[tuple[int, Faces]]:
        """Return embedded faces for their photo, and for copies of it that have no face at these places."""
        found = [(embedded.photo, embedded.faces)]
        (record,) = self._store.photos_by_id([embedded.photo]).values()
        if record.picture is None:
            return found
        shape = record.width, record.height, record.orientation
        for copy in self._store.photos_by_picture(record.picture):
            same = (copy.width, copy.height, copy.orientation) == shape and copy.status is Status.OK
            if copy.id == record.id or not same:
                continue
            _, there = self._store.drawn_faces.boxes_of_faces(copy.id)
            free = np.array([match_boxes(there, box[None])[0] < 0 for box in embedded.faces.boxes])
            if free.any():
                found.append((copy.id, select_faces(embedded.faces, free)))
        return found

    def _claims(
        self,
        gathered: Gathered,
        said: Sequence[tuple[int, int]],
        parts: Sequence[Sequence[tuple[int, Faces]]],
    ) -> Claims:
        """Return the marks of all regions that say who a face is; inside the transaction."""
        claims = [(mark, name, WAITING) for mark, name in said]
        faces, names = gathered.faces.tolist(), gathered.face_names.tolist()
        kinds = [PLACED if placed else FACE for placed in gathered.placed]
        self._tables.save_pictures(
            [(each.photo, each.picture) for each in self._embedded if each.picture is not None]
        )
        for embedded, copies in zip(self._embedded, parts, strict=True):
            for i, (photo, found) in enumerate(copies):
                inserted = self._store.insert_drawn(photo, found)
                if i == 0:
                    faces += inserted
                    names += [region.name for region in embedded.regions]
                    kinds += [HAND] * len(inserted)
        marks = self._tables.mark_faces(faces)
        claims += [(marks[face], name, kind) for face, name, kind in zip(faces, names, kinds, strict=True)]
        places = [(place, WAITING) for place in gathered.away]
        if self._options.dry_run:  # what would be embedded; the marks are rolled back
            places += [(place, HAND) for place in gathered.drawn]
        pictures: set[bytes] = set()
        for place, kind in places:
            if place.picture is None:  # only in a dry run: it would be read
                gathered.counter.add("added")
                continue
            mark = self._mark_at(place.picture, place.stored)
            if mark is None:
                box = np.array(place.stored, "<f4").tobytes()
                mark = self._tables.insert_mark(place.picture, box)
                pictures.add(place.picture)
            claims.append((mark, place.name, FACE if place.has_face else kind))
        self._tables.match(pictures)
        table = np.array(claims, np.int64).reshape(-1, 3)
        return Claims(table[:, 0], table[:, 1], table[:, 2])

    def _report(
        self,
        counter: Counter,
        decided: Decided | None,
        decision: ImportDecision | None,
        *,
        stopped: bool,
    ) -> ImportReport:
        problems = [*self._album.problems, *counter.lists.pop("problems", [])]
        return ImportReport(
            program=self._album.program,
            decision=None if decided is None or self._options.dry_run else decided.number,
            command=import_command(self._album.program) if decided is None else decided.command,
            dry_run=self._options.dry_run,
            stopped=stopped,
            people=() if decided is None else decided.people,
            new_people=() if decision is None else decision.new_people,
            moved=0 if decided is None else decided.moved,
            problems=tuple(map(str, problems[:MOST_LISTED])),
            **counter.fields(),
        )
