"""Web: the page of a running session, served by a process of its own. Consumes ``Told`` (lines, from the supervisor),
``Outline`` (from the spotter) and, as a mere reader, the ring; emits ``Command``.

It runs at a lower priority than what frames wait for, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

import msgspec

from realtime.ipc import bus, messages
from realtime.ipc.ring import RingReader
from realtime.stages.runner import StageContext
from realtime.web import address
from realtime.web.camera import Camera
from realtime.web.live import LivePage
from realtime.web.serving import Server, make_server, serve
from realtime.web.story import Story

_NICE = 5
_LOOK_S = 0.02
_THRESHOLD_S = 0.5
_LAST_WORDS_S = 0.3  # for pages to be told of the end


def run(context: StageContext) -> None:
    """Serve until told to stop."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    order = context.wait_ring()
    if order is None:
        return
    settings = context.settings.output
    token = address.read_token(settings.web_token_file)
    listening = socket.socket(fileno=context.spec.listening)
    where = address.Address(address.parse(settings.web or "").host, listening.getsockname()[1])
    reader = RingReader.attach(order.ring)
    lines = bus.Receiver(context.zmq, context.endpoint("page"))
    outlines = bus.Subscriber(context.zmq, context.endpoint("outlines"), messages.decode_outline)
    try:
        page = Web(context, Camera(reader), lines, outlines)
        asyncio.run(page.run(listening, where, token))
    finally:
        listening.detach()  # the supervisor's; who takes our place serves on it again
        lines.close()
        outlines.close()
        reader.close()


class Web:
    """State of the running server."""

    def __init__(
        self, context: StageContext, camera: Camera, lines: bus.Receiver, outlines: bus.Subscriber[messages.Outline]
    ) -> None:
        self._context, self._camera, self._lines, self._outlines = context, camera, lines, outlines
        self._story = Story()
        self._next_threshold_s = 0.0

    async def run(self, listening: socket.socket, where: address.Address, token: str) -> None:
        """Take what comes, fifty times a second, beside the server."""
        context = self._context
        page = LivePage(self._story, self._camera, context.report)
        server = make_server(page.app(where, token))
        serving = asyncio.create_task(serve(server, listening))
        context.ready()
        while not context.stopping.is_set() and not serving.done():
            begun = time.monotonic_ns()
            self._take()
            context.beat()
            context.row.put("queue", page.streams)
            context.row.put("busy_ns", context.row.get("busy_ns") + time.monotonic_ns() - begun)
            await asyncio.sleep(_LOOK_S)
        await self._end(server, serving)

    async def _end(self, server: Server, serving: asyncio.Task[None]) -> None:
        self._take()
        self._story.end()
        await asyncio.sleep(_LAST_WORDS_S)
        server.should_exit = True
        await serving
        self._context.drained({"lines_lost": float(self._story.lost)})

    def _take(self) -> None:
        while (told := self._lines.take(messages.decode_told)) is not None:
            self._story.tell(told.line, told.seq, again=told.again)
        came = False
        while (outline := self._outlines.receive()) is not None:
            self._camera.note(outline)
            came = True
        now = time.monotonic()
        if came and now >= self._next_threshold_s:
            self._next_threshold_s = now + _THRESHOLD_S
            faces = {str(face): found for face, found in self._camera.thresholds().items()}
            self._story.tell(msgspec.json.encode({"type": "threshold", "faces": faces}))
