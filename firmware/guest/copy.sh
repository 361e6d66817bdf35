# Shared by prepare.sh and extend.sh: what goes into an initramfs. Sourced, not run.
# shellcheck shell=bash

# Copies programs with the libraries that their loader would take, links followed.
copy_programs() {
    local root=$1 file
    shift
    mkdir -p "$root/usr/bin"
    for file in "$@"; do
        cp -L "$file" "$root/usr/bin/"
        ldd "$file" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^\t*\(\/[^ ]*\) .*/\1/p'
    done | sort -u | while read -r file; do
        mkdir -p "$root$(dirname "$file")"
        cp -L "$file" "$root$file"
    done
}

# Writes a folder as an archive that the kernel unpacks. The owner and the times would make every build differ.
archive() {
    find "$1" -exec touch -hd @0 {} +
    (cd "$1" && find . | sort | busybox cpio -o -H newc 2>/dev/null)
}
