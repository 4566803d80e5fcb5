"""`python -m offline.evaluate`: see `offline.commands.evaluate`."""

import sys

from offline.commands import cli
from offline.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
