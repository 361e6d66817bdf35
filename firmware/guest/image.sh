#!/usr/bin/env bash
# Makes the disk image that the guest attacks: a partition table, an ext4 partition whose journal has a
# transaction still to be replayed (as on a machine whose power was cut), and bytes all different elsewhere.
# Times in the file system make every image another. Needs e2fsprogs and fdisk, no root.
#
#   firmware/guest/image.sh FILE MIB [SECTOR]
#
# MIB is at least 16; SECTOR, 512 or 4096, is the block size of the disk that the image is for.
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
file=$1 mib=$2 sector=${3:-512}
[ "$mib" -ge 16 ] || { echo "image: at least 16 MiB" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Every 16 bytes of the image are another number, so that a block read from the wrong place is noticed.
seq -f '%015.0f' 1 $((mib * 65536)) >"$file"

# The file system: 12 MiB, two MiB from the start of the disk.
truncate -s 12M "$work/fs"
# A block of the file system is no smaller than a sector; a journal has at least 1,024 of them.
block=$((sector > 1024 ? sector : 1024))
mkfs.ext4 -q -F -b $block -J size=$((block / 1024)) -O ^metadata_csum,^64bit -L EVIDENCE "$work/fs"
head -c 65536 "$file" >"$work/recording"
debugfs -w -f - "$work/fs" >/dev/null 2>&1 <<END
write $work/recording RECORDING
END
# A transaction that overwrites the last block but one of the file system: replaying it is a write that shows.
printf 'REPLAYED FROM JOURNAL %.0s' {1..50} >"$work/block"
truncate -s $block "$work/block"
debugfs -w -f - "$work/fs" >/dev/null 2>&1 <<END
jo
jw -b $((12 * 1048576 / block - 2)) $work/block
jc
END
dumpe2fs -h "$work/fs" 2>/dev/null | grep -q needs_recovery || { echo "image: the journal is not dirty" >&2; exit 1; }
dd if="$work/fs" of="$file" bs=1M seek=2 conv=notrunc status=none
printf '%s\n' 'label: dos' 'label-id: 0x44414c45' "$((2 * 1048576 / sector)),$((12 * 1048576 / sector)),83" |
    sfdisk --quiet --no-reread --no-tell-kernel "$file" >"$work/said" 2>&1 || {
    cat "$work/said" >&2
    exit 1
}
