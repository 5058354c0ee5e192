"""Kill a process that changes an index, and compare what is left with what it had committed.

`run` forks a process for an action. It can be killed after some time, or at a placed step: a change of a
file, or a step of SQLite. `tests/people/test_kill.py` and `benchmarks/kills.py` use it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from faceindex import FaceIndex
from faceindex.errors import IndexCorrupt
from faceindex.store import Store
from faceindex.store.catalog import Catalog
from faceindex.store.migrations import WITH_AWAY_PHOTOS

__all__ = ["DAMAGED", "Kind", "Run", "State", "read_state", "run"]

Kind = Literal["file", "database"]

_INSTRUCTIONS = 20  # of SQLite's virtual machine between two steps
_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir", "os.link", "os.symlink"}
)


@dataclass(frozen=True)
class State:
    """What an index holds: a digest of everything that may not change, and one for each face.

    Attributes
    ----------
    digest : str
        Of roots, photos, faces with their vectors, clusters, people, models; without dates and random ids.
        Empty if there is no index.
    faces : frozenset of str
        Digests of the photo, the box, the score and the vector of each face, also on photos that are away.
    """

    digest: str
    faces: frozenset[str]


DAMAGED = State("damaged", frozenset())
"""Of an index that was damaged on purpose and has not been repaired yet."""


@dataclass
class Run:
    """What a process did until it ended or was killed.

    Attributes
    ----------
    killed : bool
    commits : int
        Transactions that it had reported as committed.
    states : list of State
        The state after each commit, if these were recorded.
    steps : dict of Kind to int
        Steps that it took, if it ended by itself.
    seconds : float
    error : str
        The traceback, if the action raised an exception.
    """

    killed: bool = False
    commits: int = 0
    states: list[State] = field(default_factory=list)
    steps: dict[Kind, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


def read_state(directory: Path, *, damaged: bool = False) -> State:
    """Read what an index holds.

    Raises what opening and reading it raises; if it is `damaged` on purpose, returns `DAMAGED` instead of
    `IndexCorrupt`.
    """
    try:
        return _read_state(directory)
    except IndexCorrupt:
        if damaged:
            return DAMAGED
        raise


def _read_state(directory: Path) -> State:
    if not Store.exists(directory):
        return State("", frozenset())
    with FaceIndex.open(directory) as index:
        table, vectors = index.table(), index.vectors()
        names = [face.photo for face in index.faces()]
        assert np.isfinite(vectors).all()
        faces = [
            _digest(name, table.boxes[i].tobytes(), table.scores[i].tobytes(), vectors[i].tobytes())
            for i, name in enumerate(names)
        ]
        away = _away_faces(index)
        faces += [_digest("away", *face) for face in away]
        roots = {root.id: root.path for root in index.roots()}
        photos = sorted(
            (
                roots[p.root_id].rpartition("/")[2],
                p.relpath,
                p.size,
                p.content_hash,
                p.status.value,
                p.reason,
                p.faces,
            )
            for p in index._store.photos().values()
        )
        people = sorted((p.name or "", p.hidden, p.note or "", p.faces) for p in index.people.list())
        word = [(face.person, face.confirmed) for face in index.faces()]
        log = [(entry.command, entry.undone_by) for entry in index.people.log()]
        names_of_roots = sorted(path.rpartition("/")[2] for path in roots.values())
        parts = (
            index.pins,
            names_of_roots,
            photos,
            faces,
            table.face.tolist(),
            table.cluster.tolist(),
            people,
            word,
            log,
        )
        return State(_digest(*map(repr, parts)), frozenset(faces))


def _away_faces(index: FaceIndex) -> list[tuple[str, bytes, bytes]]:
    """Return the photo, the geometry and the vector of each face on a photo that is away."""
    if index._store.format_version < WITH_AWAY_PHOTOS:
        return []
    vectors = index._store.vectors()
    found = index._store._catalog.query(
        "SELECT i.relpath, f.geometry, f.vector_row FROM away_faces f JOIN away_images i ON i.id = f.image_id"
        " ORDER BY f.id"
    )
    return [
        (os.fsdecode(name).rpartition("/")[2], geometry, vectors[row].tobytes())
        for name, geometry, row in found
    ]


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


def run(
    action: Callable[[], object],
    *,
    seconds: float | None = None,
    step: tuple[Kind, int] | None = None,
    record: Path | None = None,
    damaged: bool = False,
) -> Run:
    """Run an action in a forked process, which is killed by SIGKILL.

    Parameters
    ----------
    action : callable
    seconds : float, optional
        Kill it after this time.
    step : (Kind, int), optional
        Kill it at the n-th step of this kind, counted from 1.
    record : Path, optional
        The index of which the state is read after each commit.
    damaged : bool
        As in `read_state`, for `record`.

    Returns
    -------
    Run
    """
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reader)
        code = 1
        try:
            _child(action, writer, step, record, damaged)
            code = 0
        except BaseException:
            _send(writer, error=traceback.format_exc())
        finally:
            os._exit(code)
    os.close(writer)
    done = Run()
    deadline = None if seconds is None else started + seconds
    text = b""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if select.select([reader], [], [], left)[0]:
            data = os.read(reader, 1 << 16)
            if not data:
                break
            text += data
        elif deadline is not None:
            os.kill(child, signal.SIGKILL)
            deadline = None
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    done.seconds = time.monotonic() - started
    done.killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    for line in text.split(b"\n")[:-1]:
        message = json.loads(line)
        done.commits = message.get("commits", done.commits)
        done.error = message.get("error", done.error)
        done.steps = message.get("steps", done.steps)
        if "state" in message:
            done.states.append(State(message["state"][0], frozenset(message["state"][1])))
    if not done.killed and status and not done.error:
        done.error = f"the process ended with status {status}"
    return done


def _send(pipe: int, **message: object) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(pipe, data) :]


def _child(
    action: Callable[[], object],
    pipe: int,
    step: tuple[Kind, int] | None,
    record: Path | None,
    damaged: bool,
) -> None:
    steps: dict[Kind, int] = {"file": 0, "database": 0}
    commits = 0
    counting = True

    def count(kind: Kind) -> None:
        if counting:
            steps[kind] += 1
            if (kind, steps[kind]) == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def count_instructions() -> int:
        count("database")
        return 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and _for_writing(arguments)):
            count("file")

    original_sync, transaction, connect = os.fsync, Catalog.transaction, sqlite3.connect

    def connect_counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_progress_handler(count_instructions, _INSTRUCTIONS)
        return connection

    def sync(fd: Any) -> None:
        count("file")  # before it, and after it
        original_sync(fd)
        count("file")

    @contextlib.contextmanager
    def counted(self: Catalog, **options: bool) -> Iterator[None]:
        nonlocal commits, counting
        with transaction(self, **options):
            yield
        commits += 1
        if record is None:
            _send(pipe, commits=commits)
        elif self.path.parent == record:
            counting = False
            state = read_state(record, damaged=damaged)
            counting = True
            _send(pipe, commits=commits, state=[state.digest, sorted(state.faces)])

    os.fsync = sync
    sqlite3.connect = connect_counted  # type: ignore[assignment]
    Catalog.transaction = counted  # type: ignore[method-assign]
    sys.addaudithook(watch)
    action()
    counting = False
    _send(pipe, steps=steps)


def _for_writing(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
