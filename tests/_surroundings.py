"""Odd machines for tests: another user, a small /dev/shm, and the reasons where this one can't be made odd so."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""No root and no capability: what is not ours to read or write stays so. Files keep their owner."""
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount") if os.geteuid() else ("unshare", "--mount")


def needed(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, or a skip where the kernel (or a container) does not allow it."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"not allowed here: {' '.join(command)} ({done.stderr.strip()})")
    return command
