"""`python -m offline.evaluate`, the same as `merealtime evaluate`: see `offline.commands.evaluate`."""

import sys

from offline.commands import cli

if __name__ == "__main__":
    sys.exit(cli.command("evaluate"))
