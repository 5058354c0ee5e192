"""Where `FaceIndex.add` recognises photos: in this process, or on an engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.engine import Place, check_installed, parse
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.pipeline.remote import RemoteRecognition
    from faceindex.store import Pins

__all__ = ["check_place", "recognition_on"]


_DEVICES = ("auto", "cpu", "cuda", "mps")


def check_place(on: str | None, actors: int | None, device: str = "auto") -> Place | None:
    """Check where to recognise photos; imports and starts nothing.

    Parameters
    ----------
    on, actors
        As in `faceindex.FaceIndex.add`.
    device : str
        Of the workers: this process need not have it.

    Returns
    -------
    Place or None
        None means this process.

    Raises
    ------
    UsageError
        If there is no such place or device, or there are too few `actors`.
    EngineError
        If Ray is not installed.
    """
    if on is None:
        if actors is not None:
            raise UsageError("`actors` are of no use without `on`.", "Pass `on=ray` too.")
        return None
    place = parse(on)
    if actors is not None and actors < 1:
        raise UsageError(f"`actors` is {actors}.", "Choose 1 or more.")
    if device not in _DEVICES:
        if device.startswith("cuda:"):
            raise UsageError(
                f"`device` is {device!r}, and Ray gives each worker a GPU of its own.",
                "Pass `device='cuda'`, and as many `actors` as there are GPUs to use.",
            )
        raise UsageError(f"There is no device '{device}'.", f"Choose one of {', '.join(_DEVICES)}.")
    check_installed()
    return place


@contextlib.contextmanager
def recognition_on(
    on: str | None, actors: int | None, pins: Pins, directory: Path, device: str
) -> Iterator[RemoteRecognition | None]:
    """Recognise photos on an engine inside the ``with``; None for this process. Raises as `check_place`.

    The engine starts with the first photo, and ends with the ``with``.
    """
    place = check_place(on, actors, device)
    if place is None:
        yield None
        return
    from faceindex.api.pins import pinned_min_face, pinned_specs
    from faceindex.engine.pool import RayEngine
    from faceindex.images.limits import decode_limit
    from faceindex.pipeline.remote import RemoteRecognition, WorkerPlan

    detector, embedder = pinned_specs(pins, directory)
    with RayEngine(place, actors, device) as engine:
        plan = WorkerPlan(
            detector, embedder, pinned_min_face(pins), device, dict(pins.settings), decode_limit()
        )
        yield RemoteRecognition(engine, plan, lambda: engine.on_gpu)
