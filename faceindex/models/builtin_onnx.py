"""Embedders whose networks are published as ONNX files; `faceindex.embed.onnx` runs them.

None of these files was available when this was written, so `run_by_us` is false. Sizes, hashes and addresses
are those that several public programs pin; sizes of input and output, colour and pixel values are those of
the programs that the networks were published with:

- sface: ``FaceRecognizerSF`` of OpenCV (modules/objdetect/src/face_recognize.cpp): RGB, values from 0 to 255,
  because the network's first layers normalise them.
- arcface-r50, arcface-mbf: ``ArcFaceONNX`` of InsightFace (python-package/insightface/model_zoo).
- adaface-ir18: mk-minchul/AdaFace (README): BGR.
"""

from __future__ import annotations

from faceindex.models.predictor import SHAPE_PREDICTOR
from faceindex.models.spec import Alignment, EmbedderSpec, PixelScale, WeightFile

__all__ = ["ONNX_EMBEDDERS", "ONNX_TARGET"]

ONNX_TARGET = "faceindex.embed.onnx:OnnxEmbedder"

_ARCFACE = Alignment(name="arcface", size=112)
_UNIT = PixelScale(mean=127.5, divisor=127.5)
_UNIT_TEXT = "(x - 127.5) / 127.5"
_INSIGHTFACE = "https://github.com/deepinsight/insightface (release v0.7: {pack}.zip holds it as {file})"
_INSIGHTFACE_LICENCE = "non-commercial research (InsightFace's model zoo)"
_INSIGHTFACE_THRESHOLD = (
    "that of InsightFace's demo for buffalo_l (web-demos/src_recognition/main.py: from 0.28 the same person, "
    "below 0.2 not); not measured here"
)
_IMMICH_FOLDERS = ("$MACHINE_LEARNING_CACHE_FOLDER", "/cache", "/var/cache/immich")


def _elsewhere(file: str, packs: tuple[str, ...], uniface: str) -> tuple[str, ...]:
    """Return where InsightFace, Immich and uniface keep a recognition network of InsightFace's packs."""
    return (
        *(f"~/.insightface/models/{pack}/{file}" for pack in packs),
        *(
            f"{folder}/facial-recognition/{pack}/recognition/model.onnx"
            for folder in _IMMICH_FOLDERS
            for pack in packs
        ),
        f"$UNIFACE_CACHE_DIR/{uniface}",
        f"~/.uniface/models/{uniface}",
    )


def _insightface(name: str, summary: str, weight: WeightFile) -> EmbedderSpec:
    """Describe a network of InsightFace's model zoo."""
    return EmbedderSpec(
        name=name,
        target=ONNX_TARGET,
        summary=summary,
        dimension=512,
        alignment=_ARCFACE,
        colour="RGB",
        normalisation=_UNIT_TEXT,
        threshold=0.28,
        threshold_source=_INSIGHTFACE_THRESHOLD,
        calibration=None,
        licence=_INSIGHTFACE_LICENCE,
        weights=(weight, SHAPE_PREDICTOR),
        scale=_UNIT,
        run_by_us=False,
    )


ONNX_EMBEDDERS: tuple[EmbedderSpec, ...] = (
    EmbedderSpec(
        name="sface",
        target=ONNX_TARGET,
        summary="SFace (Zhong et al. 2021), the face recognition of OpenCV: MobileFaceNet trained on MS1M",
        dimension=128,
        alignment=_ARCFACE,
        colour="RGB",
        normalisation="none: the network normalises",
        threshold=0.363,
        threshold_source="OpenCV's, for 99.6 % of the LFW pairs (its tutorial of DNN face recognition)",
        calibration=None,
        licence="Apache-2.0",
        weights=(
            WeightFile(
                name="face_recognition_sface_2021dec.onnx",
                size=38_696_353,
                sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
                source="https://github.com/opencv/opencv_zoo (models/face_recognition_sface)",
                url=(
                    "https://media.githubusercontent.com/media/opencv/opencv_zoo/"
                    "47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_recognition_sface/"
                    "face_recognition_sface_2021dec.onnx"
                ),
                elsewhere=("~/.deepface/weights/face_recognition_sface_2021dec.onnx",),
            ),
            SHAPE_PREDICTOR,
        ),
        scale=PixelScale(mean=0, divisor=1),
        run_by_us=False,
    ),
    _insightface(
        "arcface-r50",
        "ArcFace (Deng et al. 2019), ResNet-50 trained on WebFace600K: InsightFace's buffalo_l",
        WeightFile(
            name="w600k_r50.onnx",
            size=174_383_860,
            sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
            source=_INSIGHTFACE.format(pack="buffalo_l", file="w600k_r50.onnx"),
            url="https://huggingface.co/immich-app/buffalo_l/resolve/main/recognition/model.onnx",
            elsewhere=_elsewhere("w600k_r50.onnx", ("buffalo_l", "buffalo_m"), "arcface_resnet.onnx"),
        ),
    ),
    _insightface(
        "arcface-mbf",
        "ArcFace, MobileFaceNet trained on WebFace600K: InsightFace's buffalo_s",
        WeightFile(
            name="w600k_mbf.onnx",
            size=13_616_099,
            sha256="9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
            source=_INSIGHTFACE.format(pack="buffalo_s", file="w600k_mbf.onnx"),
            url="https://huggingface.co/immich-app/buffalo_s/resolve/main/recognition/model.onnx",
            elsewhere=_elsewhere("w600k_mbf.onnx", ("buffalo_s", "buffalo_sc"), "arcface_mnet.onnx"),
        ),
    ),
    EmbedderSpec(
        name="adaface-ir18",
        target=ONNX_TARGET,
        summary="AdaFace (Kim et al. 2022), ResNet-18 trained on WebFace4M: for blurred and small faces too",
        dimension=512,
        alignment=_ARCFACE,
        colour="BGR",
        normalisation=_UNIT_TEXT,
        threshold=0.4,
        threshold_source="default of yakhyo/adaface-onnx, which publishes the file; not measured here",
        calibration=None,
        licence="MIT (weights: terms of WebFace4M)",
        weights=(
            WeightFile(
                name="adaface_ir_18.onnx",
                size=96_105_345,
                sha256="6b6a35772fb636cdd4fa86520c1a259d0c41472a76f70f802b351837a00d9870",
                source="https://github.com/yakhyo/adaface-onnx (release weights)",
                url="https://github.com/yakhyo/adaface-onnx/releases/download/weights/adaface_ir_18.onnx",
                elsewhere=("$UNIFACE_CACHE_DIR/adaface_ir_18.onnx", "~/.uniface/models/adaface_ir_18.onnx"),
            ),
            SHAPE_PREDICTOR,
        ),
        scale=_UNIT,
        run_by_us=False,
    ),
)
