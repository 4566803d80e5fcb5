"""`python -m offline.spot`, the same as `merealtime spot`: see `offline.commands.spot`."""

import sys

from offline.commands import cli

if __name__ == "__main__":
    sys.exit(cli.command("spot"))
