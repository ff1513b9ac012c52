#!/usr/bin/env bash
# Make the system tree of an Arm board, Debian bookworm with Python 3.11 as Raspberry Pi OS has it, run by qemu-user.
# Usage: arm.sh FOLDER
set -euo pipefail
folder=$1
binfmt=/proc/sys/fs/binfmt_misc

[ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
[ -e "$binfmt/qemu-aarch64" ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >"$binfmt/register"
[ -e "$folder/.made" ] && exit
rm -rf "$folder"
mkdir -p "$folder"
debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-venv bookworm "$folder" >"$folder.log" 2>&1
chroot "$folder" /debootstrap/debootstrap --second-stage >>"$folder.log" 2>&1
touch "$folder/.made"
