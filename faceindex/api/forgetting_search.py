"""Search all files for what was forgotten: the last step of `FaceIndex.forget`, if it is asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from faceindex.api.forgetting_results import Left, Searched
from faceindex.api.pictures import IndexPictures
from faceindex.people.forgetting import names_of_people
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.api.forgetting_results import ForgettingPlan
    from faceindex.api.reader import Reader

__all__ = ["Search"]

_WHERE: Final = {
    "images.relpath": "paths of photos",
    "away_images.relpath": "paths of photos",
    "roots.path": "paths of indexed folders",
    "roots.given": "paths of indexed folders",
    "copies.path": "paths of exports",
    "people.name": "names of other people",
    "people.name_key": "names of other people",
    "people.note": "notes about other people",
    "exchanged_regions.name": "names of other people",
    "decisions.actions": "decisions about other people",
    "decisions.changes": "decisions about other people",
    "decisions.command": "decisions about other people",
}
_PATHS: Final = ("images.relpath", "away_images.relpath", "roots.path", "roots.given", "copies.path")
_PLAIN: Final = ("people.name", "people.name_key", "people.note", "decisions.command")
_TAIL: Final = 512  # bytes of a thumbnail that are searched for: its last pixels, without tables
_LEAST_TEXT: Final = 6  # characters of a note or a path that is searched for


class Search:
    """Holds, in memory only, what is about to be forgotten; `run` searches for it afterwards.

    Parameters
    ----------
    reader : Reader
    plan : ForgettingPlan
    """

    def __init__(self, reader: Reader, plan: ForgettingPlan) -> None:
        self._reader = reader
        store, roster = reader.store, reader.roster()
        self._copies = [Path(copy.path) for copy in store.copies.all()]
        with store.snapshot():
            self._vectors, self._measures = store.traces.of_faces(sorted(plan.faces | plan.away))
            kept = IndexPictures(reader).kept(sorted(plan.faces))
            self._measures += [jpeg[-_TAIL:] for jpeg in kept]
            names, self._shared = names_of_people(store.decisions, roster, plan.people)
            self._texts = set(names)
            for person in plan.people:
                record = roster.records[person]
                self._texts |= {
                    text for text in (record.uid, record.note) if text and len(text) >= _LEAST_TEXT
                }
            by_id, gone = PhotoNames(store, plan.photos), {*plan.away_photos}
            away = [record for record in store.away_photos() if record.id in gone]
            paths = {record.relpath for record in (*by_id.records, *away)}
            self._texts |= {path for path in paths if len(path) >= _LEAST_TEXT}

    def run(self) -> tuple[Searched, tuple[Left, ...]]:
        """Search the files of the index, and the copies that it knew of.

        Returns
        -------
        searched : Searched
        left : tuple of Left
            Where names stay, because the values there are about somebody or something else.
        """
        from faceindex.store.residue import Found, Residue, files_below, search_file

        store = self._reader.store
        number, values = store.traces.cells_with(self._texts)
        living = {value for key in _PLAIN for value in values.get(key, ())}
        paths = {value for key in _PATHS for value in values.get(key, ())}
        stems = {os.path.splitext(path.rpartition("/")[2])[0] for path in paths}  # noqa: PTH122
        living |= paths | _lines_of_the_page(self._texts)
        residue = Residue(self._vectors, self._measures, self._texts, living, stems)
        residue.leave_out(*store.traces.of_all())
        found = Found()
        for path in files_below(store.directory):
            search_file(path, residue, found, names=not path.name.startswith("catalog.sqlite"))
        for name, times in store.traces.unexplained(self._texts).items():
            found.names += times
            found.places[str(store.directory / name)] += times
        for copy in self._copies:
            for path in files_below(copy):
                search_file(path, residue, found)
            manifest = copy.parent / ".faceindex-export" / "manifest.jsonl"
            if not copy.is_dir() and manifest.exists():
                search_file(manifest, residue, found)
        left = Counter[str]()
        for where, times in number.items():
            left[_WHERE.get(where, where)] += times
        if self._shared:
            left["names that another person has, too (not searched for)"] = len(self._shared)
        searched = Searched(
            fragments=residue.fragments,
            names=len(self._texts),
            files=found.files,
            bytes=found.bytes,
            hits=found.fragments + found.names,
            hits_by_file=dict(found.places),
            unreadable=tuple(path for path in found.unreadable if Path(path).exists()),
        )
        return searched, tuple(Left(where, times) for where, times in sorted(left.items()))


def _lines_of_the_page(texts: Iterable[str]) -> set[str]:
    """Return the lines of the page of galleries that have one of some names in their examples."""
    from faceindex.page.build import static_page

    lines = {line.strip() for line in static_page({}).decode().splitlines()}
    return {line for line in lines if any(text in line for text in texts)}
