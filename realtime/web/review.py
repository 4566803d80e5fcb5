"""The page over a recorded session: what it may ask.

``/session`` the whole account; ``/curves``, ``/clip``, ``/picture/N``, ``/maps`` of what is looked at; ``/verdict``
takes a judgement (JSON) and answers when it is on disk.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread
import cv2
import msgspec
import simplejpeg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from realtime.errors import MerealtimeError
from realtime.session import review
from realtime.sinks.lines import EventLine
from realtime.web.address import Address
from realtime.web.guard import Guard
from realtime.web.look_again import Looker
from realtime.web.recorded import Recorded
from realtime.web.serving import answer, asked, make_app, refuse

_LARGEST_PX = 1280
_QUALITY = 90


class Judgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page posts: a verdict without its time, which is ours."""

    event: int | None
    verdict: review.Said
    label: str | None = None
    onset: int
    apex: int
    offset: int
    reviewer: str
    note: str = ""


class ReviewPage:
    """Routes over a recorded session."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._looker = Looker(recorded, self._reading)

    def app(self, where: Address) -> Guard:
        """The application."""
        routes = [
            Route("/session", self._session),
            Route("/curves", self._curves),
            Route("/clip", self._clip),
            Route("/picture/{number:int}", self._picture),
            Route("/maps", self._maps),
            Route("/verdict", self._verdict, methods=["POST"]),
        ]
        return make_app("review.html", routes, where)

    # ---------------------------------------------------------------- the account

    async def _session(self, _: Request) -> Response:
        return answer(await anyio.to_thread.run_sync(self.account))

    def account(self) -> dict[str, Any]:
        """Everything but curves and pictures."""
        recorded, seconds = self._recorded, self._seconds
        session = recorded.session
        return {
            "name": recorded.folder.name,
            "subject": session.subject,
            "session": session.first,
            "summary": session.summary,
            "seconds": recorded.seconds(),
            "fps": recorded.fps,
            "faces": recorded.faces(),
            "pictures": recorded.has_pictures(),
            "why_no_pictures": recorded.why_no_pictures,
            "curves": len(recorded.curves) > 0,
            "sensitivity": recorded.sensitivity(),
            "damaged": session.damaged,
            "events": [self._told(event) for event in recorded.events],
            "markers": [{**msgspec.to_builtins(mark), "s": seconds(mark.t_ns)} for mark in session.markers],
            "gaps": [
                {**msgspec.to_builtins(gap), "from_s": seconds(recorded.time_of(gap.first)),
                 "to_s": seconds(recorded.time_of(gap.last))}
                for gap in session.gaps
            ],
            "notices": [
                {"what": notice.what, "detail": notice.detail, "s": seconds(notice.t_ns)} for notice in session.notices
            ],
            **self._reviewed(),
        }  # fmt: skip

    def _told(self, event: EventLine) -> dict[str, Any]:
        times = {f"{moment}_s": self._seconds(getattr(event, f"{moment}_t_ns")) for moment in _MOMENTS}
        return {**msgspec.to_builtins(event), **times}

    def _reviewed(self) -> dict[str, Any]:
        found = review.read(self._recorded.folder)
        counting = review.latest(found.verdicts)
        return {
            "verdicts": [self._timed(verdict) for verdict in counting],
            "agreements": review.agreements(found.verdicts),
        }

    def _timed(self, verdict: review.Verdict) -> dict[str, Any]:
        frames = {moment: getattr(verdict, moment) for moment in _MOMENTS}
        times = {f"{moment}_s": self._seconds(self._recorded.time_of(frame)) for moment, frame in frames.items()}
        return {**msgspec.to_builtins(verdict), **times}

    def _seconds(self, t_ns: int) -> float:
        return round((t_ns - self._recorded.zero_ns) / 1e9, 6)

    # ---------------------------------------------------------------- what is looked at

    async def _curves(self, request: Request) -> Response:
        recorded = self._recorded
        begin_s, end_s = _number(request, "from", 0.0), _number(request, "to", recorded.seconds())
        bins, face = int(_number(request, "bins", 1000)), int(_number(request, "face", 0))
        begin_ns, end_ns = (recorded.zero_ns + round(1e9 * s) for s in (begin_s, end_s))
        times, regions = recorded.reduced(begin_ns, end_ns, bins, face)
        return answer({"s": [self._seconds(t_ns) for t_ns in times], "regions": regions})

    async def _clip(self, request: Request) -> Response:
        event = self._event_of(request)
        first = int(_number(request, "first", event.onset if event else 0))
        last = int(_number(request, "last", event.offset if event else first))
        rows = await anyio.to_thread.run_sync(self._rows, event, first, last)
        pictures = self._recorded.pictures_of(None if event is None else event.id)
        frames = [[number, self._seconds(t_ns)] for number, t_ns in rows]
        there = pictures is not None and bool(frames)
        return answer({"frames": frames, "pictures": there, "box": self._recorded.face_box(event, first)})

    def _rows(self, event: EventLine | None, first: int, last: int) -> list[tuple[int, int]]:
        with self._reading:
            return self._recorded.clip(None if event is None else event.id, first, last)

    async def _picture(self, request: Request) -> Response:
        event, number = self._event_of(request), request.path_params["number"]
        jpeg = await anyio.to_thread.run_sync(self._jpeg, None if event is None else event.id, number)
        if jpeg is None:
            return refuse(f"frame {number} has no picture", 404)
        return Response(jpeg, media_type="image/jpeg")

    def _jpeg(self, event: int | None, number: int) -> bytes | None:
        with self._reading:
            gray = self._recorded.picture(event, number)
        if gray is None:
            return None
        height, width = gray.shape
        shrink = max(height, width) / _LARGEST_PX
        if shrink > 1:
            size = round(width / shrink), round(height / shrink)
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        made: bytes = simplejpeg.encode_jpeg(gray[..., None], quality=_QUALITY, colorspace="GRAY")
        return made

    async def _maps(self, request: Request) -> Response:
        event = self._event_of(request)
        moments = tuple(int(_number(request, moment, getattr(event, moment, -1))) for moment in _MOMENTS)
        onset, apex, offset = moments
        if not 0 <= onset < apex <= offset:
            return refuse("onset, apex, offset must be given, in this order")
        return answer(await anyio.to_thread.run_sync(self._looker.look, event, (onset, apex, offset)))

    def _event_of(self, request: Request) -> EventLine | None:
        return self._recorded.event(int(_number(request, "event", -1))) if "event" in request.query_params else None

    # ---------------------------------------------------------------- what is said of it

    async def _verdict(self, request: Request) -> Response:
        judgement = await asked(request, Judgement)
        if judgement.event is not None:
            self._recorded.event(judgement.event)
        if not judgement.onset <= judgement.apex <= judgement.offset or judgement.onset == judgement.offset:
            return refuse("onset, apex and offset must follow each other")
        reviewer = " ".join(judgement.reviewer.split())
        if not reviewer or not reviewer.isprintable():
            return refuse("who reviews? a name is needed: two reviewers are compared by it")
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        fields = msgspec.structs.asdict(judgement) | {"reviewer": reviewer, "at": at}
        try:
            verdict = msgspec.convert(fields, review.Verdict)
        except msgspec.ValidationError as error:
            return refuse(f"not understood: {error}", 422)
        try:
            await anyio.to_thread.run_sync(self._write, verdict)
        except OSError as error:
            return refuse(f"{self._recorded.folder / review.FILE}: not written ({error.strerror})", 507)
        return answer({"ok": True, "verdict": self._timed(verdict), **self._reviewed()})

    def _write(self, verdict: review.Verdict) -> None:
        with self._writing:
            review.append(self._recorded.folder, verdict)

    def warm_up(self) -> None:
        """Load what the first look would wait for; for a thread."""
        begun = time.monotonic()
        event = next((event for event in self._recorded.events if self._recorded.pictures_of(event.id)), None)
        if event is not None and time.monotonic() - begun < 10:
            try:
                self._looker.look(event, (event.onset, event.apex, event.offset))
            except MerealtimeError:
                return  # the page says so when it asks


_MOMENTS = ("onset", "apex", "offset")


def _number(request: Request, name: str, default: float) -> float:
    """A query parameter; MerealtimeError where it is no finite number of a sane size."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e12:
        raise MerealtimeError(f"{name}: must be a number")
    return value
