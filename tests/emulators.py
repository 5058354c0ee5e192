"""Emulators of Google's and Azure's stores on this machine, for tests: `gcp-storage-emulator` and Azurite."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s3_server import served

__all__ = ["AZURE_KEY", "Azure", "Google", "azurite", "serve_azure", "serve_google"]

AZURE_KEY = base64.b64encode(b"not-a-real-secret-key-of-azure").decode()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as found:
            if found.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


class Google:
    """A server that can be stopped and started again, with its objects in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._server: Any = None
        self.start()

    def start(self) -> None:
        from gcp_storage_emulator.server import create_server

        self._server = create_server("127.0.0.1", self.port, data_dir=str(self.folder))
        self._server.start()
        _wait_for(self.port)

    def stop(self) -> None:
        self._server.stop()

    def system(self) -> Any:
        """Return the fsspec file system."""
        import gcsfs

        return gcsfs.GCSFileSystem(use_listings_cache=False)


def azurite() -> str | None:
    """Return the program of Azurite, if it is installed."""
    return shutil.which("azurite-blob")


class Azure:
    """The same, of Azurite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = azurite()
        assert program is not None
        words = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", str(self.folder)]
        self._process = subprocess.Popen(
            [program, "--blobHost", "127.0.0.1", "--blobPort", str(self.port), *words],
            env={**os.environ, "AZURITE_ACCOUNTS": f"account:{AZURE_KEY}"},
            stdout=subprocess.DEVNULL,
        )
        _wait_for(self.port)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def system(self) -> Any:
        """Return the fsspec file system."""
        import adlfs

        return adlfs.AzureBlobFileSystem(use_listings_cache=False)

    def connection(self, key: str = AZURE_KEY) -> str:
        """Return the connection string, as adlfs takes it from the environment."""
        address = f"http://127.0.0.1:{self.port}/account"
        return f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey={key};BlobEndpoint={address};"


@contextmanager
def serve_google(folder: Path) -> Iterator[Google]:
    """Start a server, with its address in the environment."""
    server = Google(folder)
    settings = {
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.port}",
        "FSSPEC_GS_TOKEN": "anon",
        "NO_PROXY": "127.0.0.1",
    }
    with served(server, settings, "gs", "gcs"):
        yield server


@contextmanager
def serve_azure(folder: Path) -> Iterator[Azure]:
    """Start a server, with its address and key in the environment."""
    server = Azure(folder)
    settings = {"AZURE_STORAGE_CONNECTION_STRING": server.connection(), "NO_PROXY": "127.0.0.1"}
    with served(server, settings, "az", "abfs"):
        yield server
