from __future__ import annotations

import json

import pytest

from faceindex.cli.errors import session
from faceindex.errors import ImageError, IndexLocked, Reason, UsageError


def code_of(error: BaseException, **flags: bool) -> int:
    given = {"json": False, "quiet": False, "verbose": False, "debug": False, **flags}
    with pytest.raises(SystemExit) as raised, session(**given):
        raise error
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_errors_of_faceindex_are_one_line_with_their_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(IndexLocked("It is\nlocked.", "Wait.")) == 2
    assert capsys.readouterr() == ("", "error: It is locked. Wait.\n")
    assert code_of(ImageError("a.jpg", Reason.EMPTY, "the file is empty.", "Leave it out.")) == 1


def test_parameters_are_printed_as_flags(capsys: pytest.CaptureFixture[str]) -> None:
    error = UsageError("`min_size` is 0.", "Leave out `k`, or pass `algorithm='kmeans'`.")
    code_of(error, json=True)
    out, err = capsys.readouterr()
    assert err == "error: --min-size is 0. Leave out --k, or pass --algorithm kmeans.\n"
    document = json.loads(out)
    assert document["problem"] == "--min-size is 0."
    assert document["remedy"] == "Leave out --k, or pass --algorithm kmeans."


def test_unexpected_errors_name_their_type_and_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(ZeroDivisionError("by zero")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" in err


def test_errors_of_the_system_keep_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(OSError(28, "No space left on device")) == 2
    assert capsys.readouterr().err.startswith("error: No space left on device. ")
    code_of(PermissionError(13, "Permission denied", "a/b"))
    assert capsys.readouterr().err.startswith("error: Permission denied: a/b. ")


def test_a_traceback_is_printed_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(ZeroDivisionError("by zero"), debug=True) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_errors_with_json_are_a_document(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_json_is_one_document_if_an_error_comes_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(SystemExit),
        session(json=True, quiet=False, verbose=False, debug=False) as out,
    ):
        out.document("faceindex/test/1")
        raise IndexLocked("It is locked.", "Wait.")
    assert json.loads(capsys.readouterr().out) == {"schema": "faceindex/test/1"}


def test_ctrl_c_exits_with_130_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "error: Interrupted.\n"


def test_the_exit_code_is_that_of_the_output() -> None:
    with (
        pytest.raises(SystemExit) as raised,
        session(json=False, quiet=False, verbose=False, debug=False) as out,
    ):
        out.exit_code = 1
    assert raised.value.code == 1


def test_a_closed_pipe_prints_nothing(start) -> None:
    many = "import faceindex.cli.models as m; m.TITLES = m.TITLES * 20000"
    process = start("models", before=many)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1
