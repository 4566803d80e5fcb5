"""`python -m offline.prepare`: see `offline.commands.prepare`."""

import sys

from offline.commands import cli
from offline.commands.prepare import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
