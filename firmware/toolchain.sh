#!/usr/bin/env bash
# Makes the bare-metal targets of the firmware available and prints, as its only line on stdout, the name of
# the cargo toolchain that has them: an empty line for the default toolchain, "debian" for Debian's compiler.
#
#   fw=$(firmware/toolchain.sh) && cargo ${fw:+"+$fw"} build ...
#
# Where rustup has the targets (rust-toolchain.toml names them) nothing is done. Otherwise Debian's compiler is
# taken, its `core` and `alloc` are built once for each target and laid into its sysroot, as if the targets had
# been installed: about a minute the first time, nothing afterwards. Only that first time needs root.
# Other targets may be named as arguments.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null 3>&1 1>&2

targets=(thumbv6m-none-eabi thumbv7em-none-eabihf armv7a-none-eabi)
[ $# -eq 0 ] || targets=("$@")
# The workspace's rust-version: an older compiler of Debian's is of no use.
MINOR_FLOOR=89
# Raised when the way `core` is built changes, so that older builds of the same compiler are replaced.
RECIPE=1
export DEBIAN_FRONTEND=noninteractive CARGO_TERM_COLOR=never
lib=/usr/lib/rustlib

say() { printf 'toolchain: %s\n' "$*"; }
die() {
    say "$*"
    exit 1
}

apt_get() {
    apt-get -q -o DPkg::Lock::Timeout=120 "$@" || {
        say "apt-get $1 failed, once more in 10 seconds"
        sleep 10
        apt-get -q -o DPkg::Lock::Timeout=120 "$@"
    }
}

# In the repository a proxy of rustup reads rust-toolchain.toml and, unless RUSTUP_AUTO_INSTALL=0, fetches the targets.
default_has_targets() {
    command -v rustup >/dev/null || return 1
    local t installed
    rustc --version >/dev/null || return 1
    installed=$(rustup target list --installed) || return 1
    for t in "${targets[@]}"; do
        grep -qxF "$t" <<<"$installed" || return 1
    done
}

debian_compiler_present() {
    local minor
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && command -v lld >/dev/null &&
        [ -e "$lib/src/rust/library/core/Cargo.toml" ] || return 1
    minor=$(/usr/bin/rustc --version | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge "$MINOR_FLOOR" ]
}

# What `core` was built by: the compiler's commit (its version where a build carries no commit) and this recipe.
stamp() {
    printf '%s recipe %s\n' "$(/usr/bin/rustc -vV | sed -n 's/^commit-hash: //p; s/^release: //p' | paste -sd' ')" "$RECIPE"
}

missing_targets() {
    local t want
    want=$(stamp)
    for t in "${targets[@]}"; do
        [ "$(cat "$lib/$t/built-for" 2>/dev/null)" = "$want" ] || printf '%s\n' "$t"
    done
}

rust_lld() { printf '%s/%s/bin/rust-lld' "$lib" "$(/usr/bin/rustc -vV | sed -n 's/^host: //p')"; }

ready() { debian_compiler_present && [ -x "$(rust_lld)" ] && [ -z "$(missing_targets)" ]; }

# Builds `core`, `alloc` and `compiler_builtins` for the targets given. Bitcode is embedded, for images are linked with LTO.
build_core() {
    local work args=() t c
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    for t in "$@"; do args+=(--target "$t"); done
    mkdir "$work/src"
    echo '#![no_std]' >"$work/src/lib.rs"
    printf '%s\n' '[package]' 'name = "sysroot"' 'version = "0.0.0"' 'edition = "2021"' '[workspace]' \
        '[profile.release]' 'panic = "abort"' >"$work/Cargo.toml"
    (
        cd "$work"
        unset CARGO_BUILD_TARGET CARGO_ENCODED_RUSTFLAGS RUSTUP_TOOLCHAIN RUSTC_WRAPPER
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_INCREMENTAL=0 \
            CARGO_TARGET_DIR="$work/target" CARGO_NET_RETRY=5 /usr/bin/cargo build --release \
            -Zbuild-std=core,alloc -Zbuild-std-features=compiler-builtins-mem "${args[@]}"
    )
    for t in "$@"; do
        rm -rf "${lib:?}/$t.new"
        mkdir -p "$lib/$t.new/lib"
        for c in core alloc compiler_builtins; do
            cp "$work/target/$t/release/deps/lib$c-"*.rlib "$lib/$t.new/lib/"
        done
        stamp >"$lib/$t.new/built-for"
        rm -rf "${lib:?}/$t"
        mv "$lib/$t.new" "$lib/$t"
    done
}

install() {
    local missing
    command -v apt-get >/dev/null ||
        die "no toolchain with ${targets[*]}: run 'rustup target add ${targets[*]}'"
    [ "$(id -u)" -eq 0 ] ||
        die "run 'rustup target add ${targets[*]}', or this script once as root (it installs Debian's compiler)"
    exec 9>/run/lock/daleel-toolchain
    flock 9
    if ! debian_compiler_present; then
        say "installing Debian's compiler"
        apt_get update
        apt_get install --yes --no-install-recommends rustc-web cargo-web rust-web-src lld ca-certificates
        debian_compiler_present || die "Debian's compiler is older than 1.$MINOR_FLOOR"
    fi
    # Debian's compiler asks for a linker named rust-lld, which Debian has under the name lld.
    mkdir -p "$(dirname "$(rust_lld)")"
    ln -sfn "$(command -v lld)" "$(rust_lld)"
    mapfile -t missing < <(missing_targets)
    if [ ${#missing[@]} -gt 0 ]; then
        say "building core and alloc for ${missing[*]}"
        build_core "${missing[@]}"
    fi
}

if default_has_targets; then
    say "the default toolchain has ${targets[*]}"
    echo >&3
    exit
fi
ready || install
if command -v rustup >/dev/null; then
    [ "$(readlink -f "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/debian" 2>/dev/null)" = /usr ] ||
        rustup toolchain link debian /usr
    say "Debian's compiler, as +debian: $(/usr/bin/rustc --version)"
    echo debian >&3
else
    [ "$(command -v cargo)" -ef /usr/bin/cargo ] || die "the cargo in PATH is neither rustup's nor Debian's"
    say "Debian's compiler: $(/usr/bin/rustc --version)"
    echo >&3
fi
