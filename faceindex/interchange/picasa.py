"""Picasa: the file ``.picasa.ini`` in each folder, and ``contacts.xml``.

Google ended Picasa in 2016 and never documented these files. What is known of them:

- ``[Photo.jpg]`` with ``faces=rect64(3f845bcb59418507),8e62398ebda8c1a5;...``: for each face its box and the
  contact. The box is one number of 64 bits in hexadecimal, four times 16 bits: left, top, right, bottom, in
  65535ths of the picture. Leading zeros are left out (F. Buchinger's notes on ``.picasa.ini``, public domain;
  ``picasa_faces.config`` of ExifTool).
- The contact ``ffffffffffffffff``, or ``0``, stands for a face without a name.
- Boxes are on the picture **as it is stored**: neither the EXIF orientation nor ``rotate=rotate(n)`` changes
  them. The tests of Philipp91's picasa2digikam have measured pairs for orientations 1, 3, 6 and 8. For camera
  RAW they are on the upright picture (ExifTool's ``picasa_faces.config``, 2015-05-11).
- ``crop=`` and ``filters=crop64=...`` are edits that Picasa only shows; the file is not cropped, and the
  boxes are on the whole picture. Once an edit is saved, the file before it lies in ``.picasaoriginals``, and
  its edits in the ``.picasa.ini`` there. Nothing says on which picture the boxes then are, so that only
  names are read.
- ``[Contacts2]`` has ``contact=Name;...``. ``[Contacts]`` of versions before 3.9 has no names.
- ``contacts.xml`` has ``<contact id="..." name="..."/>``, with the names as they are now.
"""

from __future__ import annotations

import os
import re
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from faceindex.errors import UsageError
from faceindex.interchange.regions import Box, Region, SourceAlbum, SourcePerson, SourcePhoto
from faceindex.interchange.sources import (
    absolute,
    box_of,
    clean,
    decode,
    file_size,
    files_below,
    is_file,
    note,
    read_source,
    unreadable,
)

__all__ = ["read_picasa"]

_INI_NAMES = (".picasa.ini", "picasa.ini")  # in any case: early versions wrote Picasa.ini
_ORIGINALS = ".picasaoriginals"
_CONTACTS = ("contacts.xml", "contacts/contacts.xml", "Google/Picasa2/contacts/contacts.xml")
_MOST_BYTES = 64 << 20  # of a .picasa.ini or contacts.xml; 10,000 photos with all edits have about 5 MB
_MOST_FACES = 10_000  # of one photo
_NOBODY = {"f" * 16, ""}  # "0" without its leading zeros is ""
_LARGEST = 0xFFFF
_FACE = re.compile(r"rect64\(\s*([0-9a-fA-F]{1,16})\s*\)\s*,\s*([0-9a-fA-F]{1,16})")
_ENTRY = re.compile(r"[^;\s][^;]*")
_RAW = frozenset(
    {
        "3fr",
        "arw",
        "cr2",
        "crw",
        "cs1",
        "dcr",
        "dng",
        "eip",
        "erf",
        "iiq",
        "k25",
        "kdc",
        "mef",
        "mos",
        "mrw",
        "nef",
        "nrw",
        "orf",
        "pef",
        "raf",
        "raw",
        "rw2",
        "rwl",
        "sr2",
        "srf",
        "srw",
        "x3f",
    }
)
"""Extensions of camera RAW, of ExifTool's picasa_faces.config."""

_Sections = dict[str, dict[str, str]]


def read_picasa(
    path: str | os.PathLike[str], *, contacts: str | os.PathLike[str] | None = None
) -> SourceAlbum:
    """Read the faces of a tree of photos that Picasa has managed.

    Parameters
    ----------
    path : path-like
        The folder of the photos, with ``.picasa.ini`` in it and in its subfolders, or one such file.
    contacts : path-like, optional
        Picasa's ``contacts.xml``, or ``backup.xml`` of a backup. None looks for it in `path`. Without it, the
        names are those in the ``.picasa.ini`` of each folder, and otherwise the most frequent ones in all.

    Returns
    -------
    SourceAlbum
        Its photos have absolute paths. A name in `contacts` goes before that of a ``.picasa.ini``.

    Raises
    ------
    UsageError
        If `path` or `contacts` cannot be read.
    """
    root = absolute(path)
    problems: list[str] = []
    files = _inis(root, problems)
    named = _contacts_file(root, contacts)
    people = _from_xml(named, problems, given=contacts is not None) if named is not None else {}
    elsewhere: dict[str, Counter[str]] = {}
    for folder, name in files:
        for contact, known in _contacts(_sections(Path(folder, name), [])).items():
            elsewhere.setdefault(contact, Counter())[known] += 1
    for contact, names in elsewhere.items():
        if contact in people:
            continue
        people[contact] = min(names, key=lambda known: (-names[known], known))
        if len(names) > 1:
            several = ", ".join(f"'{known}'" for known in sorted(names)[:5])
            note(
                problems,
                f"{root}: Contact {contact} has several names ({several}); each folder's own name is used.",
            )
    authoritative = people if named is not None else {}
    return SourceAlbum(
        program="Picasa",
        photos=_photos(files, authoritative, people, problems),
        people={contact: SourcePerson(contact, name) for contact, name in people.items()},
        problems=problems,
    )


def _inis(root: Path, problems: list[str]) -> list[tuple[str, str]]:
    """List the .picasa.ini files, each as its folder and name."""
    if is_file(root):
        if root.name.lower() not in _INI_NAMES:
            raise UsageError(
                f"{root} is not a .picasa.ini.", "Name the folder of the photos, or a .picasa.ini in it."
            )
        return [(str(root.parent), root.name)]
    found = [
        (folder, name)
        for folder, _, matching in files_below(root, lambda name: name.lower() in _INI_NAMES, problems)
        if os.path.basename(folder) != _ORIGINALS  # noqa: PTH119 - of text
        for name in matching
    ]
    if not found:
        note(problems, f"{root}: There is no .picasa.ini in it; copies of photos often lack hidden files.")
    return found


def _sections(path: Path, problems: list[str]) -> _Sections:
    """Return the keys and values by section. Sections of one name are joined; the last value counts."""
    try:
        text = decode(read_source(path, _MOST_BYTES))
    except (OSError, ValueError) as error:
        note(problems, str(unreadable(path, error)))
        return {}
    sections: _Sections = {}
    section: dict[str, str] = {}
    for line in re.split(r"[\r\n]+", text):
        stripped = line.strip(" \t\0\ufeff")
        if stripped.startswith("[") and stripped.endswith("]"):
            section = sections.setdefault(stripped[1:-1], {})
        elif (split := stripped.find("=")) > 0:
            section[stripped[:split].strip().lower()] = stripped[split + 1 :].strip()
    return sections


def _contact(written: str) -> str:
    """Return the id of a contact as it is compared."""
    return written.strip().lower().lstrip("0")


def _contacts(sections: _Sections) -> dict[str, str]:
    """Return the names in [Contacts2] by contact."""
    found = {}
    for section, values in sections.items():
        if section.lower() == "contacts2":
            for contact, value in values.items():
                if (name := clean(value.partition(";")[0])) is not None and _contact(contact) not in _NOBODY:
                    found[_contact(contact)] = name
    return found


def _contacts_file(root: Path, given: str | os.PathLike[str] | None) -> Path | None:
    if given is not None:
        if not is_file(named := absolute(given)):
            raise UsageError(f"{named} is a folder.", "Name Picasa's contacts.xml.")
        return named
    folder = root if root.is_dir() else root.parent
    return next((folder / name for name in _CONTACTS if (folder / name).is_file()), None)


def _from_xml(path: Path, problems: list[str], *, given: bool) -> dict[str, str]:
    """Read contacts.xml: no entities, no network, and as deep and long as libxml2 permits."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        tree = etree.fromstring(read_source(path, _MOST_BYTES), parser)
    except (OSError, ValueError, etree.XMLSyntaxError) as error:
        problem = error if isinstance(error, OSError) else ValueError(f"it is damaged ({error})")
        if given:
            raise unreadable(path, problem) from error
        note(problems, str(unreadable(path, problem)))
        return {}
    people = {}
    for element in tree.iter("contact") if tree is not None else ():
        contact = _contact(element.get("id") or "")
        name = clean(element.get("name")) or clean(element.get("display"))
        if name is not None and contact not in _NOBODY:
            people[contact] = name
    if not people:
        note(problems, f"{path}: There are no contacts in it.")
    return people


def _photos(
    files: list[tuple[str, str]],
    authoritative: dict[str, str],
    people: dict[str, str],
    problems: list[str],
) -> Iterator[SourcePhoto]:
    unknown: set[str] = set()
    for folder, ini in files:
        path = Path(folder, ini)
        sections = _sections(path, problems)
        names = ChainMap(authoritative, _contacts(sections), people)
        existing: dict[str, str] | None = None
        cropped: set[str] | None = None
        for section, values in sections.items():
            if not values.get("faces"):
                continue
            if "/" in section or "\\" in section or "\0" in section or section in (".", ".."):
                note(problems, f"{path}: '{section}' is not the name of a photo.")
                continue
            if existing is None or cropped is None:
                existing, cropped = _names_in(folder), _cropped(folder)
            regions = _regions(values["faces"], names, people, unknown, f"{path}: {section}", problems)
            photo = existing.get(section.casefold(), section)
            there = Path(folder, photo).as_posix()
            named = [region for region in regions if region.name is not None]
            if photo.casefold() in cropped and named:
                note(
                    problems,
                    f"{path}: Picasa has cropped and saved {photo}; the names count without places.",
                )
                people_here = tuple(dict.fromkeys(str(region.name) for region in named))
                yield SourcePhoto(there, people=people_here, file_size=file_size(there), source=str(path))
                continue
            extension = photo.rpartition(".")[2].lower()
            yield SourcePhoto(
                path=there,
                regions=regions,
                frame="upright" if extension in _RAW else "stored",
                file_size=file_size(there),
                source=str(path),
            )
    if unknown:
        contacts = "1 contact has" if len(unknown) == 1 else f"{len(unknown):,} contacts have"
        note(
            problems,
            f"{contacts} no name in any .picasa.ini; pass Picasa's contacts.xml as `contacts`.",
        )


def _regions(
    faces: str,
    names: Mapping[str, str],
    people: Mapping[str, str],
    unknown: set[str],
    place: str,
    problems: list[str],
) -> tuple[Region, ...]:
    regions = []
    damaged = 0
    for number, entry in enumerate(_ENTRY.finditer(faces)):
        if number == _MOST_FACES:
            note(problems, f"{place} has more than {_MOST_FACES:,} faces; the rest is left out.")
            break
        match = _FACE.match(entry[0])
        box = _box(match[1]) if match else None
        if match is None or box is None:
            damaged += 1
            continue
        contact = _contact(match[2])
        known = None if contact in _NOBODY else names.get(contact)
        if known is None and contact not in _NOBODY:
            unknown.add(contact)
        same = known is not None and people.get(contact) == known
        regions.append(Region(box, known, person=contact if same else None))
    if damaged:
        note(problems, f"{place}: {damaged:,} of its faces cannot be read.")
    return tuple(regions)


def _box(written: str) -> Box | None:
    value = int(written, 16)
    left, top, right, bottom = ((value >> shift & _LARGEST) / _LARGEST for shift in (48, 32, 16, 0))
    return box_of(left, top, right, bottom)


def _names_in(folder: str) -> dict[str, str]:
    """Return the names in a folder by their casefolded form, without those that differ by case."""
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except OSError:
        return {}
    count = Counter(name.casefold() for name in names)
    return {name.casefold(): name for name in names if count[name.casefold()] == 1}


def _cropped(folder: str) -> set[str]:
    """Return the casefolded names of the photos in a folder that Picasa has cropped and saved."""
    for name in _INI_NAMES:
        ini = Path(folder, _ORIGINALS, name)
        if ini.is_file():
            return {
                section.casefold()
                for section, values in _sections(ini, []).items()
                if "crop" in values or "crop64" in values.get("filters", "")
            }
    return set()
