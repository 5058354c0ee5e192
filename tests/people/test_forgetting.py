"""Names in the commands of other decisions."""

from __future__ import annotations

import shlex

from faceindex.people.forgetting import FORGOTTEN, _words


def test_a_name_with_quotes_is_found_in_a_command() -> None:
    name = 'Ann \'O"Neil"'
    words = _words({name})
    assert words is not None
    command = f"people note Ben {shlex.quote(f'sister of {name}, aunt of {name}')}"
    assert words.sub(FORGOTTEN, command) == f"people note Ben 'sister of {FORGOTTEN}, aunt of {FORGOTTEN}'"
    assert words.sub(FORGOTTEN, f"people name 3 {shlex.quote('Annie')}") == "people name 3 Annie"
