"""Who may ask what: an ASGI layer in front of the page, so that no route can forget it.

Host must be ours (a foreign name that resolves to this machine is refused: DNS rebinding), Origin and Sec-Fetch-Site
must not be another site's, a token is asked for where one is set, bodies are small and JSON, and no answer is kept by a
browser. What is refused changes nothing and is answered in one line.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 16 << 10
"""Bytes: a verdict with a long note is a tenth of that."""
MAX_PATH = 1024
COOKIE = "merealtime"
HEADERS = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Refused(Exception):
    """A request that is not answered: status and one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Guard:
    """Wraps an ASGI application."""

    def __init__(self, app: App, *, host: str, port: int, token: str = "") -> None:
        self._app, self._token, self._port = app, token, port
        self._names = {"localhost", host.lower(), *([socket.gethostname().lower()] if token else [])}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        try:
            self._check_site(scope, headers)
            cookie = self._check_token(scope, headers)
            body = await self._body(scope, headers, receive)
        except Refused as refused:
            return await _answer(send, refused.status, refused.text)
        if cookie:
            return await _answer(send, 303, "", ((b"location", b"/"), (b"set-cookie", cookie)))

        async def received() -> Message:
            nonlocal body
            if body is not None:
                whole, body = body, None
                return {"type": "http.request", "body": whole, "more_body": False}
            return await receive()

        await self._app(scope, received, _with_headers(send))

    def _check_site(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Only our own pages, by our own name."""
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_PATH:
            raise Refused(414, "too long an address")
        if scope["method"] not in ("GET", "POST"):
            raise Refused(405, "GET and POST only")
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            raise Refused(421, "that is not the name of this page's server")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() != host.lower():
            raise Refused(403, "asked by another site")
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            arriving = headers.get(b"sec-fetch-mode") == b"navigate" and scope["method"] == "GET"
            if not arriving:
                raise Refused(403, "asked by another site")

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if port != self._port or parts.username is not None or parts.path:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return bool(self._token) or address.is_loopback  # a number can't be made to point elsewhere

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> bytes:
        """The cookie to set for whoever came by the address with the token; empty for one who has it already."""
        if not self._token:
            return b""
        jar: SimpleCookie = SimpleCookie()
        with contextlib.suppress(CookieError):
            jar.load(headers.get(b"cookie", b"").decode("latin-1"))
        if COOKIE in jar and hmac.compare_digest(jar[COOKIE].value.encode(), self._token.encode()):
            return b""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if (
            scope["method"] == "GET"
            and scope["path"] == "/"
            and hmac.compare_digest(given.encode(), self._token.encode())
        ):
            return f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/".encode()
        raise Refused(401, "open the address that merealtime printed: it holds the token")

    async def _body(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """What is posted, whole; None for GET."""
        if scope["method"] == "GET":
            return None
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise Refused(415, "JSON only")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise Refused(413, f"at most {MAX_BODY} bytes")
        body: bytes = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refused(400, "cut off")
            body += bytes(message.get("body", b""))
            if len(body) > MAX_BODY:
                raise Refused(413, f"at most {MAX_BODY} bytes")
            if not message.get("more_body"):
                return body


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in HEADERS}
            others = [pair for pair in message.get("headers", []) if pair[0].lower() not in own]
            message = {**message, "headers": [*others, *HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = text.encode()
    plain = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()))
    closing = ((b"connection", b"close"),)  # what else it would send is not read
    start = {"type": "http.response.start", "status": status, "headers": [*plain, *closing, *headers, *HEADERS]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
