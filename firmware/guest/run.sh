#!/usr/bin/env bash
# Starts the guest that prepare.sh made and copies its console to stdout; ends when the guest has powered off.
#
#   firmware/guest/run.sh DEST "daleel.run=identity,read daleel.read_mib=16" QEMU-ARGUMENT...
#
# The QEMU arguments give it its USB disk (README.md has them for a bridge and for a stand-in). Exit 0: the guest
# powered off by itself; 124: it did not within GUEST_SECONDS (default 500). GUEST_INITRAMFS: another initramfs (extend.sh makes one),
# GUEST_MEMORY: MiB of memory (default 256).
set -euo pipefail
dest=$1 words=$2
shift 2
# Software emulation: /dev/kvm may open and still be unusable.
exec timeout --kill-after=5 "${GUEST_SECONDS:-500}" qemu-system-x86_64 \
    -accel tcg -cpu max -m "${GUEST_MEMORY:-256}" -nographic -no-reboot -nodefaults -serial stdio -monitor none \
    -kernel "$dest/vmlinuz" -initrd "${GUEST_INITRAMFS:-$dest/initramfs.gz}" \
    -append "console=ttyS0 quiet loglevel=1 panic=-1 $words" \
    -device qemu-xhci "$@" </dev/null
