#!/usr/bin/env bash
# Unpacks the execution providers of tools/providers.txt (190 MB of wheels) for tests/providers and prints their folder.
#
# usage: tools/providers.sh
#
# They are in target/providers, and fetched again when the list changes: a folder for each wheel. x86_64 alone.
set -euo pipefail
cd "$(dirname "$0")/.."

FOLDER=${CARGO_TARGET_DIR:-target}/providers
LIST=tools/providers.txt

say() { echo "providers: $*" >&2; }

if [ "$(uname -m)" != x86_64 ]; then
    say "the wheels are for x86_64, this is $(uname -m)"
    exit 1
fi
if ! cmp --silent "$LIST" "$FOLDER/installed.txt"; then
    say "fetching $(grep -o '^[a-z][a-z-]*' "$LIST" | paste -sd ' ')"
    rm -rf "$FOLDER"
    mkdir -p "$FOLDER/wheels"
    # Fixed tags, so that the hashes do not hang on the local Python.
    python3 -m pip download --quiet --disable-pip-version-check --retries 2 --no-deps --only-binary=:all: \
        --require-hashes --implementation cp --python-version 3.12 --abi cp312 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_35_x86_64 \
        --requirement "$LIST" --dest "$FOLDER/wheels" >&2
    for wheel in "$FOLDER"/wheels/*.whl; do
        name=$(basename "$wheel")
        python3 -m zipfile --extract "$wheel" "$FOLDER/${name%%-*}"
    done
    rm -rf "$FOLDER/wheels"
    cp "$LIST" "$FOLDER/installed.txt"
fi
realpath "$FOLDER"
