#!/bin/busybox sh
# shellcheck shell=dash source=lib.sh
# The examiner's own program images the disk behind a bridge: `daleel image --bridge`, through the kernel's USB, while another program tries to write.
# Needs an initramfs with daleel and the bridge's public key as /enrolled.pem (extend.sh), and 512 MiB of memory.
#
# What daleel wrote, the image itself apart, and what it printed go out by the second serial port, as a tar archive: the bridge's evidence as
# `case`, the rest as `image`. IMAGE has the digest of the image.
. /lib.sh

disk=/dev/$DISK
B=$(block_size)
said=/tmp/carry/said
out=/mnt/ev
mkdir -p $said
head -c 65536 /dev/zero >/tmp/zeros
# The first file system of the guest cannot say how much room it has.
mount -t tmpfs -o size=300m tmpfs /mnt

# A program with the time that it needs, as prog: CHECK name= kind=prog.
long_prog() {
    own=$1 t0=$(now)
    shift
    timeout -k 1 900 "$@" >"$said/$own.txt" 2>"$said/$own.err"
    EXIT=$?
    [ $EXIT -eq 0 ] && STATUS=ok || STATUS=failed
    echo "CHECK name=$own kind=prog status=$STATUS exit=$EXIT ms=$(($(now) - t0)) out=\"$(cat "$said/$own.txt" "$said/$own.err" | grep . | tail -n 3 | quoted 300)\""
}

# A write from elsewhere once the bridge has logged a few megabytes.
written_beside() {
    tries=0
    until [ "$(cat $out/bridge/*.log 2>/dev/null | wc -l)" -ge 2 ] || [ $tries -eq 900 ]; do
        tries=$((tries + 1))
        sleep 0.2
    done
    raw beside_write_10 "o$B:/tmp/zeros" 2a 00 00 00 00 08 00 00 01 00
}

written_beside >/tmp/beside &
beside=$!
long_prog image daleel image "$disk" --out $out --bridge --format raw --json
wait $beside
cat /tmp/beside
echo "IMAGE bytes=$(stat -c %s $out/image.raw) sha256=$(sha256sum <$out/image.raw | cut -d' ' -f1)"
long_prog verify daleel bridge verify $out/bridge --key /enrolled.pem --image $out/image.raw --json
# A partition is not what the bridge's megabytes are counted in.
long_prog partition daleel image "${disk}1" --out /mnt/part --bridge
rm $out/image.raw
mv $out/bridge /tmp/carry/case
mv $out /tmp/carry/image
stty -F /dev/ttyS1 raw
tar -cf - -C /tmp/carry . >/dev/ttyS1
echo "CARRIED files=$(find /tmp/carry -type f | wc -l)"
kernel_said
exit 0
