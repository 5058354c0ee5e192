"""Start Ray on this machine for one run, closed to all others, or join a running cluster.

Ray that is started here listens on 127.0.0.1 only, requires a random token of everybody who connects, has no
dashboard and sends no statistics. Its files (sockets, logs) are in a folder of mode 0700 that goes away with
it: when the run ends, or at the start of a later one if this process is killed.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from faceindex.engine import Place, check_installed
from faceindex.errors import EngineError
from faceindex.scratch import own_folder, short_parent

__all__ = ["Head", "joined"]

_STORE_BYTES = 100_000_000
"""Bytes of Ray's object store. A batch of results has some kilobytes; Ray's minimum is 75 MB."""

_PREFIX = "fi-ray-"
_LONGEST = 20
"""Bytes of the temporary folder: Ray's sockets lie 85 bytes deeper, and Linux allows 107 (macOS: 103)."""

_TOKEN = secrets.token_hex(32)  # one for each process: Ray keeps the first one that it reads

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
_LOCAL = {
    **_QUIET,
    # By this, Ray uses 127.0.0.1 on every system, as it does by itself on macOS and Windows.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _TOKEN,
    "RAY_enable_metrics_collection": "0",
}
"""Environment of Ray that is started here. Its processes inherit it; ours is restored afterwards."""

_imported_closed = False  # Ray was first imported with the environment `_LOCAL`, which it reads only then


@contextlib.contextmanager
def joined(place: Place, cores: int) -> Iterator[None]:
    """Be connected to Ray inside the ``with``.

    If this process is connected already, as by `ray.init` of the caller, it stays so.

    Parameters
    ----------
    place : Place
    cores : int
        Cores that Ray may use, if it is started here.

    Raises
    ------
    EngineError
        If Ray is not installed, does not start, or there is no such cluster.
    """
    check_installed()
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
    elif place.address is None:
        with _environment(_LOCAL):
            _import_closed()
            with own_folder(short_parent(_LONGEST), _PREFIX) as folder:
                yield from _started(folder, cores)
    else:
        # Also for a cluster: this process sends nothing. The cluster is the business of its owner.
        with _environment(_QUIET):
            yield from _connected(place.address)


def _import_closed() -> None:
    """Import Ray so that what it starts is closed to others; `EngineError` if it was imported before."""
    global _imported_closed
    if "ray" in sys.modules and not _imported_closed:
        raise EngineError(
            "Ray was imported before, so it cannot be started closed to other users of this machine.",
            "Import ray after this, or call ray.init() first: then its connection is used.",
        )
    import ray  # noqa: F401

    _imported_closed = True


def _started(folder: Path, cores: int) -> Iterator[None]:
    import ray

    try:
        with _own_signals():
            ray.init(
                address="local",  # never a cluster that happens to run, nor that of $RAY_ADDRESS
                num_cpus=cores,
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                _temp_dir=str(folder / "r"),  # Ray makes it readable for all; the folder above is not
            )
        _check_loopback()
        with _silent():
            yield
    except Exception as error:
        if ray.is_initialized() or isinstance(error, EngineError):
            raise
        raise EngineError(
            f"Ray does not start on this machine ({_first_line(error)}).",
            "Run it without `on`, or start Ray yourself with `ray start` and pass `ray:auto`.",
        ) from error
    finally:
        ray.shutdown()


def _check_loopback() -> None:
    """Check that Ray listens on this machine only: another version may have another setting for it."""
    import ray

    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    if not addresses <= {"127.0.0.1", "::1"}:
        raise EngineError(
            f"Ray {ray.__version__} listens on {', '.join(sorted(addresses))}, not on this machine only.",
            "Install another version of Ray, or call ray.init() first, or run it without `on`.",
        )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Ray from printing to standard output that a worker died, which `log_to_driver` does not prevent.

    Such deaths are dealt with, and standard output belongs to the answer.
    """
    from ray._private import worker

    name = "print_to_stdstream"
    before = getattr(worker, name, None)
    if before is None:  # another version of Ray: at worst it prints
        yield
        return
    setattr(worker, name, lambda *_, **__: None)
    try:
        yield
    finally:
        setattr(worker, name, before)


def _connected(address: str) -> Iterator[None]:
    import ray

    try:
        with _own_signals():
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except Exception as error:
        ray.shutdown()
        if "ersion mismatch" in str(error):
            raise EngineError(
                f"The Ray cluster at {address} has other versions ({' '.join(str(error).split())}).",
                "Install the same versions of Ray and Python on all machines.",
            ) from error
        raise EngineError(
            f"The Ray cluster at {address} cannot be joined ({_first_line(error)}).",
            "Start Ray on this machine too, by `ray start` with that address, and pass `ray:auto`.",
        ) from error
    try:
        with _silent():
            yield
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM, which `ray.init` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# The head ----------------------------------------------------------------------------------------

_ANSWER_SECONDS = 1.0


def _is_alive() -> bool:
    """Return whether the head answers a request with a time limit, which only Ray's own client of it has."""
    import ray
    from ray._private import worker

    client = getattr(worker.global_worker, "gcs_client", None)
    check_alive = getattr(client, "check_alive", None)
    if check_alive is None:  # another version of Ray: that it takes connections must do
        return True
    try:
        check_alive([], timeout=_ANSWER_SECONDS)
    except ray.exceptions.RpcError:
        return False
    return True


class Head:
    """Watches the head of the cluster: without it, calls of Ray wait for a minute and then end this process.

    A head that hangs counts as silent, as well as one that is gone: it is to answer a request, while to
    connect needs only the kernel of its machine.

    Parameters
    ----------
    patience : float
        Seconds for which it may be silent.
    """

    def __init__(self, patience: float) -> None:
        import ray

        self._patience = patience
        self._address: str = ray.get_runtime_context().gcs_address
        self._heard = time.monotonic()
        self._silent = -math.inf  # when it did not answer at last
        self._is_lost = False

    def answers(self) -> bool:
        """Return whether the head answers; waits two seconds at most, and not for every one of many calls."""
        if self._is_lost or time.monotonic() - self._silent < 2 * _ANSWER_SECONDS:
            return False
        if not self._is_connected() or not _is_alive():
            self._silent = time.monotonic()
            return False
        self._heard = time.monotonic()
        return True

    def _is_connected(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    def check(self) -> bool:
        """Return whether the head answers; raises `EngineError` if it has been silent for too long."""
        if self.answers():
            return True
        silent = time.monotonic() - self._heard
        if self._is_lost or silent > self._patience:
            self._is_lost = True
            raise EngineError(
                f"The head of the Ray cluster ({self._address}) has not answered for {silent:.0f} seconds.",
                "Start the cluster again, and run this again: what is committed stays.",
            )
        return False
