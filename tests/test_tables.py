from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from faceindex.tables import restored, safe_cell, table_writer

FORMULAS = [
    *("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1"),
    *("'=1", "''-x", "-", "-1-", "+49 170"),
]
PLAIN = ["", "Anna", "'s-Gravesande", "'", "a=b", "-5", "-0.25", "+1e-7", "-.5", "5-", " =1", "Ωμέγα", "'5"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_an_apostrophe_which_can_be_taken_away(text: str) -> None:
    assert safe_cell(text) == "'" + text
    assert restored(safe_cell(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_names_and_numbers_stay(text: str) -> None:
    assert safe_cell(text) == text
    assert restored(text) == text


def test_every_text_is_read_back_by_python(tmp_path: Path) -> None:
    letters = np.array(list("'=-+@\t\r\n\",; a5.\udcff\u202e\x1b"))
    rng = np.random.default_rng(0)
    rows = [["".join(rng.choice(letters, rng.integers(0, 6))) for _ in range(3)] for _ in range(2000)]
    path = tmp_path / "table.csv"
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = table_writer(file)
        for row in rows:
            writer.writerow([safe_cell(text) for text in row])
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        found = list(csv.reader(file))
    assert [[restored(cell) for cell in row] for row in found] == rows
    for cell in (cell for row in found for cell in row):
        assert cell[:1] not in tuple("=+-@\t\r\n") or float(cell) is not None  # a number


def test_rows_end_with_a_newline_alone() -> None:
    text = io.StringIO()
    table_writer(text).writerows([("a", 1), ("b\r\n", 2), ("", "")])
    assert text.getvalue() == 'a,1\n"b\r\n",2\n,\n'
