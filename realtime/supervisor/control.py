"""``--control ENDPOINT``: ZeroMQ REP for the script that runs an experiment.

One JSON object a request, ``{"do":…}`` with ``status``, ``mark`` (and ``text``), ``record`` (and ``on``), ``rest`` (the
face is at rest now) or ``stop``. Back comes ``{"ok":true,…}`` or ``{"ok":false,"error":…}``. A thread of its own takes
the time as soon as a request is there, whatever the session is busy with. Who may reach it, and how, is as for
``--publish``: this machine, or keys; and the gate before it (`realtime.ipc.gate`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from realtime import __version__
from realtime.config import OutputSettings
from realtime.errors import RingError
from realtime.ipc import bus, messages
from realtime.ipc.endpoint import Listening
from realtime.ipc.gate import Gate
from realtime.ipc.keys import server_keys
from realtime.ipc.names import session_prefix
from realtime.sinks.lines import AnyLine, EventLine, MarkerLine, SessionLine, State
from realtime.supervisor.commands import frame_at, frame_in
from realtime.supervisor.resources import Resources

if TYPE_CHECKING:
    from realtime.ipc.ring import RingReader

MAX_TEXT = 200
_MAX_BYTES = 4096
_ALLOWED_BYTES, _ALLOWED_A_SECOND = 1 << 17, 1 << 15  # hundreds of marks a second, all day
_HANDSHAKE_MS = 3000
_POLL_MS = 100
_FRAME_WAIT_S = 0.1
"""For the frame of a mark, which may still be under way from the camera."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""

    do: Literal["status", "mark", "record", "rest", "stop"]
    text: str | None = None
    """mark: as it is to stand in the log."""
    on: bool | None = None
    """record: go on, or pause."""


def open_control(settings: OutputSettings, resources: Resources) -> list[Control]:
    """The control socket, where the settings ask for one. UserError where it can't be had."""
    return [] if settings.control is None else [Control(settings.control, settings, resources)]


class Control:
    """A sink, to know how the session stands; orders go to the supervisor as ``Command``."""

    never_waits = True

    def __init__(self, endpoint: str, settings: OutputSettings, resources: Resources) -> None:
        """UserError where the endpoint can't be had, or goes beyond this machine without keys."""
        self._records, self._resources = settings.record is not None, resources
        self._state = State()
        self._events = self._markers = 0
        self._recording = settings.record is not None and settings.record_frames != "none"
        self._ring: RingReader | None = None
        self._stopping = threading.Event()
        with contextlib.ExitStack() as undo:
            listening = Listening("--control", endpoint, encrypted=settings.curve_dir is not None)
            undo.callback(listening.close)
            directory = bus.make_directory(session_prefix())
            undo.callback(bus.remove_directory, directory)
            self._gate = Gate(listening.socket, f"{directory}/control", most=_ALLOWED_BYTES, a_second=_ALLOWED_A_SECOND)
            undo.callback(self._gate.close)
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(context.term)
            socket = context.socket(zmq.REP)
            undo.callback(socket.close)
            if settings.curve_dir is not None:
                undo.callback(_secure(context, socket, Path(settings.curve_dir)).stop)
            socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
            socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
            socket.setsockopt(zmq.LINGER, 300)
            socket.setsockopt(zmq.SNDTIMEO, 1000)
            socket.bind(bus.address(directory, "control"))
            self._thread = threading.Thread(target=self._answer_all, args=(socket,), name="control", daemon=True)
            self._gate.start()
            self._thread.start()
            undo.callback(self._end)
            self._closing = undo.pop_all()

    @property
    def connections(self) -> dict[str, int]:
        """How many came, were refused, left by themselves."""
        return {"came": self._gate.came, "refused": self._gate.refused, "left": self._gate.left}

    # --- the session's side -----------------------------------------------------------------------------

    def line(self, line: AnyLine) -> None:
        self._events += isinstance(line, EventLine)
        self._markers += isinstance(line, MarkerLine)
        if isinstance(line, SessionLine):
            self._state.session = line

    def show(self, state: State) -> None:
        self._state = state

    def _end(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=2.0)

    def close(self) -> None:
        self._closing.close()

    # --- the client's side, in a thread of its own --------------------------------------------------------

    def _answer_all(self, socket: zmq.Socket[bytes]) -> None:
        import realtime.ipc.ring  # noqa: F401  (now, not with the first mark)

        orders = self._resources.to_supervisor()
        try:
            while not self._stopping.is_set():
                if not socket.poll(_POLL_MS):
                    continue
                parts = socket.recv_multipart()
                reply = self._answer(parts, time.monotonic_ns(), orders)
                with contextlib.suppress(zmq.Again):  # whoever asked is gone
                    socket.send(msgspec.json.encode(reply))
        finally:
            orders.close()
            if self._ring is not None:
                self._ring.close()

    def _answer(self, parts: list[bytes], t_ns: int, orders: bus.Sender) -> dict[str, Any]:
        """Do what is asked; what goes back."""
        try:
            request = msgspec.json.decode(b"".join(parts) if len(parts) == 1 else b"", type=Request)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return _refuse(f'not understood: {error}; send one JSON object, as in {{"do":"status"}}')
        wrong = self._wrong_with(request)
        if wrong:
            return _refuse(wrong)
        if request.do == "status":
            return self._status(t_ns)
        frame = self._frame_at(t_ns) if request.do == "mark" else None
        text = " ".join((request.text or "").split())
        if request.do == "record":
            self._recording = bool(request.on)
        orders.send(
            messages.Command(do=request.do, text=text, on=bool(request.on), t_ns=t_ns, frame=frame, origin="control")
        )
        return {"ok": True, "t_ns": t_ns} | ({} if frame is None else {"frame": frame})

    def _wrong_with(self, request: Request) -> str:
        """Why it can't be done; empty where it can."""
        text = request.text or ""
        if len(text) > MAX_TEXT or not " ".join(text.split()).isprintable():
            return f"text: at most {MAX_TEXT} characters that can be printed"
        if request.text is not None and request.do != "mark":
            return f"{request.do}: takes no text"
        if (request.on is None) == (request.do == "record"):
            return "record: say on, true or false" if request.on is None else f"{request.do}: takes no on"
        if request.do == "record" and not self._records:
            return "record: this session has no folder; start it with --record DIR"
        return ""

    def _status(self, t_ns: int) -> dict[str, Any]:
        state, board = self._state, self._resources.board
        session = state.session
        return {
            "ok": True,
            "t_ns": t_ns,
            "version": __version__,
            "phase": state.phase,
            "source": session.source if session else "",
            "seconds": round(state.seconds, 3),
            "fps": state.fps,
            "frame": board.row("capture").get("last_number"),
            "captured": board.row("capture").get("frames"),
            "analysed": board.row("spot").get("frames"),
            "dropped": state.dropped,
            "face": state.face,
            "events": self._events,
            "markers": self._markers,
            "recording": self._recording_now(),
        }

    def _recording_now(self) -> dict[str, Any] | None:
        if not self._records:
            return None
        return {"on": self._recording, "frames": self._resources.board.row("record").get("frames")}

    def _frame_at(self, t_ns: int) -> int:
        """Of the ring's own times, once the frame after it is there; else reckoned from the newest."""
        info, board = self._resources.info, self._resources.board
        if info is not None and info.live and board.row("capture").get("frames"):
            deadline = time.monotonic() + _FRAME_WAIT_S
            while board.row("capture").get("last_t_ns") <= t_ns and time.monotonic() < deadline:
                time.sleep(0.0005)
            found = self._frame_in_ring(t_ns)
            if found is not None:
                return found
        return frame_at(t_ns, board, info)

    def _frame_in_ring(self, t_ns: int) -> int | None:
        from realtime.ipc.ring import RingReader  # NumPy, which the supervisor has no other use for

        try:
            self._ring = self._ring or RingReader.attach(self._resources.ring_name)
            return frame_in(self._ring, t_ns)
        except RingError:
            return None


def _refuse(why: str) -> dict[str, Any]:
    return {"ok": False, "error": why}


def _secure(context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], folder: Path) -> ThreadAuthenticator:
    """Only who is on the list of clients is let in."""
    public, private, clients = server_keys(folder)
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve(domain="*", location=str(clients))
    socket.curve_publickey, socket.curve_secretkey = public, private
    socket.curve_server = True
    return authenticator
