"""Regions and names of packets, as programs write them and as nobody should."""

# ruff: noqa: E501 - packets have long lines

from __future__ import annotations

import codecs
import time

import pytest
from xmp_packets import NAMESPACES, RDF, bag, microsoft, mwg, mwg_item, packet

from faceindex.errors import ImageError, Reason
from faceindex.interchange.regions import Box, Region
from faceindex.interchange.xmp import read_xmp
from faceindex.interchange.xmp_reading import Placement, people_of_tags, place_regions
from faceindex.interchange.xmp_regions import Found, parse_number
from faceindex.interchange.xmp_tree import MOST_BYTES, Value

ANNA = Region((0.1, 0.2, 0.3, 0.5), "Anna")
ANNA_MWG = mwg_item(0.2, 0.35, 0.2, 0.3)


def near(box: Box) -> object:
    return pytest.approx(box, abs=1e-6)


def only(data: bytes, **options: object) -> Region:
    found = read_xmp(data, "a.xmp", **options)  # type: ignore[arg-type]
    (region,) = found.regions
    assert found.problems == ()
    return region


FORMS = {
    "attributes": ANNA_MWG,
    "elements": """<rdf:li rdf:parseType="Resource"><mwg-rs:Area rdf:parseType="Resource"><stArea:x>0.2</stArea:x>
        <stArea:y>0.35</stArea:y><stArea:w>0.2</stArea:w><stArea:h>0.3</stArea:h></mwg-rs:Area>
        <mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li>""",
    "a description": """<rdf:li><rdf:Description mwg-rs:Name="Anna" mwg-rs:Type="Face"><mwg-rs:Area><rdf:Description
        stArea:x="0.2" stArea:y="0.35"><stArea:w>0.2</stArea:w><stArea:h>0.3</stArea:h></rdf:Description>
        </mwg-rs:Area></rdf:Description></rdf:li>""",
    "no type": ANNA_MWG.replace("<mwg-rs:Type>Face</mwg-rs:Type>", ""),
    "numbered items": ANNA_MWG.replace("rdf:li", "rdf:_1"),
    "decimal commas": mwg_item("0,2", "0,35", "0,2", "0,3"),
    "fractions": mwg_item("1/5", "7/20", "2/10", "3/10"),
    "pixels": mwg_item(800, 1050, 800, 900).replace("normalized", "pixel"),
    "pixels without a unit": mwg_item(800, 1050, 800, 900).replace(' stArea:unit="normalized"', ""),
    "a comment and CDATA": ANNA_MWG.replace(">Anna<", "><![CDATA[An]]><!-- x -->na<"),
    "spaces": ANNA_MWG.replace(">Anna<", ">\n  Anna\n<"),
    "a resource": ANNA_MWG.replace("<mwg-rs:Type>Face</mwg-rs:Type>", '<mwg-rs:Type rdf:resource="Face"/>'),
    "a qualified value": ANNA_MWG.replace(
        ">Anna<", ' rdf:parseType="Resource"><rdf:value>Anna</rdf:value><dc:x>y</dc:x><'
    ),
    "a language": ANNA_MWG.replace(
        ">Anna<",
        '><rdf:Alt><rdf:li xml:lang="de">Anne</rdf:li><rdf:li xml:lang="x-default">Anna</rdf:li></rdf:Alt><',
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_region_of_the_mwg_in_all_forms(form: str) -> None:
    found = only(packet(mwg(FORMS[form])))
    assert found.name == "Anna"
    assert found.box == near(ANNA.box)


def test_regions_of_several_blocks_and_of_a_single_value() -> None:
    one, two = mwg(ANNA_MWG), mwg(mwg_item(0.8, 0.35, 0.2, 0.3, "Ben"))
    data = packet(one + f'</rdf:Description><rdf:Description rdf:about="" {NAMESPACES}>' + two)
    assert [region.name for region in read_xmp(data, "a").regions] == ["Anna", "Ben"]
    single = mwg(ANNA_MWG).replace("<rdf:Bag>", "").replace("</rdf:Bag>", "")
    bare = single.replace('<rdf:li rdf:parseType="Resource">', "").replace("</rdf:li>", "")
    bare = bare.replace("<mwg-rs:RegionList>", '<mwg-rs:RegionList rdf:parseType="Resource">')
    assert only(packet(bare)).box == near(ANNA.box)


@pytest.mark.parametrize("kind", ["Pet", "Focus", "BarCode", "DogBody"])
def test_regions_of_other_types_are_no_faces(kind: str) -> None:
    found = read_xmp(
        packet(mwg(ANNA_MWG.replace(">Face<", f">{kind}<"), mwg_item(0.7, 0.7, 0.1, 0.1, ""))), "a"
    )
    assert [region.name for region in found.regions] == [None]
    assert not found.problems


@pytest.mark.parametrize(
    ("x", "y", "w", "h", "problem"),
    [
        ("NaN", 0.5, 0.1, 0.1, "'NaN' is no number"),
        (0.5, "inf", 0.1, 0.1, "'inf' is no number"),
        (0.5, "1e999", 0.1, 0.1, "not finite"),
        (0.5, "9e300", 0.1, 0.1, "outside of the picture"),
        (0.5, 0.5, 0, 0.1, "not positive"),
        (0.5, 0.5, 0.1, -0.1, "not positive"),
        (0.5, 0.5, "", 0.1, "'' is no number"),
        (0.5, 0.5, "1/0", 0.1, "not finite"),
        (-0.6, 0.5, 0.1, 0.1, "outside"),
        (0.5, 0.5, "<b/>", 0.1, "damaged"),
    ],
)
def test_a_region_that_cannot_be_is_left_out(
    x: object, y: object, w: object, h: object, problem: str
) -> None:
    data = packet(mwg(mwg_item(x, y, w, h, "Ben"), ANNA_MWG))
    if problem == "damaged":
        with pytest.raises(ImageError, match="damaged"):
            read_xmp(data, "a.xmp")
        return
    found = read_xmp(data, "a.xmp")
    assert [region.name for region in found.regions] == ["Anna"]
    (text,) = found.problems
    assert text.startswith("a.xmp: MWG region 1 was left out: ")
    assert problem in text


def test_pixels_without_a_size_are_a_problem() -> None:
    data = packet(mwg(mwg_item(800, 1050, 800, 900), dimensions=None))
    assert "size of the picture is not known" in read_xmp(data, "a").problems[0]
    assert only(data, size=(4000, 3000)).box == near(ANNA.box)


@pytest.mark.parametrize(
    "rectangle",
    [
        "0.1, 0.2, 0.2, 0.3",
        "0.1,0.2,0.2,0.3",
        " 0.1 0.2 0.2 0.3",
        "0,1, 0,2, 0,2, 0,3",
        "0,1;0,2;0,2;0,3",
        "0,1,0,2,0,2,0,3",
    ],
)
def test_rectangles_of_microsoft(rectangle: str) -> None:
    found = only(packet(microsoft((rectangle, "Anna"))))
    assert found.name == "Anna"
    assert found.box == near(ANNA.box)


def test_microsoft_has_ignored_faces_and_people_without_a_place() -> None:
    no_place = '<rdf:li><rdf:Description MPReg:PersonDisplayName="Ben"/></rdf:li></rdf:Bag>'
    data = microsoft(("0.1, 0.2, 0.2, 0.3", "ffffffffffffffff"), ("0.1, 0.2, 0.2", "Cleo"))
    found = read_xmp(packet(data.replace("</rdf:Bag>", no_place)), "a")
    (region,) = found.regions
    assert region.rejected
    assert region.name is None
    assert found.people == ("Ben",)
    assert "not four numbers" in found.problems[0]


def iptc(
    boundary: str,
    more: str = '<iptcExt:Name><rdf:Alt><rdf:li xml:lang="x-default">Anna</rdf:li></rdf:Alt></iptcExt:Name>',
) -> bytes:
    region = f'<rdf:li rdf:parseType="Resource"><iptcExt:RegionBoundary {boundary}</iptcExt:RegionBoundary>{more}</rdf:li>'
    return packet(f"<iptcExt:ImageRegion><rdf:Bag>{region}</rdf:Bag></iptcExt:ImageRegion>")


RECTANGLE = 'iptcExt:rbShape="rectangle" iptcExt:rbUnit="relative" iptcExt:rbX="0.1" iptcExt:rbY="0.2" iptcExt:rbW="0.2" iptcExt:rbH="0.3">'


def test_rectangles_circles_and_polygons_of_the_iptc() -> None:
    assert only(iptc(RECTANGLE)).box == near(ANNA.box)
    pixels = RECTANGLE.replace("relative", "pixel")
    for a, b in (("0.1", "400"), ('rbY="0.2', 'rbY="600'), ('rbW="0.2', 'rbW="800'), ("0.3", "900")):
        pixels = pixels.replace(a, b)
    assert only(iptc(pixels), size=(4000, 3000)).box == near(ANNA.box)
    assert "not known" in read_xmp(iptc(pixels), "a").problems[0]
    circle = 'iptcExt:rbShape="circle" iptcExt:rbUnit="relative" iptcExt:rbX="0.5" iptcExt:rbY="0.5" iptcExt:rbRx="0.15">'
    assert only(iptc(circle), size=(4000, 3000)).box == near((0.35, 0.3, 0.65, 0.7))
    points = "".join(
        f'<rdf:li iptcExt:rbX="{x}" iptcExt:rbY="{y}"/>' for x, y in ((0.1, 0.3), (0.2, 0.2), (0.3, 0.5))
    )
    polygon = f'rdf:parseType="Resource"><iptcExt:rbShape>polygon</iptcExt:rbShape><iptcExt:rbUnit>relative</iptcExt:rbUnit><iptcExt:rbVertices><rdf:Seq>{points}</rdf:Seq></iptcExt:rbVertices>'
    assert only(iptc(polygon)).box == near(ANNA.box)


def test_types_and_roles_of_the_iptc() -> None:
    def typed(field: str, last: str, name: str = "Anna") -> bytes:
        uri = f"http://cv.iptc.org/newscodes/imageregiontype/{last}"
        entity = f'<rdf:li rdf:parseType="Resource"><xmp:Identifier><rdf:Bag><rdf:li>{uri}</rdf:li></rdf:Bag></xmp:Identifier></rdf:li>'
        return iptc(
            RECTANGLE,
            f"{bag('iptcExt:PersonInImage', name)}<iptcExt:{field}><rdf:Bag>{entity}</rdf:Bag></iptcExt:{field}>",
        )

    assert only(typed("rCtype", "face")).name == "Anna"
    person = read_xmp(typed("rCtype", "human"), "a")
    assert (person.regions, person.people) == ((), ("Anna",))
    for data in (typed("rCtype", "animal"), typed("rRole", "cropping")):
        assert read_xmp(data, "a").regions == ()


def test_regions_of_acdsee() -> None:
    area = "acdsee-stArea:x='{}' acdsee-stArea:y='{}' acdsee-stArea:w='{}' acdsee-stArea:h='{}'"
    item = (
        f"<rdf:li rdf:parseType='Resource'><acdsee-rs:ALGArea {area.format(0.2, 0.3, 0.1, 0.1)}/>"
        f"<acdsee-rs:DLYArea {area.format(0.2, 0.35, 0.2, 0.3)}/><acdsee-rs:Name>Anna</acdsee-rs:Name>"
        "<acdsee-rs:Type>Face</acdsee-rs:Type></rdf:li>"
    )
    data = (
        "<acdsee-rs:Regions rdf:parseType='Resource'><acdsee-rs:AppliedToDimensions acdsee-stDim:w='4000' "
        f"acdsee-stDim:h='3000'/><acdsee-rs:RegionList><rdf:Bag>{item}</rdf:Bag></acdsee-rs:RegionList></acdsee-rs:Regions>"
    )
    found = read_xmp(packet(data), "a")
    assert found.dimensions == (4000, 3000)
    assert found.regions[0].box == near(ANNA.box)
    automatic = item.replace("DLYArea", "Other")
    assert only(packet(data.replace(item, automatic))).box == near((0.15, 0.25, 0.25, 0.35))


def test_a_region_in_several_schemas_comes_once() -> None:
    found = read_xmp(
        packet(
            mwg(ANNA_MWG, mwg_item(0.8, 0.35, 0.2, 0.3, ""))
            + microsoft(
                ("0.1, 0.2, 0.2, 0.3", " anna "),
                ("0.7, 0.2, 0.2, 0.3", "Ben"),
                ("0.4, 0.7, 0.1, 0.1", "Cleo"),
            )
        ),
        "a",
    )
    assert [region.name for region in found.regions] == ["Anna", "Ben", "Cleo"]
    assert not found.problems


def test_schemas_that_contradict_each_other_are_a_problem() -> None:
    found = read_xmp(packet(mwg(ANNA_MWG) + microsoft(("0.1, 0.2, 0.2, 0.3", "Ben"))), "a")
    assert [region.name for region in found.regions] == ["Anna"]
    assert "Microsoft region of Ben was left out" in found.problems[0]


def test_two_people_of_one_name() -> None:
    found = read_xmp(
        packet(
            mwg(ANNA_MWG, mwg_item(0.8, 0.35, 0.2, 0.3))
            + microsoft(("0.1, 0.2, 0.2, 0.3", "Anna"), ("0.7, 0.2, 0.2, 0.3", "Anna"))
        ),
        "a",
    )
    assert [region.name for region in found.regions] == ["Anna", "Anna"]
    assert not found.problems


def test_names_without_a_place() -> None:
    details = (
        "<iptcExt:PersonInImageWDetails><rdf:Bag><rdf:li rdf:parseType='Resource'><iptcExt:PersonName><rdf:Alt>"
        "<rdf:li xml:lang='x-default'>Dora</rdf:li></rdf:Alt></iptcExt:PersonName></rdf:li></rdf:Bag></iptcExt:PersonInImageWDetails>"
    )
    found = read_xmp(
        packet(
            mwg(ANNA_MWG)
            + bag("iptcExt:PersonInImage", "Anna", "Ben", "  ")
            + details
            + bag(
                "digiKam:TagsList", "People/Family/Cleo", "People/Family", "Places/Rome", "People", kind="Seq"
            )
            + bag("lr:hierarchicalSubject", "People||ben", "Personen|Emil", "Animals|Rex")
            + bag("MicrosoftPhoto:LastKeywordXMP", "People/Fritz")
        ),
        "a",
    )
    assert found.people == ("Ben", "Dora", "Cleo", "Emil", "Fritz")


def test_names_with_the_separator_of_tags() -> None:
    found = read_xmp(
        packet(bag("iptcExt:PersonInImage", "AC/DC") + bag("digiKam:TagsList", "People/AC/DC", kind="Seq")),
        "a",
    )
    assert found.people == ("AC/DC",)
    assert people_of_tags(["People/Band/AC/DC"], "/", {"ac/dc"}) == ["AC/DC"]


def test_a_list_that_is_an_attribute() -> None:
    assert read_xmp(packet("", 'digiKam:TagsList="People/Anna"'), "a").people == ("Anna",)


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "latin-1"]
)
def test_encodings(encoding: str) -> None:
    text = packet(bag("iptcExt:PersonInImage", "Åsa Müller")).decode().partition("\n")[2]
    data = text.encode(encoding)
    if encoding == "latin-1":  # once as it should be, once without a declaration
        assert read_xmp(b'<?xml version="1.0" encoding="ISO-8859-1"?>\n' + data, "a").people == (
            "Åsa Müller",
        )
    assert read_xmp(data, "a").people == ("Åsa Müller",)


def test_packets_without_their_wrapper() -> None:
    data = packet(mwg(ANNA_MWG))
    text = data.decode()
    start, end = text.index("<rdf:RDF"), text.index("</x:xmpmeta>")
    assert only(text[start:end].encode()).name == "Anna"
    assert only(data + b"\0" * 100).name == "Anna"
    assert only(codecs.BOM_UTF8 + b"  " + data).name == "Anna"
    assert only(data[:-20] + b" garbage & <").name == "Anna"


def test_undeclared_prefixes_and_forbidden_characters_are_repaired() -> None:
    data = packet(mwg(ANNA_MWG)).replace(NAMESPACES.split(" ", 1)[0].encode(), b"")
    assert only(data).name == "Anna"
    assert only(packet(mwg(ANNA_MWG.replace(">Anna<", ">An\x01na&#x2;<")))).name == "Anna"


def test_the_frame_of_regions() -> None:
    """Photos of Lightroom state the upright size, and areas on the stored picture: see `place_regions`."""

    def found(rotation: float | None) -> list[Found]:
        return [Found("MWG", ANNA.box, "Anna", False, rotation, Value(""))]

    same, upright = Placement(), Placement(6, "upright")
    assert place_regions(found(None), (4000, 3000), (4000, 3000), 6) == (same, (4000, 3000))
    assert place_regions(found(None), (3000, 4000), (4000, 3000), 6) == (same, (4000, 3000))
    assert place_regions(found(-1.5708), (3000, 4000), (4000, 3000), 6) == (same, (4000, 3000))
    assert place_regions(found(0.1), (3000, 4000), (4000, 3000), 6) == (upright, (4000, 3000))
    assert place_regions(found(0.1), (3000, 4000), (4000, 3000), 3) == (same, (3000, 4000))
    assert place_regions(found(0.1), (1000, 1000), (4000, 3000), 6) == (same, (1000, 1000))
    assert place_regions(found(0.1), (3000, 4000), None, 6) == (same, (3000, 4000))


def test_a_file_that_turns_its_picture_itself() -> None:
    """Apple's regions are on the picture before the turn; dimensions of the turned one show another program."""
    data = packet(mwg(ANNA_MWG, dimensions=(4000, 3000)))
    found = read_xmp(data, "a", size=(3000, 4000), orientation=1, container_turn=6)
    assert found.dimensions == (3000, 4000)
    assert found.regions[0].box == near((0.5, 0.1, 0.8, 0.3))
    assert read_xmp(packet(mwg(ANNA_MWG, dimensions=None)), "a", container_turn=3).regions[0].box == near(
        (0.7, 0.5, 0.9, 0.8)
    )
    other = read_xmp(packet(mwg(ANNA_MWG, dimensions=(3000, 4000))), "a", size=(3000, 4000), container_turn=6)
    assert (other.dimensions, other.regions[0].box) == ((3000, 4000), near(ANNA.box))


def test_regions_on_the_upright_photo_are_returned_on_the_stored_picture() -> None:
    turned = "<mwg-rs:Rotation>0.0</mwg-rs:Rotation>"
    data = packet(mwg(mwg_item(0.2, 0.35, 0.2, 0.3, more=turned), dimensions=(3000, 4000)))
    found = read_xmp(data, "a", size=(4000, 3000), orientation=6)
    assert found.dimensions == (4000, 3000)
    assert found.regions[0].box == near((0.2, 0.7, 0.5, 0.9))


def test_the_orientation_of_a_sidecar() -> None:
    data = packet(mwg(ANNA_MWG, dimensions=(3000, 4000)), 'tiff:Orientation="6"')
    found = read_xmp(data, "a", size=(4000, 3000), orientation=1)
    assert (found.orientation, found.dimensions) == (6, (4000, 3000))
    assert read_xmp(packet("", 'tiff:Orientation="9"'), "a").orientation is None


def test_hostile_packets_are_refused() -> None:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10 if i else "ha"}">' for i in range(12))
    external = '<!ENTITY x SYSTEM "file:///etc/passwd">'
    body = packet(bag("iptcExt:PersonInImage", "&x;&a11;")).partition(b"\n")[2]
    for declared in (laughs, external, ""):
        data = f"<!DOCTYPE r [{declared}]>".encode() + body
        for form in (data, data.decode().encode("utf-16")):
            with pytest.raises(ImageError) as caught:
                read_xmp(form, "a.xmp")
            assert caught.value.reason == Reason.CORRUPT
    with pytest.raises(ImageError, match=r"Entity .x. not defined"):
        read_xmp(body, "a.xmp")


def test_deep_long_and_large_packets_are_bounded() -> None:
    started = time.perf_counter()
    with pytest.raises(ImageError):
        read_xmp(packet("<dc:a>" * 100_000 + "</dc:a>" * 100_000), "a.xmp")
    with pytest.raises(ImageError) as caught:
        read_xmp(b"<" * (MOST_BYTES + 1), "a.xmp")
    assert caught.value.reason == Reason.MEMORY
    items = [mwg_item(0.5, 0.5, 0.1 + i / 1e5, 0.1, f"P{i}") for i in range(20)]
    assert len(read_xmp(packet(mwg(*items)), "a").regions) == 20
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \0 ",
        b"\xff\xfe",
        b"<",
        b"hello",
        b"<a/>",
        b"<x:xmpmeta",
        f"<rdf:RDF {RDF}>".encode(),
        b"\x00\x01\x02",
        b"<\0\0\0",
    ],
)
def test_what_is_no_xmp(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_xmp(data, "a.xmp")


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("0,5", 0.5), ("-1", -1), (" .5 ", 0.5), ("1e-2", 0.01), ("3/4", 0.75)]
)
def test_numbers(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1/0", "1,2,3", "0x1", "1_0", "٣", "1e99999", "--1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|finite"):
        parse_number(text)
