from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceindex.errors import UsageError
from faceindex.people.query import And, Anybody, ClusterNumber, Name, Not, Or, Query, Unnamed, leaves, parse

ANNA, BEN, CARL = Name("Anna"), Name("Ben"), Name("Carl")


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Anna", ANNA),
        ("  Anna   Maria ", Name("Anna Maria")),
        ("Anna Maria & Ben", And((Name("Anna Maria"), BEN))),
        ("Anna and Ben", And((ANNA, BEN))),
        ("Anna AND Ben", And((ANNA, BEN))),
        ("Anna+Ben", And((ANNA, BEN))),
        ("Anna, Ben", And((ANNA, BEN))),
        ("Anna && Ben || Carl", Or((And((ANNA, BEN)), CARL))),
        ("Anna | Ben & Carl", Or((ANNA, And((BEN, CARL))))),
        ("Anna & (Ben or Carl)", And((ANNA, Or((BEN, CARL))))),
        ("(Anna & Ben) & Carl", And((And((ANNA, BEN)), CARL))),
        ("!Anna", Not(ANNA)),
        ("not not Anna", Not(Not(ANNA))),
        ("!(Anna|Ben)", Not(Or((ANNA, BEN)))),
        ("! Anna & Ben", And((Not(ANNA), BEN))),
        ("7", ClusterNumber(7)),
        ("c7", ClusterNumber(7)),
        ("C 7", ClusterNumber(7)),
        ("cluster 12", ClusterNumber(12)),
        ("7a", Name("7a")),
        ('"7"', Name("7")),
        ("* & ?", And((Anybody(), Unnamed()))),
        ("Anybody", Anybody()),
        ("unnamed", Unnamed()),
        ("nobody", Not(Anybody())),
        ("'nobody'", Name("nobody")),
        ("Nobody Special", Name("Nobody Special")),
        ("Or & And", And((Name("Or"), Name("And")))),
        ("'or'", Name("or")),
        ("O'Brien & P!nk & Anne-Marie", And((Name("O'Brien"), Name("P!nk"), Name("Anne-Marie")))),
        ('"Smith & Son"', Name("Smith & Son")),
        (r'"a \"b\" \\ c"', Name(r'a "b" \ c')),
        ("'Anna'&\"Ben\"", And((ANNA, BEN))),
        ("Иван и Мария", Name("Иван и Мария")),
    ],
)
def test_parse(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The query is empty."),
        (" \t", "The query is empty."),
        ("Anna &", "The query lacks a name after `&` at character 6."),
        ("Anna & and Ben", "The query lacks a name after `&` at character 6."),
        ("| Anna", "The query lacks a name before `|` at character 1."),
        ("not", "The query lacks a name after `not` at character 1."),
        ("()", "The query lacks a name after `(` at character 1."),
        ("(Anna & Ben", "The `(` at character 1 of the query is not closed."),
        ("Anna & (Ben | (Carl)", "The `(` at character 8 of the query is not closed."),
        ("Anna)", "The query has `)` at character 5 without a `(` before it."),
        ("Anna !Ben", "The query lacks an operator before `!` at character 6."),
        ("Anna not Ben", "The query lacks an operator before `not` at character 6."),
        ("Anna (Ben)", "The query lacks an operator before `(` at character 6."),
        ("Anna 'Ben'", "The query lacks an operator before `'Ben'` at character 6."),
        ("(Anna 'Ben')", "The query lacks an operator before `'Ben'` at character 7."),
        ("Anna & 'Ben", "The quote ' at character 8 of the query is not closed."),
        (r'"Anna\"', 'The quote " at character 1 of the query is not closed.'),
        ("Anna & ' '", "The name in quotes at character 8 of the query is empty."),
        ("Anna & -Ben", "'-Ben' at character 8 of the query is no name."),
        ("Anna & f12", "'f12' at character 8 of the query is one face."),
        ("(" * 1000 + "Anna", "The query has more than 50 parentheses or `!` inside one another."),
        ("!" * 1000 + "Anna", "The query has more than 50 parentheses or `!` inside one another."),
    ],
)
def test_errors_have_the_place(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert raised.value.problem == message
    assert raised.value.remedy


# Names as people write them, and any text.
names = st.one_of(
    st.sampled_from(["Anna", "Anna Maria", "or", "nobody", "c7", "12", "f3", "-x", "a & b", "'", "\\", "*"]),
    st.text(min_size=1, max_size=8).filter(str.strip),
)
leaf_queries = st.one_of(
    names.map(Name),
    st.integers(0, 10**6).map(ClusterNumber),
    st.just(Anybody()),
    st.just(Unnamed()),
)


def _compound(children: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    several = st.lists(children, min_size=2, max_size=4).map(tuple)
    return st.one_of(children.map(Not), several.map(And), several.map(Or))


queries: st.SearchStrategy[Query] = st.recursive(leaf_queries, _compound, max_leaves=12)


@settings(deadline=None)
@given(queries)
def test_printed_queries_parse_to_the_same(query: Query) -> None:
    assert parse(str(query)) == query


@given(st.text(alphabet="ab &|!(),+'\"\\-*?c7or", max_size=30))
def test_any_text_is_a_query_or_an_error(text: str) -> None:
    try:
        query = parse(text)
    except UsageError as error:
        assert error.remedy
    else:
        assert parse(str(query)) == query


def _holds(query: Query, true: Mapping[str, bool]) -> bool:
    """The plain meaning of a query whose leaves are names."""
    if isinstance(query, Name):
        return true[query.name]
    if isinstance(query, Not):
        return not _holds(query.term, true)
    assert isinstance(query, (And, Or))
    every = [_holds(term, true) for term in query.terms]
    return all(every) if isinstance(query, And) else any(every)


@given(st.recursive(st.sampled_from("abc"), lambda inner: st.one_of(
    inner.map(lambda term: f"not ({term})"),
    st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) and ({pair[1]})"),
    st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) or ({pair[1]})"),
), max_leaves=8), st.tuples(st.booleans(), st.booleans(), st.booleans()))  # fmt: skip
def test_the_words_mean_what_they_mean_in_python(text: str, values: tuple[bool, bool, bool]) -> None:
    true = dict(zip("abc", values, strict=True))
    assert _holds(parse(text), true) == bool(eval(text, {}, dict(true)))


@pytest.mark.parametrize(
    "text", ["a or b and not c", "not a and b or c", "not a or not b and c", "a and b or c and a"]
)
def test_precedence_is_that_of_python(text: str) -> None:
    for bits in range(8):
        true = {name: bool(bits >> i & 1) for i, name in enumerate("abc")}
        assert _holds(parse(text), true) == bool(eval(text, {}, dict(true)))


def test_leaves_are_negated_inside_an_odd_number_of_nots() -> None:
    found = list(leaves(parse("Anna & !(Ben | !Carl)")))
    assert found == [(ANNA, False), (BEN, True), (CARL, False)]
