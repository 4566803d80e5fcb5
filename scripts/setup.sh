#!/usr/bin/env bash
# Makes .venv with everything pinned and hash-checked, and merealtime in it.
#   scripts/setup.sh            a live session: constraints.txt
#   scripts/setup.sh --tests    everything, for training, tests, checks and pages too: constraints-tests.txt
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "setup: $*" >&2; exit 1; }
case "${1:-}" in
    "") pins=constraints.txt ;;
    --tests) pins=constraints-tests.txt ;;
    *) die "unknown option $1; there is --tests" ;;
esac

# MediaPipe links against EGL and GLES; a bare Debian or Ubuntu has neither, nor venv, nor a compiler.
missing=()
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
for library in libEGL.so.1:libegl1 libGLESv2.so.2:libgles2; do
    ldconfig -p 2>/dev/null | grep -q "${library%%:*}" || missing+=("${library##*:}")
done
if [ "${1:-}" = --tests ]; then
    command -v gcc >/dev/null || missing+=(gcc libc6-dev)  # the emulated camera
    command -v g++ >/dev/null || missing+=(g++)  # the CUDA kernels' shim
    command -v git >/dev/null || missing+=(git)
    ldconfig -p 2>/dev/null | grep -q libaravis-0.8.so.0 || missing+=(libaravis-0.8-0)  # GenICam cameras, simulated
    command -v chromium >/dev/null || missing+=(chromium)  # the page's test
fi
if [ ${#missing[@]} -gt 0 ]; then
    { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || die "install first: ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi

python=$(for name in python3 python3.12 python3.11 python3.13; do
    command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo "$name" && break
done) || die "Python 3.11 or newer is needed"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r "$pins"
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
.venv/bin/merealtime --version
