from __future__ import annotations

import io
import json
import math
import sys

import pytest

from faceindex.cli.render import Output, columns, count, duration, finite, size, width_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make both streams terminals; return standard error."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", stderr := Terminal())
    return stderr


def test_columns_are_aligned_without_trailing_blanks() -> None:
    lines = columns([("a", "1", "x"), ("bcd", "100", "")], header=("name", "n", "about"), right=[1], indent=1)
    assert lines == [" name    n  about", " a       1  x", " bcd   100"]
    assert columns([]) == []


def test_the_last_column_is_wrapped_at_a_width() -> None:
    rows = [("name", "one two three four five six"), ("x", "run `a b c d` or put it into /a/very/long/path")]
    assert columns(rows, width=26) == [
        "name  one two three four",
        "      five six",
        "x     run `a b c d` or put",
        "      it into",
        "      /a/very/long/path",
    ]
    assert len(columns(rows)) == 2
    commands = columns([("run `one two three four` now",)], width=23)
    assert commands == ["run", "`one two three four`", "now"]


def test_messages_are_wrapped_on_terminals_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    words = "word " * 10
    Output().error(words, "Do.")
    Output().paragraph(words.strip(), indent=2)
    assert capsys.readouterr() == (f"  {words.strip()}\n", f"error: {words}Do.\n")
    stderr = on_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    Output().error(words, "Do.")
    assert stderr.getvalue() == "error: word word word word\nword word word word word word\nDo.\n"
    Output().paragraph(words.strip(), indent=2, hang=4)
    assert isinstance(sys.stdout, Terminal)
    assert sys.stdout.getvalue() == "  word word word word word\n    word word word word word\n"


def test_wide_letters_take_two_cells() -> None:
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    assert width_of("\x1b[1;31merror:\x1b[0m") == 6
    assert columns([("日本", "x"), ("abcd", "y")]) == ["日本  x", "abcd  y"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (2_500_000_000, "2.5 GB")],
)
def test_size(number: int, text: str) -> None:
    assert size(number) == text


def test_count_has_a_singular_and_a_plural() -> None:
    assert [count(n, "face") for n in (0, 1, 1200)] == ["0 faces", "1 face", "1,200 faces"]


def test_finite() -> None:
    assert [finite(value) for value in (None, math.nan, math.inf, 0.5)] == [None, None, None, 0.5]


def test_terminals_get_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = on_terminal(monkeypatch)
    out = Output()
    out.error("Bad.", "Do.")
    assert stderr.getvalue() == "\x1b[1;31merror:\x1b[0m Bad. Do.\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert out.styled("x", "bold") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert out.styled("x", "bold") == "x"


def test_other_streams_get_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.warning("Careful.")
    out.answer(out.styled("x", "bold"))
    assert capsys.readouterr() == ("x\n", "warning: Careful.\n")


def test_quiet_keeps_answers_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(quiet=True, verbose=True)
    out.note("note")
    out.warning("warning")
    out.detail("detail")
    out.answer("answer")
    out.error("Bad.")
    assert capsys.readouterr() == ("answer\n", "error: Bad.\n")


def test_hints_need_two_terminals_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = on_terminal(monkeypatch)
    Output().hint("Next")
    assert "Next" in stderr.getvalue()
    Output(json=True).hint("Other")
    Output(quiet=True).hint("Other")
    assert "Other" not in stderr.getvalue()


def test_with_json_the_document_is_the_only_answer(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.answer("text")
    out.document("faceindex/test/1", name="caf\udce9", number=None)
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {"schema": "faceindex/test/1", "name": "caf\udce9", "number": None}


@pytest.mark.parametrize("items", [[], [{"a": 1}], [{"a": 1}, {"a": 2}]])
def test_long_arrays_are_valid_json(items: list[dict[str, int]], capsys: pytest.CaptureFixture[str]) -> None:
    assert Output(json=True).array("faceindex/test/1", "things", iter(items)) == len(items)
    assert json.loads(capsys.readouterr().out) == {"schema": "faceindex/test/1", "things": items}
