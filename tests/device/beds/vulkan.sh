#!/usr/bin/env bash
# Unpack Mesa's lavapipe, a Vulkan driver that runs on the processor, beside the system and without installing it.
# Usage: vulkan.sh FOLDER; leaves FOLDER/driver.json and the libraries in FOLDER/lib.
set -euo pipefail
folder=$1

[ -e "$folder/.made" ] && exit
rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial" "$folder/tree"
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# shellcheck disable=SC2016 # apt puts it in
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep --max-count=1 '/debian/$')
suite=$codename
echo "deb $mirror $codename main" >"$folder/apt/sources.list"
if [ "$codename" = bookworm ]; then
    # LiteRT refuses Bookworm's own, 22.3.
    suite=bookworm-backports
    echo "deb $mirror $suite main" >>"$folder/apt/sources.list"
fi
apt=(apt-get -qq -o Debug::NoLocking=1 -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o "Dir::Cache::Archives=$folder/apt/archives")
"${apt[@]}" update
"${apt[@]}" install --download-only --reinstall --no-install-recommends --yes -t "$suite" mesa-vulkan-drivers libvulkan1 >/dev/null
for package in "$folder"/apt/archives/*.deb; do dpkg --extract "$package" "$folder/tree"; done
ln -s "tree/usr/lib/$(uname -m)-linux-gnu" "$folder/lib"
sed "s#\"library_path\": \".*libvulkan_lvp.so\"#\"library_path\": \"$folder/lib/libvulkan_lvp.so\"#" \
    "$folder"/tree/usr/share/vulkan/icd.d/lvp_icd*.json >"$folder/driver.json"
touch "$folder/.made"
