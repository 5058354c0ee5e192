from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def test_each_promise_names_a_test_that_exists() -> None:
    text = (REPOSITORY / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    promises = [row for row in rows if "| promise |" not in row]
    assert len(promises) > 10
    for row in promises:
        assert "`tests/" in row, row
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > len(promises)
    for path, test in named:
        content = (REPOSITORY / path).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in content, (path, test)
