"""The methods of `FaceIndex` that run photos through the models and store nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, overload

from faceindex.pipeline import Event, ignore_event

if TYPE_CHECKING:
    from faceindex.api.queries import Queries
    from faceindex.api.results import Identification
    from faceindex.images.inputs import PhotoInput
    from faceindex.types import Faces

__all__ = ["Identifying"]


class Identifying(ABC):
    """Base of `FaceIndex`: queries with photos."""

    @overload
    def identify(  # type: ignore[overload-overlap]  # a str is a path, not an iterable
        self,
        photo: PhotoInput,
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
    ) -> Identification: ...

    @overload
    def identify(
        self,
        photo: Iterable[PhotoInput],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
    ) -> list[Identification]: ...

    def identify(
        self,
        photo: PhotoInput | Iterable[PhotoInput],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
    ) -> Identification | list[Identification]:
        """Identify the people on a photo, which need not be in the index.

        Parameters
        ----------
        photo : path-like, bytes, (h, w, 3) uint8 array, PIL image, or iterable of these
            Arrays are RGB and upright. Photos of an iterable are processed in batches, as by `add`.
        neighbours : int
            Number of most similar faces to return for each face.
        threshold : float, optional
            Name the best person from this similarity on, instead of by the probability.
        max_false_alarms : float, optional
            Share of strangers that may be named, whatever the size of the index; None means 0.01.

        Returns
        -------
        Identification or list of Identification
            Without faces if none was found. If `cluster` has not run, `nearest_cluster` is None and the
            most similar faces are returned. A photo of an iterable that cannot be read has its `error` set.

        Raises `ImageError` if a single photo cannot be read, and `UsageError` if it is none of these types.
        """
        from faceindex.api.queries import IdentifyOptions

        options = IdentifyOptions(neighbours, threshold, max_false_alarms)
        return self._get_queries().identify(photo, options)

    def identify_many(
        self,
        photos: Iterable[PhotoInput],
        *,
        neighbours: int = 5,
        threshold: float | None = None,
        max_false_alarms: float | None = None,
        on_event: Callable[[Event], None] = ignore_event,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Identification, None, None]:
        """Identify any number of photos: yield the answers in the order of the photos, each once it is ready.

        Photos are taken from the iterable as they are needed, and memory is bounded by a few batches. Unlike
        `identify`, it calls `on_event` with `Loading` and `Loaded` if the models must be loaded, and
        `should_stop` between photos: once that returns True, only the photos in work are still answered.
        """
        from faceindex.api.queries import IdentifyOptions

        options = IdentifyOptions(neighbours, threshold, max_false_alarms)
        return self._get_queries().identify_many(photos, options, on_event, should_stop)

    def embed(self, photo: PhotoInput) -> Faces:
        """Detect and embed the faces on one photo, of any type that `identify` takes; stores nothing."""
        return self._get_queries().recogniser().embed(photo)

    @abstractmethod
    def _get_queries(self) -> Queries: ...
