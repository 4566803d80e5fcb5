"""A network that is not ours runs first in a process of its own: a damaged or hostile one can take its process with it.

``python -m realtime.recognition.trial FOLDER`` loads the bundle of a folder and runs it once. The child writes why it
could not on standard output, has a limit of memory, and is ended when it takes too long.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from realtime.errors import BundleError, MerealtimeError

_ROOT = Path(__file__).resolve().parents[2]
_MOST_S = 60.0
_MOST_BYTES = 4 << 30


def attempt(folder: Path) -> None:
    """BundleError, one line, where the network of a bundle can't be loaded and run, or takes the process with it."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))  # also from a checkout
    command = [sys.executable, "-m", "realtime.recognition.trial", str(folder.absolute())]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            timeout=_MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{folder}: its network did not answer within {_MOST_S:g} s; it is not loaded") from None
    except OSError as error:
        raise MerealtimeError(f"{folder}: no process to try its network in ({error.strerror})") from error
    if done.returncode < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-done.returncode).name
            raise BundleError(
                f"{folder}: its network crashes the runtime ({name}); it is damaged or means harm, and is not loaded"
            )
    if done.returncode:
        said = " ".join(done.stdout.decode(errors="replace").split())
        raise BundleError(said or f"{folder}: its network can't be run (exit code {done.returncode})")


def main() -> int:
    """The child: exit code 0 where the network runs."""
    from realtime.recognition import bundle

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # a smaller limit is in force
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    folder = Path(sys.argv[1])
    try:
        bundle.open_network(folder)
    except MerealtimeError as error:
        print(error)
        return error.exit_code
    except MemoryError:
        print(f"{folder}: its network takes more than {_MOST_BYTES >> 30} GiB of memory")
        return BundleError.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the runtime's own threads can hang a normal exit
