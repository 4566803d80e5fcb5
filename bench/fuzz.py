"""Readers of what comes from outside, fuzzed for a bounded time: atheris follows what code each input reaches.

    python bench/fuzz.py [--seconds 20] [--only NAME …] [--json bench/results/fuzz.json]

``--seconds`` is for each reader. One must answer any bytes with a value or with its own typed error; all else, a
hang of 10 s or more than 1 GiB of memory is a finding: printed, its input kept (``--keep DIR``), exit code 1.
Without atheris (``pip install 'merealtime[fuzz]'``) the exit code is 2.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from _harness import machine, write_json  # noqa: E402

_HANG_S, _MEMORY_MIB, _LENGTH = 10, 1024, 32_768
MODULES = [
    "realtime.config", "realtime.files", "realtime.ipc.messages", "realtime.ipc.keys", "realtime.recognition.bundle",
    "realtime.session.read", "realtime.session.matroska", "offline.datasets.spreadsheets", "offline.datasets.flowmaps",
    "offline.evaluation.results", "tomllib", "zipfile", "csv", "openpyxl.reader", "openpyxl.worksheet", "xlrd",
    "numpy.lib._format_impl",
]  # fmt: skip
"""What atheris watches."""


def child(name: str, corpus: str, keep: str, seconds: int) -> None:
    """Fuzz one reader in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=MODULES, enable_loader_override=False):
        import _fuzz_targets

        made = _fuzz_targets.targets()
    target = made[name]
    for number, seed in enumerate(target.seeds):
        (Path(corpus) / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except target.typed:
            return

    limits = [f"-timeout={_HANG_S}", f"-rss_limit_mb={_MEMORY_MIB}", f"-max_len={_LENGTH}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", f"-artifact_prefix={keep}/", *limits, corpus], one)
    atheris.Fuzz()


def fuzzed(name: str, seconds: int, keep: Path) -> dict[str, Any]:
    """One reader, in a process of its own: inputs tried, places in the code reached, what was found."""
    with tempfile.TemporaryDirectory(prefix="merealtime-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        words = [sys.executable, __file__, "--child", name, "--corpus", str(corpus), "--keep", str(keep)]
        done = subprocess.run(
            [*words, "--seconds", str(seconds)],
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )  # fmt: skip
    said = done.stdout
    tried = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    reached = re.findall(r"\bcov: (\d+)", said)
    row = {"inputs": int(tried[1]) if tried else 0, "reached": int(reached[-1]) if reached else 0, "found": ""}
    if done.returncode:
        telling = [line for line in said.splitlines() if re.match(r"[\w.]*(Error|Exception)\b|==\d+== ?ERROR", line)]
        row["found"] = (telling or said.splitlines() or [f"exit code {done.returncode}"])[0].strip()
    return row


def show(rows: dict[str, dict[str, Any]], seconds: int) -> None:
    table = Table(title=f"readers fuzzed, {seconds} s each")
    for column in ("reader", "inputs", "places reached", "found"):
        table.add_column(column, justify="right" if column in ("inputs", "places reached") else "left")
    for name, row in rows.items():
        table.add_row(name, str(row["inputs"]), str(row["reached"]), row["found"] or "nothing")
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of what comes from outside.")
    parser.add_argument("--seconds", type=int, default=20, help="for each reader")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these readers")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where an input that fails is kept")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "fuzz.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("fuzz: atheris is not installed for this Python; pip install 'merealtime[fuzz]'\n")
        return 2
    if options.child:
        child(options.child, options.corpus, str(options.keep), options.seconds)
        return 0
    import _fuzz_targets

    made = _fuzz_targets.targets()
    _fuzz_targets.remove(made)
    unknown = sorted(set(options.only or ()) - set(made))
    if unknown:
        sys.stderr.write(f"fuzz: no reader {', '.join(unknown)}; there are {', '.join(made)}\n")
        return 2
    options.keep.mkdir(parents=True, exist_ok=True)
    stamp = machine()
    rows = {name: fuzzed(name, options.seconds, options.keep) for name in options.only or made}
    show(rows, options.seconds)
    write_json(options.json, {"machine": stamp, "seconds": options.seconds, "rows": rows})
    if not any(options.keep.iterdir()):
        options.keep.rmdir()
    return int(any(row["found"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
