"""``merealtime review SESSION_DIR``: serve the page over a recorded session until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import MerealtimeError, UserError
from realtime.options import OneLineParser
from realtime.quiet import native_log_dropped
from realtime.web import address

if TYPE_CHECKING:
    from realtime.web.guard import Guard


def make_parser() -> OneLineParser:
    """Options of ``merealtime review``."""
    parser = OneLineParser(
        prog="merealtime review",
        description="Look again at a recorded session: its events in slow motion, what the model saw, what was true.",
        epilog="Verdicts go to review.jsonl in the session's folder; the recording itself is never changed.",
        allow_abbrev=False,
    )
    parser.add_argument("session", metavar="SESSION_DIR", type=Path, help="folder of one session, below --record's DIR")
    parser.add_argument("--port", type=int, default=8411, metavar="N", help="default 8411; 0 picks one")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def review(words: Sequence[str]) -> int:
    """The command; its exit code."""
    arguments = make_parser().parse_args(words)
    try:
        address.check_installed()
        return _serve(arguments.session, arguments.port, browser=not arguments.no_browser, debug=arguments.debug)
    except MerealtimeError as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"merealtime: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def _serve(folder: Path, port: int, *, browser: bool, debug: bool) -> int:
    from realtime.web.recorded import Recorded
    from realtime.web.review import ReviewPage

    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: 0 to 65535")
    recorded = Recorded(folder)
    try:
        page = ReviewPage(recorded)
        listening, where = address.listen(address.Address("127.0.0.1", port), option="--port")
        with listening:
            sys.stdout.write(f"page    {where.url()}\n")
            sys.stdout.flush()
            threading.Thread(target=page.warm_up, daemon=True).start()
            if browser:
                threading.Thread(target=webbrowser.open, args=(where.url(),), daemon=True).start()
            with contextlib.nullcontext() if debug else native_log_dropped():
                asyncio.run(_until_told(page.app(where), listening))
    finally:
        recorded.close()
    return 0


async def _until_told(app: Guard, listening: socket.socket) -> None:
    from realtime.web.serving import make_server, serve

    server = make_server(app)

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError, OSError):
            loop.add_signal_handler(number, stop)
    await serve(server, listening)
