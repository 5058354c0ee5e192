from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from faceindex import FaceIndex
from faceindex.errors import NotClustered, UsageError
from faceindex.export.destination import NO_MEDIA, STATE
from faceindex.export.folder import Link


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() and STATE not in path.parts and path.name != NO_MEDIA
    )


@pytest.fixture
def album(tmp_path: Path, fake_models, monkeypatch) -> Path:
    """Three photos of one person, two of another and one of a third, with distinct names."""
    monkeypatch.chdir(tmp_path)
    colours = {"a": (64, 64, 128), "b": (192, 64, 128), "c": (64, 192, 128)}
    for mark, name in enumerate(("a1", "a2", "a3", "b1", "b2", "c1")):
        fake_models.make_photo(tmp_path / "album" / f"{name}.png", colours[name[0]], mark=mark)
    return tmp_path / "album"


def cluster_of(index: FaceIndex) -> dict[str, int | None]:
    return {Path(row.photo).stem: row.cluster for row in index.faces()}


def test_faces_in_one_folder(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex]) -> None:
    with opened(album) as index:
        a, b = cluster_of(index)["a1"], cluster_of(index)["b1"]
        done = index.export.clusters("out")
        expected = [f"{a}_a1_0.png", f"{a}_a2_0.png", f"{a}_a3_0.png", f"{b}_b1_0.png", f"{b}_b2_0.png"]
        assert files(tmp_path / "out") == sorted(expected)
        assert (done.faces, done.photos, done.files.written) == (5, 5, 5)
        larger = index.export.clusters("out", min_size=3)
        assert (larger.faces, larger.files.unchanged, larger.files.removed) == (3, 3, 2)
        index.export.clusters("out", min_size=4, unclustered=True)
        assert files(tmp_path / "out") == ["unclustered_c1_0.png"]


def test_a_folder_for_each_cluster(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex]) -> None:
    with opened(album) as index:
        b = cluster_of(index)["b1"]
        index.export.clusters("out", folders=True, unclustered=True)
        expected = {f"cluster-{b}/b1_0.png", f"cluster-{b}/b2_0.png", "unclustered/c1_0.png"}
        assert expected < set(files(tmp_path / "out"))
        index.export.clusters("out", folders=True, min_size=3)
        assert not (tmp_path / "out" / f"cluster-{b}").exists()
        index.export.clusters("out")
        assert all("/" not in name for name in files(tmp_path / "out"))


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_whole_photos(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex], link: Link) -> None:
    with opened(album) as index:
        a = cluster_of(index)["a1"]
        for written in (5, 0):
            done = index.export.clusters("out", photos=True, link=link)
            assert (done.files.written, done.files.kept) == (written, ())
        other: Link = "copy" if link == "symlink" else "symlink"
        assert index.export.clusters("other", photos=True, link=other).files.written == 5
        assert index.export.clusters("other", photos=True, link=link).files.written == 5
    for folder in ("out", "other"):
        first = tmp_path / folder / f"{a}_a1.png"
        assert first.read_bytes() == (album / "a1.png").read_bytes()
        assert first.samefile(album / "a1.png") == (link != "copy")
        assert first.is_symlink() == (link == "symlink")
        assert first.stat().st_mtime_ns == (album / "a1.png").stat().st_mtime_ns


def test_a_photo_is_exported_once_for_each_cluster(tmp_path: Path, album: Path, opened, fake_models) -> None:
    import numpy as np

    from faceindex.images import content_hash
    from faceindex.store import NewPhoto, Store
    from faceindex.types import Faces

    opened(album).close()
    with Store.open(tmp_path / "index", write=True) as store:
        table = store.faces()
        vectors = store.vectors(table.row)[[3, 0, 1]]  # one like b, two like a
        full = {k: np.repeat(getattr(table, k)[:1], 3, axis=0) for k in ("boxes", "landmarks", "scores")}
        norms = sharpness = np.ones(3, np.float32)
        faces = Faces(**full, vectors=vectors, norms=norms, sharpness=sharpness)
        photo = fake_models.make_photo(album / "group.png", (1, 2, 3))
        content = content_hash(photo.read_bytes())
        store.commit([NewPhoto(1, photo.name, 1, 1, content, 96, 96, faces=faces)])
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        a, b = cluster_of(index)["a1"], cluster_of(index)["b1"]
        done = index.export.clusters("out", photos=True, folders=True)
        assert (done.faces, done.photos) == (8, 6)
        written = files(tmp_path / "out")
        assert [name for name in written if "group" in name] == sorted(
            [f"cluster-{a}/group.png", f"cluster-{b}/group.png"]
        )


def test_invalid_options_are_refused(tmp_path: Path, album: Path, opened: Callable[..., FaceIndex]) -> None:
    with opened(album, cluster=False) as index:
        with pytest.raises(NotClustered):
            index.export.clusters("out")
        with pytest.raises(UsageError, match="`link` is 'symlink'"):
            index.export.clusters("out", link="symlink")
        with pytest.raises(UsageError, match="There is no link type 'sym'"):
            index.export.clusters("out", photos=True, link="sym")  # type: ignore[arg-type]  # invalid on purpose
        with pytest.raises(UsageError, match="`min_size` is 0"):
            index.export.clusters("out", min_size=0)
    assert not (tmp_path / "out").exists()


def test_a_replaced_photo_is_not_copied_or_linked(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        (album / "a1.png").write_bytes((album / "b1.png").read_bytes())
        for link in ("copy", "hardlink"):
            done = index.export.clusters(link, photos=True, link=link)
            assert ["changed since" in error.problem for error in done.failed] == [True]
            assert done.files.written == 4


def test_the_last_copy_of_a_photo_is_kept_and_reported(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        index.export.clusters("out", photos=True)
    (album / "a1.png").unlink()
    (album / "a2.png").rename(album / "moved.png")
    with opened(album) as index:
        done = index.export.clusters("out", photos=True)
        assert [name[-6:] for name, _ in done.files.kept] == ["a1.png"]
        assert (done.files.written, done.files.removed) == (1, 1)
        # The next run and an export of faces keep it, too.
        assert len(index.export.clusters("out", photos=True).files.kept) == 1
        assert len(index.export.clusters("out").files.kept) == 1
    assert any(name.endswith("a1.png") for name in files(tmp_path / "out"))


def test_an_export_is_not_indexed_with_its_parent_folder(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        index.export.clusters("out", photos=True, folders=True)
        index.export.crops("faces")
        faces = index.counts().faces
    with opened(tmp_path) as index:
        assert index.counts().faces == faces


def test_missing_photos_are_reported(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        (album / "a1.png").unlink()
        for link in ("copy", "hardlink", "symlink"):
            done = index.export.clusters(link, photos=True, link=link)
            assert [Path(error.path).name for error in done.failed] == ["a1.png"]
            assert done.files.written == 4


def name_clusters(index: FaceIndex, names: dict[int | None, str]) -> None:
    """Name clusters in the index, which is open for reading."""
    with FaceIndex.open(index.directory, write=True) as writing:
        for cluster, name in names.items():
            assert cluster is not None
            writing.people.name(name, clusters=[cluster])


def test_folders_and_files_have_the_names_of_people(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        clusters = cluster_of(index)
        a, b = clusters["a1"], clusters["b1"]
        name_clusters(index, {a: "Anna / Mum"})
        done = index.export.clusters("out", photos=True, folders=True)
        anna = ["Anna _ Mum/a1.png", "Anna _ Mum/a2.png", "Anna _ Mum/a3.png"]
        assert files(tmp_path / "out") == sorted([*anna, f"cluster-{b}/b1.png", f"cluster-{b}/b2.png"])
        assert [(group.folder, group.person, group.clusters, group.faces) for group in done.groups] == [
            ("Anna _ Mum", "Anna / Mum", (a,), 3),
            (f"cluster-{b}", None, (b,), 2),
        ]
        index.export.clusters("flat")
        assert f"{b}_b1_0.png" in files(tmp_path / "flat")
        assert "Anna _ Mum_a1_0.png" in files(tmp_path / "flat")
        (tmp_path / "out" / "Anna _ Mum" / "mine.txt").write_text("mine")
        name_clusters(index, {a: "Bea?", b: "Bea*"})  # one person renamed, another one named
        index.export.clusters("out", photos=True, folders=True)
        folders = sorted({name.split("/")[0] for name in files(tmp_path / "out")})
        assert folders[:2] == ["Anna _ Mum", "Bea_"]
        assert folders[2].startswith("Bea_-")
        assert [path.name for path in (tmp_path / "out" / "Anna _ Mum").iterdir()] == ["mine.txt"]
        assert not (tmp_path / "out" / f"cluster-{b}").exists()


def test_the_clusters_of_a_person_share_a_folder(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        clusters = cluster_of(index)
        a, b = clusters["a1"], clusters["b1"]
        assert a is not None and b is not None
        name_clusters(index, {a: "Anna", b: "Anna"})
        done = index.export.clusters("out", folders=True, min_size=5)  # together they have five
        assert {name.split("/")[0] for name in files(tmp_path / "out")} == {"Anna"}
        assert [(group.clusters, group.photos) for group in done.groups] == [(tuple(sorted((a, b))), 5)]


def test_chosen_and_hidden_people(tmp_path: Path, album: Path, opened) -> None:
    with opened(album) as index:
        clusters = cluster_of(index)
        a, b = clusters["a1"], clusters["b1"]
        name_clusters(index, {a: "Anna"})
        with FaceIndex.open(index.directory, write=True) as writing:
            writing.people.hide("Anna")

        def exported(**options: object) -> list[str]:
            index.export.clusters("out", folders=True, **options)
            return sorted({name.split("/")[0] for name in files(tmp_path / "out")})

        assert exported() == [f"cluster-{b}"]
        assert exported(hidden=True) == ["Anna", f"cluster-{b}"]
        assert exported(people=["ANNA"]) == ["Anna"]
        assert exported(clusters=[b]) == [f"cluster-{b}"]
        assert exported(people=["anna"], clusters=[b]) == ["Anna", f"cluster-{b}"]
        with pytest.raises(UsageError, match="Nobody has the name 'Ana'") as caught:
            index.export.clusters("nowhere", people=["Ana"])
        assert caught.value.remedy == "Did you mean 'Anna'?"
        with pytest.raises(UsageError, match="There is no cluster 99"):
            index.export.clusters("nowhere", clusters=[99])
    assert not (tmp_path / "nowhere").exists()


def test_photos_of_one_name_stay_apart(tmp_path: Path, fake_models, opened, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for mark, folder in enumerate(("one", "two", "three")):
        fake_models.make_photo(tmp_path / "album" / folder / "IMG.png", (64, 64, 128), mark=mark)
    with opened(tmp_path / "album") as index:
        name_clusters(index, {next(face.cluster for face in index.faces()): "Anna"})
        index.export.clusters("out", photos=True, folders=True)
        index.export.clusters("flat", photos=True)
    names = files(tmp_path / "out")
    assert "Anna/IMG.png" in names
    assert (
        len(names)
        == len({name for name in names if re.fullmatch(r"Anna/IMG(-[0-9a-f]{8})?\.png", name)})
        == 3
    )
    assert {name.replace("/", "_").split("-")[0] for name in names} == {"Anna_IMG.png", "Anna_IMG"}
    assert len(files(tmp_path / "flat")) == 3


def test_names_that_join_to_one_name_stay_apart(tmp_path: Path, fake_models, opened, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    colours = {"b_1": (64, 64, 128), "b_2": (64, 64, 128), "1": (192, 64, 128), "2": (192, 64, 128)}
    for mark, (stem, colour) in enumerate(colours.items()):
        fake_models.make_photo(tmp_path / "album" / f"{stem}.png", colour, mark=mark)
    with opened(tmp_path / "album") as index:
        clusters = cluster_of(index)
        name_clusters(index, {clusters["b_1"]: "a", clusters["1"]: "a_b"})
        index.export.clusters("flat")
        index.export.clusters("photos", photos=True)
    assert [len(files(tmp_path / folder)) for folder in ("flat", "photos")] == [4, 4]
