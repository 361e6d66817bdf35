#!/usr/bin/env bash
# Makes an initramfs of the guest's and more: programs, with the libraries that they need, and other files.
#
#   firmware/guest/extend.sh DEST OUT PROGRAM... [-- FILE...]
#
# DEST is what prepare.sh made. Programs are stripped and go to /usr/bin, files to /. For run.sh: GUEST_INITRAMFS=OUT.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=copy.sh
. "$here/copy.sh"
dest=$1 out=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root" "$work/programs"
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    # A debug build is mostly names and line numbers. Where there is no strip the guest has to hold them.
    strip -o "$work/programs/$(basename "$1")" "$1" 2>/dev/null || cp -L "$1" "$work/programs/"
    shift
done
[ $# -eq 0 ] || shift
copy_programs "$work/root" "$work"/programs/*
[ $# -eq 0 ] || cp -L "$@" "$work/root/"
cp -L "$dest/initramfs.gz" "$out"
# An archive that is not compressed begins at a multiple of four bytes.
truncate -s %4 "$out"
archive "$work/root" >>"$out"
