"""`python -m offline.sweep`, the same as `merealtime sweep`: see `offline.commands.sweep`."""

import sys

from offline.commands import cli

if __name__ == "__main__":
    sys.exit(cli.command("sweep"))
