"""Write the journal of decisions to a file, and apply one to an index.

The file has one JSON document per line: a header, then the decisions in their order. Faces are written as
``{"picture": ..., "box": [x1, y1, x2, y2], "photo": ...}``: the hash of the picture, the box in fractions of
the stored picture, and the photo's path for readers. People are written by their uid, which is the same in
every index.

A decision of the file *conflicts* with one of the index if both say something else about the same face or
person, and the file's author had not seen that of the index. Such a part of a decision is left out and
reported. A decision that both have is applied once.

The author of a file of a gallery saw the index as it was when the gallery was written. Its header has
``index``, the id of the index, and ``seen``, the uid of the newest decision then: the author had seen
all up to that one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

from faceindex.errors import UsageError
from faceindex.people.dates import clean_date
from faceindex.people.editor import FIELDS, LABEL_NAMES
from faceindex.people.roster import LONGEST_NAME, clean_name, clean_note
from faceindex.store.checked_json import Malformed, fields, list_of, mapping, moment, text
from faceindex.store.decisions import Decision, Label

__all__ = ["SCHEMA", "FaceMark", "FileDecision", "header_of", "journal_lines", "read_journal"]

SCHEMA: Final = "faceindex/people-journal/1"

_LABELS = {name: label for label, name in LABEL_NAMES.items()}
_UID = re.compile(r"[0-9a-f]{32}")
_LEAST_SIDE = 1e-4  # of a box; files have 6 decimals, the catalog has 24 bits
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\s]+")


@dataclass(frozen=True, slots=True)
class FaceMark:
    """A place on a picture.

    Attributes
    ----------
    picture : bytes
        Hash of the picture.
    box : tuple of float
        ``x1 y1 x2 y2`` in fractions of the stored picture.
    """

    picture: bytes
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FileDecision:
    """A decision of a file.

    Attributes
    ----------
    line : int
    uid, at, command
        As in `faceindex.store.decisions.Decision`.
    actions : list
        Faces are `FaceMark`, labels are `Label`.
    """

    line: int
    uid: str
    at: datetime
    command: str
    actions: list[dict[str, Any]] = field(default_factory=list)

    def marks(self) -> Iterator[FaceMark]:
        """Yield all places that it names."""
        for action in self.actions:
            for face in action.get("faces", ()):
                yield from face if isinstance(face, list) else [face]


def journal_lines(
    decisions: Sequence[Decision],
    places: dict[int, tuple[bytes, tuple[float, float, float, float]]],
    photos: dict[bytes, str],
) -> Iterator[str]:
    """Yield the lines of a journal, without line ends.

    Parameters
    ----------
    decisions : sequence of Decision
        Oldest first.
    places : dict
        The picture and the box of each mark.
    photos : dict
        A path for each picture that the index has.
    """

    def face(mark: int) -> dict[str, Any]:
        picture, box = places[mark]
        written: dict[str, Any] = {"picture": picture.hex(), "box": [round(side, 6) for side in box]}
        if picture in photos:
            written["photo"] = photos[picture]
        return written

    yield _line({"schema": SCHEMA, "written": datetime.now(timezone.utc).isoformat(timespec="seconds")})
    for decision in decisions:
        if decision.actions and decision.actions[0]["do"] == "forgotten":
            continue
        actions = []
        for action in decision.actions:
            if action["do"] == "left_out":
                continue
            if "faces" in action:
                faces = [
                    [face(mark) for mark in each] if isinstance(each, list) else face(each)
                    for each in action["faces"]
                ]
                action = {**action, "faces": faces}
            actions.append(action)
        yield _line(
            {
                "id": decision.uid,
                "at": decision.at.isoformat(),
                "command": decision.command,
                "actions": actions,
            }
        )


def _line(document: dict[str, Any]) -> str:
    # Paths may have bytes that are not text: escaped, they stay valid JSON.
    return json.dumps(document, ensure_ascii=True, separators=(", ", ": "))


def read_journal(lines: Sequence[str], name: str) -> list[FileDecision]:
    """Read the decisions of a journal, and check everything in it.

    Parameters
    ----------
    lines : sequence of str
    name : str
        Of the file, for messages.

    Raises
    ------
    UsageError
        If it is not such a file; names the line.
    """
    found: list[FileDecision] = []
    seen: set[str] = set()
    started = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = _document(line)
            if not started:
                _check_header(document)
                started = True
                continue
            decision = _decision(document, number)
        except (Malformed, UsageError) as error:
            reason = error.problem.rstrip(".") if isinstance(error, UsageError) else str(error)
            raise UsageError(
                f"{name}, line {number}: {reason}.",
                "Apply a file that `faceindex people export` wrote, as it is.",
            ) from error
        if decision.uid in seen:
            raise UsageError(
                f"{name}, line {number}: the decision is there twice.", "Delete one of the two lines."
            )
        seen.add(decision.uid)
        found.append(decision)
    if not started:
        raise UsageError(f"{name} is empty.", "Apply a file that `faceindex people export` wrote.")
    return found


def header_of(lines: Sequence[str]) -> tuple[str | None, str | None]:
    """Return what the header of the file of a gallery says.

    Parameters
    ----------
    lines : sequence of str
        That `read_journal` accepts.

    Returns
    -------
    index, seen : str or None
        The id of the index, and the uid of the newest decision that the author had seen.
    """
    header = _document(next(line for line in lines if line.strip()))
    index, seen = (header.get(name) for name in ("index", "seen"))
    return index if isinstance(index, str) else None, seen if isinstance(seen, str) else None


def _document(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed("this is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("this is not a JSON object")
    return value


def _check_header(document: dict[str, Any]) -> None:
    schema = document.get("schema")
    if schema != SCHEMA:
        if isinstance(schema, str) and schema.startswith("faceindex/people-journal/"):
            raise Malformed("a newer faceindex wrote it")
        raise Malformed("this is not the first line of a journal of faceindex")


def _decision(document: dict[str, Any], line: int) -> FileDecision:
    checked = fields(id=_uid, at=moment, command=text, actions=list_of(mapping()))(document, "the decision")
    at: datetime = checked["at"]
    if not 1970 <= at.year < 9999:  # other zones change the year
        raise Malformed(f"the decision.at is in the year {at.year}")
    at = at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)
    actions = [_action(action, f"action {i}") for i, action in enumerate(checked["actions"], 1)]
    command = _UNSHOWN.sub(" ", checked["command"]).strip()[:1000]  # it is printed
    return FileDecision(line, checked["id"], at, command, actions)


def _action(action: dict[str, Any], name: str) -> dict[str, Any]:
    check = _ACTIONS.get(text(action.get("do"), f"{name}.do"))
    if check is None:
        raise Malformed(f"{name} does '{action['do']}', which this faceindex does not know")
    result: dict[str, Any] = check(action, name)
    return result


def _uid(value: object, name: str) -> str:
    if not _UID.fullmatch(text(value, name)):
        raise Malformed(f"{name} is not an id of 32 hexadecimal digits")
    return str(value)


def _face(value: object, name: str) -> FaceMark:
    found = mapping()(value, name)
    try:
        picture = bytes.fromhex(text(found.get("picture"), f"{name}.picture"))
    except ValueError:
        raise Malformed(f"{name}.picture is not hexadecimal") from None
    box = found.get("box")
    if len(picture) != 16:
        raise Malformed(f"{name}.picture has {len(picture)} bytes instead of 16")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_side(side) for side in box):
        raise Malformed(f"{name}.box is not four numbers")
    x1, y1, x2, y2 = map(float, box)
    if min(x2 - x1, y2 - y1) < _LEAST_SIDE:
        raise Malformed(f"{name}.box is empty")
    return FaceMark(picture, (x1, y1, x2, y2))


def _is_side(side: object) -> bool:
    if isinstance(side, bool) or not isinstance(side, (int, float)):
        return False
    return -10 < side < 10  # false for NaN


def _label(value: object, name: str) -> Label:
    label = _LABELS.get(text(value, name))
    if label is None:
        raise Malformed(f"{name} is '{value}', which this faceindex does not know")
    return label


def _person_label(value: object, name: str) -> Label:
    label = _label(value, name)
    if label not in (Label.NAMED, Label.CONFIRMED):
        raise Malformed(f"{name} is '{value}'")
    return label


def _nobody_label(value: object, name: str) -> Label:
    label = _label(value, name)
    if label not in (Label.STRANGER, Label.NOT_A_FACE):
        raise Malformed(f"{name} is '{value}'")
    return label


def _name(value: object, name: str) -> str:
    found = text(value, name)
    if len(found) > LONGEST_NAME:
        raise Malformed(f"{name} is too long")
    return found


def _values(value: object, name: str) -> dict[str, Any]:
    found: dict[str, Any] = mapping()(value, name)
    for key, item in found.items():
        if key == "hidden":
            if not isinstance(item, bool):
                raise Malformed(f"{name}.hidden is not true or false")
        elif key == "into":
            _uid(item, f"{name}.into")
        elif key not in FIELDS:
            raise Malformed(f"{name} has an unknown key '{key}'")
        elif item is not None:
            written = text(item, f"{name}.{key}")
            if key == "name":
                found[key] = clean_name(written)
            elif key in ("born", "died"):
                found[key] = clean_date(written)
            else:
                found[key] = clean_note(written)
    return found


_FACES = list_of(_face)


def _groups(value: object, name: str) -> list[list[FaceMark]]:
    found: list[list[FaceMark]] = list_of(_FACES)(value, name)
    if len(found) != 2:
        raise Malformed(f"{name} has {len(found)} groups instead of 2")
    return found


_ACTIONS = {
    "face": fields(do=text, faces=_FACES),
    "person": fields(do=text, person=_uid, set=_values),
    "merge": fields(do=text, person=_uid, merged=list_of(_uid)),
    "label": fields(do=text, person=_uid, name=_name, **{"as": _person_label}, faces=_FACES),
    "reject": fields(do=text, person=_uid, faces=_FACES),
    "nobody": fields(do=text, **{"as": _nobody_label}, faces=_FACES),
    "same": fields(do=text, faces=_FACES),
    "different": fields(do=text, faces=_groups),
    "unlink": fields(do=text, faces=_groups),
    "undo": fields(do=text, decision=_uid),
}
