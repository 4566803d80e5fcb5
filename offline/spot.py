"""`python -m offline.spot`: see `offline.commands.spot`."""

import sys

from offline.commands import cli
from offline.commands.spot import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
