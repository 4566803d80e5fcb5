"""Jobs on Ray core: a job a task, its resources declared, tried again when its node dies.

The tasks write the results, into a folder that all nodes share; Ray carries a job's arguments and a receipt.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from offline.jobs import remote
from offline.jobs.job import Job, Outcome
from realtime.errors import ConfigError, MerealtimeError, UserError

RETRIES = 3
"""Of a job whose node or process died."""
IN_FLIGHT_A_CORE = 4
_PATIENCE_S = 0.5
_INSPECTION_S = 120.0
_DEATH_S = 10.0
"""After which a cluster knows that a node is dead."""
_GRACE_S = 60.0
"""How long jobs wait for a node that could run them, where none is left."""
_ROOT = Path(__file__).resolve().parents[2]


def check(address: str) -> None:
    """Refuse, before anything is read, what can't be reached. Raises UserError."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("--ray needs Ray, which is not installed: pip install 'merealtime[cluster]'")
    if address in ("", "auto", "local"):
        return
    found = re.fullmatch(r"([^:/\s]+):([0-9]{1,5})", address)
    if not found:
        raise ConfigError(f"--ray {address}: give auto, or HOST:PORT of the cluster's head, on one of its nodes")
    with contextlib.suppress(ImportError):
        import ray

        if ray.is_initialized():
            return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--ray {address}: no Ray cluster answers there ({error}): ray start --head begins one"
        ) from error


def run(
    waiting: deque[Job], jobs: Sequence[Job], address: str, workers: int | None, needs: Sequence[Path], out: Path | None
) -> Generator[Outcome | None]:
    """Outcomes as they come; None every half second between. Closing it cancels what runs.

    waiting: those of the jobs that may begin; the caller adds to it whenever it has been given something.
    """
    check(address)
    with _connected(address, workers) as ray:
        digest = remote.code_digest(str(_ROOT))
        _inspect_nodes(ray, digest, needs, out)
        _check_resources(ray, jobs)
        yield from _run(ray, waiting, digest)


@contextlib.contextmanager
def _connected(address: str, workers: int | None) -> Iterator[Any]:
    """Ray, connected; disconnected again (and a cluster of ours ended) unless the caller had it already."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody else is told
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    ours = not ray.is_initialized()
    if ours:
        local = address in ("", "local")
        where: dict[str, Any] = {"address": "local", "num_cpus": workers} if local else {"address": address}
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                **where, include_dashboard=False if local else None, log_to_driver=False, logging_level=logging.ERROR
            )
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise UserError(
                f"--ray {address}: no Ray cluster can be joined: {remote.one_line(error)}: ray start --head begins one"
            ) from error
        with contextlib.suppress(AttributeError):  # a node that died and the like would be told on standard output
            ray._private.worker.print_to_stdstream = lambda *_, **__: None
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own there
    ray.cloudpickle.register_pickle_by_value(remote)
    try:
        yield ray
    finally:
        ray.cloudpickle.unregister_pickle_by_value(remote)
        if ours:
            ray.shutdown()


def _inspect_nodes(ray: Any, digest: str, needs: Sequence[Path], out: Path | None) -> None:
    """Raises UserError where a node lacks code, data or the folder of results."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = None
    if out is not None:
        token = out / f".node-check-{secrets.token_hex(4)}"
        out.mkdir(parents=True, exist_ok=True)
        token.touch()
    inspect = ray.remote(num_cpus=0, max_retries=0)(remote.inspect)
    arguments = (str(_ROOT), digest, [str(path.absolute()) for path in needs], token and str(token.absolute()))
    asked: dict[Any, dict[str, Any]] = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[inspect.options(scheduling_strategy=there).remote(*arguments)] = node
    try:
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_INSPECTION_S)
        for reference in ready:
            wrong = _inspected(ray, reference, asked[reference]["NodeID"])
            if wrong:
                raise UserError(f"node {asked[reference]['NodeManagerAddress']}: {wrong}")
        if late:
            address = asked[late[0]]["NodeManagerAddress"]
            raise MerealtimeError(f"node {address}: does not answer in {_INSPECTION_S:.0f} s")
    finally:
        if token is not None:
            for file in token.parent.glob(f"{token.name}*"):
                file.unlink(missing_ok=True)


def _inspected(ray: Any, reference: Any, node: str) -> str:
    """What is wrong with a node; nothing, where it is gone."""
    try:
        return str(ray.get(reference))
    except ray.exceptions.RayError as error:
        deadline = time.monotonic() + _DEATH_S
        while any(one["NodeID"] == node and one["Alive"] for one in ray.nodes()):
            if time.monotonic() > deadline:
                return remote.one_line(error)[:300]
            time.sleep(_PATIENCE_S)
        return ""


def _needed(job: Job) -> dict[str, float]:
    wanted = {"CPU": float(max(1, job.cores)), "GPU": job.gpus, "memory": float(job.memory_mb << 20)}
    return {name: amount for name, amount in wanted.items() if amount}


def _unfit(ray: Any, jobs: Sequence[Job]) -> str:
    """A job that no living node could ever run, and what it needs; "" where each has one."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for job in jobs:
        needed = _needed(job)
        if not any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
            words = {"CPU": f"{job.cores} cores", "GPU": f"{job.gpus:g} GPU", "memory": f"{job.memory_mb} MB of memory"}
            return f"{job.name} needs {', '.join(words[name] for name in needed)}"
    return ""


def _check_resources(ray: Any, jobs: Sequence[Job]) -> None:
    unfit = _unfit(ray, jobs)
    if unfit:
        raise UserError(f"--ray: {unfit}, and no node of the cluster has that: ask for less, or add a node")


def _run(ray: Any, waiting: deque[Job], digest: str) -> Generator[Outcome | None]:
    submit = ray.remote(max_retries=RETRIES)(remote.task)
    running: dict[Any, Job] = {}
    fits_since = time.monotonic()
    try:
        while waiting or running:
            most = max(8, round(IN_FLIGHT_A_CORE * ray.cluster_resources().get("CPU", 0)))
            while waiting and len(running) < most:
                job = waiting.popleft()
                running[_submitted(submit, job, digest)] = job
            ready, _ = ray.wait(list(running), num_returns=1, timeout=_PATIENCE_S)
            if not ready:
                if not _unfit(ray, list(running.values())):
                    fits_since = time.monotonic()
                elif time.monotonic() - fits_since > _GRACE_S:
                    raise MerealtimeError(
                        f"{_unfit(ray, list(running.values()))}, and no node is left that has that; "
                        "what has finished stays: add a node and give the same command"
                    )
                yield None
            for reference in ready:
                yield _outcome(ray, reference, running.pop(reference))
    finally:
        for reference in running:
            with contextlib.suppress(Exception):  # whatever is wrong with it, it is to end
                ray.cancel(reference, force=True)


def _submitted(submit: Any, job: Job, digest: str) -> Any:
    return submit.options(
        name=job.name, num_cpus=max(1, job.cores), num_gpus=job.gpus, memory=(job.memory_mb << 20) or None
    ).remote(str(_ROOT), digest, job.run, job.arguments, remote.limit_threads(job.cores))


def _outcome(ray: Any, reference: Any, job: Job) -> Outcome:
    try:
        return Outcome(job=job, **ray.get(reference))
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0][:300]
        return Outcome(job=job, error=f"{type(error).__name__}, tried {RETRIES + 1} times: {first}")
