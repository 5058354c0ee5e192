from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceindex.engine import Place
from faceindex.engine.session import joined


@pytest.fixture(scope="session")
def ray_folder() -> Iterator[Path]:
    """Start Ray for the tests of this process; the folder of its sockets and logs."""
    tests = Path(__file__).parents[1]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tests), str(tests.parent), before]))
    with joined(Place(None), 2):
        import ray  # now, and not before

        yield Path(ray.nodes()[0]["RayletSocketName"]).parents[3]
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
