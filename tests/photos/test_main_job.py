"""End to end on real photographs with the real networks: index, cluster, identify."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceindex import FaceIndex
from faceindex.metrics import bcubed

KNOWN, QUERIES, STRANGERS = 12, 4, 40
README = Path(__file__).resolve().parents[2] / "README.md"


def faceindex(*arguments: str | Path, code: int = 0, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "faceindex", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def album(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Twelve photos of each of eight people, indexed and clustered."""
    folder = tmp_path_factory.mktemp("album")
    for person in sorted((data / "people").iterdir()):
        (folder / "photos" / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:KNOWN]:
            shutil.copy(photo, folder / "photos" / person.name)
    faceindex("index", "photos", cwd=folder)
    faceindex("cluster", cwd=folder)
    yield folder


def largest_faces(album: Path) -> tuple[list[str], list[int]]:
    """Return the person on each photo, which is its folder, and the cluster of its largest face."""
    best: dict[str, tuple[float, int]] = {}
    for row in csv.DictReader(io.StringIO(faceindex("faces", "--csv", cwd=album))):
        area = (float(row["x2"]) - float(row["x1"])) * (float(row["y2"]) - float(row["y1"]))
        cluster = int(row["cluster"]) if row["cluster"] else -1
        if row["photo"] not in best or area > best[row["photo"]][0]:
            best[row["photo"]] = (area, cluster)
    assert all(photo.startswith("photos/") for photo in best)
    return [Path(photo).parent.name for photo in best], [cluster for _, cluster in best.values()]


def test_people_are_found_and_separated(album: Path) -> None:
    people, clusters = largest_faces(album)
    assert len(people) >= 0.99 * 8 * KNOWN
    assert bcubed(clusters, people).f >= 0.97


def test_new_photos_are_identified(album: Path, data: Path) -> None:
    people, clusters = largest_faces(album)
    cluster_of = {
        person: int(
            np.bincount([c for p, c in zip(people, clusters, strict=True) if p == person and c >= 0]).argmax()
        )
        for person in set(people)
    }
    queries = [
        photo
        for person in sorted((data / "people").iterdir())
        for photo in sorted(person.iterdir())[KNOWN : KNOWN + QUERIES]
    ]
    answers = json.loads(faceindex("identify", "--json", *queries, cwd=album))["photos"]
    right = 0
    for photo, answer in zip(queries, answers, strict=True):
        named = {face["cluster"] for face in answer["faces"]}
        right += cluster_of[photo.parent.name] in named
    assert right >= 0.96 * len(queries)


def test_strangers_are_unknown(album: Path, data: Path) -> None:
    strangers = sorted((data / "lfw").glob("*/*_0001.jpg"))[:: 2200 // STRANGERS][:STRANGERS]
    answers = json.loads(faceindex("identify", "--json", *strangers, cwd=album))["photos"]
    unknown = [all(face["cluster"] is None for face in answer["faces"]) for answer in answers]
    assert np.mean(unknown) >= 0.92


def test_boxes_of_a_large_photo_are_in_full_size_pixels(portrait: Path, tmp_path: Path) -> None:
    with Image.open(portrait) as image:
        large = image.convert("RGB").resize((2048, 2048), Image.Resampling.LANCZOS)
    large.save(tmp_path / "large.jpg", quality=92)
    with Image.open(portrait) as image:
        image.convert("RGB").save(tmp_path / "small.jpg", quality=92)
    with FaceIndex.create(tmp_path / "index", min_face=60) as index:
        index.add([tmp_path / "large.jpg", tmp_path / "small.jpg"])
        table, vectors = index.table(), index.vectors()
        names = [Path(row.photo).name for row in index.faces()]
    large_face, small_face = names.index("large.jpg"), names.index("small.jpg")
    np.testing.assert_allclose(table.boxes[large_face] / 4, table.boxes[small_face], atol=6)
    assert vectors[large_face] @ vectors[small_face] > 0.97


def test_the_orientation_tag_does_not_change_the_faces(portrait: Path, tmp_path: Path) -> None:
    turned = {
        1: None,
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    with Image.open(portrait) as image:
        upright = image.convert("RGB")
    for tag, turn in turned.items():
        exif = Image.Exif()
        exif[0x0112] = tag
        stored = upright if turn is None else upright.transpose(turn)
        stored.save(tmp_path / f"{tag}.jpg", quality=95, exif=exif)
    with FaceIndex.create(tmp_path / "index") as index:
        index.add(sorted(tmp_path.glob("*.jpg")))
        table, vectors = index.table(), index.vectors()
    assert len(table) == len(turned)
    np.testing.assert_allclose(table.boxes, table.boxes[[0]].repeat(len(turned), axis=0), atol=4)
    assert (vectors @ vectors[0]).min() > 0.98


def test_the_library_example_of_the_readme(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"<!-- library example -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    shutil.copy(portrait, "photos/one.png")
    with Image.open(portrait) as image:
        image.convert("RGB").crop((40, 0, 472, 400)).save("photos/two.jpg", quality=90)
        image.convert("RGB").save("someone.jpg", quality=80)
    exec(compile(found[1], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert " 0 0.9" in printed  # cluster 0, with a similarity near 1
