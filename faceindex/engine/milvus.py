"""Milvus as the neighbour index of a face index: `connect`, behind `faceindex.store.neighbours`.

A collection has the id of the face index in its name, and two fields: ``face`` and ``vector``. The metric is
the inner product of unit vectors. Importing pymilvus takes two seconds, so `connect` does it.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceindex.engine.milvus_address import embedded_path, server_of
from faceindex.engine.milvus_embedded import check_database, erase_database, unused
from faceindex.errors import SearchUnavailable
from faceindex.store.neighbours import BUILD_ANEW, is_missing

if TYPE_CHECKING:
    from faceindex.engine.milvus_embedded import Embedded
    from faceindex.store.records import HnswParams
    from faceindex.types import F32, I64

__all__ = ["Milvus", "connect", "index_types"]

_COLLECTION = "faceindex_"
_CONNECT_SECONDS, _REQUEST_SECONDS, _COMPACT_SECONDS = 10.0, 120.0, 60.0
_QUERIES = 256  # in one request
_LARGEST_EF = 32_768  # of Milvus
_NO_PINGS = {"grpc.keepalive_time_ms": (1 << 31) - 1, "grpc.keepalive_permit_without_calls": 0}
"""Milvus Lite ends a connection that pings it, as pymilvus does while an index is built for minutes."""

_DEADLINES = {
    "grpc.service_config": json.dumps(
        {"methodConfig": [{"name": [{}], "timeout": f"{_REQUEST_SECONDS:.0f}s"}]}
    )
}
"""A time limit of gRPC itself: pymilvus makes some requests of its own, as for a time stamp, without one."""

_PARSED_AT_IMPORT = ("MILVUS_URI", "MILVUS_DEFAULT_CONNECTION")

FLAT_BELOW = 20_000
"""Faces up to which every vector is compared (FLAT)."""

_BUILD_SECONDS, _BUILD_RATE = 600, 500  # a server builds so many faces a second, or has failed
_LOAD_SECONDS = 600.0


def index_types(faces: int) -> tuple[str, ...]:
    """Return the index types for so many faces, best first: the first that Milvus supports is used.

    DISKANN is not among them: a server whose build fails tries again for ever (Milvus 2.3.5 did).
    """
    return ("FLAT",) if faces < FLAT_BELOW else ("HNSW", "IVF_FLAT", "FLAT")


def connect(address: str, id: str, directory: Path, params: HnswParams, given: bool) -> Milvus:
    """Connect to Milvus, as `faceindex.store.neighbours.Connect`; Milvus Lite is opened when it is needed.

    Raises
    ------
    SearchUnavailable
        If the packages are missing, Milvus cannot be reached, or the address may not be used.
    """
    path = embedded_path(address, directory)
    if path is not None:
        check_database(path)
        return Milvus("", "", f"Milvus Lite in {path}", id, params, path)
    server = server_of(address, given=given)
    found = Milvus(server.uri, server.token, f"Milvus at {server.uri}", id, params)
    found.reach()
    return found


def _imported(name: str) -> Any:
    """Import a package; without the variables that pymilvus parses then, and that it shows if it cannot."""
    hidden = {key: os.environ.pop(key) for key in _PARSED_AT_IMPORT if key in os.environ}
    try:
        return importlib.import_module(name)
    except ImportError as error:
        problem = f"Search in Milvus needs the package {error.name or name}, which is not installed."
    except Exception as error:
        problem = f"The package {name} cannot be imported ({type(error).__name__})."
    finally:
        os.environ.update(hidden)
    raise SearchUnavailable(
        problem,
        "Run `pip install 'faceindex[milvus]'`, or choose the built-in search: `search='auto'`.",
    )


class Milvus:
    """A collection of a Milvus server or of Milvus Lite, a `faceindex.store.neighbours.NeighbourIndex`.

    Nothing is imported, connected or opened before a method needs it.

    Parameters
    ----------
    uri, token : str
        Of a server.
    name : str
        For messages.
    id : str
        Of the face index.
    params : HnswParams
    path : Path, optional
        Of the database of Milvus Lite.
    """

    def __init__(
        self, uri: str, token: str, name: str, id: str, params: HnswParams, path: Path | None = None
    ) -> None:
        self.name = name
        self.erases_by_rebuilding = path is not None
        self._uri, self._token = uri, token
        self._collection = _COLLECTION + id
        self._params = params
        self._path = path
        self._embedded: Embedded | None = None
        self._loaded = False
        self._type: str | None = None
        self._connection: Any = None

    def reach(self) -> None:
        """Connect, and make the database of Milvus Lite if it is missing."""
        self._connect(create=True)

    @property
    def _client(self) -> Any:
        """The connection. Milvus Lite is started if its database is there."""
        return self._connection if self._connection is not None else self._connect(create=False)

    def _connect(self, *, create: bool) -> Any:
        if self._connection is not None:
            return self._connection
        library = _imported("pymilvus")
        if self._path is not None:
            _imported("milvus_lite")
        # They log every failed request, with its arguments, and what Milvus Lite does not implement.
        for name in ("pymilvus", "milvus_lite", "grpc._server"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        if self._path is not None:
            from faceindex.engine.milvus_embedded import Embedded

            self._embedded = Embedded(self._path, create=create)
            self._uri = self._embedded.uri
        try:
            with self._failures():
                self._connection = library.MilvusClient(
                    uri=self._uri,
                    token=self._token,
                    timeout=_CONNECT_SECONDS,
                    dedicated=True,
                    grpc_options=_DEADLINES if self._path is None else _NO_PINGS,
                )
        finally:
            if self._connection is None and self._embedded is not None:
                self._embedded.close()
        return self._connection

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise what goes wrong as `SearchUnavailable`, without the errors that may carry a token."""
        try:
            yield
        except SearchUnavailable:
            raise
        except Exception as error:
            what = " ".join(str(getattr(error, "message", None) or error).split())
            if self._token:
                for secret in {self._token, *self._token.split(":", 1)} - {""}:
                    what = what.replace(secret, "***")
            raise SearchUnavailable(
                f"{self.name} cannot be used: {what[:200] or type(error).__name__}.",
                BUILD_ANEW
                if self._path is not None
                else "Start it, and check MILVUS_TOKEN; or go back to the built-in search: `search='auto'`.",
                mended_by_rebuilding=self._path is not None,
            ) from None

    def close(self) -> None:
        """Close the connection, and end Milvus Lite."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except Exception:  # a connection that is broken is closed
            logging.getLogger(__name__).debug("closing Milvus", exc_info=True)
        finally:
            if connection is not None and self._embedded is not None:
                self._embedded.close()

    # The collection ----------------------------------------------------------------------------

    def dimension(self) -> int | None:
        """Return the dimension of the vectors; None if there is no collection of this face index.

        0 if the collection is not as `create` and `finish` make it.
        """
        if self._path is not None and self._connection is None and is_missing(self._path):
            return None
        with self._failures():
            if not self._client.has_collection(self._collection, timeout=_REQUEST_SECONDS):
                return None
            found = self._client.describe_collection(self._collection, timeout=_REQUEST_SECONDS)
            fields = {field["name"]: field for field in found["fields"]}
            if {"face", "vector"} - fields.keys():
                return 0
            dimension = int(fields["vector"].get("params", {}).get("dim", 0))
        # Without an index it cannot be loaded: this process or another one was killed while it made one.
        return dimension if self._current_type() is not None else 0

    def create(self, dimension: int) -> None:
        """Make an empty collection in place of the one that is there."""
        self.drop()
        self.reach()
        types = _imported("pymilvus").DataType
        with self._failures():
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("face", types.INT64, is_primary=True)
            schema.add_field("vector", types.FLOAT_VECTOR, dim=dimension)
            self._client.create_collection(
                self._collection, schema=schema, consistency_level="Strong", timeout=_REQUEST_SECONDS
            )
        self._set_type("FLAT", 0)

    def drop(self) -> None:
        """Delete the collection; Milvus Lite with all its files, overwritten."""
        if self._path is None:
            with self._failures():
                if self._client.has_collection(self._collection, timeout=_REQUEST_SECONDS):
                    self._client.drop_collection(self._collection, timeout=_REQUEST_SECONDS)
        else:
            self.close()
            with unused(self._path):
                erase_database(self._path)
        self._loaded, self._type = False, None

    def finish(self, faces: int) -> None:
        """Change the index type to the one for so many faces, and load the collection."""
        current, kinds = self._current_type(), index_types(faces)
        if current in kinds and (current != "FLAT" or kinds[0] == "FLAT"):
            kinds = ()  # the best that there is, found earlier
        for kind in kinds:
            try:
                self._set_type(kind, faces)
                break
            except SearchUnavailable:
                if kind == "FLAT":
                    raise
        self._load()

    def _current_type(self) -> str | None:
        if self._type is None:
            with self._failures():
                found = self._client.describe_index(self._collection, "vector", timeout=_REQUEST_SECONDS)
                if found and found.get("metric_type") == "IP":
                    self._type = str(found["index_type"])
        return self._type

    def _set_type(self, kind: str, faces: int) -> None:
        m, ef = self._params.m, self._params.ef_construction
        if kind != "FLAT" and self._path is None:  # only what is flushed is indexed at once
            with self._failures():
                self._client.flush(self._collection, timeout=_REQUEST_SECONDS)
        params = {
            "HNSW": {"M": m, "efConstruction": ef},
            "IVF_FLAT": {"nlist": min(65_536, max(1, round(4 * math.sqrt(faces))))},
        }.get(kind, {})
        with self._failures():
            self._client.release_collection(self._collection, timeout=_REQUEST_SECONDS)
            if self._client.list_indexes(self._collection, field_name="vector", timeout=_REQUEST_SECONDS):
                self._client.drop_index(self._collection, "vector", timeout=_REQUEST_SECONDS)
            wanted = self._client.prepare_index_params()
            wanted.add_index("vector", index_type=kind, index_name="vector", metric_type="IP", params=params)
            seconds = max(_BUILD_SECONDS, round(faces / _BUILD_RATE))  # pymilvus heeds whole ones only
            self._client.create_index(self._collection, wanted, timeout=seconds)
        self._type, self._loaded = kind, False

    def _load(self) -> None:
        if self._loaded:
            return
        with self._failures():
            # Many vectors take minutes; a server that hangs is noticed by the limit of a single request.
            self._client.load_collection(self._collection, timeout=_REQUEST_SECONDS, _async=True)
            deadline = time.monotonic() + _LOAD_SECONDS
            while (state := self._load_state()) != "Loaded":
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it is still {state} after {_LOAD_SECONDS:.0f} seconds")
                time.sleep(0.1)
        self._loaded = True

    def _load_state(self) -> str:
        return str(self._client.get_load_state(self._collection, timeout=_REQUEST_SECONDS)["state"].name)

    # Faces -------------------------------------------------------------------------------------

    def count(self, first: int, end: int) -> int:
        """Count the faces with ids in ``first..end-1``."""
        return int(self._query(f"face >= {first} and face < {end}", ["count(*)"])[0]["count(*)"])

    def ids(self, first: int, end: int) -> I64:
        """Return the ids in ``first..end-1``, ascending."""
        found = self._query(f"face >= {first} and face < {end}", ["face"], limit=end - first)
        return np.sort(np.array([row["face"] for row in found], np.int64))

    def vectors(self, ids: I64) -> tuple[I64, F32]:
        """Return those of `ids` that are there, ascending, and their vectors."""
        found = self._query(f"face in {ids.tolist()}", ["face", "vector"], limit=max(1, len(ids)))
        found = sorted(found, key=lambda row: int(row["face"]))
        vectors = np.array([row["vector"] for row in found], np.float32)
        return np.array([row["face"] for row in found], np.int64), vectors

    def _query(self, condition: str, fields: list[str], **more: Any) -> list[dict[str, Any]]:
        self._load()
        with self._failures():
            return list(
                self._client.query(
                    self._collection,
                    filter=condition,
                    output_fields=fields,
                    consistency_level="Strong",
                    timeout=_REQUEST_SECONDS,
                    **more,
                )
            )

    def upsert(self, ids: I64, vectors: F32) -> None:
        """Insert faces, in place of those with the same ids."""
        rows = [{"face": face, "vector": vector} for face, vector in zip(ids.tolist(), vectors, strict=True)]
        with self._failures():
            self._client.upsert(self._collection, rows, timeout=_REQUEST_SECONDS)

    def delete(self, ids: I64) -> None:
        """Delete faces; unknown ids are ignored."""
        with self._failures():
            self._client.delete(self._collection, ids=ids.tolist(), timeout=_REQUEST_SECONDS)

    def delete_range(self, first: int, end: int) -> None:
        """Delete the faces with ids in ``first..end-1``."""
        self._load()
        condition = f"face >= {first} and face < {end}"
        with self._failures():
            self._client.delete(self._collection, filter=condition, timeout=_REQUEST_SECONDS)

    def settle(self) -> None:
        """Write what Milvus Lite has in memory to its files; a server has logged it already."""
        if self._path is not None:
            with self._failures():
                self._client.flush(self._collection, timeout=_REQUEST_SECONDS)

    def search(self, queries: F32, k: int, *, latest: bool = True) -> I64:
        """Return the ids of the `k` most similar faces of each query, (m, k), padded with -1.

        A server takes up to half a second to see every write; `latest` is False if it need not wait for that.
        """
        self._load()
        found = np.full((len(queries), k), -1, np.int64)
        params = self._search_params(k)
        for start in range(0, len(queries), _QUERIES):
            with self._failures():
                answers = self._client.search(
                    self._collection,
                    data=list(queries[start : start + _QUERIES]),
                    anns_field="vector",
                    limit=k,
                    output_fields=["face"],
                    search_params={"metric_type": "IP", "params": params},
                    consistency_level="Strong" if latest and start == 0 else "Bounded",
                    timeout=_REQUEST_SECONDS,
                )
                for line, hits in enumerate(answers, start):
                    ids = [int(hit["face"]) for hit in hits][:k]
                    found[line, : len(ids)] = ids
        return found

    def _search_params(self, k: int) -> dict[str, int]:
        match self._current_type():
            case "HNSW":
                return {"ef": min(_LARGEST_EF, max(self._params.ef, 2 * k))}
            case "IVF_FLAT":
                # Recall@20 is 0.9955 for 100,000 faces on a server: benchmarks/milvus.py.
                return {"nprobe": max(16, self._lists() // 4)}
        return {}

    def _lists(self) -> int:
        with self._failures():
            found = self._client.describe_index(self._collection, "vector", timeout=_REQUEST_SECONDS)
        return int(found.get("nlist", 1024))

    def erase(self) -> str | None:
        """Flush and compact, so that no segment in use has deleted vectors; Milvus Lite was made anew."""
        if self._path is not None:
            return None
        with self._failures():
            self._client.flush(self._collection, timeout=_REQUEST_SECONDS)
            job = self._client.compact(self._collection, timeout=_REQUEST_SECONDS)
            deadline = time.monotonic() + _COMPACT_SECONDS
            while (state := self._client.get_compaction_state(job, timeout=_REQUEST_SECONDS)) != "Completed":
                if time.monotonic() > deadline:
                    break
                time.sleep(0.5)
        done = "compacted its collection" if state == "Completed" else "has not finished compacting yet"
        return (
            f"{self.name} deleted the vectors and {done}. Whether its storage, its log and its backups still"
            " have old copies is for its operator to say: Milvus collects dropped files later."
        )
