"""Detector, aligner and embedder combined; indexing and identification share this code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from faceindex import images, models
from faceindex.detect import Detector
from faceindex.embed import Embedder
from faceindex.errors import BrokenModel
from faceindex.models import DetectorSpec, EmbedderSpec, Spec
from faceindex.quality import quality_of_faces
from faceindex.second_looks import look_between, look_padded, look_turned, share_inside
from faceindex.types import F32, U8, BoolArray, Detections, Faces, Image

if TYPE_CHECKING:
    from faceindex.images.inputs import PhotoInput

__all__ = ["MAX_DECODED_PIXELS", "LoadedPhoto", "Recogniser", "sharpness", "use_one_thread"]

_SHRINKS = (8, 4, 2)

# Share of a face's box that must lie on the photo. On shared/data/people, half faces at the edge had
# similarities up to 0.97 across people; the least visible face that was recognised had a share of 0.66.
_MIN_VISIBLE = 0.6

# A face whose box is smaller than this on the reduced photo is cut from a finer decode. Otherwise the
# embedder would get an enlarged, blurred chip (its chips show a face about 100 px wide).
_SHARP_FACE = 100.0

# Margin that is decoded around such a face, in sides of its box; a chip turned by 45 degrees needs half.
_AROUND = 1.0

_SHARPNESS_BLOCK = 64  # chips; keeps the grey levels in cache

# Larger photos are decoded at reduced scale whatever the smallest face, to bound memory.
MAX_DECODED_PIXELS = 48_000_000


@dataclass(frozen=True, slots=True)
class LoadedPhoto:
    """A photo that is read and decoded, ready for the networks.

    Attributes
    ----------
    data : bytes
        The content of the file, for a second, finer decode; empty if the photo came as pixels.
    path : str
        For messages.
    decoded : DecodedImage
        Decoded at 1/`shrink` of its full size.
    shrink : int
        1 for pixels even if they were reduced: there is no finer decode.
    """

    data: bytes
    path: str
    decoded: images.DecodedImage
    shrink: int


class Recogniser:
    """Detects and embeds every face on a photo; usable without an index.

    Several threads may share a recogniser.

    Parameters
    ----------
    detector : Detector
    embedder : Embedder
    device : str
        Where the networks run.
    second_looks : bool
        Search photos without a face, or with only doubtful ones, again; see `faceindex.second_looks`.

    Examples
    --------
    >>> from faceindex import Recogniser
    >>> recogniser = Recogniser.load(embedder="dlib")  # doctest: +SKIP
    >>> faces = recogniser.embed("someone.jpg")  # doctest: +SKIP
    >>> faces.boxes.shape, faces.vectors.shape  # doctest: +SKIP
    ((2, 4), (2, 128))
    """

    def __init__(
        self, detector: Detector, embedder: Embedder, *, device: str = "cpu", second_looks: bool = True
    ) -> None:
        self.detector = detector
        self.embedder = embedder
        self.device = device
        self.second_looks = second_looks

    def __repr__(self) -> str:
        names = f"{self.detector.spec.name} + {self.embedder.spec.name}"
        return f"<Recogniser: {names} on {self.device}, faces from {self.detector.min_face:g} px>"

    @classmethod
    def load(
        cls,
        detector: str = models.AUTO,
        embedder: str = models.AUTO,
        *,
        min_face: float | None = None,
        device: str = "auto",
        settings: Mapping[str, object] | None = None,
    ) -> Recogniser:
        """Load registered models.

        Parameters
        ----------
        detector, embedder : str
            Names in the registry, or ``"auto"``: see `faceindex.models.choose`.
        min_face : float, optional
            Side in pixels of the smallest face to find, on the full-size photo. None means the
            default of the detector.
        device : str
            ``"auto"``, or a torch device; see `faceindex.devices.resolve`.
        settings : mapping, optional
            Values of model options by name; missing ones take their defaults.

        Raises
        ------
        UnknownModel, WeightsNotFound, WeightsInvalid
        UsageError
            If the device does not exist.
        """
        from faceindex.devices import resolve  # imports torch, which takes a second

        device = resolve(device)
        choice = models.choose(detector, embedder)
        detector_spec = models.get("detector", choice.detector)
        embedder_spec = models.get("embedder", choice.embedder)
        if min_face is None:
            min_face = detector_spec.min_face

        def options(spec: Spec) -> dict[str, object]:
            chosen = settings or {}
            return {option.name: chosen.get(option.name, option.default) for option in spec.options}

        return cls(
            models.load(detector_spec, min_face=min_face, device=device, **options(detector_spec)),
            models.load(embedder_spec, device=device, **options(embedder_spec)),
            device=device,
        )

    def load_photo(self, photo: PhotoInput, name: str | None = None) -> LoadedPhoto:
        """Read a photo and decode it at the scale that the detector needs.

        Parameters
        ----------
        photo : path-like, bytes, (h, w, 3) uint8 array, or PIL image
            Arrays are RGB and upright. Arrays and PIL images of more than `MAX_DECODED_PIXELS` are reduced,
            as files are when they are decoded.
        name : str, optional
            Name of the photo in messages. None means the path, or the type of the input.

        Raises
        ------
        ImageError
            If the photo cannot be read or decoded.
        UsageError
            If it is none of these types.
        """
        from faceindex.images.inputs import from_pixels, input_name

        name = input_name(photo) if name is None else name
        if isinstance(photo, (str, os.PathLike)):
            return self.decode_photo(images.read(photo, streams=True), name)
        if isinstance(photo, (bytes, bytearray, memoryview)):
            return self.decode_photo(bytes(photo), name)
        decoded = from_pixels(cast(Image, photo), name, reduce_above=MAX_DECODED_PIXELS)
        return LoadedPhoto(b"", name, decoded, 1)

    def decode_photo(self, data: bytes, path: str) -> LoadedPhoto:
        """Decode the content of a file at the scale that the detector needs.

        Raises
        ------
        ImageError
            If the content cannot be decoded.
        """
        width, height, _ = images.probe(data, path)
        shrink = self._shrink(width * height)
        return LoadedPhoto(data, path, images.decode(data, path, shrink=shrink), shrink)

    def embed(self, photo: PhotoInput) -> Faces:
        """Detect and embed the faces on one photo.

        Parameters and errors are those of `load_photo`, and `BrokenModel` as in `recognise`.

        Returns
        -------
        Faces
            In pixels of the upright full-size photo, best score first.
        """
        return self.recognise([self.load_photo(photo)])[0]

    def recognise(self, photos: Sequence[LoadedPhoto]) -> list[Faces]:
        """Detect and embed the faces on a batch of photos.

        A face counts if its score reaches the threshold of the detector's spec and most of its box
        lies on the photo: embeddings of faces that are cut off at the edge are more similar to each
        other than to any whole face. Photos without a face, or with only doubtful ones, are searched again.

        Returns
        -------
        list of Faces
            One per photo, in pixels of the upright full-size photo, best score first.

        Raises
        ------
        BrokenModel
            If a model returns arrays of another shape than its protocol requires.
        """
        found = [
            detections.scaled(_to_full_size(photo))
            for photo, detections in zip(photos, self.detect(photos), strict=True)
        ]
        return self.embed_faces(photos, found)

    def embed_faces(self, photos: Sequence[LoadedPhoto], found: Sequence[Detections]) -> list[Faces]:
        """Embed faces that are detected already, on a batch of photos.

        Parameters
        ----------
        photos : sequence of LoadedPhoto
        found : sequence of Detections
            One per photo, in pixels of the upright full-size photo, as a detector with the spec of `detector`
            returns them.

        Returns
        -------
        list of Faces
            One per photo, with the given boxes, landmarks and scores.

        Raises
        ------
        BrokenModel
            As `recognise`.
        """
        chips = [self._chips(photo, faces) for photo, faces in zip(photos, found, strict=True)]
        if not chips:
            return []
        every = np.concatenate(chips)
        embedded = self.embedder.embed(every)
        _check_vectors(embedded, len(every), self.embedder.spec)
        vectors, norms = embedded
        sharp = sharpness(every)
        result = []
        stop = 0
        for photo, faces in zip(photos, found, strict=True):
            start, stop = stop, stop + len(faces)
            mine = slice(start, stop)
            measures = faces.boxes, faces.landmarks, faces.scores, norms[mine], sharp[mine]
            quality = quality_of_faces(
                *measures,
                np.array([photo.decoded.width, photo.decoded.height]),
                detector=self.detector.spec,
                embedder=self.embedder.spec,
            )
            result.append(Faces(*measures[:3], vectors[mine], norms[mine], sharp[mine], quality, faces.turns))
        return result

    def detect(self, photos: Sequence[LoadedPhoto]) -> list[Detections]:
        """Detect the faces on a batch of photos that `recognise` would return, without embedding them.

        Returns
        -------
        list of Detections
            One per photo, in pixels of ``photo.decoded.image``, best score first.

        Raises
        ------
        BrokenModel
            If the detector returns arrays of another shape than its protocol requires.
        """
        pictures = [photo.decoded.image for photo in photos]
        min_faces = [self.detector.min_face * min(photo.decoded.scale) for photo in photos]
        found = self._look(pictures, min_faces)
        spec = self.detector.spec

        def again(look: Callable[..., list[Detections]], doubtful: float = 0, **options: float) -> None:
            """Search photos without a face, or only with faces below a score, once more."""
            which = [i for i, faces in enumerate(found) if not (faces.scores >= doubtful).any()]
            if not which:
                return
            chosen = [pictures[i] for i in which], [min_faces[i] for i in which]
            for i, faces in zip(which, look(self._look, *chosen, **options), strict=True):
                if not len(found[i]) or (spec.sure is not None and (faces.scores >= spec.sure).any()):
                    found[i] = faces

        if spec.pyramid:
            again(look_between, factor=spec.pyramid)
        if self.second_looks:
            doubtful = 0 if spec.sure is None else spec.turned_threshold
            again(look_turned, doubtful, threshold=spec.turned_threshold)
            again(look_padded, least_inside=_MIN_VISIBLE)
        return found

    def _look(self, pictures: Sequence[Image], min_faces: Sequence[float]) -> list[Detections]:
        """Return the faces that count on each image, of at least `min_faces` pixels."""
        if not pictures:
            return []
        found = self.detector.detect(pictures, min_faces=min_faces)
        _check_detections(found, len(pictures), self.detector.spec)
        return [faces[self._usable(faces, picture)] for faces, picture in zip(found, pictures, strict=True)]

    def _usable(self, detections: Detections, image: Image) -> BoolArray:
        inside = share_inside(detections, image.shape[1], image.shape[0])
        usable: BoolArray = (detections.scores >= self.detector.spec.threshold) & (inside >= _MIN_VISIBLE)
        return usable

    def _shrink(self, pixels: int) -> int:
        for shrink in _SHRINKS:
            if self.detector.min_face / shrink >= self.detector.spec.decoded_face:
                break
        else:
            shrink = 1
        while shrink < max(_SHRINKS) and pixels / shrink**2 > MAX_DECODED_PIXELS:
            shrink *= 2
        return shrink

    def _chips(self, photo: LoadedPhoto, faces: Detections) -> U8:
        """Cut the chips of faces in pixels of the full-size photo."""
        from faceindex.align import cut_chips

        alignment, box, decoded = self.embedder.spec.alignment, self.detector.spec.box, photo.decoded
        detections = faces.scaled(decoded.scale)
        sides = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(axis=1)
        finer = self._finer(photo, float(sides.min(initial=np.inf)))
        small = (sides < _SHARP_FACE) & (finer < photo.shrink)
        if not small.any():
            return cut_chips(decoded.image, detections, alignment, box=box)
        faces = faces[small]
        margin = _AROUND * (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1, keepdims=True)
        around = np.concatenate([faces.boxes[:, :2] - margin, faces.boxes[:, 2:] + margin], axis=1)
        cut = []
        for i, part in enumerate(images.decode_parts(photo.data, photo.path, around, shrink=finer)):
            face = faces[i : i + 1].scaled(part.scale)
            cut.append(cut_chips(part.image, face.shifted(-part.left, -part.top), alignment, box=box))
        chips = np.empty((len(detections), alignment.size, alignment.size, 3), np.uint8)
        chips[small] = np.concatenate(cut)
        chips[~small] = cut_chips(decoded.image, detections[~small], alignment, box=box)
        return chips

    def _finer(self, photo: LoadedPhoto, side: float) -> int:
        """Return the reduction at which a face of `side` decoded pixels stays sharp."""
        wanted = photo.shrink * side / _SHARP_FACE
        finer = next((s for s in _SHRINKS if s <= wanted), 1)
        while photo.decoded.width * photo.decoded.height / finer**2 > MAX_DECODED_PIXELS:
            finer *= 2
        return finer


def _to_full_size(photo: LoadedPhoto) -> tuple[float, float]:
    x, y = photo.decoded.scale
    return 1 / x, 1 / y


def _check_detections(found: object, number: int, spec: DetectorSpec) -> None:
    """Check the result of a detector for `number` images against the protocol."""
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


def _check_vectors(result: object, number: int, spec: EmbedderSpec) -> None:
    """Check the result of an embedder for `number` chips against the protocol."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise _broken(spec, _type(result), "a pair of vectors and norms")
    _check_shape(result[0], (number, spec.dimension), spec, "vectors")
    _check_shape(result[1], (number,), spec, "norms")


def _check_shape(array: object, shape: tuple[int, ...], spec: Spec, what: str) -> None:
    if not isinstance(array, np.ndarray):
        raise _broken(spec, f"{what} as {_type(array)}", "a numpy array")
    if array.shape != shape:
        raise _broken(spec, f"{what} of shape {array.shape}", f"{shape}")


def _type(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _broken(spec: Spec, got: str, needed: str) -> BrokenModel:
    return BrokenModel(
        f"The {spec.kind} '{spec.name}' returned {got} instead of {needed}.",
        f"Use another {spec.kind}, or report this to its authors.",
    )


def sharpness(chips: U8) -> F32:
    """Measure the detail in chips: mean absolute gradient over contrast, in the middle of the face.

    Blurred faces of different people are similar to each other. Below `Calibration.blurred`, pairs of
    different people in lfw/ exceeded a similarity of 0.935 thirty to six hundred times as often as pairs
    of sharp faces did; pairs of a blurred and a sharp face did not.

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


def use_one_thread() -> None:
    """Limit torch to one thread for networks that run in the calling thread.

    The networks are small. Several batches at a time, each on one thread, use the cores better than
    one batch on all of them, and lose less when other programs run.
    """
    import torch

    torch.set_num_threads(1)
