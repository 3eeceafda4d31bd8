#!/usr/bin/env bash
# Installs what reads files of labels (tools/formats.txt) for tests/cli/readers.rs and prints its interpreter.
#
# usage: tools/formats.sh
#
# PYTHON names a Python 3.11 or newer, else the one on the PATH. The virtual environment is in target/formats and made again
# when the list of packages changes.
set -euo pipefail
cd "$(dirname "$0")/.."

FOLDER=${CARGO_TARGET_DIR:-target}/formats
LIST=tools/formats.txt

say() { echo "formats: $*" >&2; }

if ! cmp --silent "$LIST" "$FOLDER/installed.txt"; then
    python=${PYTHON:-python3}
    if ! "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "$python is no Python 3.11 or newer with venv: name one in PYTHON"
        exit 1
    fi
    say "installing pandas, pyarrow, datasets and label-studio-sdk into $FOLDER, which takes minutes"
    rm -rf "$FOLDER"
    "$python" -m venv "$FOLDER"
    "$FOLDER/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$LIST" >&2
    cp "$LIST" "$FOLDER/installed.txt"
fi
realpath --no-symlinks "$FOLDER/bin/python"
