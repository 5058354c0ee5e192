"""The models that come with faceindex."""

from __future__ import annotations

from faceindex.models.builtin_onnx import ONNX_EMBEDDERS
from faceindex.models.predictor import DLIB_MODELS as _DLIB_MODELS
from faceindex.models.predictor import SHAPE_PREDICTOR
from faceindex.models.spec import (
    Alignment,
    BoxShape,
    Calibration,
    ClustererSpec,
    DetectorSpec,
    EmbedderSpec,
    ModelOption,
    NormScale,
    PixelScale,
    Spec,
    WeightFile,
)

__all__ = ["BUILTIN", "DEFAULT_MIN_FACE", "SHAPE_PREDICTOR"]

# Measured with mtcnn and dlib (benchmarks/lfw_pairs.py --by-size, benchmarks/min_face.py). If one face of
# each LFW pair is reduced to 30 px, 98.1 % of the pairs are classified correctly; if to 20 px, 95.7 %. With
# 30 px, a face is found on each of 800 web photos; with 40 px, on all but one. Detection from 30 px takes two
# thirds of the time of detection from 20 px.
DEFAULT_MIN_FACE = 30.0

_FACENET_PYTORCH = "https://github.com/timesler/facenet-pytorch (data/)"
_OPENCV_ZOO = "https://github.com/opencv/opencv_zoo"
# The files themselves; the repository has pointers of Git LFS to them.
_OPENCV_ZOO_FILES = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/"
    "47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_detection_yunet"
)

_MTCNN_WEIGHTS = tuple(
    WeightFile(
        name=f"{net}.pt",
        size=size,
        sha256=sha256,
        source=_FACENET_PYTORCH,
        package="facenet-pytorch",
        package_path=f"facenet_pytorch/data/{net}.pt",
    )
    for net, size, sha256 in (
        ("pnet", 28_570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
        ("rnet", 403_147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
        ("onet", 1_559_269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
    )
)

_WIDER_FACE = BoxShape(
    x=0.01,
    y=0.07,
    side=0.93,
    source=(
        "medians of dlib's HOG boxes relative to those of dsfd-light on 194 photos of shared/data/people; "
        "dsfd was trained on the same boxes, those of WIDER FACE"
    ),
)

_UPSAMPLE = ModelOption(
    name="upsample",
    default=1,
    summary="how often to double the photo; finds faces from 80 px with 0, 40 px with 1, 20 px with 2",
    most=4,
)

_FLIP = ModelOption(
    name="flip",
    default=False,
    summary="average each face with its mirror image: slightly more accurate, twice the time",
)

_HALF = ModelOption(
    name="half",
    default=False,
    summary="embed in bfloat16 if the processor supports it: half the time, nearly the same vectors",
)

BUILTIN: tuple[Spec, ...] = (
    DetectorSpec(
        name="mtcnn",
        target="faceindex.detect.mtcnn:MTCNN",
        summary="Multi-task cascaded CNNs (Zhang et al. 2016): fast, with five landmarks",
        landmarks=True,
        threshold=0.9,
        threshold_source=(
            "shared/data people/ and lfw/: 1 of 6,031 labelled faces scores lower; of 203 other detections "
            "that score lower, nearly all are not faces or are slivers of one"
        ),
        licence="MIT",
        min_face=DEFAULT_MIN_FACE,
        decoded_face=24.0,  # the input of R-Net, so the cascade loses nothing that it needs
        pyramid=0.709,
        turned=0.99,  # benchmarks/second_looks.py
        sure=0.995,
        weights=_MTCNN_WEIGHTS,
    ),
    DetectorSpec(
        name="yunet",
        target="faceindex.detect.yunet:YuNet",
        summary="YuNet (Wu et al. 2023), run by ONNX Runtime: the fastest, with five landmarks",
        landmarks=True,
        threshold=0.65,
        threshold_source=(
            "first half of shared/data: at 0.65, a face in 97.9 % of the boxes of group_photos/ and 53 on "
            "nobody/ and art/ (mtcnn: 95.2 %, 53); second half: 99.0 %, 42 (mtcnn: 98.1 %, 51; "
            "benchmarks/yunet.py)"
        ),
        licence="MIT",
        min_face=DEFAULT_MIN_FACE,
        decoded_face=24.0,  # small faces are detected a second time, with all pixels that they have
        turned=0.89,  # benchmarks/second_looks.py
        sure=0.9,
        weights=(
            WeightFile(
                name="face_detection_yunet_2026may.onnx",
                size=229_738,
                sha256="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
                source=f"{_OPENCV_ZOO} (models/face_detection_yunet)",
                url=f"{_OPENCV_ZOO_FILES}/face_detection_yunet_2026may.onnx",
                also=(
                    WeightFile(
                        name="face_detection_yunet_2023mar.onnx",
                        size=232_589,
                        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
                        source=(
                            "the same network, declared for 640 x 640 px; the file of 2026 is its new export "
                            f"({_OPENCV_ZOO}/pull/310)"
                        ),
                    ),
                ),
            ),
            _MTCNN_WEIGHTS[2],  # for the landmarks
        ),
    ),
    DetectorSpec(
        name="dsfd",
        target="faceindex.detect.dsfd:DSFD",
        summary="Dual shot face detector (Li et al. 2019), ResNet-152: 40 s per megapixel on a CPU core",
        landmarks=False,
        threshold=0.5,
        threshold_source="default of the public inference port; not measured here",
        licence="Apache-2.0",
        min_face=DEFAULT_MIN_FACE,
        decoded_face=DEFAULT_MIN_FACE,  # as large as min_face: photos are decoded at full scale
        box=_WIDER_FACE,
        weights=(
            WeightFile(
                name="WIDERFace_DSFD_RES152.pth",
                size=481_004_605,
                sha256="76ea889083f2dddaa87cbaf4cff6bb70e3e34c83fb0ab8de7b2df15eaf78caf1",
                source="https://github.com/hukkelas/DSFD-Pytorch-Inference (face_detection/dsfd/detect.py)",
                url=(
                    "https://api.loke.aws.unit.no/dlr-gui-backend-resources-content/v2/contents/links/"
                    "61be4ec7-8c11-4a4a-a9f4-827144e4ab4f0c2764c1-80a0-4083-bbfa-68419f889b80"
                    "e4692358-979b-458e-97da-c1a1660b3314"
                ),
            ),
        ),
        run_by_us=False,
    ),
    DetectorSpec(
        name="dsfd-light",
        target="faceindex.detect.dsfd:LightDSFD",
        summary="lightDSFD: DSFD's design with a million weights; finds faces in crowds from 12 px",
        landmarks=False,
        threshold=0.5,
        threshold_source=(
            "shared/data people/ and lfw/: all of 2,108 labelled faces score 0.9 or more; a fifth of 61 "
            "detections from 0.2 to 0.5 are not faces, and hardly any of 1,066 above 0.5; on 240 photos "
            "enlarged to a face of 300 to 1,200 px, all these faces and 13 other detections score 0.5 or more"
        ),
        licence="MIT",
        min_face=DEFAULT_MIN_FACE,
        decoded_face=DEFAULT_MIN_FACE,
        box=_WIDER_FACE,
        weights=(
            WeightFile(
                name="light_DSFD.pth",
                size=4_070_045,
                sha256="331f715b695ebd4c955713e51c32c7133595dbcedf982e39640bd8309b5404cd",
                source="https://github.com/lijiannuist/lightDSFD (weights/)",
                url=(
                    "https://raw.githubusercontent.com/lijiannuist/lightDSFD/"
                    "5f04ab89ac08eaf69d16c96f6c9e237701f80281/weights/light_DSFD.pth"
                ),
            ),
        ),
    ),
    DetectorSpec(
        name="dlib-hog",
        target="faceindex.detect.dlib_hog:DlibHog",
        summary="dlib's HOG detector, the default of face_recognition: frontal faces, CPU only",
        landmarks=False,
        threshold=0.5,
        threshold_source="dlib's own: a confidence of 0; the score is its logistic function",
        licence="BSL-1.0",
        min_face=40.0,  # half of dlib's window, because the image is doubled once
        decoded_face=40.0,
        window=80.0,
        options=(_UPSAMPLE,),
    ),
    DetectorSpec(
        name="dlib-cnn",
        target="faceindex.detect.dlib_cnn:DlibCnn",
        summary="dlib's max-margin CNN (mmod), same boxes, run by torch: also turned and half-hidden faces",
        landmarks=False,
        threshold=0.5,
        threshold_source="dlib's own: a confidence of 0; the score is its logistic function",
        licence="CC0-1.0",
        min_face=40.0,
        decoded_face=40.0,
        window=80.0,
        weights=(
            WeightFile(
                name="mmod_human_face_detector.dat",
                size=729_940,
                sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
                source=_DLIB_MODELS,
                package="face_recognition_models",
                package_path="face_recognition_models/models/mmod_human_face_detector.dat",
            ),
        ),
        options=(_UPSAMPLE,),
    ),
    EmbedderSpec(
        name="dlib",
        target="faceindex.embed.dlib_resnet:DlibResNet",
        summary="dlib's 29-layer ResNet, the encodings of face_recognition",
        dimension=128,
        alignment=Alignment(name="dlib", size=150),
        colour="RGB",
        normalisation="(x - (122.782, 117.001, 104.298)) / 256",
        threshold=0.91,
        threshold_source="98.9 % of 3,000 LFW pairs correct with mtcnn (benchmarks/lfw_pairs.py)",
        calibration=Calibration(
            slope=210.0,
            midpoint=0.905,
            source=(
                "benchmarks/calibrate.py; the two halves of the people of shared/data people/ and lfw/ give "
                "slopes 192 and 204, midpoints 0.900 and 0.907"
            ),
            consensus=1.6,
            blurred=0.14,
            # benchmarks/strangers.py, as are the next ones
            strangers=-10.5,
            known=12.2,
        ),
        licence="CC0-1.0",
        weights=(
            WeightFile(
                name="dlib_face_recognition_resnet_model_v1.dat",
                size=22_466_066,
                sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                source=_DLIB_MODELS,
                package="face_recognition_models",
                package_path="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
            ),
            SHAPE_PREDICTOR,  # for the alignment
        ),
        options=(_HALF,),
    ),
    EmbedderSpec(
        name="mobilefacenet",
        target="faceindex.embed.mobilefacenet:MobileFaceNet",
        summary="MobileFaceNet trained on MS1M: about as fast as dlib, far more accurate",
        dimension=192,
        alignment=Alignment(name="arcface", size=112),
        colour="RGB",
        normalisation="(x - 127.5) / 128",
        threshold=0.36,
        threshold_source="99.4 % of 3,000 LFW pairs correct with mtcnn (benchmarks/lfw_pairs.py)",
        calibration=Calibration(
            slope=36.0,
            midpoint=0.38,
            source=(
                "the two halves of the people of shared/data lfw/ give slopes 42 and 36, midpoints 0.411 "
                "and 0.384; those of people/ give slopes 29 and 23, midpoints 0.302 and 0.363. Chosen among "
                "them by the clusters of one half of people/, lfw/, group_photos/ and diverse/, and checked "
                "on the other half"
            ),
            consensus=2.0,
            blurred=0.0,  # blurred strangers resemble each other less than sharp ones
            # benchmarks/strangers.py, as are the next ones
            strangers=-12.0,
            known=14.5,
            poor=7.0,
        ),
        licence="MIT (network: Apache-2.0)",
        norm=NormScale(good=66.0, step=10.0, source="benchmarks/quality.py"),
        weights=(
            WeightFile(
                name="mobilefacenet.tflite",
                size=5_233_396,
                sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
                source=(
                    "https://github.com/syaringan357/Android-MobileFaceNet-MTCNN-FaceAntiSpoofing "
                    "(app/src/main/assets/MobileFaceNet.tflite)"
                ),
                url=(
                    "https://raw.githubusercontent.com/syaringan357/"
                    "Android-MobileFaceNet-MTCNN-FaceAntiSpoofing/"
                    "d635649e711f5e16e6cd3dc06cbb329cd8d1d3b7/app/src/main/assets/MobileFaceNet.tflite"
                ),
            ),
            SHAPE_PREDICTOR,  # for the alignment of faces without landmarks
        ),
        options=(_FLIP,),
        scale=PixelScale(mean=127.5, divisor=128),
    ),
    EmbedderSpec(
        name="facenet",
        target="faceindex.embed.facenet:Facenet",
        summary="Inception-ResNet-v1 trained on VGGFace2, the embeddings of facenet-pytorch",
        dimension=512,
        alignment=Alignment(name="facenet", size=160),
        colour="RGB",
        normalisation="(x - 127.5) / 128",
        threshold=0.45,
        threshold_source="99.0 % of 3,000 LFW pairs correct with mtcnn (benchmarks/lfw_pairs.py)",
        calibration=Calibration(
            slope=30.0,
            midpoint=0.42,
            source=(
                "benchmarks/calibrate.py --embedder facenet; the two halves of the people of shared/data "
                "people/ give slopes 33 and 27, midpoints 0.323 and 0.389; those of lfw/ give slopes 32 and "
                "30, midpoints 0.470 and 0.435"
            ),
            consensus=2.0,
            blurred=0.0,  # blurred strangers resemble each other no more than sharp ones
            # benchmarks/strangers.py, as are the next ones
            strangers=-11.0,
            known=11.5,
            poor=3.0,
        ),
        licence="MIT (weights: terms of VGGFace2)",
        weights=(
            WeightFile(
                name="20180402-114759-vggface2.pt",
                size=111_898_327,
                sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
                source="https://github.com/timesler/facenet-pytorch (release v2.2.9)",
                url=(
                    "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
                    "20180402-114759-vggface2.pt"
                ),
                also=(
                    WeightFile(
                        name="facenet-vggface2.pt",
                        size=94_273_915,
                        sha256="acd64493474e675f026faf87e63ce6bc33d77c8ff3d0f315a76adb181f4ba829",
                        source="the same network without its classifier, batch norm folded to identity",
                    ),
                ),
            ),
            SHAPE_PREDICTOR,  # for the alignment
        ),
        options=(
            _FLIP,
            _HALF,
        ),
        scale=PixelScale(mean=127.5, divisor=128),
    ),
    *ONNX_EMBEDDERS,
    ClustererSpec(
        name="album",
        target="faceindex.clustering.album:AlbumClusterer",
        summary="Chinese Whispers with the evidence of shared photos; estimates the number of people",
        needs="graph",
        source="faceindex.clustering.album",
    ),
    ClustererSpec(
        name="chinese-whispers",
        target="faceindex.clustering.chinese_whispers:ChineseWhispers",
        summary="Label propagation on the neighbour graph; estimates the number of people",
        needs="graph",
        source="Biemann 2006, https://aclanthology.org/W06-3812",
    ),
    ClustererSpec(
        name="kmeans",
        target="faceindex.clustering.kmeans:KMeans",
        summary="k-means++ with several starts; for a known number of people",
        needs="vectors",
        source="scikit-learn",
    ),
)
