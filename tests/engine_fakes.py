"""Workers for tests of the engine, importable in its processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fakes import DETECTOR, FakeDetector

from faceindex.engine import Worker
from faceindex.errors import UsageError
from faceindex.types import Detections, Image

__all__ = ["DEADLY", "DeadlyDetector", "Doubler", "MortalStages", "make_failing", "make_unusable"]


@dataclass
class Doubler:
    """Doubles numbers; dies of those in `deadly`, and of those in `once` the first time.

    Each batch takes some `seconds`, and those of `stalled` last until there is a file ``go``.
    """

    folder: str
    deadly: tuple[int, ...] = ()
    once: tuple[int, ...] = ()
    seconds: float = 0.0
    stalled: tuple[int, ...] = ()

    def __call__(self) -> Doubler:
        return self

    def about(self) -> object:
        return os.getpid()

    def work(self, batch: Sequence[int]) -> list[tuple[int, int]]:
        with Path(self.folder, "calls").open("a", encoding="ascii") as calls:
            calls.write(" ".join(map(str, batch)) + "\n")
        time.sleep(self.seconds)
        while not {*batch}.isdisjoint(self.stalled) and not Path(self.folder, "go").exists():
            time.sleep(0.05)
        for number in batch:
            mark = Path(self.folder, f"died-{number}")
            if number in self.deadly or (number in self.once and not mark.exists()):
                with mark.open("a", encoding="ascii") as deaths:
                    deaths.write("+")
                os.kill(os.getpid(), signal.SIGKILL)
        return [(2 * number, os.getpid()) for number in batch]


@dataclass
class MortalStages:
    """Makes workers for stages, of which one dies in each stage: before its shard, or once it is written."""

    make: Callable[[], Worker]
    folder: str

    def __call__(self) -> MortalStages:
        self.worker = self.make()
        return self

    def about(self) -> object:
        return self.worker.about()

    def work(self, batch: Sequence[Any]) -> list[Any]:
        number = batch[0].number
        mark = Path(self.folder, f"died-{number}")
        dies = not mark.exists()
        mark.touch()
        if dies and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        results = self.worker.work(batch)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return results


class _Failing:
    def about(self) -> object:
        return None

    def work(self, batch: Sequence[int]) -> list[int]:
        raise UsageError(f"There is no {batch[0]}.", "Choose another.")


def make_failing() -> _Failing:
    return _Failing()


def make_unusable() -> _Failing:
    raise ValueError("no weights")


class DeadlyDetector(FakeDetector):
    """As the fake detector; ends its process by a photo of 97 pixels' width."""

    def detect_one(self, image: Image) -> Detections:
        if image.shape[1] == 97:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect_one(image)


DEADLY = replace(DETECTOR, name="deadly", target="engine_fakes:DeadlyDetector")
