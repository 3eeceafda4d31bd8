#!/usr/bin/env bash
# Tests fleet/flower: its unit tests, and then two daemons with two of three classes each, and one that shares nothing, which
# a SuperLink and three SuperNodes on loopback join; the head that comes out has to know all three classes. Everything that
# it starts ends with it.
#
# usage: tools/fleet_flower.sh
#
# Needs a built program (EDGETUNED, else target/debug/edgetuned), curl, and Python 3.11 or newer (PYTHON). The virtual
# environment is in target/fleet-flower and made again when the list of packages changes; nothing else is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=${CARGO_TARGET_DIR:-target}
FOLDER=$TARGET/fleet-flower
LOCK=fleet/flower/requirements.lock
# Seconds that anything may take to be ready.
PATIENCE=120

say() { echo "fleet-flower: $*" >&2; }

program=$(realpath --no-symlinks "${EDGETUNED:-$TARGET/debug/edgetuned}")
[ -x "$program" ] || { say "$program is not here: cargo build --locked --bin edgetuned"; exit 1; }
command -v curl >/dev/null || { say "curl is not here (apt-get install curl)"; exit 1; }
if ! cmp --silent "$LOCK" "$FOLDER/installed.txt"; then
    python=${PYTHON:-python3}
    if ! "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "$python is no Python 3.11 or newer with venv: name one in PYTHON"
        exit 1
    fi
    say "installing $(grep -o '^flwr==[0-9.]*' "$LOCK") into $FOLDER"
    rm -rf "$FOLDER"
    "$python" -m venv "$FOLDER"
    "$FOLDER/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$LOCK" >&2
    cp "$LOCK" "$FOLDER/installed.txt"
fi
export PATH="$PWD/$FOLDER/bin:$PATH"
# Caches stay out of the checkout, or Flower would pack them.
export PYTHONDONTWRITEBYTECODE=1

say "unit tests"
(cd fleet/flower && python -m pytest --quiet -p no:cacheprovider)

home=$(mktemp -d)
groups=()
# A process group of its own, so that what Flower starts for itself ends with it.
start() {
    local log=$home/$1.log
    shift
    setsid "$@" >"$log" 2>&1 &
    groups+=($!)
}
apps() { env -u FLWR_HOME grep -lsz "^FLWR_HOME=$home/flower$" /proc/[0-9]*/environ | cut -d / -f 3 || :; }
finish() {
    local code=$? group apps
    trap '' INT TERM
    [ "$code" = 0 ] || tail -n 30 "$home"/*.log >&2 || :
    for group in "${groups[@]}"; do kill -- "-$group" 2>/dev/null || :; done
    for group in "${groups[@]}"; do
        # What does not end when it is asked to.
        for _ in $(seq 50); do kill -0 -- "-$group" 2>/dev/null || break; pause; done
        kill -KILL -- "-$group" 2>/dev/null || :
    done
    # Apps of Flower have sessions of their own, and end once they miss what started them.
    for _ in $(seq 50); do
        apps=$(apps)
        [ -n "$apps" ] || break
        # shellcheck disable=SC2086 # several
        kill $apps 2>/dev/null || :
        pause
    done
    rm -rf "$home"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
pause() { read -rt 0.2 <> <(:) || :; }
# Asks until a command succeeds.
until_ready() {
    local group what=$1 end=$((SECONDS + PATIENCE))
    shift
    until "$@" >"$home/answer" 2>&1; do
        for group in "${groups[@]}"; do kill -0 "$group" 2>/dev/null || { say "a process ended while $what was waited for"; exit 1; }; done
        [ $SECONDS -lt $end ] || { say "$what is not ready after $PATIENCE s:"; cat "$home/answer" >&2; exit 1; }
        pause
    done
}
free_ports() {
    python -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(one.getsockname()[1] for one in sockets))'
}
has_labels() { curl --silent --show-error --unix-socket "$1" http://localhost/api/v1/status | grep -q '"labelled":24'; }

say "three daemons"
shapes=("disc square" "square triangle" "disc triangle")
share=(true true false)
for n in 1 2 3; do
    mkdir -p "$home/$n"
    # shellcheck disable=SC2086 # two words
    python fleet/flower/tests/pictures.py "$home/$n/camera" "$n" 12 ${shapes[n - 1]}
    cat >"$home/$n/config.yaml" <<YAML
device: { id: line-$n }
backbone: { model: tiny-test }
watch: [{ path: $home/$n/camera, settle: 50ms }]
store: { path: $home/$n/state }
mqtt: { url: null }
http: { listen: null }
training: { schedule: null }
fleet: { share: ${share[n - 1]}, min_class_count: 2 }
YAML
    start "daemon-$n" "$program" --config "$home/$n/config.yaml" run
done
for n in 1 2 3; do until_ready "daemon $n" has_labels "$home/$n/state/edgetuned.sock"; done

say "a SuperLink and three SuperNodes"
read -r link one two three < <(free_ports)
export TMPDIR=$home FLWR_HOME=$home/flower FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 UV_OFFLINE=1
mkdir -p "$FLWR_HOME"
printf '[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = "127.0.0.1:%s"\ninsecure = true\n' "$link" >"$FLWR_HOME/config.toml"
start superlink flower-superlink --insecure --disable-runtime-dependency-installation --port "$link"
until_ready "the SuperLink" curl --silent --fail "http://127.0.0.1:$link/health"
ports=("$one" "$two" "$three")
for n in 1 2 3; do
    start "supernode-$n" flower-supernode --insecure --superlink "127.0.0.1:$link" --port "${ports[n - 1]}" \
        --node-config "socket=\"$home/$n/state/edgetuned.sock\" name=\"line-$n\""
done

say "the app"
start run timeout 300 flwr run fleet/flower local --stream \
    --run-config "edgetuned=\"$program\" out=\"$home/head.safetensors\" min-nodes=3 patience=$PATIENCE"
# In the background, so that a signal ends this script at once.
wait $! || { say "flwr run ended with $?"; exit 1; }
cat "$home/run.log"
[ -s "$home/head.safetensors" ] || { say "no head came out"; exit 1; }
grep -q 'left out: line-3: .*fleet.share' "$home/run.log" || { say "the device that shares nothing is not listed"; exit 1; }

say "the head on pictures that no device has"
python fleet/flower/tests/pictures.py "$home/fresh" 3 20 disc square triangle
"$program" --json evaluate "$home/fresh" --head "$home/head.safetensors" >"$home/evaluated.json"
python - "$home/evaluated.json" <<'PYTHON'
import json, sys
found = json.load(open(sys.argv[1]))
print(f"fleet-flower: classes {', '.join(found['classes'])}: {found['accuracy']:.1%} of {found['n']} images right")
# By chance it is a third.
sys.exit(found["classes"] != ["disc", "square", "triangle"] or found["n"] != 60 or found["accuracy"] < 0.8)
PYTHON
