"""The page of a gallery, opened from disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image as PillowImage

PICTURE = "document.querySelector('#viewer .picture img')"
PHOTO_IS_SHOWN = f"document.getElementById('viewer').open && {PICTURE}?.naturalWidth === 320"


@pytest.fixture
def album(galleries, write) -> Path:
    """Cluster 4 on twelve photos, cluster 9 on two of them, and a face in no cluster."""
    plans = []
    for number in range(12):
        faces = [galleries.FacePlan((40, 40, 100, 120), 4, 0.99 - 0.01 * (number * 5 % 12))]
        if number < 2:
            faces.append(galleries.FacePlan((200, 60, 260, 150), 9, 0.95))
        if number == 1:
            faces.append(galleries.FacePlan((280, -10, 330, 40)))
        plans.append(galleries.PhotoPlan(f"trip/IMG_{number:02}.jpg", faces))
    page: Path = write(plans)
    return page


def heading(tab) -> str:
    text: str = tab.page.locator(".heading:visible").first.inner_text()
    return text


def check_middles(tab, galleries, folder: Path, selector: str, faces: tuple[int, ...]) -> None:
    """Check that pictures on the page have the colours of faces in the middle."""
    tab.page.wait_for_selector(selector)
    cards = {int(card.get_attribute("data-thumbnail")): card for card in tab.page.locator(selector).all()}
    assert sorted(cards) == list(faces)
    for face, card in cards.items():
        for _ in range(20):  # until it is loaded
            card.screenshot(path=folder / "thumb.png")
            with PillowImage.open(folder / "thumb.png") as picture:
                middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
            if max(abs(a - b) for a, b in zip(middle, galleries.colour_of(face), strict=True)) < 14:
                break
        else:
            raise AssertionError(f"face {face} has the colour {middle}")


def test_people_faces_and_photos(tab, album: Path, tmp_path: Path, galleries) -> None:
    tab.open(album)
    assert heading(tab) == "People"
    assert [label.split(", ")[:2] for label in tab.labels(".card")] == [
        ["Cluster 4", "12 faces"],
        ["Cluster 9", "2 faces"],
    ]
    check_middles(tab, galleries, tmp_path, ".card .thumb", (1, 2))  # the covers
    tab.page.locator(".card").last.click()
    check_middles(tab, galleries, tmp_path, ".face [data-thumbnail], .face[data-thumbnail]", (2, 4))

    tab.page.goto(album.as_uri() + "#view=none")
    tab.page.wait_for_selector(".face")
    assert tab.page.locator(".face").count() == 1
    tab.page.goto(album.as_uri() + "#view=none&face=5")
    tab.until(PHOTO_IS_SHOWN)
    assert tab.page.inner_text("#photo-folder") == "photos/trip"
    assert tab.page.get_attribute("#original", "href") == "../photos/trip/IMG_01.jpg"
    boxes = sorted(tab.page.evaluate("APP.then((app) => app.viewer.stage.boxes.map(({ box }) => box))"))
    assert boxes == [[40, 40, 100, 120], [200, 60, 260, 150], [280, -10, 330, 40]]

    tab.page.goto(album.as_uri() + "#q=img_01+TRIP")
    tab.until("!document.getElementById('viewer').open")
    found = tab.page.evaluate("APP.then((app) => app.source.searchPhotos('img_01 TRIP'))")
    assert found == [2]
    assert tab.page.evaluate("APP.then((app) => app.source.searchPhotos('nowhere'))") == []


@pytest.mark.parametrize(
    ("clustered", "faces", "words"), [(False, 0, "no faces in this index"), (False, 1, "faceindex cluster")]
)
def test_empty_views(galleries, write, tab, clustered: bool, faces: int, words: str) -> None:
    plans = [galleries.PhotoPlan("a.jpg", [galleries.FacePlan((20, 20, 80, 100))])] * faces
    tab.open(write(plans, clustered=clustered))
    assert words in tab.page.inner_text(".empty:visible")


def test_a_person_with_several_clusters_is_one_card(tab, galleries, write) -> None:
    faces = {9: 3, 4: 2, 6: 4, 8: 1, 2: 2}
    plans = [
        galleries.PhotoPlan(f"IMG_{cluster}_{n}.jpg", [galleries.FacePlan((40, 40, 100, 120), cluster)])
        for cluster, count in faces.items()
        for n in range(count)
    ]
    long = ("Adolph Blaine Charles David Earl Frederick " * 4).strip()
    names = {4: "José", 9: "José", 6: "anna", 8: "<b>Zoë</b>\u202e", 2: long, 77: "Gone"}
    page = write(plans, names=names)
    tab.open(page)
    shown = ["José", "anna", long, "<b>Zoë</b>\\u202e"]
    assert [label.split(", ")[0] for label in tab.labels(".card")] == shown
    for width in (320, 390):
        tab.page.set_viewport_size({"width": width, "height": 700})
        for where in ("", "#p=1", "#view=none", "#q=adolph", "#p=1&face=1", "#view=questions"):
            tab.page.goto(page.as_uri() + where)
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, where


@pytest.mark.skipif(sys.platform != "linux", reason="names that only Linux allows")
@pytest.mark.parametrize("copy", [False, True])
def test_hostile_names_are_harmless(galleries, write, tab, copy: bool) -> None:
    names = [
        '"><img src=x onerror=alert(1)><script>alert(1)<\\script>.jpg',
        "</script><script>alert(1)</script>.jpg",
        "a'b\\c #1?x=%41&amp;.jpg",
        "line\nbreak \u202egpj.exe.jpg",
        os.fsdecode(b"caf\xe9.jpg"),
        "😀 日本.jpg",
    ]
    plans = [galleries.PhotoPlan(name, [galleries.FacePlan((20, 20, 80, 100), 1, 0.9)]) for name in names]
    dialogs = []

    def dismiss(dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    tab.page.on("dialog", dismiss)
    page = write(plans, copy=copy, given="<b>photos</b>")
    tab.open(page, "#c=1")
    assert tab.page.locator(".face").count() == len(names)
    shown = set()
    for number in range(len(names)):
        tab.page.goto(f"{page.as_uri()}#c=1&face={number + 1}")
        # Each photo is found by its real name.
        tab.until(f"{PHOTO_IS_SHOWN} && document.getElementById('photo-name').textContent")
        assert not tab.page.is_visible(".missing")
        shown.add(tab.page.inner_text("#photo-folder") + "/" + tab.page.inner_text("#photo-name"))
    assert len(shown) == len(names)
    assert any("\\xe9" in name for name in shown)
    assert any("\\u000a" in name and "\\u202e" in name for name in shown)
    assert tab.page.locator("#viewer script, #viewer b, .face img").count() == 0
    assert dialogs == []


def test_a_missing_photo_is_reported(galleries, write, browser, tmp_path: Path) -> None:
    page_path = write([galleries.PhotoPlan("a.jpg", [galleries.FacePlan((20, 20, 80, 100), 1, 0.9)])])
    (tmp_path / "photos" / "a.jpg").unlink()
    page = browser.new_page()
    page.goto(page_path.as_uri() + "#c=1&face=1")
    page.wait_for_selector(".missing:not([hidden])")
    assert "moved or deleted" in page.inner_text(".missing")
    assert (page.inner_text("#photo-folder"), page.inner_text("#photo-name")) == ("photos", "a.jpg")
    page.close()


def test_a_moved_gallery_still_finds_its_photos(galleries, write, tab, tmp_path: Path) -> None:
    face = galleries.FacePlan((20, 20, 80, 100), 1, 0.9)
    page = write([galleries.PhotoPlan(name, [face]) for name in ("a.jpg", "b.tif", "c.jpg")])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    page.parent.rename(tmp_path / "deep" / "er" / "page")
    where = (tmp_path / "deep" / "er" / "page" / "index.html").as_uri()
    for number, name in ((1, "a.jpg"), (3, "c.jpg"), (2, "b.tif")):
        tab.page.goto(f"{where}#c=1&face={number}")
        if number == 3:
            assert len(tab.errors) == 1  # the relative URL is tried first, which Chromium reports, once
            tab.errors.clear()
        tab.until(PHOTO_IS_SHOWN)
        tab.until(f"document.getElementById('original').href == {(tmp_path / 'photos' / name).as_uri()!r}")


def test_thousands_of_faces_make_few_elements(galleries, write, tab) -> None:
    faces = [galleries.FacePlan((20, 20, 80, 100), 1 + number % 100, 0.9) for number in range(400)]
    faces += [galleries.FacePlan((20, 20, 80, 100))] * 1600
    tab.open(write([galleries.PhotoPlan("a.jpg", faces)]), "#view=none")
    for share in (0, 0.5, 1):
        tab.page.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {share})")
        tab.until("document.elementFromPoint(innerWidth / 2, innerHeight - 120)?.closest('.item') != null")
        assert tab.page.locator("*").count() < 500
