#!/usr/bin/env bash
# Starts the emulated board with a bridge image and leaves its examiner's side at PIPE, for QEMU's usb-redir device:
#
#   firmware/boards/imx6ul-qemu/run.sh ELF PIPE "WORDS" QEMU-ARGUMENT... &
#   firmware/guest/run.sh ... -chardev pipe,id=bridge,path=PIPE -device usb-redir,chardev=bridge
#
# The drive is one of the QEMU arguments, for example: -drive if=none,id=d,file=evidence.img,format=raw
# -device usb-storage,drive=d,bus=usb-bus.0. WORDS are those of the image's description (src/main.rs): ident, smart, seed=.
# Text goes to stdout; the program runs until it is ended. PIPE.in, PIPE.out and PIPE.line.* are made anew.
#
# Two named pipes carry what a serial line would carry: towards the examiner in whole pieces by semihosting, which is about ten
# times as fast, and from the examiner by the serial port, for that direction must not wait.
set -euo pipefail
elf=$1 pipe=$2 words=$3
shift 3
rm -f "$pipe".{in,out} "$pipe".line.{in,out}
mkfifo "$pipe".{in,out} "$pipe".line.out
# QEMU reads a pipe's .in and writes to its .out; the examiner's QEMU does the same from the other end.
ln -s "$(realpath "$pipe.out")" "$pipe.line.in"
arguments="enable=on,target=native,chardev=text,arg=out=$(realpath "$pipe.in")"
for word in $words; do arguments+=",arg=$word"; done
# Without a character device of its own the text would wait in a buffer.
exec qemu-system-arm -M mcimx6ul-evk -m 128M -display none -monitor none \
    -serial "pipe:$pipe.line" -chardev stdio,id=text,signal=off -semihosting-config "$arguments" \
    -kernel "$elf" "$@" </dev/null
