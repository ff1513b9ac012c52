#!/usr/bin/env bash
# Make the system tree that the container boots: Debian trixie with systemd and Python, nothing else.
# Usage: tree.sh FOLDER
set -euo pipefail
folder=$1
packages=systemd,systemd-sysv,udev,dbus,python3,python3-venv,ca-certificates,procps,kmod,iproute2

[ -e "$folder/.made" ] && exit
rm -rf "$folder"
mkdir -p "$folder"
debootstrap --variant=minbase --include="$packages" trixie "$folder" >"$folder.log" 2>&1
systemd-firstboot --root="$folder" --locale=C.UTF-8 --timezone=UTC --hostname=microscope --root-password="" --force
# Nothing may wait for a network or a person.
for unit in systemd-networkd-wait-online.service systemd-firstboot.service apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$folder/etc/systemd/system/$unit"
done
touch "$folder/.made"
