#!/usr/bin/env bash
# Runs the program for arm64 as it is packaged, under qemu: its version, the tests of the pure rooms, and pictures through
# each bundled backbone, whose embeddings must be those of the program for amd64.
#
#   packaging/try-arm64.sh      after packaging/build.sh; needs root; TESTS=no leaves the tests out
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/common.sh
tree=$(packaging/tree.sh)

fail() { echo "arm64: $*" >&2 && exit 1; }

scratch=$(mktemp -d target/packages/try.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
for arch in amd64 arm64; do
    deb=$(echo target/packages/edgetuned_*_"$arch".deb)
    [ -e "$deb" ] || fail "there is no package for $arch in target/packages: make packages"
    dpkg-deb --extract "$deb" "$scratch/$arch"
done
cargo run --quiet --locked --example camera -- --out "$scratch/pictures" --images 3 >/dev/null

# Whatever runs in the tree sees the same folder under another name.
in_tree() { packaging/in-tree.sh "$tree" "$@"; }
foreign() { in_tree qemu-aarch64 "/edgetuned/$scratch/arm64/usr/bin/edgetuned" "$@"; }

in_tree qemu-aarch64 --version | head -1
foreign --version

for model in default default-int8 fast faster photo photo-int8; do
    models=usr/share/edgetuned/models
    library=usr/lib/edgetuned/libonnxruntime.so
    EDGETUNED_ORT=$scratch/amd64/$library XDG_CACHE_HOME=$checkout/$scratch/cache "$scratch/amd64/usr/bin/edgetuned" embed \
        "$scratch/pictures" --backbone "$scratch/amd64/$models/$model.yaml" --out "$scratch/$model.amd64.npz"
    in_tree env "EDGETUNED_ORT=/edgetuned/$scratch/arm64/$library" "XDG_CACHE_HOME=/edgetuned/$scratch/foreign-cache" \
        qemu-aarch64 "/edgetuned/$scratch/arm64/usr/bin/edgetuned" embed "/edgetuned/$scratch/pictures" \
        --backbone "/edgetuned/$scratch/arm64/$models/$model.yaml" --out "/edgetuned/$scratch/$model.arm64.npz"
    python3 packaging/compare_embeddings.py "$scratch/$model.amd64.npz" "$scratch/$model.arm64.npz"
done

[ "${TESTS:-yes}" = yes ] || exit 0
tests=$(cargo_for arm64 test --release --lib --no-run --message-format json | grep -o '"executable":"[^"]*"' | cut -d '"' -f 4)
in_tree qemu-aarch64 "$tests" words:: image:: head:: train:: eval:: wire:: update:: config:: engine::
