"""`python -m offline.train`, the same as `merealtime train`: see `offline.commands.train`."""

import sys

from offline.commands import cli

if __name__ == "__main__":
    sys.exit(cli.command("train"))
