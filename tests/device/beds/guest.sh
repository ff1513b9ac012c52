#!/usr/bin/env bash
# Make the virtual machine's disk from the container's tree: a kernel, V4L2 loopback cameras, libcamera and picamera2.
# Usage: guest.sh TREE FOLDER; leaves disk.img, vmlinuz and initrd in FOLDER.
set -euo pipefail
tree=$1 folder=$2 here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$folder/root

[ -e "$folder/.made" ] && exit
mkdir -p "$folder"
exec >>"$folder.log" 2>&1
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv DEBIAN_FRONTEND=noninteractive "$@"; }

if [ ! -e "$folder/.system" ]; then
    rm -rf --one-file-system "$root"
    cp -a "$tree" "$root"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    inside apt-get update --quiet
    inside apt-get install --quiet --yes --no-install-recommends linux-image-amd64 linux-headers-amd64 \
        initramfs-tools busybox zstd v4l-utils v4l2loopback-dkms python3-pip gcc libc6-dev python3-dev libcamera-tools \
        libcamera-ipa python3-libcamera libcamera-v4l2 python3-prctl python3-numpy python3-pil python3-jsonschema \
        python3-av python3-piexif python3-libarchive-c python3-tqdm
    touch "$folder/.system"
fi

# As apt's package on a Raspberry Pi: in the system's Python, and built against its numpy.
inside env PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    pip install --quiet --break-system-packages --no-deps picamera2 simplejpeg videodev2 pidng

# The modules of one disk and a console instead of everybody's: the guest has no accelerator, and starts twice as fast.
printf '%s\n' virtio_blk virtio_pci ext4 virtio_console >"$root/etc/initramfs-tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
inside update-initramfs -u
cp "$here/agent.py" "$root/opt/agent.py"
cp "$here/agent.service" "$root/etc/systemd/system/agent.service"
systemctl --root="$root" enable agent.service
rm -rf "$root"/var/cache/apt/archives/*.deb "$root/var/lib/apt/lists"
echo "/dev/vda / ext4 defaults,noatime 0 1" >"$root/etc/fstab"
mkdir -p "$root/var/log/journal"
cp --dereference "$root/vmlinuz" "$folder/vmlinuz"
cp --dereference "$root/initrd.img" "$folder/initrd"
mke2fs -q -t ext4 -L root -d "$root" "$folder/disk.img" 6G
rm -rf --one-file-system "$root"
touch "$folder/.made"
