"""`python -m offline.prepare`, the same as `merealtime prepare`: see `offline.commands.prepare`."""

import sys

from offline.commands import cli

if __name__ == "__main__":
    sys.exit(cli.command("prepare"))
