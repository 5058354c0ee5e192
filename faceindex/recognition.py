"""Detector, aligner and embedder composed once; indexing and identifying both go through here."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from faceindex import images, models
from faceindex.detect import Detector
from faceindex.embed import Embedder
from faceindex.errors import BrokenModel
from faceindex.models import DetectorSpec, EmbedderSpec, Spec
from faceindex.types import F32, U8, BoolArray, Detections, Faces, Image

__all__ = ["LoadedPhoto", "Recogniser", "sharpness", "use_one_thread"]

_SHRINKS = (8, 4, 2)

# Share of a face's box that must be on the photo. On shared/data/people, half faces at the edge were
# 0.97 similar to each other across people; the least visible face that was told right had 0.66.
_MIN_VISIBLE = 0.6

# A face whose box is smaller than this on the reduced photo is cut from a finer decode, because
# the embedder would see an enlarged, blurred chip (its chips show a face about 100 px wide).
_SHARP_FACE = 100.0

# What is decoded around such a face, in its sides on each side; a chip, turned by 45 degrees, needs half.
_AROUND = 1.0

_SHARPNESS_BLOCK = 64  # chips; keeps the grey levels in cache

# Photos beyond this are decoded at reduced scale whatever the smallest face, to bound memory.
_MAX_DECODED_PIXELS = 48_000_000


@dataclass(frozen=True, slots=True)
class LoadedPhoto:
    """A photo on its way through the networks.

    Attributes
    ----------
    data : bytes
        The file's content, for a second, finer decode.
    path : str
        For messages.
    photo : Photo
        Decoded at 1/`shrink` of its full size.
    shrink : int
    """

    data: bytes
    path: str
    photo: images.DecodedImage
    shrink: int


class Recogniser:
    """Finds and embeds every face on a photo.

    Parameters
    ----------
    detector : Detector
    embedder : Embedder
    device : str
        Where they compute.
    """

    def __init__(self, detector: Detector, embedder: Embedder, *, device: str = "cpu") -> None:
        self.detector = detector
        self.embedder = embedder
        self.device = device

    @classmethod
    def load(
        cls,
        detector: str,
        embedder: str,
        *,
        min_face: float,
        device: str = "cpu",
        settings: Mapping[str, object] | None = None,
    ) -> Recogniser:
        """Build it from registered names.

        Parameters
        ----------
        detector, embedder : str
            Names in the registry.
        min_face : float
            Side in pixels of the smallest face that is looked for, on the full-size photo.
        device : str
            ``"auto"``, or a torch device; see `faceindex.devices.resolve`.
        settings : mapping, optional
            Values of the models' options, by name; their defaults where it has none.

        Raises
        ------
        UnknownModel, WeightsNotFound, WeightsInvalid
        UsageError
            If there is no such device.
        """
        with _without_collections():
            from faceindex.devices import resolve  # torch: a second that a run without photos is spared

            device = resolve(device)
            detector_spec, embedder_spec = models.get("detector", detector), models.get("embedder", embedder)

            def options(spec: Spec) -> dict[str, object]:
                chosen = settings or {}
                return {option.name: chosen.get(option.name, option.default) for option in spec.options}

            return cls(
                models.load(detector_spec, min_face=min_face, device=device, **options(detector_spec)),
                models.load(embedder_spec, device=device, **options(embedder_spec)),
                device=device,
            )

    def take(self, data: bytes, path: str | os.PathLike[str]) -> LoadedPhoto:
        """Decode a photo at the scale that the detector needs. Safe to call from many threads.

        Raises
        ------
        ImageError
            If the content cannot be decoded.
        """
        width, height, _ = images.probe(data, path)
        shrink = self._shrink(width * height)
        return LoadedPhoto(data, os.fspath(path), images.decode(data, path, shrink=shrink), shrink)

    def faces(self, shots: Sequence[LoadedPhoto]) -> list[Faces]:
        """Find and embed the faces on a batch of photos.

        A face counts if its score reaches the threshold of the detector's spec and most of its box
        is on the photo: of what is cut off at the edge the embedder makes vectors that resemble each
        other more than anybody. A photo on which none is found is looked at again at scales in
        between.

        Returns
        -------
        list of Faces
            One per photo, in pixels of the upright full-size photo, best score first.

        Raises
        ------
        BrokenModel
            If a model gives back something of another shape than its protocol says.
        """
        found = self.find(shots)
        chips = [self._chips(shot, detections) for shot, detections in zip(shots, found, strict=True)]
        if not chips:
            return []
        every = np.concatenate(chips)
        made = self.embedder.embed(every)
        _check_vectors(made, len(every), self.embedder.spec)
        vectors, norms = made
        sharp = sharpness(every)
        faces = []
        stop = 0
        for shot, detections in zip(shots, found, strict=True):
            start, stop = stop, stop + len(detections)
            x, y = shot.photo.scale
            full = detections.scaled((1 / x, 1 / y))
            faces.append(
                Faces(
                    full.boxes,
                    full.landmarks,
                    full.scores,
                    vectors[start:stop],
                    norms[start:stop],
                    sharp[start:stop],
                )
            )
        return faces

    def find(self, shots: Sequence[LoadedPhoto]) -> list[Detections]:
        """Find the faces on a batch of photos that count, as `faces` does, without embedding them.

        Returns
        -------
        list of Detections
            One per photo, in pixels of ``shot.photo.image``, best score first.

        Raises
        ------
        BrokenModel
            If the detector gives back something of another shape than its protocol says.
        """
        found = self._detect(shots, 1.0)
        if factor := self.detector.spec.pyramid:
            # A pyramid sees a face at steps of size; one that falls badly is missed by a hair.
            nothing = [i for i, detections in enumerate(found) if not len(detections)]
            second = self._detect([shots[i] for i in nothing], factor**-0.5)
            for i, detections in zip(nothing, second, strict=True):
                found[i] = detections
        return found

    def _detect(self, shots: Sequence[LoadedPhoto], times: float) -> list[Detections]:
        if not shots:
            return []
        found = self.detector.detect(
            [shot.photo.image for shot in shots],
            min_faces=[times * self.detector.min_face * min(shot.photo.scale) for shot in shots],
        )
        _check_detections(found, len(shots), self.detector.spec)
        return [
            detections[self._usable(detections, shot.photo.image)]
            for shot, detections in zip(shots, found, strict=True)
        ]

    def _usable(self, detections: Detections, image: Image) -> BoolArray:
        height, width = image.shape[:2]
        corners, limits = detections.boxes, np.array([width, height], np.float32)
        inside = np.minimum(corners[:, 2:], limits) - np.maximum(corners[:, :2], 0)
        with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity is no area either
            area = (corners[:, 2:] - corners[:, :2]).clip(0).prod(axis=1)
        visible = inside.clip(0).prod(axis=1) / np.where(area > 0, area, np.inf)
        usable: BoolArray = (detections.scores >= self.detector.spec.threshold) & (visible >= _MIN_VISIBLE)
        return usable

    def _shrink(self, pixels: int) -> int:
        for shrink in _SHRINKS:
            if self.detector.min_face / shrink >= self.detector.spec.decoded_face:
                break
        else:
            shrink = 1
        while shrink < max(_SHRINKS) and pixels / shrink**2 > _MAX_DECODED_PIXELS:
            shrink *= 2
        return shrink

    def _chips(self, shot: LoadedPhoto, detections: Detections) -> U8:
        from faceindex.align import cut_chips

        alignment, box, photo = self.embedder.spec.alignment, self.detector.spec.box, shot.photo
        sides = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(axis=1)
        finer = self._finer(shot, float(sides.min(initial=np.inf)))
        small = (sides < _SHARP_FACE) & (finer < shot.shrink)
        if not small.any():
            return cut_chips(photo.image, detections, alignment, box=box)
        x, y = photo.scale
        faces = detections[small].scaled((1 / x, 1 / y))
        margin = _AROUND * (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1, keepdims=True)
        around = np.concatenate([faces.boxes[:, :2] - margin, faces.boxes[:, 2:] + margin], axis=1)
        cut = []
        for i, part in enumerate(images.decode_parts(shot.data, shot.path, around, shrink=finer)):
            face = faces[i : i + 1].scaled(part.scale)
            corner = np.array([part.left, part.top], np.float32)
            face = Detections(face.boxes - np.tile(corner, 2), face.landmarks - corner, face.scores)
            cut.append(cut_chips(part.image, face, alignment, box=box))
        chips = np.empty((len(detections), alignment.size, alignment.size, 3), np.uint8)
        chips[small] = np.concatenate(cut)
        chips[~small] = cut_chips(photo.image, detections[~small], alignment, box=box)
        return chips

    def _finer(self, shot: LoadedPhoto, side: float) -> int:
        """The scale at which a face of `side` pixels on the shot is not blurred."""
        wanted = shot.shrink * side / _SHARP_FACE
        finer = next((s for s in _SHRINKS if s <= wanted), 1)
        while shot.photo.width * shot.photo.height / finer**2 > _MAX_DECODED_PIXELS:
            finer *= 2
        return finer


def _check_detections(found: object, number: int, spec: DetectorSpec) -> None:
    """See that a detector gave back what its protocol says, for `number` images."""
    if not isinstance(found, (list, tuple)) or len(found) != number:
        got = f"{len(found)} results" if isinstance(found, (list, tuple)) else _type(found)
        photos = f"{number} photo{'' if number == 1 else 's'}"
        raise _broken(spec, f"{got} for {photos}", "a list with one for each")
    for one in found:
        if not isinstance(one, Detections):
            raise _broken(spec, f"{_type(one)} for a photo", "Detections")
        n = one.boxes.shape[0] if isinstance(one.boxes, np.ndarray) and one.boxes.ndim else 0
        _check_shape(one.boxes, (n, 4), spec, "boxes")
        _check_shape(one.landmarks, (n, 5, 2), spec, "landmarks")
        _check_shape(one.scores, (n,), spec, "scores")


def _check_vectors(made: object, number: int, spec: EmbedderSpec) -> None:
    """See that an embedder gave back what its protocol says, for `number` chips."""
    if not isinstance(made, tuple) or len(made) != 2:
        raise _broken(spec, _type(made), "a pair of vectors and norms")
    _check_shape(made[0], (number, spec.dimension), spec, "vectors")
    _check_shape(made[1], (number,), spec, "norms")


def _check_shape(array: object, shape: tuple[int, ...], spec: Spec, what: str) -> None:
    if not isinstance(array, np.ndarray):
        raise _broken(spec, f"{what} as {_type(array)}", "a numpy array")
    if array.shape != shape:
        raise _broken(spec, f"{what} of shape {array.shape}", f"{shape}")


def _type(thing: object) -> str:
    return f"something of type {type(thing).__name__}"


def _broken(spec: Spec, got: str, needed: str) -> BrokenModel:
    return BrokenModel(
        f"The {spec.kind} '{spec.name}' gave back {got}, where {needed} is needed.",
        f"Use another {spec.kind}, or report it to those who made this one.",
    )


def sharpness(chips: U8) -> F32:
    """How much detail chips show: mean absolute gradient over contrast, in the middle of the face.

    Blurred faces resemble each other whoever they are: below `Calibration.blurred` similarities of
    pairs of strangers in lfw/ exceeded 0.935 thirty to six hundred times as often as among sharp faces,
    but those of a blurred and a sharp face no more often than any.

    Parameters
    ----------
    chips : (n, s, s, 3) uint8

    Returns
    -------
    (n,) float32
        0 for a uniform chip; does not depend on brightness and contrast.
    """
    edge = chips.shape[1] // 6
    found = np.empty(len(chips), np.float32)
    for start in range(0, len(chips), _SHARPNESS_BLOCK):
        block = slice(start, start + _SHARPNESS_BLOCK)
        grey = chips[block, edge : chips.shape[1] - edge, edge : chips.shape[2] - edge].mean(
            axis=3, dtype=np.float32
        )
        gradient = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2))
        gradient += np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
        found[block] = gradient / np.maximum(grey.std(axis=(1, 2)), 1.0)
    return found


@contextmanager
def _without_collections() -> Iterator[None]:
    """Python's garbage collector waits: what importing makes stays, and looking for garbage in it, again
    and again, takes a tenth of the time that importing torch does."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def use_one_thread() -> None:
    """Let networks that run in this thread use no other.

    The networks are small: several batches at a time with a thread each keep the cores busier than
    one batch with all of them, and suffer less when something else runs on the machine.
    """
    import torch

    torch.set_num_threads(1)
