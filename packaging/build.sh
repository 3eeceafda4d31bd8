#!/usr/bin/env bash
# Builds the Debian packages into target/packages, each with its list of components beside it.
#
#   packaging/build.sh [amd64] [arm64]      both, unless one is named; `make packages`
#
# amd64 is compiled by this machine's Rust, arm64 by the Rust of a Debian tree (tree.sh). Everything can be run again and
# does only what is left to do. The same commit gives the same packages, bit by bit, with the same compilers.
set -euo pipefail
cd "$(dirname "$0")/.."
. packaging/common.sh

[ "$(uname -m)" = x86_64 ] || die "packages are built on an amd64 machine; this one is $(uname -m)"
for command in cargo dpkg-deb git gzip python3 readelf; do
    command -v "$command" >/dev/null ||
        die "$command is missing: apt-get install binutils dpkg git gzip python3 python3-pip, and rustup for cargo"
done
packaging/tools.sh
cargo fetch --quiet --locked
# In the environment that 'make test' has, too: otherwise each of the two would compile C code anew after the other.
CARGO_TARGET_DIR=target cargo build --quiet --locked --example package_files

export PATH=$checkout/target/tools/bin:$PATH
# Times within the packages are that of the last commit.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

package_files() { target/debug/examples/package_files "$@"; }

# Puts what the package for $1 holds beside the program where Cargo.toml expects it.
stage() {
    local triple stage arch=$1
    triple=$(triple_of "$arch")
    stage=$BUILD/$triple/release/package
    rm -rf "$stage/man" "$stage/completions" "$stage/doc"
    mkdir -p "$stage/doc"
    EDGETUNED_SETUP_ARCH=${triple%%-*} EDGETUNED_SETUP_DIR=$stage/onnxruntime EDGETUNED_SETUP_MODELS=$stage/models \
        tools/setup.sh
    # tools/setup.sh only warns; the packaged program would, too, at every start.
    [ -f "$stage/models/efficientnet-lite0.LICENSE" ] || die "no package without the models of EfficientNet-Lite0"
    gzip --best --no-name --force --keep "$stage/onnxruntime/ThirdPartyNotices.txt"

    package_files man "$stage/man" --date "$(date --utc --date="@$SOURCE_DATE_EPOCH" +%F)"
    gzip --best --no-name "$stage"/man/*
    package_files completions "$stage/completions"
    cargo metadata --format-version 1 --locked --offline --filter-platform "$triple" |
        package_files notices | gzip --best --no-name >"$stage/doc/crates.txt.gz"
    # It writes beside the Cargo.toml of every package.
    cargo cyclonedx --quiet --quiet --format json --spec-version 1.5 --no-build-deps --target "$triple" \
        --override-filename "components-$arch"
    package_files components models/edgetuned-photo.onnx models/edgetuned-photo-int8.onnx "$stage"/models/*.onnx \
        "$stage"/onnxruntime/libonnxruntime.so.*[0-9] <"components-$arch.json" >"$stage/doc/components.cdx.json"
    rm -f "components-$arch.json" {learn,demo}/"components-$arch.json"
}

# Makes the package for $1 of what has been compiled.
pack() {
    local triple deb arch=$1
    triple=$(triple_of "$arch")
    rm -f target/packages/edgetuned_*_"$arch".*
    CARGO_TARGET_DIR=$BUILD cargo deb --quiet --no-build --no-strip --target "$triple" --output target/packages
    deb=$(echo target/packages/edgetuned_*_"$arch".deb)
    cp "$BUILD/$triple/release/package/doc/components.cdx.json" "${deb%.deb}.cdx.json"
    packaging/check.sh "$deb"
}

for arch in ${*:-amd64 arm64}; do
    if [ "$arch" = arm64 ] && { [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; }; then
        say "no package for arm64: its Debian tree (packaging/tree.sh) needs root and apt"
        continue
    fi
    say "compiling for $arch"
    cargo_for "$arch" auditable build --release --bin edgetuned
    stage "$arch"
    pack "$arch"
done
