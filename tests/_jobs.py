"""What the tests' jobs do; children and Ray's workers import it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offline.files import write_bytes
from realtime.errors import UserError

CAUGHT = "caught"


@contextlib.contextmanager
def two_ray_nodes(cores: int) -> Iterator[tuple[Any, Any]]:
    """A cluster whose head has one core, and a node with so many; (cluster, node)."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = made.add_node(num_cpus=cores)
        made.wait_for_nodes()
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made, node
    finally:
        ray.shutdown()
        made.shutdown()


def write(folder: str, name: str, seconds: float = 0.0, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """A try is a line in `tries`; the result a file."""
    _note(folder, name)
    time.sleep(seconds)
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    found = [pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]
    write_bytes(Path(folder) / f"{name}.json", str(found[0]).encode())
    return {"name": name, "process": os.getpid(), **(values or {})}


def fail(folder: str, name: str) -> None:
    _note(folder, name)
    raise UserError(f"{name}: is wrong;\n mend it")


def die(folder: str, name: str) -> None:
    _note(folder, name)
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def chatter(folder: str, name: str) -> dict[str, Any]:
    print("to standard output")
    return {"much": "x" * 100_000}


def hang(folder: str, name: str) -> None:
    """Until it is ended; its process id stands in a file."""
    write_bytes(Path(folder) / f"{name}.pid", str(os.getpid()).encode())
    time.sleep(600)


def unless_doomed(folder: str, name: str) -> dict[str, Any]:
    """On the node that is named in `doomed` it hangs, until the node is killed; elsewhere it writes its result."""
    import ray

    if ray.get_runtime_context().get_node_id() == (Path(folder) / "doomed").read_text():
        (Path(folder) / CAUGHT).touch()
        time.sleep(600)
    time.sleep(0.3)
    return write(folder, name)


def _note(folder: str, name: str) -> None:
    with (Path(folder) / "tries").open("a") as file:
        file.write(f"{name}\n")
