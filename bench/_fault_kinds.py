"""The faults themselves, for ``bench/faults.py``: each does one thing to a live session and waits until all goes on."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from bench._fault_session import Session, Trial
from realtime import pipeline

Deed = Callable[[Session, random.Random], Trial]
_STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that happens to a session under way."""

    name: str
    do: Deed
    record: bool = False
    """With ``--record``."""
    keeps_events: bool = True
    """No frame is lost by it, so no event may be."""


def killed(stage: str, moment: str) -> Deed:
    """``kill -9``; moment: ``event`` (one is under way, or on its way through the pipeline), ``after``
    (it has just been told), ``rest``, ``any``.
    """

    def do(session: Session, rng: random.Random) -> Trial:
        if stage == "spot":
            session.wait(session.has_spare, 20)
        victim = session.stage(stage)
        _wait_for_moment(session, stage, moment, rng)
        begun = time.monotonic()
        victim.kill()
        return came_back(session, stage, begun)

    return do


def _wait_for_moment(session: Session, stage: str, moment: str, rng: random.Random) -> None:
    if moment == "any":
        time.sleep(rng.uniform(0.0, 1.0))
    elif moment == "rest":
        session.wait(lambda: session.open_s() == 0.0)
    elif moment == "after":
        _wait_for_event(session)
        time.sleep(rng.uniform(0.0, 0.5))
    elif stage == "spot":
        wanted_s = rng.uniform(0.05, 0.2)
        session.wait(lambda: 0.5 > session.open_s() > wanted_s)
    else:
        _wait_for_event(session)


def _wait_for_event(session: Session) -> None:
    """Until the spotter has sent one: it takes some 10 ms through the flow."""
    sent = session.get("spot", "next_id")
    while session.get("spot", "next_id") == sent and session.child.poll() is None:
        time.sleep(0.0005)


def came_back(session: Session, stage: str, begun: float) -> Trial:
    """Until a killed stage is back, and does what it is for."""
    back = session.wait(lambda: session.notices("stage back", stage, begun))
    told = session.notices("stage restarted", stage, begun)
    if not back:
        return Trial(False, why="not back")
    ready = session.notices("stage back", stage, begun)[0]
    if stage == "spot" and session.wait(session.is_caught_up):
        ready = max(ready, time.monotonic())
    elif stage == "capture":
        frames = session.get("capture", "frames")
        session.wait(lambda: session.get("capture", "frames") > frames)
        ready = max(ready, time.monotonic())
    return Trial(True, ready - begun, told[0] - begun if told else None)


def stopped(stage: str) -> Deed:
    """``SIGSTOP`` for five seconds; who stands in the way of live frames is replaced, the others are waited for."""

    def do(session: Session, rng: random.Random) -> Trial:
        if stage == "spot":
            session.wait(session.has_spare, 20)
        time.sleep(rng.uniform(0.0, 0.5))
        victim, begun = session.stage(stage), time.monotonic()
        victim.suspend()
        replaced = pipeline.BY_NAME[stage].real_time
        try:
            if replaced:
                trial = came_back(session, stage, begun)
            else:
                time.sleep(_STOP_S)
                victim.resume()
                told = session.wait(lambda: _goes_on(session, stage, begun))
                trial = Trial(told, time.monotonic() - begun, why="" if told else "never told that it goes on")
        finally:
            _resume(victim)
        what = "recording stalls" if stage == "record" else "stage stalls"
        noticed = session.notices(what, stage, begun)
        trial.noticed_s = noticed[0] - begun if noticed else None
        return trial

    return do


def _goes_on(session: Session, stage: str, begun: float) -> list[float]:
    what = "recording goes on" if stage == "record" else "stage goes on"
    return session.notices(what, stage, begun)


def _resume(victim: psutil.Process) -> None:
    if victim.is_running() and victim.status() == psutil.STATUS_STOPPED:
        victim.send_signal(signal.SIGCONT)


def camera(field: str, value: int, told: str, *, off_after_s: float = 0.0) -> Deed:
    """A fault of the emulated camera. told: the notice that ends it; empty: nothing but frames that are missing."""

    def do(session: Session, rng: random.Random) -> Trial:
        time.sleep(rng.uniform(0.3, 0.8))
        dropped, begun = session.get("capture", "dropped"), time.monotonic()
        session.control.put(field, value)
        if off_after_s:
            time.sleep(off_after_s)
            session.control.put(field, 0)
        if told:
            ok = session.wait(lambda: session.notices(told, after=begun))
        elif field == "ts_jump_ms":
            ok = True
            time.sleep(0.5)
            session.control.put(field, 0)
            time.sleep(0.5)
        else:
            ok = session.wait(lambda: session.get("capture", "dropped") - dropped >= value)
            ok = ok and session.get("capture", "dropped") - dropped == value
        frames = session.get("capture", "frames")
        ok = session.wait(lambda: session.get("capture", "frames") > frames + 5) and ok
        return Trial(ok, time.monotonic() - begun, why="" if ok else "not told, or not as many as there were")

    return do


def counted_wildly(session: Session, rng: random.Random) -> Trial:
    """One number of the driver is 17 s ahead: no frame is made of it, told or not."""
    time.sleep(rng.uniform(0.3, 0.8))
    number, begun = session.get("capture", "last_number"), time.monotonic()
    session.control.put("seq_wild", 3372)
    time.sleep(1.0)
    seconds = time.monotonic() - begun
    told = session.notices("camera sequence", after=begun)
    made = session.get("capture", "last_number") - number
    ok = 0 < made < (seconds + 1.0) * session.fps
    return Trial(ok, None, told[0] - begun if told else None, "" if ok else f"{made} frames in {seconds:.1f} s")


IN_SESSION = (
    Fault(name="kill -9 spotter, at rest", do=killed("spot", "rest")),
    Fault(name="kill -9 spotter, in an event", do=killed("spot", "event")),
    Fault(name="kill -9 spotter, after an event", do=killed("spot", "after")),
    Fault(name="kill -9 motion, in an event", do=killed("motion", "event")),
    Fault(name="kill -9 motion, at rest", do=killed("motion", "rest")),
    Fault(name="kill -9 classifier, in an event", do=killed("classify", "event")),
    Fault(name="kill -9 classifier, at rest", do=killed("classify", "rest")),
    Fault(name="kill -9 capture", do=killed("capture", "any"), keeps_events=False),
    Fault(name="kill -9 recorder", do=killed("record", "any"), record=True),
    Fault(name="SIGSTOP spotter", do=stopped("spot")),
    Fault(name="SIGSTOP motion", do=stopped("motion")),
    Fault(name="SIGSTOP classifier", do=stopped("classify")),
    Fault(name="SIGSTOP capture", do=stopped("capture"), keeps_events=False),
    Fault(name="SIGSTOP recorder", do=stopped("record"), record=True),
    Fault(
        name="camera unplugged for 1 s",
        do=camera("unplugged", 1, "camera back", off_after_s=1.0),
        keeps_events=False,
    ),
    Fault(name="camera stalls for 0.8 s", do=camera("stall_ms", 800, "camera goes on"), keeps_events=False),
    Fault(name="camera skips 7 frames", do=camera("skip_n", 7, "")),
    Fault(name="3 corrupt buffers", do=camera("corrupt_n", 3, "")),
    Fault(name="3 short buffers", do=camera("short_n", 3, "")),
    Fault(name="time stamps jump by 0.3 s and back", do=camera("ts_jump_ms", 300, ""), keeps_events=False),
    Fault(name="one wild sequence number", do=counted_wildly),
)
RANDOM = tuple(fault for fault in IN_SESSION if not fault.record)
"""What the soak chooses from."""
