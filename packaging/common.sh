# For the scripts beside this one, which source it within the checkout: names of architectures, and cargo for each.

checkout=$PWD
# Not newer than what Rust's standard library and ONNX Runtime (2.27) need is worth: Debian 10 and newer have it.
GLIBC=2.28
BUILD=target/packages/build

say() { echo "packages: $*" >&2; }
die() { say "$*" && exit 69; }

triple_of() {
    case $1 in
    amd64) echo x86_64-unknown-linux-gnu ;;
    arm64) echo aarch64-unknown-linux-gnu ;;
    *) die "there are packages for amd64 and arm64, none for $1" ;;
    esac
}

# Runs `cargo $2... --target <triple of $1>`: for amd64 here, for arm64 in the Debian tree. Both link by zig, and wherever
# the checkout and cargo's folder lie, what is built names them /edgetuned and /cargo. Without the time of the commit, which
# nothing compiled needs, and at every change of which C code would be compiled anew.
cargo_for() {
    local arch=$1 triple upper at=$checkout cargo=${CARGO_HOME:-$HOME/.cargo} flags= tree there=()
    shift
    triple=$(triple_of "$arch")
    upper=$(tr a-z- A-Z_ <<<"$triple")
    if [ "$arch" = amd64 ]; then
        flags="--remap-path-prefix=$cargo=/cargo --remap-path-prefix=$at=/edgetuned"
    else
        tree=$(packaging/tree.sh)
        at=/edgetuned cargo=/cargo there=(packaging/in-tree.sh "$tree")
    fi
    "${there[@]}" env --unset=SOURCE_DATE_EPOCH CARGO_TARGET_DIR="$at/$BUILD" ${flags:+RUSTFLAGS="$flags"} \
        ZIG="$at/target/tools/zig/zig" ZIG_TARGET="${triple/-unknown/}.$GLIBC" ZIG_MAP="$cargo=/cargo $at=/edgetuned" \
        ZIG_GLOBAL_CACHE_DIR="$at/target/tools/zig-cache" ZIG_LOCAL_CACHE_DIR="$at/target/tools/zig-cache" \
        "CC_${triple//-/_}=$at/packaging/zigcc" "CARGO_TARGET_${upper}_LINKER=$at/packaging/zigcc" \
        nice -n "${NICE:-10}" cargo "$@" --locked --offline --quiet --jobs "${JOBS:-$(nproc)}" --target "$triple"
}
