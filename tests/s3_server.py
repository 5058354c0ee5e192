"""An S3 server on this machine, of the package moto, for tests and benchmarks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

__all__ = ["S3", "SECRET", "serve"]

SECRET = "not-a-real-secret-key"


class S3:
    """A server that can be stopped and started again at its address, with its objects."""

    def __init__(self) -> None:
        self.port = 0
        self._server: Any = None
        self.start()

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    def system(self) -> Any:
        """Return the fsspec file system."""
        import s3fs

        return s3fs.S3FileSystem(use_listings_cache=False)


@contextmanager
def serve() -> Iterator[S3]:
    """Start a server, with the credentials and its address in the environment."""
    server = S3()
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    with served(server, settings, "s3", "s3a"):
        yield server


@contextmanager
def served(server: Any, settings: dict[str, str], *schemes: str) -> Iterator[None]:
    """Have some settings in the environment; then stop the server, and forget the connections to it."""
    with mock.patch.dict(os.environ, settings):
        try:
            yield
        finally:
            import fsspec

            server.stop()
            for name in schemes:
                if name in fsspec.registry:
                    fsspec.get_filesystem_class(name).clear_instance_cache()
