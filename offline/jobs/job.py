"""What a job is, what comes of it, and which jobs are this one's share of an array."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from realtime.errors import ConfigError

_MOST_SHARDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work whose result is kept under its key."""

    key: str
    """Digest of all that decides the result; may be a file's name."""
    run: str
    """``package.module:function``, imported where the job runs; called with `arguments` by name. It writes its result
    whole or not at all, and returns a small JSON-able dictionary, or None."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """JSON-able; data by path."""
    after: tuple[str, ...] = ()
    """Keys of jobs that must be done before."""
    cores: int = 1
    """Its libraries are kept to so many threads; 0: not limited, counted as one."""
    gpus: float = 0.0
    """Declared to Ray; on this machine they are not dealt out (`workers` bounds their users)."""
    memory_mb: int = 0
    """Main memory that it needs, 0: little."""
    title: str = ""
    """For people: what fails is listed by it."""
    group: str = ""
    """Jobs of a group take about as long, in proportion to `size`: for the time left."""
    size: float = 1.0

    @property
    def name(self) -> str:
        return self.title or self.key


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A job that ended."""

    job: Job
    value: dict[str, Any] | None = None
    """What its function returned."""
    error: str = ""
    """One line; empty: it went well."""
    seconds: float = 0.0
    where: str = ""
    """Name of the machine."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came of all of them."""

    before: int
    """Were done already."""
    finished: int
    failed: tuple[Outcome, ...]
    waiting: tuple[Job, ...] = ()
    """Not run: what they come after failed."""

    @property
    def total(self) -> int:
        return self.before + self.finished + len(self.failed) + len(self.waiting)


def content_digest(*parts: Any) -> str:
    """32 hex digits of SHA-256 over anything msgspec encodes; dictionaries in any order."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:32]


def shard(text: str, keys: Iterable[str]) -> list[str]:
    """Those of `keys` that are share I of N, as ``"I/N"`` says (I from 1), in their order.

    A key's share depends on the key and N alone: it stays where it is when others are added, done or gone.
    Raises ConfigError.
    """
    number, count = parse_shard(text)
    return [key for key in keys if _share(key, count) == number]


def parse_shard(text: str) -> tuple[int, int]:
    """``"2/8"`` → (2, 8). Raises ConfigError."""
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", text)
    if not found:
        raise ConfigError(f"--shard {text}: write I/N, such as 1/8 for the first of eight")
    number, count = int(found[1]), int(found[2])
    if not 1 <= number <= count <= _MOST_SHARDS:
        raise ConfigError(f"--shard {text}: I counts from 1 to N (the first of eight is 1/8)")
    return number, count


def _share(key: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count + 1
