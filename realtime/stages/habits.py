"""What makes a process behave in real time. Each habit can be switched; what the system refuses is
reported.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import threading

import zmq

from realtime import pipeline
from realtime.config import RuntimeSettings
from realtime.stages import procfs

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_MCL_CURRENT, _MCL_FUTURE = 1, 2
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}


class _SchedAttr(ctypes.Structure):
    """``struct sched_attr`` of sched_setattr(2), first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def thread_environment(threads: int) -> dict[str, str]:
    """Environment of a stage, set before it starts: these libraries look only once."""
    count = str(threads)
    names = (
        "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS NUMBA_NUM_THREADS OPENCV_FOR_THREADS_NUM "
        "TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS"
    )
    environment = dict.fromkeys(names.split(), count)
    environment |= {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # same scores on every machine
        "GLOG_minloglevel": "2",
        "MALLOC_ARENA_MAX": "2",  # threads that come and go do not grow the heap
        "PYTHONUNBUFFERED": "1",
    }
    return environment


def set_title(name: str) -> None:
    """Show ``name`` in ``ps``, ``top`` and ``pkill`` (15 characters there) and as the command line."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    start, end = procfs.own_arguments()
    if 0 < start < end:
        ctypes.memmove(start, name.encode()[: end - start - 1].ljust(end - start, b"\0"), end - start)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill us when the supervisor dies, however it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def pin(stage: str, settings: RuntimeSettings) -> list[str]:
    """CPU affinity, before any library counts the CPUs."""
    cpus = settings.cpus.get(stage)
    if not cpus:
        return []
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        return [f"{stage}: CPUs {cpus} refused ({error.strerror}); it runs on any"]
    return []


def ask_for_turns(length_us: int) -> bool:
    """Have this thread, and those that it starts, served in turns of this length (0: the system's); False where the
    kernel knows no such wish.

    From Linux 6.12 on the runtime of an ordinary thread is the length of the turns that it asks for. The share of the
    CPU stays the same, but who asks for little is served first: our short work for a frame does not wait until a
    browser's turn is over. No privilege is needed.
    """
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    attr = _SchedAttr(
        size=ctypes.sizeof(_SchedAttr),
        policy=os.SCHED_OTHER,
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        runtime=length_us * 1000,
    )
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, 0, ctypes.byref(attr), 0) == 0)


def may_be_first(priority: int) -> bool:
    """Whether the system lets our threads have SCHED_FIFO at this priority (0: not asked for)."""
    told: list[bool] = []

    def ask() -> None:  # in a thread of its own: what it becomes ends with it
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            told.append(True)

    if priority:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    return bool(told)


def messenger(settings: RuntimeSettings) -> zmq.Context[zmq.Socket[bytes]]:
    """A stage's ZeroMQ context. What carries its messages works for microseconds: it goes first where it may."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    if may_be_first(settings.event_priority):  # libzmq ends the process where the system refuses
        context.set(zmq.THREAD_SCHED_POLICY, os.SCHED_FIFO)
        context.set(zmq.THREAD_PRIORITY, settings.event_priority)
    return context


def settle(stage: str, settings: RuntimeSettings) -> list[str]:
    """After warm-up: freeze the heap, lock memory, real-time scheduling of this thread. Returns refusals."""
    refused = []
    if settings.freeze_gc:
        gc.collect()
        gc.freeze()
    if settings.lock_memory:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE):
            reason = os.strerror(ctypes.get_errno())
            refused.append(f"{stage}: memory not locked ({reason}); raise ulimit -l")
    if settings.fifo_priority and pipeline.BY_NAME[stage].real_time:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(settings.fifo_priority))
        except OSError as error:
            refused.append(f"{stage}: SCHED_FIFO refused ({error.strerror}); ordinary scheduling; raise ulimit -r")
    elif settings.event_priority and pipeline.BY_NAME[stage].prompt:
        with contextlib.suppress(OSError):  # not asked for by the user: no refusal to tell of
            policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, policy, os.sched_param(settings.event_priority))
    return refused
