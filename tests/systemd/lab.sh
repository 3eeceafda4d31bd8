#!/usr/bin/env bash
# Boots a real systemd as process 1 of a container, on a machine whose own process 1 need not be systemd. For root, with
# apt. The tree of a suite is built once and never written to: a container has a tmpfs over it and begins clean.
#
#   lab.sh setup SUITE              the tools, and the tree of bookworm (systemd 252) or trixie (257)
#   lab.sh up SUITE NAME [ARG...]   boots one in the foreground, with further arguments of systemd-nspawn
#   lab.sh run NAME COMMAND...      runs a command in it
#   lab.sh memory NAME              the most memory it had, in bytes; how often it was at its bound; processes ended by that
#   lab.sh down NAME                ends one as a power cut does
#   lab.sh sweep NAME               removes what one that has ended left behind
#
# EDGETUNED_LAB is the folder of the trees; LAB_MEMORY bounds a container's memory in bytes.
set -euo pipefail
LAB=${EDGETUNED_LAB:-${XDG_CACHE_HOME:-/var/tmp}/edgetuned-systemd}

die() { echo "lab: $*" >&2; exit 1; }

# Where control groups of version 2 are, on a machine that has both versions too.
cgroups() { findmnt --noheadings --first-only --types cgroup2 --output TARGET || die "there are no control groups of version 2"; }

# On such a machine the memory is bounded by version 1.
memory_v1() { [ -d /sys/fs/cgroup/memory ] && echo "/sys/fs/cgroup/memory/edgetuned-lab-$1"; }

# Bounds the memory of this process and of what comes from it.
bound_memory() {
    local group
    if group=$(memory_v1 "$1"); then
        mkdir -p "$group"
        echo "$2" >"$group/memory.limit_in_bytes"
        echo $$ >"$group/cgroup.procs"
    else
        echo "$2" >"$(cgroups)/edgetuned-lab-$1/memory.max"
    fi
}

# The most memory that a container has had, in bytes, and how often it was at its bound, where that is told.
memory() {
    local group
    if group=$(memory_v1 "$1"); then
        cat "$group/memory.max_usage_in_bytes" "$group/memory.failcnt"
        awk '$1 == "oom_kill" { print $2 }' "$group/memory.oom_control"
    else
        group=$(cgroups)/edgetuned-lab-$1
        cat "$group/memory.peak"
        awk '$1 == "max" || $1 == "oom_kill" { print $2 }' "$group/memory.events"
    fi
}

tools() {
    command -v systemd-nspawn >/dev/null && command -v mmdebstrap >/dev/null && return
    command -v apt-get >/dev/null || die "systemd-nspawn and mmdebstrap are not installed, and there is no apt"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        systemd-container mmdebstrap debian-archive-keyring util-linux procps >/dev/null
}

setup() {
    local suite=$1 tree=$LAB/$1
    [ "$(id -u)" = 0 ] || die "only root can boot containers"
    mkdir -p "$LAB"
    # Two that begin at the same time build it once.
    exec 9>"$LAB/$suite.lock"
    flock 9
    tools
    [ -d "$tree" ] && return
    rm -rf --one-file-system "$tree.new"
    mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,libpam-systemd,libnss-systemd,ca-certificates \
        "$suite" "$tree.new" >&2
    : >"$tree.new/etc/machine-id"
    # Nothing that waits for a terminal, for the network, or for the night.
    local unit
    for unit in console-getty.service getty@tty1.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer; do
        ln -sf /dev/null "$tree.new/etc/systemd/system/$unit"
    done
    mv "$tree.new" "$tree"
}

up() {
    local suite=$1 name=$2 group
    shift 2
    # A group of its own: two systemds in one would end each other's services.
    group=$(cgroups)/edgetuned-lab-$name
    mkdir -p "$group"
    echo $$ >"$group/cgroup.procs"
    [ -z "${LAB_MEMORY:-}" ] || bound_memory "$name" "$LAB_MEMORY"
    # From 256 on systemd boots on nothing but version 2. With these capabilities it may filter packets (IPAddressDeny=).
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn --quiet --directory="$LAB/$suite" --machine="$name" --boot \
        --capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN --system-call-filter=bpf --volatile=overlay --register=no --keep-unit \
        --link-journal=no --console=pipe --resolv-conf=off --timezone=off "$@"
}

# Process 1 of a container, as this machine counts.
init() {
    local nspawn
    nspawn=$(pgrep --full --oldest -- "systemd-nspawn .*--machine=$1 ") && pgrep --oldest --parent "$nspawn" ||
        die "there is no container $1"
}

run() {
    local init
    init=$(init "$1")
    shift
    exec nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup --root --wd -- "$@"
}

down() { kill -KILL "$(init "$1")"; }

sweep() {
    local group
    group=$(cgroups)/edgetuned-lab-$1
    for group in "$group" "$(memory_v1 "$1")"; do
        # Children first.
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
    done
}

case ${1:-} in
setup | up | run | memory | down | sweep) "$@" ;;
*) sed -n '2,13s/^# \{0,1\}//p' "$0" && exit 64 ;;
esac
