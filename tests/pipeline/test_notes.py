"""Photos that are read with a note: damaged metadata, several pages."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType

import PIL.Image
import pytest

from faceindex import FaceIndex
from faceindex.pipeline import Event, PhotoDone


@pytest.fixture
def special(album: Path, fake_models: ModuleType) -> dict[str, str]:
    """Add two such photos to the album; returns the notes by name."""
    png = fake_models.make_photo(album / "damaged.png", (64, 128, 128), mark=90)
    data = png.read_bytes()
    at = data.index(b"IDAT") - 4
    png.write_bytes(data[:at] + struct.pack(">I4s", 3, b"tEXt") + b"a\0b" + bytes(4) + data[at:])
    pages = [PIL.Image.new("RGB", (96, 96), (128, 64 + i, 128)) for i in range(12)]
    pages[0].save(album / "scans.tif", save_all=True, append_images=pages[1:])
    return {
        "damaged.png": "Its metadata are damaged or too large; it was read without them.",
        "scans.tif": "It has 12 pages; only the first is read.",
    }


def test_notes_are_stored_and_counted(index: FaceIndex, album: Path, special: dict[str, str]) -> None:
    events: list[Event] = []
    summary = index.add(album, on_event=events.append)
    assert (summary.new, summary.faces, summary.with_note) == (14, 14, 2)
    assert summary.complete
    assert {Path(name).name: note for name, note in index.notes()} == special
    assert index.unreadable() == []
    done = {Path(event.path).name: event.note for event in events if isinstance(event, PhotoDone)}
    assert {name: note for name, note in done.items() if note is not None} == special
    again = index.add(album)
    assert (again.opened, again.with_note, again.complete) == (0, 0, True)


def test_identify_has_the_note(index: FaceIndex, album: Path, special: dict[str, str]) -> None:
    index.add(album / "person0")
    for name, note in special.items():
        assert index.identify(album / name, threshold=0.5).note == note
    (intact, scans) = index.identify([album / "person0" / "0.png", album / "scans.tif"], threshold=0.5)
    assert (intact.note, scans.note) == (None, special["scans.tif"])
