#!/bin/busybox sh
# shellcheck shell=dash source=lib.sh
# Reads, and says what was read by its SHA-256; looks for sectors that cannot be read.
#
#   daleel.read_mib=N      the first N MiB, by dd, direct (default 16; no more than there are)
#   daleel.buffered_mib=N  the first N MiB, by dd, through the cache (default: as read_mib)
#   daleel.sg_mib=N        the first N MiB by READ(6), (10), (12) and (16) (default 1)
#   daleel.sweep=LBA,...   block for block around these, and one READ over each (default: none)
#   daleel.span=N          so many blocks on either side (default 8)
. /lib.sh

node=/dev/$SG
B=$(block_size)
BLOCKS=$(block_count)

# No more MiB than the disk has.
within() {
    all=$((BLOCKS * B / 1048576))
    [ "$1" -le "$all" ] && echo "$1" || echo "$all"
}

# READ name= bytes= sha256= exit= ms=; the command writes what it read to stdout.
digest() {
    name=$1 t0=$(now)
    shift
    sum=$({
        timeout -k 1 "$READ_LIMIT" "$@" 2>/tmp/err
        echo $? >/tmp/exit
    } | tee /tmp/count_in | sha256sum | cut -d' ' -f1)
    echo "READ name=$name bytes=$(stat -c %s /tmp/count_in) sha256=$sum exit=$(cat /tmp/exit) ms=$(($(now) - t0))"
    rm -f /tmp/count_in
}

# READ(10) of COUNT blocks at LBA, or READ(16) where the number is too long for it.
read_blocks() {
    if [ "$1" -lt 4294967296 ]; then
        # shellcheck disable=SC2046
        send "i$(($2 * B))" 28 00 $(be "$1" 4) 00 $(be "$2" 2) 00
    else
        # shellcheck disable=SC2046
        send "i$(($2 * B))" 88 00 $(be "$1" 8) $(be "$2" 4) 00 00
    fi
}

received() { stat -c %s /tmp/in; }

# SWEEP lba= by=sg|dd ...: one line for each block that cannot be read.
# SWEPT by= from= to= read= failed=LBA,...|none sha256= (of the blocks that could be read)
sweep_sg() {
    failed='' n=0
    : >/tmp/good
    lba=$1
    while [ "$lba" -le "$2" ]; do
        read_blocks "$lba" 1
        if [ "$STATUS" = good ] && [ "$(received)" -eq "$B" ]; then
            cat /tmp/in >>/tmp/good
            n=$((n + 1))
        else
            echo "SWEEP lba=$lba by=sg status=$STATUS exit=$EXIT sense=$SENSE fru=$FRU info=$INFO bytes=$(received)"
            failed=$failed,$lba
        fi
        lba=$((lba + 1))
    done
    swept sg "$1" "$2"
}

sweep_dd() {
    failed='' n=0
    : >/tmp/good
    lba=$1
    while [ "$lba" -le "$2" ]; do
        if timeout -k 1 $HANG /usr/bin/dd "if=/dev/$DISK" bs="$B" skip="$lba" count=1 iflag=direct 2>/tmp/err >/tmp/in &&
            [ "$(received)" -eq "$B" ]; then
            cat /tmp/in >>/tmp/good
            n=$((n + 1))
        else
            echo "SWEEP lba=$lba by=dd out=\"$(head -n 1 /tmp/err | quoted 120)\""
            failed=$failed,$lba
        fi
        lba=$((lba + 1))
    done
    swept dd "$1" "$2"
}

swept() {
    failed=${failed#,}
    echo "SWEPT by=$1 from=$2 to=$3 read=$n failed=${failed:-none} sha256=$(sha256sum </tmp/good | cut -d' ' -f1)"
}

# COE lba= blocks= bytes= sha256= exit= out=: the same through sg_dd, told to go on after an error (coe=1). For a
# MEDIUM ERROR with the failing LBA it takes the blocks before and after it, and zeros for that one block.
go_on() {
    count=$(($2 - $1 + 1))
    timeout -k 1 12 sg_dd if="$node" of=- bs="$B" bpt=$count skip="$1" count=$count coe=1 >/tmp/in 2>/tmp/err
    EXIT=$?
    echo "COE lba=$1 blocks=$count bytes=$(received) sha256=$(sha_in) exit=$EXIT out=\"$(quoted 200 </tmp/err)\""
}

# MULTI lba= blocks= status= sense= info= bytes= sha256=: one READ over the whole span. sg_raw
# hands on no data of a command that failed, so that bytes is 0 then.
multi() {
    count=$(($2 - $1 + 1))
    read_blocks "$1" $count
    echo "MULTI lba=$1 blocks=$count status=$STATUS exit=$EXIT sense=$SENSE fru=$FRU info=$INFO bytes=$(received)" \
        "sha256=$(sha_in)"
}

# READ(6) of 256 blocks is more than the driver would send to a High-Speed device.
echo 2048 >"/sys/block/$DISK/device/max_sectors"
READ_LIMIT=$(($(word limit 400) / 2))
mib=$(within "$(word read_mib 16)")
digest dd_direct /usr/bin/dd "if=/dev/$DISK" bs=1M count="$mib" iflag=direct
echo 3 >/proc/sys/vm/drop_caches
digest dd_buffered /usr/bin/dd "if=/dev/$DISK" bs=1M count="$(within "$(word buffered_mib "$mib")")"

blocks=$(($(within "$(word sg_mib 1)") * 1048576 / B))
for size in 6 10 12 16; do
    digest "read_$size" sg_dd if="$node" of=- bs="$B" bpt=128 count=$blocks cdbsz=$size odir=0 verbose=0
done
last=$((BLOCKS - 1))
for entry in "read_6_first i$B 08 00 00 00 01 00" "read_6_256 i$((256 * B)) 08 00 00 00 00 00" \
    "read_10_first i$B 28 00 00 00 00 00 00 00 01 00" "read_12_first i$B a8 00 00 00 00 00 00 00 00 01 00 00" \
    "read_16_first i$B 88 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00" \
    "read_16_last i$B 88 00 $(be $last 8) 00 00 00 01 00 00" \
    "read_16_beyond i$B 88 00 $(be $((last + 1)) 8) 00 00 00 01 00 00" \
    "read_10_none n 28 00 00 00 00 00 00 00 00 00"; do
    # shellcheck disable=SC2086
    raw $entry
    echo "READ name=${entry%% *} bytes=$(received) sha256=$(sha_in) exit=$EXIT"
done

span=$(word span 8)
for centre in $(words "$(word sweep '')"); do
    from=$((centre > span ? centre - span : 0))
    to=$((centre + span < BLOCKS ? centre + span : BLOCKS - 1))
    sweep_sg $from $to
    multi $from $to
    go_on $from $to
    sweep_dd $from $to
done
kernel_said
exit 0
