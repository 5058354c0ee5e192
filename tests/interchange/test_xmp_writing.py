"""What is merged into packets, and what stays as it was."""

# ruff: noqa: E501 - packets have long lines

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from xmp_packets import NAMESPACES, RDF, bag, microsoft, mwg, mwg_item, packet

from faceindex.errors import ImageError, Reason
from faceindex.interchange.regions import Region
from faceindex.interchange.xmp import merge_regions, read_xmp
from faceindex.interchange.xmp_tree import parse_packet

SIZE = (4000, 3000)
ANNA = Region((0.1, 0.2, 0.3, 0.5), "Anna")
BEN = Region((0.7, 0.2, 0.9, 0.5), "Ben")
ANNA_MWG, BEN_MWG = mwg_item(0.2, 0.35, 0.2, 0.3), mwg_item(0.8, 0.35, 0.2, 0.3, "Ben")
CHANGED = ("Regions", "RegionInfo", "PersonInImage", "TagsList", "hierarchicalSubject", "LastKeywordXMP")
UNKNOWN = (
    '<xmp:Rating>3</xmp:Rating><dc:title><rdf:Alt><rdf:li xml:lang="x-default">A &lt; B</rdf:li></rdf:Alt></dc:title>'
    '<other:Thing xmlns:other="urn:other" rdf:parseType="Resource"><other:a other:b="&#10;1">x</other:a><!-- c -->'
    "</other:Thing><dc:source><![CDATA[<raw>]]></dc:source>"
)


def merge(data: bytes | None, *regions: Region, previous: tuple[Region, ...] = ()) -> bytes | None:
    return merge_regions(data, regions, previous=previous, dimensions=SIZE)


def merged(data: bytes | None, *regions: Region, previous: tuple[Region, ...] = ()) -> bytes:
    found = merge(data, *regions, previous=previous)
    assert found is not None
    assert merge(found, *regions, previous=regions) is None, "a second time, nothing changes"
    assert merge(found, *regions) is None
    return found


def names(data: bytes) -> list[str | None]:
    found = read_xmp(data, "a")
    assert not found.problems
    return [region.name for region in found.regions]


def others(data: bytes) -> list[bytes]:
    """Return the properties that are none of ours, in canonical form (C14N 2.0)."""
    found = []
    for block in parse_packet(data, "a").descriptions:
        found += [
            f"{name}={text}".encode()
            for name, text in sorted((str(name), str(text)) for name, text in block.attrib.items())
        ]
        for child in block.iterchildren(tag=etree.Element):
            if str(child.tag).rpartition("}")[2] not in CHANGED:
                alone = copy.deepcopy(child)
                alone.tail = None
                found.append(etree.tostring(alone, method="c14n2"))
    return [one for one in found if not one.endswith(b"about=")]


def test_a_new_sidecar() -> None:
    data = merged(None, ANNA, BEN)
    found = read_xmp(data, "a")
    assert names(data) == ["Anna", "Ben"]
    assert [region.box for region in found.regions] == [pytest.approx(ANNA.box), pytest.approx(BEN.box)]
    assert (found.dimensions, found.people, found.problems) == (SIZE, (), ())
    text = data.decode()
    assert text.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta')
    assert text.endswith('</x:xmpmeta>\n<?xpacket end="w"?>\n')
    for part in ("<rdf:li>Anna</rdf:li>", "<rdf:li>People/Anna</rdf:li>", "<rdf:li>People|Anna</rdf:li>"):
        assert part in text
    assert "\n      <rdf:li rdf:parseType" in text


def test_nothing_to_write_makes_no_sidecar() -> None:
    unnamed = Region(ANNA.box, None)
    assert merge(None) is None
    assert merge(None, unnamed, Region(BEN.box, "Ben", rejected=True), Region(BEN.box, " \n")) is None
    assert merge(b"  ", Region((1.2, 0.1, 1.4, 0.2), "Outside")) is None
    assert merge(packet(UNKNOWN)) is None


@pytest.mark.parametrize(
    "name", ["A & <B> \"C\" 'D'", "AC/DC", "a|b", "é 😀", "محمد", "  two\n lines ", "]]>", "\x01x"]
)
def test_names_of_any_kind(name: str) -> None:
    region = Region(ANNA.box, name)
    data = merged(packet(UNKNOWN), region)
    clean = " ".join(name.replace("\x01", " ").split())
    assert names(data) == [clean]
    assert read_xmp(data, "a").people == ()
    assert ("People/" in data.decode()) == ("/" not in name)
    assert ("People|" in data.decode()) == ("|" not in name)
    assert others(merged(data, previous=(region,))) == others(packet(UNKNOWN))


def test_unknown_properties_stay() -> None:
    before = packet(mwg(ANNA_MWG) + UNKNOWN + bag("dc:subject", "x", "y"), 'xmp:Label="Red &amp; blue&#9;"')
    after = merged(before, BEN)
    assert others(after) == others(before)
    assert len(others(before)) == 6
    assert names(after) == ["Anna", "Ben"]
    assert merge(after, BEN, previous=(BEN,)) is None
    gone = merged(after, previous=(BEN,))
    assert others(gone) == others(before)
    assert names(gone) == ["Anna"]


def test_regions_of_other_programs_are_never_removed() -> None:
    data = packet(
        mwg(ANNA_MWG, mwg_item(0.5, 0.8, 0.1, 0.1, "Rex").replace("Face", "Pet"))
        + microsoft(("0.4, 0.1, 0.1, 0.1", "Cleo"))
    )
    after = merged(data, BEN)
    assert names(after) == ["Anna", "Ben", "Cleo"]
    assert names(merged(after, previous=(BEN,))) == ["Anna", "Cleo"]
    assert b"Rex" in merged(after, previous=(BEN,))
    moved = Region((0.35, 0.2, 0.55, 0.5), "Anna")  # of ours, not that of the packet
    assert merge(data, previous=(moved,)) is None


def test_a_region_at_the_same_place_gets_the_name() -> None:
    description = "<mwg-rs:Description>laughs</mwg-rs:Description>"
    near = Region((0.11, 0.21, 0.3, 0.5), "Anne")
    for name in ("Anna", ""):
        after = merged(packet(mwg(mwg_item(0.2, 0.35, 0.2, 0.3, name, description))), near)
        (found,) = read_xmp(after, "a").regions
        assert found.name == "Anne"
        assert found.box == pytest.approx(ANNA.box), "its place stays"
        assert b"laughs" in after
    spelled = packet(mwg(mwg_item(0.2, 0.35, 0.2, 0.3, "ANNA")) + bag("iptcExt:PersonInImage", "anna"))
    assert names(merged(spelled, ANNA)) == ["ANNA"]


def test_a_region_of_ours_follows_in_place_and_name() -> None:
    first = merged(packet(microsoft(("0.4, 0.1, 0.1, 0.1", "Cleo"))), ANNA, BEN)
    assert first.count(b"0.1, 0.2, 0.2, 0.3") == 1
    moved = Region((0.5, 0.6, 0.6, 0.8), "Anna")
    second = merged(first, moved, BEN, previous=(ANNA, BEN))
    assert [one.box for one in read_xmp(second, "a").regions if one.name == "Anna"] == [
        pytest.approx(moved.box)
    ]
    assert b"0.5, 0.6, 0.1, 0.2" in second
    renamed = Region(moved.box, "Anne")
    third = merged(second, renamed, BEN, previous=(moved, BEN))
    assert sorted(map(str, names(third))) == ["Anne", "Ben", "Cleo"]
    assert b"Anna" not in third
    back = merged(third, moved, BEN, previous=(renamed, BEN))
    assert back == second
    assert merged(back, ANNA, BEN, previous=(moved, BEN)) == first


def test_a_region_that_another_program_has_changed_since_is_not_removed() -> None:
    theirs = packet(mwg(mwg_item(0.2, 0.35, 0.2, 0.3, "Anneliese")))
    assert merge(theirs, previous=(ANNA,)) is None


def test_a_copy_of_ours_by_another_program_stays() -> None:
    data = packet(mwg(ANNA_MWG, ANNA_MWG))
    after = merged(data, BEN, previous=(ANNA,))
    assert after.count(b"<mwg-rs:Name>Anna") == 1
    assert merged(data, ANNA, BEN, previous=(ANNA,)).count(b"<mwg-rs:Name>Anna") == 2


def test_a_name_that_is_no_simple_value_is_replaced() -> None:
    for broken in ("Anna<mwg-rs:Type>Face</mwg-rs:Type>", '<rdf:li xml:lang="de">A</rdf:li>'):
        region = ANNA_MWG.replace("<mwg-rs:Name>Anna", f"<mwg-rs:Name>{broken}")
        assert names(merged(packet(mwg(region)), Region(ANNA.box, "Anne"))) == ["Anne"]


def test_other_schemas_get_new_names_only() -> None:
    name = '<iptcExt:Name><rdf:Alt><rdf:li xml:lang="x-default">Anna</rdf:li></rdf:Alt></iptcExt:Name>'
    boundary = (
        '<iptcExt:RegionBoundary iptcExt:rbShape="rectangle" iptcExt:rbUnit="relative" iptcExt:rbX="0.1" '
        'iptcExt:rbY="0.2" iptcExt:rbW="0.2" iptcExt:rbH="0.3"/>'
    )
    data = packet(
        f'<iptcExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource">{boundary}{name}</rdf:li></rdf:Bag></iptcExt:ImageRegion>'
    )
    after = merged(data, Region(ANNA.box, "Anne"), BEN, previous=(ANNA,))
    assert names(after) == ["Anne", "Ben"]
    assert after.count(b"RegionBoundary") == 1
    assert b'<rdf:li xml:lang="x-default">Anne</rdf:li>' in after


def test_lists_and_tags_follow() -> None:
    data = packet(
        bag("iptcExt:PersonInImage", "Emil")
        + bag("digiKam:TagsList", "Personen/Familie/Anna", "Orte/Rom", kind="Seq")
        + bag("lr:hierarchicalSubject", "Animals|Rex")
        + bag("MicrosoftPhoto:LastKeywordXMP", "People/Ben")
    )
    after = merged(data, ANNA, BEN).decode()
    assert after.count("Personen/Ben") == 1
    assert "Personen/Anna" not in after, "it is there already"
    assert "People|Anna" in after
    assert after.count("People/Ben") == 1
    later = merged(after.encode(), previous=(ANNA, BEN)).decode()
    for kept in ("Emil", "Personen/Familie/Anna", "Orte/Rom", "Animals|Rex"):
        assert kept in later
    assert "Ben" not in later


def test_values_that_are_no_lists_become_lists() -> None:
    after = merged(packet("", 'digiKam:TagsList="People/Emil"'), ANNA)
    assert read_xmp(after, "a").people == ("Emil",)
    assert b"<rdf:li>People/Emil</rdf:li>" in after
    single = mwg(ANNA_MWG).replace("<rdf:Bag>", "").replace("</rdf:Bag>", "").replace("</rdf:li>", "")
    single = single.replace('<rdf:li rdf:parseType="Resource">', "")
    single = single.replace("<mwg-rs:RegionList>", '<mwg-rs:RegionList rdf:parseType="Resource">')
    assert names(merged(packet(single), BEN)) == ["Anna", "Ben"]
    assert names(merged(packet("<mwg-rs:Regions/>"), BEN)) == ["Ben"]
    emptied = merged(packet("", 'digiKam:TagsList="People/Anna"'), BEN, previous=(ANNA,))
    assert b"People/Anna" not in emptied


def test_regions_of_another_shape_are_not_mixed() -> None:
    data = packet(mwg(ANNA_MWG, dimensions=(3000, 3000)))
    with pytest.raises(ImageError) as caught:
        merge(data, BEN)
    assert caught.value.reason == Reason.CHANGED
    assert "3000 x 3000" in str(caught.value)
    after = merged(data, BEN, previous=(ANNA,))  # ours alone
    assert read_xmp(after, "a").dimensions == SIZE
    smaller = packet(mwg(ANNA_MWG, dimensions=(400, 300)))
    assert read_xmp(merged(smaller, BEN), "a").dimensions == (400, 300), "of the same shape"


def test_regions_on_the_upright_photo_stay_there() -> None:
    turned = "<mwg-rs:Rotation>0.0</mwg-rs:Rotation>"
    data = packet(mwg(mwg_item(0.2, 0.35, 0.2, 0.3, more=turned), dimensions=(3000, 4000)))
    after = merge_regions(data, [BEN], dimensions=SIZE, orientation=6)
    assert after is not None
    found = read_xmp(after, "a", size=SIZE, orientation=6)
    assert [one.box for one in found.regions if one.name == "Ben"] == [pytest.approx(BEN.box, abs=1e-5)]
    assert merge_regions(after, [BEN], dimensions=SIZE, orientation=6) is None


@pytest.mark.parametrize(
    "form", ["utf-16", "no wrapper", "no xmpmeta", "one line", "declaration", "other prefixes"]
)
def test_packets_of_other_forms(form: str) -> None:
    text = packet(mwg(ANNA_MWG) + UNKNOWN).decode()
    inner = text[text.index("<x:xmpmeta") : text.index("</x:xmpmeta>") + len("</x:xmpmeta>")]
    data = {
        "utf-16": text.encode("utf-16"),
        "no wrapper": inner.encode(),
        "no xmpmeta": inner[inner.index("<rdf:RDF") : inner.index("</x:xmpmeta>")].encode(),
        "one line": inner.replace("\n", "").encode(),
        "declaration": b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- mine -->\n' + inner.encode(),
        "other prefixes": inner.replace("mwg-rs:", "a:").replace(":mwg-rs", ":a").encode(),
    }[form]
    after = merged(data, BEN)
    assert names(after) == ["Anna", "Ben"]
    assert others(after) == others(packet(UNKNOWN))
    assert after.decode().count("<?xpacket") == 2
    assert ("<!-- mine -->" in after.decode()) == (form == "declaration")


def test_a_damaged_sidecar_is_not_written() -> None:
    for data in (packet(UNKNOWN)[:300], b"<a/>", b"<!DOCTYPE a>" + packet("")):
        with pytest.raises(ImageError):
            merge(data, ANNA)
    undeclared = packet(mwg(ANNA_MWG)).replace(NAMESPACES.split(" ", 1)[0].encode(), b"")
    with pytest.raises(ImageError, match="damaged"):
        merge(undeclared, BEN)
    assert names(merged(f"<rdf:RDF {RDF}/>".encode(), BEN)) == ["Ben"]


_names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(str.strip)
_places = st.permutations(
    [(x / 4 + 0.02, y / 4 + 0.02, x / 4 + 0.2, y / 4 + 0.2) for x in range(4) for y in range(4)]
)


@given(
    st.lists(_names, min_size=1, max_size=5, unique_by=lambda one: " ".join(one.split()).casefold()),
    _places,
    st.integers(0, 5),
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_names_are_read_as_they_were_written(
    people: list[str], places: list[tuple[float, float, float, float]], kept: int
) -> None:
    regions = [Region(box, name) for box, name in zip(places, people, strict=False)]
    data = merged(packet(UNKNOWN), *regions)
    found = read_xmp(data, "a")
    assert {one.name for one in found.regions} == {" ".join(name.split()) for name in people}
    assert found.people == ()
    if regions[kept:]:
        data = merged(data, *regions[:kept], previous=tuple(regions))
        assert len(read_xmp(data, "a").regions) == len(regions[:kept])
    assert others(data) == others(packet(UNKNOWN))


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_what_is_written(tmp_path: Path) -> None:
    known = "<xmp:Rating>3</xmp:Rating>"
    path = tmp_path / "a.jpg.xmp"
    path.write_bytes(
        merged(packet(microsoft(("0.4, 0.1, 0.1, 0.1", "Cleo")) + known), ANNA, Region(BEN.box, 'B & "ن"'))
    )
    command = ["exiftool", "-struct", "-json", "-n", "-XMP:all", "-Warning", "-Error", str(path)]
    (found,) = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["RegionInfo"] == {
        "AppliedToDimensions": {"W": 4000, "H": 3000, "Unit": "pixel"},
        "RegionList": [
            {
                "Area": {"X": 0.2, "Y": 0.35, "W": 0.2, "H": 0.3, "Unit": "normalized"},
                "Name": "Anna",
                "Type": "Face",
            },
            {
                "Area": {"X": 0.8, "Y": 0.35, "W": 0.2, "H": 0.3, "Unit": "normalized"},
                "Name": 'B & "ن"',
                "Type": "Face",
            },
        ],
    }
    assert [one["PersonDisplayName"] for one in found["RegionInfoMP"]["Regions"]] == [
        "Cleo",
        "Anna",
        'B & "ن"',
    ]
    assert found["PersonInImage"] == ["Anna", 'B & "ن"']
    assert found["TagsList"] == ["People/Anna", 'People/B & "ن"']
    assert found["Rating"] == 3
    assert not {"Warning", "Error"} & set(found)
