#!/usr/bin/env bash
# Installs the emulator package that package-lock.json names; where it is there already, nothing is done.
#
#   firmware/emulation/prepare.sh [DEST]      DEST is target/emulation; another one goes into DALEEL_EMULATION
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:-$here/../../target/emulation}
mkdir -p "$dest"
cp "$here/package.json" "$dest/package.json"
if cmp -s "$here/package-lock.json" "$dest/installed-lock.json" && [ -d "$dest/node_modules/rp2040js" ]; then
    exit 0
fi
command -v npm >/dev/null || {
    echo "emulation: npm is not installed" >&2
    exit 1
}
cp "$here/package-lock.json" "$dest/package-lock.json"
npm ci --prefix "$dest" --no-audit --no-fund --ignore-scripts --loglevel=error
cp "$here/package-lock.json" "$dest/installed-lock.json"
