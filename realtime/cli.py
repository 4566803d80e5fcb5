"""``merealtime``: options, one-line errors, exit codes. Imports nothing heavy, so that ``--help`` is quick.

Exit codes: 0 ended; 1 something failed while running; 2 the user can mend it.
"""

from __future__ import annotations

import sys


def _leave_quietly(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Ctrl-C while Python still loads us: one line, no traceback (Python then dies of the signal: 130)."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("merealtime: interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _leave_quietly  # before the imports, which take most of the time

import argparse  # noqa: E402
import importlib  # noqa: E402
import os  # noqa: E402
import select  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from typing import Any  # noqa: E402

from realtime import __version__  # noqa: E402
from realtime.options import OneLineParser  # noqa: E402

_EPILOG = """\
sources:
  0, 1, …, /dev/videoN   a V4L2 camera
  genicam:, genicam:ID   a GigE Vision or USB3 Vision camera, by id, serial number or address (needs Aravis)
  gentl:FILE.cti[#SERIAL]  a camera by its vendor's GenTL producer (extra merealtime[gentl])
  FILE, FOLDER           a recording: every frame is analysed, as fast as the machine can, unless --live
  rtsp://…, http://…     a network stream
  demo, demo:SEED        a built-in 200 fps face with known movements

commands (each has a --help of its own):
  check                  the rig: is this camera, light and face good for micro-expressions?
  review SESSION_DIR     the page over a recorded session: look again, say what was true
  export SESSION_DIR     a session for other tools: CSV, OpenFace's table, ELAN, BORIS, BIDS, Parquet
  keys DIR               CURVE keys for publishing beyond this machine: a server's, and one client's
  train, evaluate, prepare, spot, models, sweep
                         as python -m offline.NAME; the extra merealtime[offline] brings what they need

A face that is watched belongs to a person: ask first. A label is a guess about a movement, not about a mind.
"""

DEFAULT_PAGE = "127.0.0.1:8410"
OFFLINE_COMMANDS = ("train", "evaluate", "prepare", "spot", "models", "sweep")
"""Commands of ``offline``: there, ``offline.commands.NAME`` each."""


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} must be greater than 0")
    return value


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def _size(text: str) -> str:
    width, sign, height = text.partition("x")
    if not (sign and width.isdigit() and height.isdigit() and int(width) >= 16 and int(height) >= 16):
        raise argparse.ArgumentTypeError(f"{text!r}: write WIDTHxHEIGHT in pixels, at least 16x16")
    return f"{int(width)}x{int(height)}"


def make_parser() -> argparse.ArgumentParser:
    """All options. Their defaults are None: what is not given does not override the settings file."""
    parser = OneLineParser(
        prog="merealtime",
        description="Live spotting and recognition of facial micro-expressions from high-speed cameras.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"merealtime {__version__}")
    add("--camera", metavar="SOURCE", help="where frames come from (below); default: demo")
    add("--fps", type=_positive, metavar="N", help="frames a second to ask for, or a recording's true rate")
    add("--size", type=_size, metavar="WxH", help="picture size to ask of a camera")
    formats = ("auto", "GREY", "YUYV", "MJPG", "Mono8", "Mono10", "Mono12", "Mono16")
    add("--pixel-format", choices=formats, help="pixel format to ask of a camera")
    add("--config", metavar="FILE.toml", help="settings; configs/default.toml explains every key")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as spot.detector=lbp")
    add("--faces", type=_count, metavar="N", help="follow the N largest faces, 1 to 8; default: 1")
    add("--model", metavar="BUNDLE", help="model: a built-in bundle's name, or a folder")
    add("--flow", choices=("auto", "cpu", "cuda"), help="where optical flow is computed")
    add(
        "--duration",
        type=_positive,
        metavar="SECONDS",
        help="stop so long after the first frame; a recording counts its own time",
    )
    add("--frames", type=_count, metavar="N", help="stop after so many frames")
    add("--live", action="store_true", default=None, help="play a recording in real time, drop what is late")
    add("--events", metavar="FILE.jsonl", help="write the event log")
    add("--truth", metavar="FILE.jsonl", help="demo only: write the true events")
    add("--record", metavar="DIR", help="keep the session in a folder of its own there; ask the person first")
    add("--record-frames", choices=("all", "events", "none"), help="all; a clip of each event and no more; none")
    add("--dry-run", action="store_true", help="say what --record would take of the disk, and leave")
    add("--subject", metavar="ID", help="who is recorded: a code, for the session's folder")
    add("--publish", metavar="ENDPOINT", help="publish over ZeroMQ: tcp://127.0.0.1:PORT or ipc://PATH")
    add("--curve-dir", metavar="DIR", help="keys for publishing beyond this machine (merealtime keys DIR)")
    add("--lsl", action="store_true", default=None, help="events and curves as Lab Streaming Layer streams")
    add("--lsl-markers", action="append", metavar="NAME", help="take in the LSL marker stream NAME; may be repeated")
    add("--control", metavar="ENDPOINT", help="take orders over ZeroMQ: status, mark, record, rest, stop")
    add("--web", nargs="?", const=DEFAULT_PAGE, metavar="HOST:PORT", help=f"serve the page; default {DEFAULT_PAGE}")
    add("--view", choices=("auto", "live", "plain", "none"), help="live on a terminal, else plain")
    add("--check", action="store_true", help="say what this machine can do, and leave")
    add("--list-cameras", action="store_true", help="list cameras with their modes, and leave")
    add("--debug", action="store_true", help="show the stages' logs, and tracebacks")
    return parser


_OPTIONS = {
    "camera": "source.camera",
    "fps": "source.fps",
    "size": "source.size",
    "pixel_format": "source.pixel_format",
    "duration": "source.duration_s",
    "frames": "source.frames",
    "live": "source.live",
    "truth": "source.truth",
    "faces": "spot.faces",
    "model": "recognition.bundle",
    "flow": "flow.backend",
    "events": "output.events",
    "record": "output.record",
    "record_frames": "output.record_frames",
    "subject": "output.subject",
    "control": "output.control",
    "publish": "output.publish",
    "curve_dir": "output.curve_dir",
    "lsl": "output.lsl",
    "lsl_markers": "output.lsl_markers",
    "web": "output.web",
    "view": "output.view",
}


def overrides_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Dotted settings that the options override; ``--set`` first, so that a plain option wins."""
    from realtime.config import parse_assignment

    overrides = dict(parse_assignment(text) for text in arguments.set)
    for option, key in _OPTIONS.items():
        value = getattr(arguments, option)
        if value is not None:
            overrides[key] = value
    return overrides


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and turn errors into one line and an exit code."""
    from realtime.errors import MerealtimeError, without_passwords
    from realtime.quiet import open_closed_streams

    open_closed_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] and words[0] in OFFLINE_COMMANDS:
        return _hand_over(words[0], words[1:])
    if words[:1] == ["review"]:
        return _review(words[1:])
    if words[:1] == ["check"]:
        from realtime.rig.command import main as check_rig

        return check_rig(words[1:])
    if words[:1] == ["export"]:
        from realtime.session.export.command import main as export

        return export(words[1:])
    if words[:1] == ["keys"]:
        from realtime.ipc.keys import main as make_keys

        return make_keys(words[1:])
    arguments = make_parser().parse_args(words)
    if not arguments.debug:
        sys.excepthook = _complain_of_bug
    try:
        return _run(arguments)
    except MerealtimeError as error:
        if arguments.debug:
            sys.stderr.write(without_passwords(traceback.format_exc()))
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:  # before the session, which takes the signal itself
        return 0
    except BrokenPipeError as error:
        if not _reader_has_left():
            _complain(f"a process that was written to has gone ({error}); --debug shows more")
            return 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in the buffer goes nowhere
        return 0


def _hand_over(command: str, words: list[str]) -> int:
    """Run ``python -m offline.COMMAND``. By name and only now: a live session never loads ``offline``."""
    code: int = importlib.import_module("offline.commands.cli").command(command, words)
    return code


def _review(words: list[str]) -> int:
    """The page over a recorded session."""
    code: int = importlib.import_module("realtime.web.command").review(words)
    return code


def _reader_has_left() -> bool:
    """Whether nobody reads our standard output any more."""
    poll = select.poll()
    poll.register(1, 0)  # errors and hang-ups are always told
    return bool(poll.poll(0))


def _complain(text: str) -> None:
    from realtime.errors import without_passwords
    from realtime.quiet import say

    line = without_passwords(" ".join(text.split()))
    plain = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)  # no escapes of others' files
    say(f"merealtime: {plain}\n")


def _complain_of_bug(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """One line for what should not happen; Python then leaves with exit code 1."""
    if issubclass(kind, KeyboardInterrupt):
        return _leave_quietly(kind, error, trace)
    _complain(f"{kind.__name__}: {error}: this is a bug; --debug shows where")


def _run(arguments: argparse.Namespace) -> int:
    from realtime import config
    from realtime.errors import UserError

    settings = config.load(arguments.config, overrides_of(arguments))
    if arguments.curve_dir is not None and settings.output.publish is None and settings.output.control is None:
        raise UserError(f"--curve-dir {arguments.curve_dir}: keys for publishing; add --publish or --control ENDPOINT")
    if arguments.list_cameras:
        from realtime.check import print_cameras

        return print_cameras()
    if arguments.check:
        from realtime.check import check

        return check(settings)
    if arguments.dry_run:
        from realtime.session.estimate import tell

        print(*tell(settings), sep="\n")
        return 0
    return _session(settings, debug=arguments.debug)


def _session(settings: Any, *, debug: bool) -> int:
    from realtime.errors import without_passwords
    from realtime.quiet import say
    from realtime.stages.habits import ask_for_turns
    from realtime.supervisor import Supervisor

    def show_log(line: str) -> None:
        say(without_passwords(line) + "\n")

    ask_for_turns(settings.runtime.slice_us)  # events are written here
    supervisor = Supervisor(settings, debug=debug, show_log=show_log if debug else None, show_progress=_Progress().show)
    if supervisor.page_url:
        sys.stdout.write(f"page    {supervisor.page_url}\n")
        sys.stdout.flush()
    if settings.output.record:
        say("merealtime: recording faces: make sure that the person has agreed\n")
    code = supervisor.run()
    if code:
        if debug and supervisor.traceback:
            say(without_passwords(supervisor.traceback))
        _complain(supervisor.error)
    if supervisor.stuck:
        os._exit(code)  # Python's own end would wait for the output that nobody reads
    return code


class _Progress:
    """One line on standard error that says what start-up is busy with; only on a terminal."""

    def __init__(self) -> None:
        self._shown = ""
        self._on = sys.stderr.isatty()

    def show(self, text: str) -> None:
        if self._on and text != self._shown:
            from realtime.quiet import say

            say(f"\r\x1b[K{'starting: ' + text if text else ''}")
            self._shown = text


if __name__ == "__main__":
    sys.exit(main())
