"""Search a video for faces: sample its frames, follow the faces, and choose the moments to keep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from faceindex.errors import ImageError, Reason
from faceindex.images.video_process import VideoAbout, VideoProcess, VideoSample
from faceindex.pipeline.batches import recognise_in_batches
from faceindex.pipeline.tracks import Evidence, SeenFrame, choose_moments, follow_faces
from faceindex.recognition import Recogniser
from faceindex.types import Image

__all__ = ["VIDEO_INTERVAL", "SearchedVideo", "search_video", "without_second_looks"]

VIDEO_INTERVAL = 1.0
"""Seconds between two frames that are searched for faces; docs/indexing.md has the measurement."""

MOST_SAMPLES = 1000
"""Frames of a video that are searched: longer videos than 17 minutes are searched at longer intervals."""

_FEWEST = 4  # frames to search in every direction if no face was found


@dataclass(frozen=True, slots=True)
class SearchedVideo:
    """What was found in a video.

    Attributes
    ----------
    about : VideoAbout
    moments : list of int
        Times of the frames to keep, in milliseconds, ascending.
    tracks : int
    samples : int
        Frames that were searched.
    doubtful : bool
        Whether no face was found: then the moments are a few frames, to be searched as carefully as photos.
    note : str or None
        Why the end of the video was not read.
    upright : bool
        Whether faces show that the video is upright: the detector is sure of most. Then its moments need not
        be searched turned by 90, 180 and 270 degrees, which takes time and finds wrong faces now and then.
    """

    about: VideoAbout
    moments: list[int] = field(default_factory=list)
    tracks: int = 0
    samples: int = 0
    doubtful: bool = False
    note: str | None = None
    upright: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """A sample, a `faceindex.pipeline.load.Source`."""

    name: str
    sample: VideoSample

    at_once: ClassVar[bool] = True

    def read(self) -> Image:
        return self.sample.image


def search_video(
    process: VideoProcess,
    path: str,
    recogniser: Recogniser,
    about: VideoAbout,
    *,
    interval: float = VIDEO_INTERVAL,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int], None] = lambda milliseconds: None,
) -> SearchedVideo | None:
    """Search a video for faces. Frames are decoded ahead, and leave memory when they were searched.

    Parameters
    ----------
    process : VideoProcess
    path : str
    recogniser : Recogniser
    about : VideoAbout
        Of this video, as `VideoProcess.about` returns it.
    interval : float
        Seconds from one frame to the next, at least; see `MOST_SAMPLES`.
    should_stop : callable
    on_progress : callable
        Called with the time of each frame that is about to be searched, in milliseconds.

    Returns
    -------
    SearchedVideo or None
        None if `should_stop` ended it.

    Raises
    ------
    ImageError
        If it has no frame that can be decoded.
    FaceIndexError
        For an error that is not about the video, such as `BrokenModel`.
    """
    interval = max(interval, about.milliseconds / 1000 / MOST_SAMPLES)
    failure: list[ImageError] = []

    def frames() -> Iterator[_Frame]:
        answers = process.sample(path, interval, MOST_SAMPLES, should_stop)
        try:
            with contextlib.closing(answers):
                for answer in answers:
                    if isinstance(answer, VideoSample):
                        on_progress(answer.milliseconds)
                        yield _Frame(path, answer)
        except ImageError as error:
            failure.append(error)

    quick = without_second_looks(recogniser)
    seen: list[SeenFrame] = []
    expected = max(1, round(about.milliseconds / 1000 / interval))
    for outcomes in recognise_in_batches(frames(), quick, number=expected, should_stop=should_stop):
        for outcome in outcomes:
            if isinstance(outcome.result, ImageError):
                raise outcome.result
            sample = outcome.source.sample
            seen.append(SeenFrame(sample.milliseconds, sample.is_cut, outcome.result))
    if should_stop():
        return None
    if not seen:
        raise failure[0] if failure else _no_frame(path)
    note = failure[0].detail[:1].upper() + failure[0].detail[1:] if failure else None
    evidence = Evidence.of(recogniser.embedder.spec)
    tracks = follow_faces(seen, interval, evidence)
    detector = recogniser.detector.spec
    chosen = choose_moments(seen, tracks, evidence, alone=detector.turned_threshold)
    if doubtful := not chosen:
        step = len(seen) / min(_FEWEST, len(seen))
        chosen = sorted({int((i + 0.5) * step) for i in range(min(_FEWEST, len(seen)))})
    moments = [seen[position].milliseconds for position in chosen]
    upright = _is_upright([float(score) for frame in seen for score in frame.faces.scores], detector.sure)
    return SearchedVideo(about, moments, len(tracks), len(seen), doubtful, note, upright)


def without_second_looks(recogniser: Recogniser) -> Recogniser:
    """Return a recogniser with the same models that searches each image once, upright."""
    return Recogniser(recogniser.detector, recogniser.embedder, device=recogniser.device, second_looks=False)


def _is_upright(scores: Sequence[float], sure: float | None) -> bool:
    """Return whether the scores of the faces of a video show that it is upright, and not turned.

    Some faces are found upside down, too: of yunet's faces, 65 to 91 % were sure on made videos, and at most
    28 % on the same videos upside down.
    """
    if sure is None:
        return bool(scores)
    return 2 * sum(score >= sure for score in scores) > len(scores)


def _no_frame(path: str) -> ImageError:
    return ImageError(
        path,
        Reason.CORRUPT,
        "no frame of the video can be decoded.",
        "Copy it again from its source, or leave it out.",
    )
