"""The error tree: exit codes, messages, and the reasons stored in catalogs."""

from __future__ import annotations

import pytest

from faceindex import errors
from faceindex.errors import (
    EmptyResultError,
    FaceIndexError,
    ImageError,
    NoFaceFound,
    Reason,
    UnknownModel,
    UsageError,
)


def tree(base: type[FaceIndexError] = FaceIndexError) -> list[type[FaceIndexError]]:
    own = [cls for cls in base.__subclasses__() if cls.__module__ == errors.__name__]
    return [base, *(found for cls in own for found in tree(cls))]


def test_all_and_the_docstrings_tree_list_every_error() -> None:
    names = {cls.__name__ for cls in tree()}
    assert names | {"Reason"} == set(errors.__all__)
    assert errors.__doc__ is not None
    drawn = {line.split("── ")[1].split()[0] for line in errors.__doc__.splitlines() if "── " in line}
    assert drawn | {"FaceIndexError"} == names


def test_the_exit_code_is_1_only_for_partial_and_empty_results() -> None:
    partial = {cls for cls in tree() if cls.exit_code == 1}
    assert partial == {cls for cls in tree() if issubclass(cls, ImageError | EmptyResultError)}
    assert {cls.exit_code for cls in tree()} == {1, 2}


def test_the_message_is_problem_and_remedy() -> None:
    error = NoFaceFound("No face on a.jpg.", "Try another photo.")
    assert (error.problem, error.remedy) == ("No face on a.jpg.", "Try another photo.")
    assert str(error) == "No face on a.jpg. Try another photo."
    assert str(UsageError("Wrong.", "")) == "Wrong."


def test_an_image_error_has_the_path_and_reason() -> None:
    error = ImageError("a/b.jpg", Reason.EMPTY, "The file is empty.", "Copy it again.")
    assert (error.path, error.reason, error.detail) == ("a/b.jpg", Reason.EMPTY, "The file is empty.")
    assert error.problem == "a/b.jpg: The file is empty."
    assert str(error) == "a/b.jpg: The file is empty. Copy it again."


@pytest.mark.parametrize(("ours", "builtin"), [(UsageError, ValueError), (UnknownModel, LookupError)])
def test_errors_are_also_pythons_own(ours: type[FaceIndexError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match=r"^Wrong\. Correct it\.$"):
        raise ours("Wrong.", "Correct it.")


def test_reasons_keep_the_values_stored_in_catalogs() -> None:
    assert {reason.name: reason.value for reason in Reason}.items() >= {
        "MISSING": "missing",
        "DENIED": "permission denied",
        "EMPTY": "empty file",
        "NOT_AN_IMAGE": "not an image",
        "UNSUPPORTED": "unsupported format",
        "TRUNCATED": "truncated",
        "CORRUPT": "corrupt",
        "TOO_LARGE": "too many pixels",
        "IO_ERROR": "input/output error",
        "MEMORY": "needs too much memory",
        "TOO_SLOW": "takes too long",
        "ENDED_RUN": "ended the run",
    }.items()
