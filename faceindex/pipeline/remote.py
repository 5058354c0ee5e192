"""Recognise photos in the processes of an engine, as on Ray; this process plans, and commits the results.

The bytes of photos do not travel: a worker opens them at the paths that they have here. Members of archives
too. Videos come back as such, and `faceindex.pipeline.run` reads them in this process.

Photos in work are not recorded as suspects (`faceindex.store.suspects`): whatever they do to a process, it is
not this one. A photo of which workers die is set aside, with the reason of those that end a run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, TypeAlias

from faceindex import images, models, paths
from faceindex.addresses import is_address
from faceindex.cores import cores
from faceindex.embed import prepare
from faceindex.engine import Engine, Lost
from faceindex.engine.facts import Facts
from faceindex.errors import EngineError, ImageError, Reason
from faceindex.images import Picture, containers
from faceindex.images.limits import BASE_BYTES, LEAST_DECODE, available_memory, limit_memory
from faceindex.images.opening import open_photo
from faceindex.models import DetectorSpec, EmbedderSpec
from faceindex.pipeline.batches import BATCH_PHOTOS, GPU_BATCH_PHOTOS, Outcome, recognise_in_batches
from faceindex.pipeline.events import Event, Loaded, Loading, Warned
from faceindex.pipeline.plan import Task
from faceindex.recognition import Recogniser
from faceindex.types import Faces

__all__ = ["Answer", "PhotoWorker", "RemoteRecognition", "WorkerPlan", "facts_of"]

_DECODERS = {"raw": "rawpy", "jxl": "pillow_jxl"}
"""The extras that decide which photos can be read, and the modules that they install."""

_Item: TypeAlias = "tuple[int, str]"  # the number of a task, and the path of its photo

_MANY = 1 << 20  # chips that a worker is likely to see

_UNREAD = frozenset({Reason.MISSING, Reason.DENIED, Reason.IO_ERROR})
# Credentials or a package are missing there. All else may have passed by now: the next run tries it again.
_UNREAD_IN_STORE = frozenset({Reason.DENIED, Reason.UNSUPPORTED})


def facts_of(detector: DetectorSpec, embedder: EmbedderSpec) -> Facts:
    """Collect what must be the same for a photo. Raises `WeightsNotFound` or `WeightsInvalid`."""
    same = {
        f"the extra '{extra}'": "installed" if find_spec(module) else "not installed"
        for extra, module in _DECODERS.items()
    }
    for weight in (*detector.weights, *embedder.weights):
        same[weight.name] = f"SHA-256 {models.pinned_sha256(weight)}"
    return Facts.of_this_process(same)


@dataclass(frozen=True, slots=True)
class Answer:
    """An `Outcome` that travels: without the source, and with an error as its four parts."""

    content_hash: bytes | None
    picture: Picture | None
    result: Faces | tuple[str, str, str, str]
    width: int
    height: int
    note: str | None
    host: str

    @classmethod
    def of(cls, outcome: Outcome[Any], host: str) -> Answer:
        """Make an answer."""
        result = outcome.result
        return cls(
            outcome.content_hash,
            outcome.picture,
            (result.path, result.reason.value, result.detail, result.remedy)
            if isinstance(result, ImageError)
            else result,
            outcome.width,
            outcome.height,
            outcome.note,
            host,
        )

    def outcome(self, task: Task) -> Outcome[Task]:
        """Return the outcome for a task."""
        found: Faces | ImageError
        if isinstance(self.result, tuple):
            path, reason, problem, remedy = self.result
            found = ImageError(path, Reason(reason), problem, remedy)
        else:
            found = self.result
        return Outcome(task, self.content_hash, self.picture, found, self.width, self.height, self.note)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """All that a worker needs; makes one when called, in the process of the worker.

    Attributes
    ----------
    detector, embedder : Spec
        As this process knows them: models that it registered, and calibrations, need not be known elsewhere.
    min_face : float
    device : str
    settings : mapping
        Values of the options of the models.
    decode_bytes : int
        The most that a worker may decode at a time, as `faceindex.images.limits.decode_limit`; less where the
        machine has less memory for each core.
    """

    detector: DetectorSpec
    embedder: EmbedderSpec
    min_face: float
    device: str
    settings: Mapping[str, object]
    decode_bytes: int

    def __call__(self) -> PhotoWorker:
        """Make the worker; raises as `Recogniser.load`."""
        return PhotoWorker(self)


class PhotoWorker:
    """Recognises photos by their paths; a `faceindex.engine.Worker`."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._facts = facts_of(plan.detector, plan.embedder)
        self._limit: AbstractContextManager[None] = limit_memory(BASE_BYTES + _decode_bytes(plan))
        self._limit.__enter__()  # for as long as the process lives
        for spec in (plan.detector, plan.embedder):
            models.register(spec, replace=True)
        self._recogniser = Recogniser.load(
            plan.detector.name,
            plan.embedder.name,
            min_face=plan.min_face,
            device=plan.device,
            settings=plan.settings,
        )
        # The vectors of a photo are the same whatever this worker had before, or did not live to have.
        prepare(self._recogniser.embedder, _MANY)

    def about(self) -> Facts:
        """Return what is installed here."""
        return self._facts

    def work(self, batch: Sequence[_Item]) -> list[Answer]:
        """Recognise a batch of photos; an error of a photo is its answer."""
        found = recognise_in_batches([_Photo(name) for _, name in batch], self._recogniser, workers=1)
        return [Answer.of(outcome, self._facts.host) for outcomes in found for outcome in outcomes]


def _decode_bytes(plan: WorkerPlan) -> int:
    """Return what a worker may decode at a time, if there is one on each core of its machine."""
    available = available_memory()
    if available is None:
        return plan.decode_bytes
    share = max(available // cores() - BASE_BYTES, plan.decode_bytes // 8, LEAST_DECODE)
    return min(plan.decode_bytes, share)


@dataclass(frozen=True, slots=True)
class _Photo:
    """A photo to read in a worker, a `faceindex.pipeline.load.Source`."""

    name: str
    at_once: ClassVar[bool] = False

    def read(self) -> bytes:
        return images.read(self.name)


class RemoteRecognition:
    """Recognises the photos of a run on an engine.

    Parameters
    ----------
    engine : Engine
        Started when the first photo is to be recognised.
    plan : WorkerPlan
    on_gpu : callable
        Returns whether the workers have GPUs, for larger batches; called once the engine has started.
    """

    def __init__(self, engine: Engine, plan: WorkerPlan, on_gpu: Callable[[], bool] = lambda: False) -> None:
        self._engine = engine
        self._plan = plan
        self._on_gpu = on_gpu
        self._facts: Facts | None = None
        self._is_loaded = False

    def recognise(
        self,
        tasks: Sequence[Task],
        *,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> Generator[list[Outcome[Task]], None, None]:
        """Recognise photos in the order and by the batches of `recognise_in_batches`.

        Raises
        ------
        EngineError
            If the engine or its workers cannot be used, or a worker on another machine cannot read a photo
            that this process can read.
        FaceIndexError
            For an error that is not about one photo, such as `BrokenModel`.
        """
        if not self._is_loaded:
            on_event(Loading())
        facts = self._facts = self._facts or facts_of(self._plan.detector, self._plan.embedder)
        workers = self._engine.start()
        most = GPU_BATCH_PHOTOS if self._on_gpu() else max(1, min(BATCH_PHOTOS, -(-len(tasks) // workers)))

        def check(found: object) -> None:
            facts.check(found)
            if not self._is_loaded:
                self._is_loaded = True
                on_event(Loaded())

        for answers in self._engine.map(
            self._plan,
            _batches(tasks, most),
            check=check,
            should_stop=should_stop,
            warn=lambda message: on_event(Warned(message)),
        ):
            yield [self._outcome(tasks[number], answer, facts) for (number, _), answer in answers]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    @staticmethod
    def _outcome(task: Task, answer: Answer | Lost, facts: Facts) -> Outcome[Task]:
        if isinstance(answer, Lost):
            return Outcome(task, None, None, _ended_workers(task.name, answer.deaths))
        outcome = answer.outcome(task)
        error = outcome.result
        if isinstance(error, ImageError) and _is_only_there_unread(
            task.name, error, answer.host != facts.host
        ):
            raise EngineError(
                f"A worker on {answer.host} cannot read {task.name} ({error.reason.value}), but this "
                f"machine ({facts.host}) can.",
                "Install the same packages and give the same credentials on all machines, before Ray starts."
                if is_address(task.name)
                else "Mount the folder on all machines, at the same path and readable for the user that runs "
                "Ray.",
            )
        return outcome


def _batches(tasks: Sequence[Task], most: int) -> Iterator[list[_Item]]:
    for start in range(0, len(tasks), most):
        yield [(start + i, task.name) for i, task in enumerate(tasks[start : start + most])]


def _ended_workers(path: str, deaths: int) -> ImageError:
    return ImageError(
        path,
        Reason.ENDED_RUN,
        f"it ended its worker: {deaths} died while they worked on it, the last two on it alone.",
        "Make a smaller copy, or leave it out; `retry_failed=True` tries it again.",
    )


def _is_only_there_unread(path: str, error: ImageError, is_other_host: bool) -> bool:
    """Return whether a worker cannot read a photo that this process can read.

    Workers on the same machine have the same files; but their credentials are those with which Ray started.
    """
    if is_address(path):
        return error.reason in _UNREAD_IN_STORE and _is_readable(path)
    return error.reason in _UNREAD and is_other_host and _is_readable(path)


def _is_readable(path: str) -> bool:
    """Return whether this process can read a photo, or its container."""
    if is_address(path):
        try:
            with open_photo(path) as file:
                return bool(file.read(1))
        except (ImageError, OSError):
            return False
    inside = containers.locate(path)
    try:
        with paths.open_for_reading(path if inside is None else inside.container) as file:
            file.read(1)
    except OSError:
        return False
    return True
