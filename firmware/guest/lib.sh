# Shared by init and the scripts of the guest. Sourced, not run.
# shellcheck shell=dash disable=SC2034,SC2015,SC2012

# The value of daleel.NAME= on the kernel's command line, or the default given.
word() {
    found=$(tr ' ' '\n' </proc/cmdline | grep "^daleel\.$1=" | tail -n 1)
    [ -n "$found" ] && echo "${found#*=}" || echo "$2"
}

# A list with commas, as words.
words() { echo "$1" | tr , ' '; }

# Milliseconds since the kernel started.
now() {
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}0"
}

# The kernel's messages, as DMESG lines.
as_dmesg() { tr -d '\r' | sed 's/^/DMESG /'; }

# One line that may stand between double quotes; lines of the input are parted by "|".
quoted() { tr '\n\t\r"' "|  '" | tr -cd ' -~' | sed 's/[| ]*$//' | cut -c1-"${1:-300}"; }

# Sets DISK (sda) and SG (sg0) to the first USB disk, or fails with WHY.
find_disk() {
    WHY=no_usb_disk
    for d in /sys/block/sd*; do
        case $(readlink -f "$d/device") in */usb*) ;; *) continue ;; esac
        DISK=${d##*/}
        SG=$(ls "$d/device/scsi_generic" 2>/dev/null | head -n 1)
        # The capacity is the last thing that the driver asks before it announces the disk.
        if [ -z "$SG" ] || [ ! -c "/dev/$SG" ]; then
            WHY=no_sg_node
        elif [ ! -b "/dev/$DISK" ]; then
            WHY=no_disk_node
        elif [ "$(cat "$d/size")" -eq 0 ]; then
            WHY=no_capacity
        else
            export DISK SG
            return 0
        fi
    done
    return 1
}

wait_for_disk() {
    until_ms=$(($(now) + $1 * 1000))
    until find_disk; do
        [ "$(now)" -lt "$until_ms" ] || return 1
        sleep 0.2
    done
}

# DISK name= sg= vendor= model= rev= sectors= (of 512 bytes) block= (bytes) ro= ms=
print_disk() {
    s=/sys/block/$DISK
    echo "DISK name=$DISK sg=$SG vendor=\"$(quoted <"$s/device/vendor")\" model=\"$(quoted <"$s/device/model")\"" \
        "rev=\"$(quoted <"$s/device/rev")\" sectors=$(cat "$s/size") block=$(block_size) ro=$(cat "$s/ro") ms=$(now)"
}

# A command that hangs is ended after this many seconds: it may not hold up the others. The kernel gives up before that.
HANG=30
PATIENCE=20

# The lower half of a byte in hexadecimal: the sense key.
nibble() { printf %x $((0x$1 & 15)); }

# Sets SENSE (key/asc/ascq), FRU, SKS and INFO (hexadecimal) from the bytes of sense data given as words.
decode_sense() {
    SENSE=- FRU=- SKS=- INFO=-
    case ${1:-} in
    70 | 71 | f0 | f1)
        [ $# -ge 14 ] || return 0
        SENSE=$(nibble "$3")/${13}/${14}
        case $1 in f*) INFO=$4$5$6$7 ;; esac
        [ $# -lt 15 ] || FRU=${15}
        [ $# -lt 18 ] || SKS=${16}${17}${18}
        ;;
    72 | 73)
        [ $# -ge 8 ] || return 0
        SENSE=$(nibble "$2")/$3/$4
        shift 8
        while [ $# -ge 4 ]; do
            case $1 in
            00) [ $# -lt 12 ] || INFO=$5$6$7$8$9${10}${11}${12} ;;
            02) [ $# -lt 7 ] || SKS=$5$6$7 ;;
            03) FRU=$4 ;;
            esac
            skip=$((0x$2 + 2))
            [ $skip -le $# ] || return 0
            shift $skip
        done
        ;;
    esac
}

# Sets STATUS and the sense from what `sg_raw -v` printed.
read_status() {
    STATUS=none in_sense='' bytes=''
    while read -r line; do
        case $line in
        "SCSI Status: Good"*) STATUS=good ;;
        "SCSI Status: Check Condition"*) STATUS=check ;;
        "SCSI Status: "*) STATUS=$(echo "${line#SCSI Status: }" | quoted | tr ' ' _) ;;
        "Raw sense data"*) in_sense=yes ;;
        '') in_sense='' ;;
        *) [ -z "$in_sense" ] || bytes="$bytes $line" ;;
        esac
    done <"$1"
    # shellcheck disable=SC2086
    decode_sense $bytes
}

# Sends one command through the sg node and sets STATUS, SENSE ..., EXIT, UA (unit attentions met before).
# send DATA CDB-BYTE...; DATA: n (none), iN (N bytes in, left in /tmp/in), oN:FILE (N bytes out of FILE)
send() {
    data=$1
    shift
    case $data in
    i*) set -- -r "${data#i}" -o /tmp/in "/dev/$SG" "$@" ;;
    o*) n=${data#o} && set -- -s "${n%%:*}" -i "${n#*:}" "/dev/$SG" "$@" ;;
    *) set -- "/dev/$SG" "$@" ;;
    esac
    # --cmdset=1: sg_raw takes some CDBs of vendors for NVMe commands otherwise.
    UA=0
    while :; do
        rm -f /tmp/in && : >/tmp/in
        timeout -k 1 $HANG sg_raw --cmdset=1 -v -t $PATIENCE "$@" >/tmp/raw 2>&1
        EXIT=$?
        read_status /tmp/raw
        case $EXIT in 124 | 137 | 143) STATUS=timeout && return ;; esac
        # sg_raw speaks of a good status where the transport failed and there is none.
        case $STATUS/$EXIT in good/0) ;; good/*) STATUS=none ;; esac
        # A reset before makes the next command end with a unit attention, which says nothing of the command itself.
        case $SENSE in 6/*) ;; *) return ;; esac
        UA=$((UA + 1))
        [ $UA -lt 4 ] || return
    done
}

# CHECK name= kind=raw status= exit= sense= fru= sks= info= ua= ms= cdb= [bytes= hex=] [out=]
raw() {
    name=$1 t0=$(now)
    shift
    if late; then
        echo "CHECK name=$name kind=raw status=skipped"
        return
    fi
    send "$@"
    got=''
    if [ -s /tmp/in ]; then
        got=" bytes=$(stat -c %s /tmp/in) hex=$(xxd -p -l 64 /tmp/in | tr -d '\n')"
    fi
    # Without a status there was no answer: what sg_raw says of that.
    [ "$STATUS" != none ] && [ "$STATUS" != timeout ] || got=" out=\"$(grep . /tmp/raw | tail -n 2 | quoted 160)\""
    shift
    echo "CHECK name=$name kind=raw status=$STATUS exit=$EXIT sense=$SENSE fru=$FRU sks=$SKS info=$INFO" \
        "ua=$UA ms=$(($(now) - t0)) cdb=$(echo "$@" | tr -d ' ')$got"
}

# A number as N big-endian bytes in hexadecimal words.
be() { printf "%0$(($2 * 2))x" "$1" | sed 's/../& /g'; }

# Sets MARK to a new number and writes it where the judge of the link sees it, between the commands: a READ(10) of no blocks at that
# address, which moves no data.
mark() {
    MARK=$(($(cat /tmp/mark 2>/dev/null || echo 0) + 1))
    echo $MARK >/tmp/mark
    # shellcheck disable=SC2046
    timeout -k 1 $HANG sg_raw --cmdset=1 -t $PATIENCE "/dev/$SG" 28 00 $(be $MARK 4) 00 00 00 00 >/dev/null 2>&1
}

# Runs a program: CHECK name= kind=prog status=ok|failed|timeout exit= ms= mark= out="last lines"; its output is in /tmp/prog. What it sent
# lies between two marks on the link: the number given and the next.
prog() {
    name=$1
    shift
    if late; then
        echo "CHECK name=$name kind=prog status=skipped"
        return 99
    fi
    mark
    begun=$MARK t0=$(now)
    # Where busybox has a command of the same name, its shell would prefer that.
    if [ -x "/usr/bin/$1" ]; then
        program=/usr/bin/$1
        shift
        set -- "$program" "$@"
    fi
    timeout -k 1 $HANG "$@" >/tmp/prog 2>&1 </dev/null
    EXIT=$? took=$(($(now) - t0))
    mark
    case $EXIT in
    0) STATUS=ok ;;
    124 | 137 | 143) STATUS=timeout ;;
    *) STATUS=failed ;;
    esac
    echo "CHECK name=$name kind=prog status=$STATUS exit=$EXIT ms=$took mark=$begun out=\"$(grep . /tmp/prog | tail -n 3 | quoted 160)\""
    return $EXIT
}

# A program, then everything it printed as TEXT lines.
shown() {
    prog "$@"
    name=$1
    tr -d '\r' </tmp/prog | sed "s/^/TEXT $name: /"
}

# Whether a script has used up its time (LATE_MS, 0: no bound): what is left is then skipped, and says so.
LATE_MS=0
late() { [ "$LATE_MS" -gt 0 ] && [ "$(now)" -gt "$LATE_MS" ]; }

# The logical block size and the number of blocks.
block_size() { cat "/sys/block/$DISK/queue/logical_block_size"; }
block_count() { echo $(($(cat "/sys/block/$DISK/size") * 512 / $(block_size))); }

# The SHA-256 of what the last command through the sg node brought.
sha_in() { sha256sum </tmp/in 2>/dev/null | cut -d' ' -f1; }

# What the kernel said since the last time, of disks, USB and file systems.
kernel_said() {
    dmesg -c | grep -E '[^k]sd |sd[a-z]|usb|scsi|EXT4|JBD2|I/O error|rejecting|uas' | as_dmesg
}
