from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from album_page import read_columns
from PIL import Image as PillowImage

from faceindex.errors import UsageError
from faceindex.export import gallery_pictures
from faceindex.export.gallery import write_gallery
from faceindex.export.gallery_data import config, file_url, relative_url
from faceindex.export.gallery_layout import COLUMNS, lay_out, shown_table
from faceindex.export.thumbnails import SIDE
from faceindex.page.build import static_page
from faceindex.store.decisions import Label


@pytest.fixture
def galleries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    import galleries

    return galleries


@pytest.fixture
def source(galleries, tmp_path: Path):
    """Two people on three photos, and one face in no cluster."""
    plans = [
        galleries.PhotoPlan(
            "a/one.jpg",
            [
                galleries.FacePlan((20, 20, 80, 100), 3, 0.95),
                galleries.FacePlan((120, 20, 180, 100), 7, 0.8),
                galleries.FacePlan((220, 120, 280, 200), -1),
            ],
        ),
        galleries.PhotoPlan("a/two.jpg", [galleries.FacePlan((20, 20, 80, 100), 3, 0.91)]),
        galleries.PhotoPlan("b/three.png", [galleries.FacePlan((20, 20, 80, 100), 3, 0.99)]),
    ]
    return galleries.make_source(tmp_path / "photos", plans)


@pytest.fixture
def write(galleries, tmp_path: Path):
    def write(source, dest: str = "page", **options):
        return write_gallery(source, tmp_path / dest, galleries.protected(tmp_path / "photos"), **options)

    return write


def first_group(pattern: str, html: str) -> str:
    found = re.search(pattern, html, re.DOTALL)
    assert found is not None
    return found.group(1)


def data_of(page_path: Path) -> Any:
    """Return the configuration of a page, with the columns of its album as ``faces``."""
    html = page_path.read_text("utf-8")
    data = json.loads(first_group(r'<script type="application/json" id="config">(.*?)</script>', html))
    data["faces"] = read_columns(data["header"], base64.b64decode(data["album"]))
    return data


def in_sprites(data: Any) -> list[int]:
    """Return the ids of the faces in the order of the sprites."""
    ids: list[int] = data["faces"]["face"][np.argsort(data["faces"]["place"])].tolist()
    return ids


def files_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not {".faceindex-export", ".nomedia"} & set(path.parts)
    }


def test_the_files_and_the_counts(source, write, tmp_path: Path) -> None:
    progress = []
    result = write(source, on_progress=lambda done, total: progress.append((done, total)))
    assert (result.clusters, result.faces, result.unclustered, result.photos) == (2, 5, 1, 3)
    assert result.failures == ()
    files = files_in(tmp_path / "page")
    assert result.bytes == sum(len(content) for _, content in files.values())
    assert len(files) == result.sprites + 1 == result.files.written
    assert progress[-1] == (7, 7)  # five faces and two covers
    data = data_of(result.page)
    assert data["faces"]["cluster"].tolist() == [3, 7, -1, 3, 3]
    assert data["photos"]["path"] == ["a/one.jpg", "a/two.jpg", "b/three.png"]
    assert data["faces"]["face"].tolist() == [1, 2, 3, 4, 5]
    assert data["faces"]["face_photo"].tolist() == [0, 0, 0, 1, 2]
    assert data["faces"]["box"].reshape(-1, 4)[2].tolist() == [220, 120, 280, 200]
    assert {f"gallery/{name}" for name, _ in data["sprites"] + data["covers"]} == set(files) - {"index.html"}


def test_each_face_is_drawn_in_its_slot(galleries, source, write, tmp_path: Path) -> None:
    data = data_of(write(source).page)
    numbers = iter(in_sprites(data))
    for name, count in data["sprites"]:
        sprite = np.asarray(PillowImage.open(tmp_path / "page" / "gallery" / name))
        for slot in range(count):
            row, column = divmod(slot, COLUMNS)
            middle = sprite[row * SIDE + SIDE // 2, column * SIDE + SIDE // 2].astype(int)
            assert np.abs(middle - galleries.colour_of(next(numbers))).max() < 12
    assert next(numbers, None) is None


def test_the_cover_is_the_most_typical_face(galleries, source, write, tmp_path: Path) -> None:
    data = data_of(write(source).page)
    ((name, count),) = data["covers"]
    assert data["cover_faces"] == [5, 2]
    sprite = np.asarray(PillowImage.open(tmp_path / "page" / "gallery" / name)).astype(int)
    assert count == 2
    assert np.abs(sprite[SIDE // 2, SIDE // 2] - galleries.colour_of(5)).max() < 12
    assert np.abs(sprite[SIDE // 2, SIDE + SIDE // 2] - galleries.colour_of(2)).max() < 12


def test_a_second_run_writes_nothing(source, write, tmp_path: Path) -> None:
    write(source)
    before = files_in(tmp_path / "page")
    again = write(source)
    assert (again.files.written, again.files.removed) == (0, 0)
    assert again.files.unchanged == len(before)
    assert files_in(tmp_path / "page") == before


def test_a_new_face_redraws_only_its_own_sprites(galleries, write, tmp_path: Path) -> None:
    def plans(extra: bool):
        faces = [
            galleries.FacePlan((20, 20, 80, 100), cluster, 0.9) for cluster in range(3) for _ in range(150)
        ]
        if extra:
            faces.append(galleries.FacePlan((20, 20, 80, 100), 1, 0.5))
        return [galleries.PhotoPlan(f"{number}.jpg", [face], (96, 120)) for number, face in enumerate(faces)]

    first = write(galleries.make_source(tmp_path / "photos", plans(False)))
    second = write(galleries.make_source(tmp_path / "photos", plans(True)))
    assert first.sprites >= 7
    # The last sprite of cluster 1; the covers, as cluster 1 is now the largest; and the page.
    assert second.files.written == 3
    assert second.files.unchanged == first.sprites - 2


def test_dry_run_writes_nothing_and_counts_the_same(source, write, tmp_path: Path) -> None:
    planned = write(source, dry_run=True)
    assert not (tmp_path / "page").exists()
    assert planned.files.dry_run
    assert planned.files.written == write(source).files.written


def test_an_unreadable_photo_is_reported_and_drawn_by_a_later_run(source, write, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "a" / "two.jpg"
    good = photo.read_bytes()
    photo.unlink()
    planned = write(source, dry_run=True)
    result = write(source)
    assert planned.files.written == result.files.written
    assert [error.path for error in planned.failures] == [error.path for error in result.failures]
    assert [error.path for error in result.failures] == [str(photo)]
    assert (result.faces, result.photos) == (5, 3)
    for dry_run in (True, False):
        again = write(source, dry_run=dry_run).files
        assert (again.written, again.unchanged, again.removed) == (0, len(files_in(tmp_path / "page")), 0)
    photo.write_bytes(good)
    mended = write(source)
    assert mended.failures == ()
    assert mended.files.written == 2  # one sprite and the page
    assert mended.files.removed == 1


def test_faces_are_not_cut_from_a_changed_photo(source, write, tmp_path: Path) -> None:
    PillowImage.new("RGB", (320, 240), "red").save(tmp_path / "photos" / "a" / "two.jpg")
    (failure,) = write(source).failures
    assert "changed since it was indexed" in failure.problem


def test_copied_photos(source, write, tmp_path: Path) -> None:
    result = write(source, copy=True)
    data = data_of(result.page)
    assert result.copies == 3
    for place, path in enumerate(data["photos"]["path"]):
        copy = tmp_path / "page" / data["copies"][str(place)]
        assert copy.read_bytes() == (tmp_path / "photos" / path).read_bytes()
    assert str(tmp_path) not in result.page.read_text("utf-8")
    linked = write(source)
    assert linked.files.removed == 3
    assert not (tmp_path / "page" / "photos").exists()


def equal_photos(galleries, tmp_path: Path, *names: str):
    """Make photos with the same content, which `make_source` never does."""
    source = galleries.make_source(
        tmp_path / "photos",
        [galleries.PhotoPlan(name, [galleries.FacePlan((20, 20, 80, 100), 1)]) for name in names],
    )
    first = (tmp_path / "photos" / names[0]).read_bytes()
    for name in names[1:]:
        (tmp_path / "photos" / name).write_bytes(first)
    digest = source.photos[0].content_hash
    return replace(source, photos=[record._replace(content_hash=digest) for record in source.photos])


@pytest.mark.parametrize("copy", [False, True])
def test_the_first_readable_photo_of_equal_ones_is_used(galleries, write, tmp_path: Path, copy: bool) -> None:
    suffix = "jpg" if copy else "tif"
    source = equal_photos(galleries, tmp_path, f"a/x.{suffix}", f"b/x.{suffix}")
    (tmp_path / "photos" / "a" / f"x.{suffix}").unlink()
    result = write(source, copy=copy)
    files = data_of(result.page)["copies" if copy else "previews"]
    assert set(files) == {"0", "1"}
    assert all((tmp_path / "page" / name).is_file() for name in files.values())
    assert [Path(error.path).parent.name for error in result.failures] == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are one file elsewhere")
def test_equal_photos_with_equal_names_but_for_case_share_a_copy(galleries, write, tmp_path: Path) -> None:
    result = write(equal_photos(galleries, tmp_path, "a/X.jpg", "b/x.jpg"), copy=True)
    for name in data_of(result.page)["copies"].values():
        assert (tmp_path / "page" / name).is_file()


@pytest.mark.parametrize("copy", [False, True])
def test_a_changed_photo_is_neither_copied_nor_previewed(
    galleries, write, tmp_path: Path, copy: bool
) -> None:
    name = "a.jpg" if copy else "a.tif"
    source = galleries.make_source(
        tmp_path / "photos", [galleries.PhotoPlan(name, [galleries.FacePlan((20, 20, 80, 100), 1)])]
    )
    photo = tmp_path / "photos" / name
    good = photo.read_bytes()
    write(source)  # so that the sprites exist
    for file in (tmp_path / "page" / "gallery").glob("p-*"):
        file.unlink()
    PillowImage.new("RGB", (320, 240), "red").save(photo)
    (failure,) = write(source, copy=copy).failures
    assert "changed since it was indexed" in failure.problem
    assert not (tmp_path / "page" / "photos").exists()
    assert not list((tmp_path / "page" / "gallery").glob("p-*"))
    photo.write_bytes(good)
    mended = write(source, copy=copy)
    assert mended.failures == ()
    assert mended.copies + mended.previews == 1


def test_previews_and_copies_are_kept_while_the_photos_are_missing(galleries, write, tmp_path: Path) -> None:
    face = galleries.FacePlan((20, 20, 80, 100), 1)
    source = galleries.make_source(
        tmp_path / "photos", [galleries.PhotoPlan("a.tif", [face]), galleries.PhotoPlan("b.jpg", [face])]
    )
    write(source, copy=True)
    before = files_in(tmp_path / "page")
    (tmp_path / "photos").rename(tmp_path / "unmounted")
    for dry_run in (True, False):
        again = write(source, copy=True, dry_run=dry_run)
        assert (again.files.written, again.files.removed) == (0, 0)
        assert [Path(error.path).name for error in again.failures] == ["a.tif", "b.jpg"]
    assert files_in(tmp_path / "page") == before


def test_the_last_copy_of_a_photo_is_kept(galleries, source, write, tmp_path: Path) -> None:
    write(source, copy=True)
    (tmp_path / "photos" / "a" / "two.jpg").unlink()
    fewer = replace(source, photos=[record for record in source.photos if record.relpath != "a/two.jpg"])
    keep = np.flatnonzero(source.table.photo != 2)
    table = replace(
        source.table, **{f.name: getattr(source.table, f.name)[keep] for f in fields(source.table)}
    )
    result = write(
        replace(fewer, table=table, person=source.person[keep], label=source.label[keep]), copy=True
    )
    assert [name.startswith("photos/two_") for name, _ in result.files.kept] == [True]
    assert len(list((tmp_path / "page" / "photos").iterdir())) == 3


def test_links_point_to_the_photos(source, write, tmp_path: Path) -> None:
    (root,) = data_of(write(source).page)["roots"]
    relative, absolute = root["urls"]
    assert relative == "../photos/"
    assert absolute == (tmp_path / "photos").as_uri() + "/"


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_a_name_with_html_is_escaped(galleries, write, tmp_path: Path) -> None:
    plan = galleries.PhotoPlan('"><script>alert(1)<\\script>.jpg', [galleries.FacePlan((20, 20, 80, 100), 1)])
    result = write(galleries.make_source(tmp_path / "photos", [plan], given="</script><b>"))
    html = result.page.read_text("utf-8")
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert data_of(result.page)["photos"]["path"] == [plan.name]
    assert data_of(result.page)["roots"][0]["name"] == "</script><b>"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_an_undecodable_name(galleries, write, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 #1?.jpg")
    result = write(
        galleries.make_source(
            tmp_path / "photos",
            [galleries.PhotoPlan(name, [galleries.FacePlan((20, 20, 80, 100), 1)])],
        ),
        copy=True,
    )
    data = data_of(result.page)
    assert data["photos"]["path"] == [name]
    assert (tmp_path / "page" / os.fsdecode(unquote_to_bytes(data["copies"]["0"]))).is_file()


def test_photos_that_some_browsers_cannot_show_get_a_preview(galleries, write, tmp_path: Path) -> None:
    turned = PillowImage.Exif()
    turned[0x0112] = 6
    face = galleries.FacePlan((20, 20, 80, 100), 1)
    plans = [
        galleries.PhotoPlan("a.tif", [face]),
        galleries.PhotoPlan("b.png", [face]),
        galleries.PhotoPlan("c.png", [face], save=(("exif", turned),)),
        galleries.PhotoPlan("d.jpg", [face], save=(("exif", turned),)),
    ]
    source = galleries.make_source(tmp_path / "photos", plans)
    photos = [
        record._replace(width=240, height=320) if record.relpath[0] in "cd" else record
        for record in source.photos
    ]
    result = write(replace(source, photos=photos))
    previews = data_of(result.page)["previews"]
    assert sorted(previews) == ["0", "2"]
    for photo, size in (("0", (320, 240)), ("2", (240, 320))):
        with PillowImage.open(tmp_path / "page" / previews[photo]) as picture:
            assert picture.size == size


def test_very_large_photos_get_a_preview(
    galleries, source, write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_pictures, "TOO_LARGE_TO_LINK", 1000)
    monkeypatch.setattr(gallery_pictures, "PREVIEW_SIDE", 100)
    previews = data_of(write(source).page)["previews"]
    assert len(previews) == 3
    with PillowImage.open(tmp_path / "page" / previews["0"]) as picture:
        assert picture.size == (100, 75)
        assert not picture.getexif()


def test_a_foreign_page_is_not_overwritten(source, write, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    theirs = tmp_path / "page" / "index.html"
    theirs.write_text("mine")
    with pytest.raises(UsageError, match=r"index\.html"):
        write(source)
    assert files_in(tmp_path / "page").keys() == {"index.html"}
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_changed_page_is_refused_before_anything_is_written(
    galleries, source, write, tmp_path: Path, dry_run: bool
) -> None:
    write(source)
    (tmp_path / "page" / "index.html").write_text("mine now")
    before = files_in(tmp_path / "page")
    other = galleries.make_source(
        tmp_path / "photos", [galleries.PhotoPlan("new.jpg", [galleries.FacePlan((20, 20, 80, 100))])]
    )
    with pytest.raises(UsageError, match=r"index\.html is left as it is"):
        write(other, dry_run=dry_run)
    assert files_in(tmp_path / "page") == before


def test_a_link_to_itself_is_refused(source, write, tmp_path: Path) -> None:
    (tmp_path / "page").symlink_to(tmp_path / "page")
    with pytest.raises(UsageError):
        write(source)


def test_no_faces_and_no_clusters(galleries, write, tmp_path: Path) -> None:
    empty = write(galleries.make_source(tmp_path / "photos", [], clustered=False))
    assert (empty.faces, empty.sprites, empty.files.written) == (0, 0, 1)
    loose = galleries.PhotoPlan("a.jpg", [galleries.FacePlan((20, 20, 80, 100))])
    result = write(galleries.make_source(tmp_path / "photos", [loose], clustered=False))
    assert (result.clusters, result.unclustered) == (0, 1)
    assert data_of(result.page)["header"]["clustered"] is False


def test_the_batch_size_does_not_change_the_sprites(
    galleries, source, write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source, "whole")
    monkeypatch.setattr(gallery_pictures, "BATCH", 1)
    write(source, "pieces")
    whole, pieces = files_in(tmp_path / "whole"), files_in(tmp_path / "pieces")
    assert {name: content for name, (_, content) in whole.items()} == {
        name: content for name, (_, content) in pieces.items()
    }


def test_the_layout_contains_every_face_once(galleries, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    faces = [
        galleries.FacePlan((0, 0, 9, 9 + number), int(cluster))
        for number, cluster in enumerate(rng.zipf(1.3, 700) % 40 - 1)
    ]
    source = galleries.make_source(tmp_path, [galleries.PhotoPlan("a.jpg", faces)])
    layout = lay_out(source.table, {record.id: record for record in source.photos})
    assert sorted(layout.order) == list(range(700))
    assert np.array_equal(np.concatenate([sprite.faces for sprite in layout.sprites]), layout.order)
    assert max(len(sprite.faces) for sprite in layout.sprites) <= 128
    sizes = [int((source.table.cluster == cluster).sum()) for cluster in layout.clusters]
    assert sizes == sorted(sizes, reverse=True)
    assert len({sprite.name for sprite in layout.sprites}) == len(layout.sprites)


def test_a_second_cluster_of_a_person_has_no_cover_and_strangers_have_none(
    galleries, write, tmp_path: Path
) -> None:
    faces = [galleries.FacePlan((20, 20 + n, 80, 100), n // 2, 0.9) for n in range(6)]
    faces += [galleries.FacePlan((200, 20, 260, 100)), galleries.FacePlan((200, 120, 260, 200))]
    source = galleries.make_source(
        tmp_path / "photos", [galleries.PhotoPlan("a.jpg", faces)], names={0: "Anna", 2: "Anna"}
    )
    person, label = source.person.copy(), source.label.copy()
    person[6], label[6], label[7] = 9, Label.CONFIRMED, Label.STRANGER  # somebody without a cluster
    result = write(replace(source, person=person, label=label))
    assert (result.people, result.clusters) == (1, 3)
    assert data_of(result.page)["cover_faces"] == [1, 3, 7]


def test_what_a_gallery_that_is_given_away_has_of_people_and_pictures(
    galleries, source, write, tmp_path: Path
) -> None:
    person = {
        "id": 1,
        "uid": "1" * 32,
        "name": "Anna",
        "born": "1950",
        "died": None,
        "hidden": False,
        "note": "x",
    }
    forgotten = source.photos[1].content_hash
    source = replace(source, people=[person], cluster_person={3: 1}, forgotten={forgotten})
    linked, copied = data_of(write(source, "linked").page), data_of(write(source, "copied", copy=True).page)
    assert linked["header"]["people"] == [person]
    assert copied["header"]["people"] == [{**person, "born": None, "note": None}]
    assert (linked["private"], copied["private"]) == (False, True)
    for data in (linked, copied):
        hashes = data["faces"]["picture"].tobytes()
        assert [hashes[16 * i : 16 * i + 16] for i in (0, 2)] == [source.photos[i].picture for i in (0, 2)]
        assert hashes[16:32] == bytes(16)  # it shows a forgotten face
        assert source.photos[1].picture.hex() not in json.dumps(data["copies"])


def test_fifty_thousand_faces_take_at_most_6_mb(galleries, tmp_path: Path) -> None:
    plans = [galleries.PhotoPlan("a.jpg", [galleries.FacePlan((1, 2, 9, 9), 0)] * 5)]
    source = galleries.make_source(tmp_path / "photos", plans)
    rng = np.random.default_rng(1)
    count = 10_000
    table = replace(
        source.table,
        **{f.name: np.repeat(getattr(source.table, f.name), count, axis=0) for f in fields(source.table)},
    )
    table = replace(
        table,
        face=np.arange(1, 1 + 5 * count),
        photo=np.repeat(np.arange(count), 5),
        cluster=rng.integers(-1, 2000, 5 * count),
        boxes=rng.uniform(0, 4000, (5 * count, 4)).astype(np.float32),
        similarity=rng.uniform(0, 1, 5 * count).astype(np.float32),
    )
    photos = [
        source.photos[0]._replace(id=i, relpath=f"{2000 + i % 25}/summer holiday/IMG_{i:05}.jpg", taken=i)
        for i in range(count)
    ]
    none = np.zeros(5 * count, np.int64)
    source = replace(source, table=table, photos=photos, person=none - 1, label=none)
    layout = lay_out(
        shown_table(table, source.person, source.label), {record.id: record for record in photos}
    )
    names = [sprite.name for sprite in layout.sprites], [sprite.name for sprite in layout.cover_sprites]
    html = static_page(
        config(
            source, photos, layout, destination=tmp_path, pictures="gallery", sprites=names[0],
            covers=names[1], previews={}, copies=None,
        )
    )  # fmt: skip
    assert 3e6 < len(html) < 6e6


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_file_urls_and_relative_urls() -> None:
    assert file_url("/a b/ü#?%.jpg") == "file:///a%20b/%C3%BC%23%3F%25.jpg"
    assert file_url(os.fsdecode(b"/caf\xe9")) == "file:///caf%E9"
    assert relative_url("/a/b:c/d", "/a/e") == "../b%3Ac/d"
    assert relative_url("/a", "/a/e/f") == "../.."


def test_sprites_are_jpegs_without_metadata(source, write, tmp_path: Path) -> None:
    write(source)
    for name, (_, content) in files_in(tmp_path / "page").items():
        if name != "index.html":
            picture = PillowImage.open(io.BytesIO(content))
            assert picture.format == "JPEG"
            assert not picture.getexif()
