"""Photos found by people, compared with a plain loop over the faces of an index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceindex import FaceIndex
from faceindex.api.finding import FoundPhotos
from faceindex.errors import UsageError
from faceindex.people.dates import ages, first_second
from faceindex.people.find import check_ages
from faceindex.people.query import And, Anybody, ClusterNumber, Name, Not, Or, Query, Unnamed, leaves
from faceindex.store import NewPhoto, Pins, Status, Store
from faceindex.store.decisions import Label
from faceindex.types import Faces

PHOTOS, CLUSTERS, DIMENSION = 120, 7, 16
NAMES = {1: "Anna Maria", 2: "Ben", 3: "Carl", 4: "Zoë", 5: "Annie"}


def faces_at(people: list[int], rng: np.random.Generator) -> Faces:
    """One face beside the other, with a vector near that of its person."""
    n = len(people)
    vectors = np.eye(DIMENSION, dtype=np.float32)[people] + 0.02 * rng.standard_normal((n, DIMENSION))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    left = np.arange(n, dtype=np.float32)[:, None] * 100
    zero = np.zeros_like(left)
    return Faces(
        boxes=np.concatenate([left, zero, left + 90, zero + 90], axis=1),
        landmarks=np.full((n, 5, 2), 40, np.float32),
        scores=np.ones(n, np.float32),
        vectors=vectors,
        norms=np.ones(n, np.float32),
        sharpness=np.full(n, 0.3, np.float32),
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceIndex]:
    """120 photos with up to 4 faces; five people, one with two clusters, and two clusters without a name."""
    directory = tmp_path_factory.mktemp("find") / "index"
    rng = np.random.default_rng(5)
    with Store.create(directory, Pins("mtcnn", "dlib", DIMENSION, {"min_face": 30.0})) as store:
        root = store.add_root("/photos", "photos")
        photos, who = [], []
        for number in range(PHOTOS):
            people = rng.permutation(CLUSTERS + 1)[: rng.integers(0, 5)].tolist()
            who += people
            readable = number % 11 != 10
            who = who if readable else who[: len(who) - len(people)]
            photos.append(
                NewPhoto(
                    root.id,
                    f"{number % 3}/{number}.jpg",
                    1000,
                    5,
                    bytes([number]) * 20,
                    500,
                    100,
                    status=Status.OK if readable else Status.UNREADABLE,
                    faces=faces_at(people, rng) if readable and people else None,
                    picture=bytes([number]) * 20,
                    taken=None if number % 4 == 3 else first_second(f"{1950 + number % 40}-06-14") + 3600,
                )
            )
        store.commit(photos)
        labels = np.array(who) + 1
        labels[labels > CLUSTERS] = -1  # in no cluster
        ids = np.sort(store.faces().face)
        similarities = np.where(labels < 0, np.nan, 1).astype(np.float32)
        store.save_clustering("made up", {}, 0, ids, labels, similarities)
    with FaceIndex.open(directory, write=True) as index:
        people = index.people
        for cluster, name in NAMES.items():
            people.name(name, clusters=[cluster])
        people.merge("Anna Maria", "Annie")
        people.born("Anna Maria", "1960")
        people.born("Ben", "1961-06-14")
        people.hide("Carl")
        of = {c: [face.face for face in index.faces(cluster=c)] for c in range(1, CLUSTERS + 1)}
        people.confirm(of[1][:2])
        people.reject(of[2][:2])
        people.ignore(faces=of[3][:2])
        people.not_a_face(faces=of[6][:1])
        people.name("Zoë", faces=of[7][:2])
        people.name("Dora", faces=[face.face for face in index.faces(clustered=False)][:2])
        yield index


def somebody_on(index: FaceIndex) -> dict[int, list[tuple[int, int, str | None]]]:
    """Face, cluster and person of the faces of somebody on each readable photo, by reading everything."""
    table, names = index._reader.faces_and_photos()
    view = index._reader.people()
    on: dict[int, list[tuple[int, int, str | None]]] = {
        record.id: [] for record in names.records if record.status is Status.OK
    }
    for i in range(len(table)):
        person = int(view.person[i])
        nobody = view.label[i] in (Label.STRANGER, Label.NOT_A_FACE)
        if not nobody and (person >= 0 or table.cluster[i] >= 0):
            title = None if person < 0 else view.roster.title(person)
            on[int(table.photo[i])].append((int(table.face[i]), int(table.cluster[i]), title))
    return on


def shows(face: tuple[int, int, str | None], leaf: Query) -> bool:
    _, cluster, person = face
    match leaf:
        case Name(name):
            return person == name
        case ClusterNumber(number):
            return cluster == number
        case Unnamed():
            return person is None
        case _:
            return isinstance(leaf, Anybody)


def holds(query: Query, faces: list[tuple[int, int, str | None]]) -> bool:
    """Whether a photo with these faces is what a query describes."""
    match query:
        case Not(term):
            return not holds(term, faces)
        case And(terms):
            return all(holds(term, faces) for term in terms)
        case Or(terms):
            return any(holds(term, faces) for term in terms)
        case _:
            return any(shows(face, query) for face in faces)


def _compound(children: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.one_of(children.map(Not), several.map(And), several.map(Or))


leaf_queries = st.one_of(
    st.sampled_from(["Anna Maria", "Ben", "Carl", "Zoë", "Dora"]).map(Name),
    st.sampled_from([1, 2, 5, 6, 7]).map(ClusterNumber),
    st.just(Anybody()),
    st.just(Unnamed()),
)
queries: st.SearchStrategy[Query] = st.recursive(leaf_queries, _compound, max_leaves=6)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(query=queries, only=st.booleans())
def test_find_is_the_plain_model(index: FaceIndex, query: Query, only: bool) -> None:
    wanted = [leaf for leaf, negated in leaves(query) if not negated]
    if only and not wanted:
        with pytest.raises(UsageError, match="outside of"):
            index.find(str(query), only=True)
        return
    on = somebody_on(index)
    expected = {
        photo
        for photo, faces in on.items()
        if holds(query, faces)
        and (not only or all(any(shows(face, leaf) for leaf in wanted) for face in faces))
    }
    found = index.find(str(query), only=only)
    assert {photo.id for photo in found} == expected
    for photo in found:
        faces = on[photo.id]
        assert photo.faces == tuple(f[0] for f in faces if any(shows(f, leaf) for leaf in wanted))
        assert photo.people == tuple(sorted({person for _, _, person in faces if person is not None}))


def test_the_index_has_all_kinds_of_faces(index: FaceIndex) -> None:
    faces = [face for on in somebody_on(index).values() for face in on]
    assert {person for _, _, person in faces} == {None, "Anna Maria", "Ben", "Carl", "Zoë", "Dora"}
    assert any(photo for photo in index.find("nobody"))
    assert len(faces) < len(index)


def names_of(found: FoundPhotos) -> list[str]:
    return [photo.photo for photo in found]


def test_names_in_any_case_and_unicode_form(index: FaceIndex) -> None:
    found = names_of(index.find("Zoë"))
    assert found
    for written in ("zoë", "ZOË", "zoe\u0308", " 'zoë' "):
        assert names_of(index.find(written)) == found


def test_a_merged_person_has_the_clusters_of_both(index: FaceIndex) -> None:
    both = {photo.id for photo in index.find("Anna Maria")}
    assert both == {photo.id for photo in index.find("c1 | c5")}
    with pytest.raises(UsageError, match="Did you mean 'Anna Maria'"):
        index.find("Anna")
    with pytest.raises(UsageError, match="Nobody has the name 'Annie'"):
        index.find("Annie")


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("1955", None),
        (None, "1955"),
        ("1955", "1955"),
        ("1955-06", "1956-06-14"),
        ("1955-06-15", "1956-06-13"),
    ],
)
def test_dates_are_inclusive(index: FaceIndex, since: str | None, until: str | None) -> None:
    found = index.find("!Ben", since=since, until=until, sort="date")
    everything = index.find("!Ben")
    dated = [photo for photo in everything if photo.taken is not None]
    assert found.undated == len(everything) - len(dated) > 0
    first = datetime.fromisoformat(
        {"1955": "1955-01-01", "1955-06": "1955-06-01"}.get(since or "", since or "1900-01-01")
    )
    last = f"{until or 2100}"
    assert {photo.id for photo in found} == {
        photo.id
        for photo in dated
        if photo.taken is not None and photo.taken >= first and photo.taken.isoformat()[: len(last)] <= last
    }
    times = [photo.taken for photo in found]
    assert times == sorted(times, key=str)


def test_a_range_of_dates_without_a_query(index: FaceIndex) -> None:
    found = index.find(since="1960", until="1969")
    assert found
    assert found.query == ""
    assert all(photo.taken is not None and photo.taken.year // 10 == 196 for photo in found)
    assert all(photo.faces == () for photo in found)


def test_ages(index: FaceIndex) -> None:
    found = index.find(age_of=("ben", 13, 17))
    assert found.query == "ben"
    dated = [photo for photo in index.find("Ben") if photo.taken is not None]
    # Ben's birthday is 14 June, the day of all photos.
    assert {photo.id for photo in found} == {
        p.id for p in dated if p.taken and 13 <= p.taken.year - 1961 <= 17
    }
    assert found
    # The year of birth alone: on 14 June, 4 is possible from 1964 on, and 8 until 1969.
    anna = index.find("!Ben", age_of=("Anna Maria", 4, 8))
    apart = [photo for photo in index.find("Anna Maria & !Ben") if photo.taken]
    assert anna
    assert {p.id for p in anna} == {p.id for p in apart if p.taken and 1964 <= p.taken.year <= 1969}
    assert all("Anna Maria" in photo.people and "Ben" not in photo.people for photo in anna)


@given(
    year=st.integers(1900, 2020), low=st.integers(0, 90), more=st.integers(0, 20), days=st.integers(0, 40_000)
)
def test_a_partial_date_of_birth_means_any_of_its_days(year: int, low: int, more: int, days: int) -> None:
    taken = first_second(str(year)) + days * 86_400
    possible = {age for month in range(1, 13) for age in ages(f"{year}-{month:02}", taken)}
    assert check_ages([str(year)], taken, low, low + more) == any(
        low <= age <= low + more for age in possible
    )


def test_sorting_puts_photos_without_a_date_last(index: FaceIndex) -> None:
    by_date = [photo.taken for photo in index.find("!Ben", sort="date")]
    dated = [time for time in by_date if time is not None]
    assert None in by_date
    assert by_date == sorted(dated) + [None] * (len(by_date) - len(dated))
    by_name = names_of(index.find("!Ben"))
    assert by_name == sorted(by_name)


def test_results(index: FaceIndex) -> None:
    found = index.find("Ben")
    assert found[0] in list(found)
    assert len(found[:2]) == 2
    first = found[0].as_dict()
    assert first["path"] == str(Path("/photos") / Path(found[0].photo).relative_to("photos"))
    assert first["taken"] is None or str(first["taken"]).startswith("19")
    assert not index.find("Ben & !Ben")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": None}, "Nothing is given to find"),
        ({"query": "Ben &"}, "at character 5"),
        ({"query": "Bem"}, "Did you mean 'Ben'"),
        ({"query": "c99"}, "There is no cluster 99"),
        ({"query": "c" + "9" * 25}, "There is no cluster"),
        ({"query": "Ben", "since": "199"}, "'199' is not a date"),
        ({"query": "Ben", "since": "1990", "until": "1989-12"}, "`since` 1990 is after `until` 1989-12"),
        ({"query": "Ben", "age_of": ("Carl", 3, 5)}, "`faceindex people born NAME DATE`"),
        ({"query": "Ben", "age_of": ("Nina", 3, 5)}, "Nobody has the name 'Nina'"),
        ({"query": "Ben", "age_of": ("Ben", 5, 3)}, "5..3"),
        ({"query": "!Ben", "only": True}, "outside of `!`"),
        ({"since": "1950", "only": True}, "outside of `!`"),
        ({"query": "Ben", "sort": "size"}, "There is no order 'size'"),
    ],
)
def test_errors(index: FaceIndex, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        index.find(**arguments)  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_a_decision_counts_at_once(index: FaceIndex) -> None:
    before = {photo.id for photo in index.find("Ben")}
    face = index.find("Ben & !Zoë")[0].faces[0]
    index.people.name("Zoë", faces=[face])
    assert len(before - {photo.id for photo in index.find("Ben")}) == 1
    index.people.undo()
    assert {photo.id for photo in index.find("Ben")} == before


def test_an_index_of_the_oldest_format_that_is_only_read(tmp_path: Path) -> None:
    fixture = Path(__file__).resolve().parents[1] / "fixtures" / "index-format-1" / "index"
    shutil.copytree(fixture, tmp_path / "index")
    with FaceIndex.open(tmp_path / "index") as index:
        cluster = next(face.cluster for face in index.faces(clustered=True))
        found = index.find(f"c{cluster}")
        assert names_of(found) == sorted({face.photo for face in index.faces(cluster=cluster)})
        assert names_of(index.find(f"c{cluster} & unnamed & anybody", only=True))
        assert index.find("anybody", since="1950").undated == len(index.find("anybody"))
        with pytest.raises(UsageError, match="no person is named yet"):
            index.find("Ben")


def test_without_people_and_clusters(tmp_path: Path) -> None:
    with Store.create(tmp_path / "index", Pins("mtcnn", "dlib", DIMENSION, {"min_face": 30.0})) as store:
        root = store.add_root("/photos", "photos")
        store.commit([NewPhoto(root.id, "a.jpg", 1, 5, b"x" * 20, 10, 10)])
    with FaceIndex.open(tmp_path / "index") as index:
        assert names_of(index.find("nobody")) == [str(Path("photos/a.jpg"))]
        assert not index.find("anybody | unnamed")
        with pytest.raises(UsageError, match="no person is named yet"):
            index.find("Ben")
        with pytest.raises(UsageError, match="There is no cluster 1"):
            index.find("c1")
