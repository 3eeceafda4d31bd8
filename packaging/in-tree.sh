#!/usr/bin/env bash
# Runs a command in the Debian tree of tree.sh, with the checkout at /edgetuned and cargo's folder at /cargo.
#
#   packaging/in-tree.sh TREE COMMAND...
#
# The mounts are in a namespace of their own and end with the command. Needs root. Of the environment the command gets
# SOURCE_DATE_EPOCH and what it sets itself.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
tree=$1
shift

mkdir -p "$tree/edgetuned" "$tree/cargo"
exec unshare --mount --propagation private -- bash -euc '
    checkout=$1 cargo=$2 tree=$3
    shift 3
    mount --bind "$checkout" "$tree/edgetuned"
    mount --bind "$cargo" "$tree/cargo"
    mount --bind /proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    exec env -i HOME=/root LANG=C.UTF-8 CARGO_HOME=/cargo PATH=/edgetuned/target/tools/bin:/usr/sbin:/usr/bin \
        ${SOURCE_DATE_EPOCH:+"SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"} \
        chroot "$tree" sh -c "cd /edgetuned && exec \"\$@\"" sh "$@"
' bash "$checkout" "${CARGO_HOME:-$HOME/.cargo}" "$tree" "$@"
