from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from PIL import Image as PillowImage


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
    text: str = tab.page.inner_text("#heading")
    return text


def open_first_photo(tab, page: Path, where: str) -> None:
    tab.open(page, where)
    tab.page.locator(".card").first.click()
    tab.until("document.getElementById('photo').naturalWidth > 0")


def test_people_are_sorted_by_size(tab, album: Path) -> None:
    tab.open(album)
    assert heading(tab) == "People"
    assert tab.texts(".name") == ["Cluster 4", "Cluster 9"]
    assert tab.texts(".about") == ["12 faces", "2 faces"]
    assert tab.page.inner_text("#tab-none .number") == "1"


def test_thumbnails_show_their_faces(tab, album: Path, tmp_path: Path, galleries) -> None:
    tab.open(album, "#c=9")
    tab.page.wait_for_load_state("networkidle")
    for card, face in zip(tab.page.locator(".card .thumb").all(), (2, 4), strict=True):
        card.screenshot(path=tmp_path / "thumb.png")
        with PillowImage.open(tmp_path / "thumb.png") as picture:
            middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
        assert max(abs(a - b) for a, b in zip(middle, galleries.colour_of(face), strict=True)) < 14


def test_the_faces_of_a_cluster_and_the_least_similar_first(tab, album: Path) -> None:
    tab.open(album)
    tab.page.locator(".card").first.click()
    assert heading(tab) == "Cluster 4"
    assert tab.page.inner_text("#summary") == "12 faces on 12 photos, cohesion 0.935"
    labels = [card.get_attribute("aria-label") for card in tab.page.locator(".card").all()]
    assert len(labels) == 12
    assert labels[0] == "photos/trip/IMG_00.jpg, similarity 0.990"
    tab.page.click("#order-faces")
    assert tab.page.get_attribute("#order-faces", "aria-pressed") == "true"
    shown = tab.texts(".card .about")
    assert shown[0] == "0.880"
    assert shown == sorted(shown)
    assert "odd=1" in tab.page.url


def test_unclustered_faces(tab, album: Path) -> None:
    tab.open(album)
    tab.page.click("#tab-none")
    assert heading(tab) == "Unclustered faces"
    assert tab.page.locator(".card").count() == 1


def test_a_photo_shows_the_boxes_of_all_its_faces(tab, album: Path) -> None:
    tab.open(album, "#view=none")
    tab.page.locator(".card").first.click()
    tab.until("document.getElementById('photo').naturalWidth > 0")
    photo = tab.page.locator("#photo").bounding_box()
    assert photo["width"] / photo["height"] == pytest.approx(320 / 240, rel=0.01)
    scale = photo["width"] / 320
    boxes = tab.page.locator(".box").all()
    places = [box.bounding_box() for box in boxes]
    expected = [(40, 40, 60, 80), (200, 60, 60, 90), (280, 0, 40, 40)]  # the last one exceeds the photo
    assert len(places) == 3
    for place, (x, y, width, height) in zip(places, expected, strict=True):
        assert place["x"] - photo["x"] == pytest.approx(x * scale, abs=1)
        assert place["y"] - photo["y"] == pytest.approx(y * scale, abs=1)
        assert place["width"] == pytest.approx(width * scale, abs=1)
        assert place["height"] == pytest.approx(height * scale, abs=1)
    assert [box.get_attribute("aria-current") for box in boxes] == ["false", "false", "true"]
    assert tab.texts("#on-photo li a") == ["Cluster 4", "Cluster 9"]
    tab.page.click("#on-photo a >> nth=1")
    assert heading(tab) == "Cluster 9"
    assert not tab.page.is_visible("#viewer")


def test_the_url_of_a_photo_can_be_opened(tab, album: Path) -> None:
    tab.open(album, "#c=9&face=4")
    assert tab.page.is_visible("#viewer")
    assert tab.page.inner_text("#photo-name") == "IMG_01.jpg"
    assert tab.page.inner_text("#photo-folder") == "photos/trip"
    assert tab.page.inner_text("#position") == "2 of 2"


def test_search_by_photo_name(tab, album: Path) -> None:
    tab.open(album)
    tab.page.fill("#query", "img_01 TRIP")
    tab.until("document.getElementById('summary').textContent.startsWith('1 photo,')")
    assert tab.page.inner_text("#summary") == "1 photo, 3 faces"
    assert tab.texts(".about") == ["IMG_01.jpg"] * 3
    tab.page.fill("#query", "nowhere")
    tab.page.wait_for_selector("#empty:not([hidden])")
    assert tab.page.locator(".card").count() == 0
    tab.page.fill("#query", "")
    tab.page.wait_for_selector(".name")
    assert heading(tab) == "People"


def test_keyboard_shortcuts(tab, album: Path) -> None:
    press = tab.page.keyboard.press
    tab.open(album)
    press("ArrowRight")  # the focus enters the grid
    press("ArrowRight")
    assert tab.focused().startswith("Cluster 9")
    press("ArrowLeft")
    press("Enter")
    assert heading(tab) == "Cluster 4"
    press("o")
    assert tab.page.get_attribute("#order-faces", "aria-pressed") == "true"
    press("o")
    press("ArrowRight")
    press("End")
    assert tab.focused().endswith("similarity 0.880")
    press("Home")
    press("ArrowRight")
    press("Enter")
    assert tab.page.inner_text("#position") == "2 of 12"
    press("ArrowRight")
    assert tab.page.inner_text("#position") == "3 of 12"
    press("b")
    assert not tab.page.locator(".box").first.is_visible()
    press("b")
    press("Escape")
    assert not tab.page.is_visible("#viewer")
    # The face that was shown last has the focus.
    tab.until("document.activeElement.ariaLabel?.endsWith('similarity 0.970')")
    press("]")
    assert heading(tab) == "Cluster 9"
    press("[")
    assert heading(tab) == "Cluster 4"
    press("u")
    assert heading(tab) == "Unclustered faces"
    press("p")
    assert heading(tab) == "People"
    press("?")
    assert tab.page.is_visible("#help")
    press("Escape")
    assert not tab.page.is_visible("#help")
    press("/")
    tab.page.keyboard.type("IMG_00")
    press("Enter")
    assert tab.focused().startswith("photos/trip/IMG_00.jpg")
    press("Enter")
    press("c")
    assert heading(tab) == "Cluster 4"
    press("Escape")
    assert heading(tab) == "People"


def test_back_closes_the_photo(tab, album: Path) -> None:
    open_first_photo(tab, album, "#c=4")
    assert tab.page.is_visible("#viewer")
    tab.page.go_back()
    tab.page.wait_for_selector("#viewer", state="hidden")
    assert heading(tab) == "Cluster 4"


PHOTO_IS_SHOWN = (
    "document.getElementById('viewer').open && document.getElementById('photo').naturalWidth === 320"
)


def check_stays_open(tab, page: Path, face: str) -> None:
    """Check that the photo is shown, now and after pending events."""
    for _ in range(2):
        tab.until(PHOTO_IS_SHOWN)
        tab.page.wait_for_timeout(200)
    assert not tab.page.is_visible("#missing")
    assert tab.page.url == page.as_uri() + face


def test_a_rotated_phone_still_shows_the_photo(tab, album: Path) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 844})
    tab.open(album, "#c=4&face=1")
    for width, height in ((844, 390), (390, 844)):
        tab.page.set_viewport_size({"width": width, "height": height})
        check_stays_open(tab, album, "#c=4&face=1")
    assert tab.page.locator(".box").count() == 2
    tab.page.keyboard.press("ArrowRight")
    assert tab.page.inner_text("#position") == "2 of 12"
    tab.page.keyboard.press("Escape")
    assert not tab.page.is_visible("#viewer")


def test_navigation_from_a_photo_to_one_of_another_view(tab, album: Path) -> None:
    tab.open(album, "#c=4&face=1")
    tab.until(PHOTO_IS_SHOWN)
    tab.page.evaluate("location.hash = 'c=9&face=4'")
    check_stays_open(tab, album, "#c=9&face=4")
    assert tab.page.inner_text("#photo-name") == "IMG_01.jpg"
    assert heading(tab) == "Cluster 9"
    tab.page.evaluate("location.hash = 'view=none'")
    tab.page.wait_for_selector("#viewer", state="hidden")
    tab.page.evaluate("history.go(-2)")
    check_stays_open(tab, album, "#c=4&face=1")
    tab.page.evaluate("history.go(1)")
    check_stays_open(tab, album, "#c=9&face=4")


def test_themes(tab, album: Path) -> None:
    def ground() -> str:
        colour: str = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    tab.open(album)
    light = ground()
    tab.page.emulate_media(color_scheme="dark")
    dark = ground()
    assert dark != light
    tab.page.click("#theme")
    assert ground() == light
    tab.page.keyboard.press("t")
    tab.page.emulate_media(color_scheme="light")
    assert ground() == dark
    tab.page.reload()
    assert ground() == dark


@pytest.mark.parametrize("width", [320, 400])
def test_the_page_fits_a_phone(browser, tab, album: Path, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 640})
    for where in ("", "#c=4", "#c=4&odd=1", "#view=none", "#q=IMG"):
        tab.open(album, where)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        cards = [card.bounding_box() for card in tab.page.locator(".card").all()]
        assert all(card["x"] >= 0 and card["x"] + card["width"] <= width for card in cards)
        assert all(card["width"] >= 60 for card in cards)
    tab.open(album, "#c=4&face=1")
    for control in ("#close", "#boxes", "#original"):
        place = tab.page.locator(control).bounding_box()
        assert place["x"] + place["width"] <= width


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
    assert tab.page.locator(".card").count() == len(names)
    shown = set()
    for number in range(len(names)):
        tab.page.goto(f"{page.as_uri()}#c=1&face={number + 1}")
        # Each photo is found by its real name.
        tab.until("document.getElementById('photo').naturalWidth == 320")
        assert not tab.page.is_visible("#missing")
        shown.add(tab.page.inner_text("#photo-folder") + "/" + tab.page.inner_text("#photo-name"))
    assert len(shown) == len(names)
    assert any("\\xe9" in name for name in shown)
    assert any("\\u000a" in name and "\\u202e" in name for name in shown)
    assert tab.page.locator("#viewer script, #viewer b, .card img").count() == 0
    assert dialogs == []


def test_a_missing_photo_is_reported(galleries, write, browser, tmp_path: Path) -> None:
    page_path = write([galleries.PhotoPlan("a.jpg", [galleries.FacePlan((20, 20, 80, 100), 1, 0.9)])])
    (tmp_path / "photos" / "a.jpg").unlink()
    page = browser.new_page()
    page.goto(page_path.as_uri() + "#c=1&face=1")
    page.wait_for_selector("#missing:not([hidden])")
    assert "photos/a.jpg" in page.inner_text("#missing")
    assert page.locator(".box").count() == 1
    page.close()


def test_a_moved_gallery_still_finds_its_photos(galleries, write, tab, tmp_path: Path) -> None:
    face = galleries.FacePlan((20, 20, 80, 100), 1, 0.9)
    page = write([galleries.PhotoPlan("a.jpg", [face]), galleries.PhotoPlan("b.tif", [face])])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    page.parent.rename(tmp_path / "deep" / "er" / "page")
    for number, name in ((1, "a.jpg"), (2, "b.tif")):
        tab.page.goto((tmp_path / "deep" / "er" / "page" / "index.html").as_uri() + f"#c=1&face={number}")
        tab.until("document.getElementById('photo').naturalWidth == 320")
        tab.until(f"document.getElementById('original').href == {(tmp_path / 'photos' / name).as_uri()!r}")
    tab.errors.clear()  # the relative URL is tried first, which Chromium reports


def test_a_preview_and_a_photo_are_shown(galleries, write, tab, tmp_path: Path) -> None:
    face = galleries.FacePlan((20, 20, 80, 100), 1, 0.9)
    page = write([galleries.PhotoPlan("a.tif", [face]), galleries.PhotoPlan("b.jpg", [face])])
    for number in (1, 2):
        tab.page.goto(f"{page.as_uri()}#c=1&face={number}")
        tab.until("document.getElementById('photo').naturalWidth == 320")
    assert tab.page.get_attribute("#original", "href").endswith("photos/b.jpg")


@pytest.mark.parametrize(
    ("clustered", "faces", "words"),
    [
        (False, 0, "no faces in this index"),
        (False, 1, "faceindex cluster"),
        (True, 1, "No clusters were found"),
    ],
)
def test_empty_views(galleries, write, tab, clustered: bool, faces: int, words: str) -> None:
    plans = [galleries.PhotoPlan("a.jpg", [galleries.FacePlan((20, 20, 80, 100))])] * faces
    tab.open(write(plans, clustered=clustered))
    assert words in tab.page.inner_text("#empty")
    tab.page.click("#tab-none")
    assert tab.page.locator(".card").count() == faces


def test_newer_faces_are_named(galleries, write, tab) -> None:
    plans = [galleries.PhotoPlan("a.jpg", [galleries.FacePlan((20, 20, 80, 100))] * 2)]
    tab.open(write(plans, newer_faces=1), "#view=none")
    assert (
        tab.page.inner_text("#summary")
        == "2 faces. 1 face is newer than the clusters; run: faceindex cluster"
    )


@pytest.fixture
def named_album(galleries, write) -> Path:
    """José in clusters 4 and 9, Anna in 6, a person with a hostile name in 8; cluster 2 has no name."""
    faces = {9: 3, 4: 2, 6: 4, 8: 1, 2: 2}
    plans = [
        galleries.PhotoPlan(f"IMG_{cluster}_{n}.jpg", [galleries.FacePlan((40, 40, 100, 120), cluster)])
        for cluster, count in faces.items()
        for n in range(count)
    ]
    names = {4: "José", 9: "José", 6: "anna", 8: "<b>Zoë</b>\u202e", 77: "Gone"}
    page: Path = write(plans, names=names)
    return page


ZOE = "<b>Zoë</b>\\u202e"


def test_a_person_with_several_clusters_is_one_card(tab, named_album: Path) -> None:
    tab.open(named_album)
    assert tab.texts(".card .name") == ["José", "anna", "Cluster 2", ZOE]
    assert tab.texts(".card .about") == ["5 faces", "4 faces", "2 faces", "1 face"]
    tab.page.locator(".card").first.click()
    assert heading(tab) == "José"
    assert tab.page.inner_text("#summary") == "5 faces on 5 photos, cohesion 0.900, clusters 4, 9"
    assert tab.page.locator(".card").count() == 5
    tab.page.keyboard.press("]")
    tab.until("document.getElementById('heading').textContent === 'anna'")
    assert tab.page.inner_text("#summary") == "4 faces on 4 photos, cohesion 0.900, cluster 6"


def test_every_cluster_of_a_person_leads_to_the_person(tab, named_album: Path) -> None:
    tab.open(named_album, "#c=9")
    assert heading(tab) == "José"
    tab.page.locator(".card[aria-label*='IMG_9_1']").click()
    tab.until("document.getElementById('photo').naturalWidth > 0")
    link = tab.page.locator("#on-photo a")
    assert (link.inner_text(), link.get_attribute("href")) == ("José", "#c=4")
    assert "José" in tab.page.locator(".box").get_attribute("aria-label")


def test_people_in_the_order_of_their_names(tab, named_album: Path) -> None:
    tab.open(named_album)
    tab.page.click("#order-names")
    assert tab.texts(".card .name") == [ZOE, "anna", "José", "Cluster 2"]
    assert "by=name" in tab.page.url
    tab.page.keyboard.press("o")
    assert tab.page.get_attribute("#order-names", "aria-pressed") == "false"
    tab.page.keyboard.press("n")
    tab.page.keyboard.press("n")
    assert tab.texts(".card .name")[0] == "José"


def test_search_finds_people_without_case_and_accents(tab, named_album: Path) -> None:
    tab.open(named_album)
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("JOSE")
    tab.page.wait_for_selector("#found-people a")
    assert tab.texts("#found-people .name") == ["José"]
    assert tab.page.inner_text("#summary") == "1 person"
    assert tab.page.locator("#empty").is_hidden()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.press("Enter")
    tab.until("document.getElementById('heading').textContent === 'José'")
    assert tab.page.locator("#found-people").is_hidden()
    tab.open(named_album, "#q=gone")
    assert "No person and no photo" in tab.page.inner_text("#empty")


@pytest.mark.parametrize("width", [320, 390])
def test_long_names_fit_a_phone(browser, galleries, write, width: int) -> None:
    plan = galleries.PhotoPlan("a.jpg", [galleries.FacePlan((40, 40, 100, 120), 1)])
    page = write([plan], names={1: "Adolph Blaine Charles David Earl Frederick " * 4})
    context = browser.new_context(viewport={"width": width, "height": 700})
    opened = context.new_page()
    for where in ("", "#c=1", "#q=adolph"):
        opened.goto(page.as_uri() + where)
        opened.reload()
        opened.wait_for_selector(".card, #found-people a")
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_thousands_of_faces_make_few_elements(galleries, write, tab) -> None:
    faces = [galleries.FacePlan((20, 20, 80, 100), 1 + number % 300, 0.9) for number in range(3000)]
    faces += [galleries.FacePlan((20, 20, 80, 100))] * 4000
    tab.open(write([galleries.PhotoPlan("a.jpg", faces)]))
    assert tab.page.inner_text("#tab-none .number") == "4,000"
    tab.page.click("#tab-none")
    counts = set()
    for share in (0, 0.3, 0.7, 1):
        tab.page.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {share})")
        tab.page.wait_for_timeout(100)
        visible = tab.page.evaluate(
            "document.elementFromPoint(innerWidth / 2, innerHeight - 120)?.closest('.item') !== null"
        )
        assert visible
        counts.add(tab.page.locator(".item").count())
    assert max(counts) < 250
    tab.page.locator(".card").last.focus()
    tab.page.keyboard.press("End")
    assert tab.page.evaluate("document.activeElement.closest('.item').dataset.index") == "3999"
