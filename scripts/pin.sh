#!/usr/bin/env bash
# Pins every version again, with the hashes of its files: constraints.txt (a live session) and constraints-tests.txt
# (everything). What is pinned stays as it is; `scripts/pin.sh --upgrade` takes newer releases. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
pin() { # FILE, then uv's options; setuptools because the package itself is built without the network
    file=$1
    shift
    head="# Every version that scripts/setup.sh installs$what, with the hashes of its files. Made by scripts/pin.sh."
    [ -f "$file" ] || : > "$file"
    echo "setuptools>=77" | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-header --no-emit-find-links --no-emit-index-url "$@" pyproject.toml - --output-file "$file"
    { echo "$head"; cat "$file"; } > "$file.new" && mv "$file.new" "$file"
}
what=" --tests" pin constraints-tests.txt --extra dev "$@"
what="" pin constraints.txt --constraints constraints-tests.txt "$@"
