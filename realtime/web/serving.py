"""What both pages share: static files by name, JSON answers, and uvicorn on a socket that somebody else opened."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from typing import Any, TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from realtime.errors import MerealtimeError
from realtime.web.address import Address
from realtime.web.guard import Guard

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

_KINDS = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain",
}
_MOST_CONNECTIONS = 200


def make_app(page: str, routes: list[Route], where: Address, token: str = "") -> Guard:
    """The application: ``page`` at /, static files, the routes, all behind the guard."""
    files = dict(_static_files())

    async def static(request: Request) -> Response:
        found = files.get(request.path_params["name"])  # a name that was read at the start, or nothing: no path
        return PlainTextResponse("no such file", 404) if found is None else Response(found[0], media_type=found[1])

    async def index(_: Request) -> Response:
        return Response(files[page][0], media_type=files[page][1])

    async def failed(_: Request, error: Exception) -> Response:
        return refuse(str(error), 422)

    app = Starlette(
        routes=[Route("/", index), Route("/static/{name:path}", static), *routes],
        exception_handlers={MerealtimeError: failed},
    )
    return Guard(app, host=where.host, port=where.port, token=token)


def _static_files() -> Iterator[tuple[str, tuple[bytes, str]]]:
    """Name below ``static/``, content and type of each file."""
    top = resources.files("realtime.web") / "static"
    for prefix, folder in (("", top), ("vendor/", top / "vendor")):
        for item in folder.iterdir():
            kind = _KINDS.get(item.name.rpartition(".")[2])
            if item.is_file() and kind is not None:
                yield prefix + item.name, (item.read_bytes(), kind)


def answer(value: Any, status: int = 200) -> Response:
    """JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def refuse(text: str, status: int = 400) -> Response:
    """What was asked is not done, and why."""
    return answer({"ok": False, "error": text}, status)


async def asked(request: Request, kind: type[T]) -> T:
    """The body as a ``kind``; MerealtimeError where it is none."""
    body = await request.body()
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MerealtimeError(f"not understood: {error}") from error


class Server(uvicorn.Server):
    """uvicorn that leaves signals alone: who runs it decides when it ends (``should_exit``)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_server(app: Guard) -> Server:
    """Not started: ``await server.serve(sockets=[…])``."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=16 << 10,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


async def serve(server: Server, listening: socket.socket) -> None:
    """Until ``server.should_exit``."""
    await server.serve(sockets=[listening])
