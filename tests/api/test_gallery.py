"""What `index.export.gallery` puts into the page."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from album_page import read_columns

from faceindex import FaceIndex


@pytest.fixture
def index(fake_models: ModuleType, tmp_path: Path) -> Any:
    """Four people with four photos each: Anna, who was born in 1950, and Xaver are named."""
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(fake_models.make_album(tmp_path / "album", people=4, photos=4))
        index.cluster()
        index.people.name("Anna", clusters=[0])
        index.people.born("Anna", "1950")
        index.people.name("Xaver", clusters=[1])
        yield index


def page_of(index: FaceIndex, folder: Path, **options: Any) -> tuple[str, Any, Any, Any]:
    """Return the HTML, the configuration, and the header and the columns of the album."""
    html = index.export.gallery(folder, **options).page.read_text("utf-8")
    found = re.search(r'id="config">(.*?)</script>', html)
    assert found is not None
    config = json.loads(found[1])
    return html, config, config["header"], read_columns(config["header"], base64.b64decode(config["album"]))


def test_the_page_has_the_state_of_the_index(index: FaceIndex, tmp_path: Path) -> None:
    faces = [face.face for face in index if face.cluster == 2]
    index.people.same(faces[:2])
    index.people.ignore(faces=faces[3:])
    _, config, header, columns = page_of(index, tmp_path / "page")
    album = index.album.load()
    for name, of in (("face", "face"), ("cluster", "cluster"), ("person", "person"), ("label", "label")):
        assert columns[name].tolist() == getattr(album, of).tolist()
    assert [person["name"] for person in header["people"]] == ["Anna", "Xaver"]
    assert config["seen"] == index._store.decisions.decisions(limit=1)[0].uid
    assert config["linked"] == faces[:2]
    assert len(config["questions"]) == len(index.people.suggest(200))
    again = index.export.gallery(tmp_path / "page")
    assert (again.files.written, again.files.removed) == (0, 0)


@pytest.mark.parametrize("copy", [False, True])
def test_hidden_people_are_nowhere_in_the_page(index: FaceIndex, tmp_path: Path, copy: bool) -> None:
    his = [face.face for face in index if face.person == "Xaver"]
    alone = next(face.face for face in index if face.cluster == 2)
    index.people.name("Xaver", faces=[alone])
    index.people.hide("Xaver")
    uid = index.people.get("Xaver").uid
    html, config, header, columns = page_of(index, tmp_path / "page", copy=copy)
    html += json.dumps(header)
    assert not {*his, alone} & {*columns["face"].tolist()}
    assert "Xaver" not in html and uid not in html
    assert not any({*q["faces"], *q["others"]} & {*his, alone} for q in config["questions"])
    _, _, header, _ = page_of(index, tmp_path / "all", copy=copy, hidden=True)
    assert [person["name"] for person in header["people"]] == ["Anna", "Xaver"]
    assert [person["born"] for person in header["people"]] == [None if copy else "1950", None]
