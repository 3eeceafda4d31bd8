#!/usr/bin/env bash
# Plays the cases from the field that lie beside the checkout, each a script of minutes that mostly waits, and prints a
# line for each: ok, or FAIL with what failed. Ends with 1 when one fails, and with 0 where there are none.
#
#   tools/field.sh                  all of them
#   tools/field.sh c12 m0           those whose names begin so; images-models are those of pictures, models and training
#
# FIELD_JOBS=4       so many at a time
# FIELD_SECONDS=600  a case that takes longer fails
set -euo pipefail
cd "$(dirname "$0")/.."

CASES=../shared/cases/daemon
# One script of many cases, each a line.
MODELS=../shared/cases/images-models/check.py
JOBS=${FIELD_JOBS:-4}
SECONDS_MAX=${FIELD_SECONDS:-600}
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export PATH=$PATH:/usr/sbin:/sbin

if [ ! -d "$CASES" ]; then
    echo "field: skipped, there is no $CASES"
    exit 0
fi

# What single cases need beside Python: they fail where it is missing, for that reason alone.
[ "$(id -u)" = 0 ] || echo "field: not root: cases that mount (c09, c15) or become another user (c03, s01) fail"
while read -r program cases; do
    command -v "$program" >/dev/null || echo "field: no $program: $cases fail (apt-get install ${program/setpriv/util-linux})"
done <<END
mosquitto nearly all
faketime m06, m10, t02 and t03
bindfs c15
rsync c10 and c23
openssl m06 and m10
setpriv c03 and s01
END

tools/setup.sh
"${CARGO:-cargo}" build --locked --package edgetuned --bin edgetuned
python="$TARGET/field-venv/bin/python"
if ! "$python" -c 'import PIL, paho.mqtt, pyftpdlib, numpy, onnx, onnxruntime' 2>/dev/null; then
    python3 -m venv "$TARGET/field-venv"
    "$python" -m pip install --quiet --disable-pip-version-check pillow paho-mqtt pyftpdlib numpy onnx onnxruntime
fi

# Readable for the users that some cases become.
lab="$TARGET/field"
rm -rf "$lab"
mkdir -p "$lab/out"
chmod 755 "$lab"
export lab EDGETUNED="$TARGET/debug/edgetuned" PYTHONDONTWRITEBYTECODE=1
EDGETUNED_ORT=$(find "$PWD/.ort" -name "libonnxruntime.so.*" ! -name "*.sha256")
export EDGETUNED_ORT
# c12: by itself it keeps every file, and a file that is there has its row; what is counted are rows of files that are gone.
export KEEP=0

# Ends what a case left behind: the brokers and daemons whose files lie in this folder.
sweep() {
    local process
    for process in $(pgrep -x edgetuned; pgrep -x mosquitto); do
        # It may have ended meanwhile.
        if tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline" | grep --quiet --fixed-strings "$1/"; then
            kill -9 "$process" 2>/dev/null || true
        fi
    done
}

# Plays one case in a folder of its own.
play() {
    local case=$1 name out status=0 began=$SECONDS
    name=$(basename "$case" .py)
    if [ "$name" = check ]; then
        name=$(basename "$(dirname "$case")")
    fi
    out="$lab/out/$name"
    mkdir -m 755 "$lab/$name"
    if [ "$name" = x01_config ]; then
        # Its configurations name a broker at the default port, which 'check' tries; this one ends if there is one already.
        echo "listener 1883 localhost" >"$lab/$name/broker.conf"
        echo "allow_anonymous true" >>"$lab/$name/broker.conf"
        (mosquitto -c "$lab/$name/broker.conf" >/dev/null 2>&1 &)
    fi
    LABDIR="$lab/$name" timeout --kill-after=10 "$SECONDS_MAX" "$python" "$case" >"$out" 2>&1 || status=$?
    sweep "$lab/$name"
    if [ "$status" = 0 ] && ! grep -q '^FAIL' "$out"; then
        printf 'ok    %-20s %4d s\n' "$name" $((SECONDS - began))
        return
    fi
    if [ "$status" = 124 ]; then
        echo "FAIL it took longer than $SECONDS_MAX s" >>"$out"
    elif ! grep -q '^FAIL' "$out"; then
        # A script that breaks off prints a trace; its last line says why.
        echo "FAIL it broke off: $(tail -n 1 "$out")" >>"$out"
    fi
    printf 'FAIL  %-20s %4d s\n%s\n' "$name" $((SECONDS - began)) "$(grep '^FAIL' "$out" | cut -c 1-500 | sed 's/^/      /')"
    return 1
}
export -f play sweep
trap 'sweep "$lab"' EXIT
export python SECONDS_MAX

chosen=()
for case in "$CASES"/*.py "$CASES"/pass/*.py "$MODELS"; do
    name=$(basename "$case")
    if [ "$case" = "$MODELS" ]; then
        [ -f "$case" ] || continue
        name=images-models
    fi
    for prefix in "${@:-}"; do
        if [[ $name == "$prefix"* ]]; then chosen+=("$case") && break; fi
    done
done
status=0
printf '%s\0' "${chosen[@]}" | xargs -0 -n 1 -P "$JOBS" bash -c 'play "$1"' play || status=1
printf '\n%s cases, %s failed; what each printed is in %s\n' "${#chosen[@]}" \
    "$( { grep -l '^FAIL' "$lab"/out/* || true; } | wc -l)" "$lab/out"
exit "$status"
