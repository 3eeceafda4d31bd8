#!/usr/bin/env bash
# Makes the Debian tree in which the package for arm64 is compiled and tried, once, and prints where it is.
#
# rustup's toolchain has the standard library of this machine's kind only, and fetching another needs rustup's server.
# Debian has Rust with the library for arm64, and a recent qemu, in trixie-backports; apt is all it takes. Needs root.
# EDGETUNED_ARM64_TREE names another place than ~/.cache/edgetuned-packages/arm64 for it; it takes about 2.5 GB.
set -euo pipefail

tree=${EDGETUNED_ARM64_TREE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgetuned-packages/arm64}

say() { echo "packages: $*" >&2; }

if [ ! -e "$tree/.whole" ]; then
    [ "$(id -u)" = 0 ] || { say "the tree for arm64 needs root" && exit 1; }
    if ! command -v mmdebstrap >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
            mmdebstrap debian-archive-keyring >/dev/null || { say "mmdebstrap is missing: apt-get install mmdebstrap" && exit 1; }
    fi
    say "making the Debian tree for arm64 in $tree, once"
    rm -rf --one-file-system "$tree"
    mkdir -p "$(dirname "$tree")"
    mmdebstrap --quiet --variant=minbase --architectures=amd64,arm64 trixie "$tree" >&2
    cp /etc/resolv.conf "$tree/etc/resolv.conf"
    # From where trixie itself came.
    sed -n 's/^\(deb .*\) trixie main$/\1 trixie-backports main/p' "$tree/etc/apt/sources.list" \
        >"$tree/etc/apt/sources.list.d/backports.list"
    chroot "$tree" apt-get -qq update >&2
    chroot "$tree" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        -t trixie-backports rustc cargo libc6-dev libstd-rust-dev:arm64 libstdc++6:arm64 qemu-user >&2
    touch "$tree/.whole"
fi
echo "$tree"
