"""Run the engine on a cluster whose nodes die; a program of its own, for `tests/engine/test_cluster.py`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine_fakes import Doubler

from faceindex.engine import Place, pool
from faceindex.engine.pool import RayEngine
from faceindex.errors import EngineError

_AFTER = 12  # batches after an event


class _Run:
    """Doubles numbers until `workers` are at work and `event` was called, and a while longer."""

    def __init__(self, engine: RayEngine, worker: Doubler, workers: int, event: Callable[[], object]) -> None:
        self.left: int | None = None
        self.found: list[tuple[int, tuple[int, int]]] = []
        self.wanted = workers
        mapped = engine.map(
            worker,
            self._batches(),
            check=lambda about: None,
            should_stop=lambda: False,
            warn=lambda text: None,
        )
        for batch in mapped:
            self.found += batch
            if self.left is None and len(self.pids) >= workers:
                event()
                self.left = _AFTER

    def _batches(self) -> Iterator[list[int]]:
        number = 0
        while self.left is None or self.left > 0:
            yield [number, number + 1]
            number += 2
            if self.left is not None and len(self.pids) > 1:
                self.left -= 1

    @property
    def pids(self) -> set[int]:
        return {pid for _, (_, pid) in self.found}

    @property
    def is_right(self) -> bool:
        return [(item, double) for item, (double, _) in self.found] == [
            (n, 2 * n) for n in range(len(self.found))
        ]


def main(folder: Path) -> dict[str, Any]:
    """Kill a node, add one, kill the head; return what was seen."""
    import ray
    from ray.cluster_utils import Cluster

    more = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **more})
    node = cluster.add_node(**more)
    pool._LOOK_SECONDS, pool._HEAD_SECONDS = 0.5, 2.0
    worker = Doubler(str(folder), seconds=0.03)
    seen: dict[str, Any] = {}
    with RayEngine(Place(cluster.address), 2, "cpu") as engine:
        run = _Run(engine, worker, 2, lambda: cluster.remove_node(node, allow_graceful=False))
        seen["killed"] = run.is_right, len(run.pids)
    with RayEngine(Place(cluster.address), None, "cpu") as engine:
        engine.start()
        while ray.cluster_resources()["CPU"] > 1:
            time.sleep(0.1)
        engine._number = 1
        run = _Run(engine, worker, 1, lambda: cluster.add_node(**more))
        seen["late"] = run.is_right, len(run.pids), engine._number
    with RayEngine(Place(cluster.address), 1, "cpu") as engine:
        try:
            _Run(engine, worker, 1, cluster.head_node.kill_gcs_server)
        except EngineError as error:
            seen["head"] = error.problem, error.remedy
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
