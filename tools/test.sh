#!/usr/bin/env bash
# 'cargo test' with these arguments; afterwards names every test that was skipped, with the reason.
#
# EDGETUNED_TESTS=all   a test that lacks what tools/setup.sh can install fails (the default for root where apt is)
# EDGETUNED_TESTS=some  it is skipped
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${EDGETUNED_TESTS:-}" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then EDGETUNED_TESTS=all; else EDGETUNED_TESTS=some; fi
fi
export EDGETUNED_TESTS
EDGETUNED_SKIPPED=$(mktemp)
export EDGETUNED_SKIPPED
trap 'rm -f "$EDGETUNED_SKIPPED"' EXIT

status=0
PATH=$PATH:/usr/sbin "${CARGO:-cargo}" test --workspace --locked "$@" || status=$?
skipped=$(sort -u "$EDGETUNED_SKIPPED")
if [ -n "$skipped" ]; then
    printf '\n%s tests were skipped:\n%s\n' "$(wc -l <<<"$skipped")" "$skipped" >&2
else
    printf '\nno test was skipped\n' >&2
fi
exit "$status"
