"""`FaceIndex.forget`: delete people, faces and photos for good, with all traces of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from faceindex.api.copies import clean_copies
from faceindex.api.forgetting_away import AwayFaces
from faceindex.api.forgetting_results import CleanedCopy, ForgettingPlan, Left, Receipt, Searched
from faceindex.api.forgetting_search import Search
from faceindex.api.reader import find_faces
from faceindex.api.sidecar_forgetting import clean_sidecars, sidecars_found
from faceindex.errors import FaceIndexError, ImageError, StoreError, UsageError
from faceindex.people.forgetting import Forgotten, names_of_people, redact_journal, undone_namesakes
from faceindex.store.decisions import Label
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.deciding import PersonRef
    from faceindex.api.reader import Reader
    from faceindex.store.copies import Copy
    from faceindex.store.exchanged import ExchangedRegion

__all__ = ["IndexForgetting"]

_log = logging.getLogger(__name__)

_NOBODY: Final = (int(Label.STRANGER), int(Label.NOT_A_FACE))
_UID_DIGITS: Final = 32


class IndexForgetting:
    """Deletes people, faces and photos for good; `FaceIndex.forget`.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._store = reader.store
        self._cleaned: list[CleanedCopy] = []

    def __call__(
        self,
        people: PersonRef | Iterable[PersonRef] = (),
        *,
        faces: Iterable[int] = (),
        clusters: Iterable[int] = (),
        photos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        allow_return: bool = False,
        verify: bool = False,
        dry_run: bool = False,
        on_copy: Callable[[int, int], None] = lambda done, total: None,
    ) -> Receipt:
        """Delete people, faces and photos from the index, from its files, and from copies that it knows of.

        A process that is killed has forgotten nothing, or all of it in the catalog; then the next call that
        opens the index for writing cleans the files and the copies.

        Parameters
        ----------
        people : str, Person, or iterable of these
            By name or uid. All faces go that were named or confirmed as theirs, and all that are in their
            clusters; with them the name, dates and note, and what the journal says of them.
        faces : iterable of int
        clusters : iterable of int
            For all their faces.
        photos : path-like or iterable of path-like
            Photos of the index. They are removed with all faces, also where the same picture is at another
            path, and no face is looked for on them again. So is an earlier picture that was at the same
            path, unless it is at another one now.

        All of these may be on photos that are away: whose files are gone for now, and whose faces are kept.
        allow_return : bool
            Keep no places: the next run that reads the photos finds the faces again.
        verify : bool
            Search all files for what was deleted.
        dry_run : bool
            Only count.
        on_copy : callable
            Called with the number of finished copies and of all copies.

        Raises
        ------
        UsageError
            If a person, a face or a photo is not in the index, nothing is given, or a place cannot be kept
            because the picture of a photo has not been read.
        StoreError
            If the catalog cannot be written. Nothing is forgotten then.
        """
        plan = self.plan(
            people, faces=faces, clusters=clusters, photos=photos, allow_return=allow_return, dry_run=dry_run
        )
        return self.carry_out(plan, verify=verify, dry_run=dry_run, on_copy=on_copy)

    def carry_out(
        self,
        plan: ForgettingPlan,
        *,
        verify: bool = False,
        dry_run: bool = False,
        on_copy: Callable[[int, int], None] = lambda done, total: None,
    ) -> Receipt:
        """Forget what was planned, while the index is open; parameters as in a call of this object."""
        if dry_run:
            found = tuple(CleanedCopy(c.path, c.kind, "found", "") for c in self._store.copies.all())
            found += sidecars_found(self._reader, self._exchanged(plan))
            return self._receipt(plan, 0, dry_run=True, copies=found)
        search = Search(self._reader, plan) if verify else None
        decisions = self._delete(plan)
        return self.finish(plan, decisions, search=search, on_copy=on_copy)

    # What to forget ----------------------------------------------------------------------------

    def plan(
        self,
        people: PersonRef | Iterable[PersonRef] = (),
        *,
        faces: Iterable[int] = (),
        clusters: Iterable[int] = (),
        photos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        allow_return: bool = False,
        dry_run: bool = False,
    ) -> ForgettingPlan:
        """Find what a call with these arguments deletes; parameters as in a call of this object.

        Changes nothing, but for the pictures of photos of an older format: these are read and stored, unless
        `dry_run`.
        """
        if not self._store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        who, which = _several(people), list(dict.fromkeys(int(face) for face in faces))
        groups, paths = list(clusters), _several(photos)
        if not (who or which or groups or paths):
            raise UsageError("Nothing is given to forget.", "Give people, faces or photos.")
        plan = ForgettingPlan()
        with self._store.snapshot():
            self._add_people(plan, who)
            self._add_faces(plan, which)
            self._add_clusters(plan, groups)
            self._add_photos(plan, paths)
        if not (allow_return or dry_run) and plan.faces:
            self._read_pictures(plan)
        with self._store.snapshot():
            self._add_same_places(plan, keep=not allow_return)
        return plan

    def _person(self, person: PersonRef) -> int:
        from faceindex.api.people_results import Person

        roster = self._reader.roster()
        if isinstance(person, Person):
            found = roster.records.get(person.id)
            return roster.roots[found.id] if found is not None else roster.find(person.name).id
        for id, record in roster.records.items():
            if len(person) == _UID_DIGITS and record.uid == person:
                return roster.roots[id]
            if record.name is None and roster.roots[id] == id and roster.title(id) == person:
                return id
        return roster.find(person).id

    def _add_people(self, plan: ForgettingPlan, who: Sequence[PersonRef]) -> None:
        roster = self._reader.roster()
        roots = list(dict.fromkeys(self._person(person) for person in who))
        plan.titles = [roster.title(root) for root in roots]
        plan.people = sorted(member for root in roots for member in roster.members(root))
        if not roots:
            return
        table, view = self._reader.table(), self._reader.people()
        is_theirs = np.isin(view.person, roots) & ~np.isin(view.label, _NOBODY)
        is_labelled = np.isin(view.label, (int(Label.NAMED), int(Label.CONFIRMED)))
        plan.labelled = {int(face) for face in table.face[is_theirs & is_labelled]}
        plan.believed = {int(face) for face in table.face[is_theirs & ~is_labelled]}
        plan.away = AwayFaces(self._reader).of_people(roots, plan.people)
        tables = self._store.decisions
        plan.people = sorted({*plan.people, *undone_namesakes(tables, roster, plan.people)})
        plan.marks = set(tables.marks_of_people(plan.people))

    def _add_faces(self, plan: ForgettingPlan, faces: Sequence[int]) -> None:
        away = self._store.forgotten.away_among(faces)
        there = [face for face in faces if face not in away]
        find_faces(self._reader.table(), there)  # raises for an unknown one
        plan.away |= away
        plan.named |= set(there) - plan.labelled - plan.believed

    def _add_clusters(self, plan: ForgettingPlan, clusters: Sequence[int]) -> None:
        if not clusters:
            return
        table, away = self._reader.table(), AwayFaces(self._reader)
        for cluster in clusters:
            if not (found := away.of_clusters([cluster])):
                self._reader.check_cluster(cluster)
            plan.away |= found
        members = {int(face) for face in table.face[np.isin(table.cluster, clusters)]}
        plan.named |= members - plan.labelled - plan.believed

    def _add_photos(self, plan: ForgettingPlan, paths: Sequence[str | os.PathLike[str]]) -> None:
        if not paths:
            return
        names, away = PhotoNames(self._store), self._store.away_photos()
        there = {record.picture for record in names.records}
        chosen = []
        for path in paths:
            were_there = names.find_away(path, away)
            try:
                chosen.append(names.by_id[names.find(path)])
            except UsageError:
                if not were_there:
                    raise
            else:  # an earlier picture that is at another path now is the photo there
                were_there = [r for r in were_there if r.picture is None or r.picture not in there]
            chosen += were_there
        pictures = {record.picture for record in chosen if record.picture is not None}
        contents = {record.content_hash for record in chosen if record.content_hash is not None}
        same = [r for r in names.records if r.picture in pictures or r.content_hash in contents]
        are_away = {record.id for record in away}
        plan.photos = sorted({record.id for record in (*chosen, *same)} - are_away)
        plan.contents |= contents | {r.content_hash for r in same if r.content_hash is not None}
        also = self._store.forgotten.away_photos(sorted(pictures | contents))
        plan.away_photos = sorted({record.id for record in chosen if record.id in are_away} | {*also})
        plan.away |= set(self._store.forgotten.away_faces_on(plan.away_photos))
        table = self._reader.table()
        on_them = {int(face) for face in table.face[np.isin(table.photo, plan.photos)]}
        plan.on_photos = on_them - plan.labelled - plan.believed - plan.named
        plan.places += [(key, None) for key in sorted(pictures | contents)]
        tables = self._store.decisions
        plan.marks |= {mark for picture in pictures for mark, _ in tables.marks_on_picture(picture)}

    def _read_pictures(self, plan: ForgettingPlan) -> None:
        from faceindex.api.deciding import Decider

        try:
            Decider(self._reader).know_pictures(sorted(plan.faces - plan.on_photos))
        except (ImageError, UsageError) as error:
            raise UsageError(
                f"The place of a face cannot be kept, so it would come back: {error.problem}",
                "Run `faceindex index` on its folder once, or pass `allow_return=True`.",
            ) from error

    def _add_same_places(self, plan: ForgettingPlan, *, keep: bool) -> None:
        """Add the same faces on copies of the pictures, on photos that are away, and their marks."""
        forgotten, tables = self._store.forgotten, self._store.decisions
        plan.marks |= set(tables.marks_of_faces(sorted(plan.faces)).values())
        plan.marks |= set(forgotten.marks_of_away(sorted(plan.away)).values())
        places = forgotten.known_places(sorted(plan.faces)) + forgotten.places_of_away(sorted(plan.away))
        places += list(tables.places(sorted(plan.marks)).values())
        live, away = forgotten.faces_at(places)
        live_marks, away_marks = tables.marks_of_faces(live), forgotten.marks_of_away(away)
        plan.copies |= set(live) - plan.faces - self._others(plan, live_marks)
        plan.away |= set(away) - self._others(plan, away_marks)
        plan.marks |= {mark for face, mark in away_marks.items() if face in plan.away}
        plan.marks |= set(tables.marks_of_faces(sorted(plan.copies)).values())
        places += forgotten.known_places(sorted(plan.copies))
        whole = {picture for picture, box in plan.places if box is None}
        plan.places += [place for place in dict.fromkeys(places) if place[0] not in whole]
        table = self._reader.table()
        photos = table.photo[np.isin(table.face, sorted(plan.faces))]
        records = self._store.photos_by_id({int(photo) for photo in photos}).values()
        plan.contents |= {r.content_hash for r in records if r.content_hash is not None}
        plan.contents |= forgotten.contents_of_away(sorted(plan.away))
        plan.contents |= forgotten.contents_of_pictures(sorted({picture for picture, _ in places}))
        if not keep:
            plan.places = []

    def _others(self, plan: ForgettingPlan, marks: dict[int, int]) -> set[int]:
        """Return those of some faces, given with their marks, that show somebody else by the user's word."""
        states = self._store.decisions.labels(sorted(set(marks.values())))
        people = set(plan.people)
        return {
            face
            for face, mark in marks.items()
            if states[mark].label is not Label.NONE
            and states[mark].person not in people
            and mark not in plan.marks
        }

    # Forgetting --------------------------------------------------------------------------------

    def _delete(self, plan: ForgettingPlan) -> int:
        """Delete what is planned from the catalog, in one transaction; return the changed entries."""
        store, tables = self._store, self._store.decisions
        roster = self._reader.roster()
        names, _ = names_of_people(tables, roster, plan.people)
        every = Forgotten(
            people=frozenset(plan.people),
            uids=frozenset(roster.records[person].uid for person in plan.people),
            marks=frozenset(plan.marks),
            faces=frozenset(plan.faces | plan.away),
            names=frozenset(names),
        )
        clusters = {*tables.assigned(sorted(plan.faces)).values()}
        exchanged = self._exchanged(plan)
        gone = {*plan.photos, *plan.away_photos}
        if on_them := [region for region in exchanged if region.photo in gone]:
            # While the index still has the paths of these photos.
            with store.deciding():
                store.exchanged.forget(on_them)
            self._cleaned = clean_sidecars(self._reader)
        with store.forgetting.deleting(plan.contents) as deleting:
            decisions = redact_journal(tables, roster, every)
            deleting.marks(sorted(plan.marks))
            store.exchanged.forget([region for region in exchanged if region.photo not in gone])
            deleting.people(plan.people)
            deleting.faces(sorted(plan.faces | plan.away))
            deleting.photos(sorted({*plan.photos, *plan.away_photos}))
            store.forgotten.add_places(plan.places)
            store.forgotten.add_people(every.uids)
            self._name_clusters(clusters)
        return decisions

    def _exchanged(self, plan: ForgettingPlan) -> list[ExchangedRegion]:
        """Return the regions of the forgotten that were exchanged with files."""
        tables, roster = self._store.decisions, self._reader.roster()
        names, _ = names_of_people(tables, roster, plan.people)
        places = [*plan.places, *tables.places(sorted(plan.marks)).values()]
        return self._store.exchanged.about(names, places, {*plan.photos, *plan.away_photos})

    def _name_clusters(self, clusters: Collection[int]) -> None:
        """Derive the people of clusters that lost faces, whose labels may have been among these."""
        from faceindex.people.constraints import all_constraints, people_by_links

        tables, table = self._store.decisions, self._store.assignments()
        left = sorted({*clusters} & set(table.cluster.tolist()))
        linked = people_by_links(table.cluster, all_constraints(tables, table)) if left else {}
        tables.update_cluster_people(left, {c: person for c, person in linked.items() if c in left})

    def finish(
        self,
        plan: ForgettingPlan | None = None,
        decisions: int = 0,
        *,
        search: Search | None = None,
        on_copy: Callable[[int, int], None] = lambda done, total: None,
    ) -> Receipt:
        """Clean the files of the index, and the copies, of all that was forgotten; may be repeated.

        Parameters
        ----------
        plan : ForgettingPlan, optional
            What has just been deleted; None if an earlier process did that.
        decisions : int
        search : faceindex.api.forgetting_search.Search, optional
        on_copy
            As in a call of this object.
        """
        store, problem = self._store, None
        try:
            store.forgetting.finish()
        except StoreError as error:
            problem = f"{error.problem} {error.remedy}"
        try:
            store.searching.require_up_to_date()
        except FaceIndexError as error:  # the next process that writes tries again
            if store.searching.erasing:
                problem = problem or f"{error.problem} It still has the forgotten faces. {error.remedy}"
            else:  # its files are gone, and cannot be made anew now
                _log.warning("%s %s", error.problem, error.remedy)
        stale = store.copies.all(stale=True)
        cleaned = clean_copies(self._reader, stale, on_copy=on_copy)
        try:
            self._end(stale, cleaned)
            cleaned += [*self._cleaned, *clean_sidecars(self._reader)]
        except StoreError as error:
            problem = problem or f"{error.problem} {error.remedy}"
        left: tuple[Left, ...] = ()
        searched: Searched | None = None
        if search is not None:
            searched, left = search.run()
        receipt = self._receipt(plan or ForgettingPlan(), decisions, copies=tuple(cleaned))
        whole = all(copy.state in ("updated", "removed") for copy in cleaned)
        clean = searched is None or not (searched.hits or searched.unreadable)
        return replace(
            receipt,
            complete=problem is None and whole and clean,
            left=left,
            searched=searched,
            problem=problem,
            search=store.searching.note,
        )

    def resume(self) -> None:
        """Clean the copies that may still hold what an earlier process has forgotten, and are there."""
        stale = [
            copy
            for copy in self._store.copies.all(stale=True)
            if os.path.lexists(copy.path) or copy.options.get("removing")
        ]
        cleaned = clean_copies(self._reader, stale) if stale else []
        if stale:
            self._end(stale, cleaned)
        cleaned += clean_sidecars(self._reader)
        for done in cleaned:
            if done.state in ("kept", "failed"):
                _log.warning("%s may still show forgotten faces: %s.", done.path, done.detail)

    def _end(self, stale: Sequence[Copy], cleaned: Sequence[CleanedCopy]) -> None:
        states = dict(zip((copy.id for copy in stale), (done.state for done in cleaned), strict=True))
        self._store.forgetting.end(
            clean=[id for id, state in states.items() if state in ("updated", "kept")],
            gone=[id for id, state in states.items() if state == "removed"],
        )

    def _receipt(
        self,
        plan: ForgettingPlan,
        decisions: int,
        *,
        dry_run: bool = False,
        copies: tuple[CleanedCopy, ...] = (),
    ) -> Receipt:
        return Receipt(
            at=datetime.now(timezone.utc),
            dry_run=dry_run,
            complete=False,
            people=len(plan.titles),
            faces=len(plan.faces) + len(plan.away),
            labelled=len(plan.labelled),
            believed=len(plan.believed),
            named=len(plan.named),
            on_photos=len(plan.on_photos),
            copies_of_faces=len(plan.copies),
            away=len(plan.away),
            photos=len(plan.photos) + len(plan.away_photos),
            decisions=decisions,
            places=len(plan.places),
            copies=copies,
            left=(),
            searched=None,
        )


def _several(value: object) -> list[Any]:
    """Return what was given, one or several, as a list."""
    from faceindex.api.people_results import Person

    if isinstance(value, (str, os.PathLike, Person)):
        return [value]
    return list(cast("Iterable[Any]", value))
