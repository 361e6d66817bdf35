#!/usr/bin/env bash
# Prepares the Linux guest of the tests: Debian's own kernel and an initramfs with its USB storage drivers,
# sg3_utils, hdparm and the ordinary disk programs. Asks nothing; does nothing when all is there already.
#
#   firmware/guest/prepare.sh [DEST]        (default: target/guest of the repository)
#
# Leaves DEST/vmlinuz, DEST/initramfs.gz and DEST/stamp (kernel version, digests of what went in), and prints
# DEST on stdout. Programs that are missing here are installed by apt, for which root is needed.
# The kernel is taken once; remove DEST/kernel for a newer one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:-$here/../../target/guest}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
exec </dev/null 3>&1 1>&2
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

# What the kernel would load by itself where there is modprobe; what they depend on is found below.
MODULES=(xhci_pci usb_storage uas sd_mod sg crct10dif_generic crc32c_generic ext4 vfat nls_cp437 nls_ascii)
# Program, and the package that has it.
PROGRAMS=(
    busybox:busybox-static
    sg_inq:sg3-utils
    hdparm:hdparm
    mkfs.ext4:e2fsprogs
    sfdisk:fdisk
    blkdiscard:util-linux
    blockdev:util-linux
    mount:mount
    dd:coreutils
    timeout:coreutils
)
# Besides every sg_* program.
COPIED=(dd timeout mkfs.ext4 e2fsck dumpe2fs blkdiscard blockdev fallocate wipefs sfdisk mount umount hdparm)
SCRIPTS=(init lib.sh identity.sh read.sh attack.sh bridge.sh acquire.sh)

# shellcheck source=copy.sh
. "$here/copy.sh"

say() { printf 'guest: %s\n' "$*"; }

apt_get() {
    apt-get -q -o DPkg::Lock::Timeout=120 "$@" || {
        say "apt-get $1 failed, once more in 10 seconds"
        sleep 10
        apt-get -q -o DPkg::Lock::Timeout=120 "$@"
    }
}

install_programs() {
    local entry missing=()
    for entry in "${PROGRAMS[@]}"; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
    done
    # A busybox that is not static does not run in the guest.
    if command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then
        missing+=(busybox-static)
    fi
    [ ${#missing[@]} -gt 0 ] || return 0
    say "missing: ${missing[*]}"
    apt_get update
    apt_get install --yes --no-install-recommends "${missing[@]}"
}

# The package that linux-image-amd64 depends on: the "cloud" kernel has no USB.
kernel_package() {
    apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1
}

# Copies a module and, before it, those that it depends on, into $2, and writes their order.
add_module() {
    local tree=$1 out=$2 name=$3 file dep deps
    ! grep -qxF "$name.ko" "$out/order" || return 0
    file=$(find "$tree" -name "$name.ko*" -o -name "${name//_/-}.ko*" | head -1)
    if [ -z "$file" ]; then
        grep -qE "/(${name}|${name//_/-})\.ko$" "$(dirname "$tree")/modules.builtin" && return 0
        say "this kernel has no module $name"
        return 1
    fi
    case $file in
    *.xz) xz -dc "$file" >"$out/$name.ko" ;;
    *.zst) zstd -dcq "$file" >"$out/$name.ko" ;;
    *) cp "$file" "$out/$name.ko" ;;
    esac
    deps=$(tr '\0' '\n' <"$out/$name.ko" | sed -n 's/^depends=//p' | head -1)
    for dep in ${deps//,/ }; do add_module "$tree" "$out" "${dep//-/_}"; done
    echo "$name.ko" >>"$out/order"
}

fetch_kernel() {
    local package version work name deb
    package=$(kernel_package)
    if [ -z "$package" ]; then
        apt_get update
        package=$(kernel_package)
    fi
    [ -n "$package" ] || { say "apt knows no linux-image-amd64"; exit 1; }
    version=${package#linux-image-}
    work=$dest/work
    rm -rf "$work"
    mkdir -p "$work/modules" "$dest/cache"
    deb=$(find "$dest/cache" -name "${package}_*.deb" | sort | tail -1)
    if [ -z "$deb" ] || ! dpkg-deb -f "$deb" Package >/dev/null; then
        say "fetching $package"
        # The index may be older than the archive, which then has the package under another version only.
        (cd "$dest/cache" && rm -f ./*.deb &&
            { apt-get -q download "$package" || { apt_get update && apt_get download "$package"; }; })
        deb=$(find "$dest/cache" -name "${package}_*.deb" | sort | tail -1)
    fi
    say "unpacking $(basename "$deb")"
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards './boot/vmlinuz-*' './*lib/modules/*'
    : >"$work/modules/order"
    local tree
    tree=$(find "$work" -type d -path '*/lib/modules/*/kernel' | head -1)
    for name in "${MODULES[@]}"; do add_module "$tree" "$work/modules" "$name"; done
    mkdir "$work/kernel"
    mv "$work/boot/vmlinuz-$version" "$work/kernel/vmlinuz"
    mv "$work/modules" "$work/kernel/modules"
    dpkg-deb -f "$deb" Package Version >"$work/kernel/version"
    rm -rf "$dest/kernel"
    mv "$work/kernel" "$dest/kernel"
    rm -rf "$work"
}

sg_programs() { dpkg-query -L sg3-utils | grep -E '/s?bin/sg_[a-z0-9_]+$'; }

# The kernel, these scripts, and the packages whose programs go in.
new_stamp() {
    cat "$dest/kernel/version"
    (cd "$here" && sha256sum prepare.sh copy.sh "${SCRIPTS[@]}")
    dpkg-query -W busybox-static sg3-utils hdparm e2fsprogs util-linux coreutils libc6
}

build_initramfs() {
    local root=$dest/root name files=()
    rm -rf "$root"
    mkdir -p "$root"/{bin,usr/bin,dev,proc,sys,tmp,mnt,etc,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in "${COPIED[@]}"; do files+=("$(command -v "$name")"); done
    mapfile -t -O ${#files[@]} files < <(sg_programs)
    copy_programs "$root" "${files[@]}"
    : >"$root/etc/mtab"
    cp "$dest"/kernel/modules/* "$root/modules/"
    for name in "${SCRIPTS[@]}"; do install -m 755 "$here/$name" "$root/$name"; done
    archive "$root" | gzip -n >"$dest/initramfs.gz.new"
    mv "$dest/initramfs.gz.new" "$dest/initramfs.gz"
    ln -sfn kernel/vmlinuz "$dest/vmlinuz"
    rm -rf "$root"
}

exec 9>"$dest/lock"
flock 9
install_programs
[ -e "$dest/kernel/version" ] || fetch_kernel
stamp=$(new_stamp)
if [ -e "$dest/initramfs.gz" ] && [ "$(cat "$dest/stamp" 2>/dev/null)" = "$stamp" ]; then
    say "up to date"
else
    build_initramfs
    printf '%s\n' "$stamp" >"$dest/stamp"
    say "made $dest: $(sed -n 's/^Package: linux-image-//p' "$dest/kernel/version"), $(stat -c %s "$dest/initramfs.gz") bytes of initramfs"
fi
printf '%s\n' "$dest" >&3
