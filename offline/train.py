"""`python -m offline.train`: see `offline.commands.train`."""

import sys

from offline.commands import cli
from offline.commands.train import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
