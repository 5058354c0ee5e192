from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest
from review_client import Browser, serving


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clustered index of three people with four photos each; copy it before it is changed."""
    with fakes.clustered_album(tmp_path_factory.mktemp("review"), people=3, photos=4) as index:
        yield index


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A copy of the index, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "index"))


@pytest.fixture
def browser(directory: Path) -> Iterator[Browser]:
    """A browser with the page of a server of its own."""
    with serving(directory) as review:
        browser = Browser(review.address)
        yield browser
        browser.close()
