"""Queries with photos: identify, embed, crop."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from faceindex import images, models
from faceindex.addresses import is_address
from faceindex.api.matcher import Matcher, QueryPhoto
from faceindex.api.pins import load_recogniser
from faceindex.api.reader import Reader, find_faces
from faceindex.api.results import Face, Identification
from faceindex.errors import ImageError, UsageError
from faceindex.images.inputs import input_name, is_one_photo
from faceindex.images.opening import is_stream
from faceindex.pipeline.batches import recognise_each, recognise_in_batches
from faceindex.pipeline.events import Event, Loaded, Loading, ignore_event
from faceindex.store.photos import PhotoNames
from faceindex.types import Faces, Image

if TYPE_CHECKING:
    from faceindex.images import Picture
    from faceindex.images.inputs import PhotoInput
    from faceindex.recognition import Recogniser

__all__ = ["MOST_FALSE_ALARMS", "IdentifyOptions", "Queries", "crop_face"]

MOST_FALSE_ALARMS = 0.5
"""The greatest share of strangers that may be named."""


@dataclass(frozen=True, slots=True)
class IdentifyOptions:
    """How faces are identified.

    Attributes
    ----------
    neighbours, threshold, max_false_alarms
        As in `faceindex.FaceIndex.identify`.

    Raises
    ------
    UsageError
        If one is out of range, or both a threshold and a rate of false alarms are given.
    """

    neighbours: int = 5
    threshold: float | None = None
    max_false_alarms: float | None = None

    def __post_init__(self) -> None:
        if self.neighbours < 0:
            raise UsageError(f"`neighbours` is {self.neighbours}.", "Choose 0 or more.")
        rate = self.max_false_alarms
        if rate is None:
            return
        if not 0 < rate <= MOST_FALSE_ALARMS:
            raise UsageError(
                f"`max_false_alarms` is {rate:g}.",
                f"Choose more than 0 and at most {MOST_FALSE_ALARMS:g}; 0.01 is one stranger in a hundred.",
            )
        if self.threshold is not None:
            raise UsageError(
                "`threshold` and `max_false_alarms` are two ways to choose who is named.",
                "Choose one of them.",
            )


@dataclass(frozen=True, slots=True)
class _Query:
    """A photo to identify, a `faceindex.pipeline.load.Source`."""

    photo: PhotoInput
    name: str

    @classmethod
    def of(cls, photo: PhotoInput) -> _Query:
        return cls(photo, input_name(photo))

    @property
    def at_once(self) -> bool:
        # A stream may take any time: Ctrl-C reaches only the thread that iterates.
        if isinstance(self.photo, (str, os.PathLike)):
            return is_stream(self.photo)
        return not isinstance(self.photo, bytes)

    def read(self) -> PhotoInput:
        if isinstance(self.photo, (str, os.PathLike)):
            return images.read(self.photo, streams=True)
        return bytes(self.photo) if isinstance(self.photo, (bytearray, memoryview)) else self.photo


class Queries:
    """Runs query photos through the models of an index, and searches the index for their faces.

    Parameters
    ----------
    reader : Reader
    device : str
    recogniser : Recogniser, optional
        None loads the pinned models when they are first needed.
    """

    def __init__(self, reader: Reader, device: str, recogniser: Recogniser | None = None) -> None:
        self._reader = reader
        self._device = device
        self._recogniser = recogniser
        self._matcher = Matcher(reader)

    def recogniser(self, *, on_any_device: bool = False) -> Recogniser:
        """Return the pinned models, loaded once; if wanted, on another device where this one is missing."""
        if self._recogniser is None:
            device = self._device
            if on_any_device:
                from faceindex.devices import resolve_or_auto

                device = resolve_or_auto(device)
            store = self._reader.store
            self._recogniser = load_recogniser(store.pins, store.directory, device)
        return self._recogniser

    def identify(
        self, photo: PhotoInput | Iterable[PhotoInput], options: IdentifyOptions
    ) -> Identification | list[Identification]:
        """Identify the people on a photo or on several; see `faceindex.FaceIndex.identify`."""
        if not is_one_photo(photo):
            return list(self.identify_many(cast("Iterable[PhotoInput]", photo), options))
        self._check(options)
        query = _Query.of(cast("PhotoInput", photo))
        data = query.read()  # before the models, which take seconds to load
        self._load_models()
        loaded = self.recogniser().load_photo(data, query.name)
        (found,) = recognise_each(self.recogniser(), [loaded])
        if isinstance(found, ImageError):
            raise found
        content, picture = None, None
        if isinstance(data, bytes):
            content, picture = images.content_hash(data), images.read_picture(data)
        photo_of = QueryPhoto(found, picture, loaded.decoded.width, loaded.decoded.height)
        (faces,) = self._matcher.match([photo_of], options)
        indexed = self._indexed_as(content, picture)
        decoded = loaded.decoded
        return Identification(
            query.name, faces, *indexed, note=decoded.note, width=decoded.width, height=decoded.height
        )

    def identify_many(
        self,
        photos: Iterable[PhotoInput],
        options: IdentifyOptions,
        on_event: Callable[[Event], None] = ignore_event,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Identification, None, None]:
        """Identify photos one after the other; see `faceindex.FaceIndex.identify_many`."""
        self._check(options)
        return self._identify_many(photos, options, on_event, should_stop)

    def _identify_many(
        self,
        photos: Iterable[PhotoInput],
        options: IdentifyOptions,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> Generator[Identification, None, None]:
        number = len(photos) if isinstance(photos, Sized) else None
        queries: Iterator[_Query] = map(_Query.of, photos)
        if self._recogniser is None:
            # Models take seconds to load: first see whether there is a photo to read.
            for query in queries:
                if should_stop():
                    return
                try:
                    first = _Query(query.read(), query.name)
                except ImageError as error:
                    yield Identification(query.name, (), error=error)
                    continue
                queries = itertools.chain([first], queries)
                break
            else:
                return
            on_event(Loading())
            self._load_models()
            on_event(Loaded())
        batches = recognise_in_batches(queries, self.recogniser(), number=number, should_stop=should_stop)
        with contextlib.closing(batches):
            for outcomes in batches:
                found = [
                    QueryPhoto(outcome.result, outcome.picture, outcome.width, outcome.height)
                    for outcome in outcomes
                    if not isinstance(outcome.result, ImageError)
                ]
                matched = iter(self._matcher.match(found, options))
                for outcome in outcomes:
                    name, result = outcome.source.name, outcome.result
                    if isinstance(result, ImageError):
                        yield Identification(name, (), error=result)
                    else:
                        indexed = self._indexed_as(outcome.content_hash, outcome.picture)
                        yield Identification(
                            name, next(matched), *indexed,
                            note=outcome.note, width=outcome.width, height=outcome.height,
                        )  # fmt: skip

    def moments(self, video: str, interval: float | None = None) -> list[str]:
        """Search a video; see `faceindex.FaceIndex.moments`."""
        from faceindex.images.moments import moment_name
        from faceindex.images.video_process import VideoProcess
        from faceindex.images.video_reading import check_readable
        from faceindex.pipeline.video_run import recognise_moments
        from faceindex.pipeline.videos import VIDEO_INTERVAL, search_video

        if is_address(video):
            from faceindex.images.remote import not_read

            raise not_read(video)
        check_readable(video)
        with VideoProcess() as process:
            about = process.about(video)  # before the models, which take seconds to load
            self._load_models()
            recogniser = self.recogniser()
            found = search_video(process, video, recogniser, about, interval=interval or VIDEO_INTERVAL)
            assert found is not None  # nothing stops it
            if not found.doubtful:
                times = found.moments
            else:
                outcomes = recognise_moments(process, video, found, recogniser) or []
                with_face = [isinstance(each.result, Faces) and len(each.result) > 0 for each in outcomes]
                times = list(itertools.compress(found.moments, with_face))
        return [f"{video}/{moment_name(milliseconds)}" for milliseconds in times]

    def identify_faces(
        self, photo: str, faces: Faces, options: IdentifyOptions | None = None
    ) -> Identification:
        """Identify faces that are detected and embedded already.

        Parameters
        ----------
        photo : str
            Name of their photo.
        faces : Faces
        options : IdentifyOptions, optional
            None means the defaults.
        """
        options = options or IdentifyOptions()
        self._check(options)
        (found,) = self._matcher.match([QueryPhoto(faces)], options)
        return Identification(photo, found)

    def _check(self, options: IdentifyOptions) -> None:
        """Check the calibration before any work; only a threshold does without."""
        if options.threshold is None:
            models.calibration_of(self._reader.embedder_spec)

    def _indexed_as(self, content: bytes | None, picture: Picture | None) -> tuple[str | None, str | None]:
        """Return the name and the path of an indexed photo with the same content, or the same picture."""
        store = self._reader.store
        records = store.photos_by_content(content) if content is not None else []
        if not records and picture is not None:
            records = store.photos_by_picture(picture.hash)
        if not records:
            return None, None
        names = PhotoNames(store, [records[0].id])
        return names.name(records[0]), names.path(records[0])

    def _load_models(self) -> None:
        """Load the networks, and meanwhile read the faces: SQLite runs without Python's lock."""
        if self._recogniser is not None:
            return

        def read() -> None:
            with contextlib.suppress(Exception):  # raised again where the result is needed
                self._matcher.representatives()
                self._reader.store.prepare_search()

        reading = threading.Thread(target=read, name="faceindex-catalog")
        reading.start()
        try:
            self.recogniser()
        finally:
            reading.join()


def crop_face(reader: Reader, face: Face | int, margin: float, aligned: bool) -> Image:
    """Cut a face out of its photo; see `faceindex.FaceIndex.crop`."""
    from faceindex.export.crops import cut_faces
    from faceindex.export.source import read_unchanged

    style = reader.crop_style(margin, aligned)
    table, names = reader.faces_and_photos()
    positions = find_faces(table, [face.face if isinstance(face, Face) else face])
    record = names.by_id[int(table.photo[positions[0]])]
    path = names.path(record)
    decoded = images.decode_to_fit(read_unchanged(path, record.content_hash), path)
    return cut_faces(decoded.image, table.detections(positions).scaled(decoded.scale), style)[0]
