"""The page of a running session: what it may ask.

``/stream`` lines as server-sent events; ``/picture`` the newest picture, asked for one at a time by the page, so that
one that stalls asks for nothing; ``/do`` an order (JSON), handed to the supervisor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from realtime.ipc import messages
from realtime.web.address import Address
from realtime.web.camera import Camera
from realtime.web.guard import Guard
from realtime.web.serving import answer, asked, make_app, refuse
from realtime.web.story import Story

_STEP_S = 0.045
"""Between two batches of lines: every tick of 20 a second comes by itself."""
_ALIVE_S = 5.0
_PICTURE_S = 1.0
_MOST_STREAMS = 32
MAX_TEXT = 200


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a button asks."""

    do: Literal["mark", "rest", "record", "stop"]
    text: str = ""
    on: bool = True


class LivePage:
    """Routes over a story and a camera; ``hand_on`` takes orders."""

    def __init__(self, story: Story, camera: Camera, hand_on: Callable[[messages.Command], None]) -> None:
        self._story, self._camera, self._hand_on = story, camera, hand_on
        self.streams = 0
        """Pages that listen."""

    def app(self, where: Address, token: str) -> Guard:
        """The application."""
        routes = [
            Route("/stream", self._stream),
            Route("/picture", self._picture),
            Route("/do", self._do, methods=["POST"]),
        ]
        return make_app("live.html", routes, where, token)

    async def _stream(self, _: Request) -> Response:
        if self.streams >= _MOST_STREAMS:
            return refuse(f"{_MOST_STREAMS} pages are open already", 503)
        return StreamingResponse(self._lines(), media_type="text/event-stream")

    async def _lines(self) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            whole, place = self._story.whole()
            yield _event("whole", whole)
            while not self._story.ended:
                if not await self._story.wait(place, _ALIVE_S):
                    yield b": alive\n\n"
                    continue
                new, place = self._story.since(place)
                if new is None:
                    whole, place = self._story.whole()
                    yield _event("whole", whole)
                else:
                    yield _event("lines", new)
                await asyncio.sleep(_STEP_S)
            new, place = self._story.since(place)
            yield _event("lines", new or b"[]")
            yield _event("end", b"{}")
        finally:
            self.streams -= 1

    async def _picture(self, request: Request) -> Response:
        """Wait for a picture newer than ``after``; 204 where none comes in a second."""
        try:
            after = int(request.query_params.get("after", "-1"))
        except ValueError:
            return refuse("after: a whole number")
        deadline = time.monotonic() + _PICTURE_S
        while (found := self._camera.picture(after)) is None and not self._story.ended:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(max(0.01, self._camera.wait_s()))
        if found is None:
            return Response(status_code=204)
        headers = {"x-index": str(found[0])}
        return Response(found[1], media_type="application/octet-stream", headers=headers)

    async def _do(self, request: Request) -> Response:
        now = time.monotonic_ns()
        order = await asked(request, Order)
        text = " ".join(order.text.split())
        if len(text) > MAX_TEXT or not text.isprintable():
            return refuse(f"a mark is at most {MAX_TEXT} characters that can be printed")
        self._hand_on(messages.Command(do=order.do, text=text, on=order.on, t_ns=now, origin="page"))
        return answer({"ok": True, "t_ns": now})


def _event(name: str, data: bytes) -> bytes:
    """A server-sent event; JSON of ours has no line break."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
