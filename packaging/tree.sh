#!/usr/bin/env bash
# Makes the Debian tree in which the package for arm64 is compiled and tried, once, and prints where it is.
#
# rustup's toolchain has the standard library of this machine's kind only, and fetching another needs rustup's server.
# Debian testing has a recent Rust with the library for arm64, and a recent qemu; apt is all it takes. Compiler and library
# must be of one version: testing takes a new one for all kinds of machines at once, in backports the library may lag for
# weeks. Needs root. EDGETUNED_ARM64_TREE names another place than ~/.cache/edgetuned-packages/arm64 for it; it takes about
# 2.5 GB.
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
    # Signatures are checked; that a mirror is some weeks behind is no harm.
    mmdebstrap --quiet --variant=minbase --architectures=amd64,arm64 --aptopt='Acquire::Check-Valid-Until "false"' \
        --include=rustc,cargo,libc6-dev,libstd-rust-dev:arm64,libstdc++6:arm64,qemu-user testing "$tree" >&2
    touch "$tree/.whole"
fi
echo "$tree"
