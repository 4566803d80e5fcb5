"""`python -m offline.models`, the same as `merealtime models`: see `offline.commands.models`."""

import sys

from offline.commands import cli

if __name__ == "__main__":
    sys.exit(cli.command("models"))
