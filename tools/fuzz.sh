#!/usr/bin/env bash
# Fuzzes targets of fuzz/ with libFuzzer, each for so many seconds of processor time, and prints a line of the table in
# fuzz/README.md for each: tools/fuzz.sh SECONDS [TARGET...]
#
# Inputs that reach something new gather in fuzz/work/TARGET, and what breaks a target lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=$1
shift
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzz: needs a nightly compiler (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz)" >&2
    exit 1
fi
if [ $# -eq 0 ]; then
    set -- picture manifest model head message settings signed statistics
fi
cargo +nightly fuzz build
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p artifacts
log=$(mktemp)
trap 'rm -f "$log"' EXIT
TIMEFORMAT='%U %S'
echo '| target | inputs tried | seconds of processor time | a second | edges | features | inputs kept |'
echo '| --- | --- | --- | --- | --- | --- | --- |'
for target in "$@"; do
    mkdir -p "work/$target"
    tried=0 used=0
    # On a busy machine a second by the clock is less than one of processor time.
    while left=$(awk "BEGIN { left = $seconds - $used; print (left > 0.5) ? int(left + 0.5) : 0 }"); [ "$left" -gt 0 ]; do
        spent=$({ time "target/$host/release/$target" "work/$target" "corpus/$target" -max_total_time="$left" \
            -max_len=4096 -timeout=30 -rss_limit_mb=1024 -malloc_limit_mb=128 -print_final_stats=1 \
            -artifact_prefix="artifacts/$target-" >"$log" 2>&1; } 2>&1) || {
            tail -n 40 "$log" >&2
            echo "fuzz: $target is broken by an input in fuzz/artifacts" >&2
            exit 1
        }
        used=$(awk "BEGIN { split(\"$spent\", part, \" \"); print $used + part[1] + part[2] }")
        tried=$((tried + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")))
    done
    read -r edges features kept < <(sed -n 's/.*DONE *cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1 \2 \3/p' "$log")
    awk "BEGIN { printf \"| %s | %d | %.0f | %.0f | %d | %d | %d |\n\", \"$target\", $tried, $used, $tried / $used, $edges, $features, $kept }"
done
