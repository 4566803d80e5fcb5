"""`python -m offline.models`: see `offline.commands.models`."""

import sys

from offline.commands import cli
from offline.commands.models import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
