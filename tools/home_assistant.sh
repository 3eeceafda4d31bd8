#!/usr/bin/env bash
# Installs Home Assistant (tools/home_assistant.txt) for tests/home_assistant.rs and prints its interpreter.
#
# usage: tools/home_assistant.sh
#
# PYTHON names a Python 3.13, else the one on the PATH; some packages are compiled, which takes a C compiler. The virtual
# environment is in target/home-assistant and made again when the list of packages changes.
set -euo pipefail
cd "$(dirname "$0")/.."

FOLDER=${CARGO_TARGET_DIR:-target}/home-assistant
LIST=tools/home_assistant.txt

say() { echo "home-assistant: $*" >&2; }

if ! cmp --silent "$LIST" "$FOLDER/installed.txt"; then
    python=${PYTHON:-python3.13}
    if ! "$python" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
        say "$python is no Python 3.13 with venv, which this Home Assistant needs: name one in PYTHON"
        exit 1
    fi
    say "installing $(grep -o '^homeassistant.*' "$LIST") into $FOLDER, which takes minutes"
    rm -rf "$FOLDER"
    "$python" -m venv "$FOLDER"
    "$FOLDER/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2
    # pip alone takes several times as long.
    "$FOLDER/bin/uv" pip install --quiet --python "$FOLDER/bin/python" --requirement "$LIST" >&2
    cp "$LIST" "$FOLDER/installed.txt"
fi
realpath --no-symlinks "$FOLDER/bin/python"
