from __future__ import annotations

import os
from pathlib import Path

import pytest

from faceindex.addresses import (
    absolute_path,
    as_path,
    is_address,
    normal_path,
    real_path,
    secret_in,
    split_address,
    without_secrets,
)


@pytest.mark.parametrize("text", ["s3://bucket", "S3://bucket/a", "memory:///a", "https://host/a.jpg"])
def test_addresses(text: str) -> None:
    assert is_address(text)
    assert real_path(text) == absolute_path(text) == normal_path(text) == str(as_path(normal_path(text)))


@pytest.mark.parametrize(
    "text", ["", "/a/s3://b", "C:\\a", "C:/a", "s3:/bucket", "a.jpg", "s3://", "./s3://b"]
)
def test_paths(text: str) -> None:
    assert not is_address(text)
    assert normal_path(text) == os.path.normpath(text)
    assert real_path(text) == os.path.realpath(text)
    assert as_path(text) == Path(text)


def test_one_form() -> None:
    assert normal_path("S3://Bucket/a/") == "s3://Bucket/a"
    assert normal_path("memory:///a/b") == "memory://a/b"
    assert split_address("s3://bucket/a/b.jpg") == ("s3://bucket", "a/b.jpg")
    assert split_address("s3://bucket/") == ("s3://bucket", "")


def test_a_path_keeps_the_text_of_an_address() -> None:
    path = as_path("s3://bucket/photos")
    photo = path / "1987/a.jpg"
    assert (str(photo), os.fspath(photo)) == ("s3://bucket/photos/1987/a.jpg",) * 2
    assert str(photo.parent) == "s3://bucket/photos/1987"
    assert str(photo.with_suffix(".png")) == "s3://bucket/photos/1987/a.png"
    assert photo.is_relative_to(path)
    assert photo.relative_to(path).as_posix().endswith("1987/a.jpg")
    assert not photo.is_relative_to(as_path("s3://bucket/photo"))
    assert (photo.suffix, photo.name, photo.is_absolute()) == (".jpg", "a.jpg", True)
    assert photo == as_path("s3://bucket/photos/1987/a.jpg")
    assert len({photo, as_path("s3://bucket/photos/1987/a.jpg")}) == 1


@pytest.mark.parametrize(
    "address",
    ["https://host/a.jpg", "s3://bucket/a?b.jpg", "https://host/a.jpg?width=100&page=2", "sftp://me@host/a"],
)
def test_without_a_secret(address: str) -> None:
    assert not secret_in(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://me@host/a.jpg",
        "sftp://me:word@host/a",
        "https://host/a?x-AMZ-signature=1",
        "https://host/a?X%2DAmz%2DSignature=1",
        "https://host/a;b?c=1;token=2",
        "https://host/a?sp=r&sr=b",
        "https://host/a#code=1",
        "https://host/a?Key-Pair-Id=1",
        "https://host/a?f=0123456789abcdef0123456789abcdef",
    ],
)
def test_with_a_secret(address: str) -> None:
    assert secret_in(address)


def test_texts_without_secrets() -> None:
    text = without_secrets("GET 'https://me:word@host/a.jpg?sig=word' of https://host/b#word failed")
    assert text == "GET 'https://host/a.jpg?...' of https://host/b?... failed"
