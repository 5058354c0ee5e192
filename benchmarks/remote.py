"""Compare indexing photos in an S3 store on this machine with indexing the same photos in a folder.

The store is the server of the package moto, in a process of its own; its CPU time does not count. A proxy in
that process delays every request by 0 or 50 ms, as a store far away does. Folder and store take turns. The
boxes of all runs must be equal, and their vectors but for rounding, which depends on the batch. Reading
alone is measured, too: the photos are read ahead as in a run, without the networks.

    python benchmarks/remote.py [--quick] [--data ../shared/data]

Needs ``pip install "faceindex[remote]" "moto[server]"``. Writes ``results/remote.json``.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from pathlib import Path
from statistics import median
from typing import Any

from common import argument_parser, people_photos, ratios, run_child, use_weights_beside, write_result

DELAY = 0.05  # seconds
MODELS = ("yunet", "mobilefacenet")
BUCKET = "photos"


def serve() -> None:
    """Run the server, and a proxy for each delay; print the ports, and end when standard input does."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    print(json.dumps([forward(port, 0.0), forward(port, DELAY)]), flush=True)
    sys.stdin.read()
    server.stop()


def forward(port: int, delay: float) -> int:
    """Pass connections on to a port; hold each request for `delay` seconds."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def copy(source: socket.socket, target: socket.socket, wait: float) -> None:
        try:
            while data := source.recv(1 << 16):
                if wait:
                    time.sleep(wait)
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            one.close()

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for ends in ((client, server, delay), (server, client, 0.0)):
                threading.Thread(target=copy, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def index(place: str, directory: str) -> None:
    """Index a place, then read its photos again without the networks; print the costs."""
    from faceindex import FaceIndex
    from faceindex.pipeline.load import Loader
    from faceindex.pipeline.plan import make_plan
    from faceindex.recognition import LoadedPhoto
    from faceindex.store import Store

    with FaceIndex.create(directory, detector=MODELS[0], embedder=MODELS[1]) as found:
        started, cpu = time.perf_counter(), time.process_time()
        summary = found.add(place)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        started = time.perf_counter()
        again = found.add(place)
        unchanged = time.perf_counter() - started
    plan = make_plan(None, [place], retry_failed=False, prune=False, exclude=[], on_scan=lambda files: None)
    read = 0

    class Read(Exception):
        pass

    def stop(data: Any, name: str) -> LoadedPhoto:
        nonlocal read
        read += len(data)
        raise Read

    started = time.perf_counter()
    for _ in Loader(plan.tasks, stop, budget=1 << 30, threads=2):
        pass
    reading = time.perf_counter() - started
    with Store.open(directory) as store:
        names = {record.id: record.relpath for record in store.photos().values()}
        table = store.faces()
        vectors = store.vectors(table.row)
    faces = sorted(
        (names[int(photo)], box.tobytes().hex(), vector.tobytes().hex())
        for photo, box, vector in zip(table.photo, table.boxes, vectors, strict=True)
    )
    print(
        json.dumps(
            {
                "photos": summary.photos,
                "opened_again": again.opened,
                "unreadable": sum(summary.unreadable.values()),
                "faces": faces,
                "wall": wall,
                "cpu": cpu,
                "unchanged_wall": unchanged,
                "reading_wall": reading,
                "read_bytes": read,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve()
        return
    if sys.argv[1:2] == ["--index"]:
        index(*sys.argv[2:4])
        return
    parser = argument_parser(__doc__, quick="80 photos, one pair of runs", data=True)
    arguments = parser.parse_args()
    use_weights_beside(arguments.data)
    photos = people_photos(arguments.data)
    photos = photos[:: max(1, len(photos) // (80 if arguments.quick else 400))]
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    lines = iter(server.stdout.readline, "")
    ports = json.loads(next(line for line in lines if line.startswith("[")))
    environments = [
        {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        for port in ports
    ]
    runs: dict[str, list[Any]] = {"folder": [], "store": [], "far store": []}
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "photos")
            os.environ.update(environments[0])
            upload(photos, folder)
            for number in range(1 if arguments.quick else 3):
                for name, place, environment in (
                    ("folder", str(folder), environments[0]),
                    ("store", f"s3://{BUCKET}/all", environments[0]),
                    ("far store", f"s3://{BUCKET}/all", environments[1]),
                ):
                    directory = Path(temporary, f"{name} {number}")
                    runs[name].append(run_child(__file__, "--index", place, directory, env=environment))
    finally:
        server.terminate()
        server.wait()
    report(runs, len(photos), quick=arguments.quick)


def upload(photos: list[Path], folder: Path) -> None:
    """Write the same photos to a folder and to the store."""
    import s3fs

    system = s3fs.S3FileSystem()
    system.mkdir(BUCKET)
    for photo in photos:
        name = f"{photo.parent.name}/{photo.name}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photo.read_bytes())
        system.pipe_file(f"{BUCKET}/all/{name}", photo.read_bytes())


def most_difference(one: list[str], other: list[str]) -> float:
    """Return the greatest difference of two vectors, as `index` prints them."""
    a, b = (array("f", bytes.fromhex(face[2])) for face in (one, other))
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def report(runs: dict[str, list[Any]], photos: int, *, quick: bool) -> None:
    faces, difference = runs["folder"][0]["faces"], 0.0
    for name, found in runs.items():
        for run in found:
            assert [face[:2] for face in run["faces"]] == [face[:2] for face in faces], name
            difference = max(difference, *map(most_difference, run["faces"], faces))
            assert (run["photos"], run["unreadable"], run["opened_again"]) == (photos, 0, 0), name
    assert difference < 1e-5, difference
    measured = {
        name: {
            key: round(median(run[key] for run in found), 3)
            for key in ("wall", "cpu", "unchanged_wall", "reading_wall", "read_bytes", "peak_mib")
        }
        for name, found in runs.items()
    }
    cpu = {
        name: round(median(ratios([r["cpu"] for r in runs[name]], [r["cpu"] for r in runs["folder"]])), 3)
        for name in ("store", "far store")
    }
    print(f"{photos} photos, {len(faces)} faces, the same in all runs; vectors differ by {difference:.1e}")
    for name, values in measured.items():
        print(name, values)
    print(f"CPU time over that of a folder: {cpu}; one after the other, 50 ms each: {photos * DELAY:.1f} s")
    path = write_result(
        "remote",
        {
            "photos": photos,
            "faces": len(faces),
            "same_photos_and_boxes": True,
            "most_difference_of_vectors": difference,
            "delay_seconds": DELAY,
            "measured": measured,
            "cpu_over_folder": cpu,
            "one_after_the_other_seconds": photos * DELAY,
        },
        quick=quick,
    )
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
