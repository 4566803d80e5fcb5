#!/usr/bin/env bash
# All tests, two at a time. What fails there is run again alone, and that is what counts: a live session that shares its
# cores with other tests may be late where it is not late by itself.
#   scripts/test.sh [what pytest takes]
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python -m pytest -n 2 --dist loadfile "$@" && exit 0
echo "test.sh: again, alone, what failed" >&2
.venv/bin/python -m pytest --last-failed --last-failed-no-failures none "$@"
