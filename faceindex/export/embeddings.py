"""Export of face vectors as NumPy, CSV, JSON Lines or Parquet."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from faceindex.errors import UsageError
from faceindex.export.boxes import as_text
from faceindex.export.source import Progress, Source, fingerprint, ignore_progress
from faceindex.tables import safe_cell, table_writer
from faceindex.types import F32, I64

__all__ = ["BLOCK", "EmbeddingFormat", "VectorsOf", "embeddings_source", "write_embeddings"]

EmbeddingFormat: TypeAlias = Literal["npz", "csv", "jsonl", "parquet"]

VectorsOf: TypeAlias = Callable[[I64], F32]
"""Maps rows (n,) int64 to unit vectors (n, d) float32, as `faceindex.store.Store.vectors`."""

BLOCK = 1 << 14  # faces; 8 MB of vectors of 128 dimensions
_BLOCK_AS_TEXT = 1 << 10
_EPOCH = (1980, 1, 1, 0, 0, 0)  # time of all members, so that the same vectors give the same file
_VERSION = 4


def embeddings_source(
    source: Source, format: EmbeddingFormat, embedder: str, *, absolute: bool = False
) -> str:
    """Compute the fingerprint of what `write_embeddings` would write; raises as it does."""
    _check(format)
    # The vector of a row never changes.
    table, names = source.table, "\0".join(source.names(absolute=absolute))
    arrays = (table.face, table.row, table.norms, table.boxes, table.scores, table.cluster, table.similarity)
    more = (table.quality, table.turns, "\0".join(source.people()))
    return fingerprint("embeddings", _VERSION, format, embedder, names, *arrays, *more)


def write_embeddings(
    source: Source,
    vectors: VectorsOf,
    file: BinaryIO,
    format: EmbeddingFormat,
    embedder: str,
    *,
    absolute: bool = False,
    on_progress: Progress = ignore_progress,
) -> None:
    """Write the unit vector and the norm of each face; ``vector * norm`` is the output of the model.

    One block of faces is in memory at a time.

    - ``npz``: arrays ``vectors`` (n, d) float32, ``norms`` (n,) float32, ``face`` (n,) int64, ``photo`` (n,)
      unicode, ``box`` (n, 4) float32, ``score`` (n,) float32, ``cluster`` (n,) int64 (-1: none),
      ``person`` (n,) unicode (empty: unnamed), ``similarity`` (n,) float32 (NaN: none), ``quality`` (n,)
      float32, ``turn`` (n,) int64 and ``embedder`` () unicode. No pickle:
      ``numpy.load(file, allow_pickle=False)``.
    - ``csv``: face, photo, cluster, person, norm, quality and v0 to v(d-1). Numbers are the shortest that
      give the same float32.
    - ``jsonl``: a JSON object per line, with face, photo, box, score, cluster, person, quality, norm and
      vector; null for what is unknown. Vector databases such as Milvus take such rows.
    - ``parquet``: the columns of ``npz``, ``vector`` as fixed-size lists; needs pyarrow.

    Parameters
    ----------
    source : Source
    vectors : callable
    file : binary file
        Need not support seeking; stays open.
    format : {"npz", "csv", "jsonl", "parquet"}
    embedder : str
        Name of the model.
    absolute : bool
        Write absolute paths of photos instead of their names.
    on_progress : callable
        Called with the number of finished faces and of all faces.

    Raises
    ------
    UsageError
        If the format is unknown, or pyarrow is not installed.
    """
    _check(format)
    names = source.names(absolute=absolute)
    rows = source.table.row

    def blocks(size: int) -> Iterator[tuple[slice, F32]]:
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            yield part, vectors(rows[part])
            on_progress(part.stop, len(rows))

    dimension = vectors(rows[:0]).shape[1]
    match format:
        case "npz":
            _write_npz(source, names, blocks(BLOCK), dimension, file, embedder)
        case "csv":
            _write_csv(source, names, blocks(_BLOCK_AS_TEXT), dimension, file)
        case "jsonl":
            _write_jsonl(source, names, blocks(_BLOCK_AS_TEXT), file)
        case "parquet":
            _write_parquet(source, names, blocks(BLOCK), dimension, file, embedder)


def _check(format: str) -> None:
    if format not in ("npz", "csv", "jsonl", "parquet"):
        raise UsageError(
            f"There is no format '{format}' for embeddings.", "Choose npz, csv, jsonl or parquet."
        )
    if format == "parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.",
            'Run `pip install "faceindex[parquet]"`, or choose npz, csv or jsonl.',
        )


def _write_npz(
    source: Source,
    names: list[str],
    blocks: Iterator[tuple[slice, F32]],
    dimension: int,
    file: BinaryIO,
    embedder: str,
) -> None:
    table, n = source.table, len(source.table)
    # NumPy ends a string at NUL, which no name contains.
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        _member(archive, "vectors", np.dtype("<f4"), (n, dimension), (block for _, block in blocks))
        for name, texts in (("photo", names), ("person", source.people())):
            letters = np.dtype(("<U", max(1, *map(len, texts)) if texts else 1))
            parts = (np.array(texts[start : start + BLOCK], letters) for start in range(0, n, BLOCK))
            _member(archive, name, letters, (n,), parts, compressed=True)
        for name, values in (
            ("norms", table.norms),
            ("face", table.face),
            ("box", table.boxes),
            ("score", table.scores),
            ("cluster", table.cluster),
            ("similarity", table.similarity),
            ("quality", table.quality),
            ("turn", table.turns),
            ("embedder", np.array(embedder)),
        ):
            values = np.asarray(values)
            _member(archive, name, values.dtype, values.shape, iter([values]))


def _member(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    blocks: Iterator[NDArray[Any]],
    *,
    compressed: bool = False,
) -> None:
    """Write one array in format 1.0 of ``.npy`` (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    about = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    about.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(about, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for block in blocks:
            member.write(np.ascontiguousarray(block, dtype).tobytes())


def _write_csv(
    source: Source, names: list[str], blocks: Iterator[tuple[slice, F32]], dimension: int, file: BinaryIO
) -> None:
    table, people = source.table, source.people()
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
    try:
        writer = table_writer(text)
        writer.writerow(
            ("face", "photo", "cluster", "person", "norm", "quality", *(f"v{i}" for i in range(dimension)))
        )
        for part, block in blocks:
            clusters = ("" if cluster < 0 else cluster for cluster in table.cluster[part].tolist())
            norms_and_qualities = as_text(np.stack([table.norms[part], table.quality[part]], axis=1))
            columns = zip(
                table.face[part].tolist(),
                names[part],
                clusters,
                people[part],
                norms_and_qualities,
                as_text(block),
                strict=True,
            )
            for face, name, cluster, person, measures, vector in columns:
                writer.writerow((face, safe_cell(name), cluster, safe_cell(person), *measures, *vector))
    finally:
        text.detach()


def _write_jsonl(
    source: Source, names: list[str], blocks: Iterator[tuple[slice, F32]], file: BinaryIO
) -> None:
    table, people = source.table, source.people()
    for part, block in blocks:
        columns = zip(
            table.face[part].tolist(),
            names[part],
            people[part],
            table.cluster[part].tolist(),
            as_text(table.boxes[part]),
            as_text(np.stack([table.scores[part], table.quality[part], table.norms[part]], axis=1)),
            as_text(block),
            strict=True,
        )
        for face, name, person, cluster, box, (score, quality, norm), vector in columns:
            file.write(
                f'{{"face": {face}, "photo": {json.dumps(name)}, "person": {json.dumps(person or None)},'
                f' "cluster": {cluster if cluster >= 0 else "null"}, "box": [{", ".join(box)}],'
                f' "score": {score or "null"}, "quality": {quality or "null"}, "norm": {norm or "null"},'
                f' "vector": [{", ".join(vector)}]}}\n'.encode("ascii")
            )


def _write_parquet(
    source: Source,
    names: list[str],
    blocks: Iterator[tuple[slice, F32]],
    dimension: int,
    file: BinaryIO,
    embedder: str,
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table, people = source.table, source.people()
    schema = pa.schema(
        [
            ("face", pa.int64()),
            ("photo", pa.string()),
            ("box", pa.list_(pa.float32(), 4)),
            ("score", pa.float32()),
            ("cluster", pa.int64()),
            ("person", pa.string()),
            ("similarity", pa.float32()),
            ("norm", pa.float32()),
            ("quality", pa.float32()),
            ("turn", pa.int16()),
            ("vector", pa.list_(pa.float32(), dimension)),
        ],
        metadata={"embedder": embedder},
    )

    def lists(values: F32) -> Any:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])

    with parquet.ParquetWriter(file, schema) as writer:
        for part, block in blocks:
            none = table.cluster[part] < 0
            # Parquet's strings are UTF-8: undecodable bytes of names become "\xNN".
            photos = [name.encode("utf-8", "backslashreplace").decode() for name in names[part]]
            columns = [
                pa.array(table.face[part]),
                pa.array(photos, pa.string()),
                lists(table.boxes[part]),
                pa.array(table.scores[part]),
                pa.array(table.cluster[part], mask=none),
                pa.array([person or None for person in people[part]], pa.string()),
                pa.array(table.similarity[part], mask=none),
                pa.array(table.norms[part]),
                pa.array(table.quality[part]),
                pa.array(table.turns[part], pa.int16()),
                lists(block),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
