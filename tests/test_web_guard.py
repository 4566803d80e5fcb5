"""Who may ask the page what: foreign names, foreign sites, tokens, sizes, paths. What is refused does nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from realtime.errors import UserError
from realtime.ipc import messages
from realtime.web import address
from realtime.web.address import Address
from realtime.web.guard import MAX_BODY, Guard
from realtime.web.live import LivePage
from realtime.web.story import Story

HERE = "127.0.0.1:8410"
TOKEN = "0123456789abcdef-TOKEN"
LOOPBACK = Address("127.0.0.1", 8410)
ORDER = b'{"do":"mark","text":"trial 3"}'


class NoCamera:
    """Never a picture."""

    def picture(self, after: int) -> None:
        return None

    def wait_s(self) -> float:
        return 0.0


class Served:
    """The live page without a session; ``commands`` is what came through."""

    def __init__(self, where: Address = LOOPBACK, token: str = "") -> None:
        self.commands: list[messages.Command] = []
        self.story = Story()
        self.story.ended = True
        page = LivePage(self.story, NoCamera(), self.commands.append)  # type: ignore[arg-type]
        self.app: Guard = page.app(where, token)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app)) as client:
                request = client.build_request(
                    method, f"http://{HERE}/", headers={"host": HERE, **(headers or {})}, content=body
                )
                request.url = httpx.URL(scheme="http", host="127.0.0.1", port=8410, raw_path=path.encode("latin-1"))
                return await client.send(request)

        return asyncio.run(once())

    def order(self, body: bytes = ORDER, **headers: str) -> httpx.Response:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/do", {"content-type": "application/json", **told}, body)


@pytest.fixture
def served() -> Served:
    return Served()


def test_the_page_and_what_it_needs_are_there_and_kept_nowhere(served: Served) -> None:
    for path in ("/", "/static/live.js", "/static/page.css", "/static/vendor/uPlot.esm.js", "/stream", "/static/none"):
        response = served.ask("GET", path)
        assert response.status_code == (404 if path.endswith("none") else 200), path
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers


def test_the_page_asks_no_foreign_host() -> None:
    static = Path(address.__file__).parent / "static"
    for path in [*static.glob("*.html"), *static.glob("*.css"), *static.glob("*.js")]:
        text = path.read_text()
        assert "https://" not in text, path
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path
    assert (static / "vendor" / "uPlot.LICENSE").read_text().startswith("The MIT License")


@pytest.mark.parametrize("host", [HERE, "localhost:8410", "[::1]:8410", "127.0.0.2:8410"])
def test_our_own_names(served: Served, host: str) -> None:
    assert served.ask("GET", "/", {"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8410", "127.0.0.1.evil.example:8410", "127.0.0.1", "127.0.0.1:80", "10.0.0.5:8410",
     "a@localhost:8410", "localhost:8410/x", "", "[::1", "localhost:99999999", "localhost:8410\\@evil",
     "127.0.0.1:8410,evil"],
)  # fmt: skip
def test_foreign_names_are_refused(served: Served, host: str) -> None:
    assert served.ask("GET", "/", {"host": host}).status_code == 421
    assert served.order(host=host).status_code == 421
    assert not served.commands


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"}, {"origin": ""},
     {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)  # fmt: skip
def test_other_sites_are_refused(served: Served, headers: dict[str, str]) -> None:
    assert served.order(**{name.replace("-", "_"): value for name, value in headers.items()}).status_code == 403
    assert served.ask("GET", "/picture", headers).status_code == 403
    assert not served.commands


def test_a_link_from_elsewhere_opens_the_page_but_gives_no_order(served: Served) -> None:
    came = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert served.ask("GET", "/", came).status_code == 200
    assert served.order(sec_fetch_site="cross-site", sec_fetch_mode="navigate").status_code == 403


def test_an_order_of_our_page_is_handed_on(served: Served) -> None:
    response = served.order(origin=f"http://{HERE}", sec_fetch_site="same-origin")
    assert response.json()["ok"] is True
    (command,) = served.commands
    assert (command.do, command.text, command.origin) == ("mark", "trial 3", "page")
    assert command.t_ns == response.json()["t_ns"] > 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"do":"rm"}', b'{"do":"mark","text":7}', b'{"do":"mark","more":1}', b"\xff\xfe", b"[" * 9000,
     b'{"do":"mark","text":"' + b"x" * 300 + b'"}',
     b'{"do":"mark","text":"\\u0000"}', b'{"do":"mark","text":"\\u202e"}'],
)  # fmt: skip
def test_malformed_orders_do_nothing_and_say_why(served: Served, body: bytes) -> None:
    response = served.order(body)
    assert 400 <= response.status_code < 500
    assert response.json()["ok"] is False
    assert "\n" not in response.json()["error"]
    assert "Traceback" not in response.text
    assert not served.commands


def test_too_much_is_refused(served: Served) -> None:
    assert served.order(b" " * (MAX_BODY + 1)).status_code == 413
    assert served.order(ORDER, content_length="99999999").status_code == 413
    assert served.order(ORDER, content_length="-1").status_code == 413
    assert served.ask("GET", "/" + "a" * 2000).status_code == 414
    assert served.ask("GET", "/picture?after=" + "1" * 2000).status_code == 414
    assert not served.commands


def test_a_body_in_pieces_without_a_length_is_cut_off(served: Served) -> None:
    pieces = iter([{"type": "http.request", "body": b"x" * 9000, "more_body": True}] * 100)
    sent: list[Any] = []

    async def receive() -> Any:
        return next(pieces)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", HERE.encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/do",
        "raw_path": b"/do",
        "query_string": b"",
        "headers": headers,
    }
    asyncio.run(served.app(scope, receive, send))
    assert sent[0]["status"] == 413
    assert len(list(pieces)) == 98, "it reads no more than it must"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_taken(served: Served, kind: str) -> None:
    assert served.order(ORDER, content_type=kind).status_code == 415
    assert not served.commands


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_refused(served: Served, method: str) -> None:
    assert served.ask(method, "/").status_code == 405


@pytest.mark.parametrize(
    "path",
    ["/static/../address.py", "/static/..%2faddress.py", "/static/%2e%2e/address.py", "/static//etc/passwd",
     "/static/....//address.py", "/static/vendor/../../address.py", "/static/..\\address.py", "/static/%00", "/static/",
     "/static/live.js%00.html", "/../../../../etc/passwd", "//etc/passwd", "/static/vendor",
     "/%2e%2e/%2e%2e/etc/passwd"],
)  # fmt: skip
def test_no_path_leads_out(served: Served, path: str) -> None:
    response = served.ask("GET", path)
    assert response.status_code in (404, 307)
    assert "import" not in response.text
    assert "root:" not in response.text


def test_a_token_is_asked_for_where_one_is_set() -> None:
    served = Served(Address("0.0.0.0", 8410), TOKEN)
    closed = ("/", "/stream", "/picture", "/static/live.js", "/?token=", "/?token=x", f"/stream?token={TOKEN}")
    refused = [served.ask("GET", path) for path in closed]
    refused += [served.order(), served.ask("GET", "/", {"cookie": "merealtime=x"})]
    assert {response.status_code for response in refused} == {401}
    assert all(TOKEN not in response.text for response in refused)
    came = served.ask("GET", f"/?token={TOKEN}")
    assert (came.status_code, came.headers["location"]) == (303, "/"), "the token does not stay in the address"
    cookie = came.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    kept = {"cookie": cookie.partition(";")[0]}
    assert served.ask("GET", "/", kept).status_code == 200
    assert served.order(**kept).status_code == 200
    assert len(served.commands) == 1
    assert served.ask("GET", "/", {**kept, "host": "evil.example:8410"}).status_code == 421


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:9000", "127.0.0.1", 9000), (":0", "127.0.0.1", 0), ("9000", "127.0.0.1", 9000), ("[::1]:7", "::1", 7),
     ("localhost", "localhost", 8410), ("lab.example:80", "lab.example", 80), ("[::1]", "::1", 8410)],
)  # fmt: skip
def test_addresses(text: str, host: str, port: int) -> None:
    assert address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["host:", "a:b", "1.2.3.4:70000", "http://x:80", "a b:80", "x:-1", "\u00b2"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="--web "):
        address.listen(address.parse(text), "")


def test_beyond_this_machine_only_with_a_token() -> None:
    with pytest.raises(UserError, match="needs a token"):
        address.listen(Address("0.0.0.0", 0))
    made, where = address.listen(Address("0.0.0.0", 0), TOKEN)
    made.close()
    assert where.url(TOKEN) == f"http://127.0.0.1:{where.port}/?token={TOKEN}"


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="can't listen there"):
            address.listen(Address("127.0.0.1", taken.getsockname()[1]))


def test_token_files(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    os.chmod(path, 0o600)
    assert address.read_token(str(path)) == TOKEN
    assert address.read_token(None) == ""
    os.chmod(path, 0o644)
    with pytest.raises(UserError, match="chmod 600"):
        address.read_token(str(path))
    os.chmod(path, 0o600)
    for text in ("", "short", "sixteen letters with spaces", "ü" * 20):
        path.write_text(text)
        with pytest.raises(UserError, match="letters or digits"):
            address.read_token(str(path))
    with pytest.raises(UserError, match="can't read it"):
        address.read_token(str(tmp_path / "none"))


def test_a_story_for_one_that_comes_late_and_for_one_that_was_behind() -> None:
    async def scene() -> None:
        story = Story()
        tick = '{{"type":"tick","t_ns":{},"frame":{}}}'
        story.tell(b'{"type":"session","fps":200}', 0)
        story.tell(b'{"type":"event","id":0}', 1)
        for k in range(400):
            story.tell(tick.format(k * 50_000_000, k).encode(), k + 2)
        whole, place = story.whole()
        lines = msgspec.json.decode(whole)
        assert [line["type"] for line in lines[:2]] == ["session", "event"]
        assert len(lines) == 2 + 201, "ten seconds of curves"
        assert story.since(place) == (b"[]", place)
        story.tell(b'{"type":"state"}', 403)
        assert story.lost == 1, "402 never came"
        new, place = story.since(place)
        assert new == b'[{"type":"state"}]'
        for k in range(5000):
            story.tell(b'{"type":"state"}', 404 + k)
        assert story.since(place)[0] is None, "it left the log: begin anew"
        story.tell(b'{"type":"event","id":0}', 1, again=True)
        story.tell(b'{"type":"event","id":7}', 2, again=True)
        assert [line["id"] for line in msgspec.json.decode(story.whole()[0]) if line["type"] == "event"] == [0, 7]
        assert not await story.wait(story.whole()[1], 0.01)
        story.end()
        assert await story.wait(story.whole()[1], 10)

    asyncio.run(scene())
