#!/usr/bin/env bash
# Gets what `make packages` needs and cargo does not build by itself, into target/tools: cargo's helpers, built from
# source by their lock files, and zig, by its hash. What is there in the right version stays.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS=(cargo-deb@3.8.0 cargo-auditable@0.7.7 rust-audit-info@0.5.4 cargo-cyclonedx@0.5.9 cargo-deny@0.20.2)
# They are run once and not for long: quick to build goes before quick to run.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

say() { echo "packages: $*" >&2; }

for tool in "${TOOLS[@]}"; do
    if ! grep -qs "^\"${tool%@*} ${tool#*@} " target/tools/.crates.toml; then
        say "building $tool, once"
        cargo install --quiet --locked --root target/tools "$tool" ||
            { say "cannot build $tool; see above" && exit 1; }
    fi
done

# The assembler of libjpeg-turbo's SIMD code for amd64; without it the program would be another one, and slower.
if ! command -v nasm >/dev/null; then
    say "installing nasm"
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nasm >/dev/null ||
        { say "nasm is missing: apt-get install nasm" && exit 1; }
fi

if [ ! -x target/tools/zig/zig ]; then
    say "getting zig, once"
    python3 -m pip --version >/dev/null || { say "pip is missing: apt-get install python3-pip" && exit 1; }
    scratch=$(mktemp -d target/tools/zig.XXXXXX)
    trap 'rm -rf "$scratch"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --requirement packaging/ziglang.txt --dest "$scratch"
    python3 -m zipfile --extract "$scratch"/ziglang-*.whl "$scratch"
    chmod 755 "$scratch/ziglang/zig"
    mv "$scratch/ziglang" target/tools/zig
fi
