"""What the command lines share: a parser whose errors are one line. Imports nothing of ours, and nothing heavy."""

from __future__ import annotations

import argparse
import sys
from typing import ClassVar, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse, but an error is one line, says where help is, and leaves with exit code 2."""

    says: ClassVar[str] = "{prog}"
    """Who speaks, at the head of the line."""
    command: ClassVar[str] = "{prog}"
    """What the user types before ``--help``."""

    def error(self, message: str) -> NoReturn:
        says, command = self.says.format(prog=self.prog), self.command.format(prog=self.prog)
        sys.stderr.write(f"{says}: {' '.join(message.split())} (see {command} --help)\n")
        raise SystemExit(2)


class ModuleParser(OneLineParser):
    """For what is run as ``python -m PROG``."""

    command = "python -m {prog}"
