"""What is forgotten does not come back with photos that are gone for now: deleted, or of another root."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from faceindex import Face, FaceIndex
from faceindex.errors import UsageError
from faceindex.types import F32

ANNA, BEN = (224, 32, 32), (32, 160, 32)


class World:
    """Two indexed folders with photos of Anna and Ben, whose names are known by three faces each.

    The photos in `late` were added to the clusters afterwards: nobody named these faces.
    """

    def __init__(self, root: Path, fakes: ModuleType) -> None:
        self.album, self.late, self.kept = root / "album", root / "late", root / "kept"
        self.index = FaceIndex.open_or_create(root / "index", detector="fake", embedder="fake")
        for folder, numbers in ((self.album, range(3)), (self.late, range(3, 6))):
            for number in numbers:
                fakes.make_photo(folder / f"a{number}.png", ANNA, mark=number)
                fakes.make_photo(folder / f"b{number}.png", BEN, mark=number)
            self.index.add(folder)
            self.index.cluster()
            if folder == self.album:
                self.index.people.name("Anna", clusters=[self.cluster("a0.png")])
                self.index.people.name("Ben", clusters=[self.cluster("b0.png")])
        assert sorted(face.person or "" for face in self.index) == ["Anna"] * 6 + ["Ben"] * 6

    def _find(self, name: str) -> Face:
        return next(face for face in self.index if Path(face.photo).name == name)

    def face(self, name: str) -> int:
        return self._find(name).face

    def cluster(self, name: str) -> int:
        found = self._find(name).cluster
        assert found is not None
        return found

    def vectors(self, person: str) -> F32:
        rows = [
            row for row, face in zip(self.index.table().row, self.index, strict=True) if face.person == person
        ]
        return np.array(self.index._store.vectors(np.array(rows, np.int64)))

    def take(self, *patterns: str) -> None:
        """Move files out of their folders, and let the index see that they are gone."""
        for folder in (self.album, self.late):
            for pattern in patterns:
                for path in folder.glob(pattern):
                    (self.kept / folder.name).mkdir(parents=True, exist_ok=True)
                    path.rename(self.kept / folder.name / path.name)
            self.index.add(folder)

    def put_back(self, to: Path | None = None) -> None:
        for folder in (self.album, self.late):
            if (self.kept / folder.name).exists():
                shutil.copytree(self.kept / folder.name, to or folder, dirs_exist_ok=True)
            if folder.exists():
                self.index.add(folder)
        if to is not None:
            self.index.add(to)
        self.index.cluster()

    def shown(self) -> list[str]:
        return sorted(Path(face.photo).stem for face in self.index)

    def residue(self, vectors: F32) -> list[str]:
        wanted = [vector[:4].tobytes() for vector in vectors]
        files = [path for path in self.index.directory.rglob("*") if path.is_file()]
        return [path.name for path in files if any(each in path.read_bytes() for each in wanted)]


@pytest.fixture
def world(tmp_path: Path, fake_models: ModuleType) -> Iterator[World]:
    found = World(tmp_path, fake_models)
    yield found
    found.index.close()


BENS = [f"b{number}" for number in range(6)]


def test_a_cluster_is_forgotten_with_its_faces_on_photos_that_are_away(world: World) -> None:
    cluster, vectors = world.cluster("a0.png"), world.vectors("Anna")
    world.take("a1.png", "a4.png")
    assert world.residue(vectors)
    receipt = world.index.forget(clusters=[cluster], verify=True)
    assert (receipt.faces, receipt.named, receipt.away, receipt.places) == (6, 4, 2, 6)
    assert receipt.complete
    assert world.residue(vectors) == []
    world.put_back()
    assert world.shown() == BENS


@pytest.mark.parametrize("way", ["person", "cluster", "faces", "photos"])
def test_what_is_away_as_a_whole_is_forgotten(world: World, way: str) -> None:
    cluster, vectors = world.cluster("a0.png"), world.vectors("Anna")
    faces = [face.face for face in world.index if face.person == "Anna"]
    photos = [face.photo for face in world.index if face.person == "Anna"]
    world.take("a*.png")
    forget = world.index.forget
    if way == "person":
        receipt = forget("Anna", verify=True)
    elif way == "cluster":
        receipt = forget(clusters=[cluster], verify=True)
    elif way == "faces":
        receipt = forget(faces=faces, verify=True)
    else:
        receipt = forget(photos=photos, verify=True)
    assert (receipt.faces, receipt.away, receipt.complete) == (6, 6, True)
    assert receipt.photos == (6 if way == "photos" else 0)
    assert world.residue(vectors) == []
    world.put_back()
    assert world.shown() == BENS


def test_a_person_is_forgotten_where_only_a_cluster_says_who_it_is(world: World) -> None:
    """The named faces are on photos that are there, and have left the cluster; the others are away."""
    cluster = world.cluster("a0.png")
    world.take("a3.png", "a4.png", "a5.png")
    for photo in ("a0.png", "a1.png", "a2.png"):
        (world.album / photo).unlink()
    world.index.add(world.album)  # nobody is in the cluster now
    assert cluster not in {face.cluster for face in world.index}
    assert world.index.forget("Anna").away == 6
    world.put_back()
    assert world.shown() == BENS


def test_photos_of_a_root_that_is_gone_are_forgotten(world: World) -> None:
    cluster, photo = world.cluster("a0.png"), str(world.late / "b4.png")
    world.take("*3.png", "*4.png")
    photos = world.index._store.photos().values()
    world.index._store.put_away([record.id for record in photos if record.relpath.endswith("5.png")])
    world.index._store.remove_photos([])  # removes roots without photos, as moving another root does
    assert [root.path for root in world.index._store.roots()] == [str(world.album)]
    assert world.index.forget(clusters=[cluster]).away == 3
    assert world.index.forget(photos=photo).photos == 1
    world.put_back()
    assert world.shown() == ["b0", "b1", "b2", "b3", "b5"]


def test_photos_of_a_moved_root_are_forgotten(world: World) -> None:
    cluster, face = world.cluster("a0.png"), world.face("b3.png")
    world.take("a3.png", "b3.png", "b4.png")
    moved = world.late.rename(world.late.parent / "moved")
    world.index.roots.relocate(world.late, moved)
    assert world.index.forget(clusters=[cluster], faces=[face], photos=moved / "b4.png").away == 3
    shutil.copytree(world.kept / "late", moved, dirs_exist_ok=True)
    world.index.add(moved)
    assert world.shown() == ["b0", "b1", "b2", "b5"]


def test_a_face_is_forgotten_on_copies_that_are_away_and_on_those_that_are_there(world: World) -> None:
    shutil.copy(world.late / "a3.png", world.album / "a9.png")
    world.index.add(world.album)
    face = world.face("a3.png")
    world.index.people.confirm([face])  # a decision on this face, on both photos
    world.take("a3.png")
    receipt = world.index.forget(faces=[face])
    assert (receipt.faces, receipt.away, receipt.copies_of_faces) == (2, 1, 1)
    world.put_back()
    assert not {"a3", "a9"} & {*world.shown()}
    assert world.index.people.get("Anna").faces == 5


def test_exports_lose_the_faces_that_are_away(world: World, tmp_path: Path) -> None:
    index, cluster = world.index, world.cluster("a0.png")
    index.export.crops(tmp_path / "crops")
    index.export.clusters(tmp_path / "photos", photos=True)
    index.export.gallery(tmp_path / "gallery", copy=True)
    list(index.pictures.thumbnails([world.face("a1.png")]))
    world.take("a1.png", "a4.png")
    away = [path.read_bytes() for path in world.kept.rglob("a*.png")]
    exported = [tmp_path / name for name in ("crops", "photos", "gallery")]
    assert any(path.read_bytes() in away for path in exported[1].rglob("*.png"))
    receipt = index.forget(clusters=[cluster], verify=True)
    assert receipt.complete
    assert len(away) == receipt.away == 2
    for folder in exported:
        names = [path.name for path in folder.rglob("*") if path.is_file()]
        assert names
        assert not [name for name in names if name.startswith(("a1", "a4"))]
        assert not any(path.read_bytes() in away for path in folder.rglob("*") if path.is_file())


def test_an_earlier_picture_at_the_path_of_a_photo_is_forgotten_with_it(
    world: World, fake_models: ModuleType
) -> None:
    photo = world.late / "a3.png"
    before = photo.read_bytes()
    fake_models.make_photo(photo, BEN, mark=7)
    world.index.add(world.late)
    assert world.index._store.count_away().photos == 1
    receipt = world.index.forget(photos=photo)
    assert (receipt.photos, receipt.faces, receipt.away) == (2, 2, 1)
    photo.write_bytes(before)
    world.index.add(world.late)
    assert "a3" not in world.shown()


def test_an_earlier_picture_that_is_at_another_path_now_stays(world: World, fake_models: ModuleType) -> None:
    photo, copy = world.late / "a3.png", world.album / "copied.png"
    copy.write_bytes(photo.read_bytes())
    world.index.add(world.album)
    fake_models.make_photo(photo, BEN, mark=7)
    world.index.add(world.late)
    assert world.index._store.count_away().photos == 1
    receipt = world.index.forget(photos=photo)
    assert receipt.photos == 1
    assert "copied" in world.shown()
    assert "a3" not in world.shown()


def test_a_face_that_somebody_else_has_by_the_users_word_stays(world: World) -> None:
    cluster = world.cluster("a0.png")
    for name, photo in (("Ben", "a3.png"), (None, "a4.png")):
        if name:
            world.index.people.name(name, faces=[world.face(photo)])
        else:
            world.index.people.reject([world.face(photo)], "Anna")
    with world.index._store.deciding():  # as if the clusters were older than these words
        world.index._store._catalog.execute(
            "INSERT OR REPLACE INTO assignments (face_id, cluster_id, similarity)"
            f" SELECT id, {cluster}, 0.9 FROM faces WHERE id IN (?, ?)",
            (world.face("a3.png"), world.face("a4.png")),
        )
    world.take("a3.png", "a4.png", "a5.png")
    plans = [world.index.forget.plan("Anna"), world.index.forget.plan(clusters=[cluster])]
    assert [len(plan.away) for plan in plans] == [1, 1]


def test_what_is_not_there_and_not_away_is_refused(world: World) -> None:
    world.take("a3.png")
    with pytest.raises(UsageError, match="There is no face 999"):
        world.index.forget(faces=[world.face("a0.png"), 999])
    with pytest.raises(UsageError, match="There is no cluster 999"):
        world.index.forget(clusters=[999])
    with pytest.raises(UsageError, match=r"c3\.png is not in the index"):
        world.index.forget(photos=world.late / "c3.png")


def test_the_place_of_a_face_is_kept_by_the_content_if_the_picture_is_unknown(world: World) -> None:
    """As in an index of an older format whose photos went before their pictures were read."""
    cluster = world.cluster("a0.png")
    world.take("a5.png")
    with world.index._store.deciding():
        world.index._store._catalog.execute("UPDATE away_images SET picture = NULL")
    receipt = world.index.forget(clusters=[cluster])
    assert (receipt.away, receipt.places) == (1, 6)
    world.put_back(world.late.parent / "elsewhere")
    assert "a5" not in world.shown()
