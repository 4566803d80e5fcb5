"""Options of the commands that run jobs."""

from __future__ import annotations

import argparse

from offline.commands import cli
from offline.jobs.job import parse_shard


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--shard``, ``--ray`` and ``--workers``."""
    parser.add_argument("--shard", metavar="I/N", help="do only share I of N (from 1), as in a job array")
    parser.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS",
        help="run on Ray: auto, or HOST:PORT of a cluster's head; without ADDRESS on this machine's cores",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, help="jobs at a time here; default: as cores and memory allow")


def check_options(options: argparse.Namespace) -> None:
    """Refuse what can't be done, before anything is read. Raises ConfigError or UserError."""
    cli.check_workers(options.workers)
    if options.shard is not None:
        parse_shard(options.shard)
    if options.ray is not None:
        from offline.jobs import cluster

        cluster.check(options.ray)
