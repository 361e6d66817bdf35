#!/bin/busybox sh
# shellcheck shell=dash source=lib.sh
# The examiner's own program at its work: `daleel bridge`, through the kernel's USB, beside programs that read the disk and try to write.
# Needs an initramfs with daleel, the bridge's public key as /enrolled.pem, and, where the bridge logs, its firmware as /bridge.elf
# (extend.sh); and 512 MiB of memory.
#
#   daleel.read_mib=N   MiB read in all, in the first session (default 16; no more than there are, an even number)
#   daleel.kept_mib=N   MiB read in the second session (default 2)
#
# Everything that daleel wrote, and what it printed as NAME.txt and NAME.err, goes out by the second serial port, as a tar archive. The nonces are the
# SHA-256 of words, as they would be of custody events.
. /lib.sh

disk=/dev/$DISK
B=$(block_size)
all=$(($(block_count) * B / 1048576))
mib=$(word read_mib 16)
[ "$mib" -le "$all" ] || mib=$all
half=$((mib / 2))
kept=$(word kept_mib 2)
said=/tmp/carry/said
case=/tmp/carry/case
mkdir -p $said
head -c 65536 /dev/zero >/tmp/zeros
{
    printf '\000\026\000\020\000\000\000\000'
    printf '\000\000\000\000\000\000\000\010\000\000\000\010\000\000\000\000'
} >/tmp/unmap

nonce() { printf %s "$1" | sha256sum | cut -d' ' -f1; }

# A program whose whole output is kept; what it says beside that goes to a file of its own.
kept_prog() {
    own=$1
    shift
    # shellcheck disable=SC2016
    prog "$own" sh -c 'errors=$1 && shift && exec "$@" 2>"$errors"' sh "$said/$own.err" "$@"
    cp /tmp/prog "$said/$own.txt"
}

# READ name= bytes= sha256= exit=: MiB from ... on, past the cache; kept in the image file where FILE is given.
reads() {
    timeout -k 1 300 /usr/bin/dd "if=$disk" bs=1M skip="$2" count="$3" iflag=direct 2>/dev/null >/tmp/part
    EXIT=$?
    echo "READ name=$1 bytes=$(stat -c %s /tmp/part) sha256=$(sha256sum </tmp/part | cut -d' ' -f1) exit=$EXIT"
    [ -z "${4:-}" ] || cat /tmp/part >>"$4"
}

# Commands that the bridge has to refuse, sent past the kernel's own idea of the disk.
refused_one() {
    raw "${1}_write_10" "o$B:/tmp/zeros" 2a 00 00 00 00 08 00 00 01 00
    raw "${1}_unmap" o24:/tmp/unmap 42 00 00 00 00 00 00 00 18 00
    raw "${1}_format_unit" n 04 00 00 00 00 00
}

refused_two() {
    raw "${1}_write_16" "o$B:/tmp/zeros" 8a 00 00 00 00 00 00 00 00 08 00 00 00 01 00 00
    raw "${1}_write_same_16_ndob" n 93 01 00 00 00 00 00 00 00 08 00 00 00 08 00 00
    raw "${1}_mode_select_6" o4:/tmp/zeros 15 10 00 00 04 00
    raw "${1}_vendor_ff" n ff 00 00 00 00 00 00 00 00 00
}

# Waits until a program that runs beside has printed a line: awaited FILE PATTERN
awaited() {
    tries=0
    until grep -q "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || return 1
        sleep 0.2
    done
}

# Ends a program that runs beside as Ctrl-C does: CHECK name= kind=prog, as prog.
interrupted() {
    kill -INT "$2"
    wait "$2"
    EXIT=$?
    [ $EXIT -eq 0 ] && STATUS=ok || STATUS=failed
    echo "CHECK name=$1 kind=prog status=$STATUS exit=$EXIT out=\"$(grep . "$said/$1.txt" | tail -n 3 | quoted 160)\""
}

# Step by step, each a run of its own, as a script of a laboratory does it.
by_steps() {
    kept_prog start daleel bridge attest start --out $case --nonce "$(nonce acquire-start)" --json
    reads first 0 $half /tmp/image
    refused_one first
    kept_prog checkpoint daleel bridge attest checkpoint --out $case --nonce "$(nonce acquire-checkpoint)" --json
    reads second $half $((mib - half)) /tmp/image
    refused_two second
    kept_prog info_open daleel bridge info --json
    kept_prog finish daleel bridge attest finish --out $case --nonce "$(nonce groups)" --json
    # What is over cannot be finished again.
    kept_prog finish_again daleel bridge attest finish --out $case
}

# Kept by a program that runs beside the one that reads, with a checkpoint by time.
kept_beside() {
    daleel bridge attest run --out $case --nonce "$(nonce second-start)" --every 4s >"$said/run.txt" 2>"$said/run.err" &
    run=$!
    # The log of a session is begun when the bridge has opened it.
    tries=0
    until [ "$(find $case -name '*.log' | wc -l)" -eq 2 ] || [ $tries -eq 100 ]; do
        tries=$((tries + 1))
        sleep 0.2
    done
    reads beside 0 1
    refused_one beside
    awaited "$said/run.txt" '^REFUSED: ' || echo "NOTE no refusal was shown"
    awaited "$said/run.txt" '^checkpoint ' || echo "NOTE no checkpoint was taken"
    reads beside_more 1 $((kept - 1))
    interrupted run $run
}

# The counters live.
watched() {
    daleel bridge info --watch --jsonl >"$said/watch.txt" 2>"$said/watch.err" &
    watch=$!
    awaited "$said/watch.txt" '^{' || echo "NOTE nothing was shown"
    refused_one watched
    sleep 2
    interrupted watch $watch
}

: >/tmp/image
kept_prog list daleel bridge list --json
kept_prog list_text daleel bridge list
kept_prog info daleel bridge info --json
by_steps
kept_beside
watched
if [ -e /bridge.elf ]; then
    kept_prog log daleel bridge log --elf /bridge.elf --json
fi
kept_prog info_after daleel bridge info
# The image is as long as the disk; what was not read is zeros.
truncate -s $(($(block_count) * B)) /tmp/image
kept_prog verify daleel bridge verify $case --key /enrolled.pem --image /tmp/image --uncovered $said/uncovered --json
kept_prog verify_text daleel bridge verify $case --key $case/key.pem
stty -F /dev/ttyS1 raw
tar -cf - -C /tmp/carry . >/dev/ttyS1
echo "CARRIED files=$(find /tmp/carry -type f | wc -l)"
kernel_said
exit 0
