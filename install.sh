#!/usr/bin/env bash
# Set up a Raspberry Pi, a Jetson or another Debian or Ubuntu machine as the device beside the microscope.
set -euo pipefail
umask 022

usage() {
    cat <<USAGE
Usage: sudo ./install.sh [install|rollback|uninstall]

  install    set the device up, or bring it to this version; data and configuration stay (the default)
  rollback   go back to the version that was there before
  uninstall  remove all but the data and the configuration

It is run from a checkout, or from the folder that \`make wheelhouse\` fills, which needs no network.
WBC_EDGE_PYTHON names another Python than /usr/bin/python3.
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly place=/opt/wbc-edge # an environment a release, and `current`, which the unit starts
readonly releases=$place/releases
readonly state=/var/lib/wbc-edge
readonly settings=/etc/wbc-edge
readonly account=wbc-edge
readonly unit=wbc-edge.service
readonly unit_file=/etc/systemd/system/$unit
readonly drop_in=$unit_file.d/jetson.conf
readonly gpu_memory=/dev/nvmap # of a Jetson
readonly wanted=/etc/systemd/system/multi-user.target.wants/$unit
readonly command=/usr/local/bin/wbc-edge
readonly completions=/usr/local/share
readonly python=${WBC_EDGE_PYTHON:-/usr/bin/python3}

say() { printf '%s\n' "$*"; }
warn() { printf 'Warning: %s\n' "$*" >&2; }
die() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

is_booted() { [ -d /run/systemd/system ]; }
is_offline() { compgen -G "$here/wbc_edge-*.whl" >/dev/null; }
is_raspberry_pi() { grep -qs "Raspberry Pi" /proc/device-tree/model; }

# --- What must be there before -----------------------------------------------------------------------------------------

needs_python() {
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null ||
        die "$python is no Python 3.10 to 3.13. Raspberry Pi OS from Bookworm on, Ubuntu from 22.04 on and JetPack 6 have one."
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    is_offline && die "this Python cannot make environments. Install Debian's python3-venv first."
    apt-get install --yes --no-install-recommends python3-venv
}

needs_picamera2() {
    is_raspberry_pi || return 0
    "$python" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("picamera2"))' && return
    if is_offline || ! apt-get install --yes --no-install-recommends python3-picamera2; then
        warn "python3-picamera2 is not installed: cameras of the ribbon connector will not work until it is."
    fi
}

# --- The parts of an installation --------------------------------------------------------------------------------------

make_account() {
    getent passwd "$account" >/dev/null ||
        useradd --system --user-group --home-dir "$state" --no-create-home --shell /usr/sbin/nologin "$account"
    # Which groups cameras, GPU and pins belong to differs; systemd gives the service all those of its account.
    local group
    for group in video render gpio; do
        if getent group "$group" >/dev/null; then usermod --append --groups "$group" "$account"; fi
    done
}

make_folders() {
    install --directory --owner="$account" --group="$account" --mode=0750 "$state"
    install --directory --mode=0755 "$settings" "$place" "$releases"
    # For watch_folder: members of the group drop images there, and what they drop is the group's. As the account, since
    # they may put links there, and root would give away what those lead to.
    runuser --user "$account" -- install --directory --mode=2770 "$state"/drop{,/done,/failed} ||
        warn "$state/drop is not as the service needs it: give it and what is in it to $account, mode 2770."
}

# make_release FOLDER: an environment that sees the system's packages, for apt's picamera2.
make_release() {
    local pip=("$1/bin/python" -m pip --disable-pip-version-check --no-input install --quiet)
    "$python" -m venv --system-site-packages "$1"
    if is_offline; then
        pip+=(--no-index --find-links "$here")
        "${pip[@]}" --ignore-installed --requirement "$here/device.txt"
        "${pip[@]}" --no-deps "$here"/wbc_edge-*.whl
    else
        "${pip[@]}" --ignore-installed --requirement "$here/requirements/device.txt"
        # Built from a copy: a build leaves things behind, which would be root's in the user's checkout.
        local copy
        copy=$(mktemp --directory)
        cp -r "$here"/{pyproject.toml,README.md,LICENSE,NOTICE,edge,trainer,convert} "$copy"
        "${pip[@]}" --no-deps "$copy"
        rm -rf "$copy"
    fi
    match_numpy "$1" "${pip[@]}"
    if is_offline; then cp "$here/$unit" "$1"; else cp "$here/systemd/$unit" "$1"; fi
}

# apt's simplejpeg, which picamera2 imports, is built against the system's numpy and refuses a newer one.
match_numpy() {
    local release=$1
    shift
    "$release/bin/python" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("simplejpeg"))' || return 0
    "$release/bin/python" -c 'import simplejpeg' 2>/dev/null && return
    "$@" --ignore-installed --no-deps simplejpeg || warn "simplejpeg does not fit this numpy: picamera2 will not load."
}

# as_service RELEASE ARGUMENT...: run a release's command as the service would.
as_service() {
    local release=$1
    shift
    runuser --user "$account" -- env WBC_EDGE_CONFIG="$settings/config.toml" WBC_EDGE_STATE="$state" \
        WBC_EDGE_MODELS="$state/models" "$release/bin/wbc-edge" "$@"
}

# proves RELEASE: whether it reads this device's configuration, and its model decides here as where it was made.
proves() {
    [ ! -e "$settings/config.toml" ] || as_service "$1" config check || return
    local model
    model=$(as_service "$1" model show --json | "$1/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["file"])') || return
    as_service "$1" model verify "$model"
}

write_example() {
    [ -e "$settings/config.toml" ] && return
    "$1/bin/wbc-edge" config example >"$settings/config.toml.part"
    mv "$settings/config.toml.part" "$settings/config.toml"
}

write_command() {
    cat >"$command.part" <<WRAPPER
#!/bin/sh
# wbc-edge of this device: unless told otherwise, its journal and models are the service's.
export WBC_EDGE_STATE="\${WBC_EDGE_STATE:-$state}" WBC_EDGE_MODELS="\${WBC_EDGE_MODELS:-$state/models}"
exec $place/current/bin/wbc-edge "\$@"
WRAPPER
    chmod 0755 "$command.part"
    mv "$command.part" "$command"
}

write_completion() {
    local shell target
    for shell in bash zsh fish; do
        target=$(completion_of "$shell")
        mkdir -p "$(dirname "$target")"
        _WBC_EDGE_COMPLETE=${shell}_source "$1/bin/wbc-edge" >"$target" || warn "no completion for $shell"
    done
}

completion_of() {
    case $1 in
    bash) say "$completions/bash-completion/completions/wbc-edge" ;;
    zsh) say "$completions/zsh/site-functions/_wbc-edge" ;;
    fish) say "$completions/fish/vendor_completions.d/wbc-edge.fish" ;;
    esac
}

# write_unit RELEASE: each release has the unit that was made for it.
write_unit() {
    install --mode=0644 "$1/$unit" "$unit_file.part"
    mv "$unit_file.part" "$unit_file"
    # Not in the unit itself: where there is none, systemd would complain of it at every start.
    if [ -e "$gpu_memory" ]; then
        mkdir -p "$unit_file.d"
        printf '[Service]\nDeviceAllow=%s rw\n' "$gpu_memory" >"$drop_in"
    fi
    if is_booted; then systemctl daemon-reload; fi
}

# --- Switching ---------------------------------------------------------------------------------------------------------

release_of() { readlink "$place/$1" 2>/dev/null || true; }

# point NAME RELEASE: name a release, in one step that a power cut does not halve.
point() {
    ln -sfn "$2" "$place/$1.part"
    mv -T "$place/$1.part" "$place/$1"
    sync -f "$place"
}

# switch_to RELEASE: have the machine start this release, now and from the next start on.
switch_to() {
    write_unit "$1"
    point current "$1"
    write_command
    write_completion "$1"
    if is_booted; then
        systemctl enable --quiet "$unit"
        systemctl reset-failed "$unit" 2>/dev/null || true
    else
        mkdir -p "$(dirname "$wanted")"
        ln -sf "$unit_file" "$wanted" # what `systemctl enable` would do
    fi
}

# comes_up: restart the service and see that it answers. One that is degraded answers too: a camera that is not plugged
# in is no reason to go back.
comes_up() {
    is_booted || return 0
    systemctl restart "$unit" || return
    sleep 3
    systemctl is-active --quiet "$unit" || return
    local code=0
    as_service "$place/current" status >/dev/null || code=$?
    [ "$code" -le 1 ]
}

# state_of_service: how it is in its own words, such as "degraded: " and why.
state_of_service() {
    as_service "$place/current" status | sed -n 's/^state  *//p; s/^reason  */: /p' | tr -d '\n'
}

# tune: measure once which threads and batch are fastest here; whoever sets them later has the last word.
tune() {
    is_booted || return 0
    say "Measuring which threads and batch are fastest"
    if "$command" model tune --save >/dev/null 2>&1; then
        systemctl reload "$unit"
    else
        warn "that failed: try sudo wbc-edge model tune --save"
    fi
}

forget_others() {
    local release
    for release in "$releases"/*; do
        case $release in
        "$(release_of current)" | "$(release_of previous)") ;;
        *) rm -rf "$release" ;;
        esac
    done
}

# --- Commands ----------------------------------------------------------------------------------------------------------

do_install() {
    needs_python
    needs_picamera2
    make_account
    make_folders
    forget_others # what an interrupted installation left
    local before
    before=$(release_of current)
    release=$releases/$(date +%Y%m%d-%H%M%S)-$$

    say "Making the environment $release"
    trap 'rm -rf "$release"' EXIT
    make_release "$release"
    say "Trying it on this device"
    proves "$release" || die "the new version does not work here, see above.${before:+ $before goes on as before.}"
    sync -f "$releases"
    trap - EXIT

    write_example "$release"
    switch_to "$release"
    if comes_up; then
        if [ -n "$before" ]; then point previous "$before"; else tune; fi
        forget_others
        say_finished
        return
    fi
    [ -n "$before" ] || die "installed, but the service does not come up: journalctl -u wbc-edge"
    switch_to "$before"
    comes_up || warn "the version before does not come up either: journalctl -u wbc-edge"
    forget_others
    die "the new version's service does not come up, see journalctl -u wbc-edge. Went back to $before: $(state_of_service)"
}

say_finished() {
    say "Installed $("$place/current/bin/wbc-edge" --version)."
    say "  Configuration  $settings/config.toml     sudo wbc-edge config set um_per_px=0.1 && sudo systemctl reload wbc-edge"
    say "  Data           $state     images to be judged go to $state/drop, once watch_folder is set to it"
    say "  Who may use it members of the group $account: sudo usermod -aG $account \$USER, then log in again"
    if is_booted; then
        say "  Service        $(state_of_service)    wbc-edge status; journalctl -u wbc-edge"
    else
        say "  Service        starts with the machine; systemd does not run here"
    fi
}

do_rollback() {
    local before now
    before=$(release_of previous)
    [ -d "$before" ] || die "there is no version before this one."
    now=$(release_of current)
    proves "$before" || die "the version before does not work here any more, see above."
    switch_to "$before"
    if ! comes_up; then
        switch_to "$now"
        die "the version before does not come up: journalctl -u wbc-edge. $now goes on."
    fi
    point previous "$now"
    say "Went back to $("$place/current/bin/wbc-edge" --version)."
    if is_booted; then say "  Service        $(state_of_service)"; fi
}

do_uninstall() {
    if is_booted; then systemctl disable --now --quiet "$unit" 2>/dev/null || true; fi
    local shell
    for shell in bash zsh fish; do rm -f "$(completion_of "$shell")"; done
    rm -rf "$unit_file" "$drop_in" "$wanted" "$command" "$place"
    if [ -d "$unit_file.d" ]; then rmdir --ignore-fail-on-non-empty "$unit_file.d"; fi
    if is_booted; then systemctl daemon-reload; fi
    say "Removed. What was logged stays in $state, the configuration in $settings, and both with their account $account."
    say "To remove these too: sudo rm -r $state $settings && sudo userdel $account"
}

main() {
    case ${1:-install} in
    install | rollback | uninstall) ;;
    -h | --help | help)
        usage
        return
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    [ "$(id -u)" = 0 ] || die "needs root: sudo $0 $*"
    exec {lock}>/run/lock/wbc-edge-install
    flock --nonblock "$lock" || die "another installation runs."
    "do_${1:-install}"
}

main "$@"
