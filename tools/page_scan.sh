#!/usr/bin/env bash
# Points scanners at the HTTP door of a daemon of its own: schemathesis (the API as its OpenAPI document describes it),
# wapiti (the page, as a crawler with a session), slowhttptest (clients that send slowly), promtool (the metrics). Fails
# where one of them finds anything.
#
# usage: tools/page_scan.sh        PAGE_SCAN_EXAMPLES (50): requests a route by schemathesis
#
# Needs python3-venv, wapiti, slowhttptest and prometheus (apt-get install); schemathesis comes by pip (tools/page_scan.txt).
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=${CARGO_TARGET_DIR:-target}
FOLDER=$TARGET/page-scan
PORT=${PAGE_SCAN_PORT:-18787}
BASE=http://127.0.0.1:$PORT
TOKEN=page-scan-0123456789abcdef
found=0

say() { echo "page-scan: $*" >&2; }
finding() {
    say "FOUND: $*"
    found=1
}

for program in wapiti slowhttptest promtool curl; do
    command -v "$program" >/dev/null || { say "$program is not here (apt-get install wapiti slowhttptest prometheus curl)"; exit 1; }
done
if ! cmp --silent tools/page_scan.txt "$FOLDER/venv/installed.txt"; then
    say "installing $(grep -v '^#' tools/page_scan.txt)"
    rm -rf "$FOLDER/venv"
    python3 -m venv "$FOLDER/venv"
    "$FOLDER/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement tools/page_scan.txt
    cp tools/page_scan.txt "$FOLDER/venv/installed.txt"
fi

home=$(mktemp -d)
mkdir -p "$home/camera" "$home/state"
printf %s "$TOKEN" >"$home/token"
chmod 600 "$home/token"
cat >"$home/config.yaml" <<YAML
device: { id: scan }
backbone: { model: tiny-test }
watch: [{ path: $home/camera, settle: 50ms }]
store: { path: $home/state }
mqtt: { url: null }
training: { schedule: null, cooldown: 1s }
http: { listen: '127.0.0.1:$PORT', token_file: $home/token }
YAML
"$TARGET/debug/examples/camera" --out "$home/drawn" --images 40 --by-class --classes nut,gear --size 160 120 >/dev/null
"$TARGET/debug/edgetuned" --config "$home/config.yaml" run 2>"$home/log" &
daemon=$!
trap 'kill $daemon 2>/dev/null; wait $daemon 2>/dev/null; rm -rf "$home"' EXIT
curl --silent --retry 60 --retry-connrefused --retry-delay 1 --output "$home/ready" "$BASE/readyz"
cp -r "$home/drawn/." "$home/camera/"
get() { curl --silent --header "Authorization: Bearer $TOKEN" "$BASE/$1"; }
until get api/v1/status | grep -q '"samples":40'; do
    kill -0 $daemon || { cat "$home/log"; exit 1; }
    read -rt 0.2 <> <(:) || :
done

say "promtool"
get metrics | promtool check metrics || finding "promtool check metrics"

say "schemathesis"
get api/v1/openapi.json >"$home/openapi.json"
# A stream that never ends, and what takes another backbone into service, is not for a scanner. Left out: whether every
# value that fits the schema is taken (a task or an image of that name has to exist), and whether 'Allow' names the methods
# of the very route (the door refuses a method before it looks at the route). Tokens that are wrong on purpose are left out,
# too: after five of them the door answers nobody at this address for a minute, and 'cargo test --test door' sends them.
"$FOLDER/venv/bin/schemathesis" run "$home/openapi.json" --url "$BASE" --header "Authorization: Bearer $TOKEN" \
    --max-examples "${PAGE_SCAN_EXAMPLES:-50}" --exclude-path /api/v1/watch --exclude-path /api/v1/switch \
    --exclude-checks positive_data_acceptance,unsupported_method,allow_header_conformance,ignored_auth \
    --request-timeout 70 --workers 1 --no-color || finding schemathesis
kill -0 $daemon || { finding "the daemon ended"; tail "$home/log"; }
grep -i panic "$home/log" && finding "a panic"

say "wapiti"
# wapiti has no bearer token; a session stands in its cookie file.
cookie=$(curl --silent --include --header "Origin: $BASE" --data-urlencode "token=$TOKEN" "$BASE/login" |
    sed -n 's/^set-cookie: \([^=]*=[^;]*\).*/\1/Ip')
wapiti --url "$BASE/" --header "Cookie: $cookie" --scope folder --flush-session --format json --output "$home/wapiti.json" \
    --max-scan-time 120 --verbose 0 --no-bugreport >/dev/null 2>"$home/wapiti.log" || { cat "$home/wapiti.log"; finding "wapiti failed"; }
python3 - "$home/wapiti.json" <<'PYTHON' || finding wapiti
import json, sys
report = json.load(open(sys.argv[1]))
# The first is of browsers that are gone, the second a proxy's with TLS.
known = {"X-XSS-Protection is not set", "Strict-Transport-Security is not set"}
findings = [(kind, one["info"], one["path"]) for part in ("vulnerabilities", "anomalies") for kind, all in report[part].items() for one in all if one["info"] not in known]
for finding in findings:
    print("page-scan: wapiti:", *finding)
print(f"page-scan: wapiti crawled {report['infos'].get('crawled_pages_nbr', '?')} pages, {len(findings)} findings")
sys.exit(bool(findings))
PYTHON

say "slowhttptest: 200 connections, a byte of a header each 5 s"
slowhttptest -c 200 -H -i 5 -r 100 -l 25 -p 3 -u "$BASE/" >"$home/slow.log" 2>&1 &
slow=$!
worst=0
for _ in $(seq 20); do
    took=$(curl --silent --output "$home/page" --max-time 10 --header "Authorization: Bearer $TOKEN" --write-out '%{time_total}' "$BASE/") || took=10
    worst=$(printf '%s\n%s\n' "$worst" "$took" | sort -g | tail -1)
    read -rt 1 <> <(:) || :
done
wait $slow || :
say "slowest page meanwhile: $worst s"
awk "BEGIN { exit !($worst < 1) }" || finding "the page took $worst s under slow clients"

exit $found
