from __future__ import annotations

import json

import pytest

from faceindex.cli.errors import session
from faceindex.errors import ImageError, IndexLocked, Reason


def code_of(error: BaseException, **flags: bool) -> int:
    given = {"json": False, "quiet": False, "verbose": False, "debug": False, **flags}
    with pytest.raises(SystemExit) as raised, session(**given):
        raise error
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_our_errors_are_one_line_with_their_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(IndexLocked("It is\nlocked.", "Wait.")) == 2
    assert capsys.readouterr() == ("", "error: It is locked. Wait.\n")
    assert code_of(ImageError("a.jpg", Reason.EMPTY, "the file is empty.", "Leave it out.")) == 1


def test_surprises_name_their_type_and_point_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(ZeroDivisionError("by zero")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" in err


def test_the_operating_system_speaks_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(OSError(28, "No space left on device")) == 2
    assert capsys.readouterr().err.startswith("error: No space left on device. ")
    code_of(PermissionError(13, "Permission denied", "a/b"))
    assert capsys.readouterr().err.startswith("error: Permission denied: a/b. ")


def test_a_traceback_only_under_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(ZeroDivisionError("by zero"), debug=True) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_json_has_a_document_for_errors(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(IndexLocked("It is locked.", "Wait."), json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": "faceindex/error/1",
        "type": "IndexLocked",
        "problem": "It is locked.",
        "remedy": "Wait.",
        "exit_code": 2,
    }
    assert err == "error: It is locked. Wait.\n"


def test_json_stays_one_document_when_an_error_comes_late(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(SystemExit),
        session(json=True, quiet=False, verbose=False, debug=False) as out,
    ):
        out.document("faceindex/test/1")
        raise IndexLocked("It is locked.", "Wait.")
    assert json.loads(capsys.readouterr().out) == {"schema": "faceindex/test/1"}


def test_ctrl_c_is_130_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "error: Interrupted.\n"


def test_the_code_of_the_output_is_the_code() -> None:
    with (
        pytest.raises(SystemExit) as raised,
        session(json=False, quiet=False, verbose=False, debug=False) as out,
    ):
        out.exit_code = 1
    assert raised.value.code == 1


def test_a_reader_that_leaves_is_silent(start) -> None:
    many = "import faceindex.cli.models as m; m.TITLES = m.TITLES * 20000"
    process = start("models", before=many)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1
