"""`FaceIndex.pictures`: thumbnails from the cache or drawn, photos as upright JPEGs, and forgetting."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex import FaceIndex, images
from faceindex.api import pictures
from faceindex.errors import ImageError, UsageError
from faceindex.export import thumbnails
from faceindex.images.thumbnails import cut_squares
from faceindex.store import thumbnail_cache
from faceindex.store.directory import THUMBNAILS
from faceindex.types import I64


def decoded(jpeg: bytes | None) -> PillowImage.Image:
    assert jpeg is not None
    image = PillowImage.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    image.load()
    return image


def pixel(image: PillowImage.Image, x: int, y: int) -> I64:
    found: I64 = np.asarray(image.convert("RGB"))[y, x].astype(np.int64)
    return found


def photo_ids(index: FaceIndex) -> dict[str, int]:
    return {Path(record.relpath).name: record.id for record in index._store.photos().values()}


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the photos that are decoded."""
    found: list[str] = []
    decode = images.decode

    def counted(data: bytes, path: str, **options: int) -> object:
        found.append(Path(path).name)
        return decode(data, path, **options)

    monkeypatch.setattr(images, "decode", counted)
    return found


@pytest.fixture
def plain(tmp_path: Path, fake_models: ModuleType) -> FaceIndex:
    """An index open for reading, with photos that have EXIF, an orientation, and a side of 400 pixels."""
    album = tmp_path / "album"
    album.mkdir()
    for number, colour in enumerate([(200, 40, 40), (40, 200, 40), (40, 40, 200)]):
        photo = PillowImage.new("RGB", (400, 300), colour)
        photo.paste((255, 255, 255), (0, 0, 400, 40))  # the upper edge, as stored
        exif = photo.getexif()
        exif[0x0112], exif[0x010E] = 6, "a secret place"  # turn 90 degrees clockwise
        photo.save(album / f"{number}.jpg", exif=exif, quality=95)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
    return FaceIndex.open(tmp_path / "index")


def test_thumbnails_are_drawn_once(index: FaceIndex, decodes: list[str]) -> None:
    faces = [face.face for face in index]
    cold = dict(index.pictures.thumbnails(faces))
    assert sorted(cold) == sorted(faces)
    assert len(decodes) == 12
    for face in index:
        image = decoded(cold[face.face])
        assert image.size == (thumbnails.SIDE, thumbnails.SIDE)
        with PillowImage.open(face.path) as photo:
            middle = pixel(photo, photo.width // 2, photo.height // 2)
        assert np.abs(pixel(image, 56, 56) - middle).max() < 12
    with FaceIndex.open(index.directory) as other:
        assert dict(other.pictures.thumbnails(faces)) == cold
        assert [face for face, _ in other.pictures.thumbnails(reversed(faces))] == faces[::-1]
        assert other.counts().bytes[THUMBNAILS] > 12 * 500
        assert dict(other.pictures.thumbnails([faces[0], faces[0], 999, -1, 2**70]))[999] is None
    assert len(decodes) == 12
    assert index.doctor(index.directory).healthy


def test_a_photo_that_is_gone_has_no_new_thumbnail(index: FaceIndex, decodes: list[str]) -> None:
    one, two, three, *_ = list(index)
    assert dict(index.pictures.thumbnails([one.face]))[one.face] is not None
    for face in (one, two):
        Path(face.path).unlink()
    Path(three.path).write_bytes(b"another file")
    found = dict(index.pictures.thumbnails([one.face, two.face, three.face]))
    assert found[one.face] is not None  # the disk may just not be mounted
    assert found[two.face] is found[three.face] is None


def test_another_box_is_another_thumbnail(index: FaceIndex, decodes: list[str]) -> None:
    face = next(iter(index)).face
    (_, before), *_ = index.pictures.thumbnails([face])
    with index._store.deciding():
        index._store._catalog.execute(
            "UPDATE faces SET geometry = CAST(x'00000000' || substr(geometry, 5) AS BLOB) WHERE id = ?",
            (face,),
        )
    (_, after), *_ = index.pictures.thumbnails([face])
    assert before != after
    assert len(decodes) == 2


def test_what_was_drawn_before_the_caller_stops_is_kept(index: FaceIndex, decodes: list[str]) -> None:
    faces = [face.face for face in index]
    drawing = index.pictures.thumbnails(faces)
    face, jpeg = next(drawing)
    assert isinstance(drawing, Generator)
    drawing.close()
    again = len(decodes)
    assert jpeg is not None
    assert dict(index.pictures.thumbnails([face]))[face] == jpeg
    assert len(decodes) == again


def test_warming_stops_and_leaves_nothing_to_draw(index: FaceIndex, decodes: list[str]) -> None:
    faces = [face.face for face in index]
    assert index.pictures.warm(faces, lambda: True) == 0
    assert 1 <= index.pictures.warm(faces[:8], lambda: len(decodes) >= 2) < 8
    kept = len(list(index.pictures.kept(faces)))
    assert 1 <= kept < 8
    assert index.pictures.warm(faces) == 12 - kept
    assert index.pictures.warm(faces) == 0
    count = len(decodes)
    assert all(jpeg for _, jpeg in index.pictures.thumbnails(faces))
    assert len(decodes) == count


def test_without_a_place_to_write_everything_is_drawn(
    index: FaceIndex, decodes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnail_cache, "_is_ours", lambda directory: False)  # as a read-only folder
    faces = [face.face for face in index]
    for _ in range(2):
        assert all(jpeg for _, jpeg in index.pictures.thumbnails(faces))
    assert index.pictures.warm(faces) == 0
    assert len(decodes) == 24
    assert not (index.directory / THUMBNAILS).exists()


def test_a_snapshot_stores_nothing(index: FaceIndex) -> None:
    """Inside it, the catalog still has the faces that another process forgets."""
    faces = [face.face for face in index]
    with FaceIndex.open(index.directory) as reader:
        with reader._store.snapshot():
            assert all(jpeg for _, jpeg in reader.pictures.thumbnails(faces))
        assert not list(reader.pictures.kept(faces))
        assert all(jpeg for _, jpeg in reader.pictures.thumbnails(faces))
        assert len(list(reader.pictures.kept(faces))) == 12


# Photos ------------------------------------------------------------------------------------------


def test_a_photo_is_upright_without_metadata_and_small(plain: FaceIndex, decodes: list[str]) -> None:
    photo = photo_ids(plain)["0.jpg"]
    for side, size in ((None, (300, 400)), (200, (150, 200)), (5000, (300, 400)), (1, (1, 1))):
        jpeg = plain.pictures.photo(photo, side)
        assert b"secret" not in jpeg and b"Exif" not in jpeg
        assert decoded(jpeg).size == size
    image = decoded(plain.pictures.photo(photo))
    assert pixel(image, 295, 200).min() > 240  # the upper edge is at the right
    assert np.abs(pixel(image, 20, 200) - (200, 40, 40)).max() < 12
    count = len(decodes)
    assert plain.pictures.photo(photo, 200) == plain.pictures.photo(photo, 200)
    assert len(decodes) == count  # both from memory
    plain.close()


def test_a_photo_that_changed_or_is_unknown(plain: FaceIndex, tmp_path: Path) -> None:
    ids = photo_ids(plain)
    shutil.copy(tmp_path / "album" / "1.jpg", tmp_path / "album" / "0.jpg")
    (tmp_path / "album" / "2.jpg").unlink()
    with pytest.raises(ImageError, match="changed since it was indexed"):
        plain.pictures.photo(ids["0.jpg"], 100)
    with pytest.raises(ImageError):
        plain.pictures.photo(ids["2.jpg"], 100)
    for photo in (99, 0, -1, 2**70):
        with pytest.raises(UsageError, match="no photo"):
            plain.pictures.photo(photo)
    with pytest.raises(UsageError, match="`side` is 0"):
        plain.pictures.photo(ids["1.jpg"], 0)
    plain.close()


def test_a_very_large_photo_is_scaled_down(plain: FaceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 30_000)
    image = decoded(plain.pictures.photo(photo_ids(plain)["1.jpg"]))
    assert image.size == (150, 200)
    plain.close()


def test_photos_in_memory_are_bounded() -> None:
    kept = pictures._Renditions(100)
    keys = [("index", number, b"", 10) for number in range(10)]
    for key in keys:
        kept.put(key, bytes(30))
        kept.get(keys[0])
    assert [number for number, key in enumerate(keys) if kept.get(key)] == [0, 8, 9]
    kept.put(keys[0], bytes(10))
    kept.drop("index", 8)
    assert [number for number, key in enumerate(keys) if kept.get(key)] == [0, 9]
    kept.put(keys[1], bytes(101))
    assert not any(kept.get(key) for key in keys)


def test_a_photo_that_is_removed_is_dropped_from_memory(index: FaceIndex) -> None:
    photo = photo_ids(index)["0.png"]
    index.pictures.photo(photo)
    directory = str(index.directory)
    assert any(key[:2] == (directory, photo) for key in pictures._renditions._kept)
    index._store.remove_photos([photo])
    with pytest.raises(UsageError):
        index.pictures.photo(photo)
    assert not any(key[:2] == (directory, photo) for key in pictures._renditions._kept)


# Forgetting --------------------------------------------------------------------------------------


def parts(jpegs: list[bytes]) -> set[bytes]:
    """Parts of the last bytes of JPEGs, where the pixels are."""
    return {jpeg[at : at + 12] for jpeg in jpegs for at in range(len(jpeg) - 60, len(jpeg) - 12, 12)}


def traces(directory: Path, wanted: set[bytes]) -> list[str]:
    """The files of an index with one of these parts."""
    return [path.name for path in directory.iterdir() if any(part in path.read_bytes() for part in wanted)]


@pytest.fixture
def noisy(tmp_path: Path, fake_models: ModuleType) -> FaceIndex:
    """An index of six photos, each with another pattern, so that their thumbnails share no bytes."""
    (tmp_path / "album").mkdir()
    rng = np.random.default_rng(5)
    for number in range(6):
        noise = rng.integers(-12, 13, (96, 96, 3)) + np.array([40 + 32 * number, 100, 200 - 32 * number])
        PillowImage.fromarray(noise.astype(np.uint8)).save(tmp_path / "album" / f"{number}.png")
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(tmp_path / "album")
    return FaceIndex.open(tmp_path / "index")


def test_forgetting_leaves_no_thumbnail(noisy: FaceIndex) -> None:
    faces = [face.face for face in noisy]
    jpegs = {face: jpeg for face, jpeg in noisy.pictures.thumbnails(faces) if jpeg}
    wanted = parts([jpegs[faces[0]]])
    assert traces(noisy.directory, wanted) == [THUMBNAILS]
    assert not parts([jpeg for face, jpeg in jpegs.items() if face != faces[0]]) & wanted
    with FaceIndex.open(noisy.directory, write=True) as index:  # while the other has the cache open
        receipt = index.forget(faces=[faces[0]], verify=True)
    assert receipt.complete and receipt.searched is not None and receipt.searched.hits == 0
    assert traces(noisy.directory, parts([*jpegs.values()])) == []
    found = dict(noisy.pictures.thumbnails(faces))
    assert found.pop(faces[0]) is None
    assert all(found.values())
    assert traces(noisy.directory, wanted) == []
    assert traces(noisy.directory, parts([jpegs[faces[1]]])) == [THUMBNAILS]
    noisy.close()


def test_the_search_after_forgetting_finds_a_thumbnail_that_is_left(noisy: FaceIndex) -> None:
    face = next(iter(noisy)).face
    (_, jpeg), *_ = noisy.pictures.thumbnails([face])
    assert jpeg
    (noisy.directory / ".left").write_bytes(b"before" + jpeg)
    with FaceIndex.open(noisy.directory, write=True) as index:
        receipt = index.forget(faces=[face], verify=True)
    assert receipt.searched is not None and receipt.searched.hits > 0
    assert [Path(path).name for path in receipt.searched.hits_by_file] == [".left"]
    noisy.close()


@pytest.mark.parametrize("when", ["drawing", "storing"])
def test_a_face_that_is_forgotten_while_it_is_drawn_is_not_stored(
    when: str, noisy: FaceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = [face.face for face in noisy]
    directory, began, forgotten = noisy.directory, threading.Event(), threading.Event()

    def forget() -> None:
        began.wait(10)
        with FaceIndex.open(directory, write=True) as index, monkeypatch.context() as patch:
            delete = type(index.forget)._delete

            def deleted(self: object, plan: object) -> int:
                number: int = delete(self, plan)  # type: ignore[arg-type]
                forgotten.set()
                return number

            patch.setattr(type(index.forget), "_delete", deleted)
            index.forget(faces=[faces[0]])

    def wait_for_commit() -> None:
        began.set()
        assert forgotten.wait(10)

    if when == "drawing":
        cut = cut_squares

        def slow(*arguments: object, **options: object) -> object:
            wait_for_commit()
            return cut(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(thumbnails, "cut_squares", slow)
    else:  # after the catalog was read in the transaction: the file is erased with what is stored
        current: Callable[..., object] = pictures.IndexPictures._store_current

        def late(self: pictures.IndexPictures, wanted: list[int]) -> object:
            found = current(self, wanted)
            wait_for_commit()
            return found

        monkeypatch.setattr(pictures.IndexPictures, "_store_current", late)
    thread = threading.Thread(target=forget)
    thread.start()
    jpegs = {face: jpeg for face, jpeg in noisy.pictures.thumbnails(faces) if jpeg}
    thread.join()
    assert len(jpegs) == 6
    assert traces(directory, parts([jpegs[faces[0]]])) == []
    noisy.close()


BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.skipif(not (BENCHMARKS.parents[1] / "shared" / "data").is_dir(), reason="needs ../shared/data")
def test_the_quick_benchmark_fills_the_cache(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); sys.argv = ['thumbnails.py', '--quick']\n"
        f"import common, pathlib; common.RESULTS = pathlib.Path({str(tmp_path)!r})\n"
        "import thumbnails; thumbnails.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "thumbnails_quick.json").read_text())
    assert found["faces"] == 40 and found["file_bytes"] <= 2 << 20


@pytest.mark.skipif(sys.platform == "win32", reason="modes of Unix")
def test_only_the_owner_can_read_the_thumbnails(index: FaceIndex) -> None:
    before = os.umask(0)
    try:
        list(index.pictures.thumbnails([1]))
    finally:
        os.umask(before)
    assert (index.directory / THUMBNAILS).stat().st_mode & 0o777 == 0o600
