#!/usr/bin/env bash
# Builds the image and the Home Assistant add-on, runs both by podman as docs/containers.md says, and holds them to it.
#
#   packaging/container/try.sh      after 'make packages'; needs root, podman, jq and curl; `make try-container`
#
# BASE names another base image; where Debian's cannot be pulled, mmdebstrap makes one. A machine on which podman needs other
# defaults names a file with them in CONTAINERS_CONF, for example another runtime.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "container: $*" >&2; }
fail() { say "$*" && exit 1; }
passed() { echo "  ok  $*"; }
start() { podman run --detach --name "$1" "${@:2}" >/dev/null; }

scratch=$(mktemp -d)
word=try-$$
clean() {
    podman rm --force --ignore --time 0 "$word" "$word-add-on" "$word-supervisor" >/dev/null 2>&1 || true
    podman volume rm --force "$word" >/dev/null 2>&1 || true
    podman network rm --force "$word" >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap clean EXIT

# Waits until a command succeeds, for two minutes.
until_true() {
    local left=120
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { podman logs "$word" >&2 || true; fail "this did not come true: $*"; }
        sleep 1
    done
}

BASE=${BASE:-docker.io/library/debian:trixie-slim}
if ! podman image exists "$BASE" && ! podman pull --quiet "$BASE" >/dev/null 2>&1; then
    say "$BASE cannot be pulled, so mmdebstrap makes one like it"
    BASE=localhost/debian:trixie-slim
    podman image exists "$BASE" || {
        mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' trixie "$scratch/base.tar" &&
            podman import --quiet "$scratch/base.tar" "$BASE" >/dev/null && rm "$scratch/base.tar"
    }
fi
export BASE
ENGINE=podman packaging/container/build.sh 2>"$scratch/log" || fail "no image: $(cat "$scratch/log")"
packaging/home-assistant/pack.sh
podman build --quiet --format docker --build-arg "BASE=$BASE" --build-arg BUILD_ARCH=tried --build-arg BUILD_VERSION=tried --tag edgetuned-add-on \
    target/packages/home-assistant/edgetuned >/dev/null
echo "images: $(podman image inspect --format '{{.Size}}' edgetuned:latest) bytes, the base $(podman image inspect --format '{{.Size}}' "$BASE")," \
    "the add-on $(podman image inspect --format '{{.Size}}' edgetuned-add-on)"

echo "the image, read-only, without capabilities and without root:"
cargo run --quiet --locked --example camera -- --out "$scratch/images" --images 12 --by-class >/dev/null
chmod 755 "$scratch" && chmod -R a+rX "$scratch/images"
pictures=$(find "$scratch/images" -type f | wc -l)
token=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
printf %s "$token" >"$scratch/token"
chown 8787 "$scratch/token" && chmod 400 "$scratch/token"
sealed=(--read-only --read-only-tmpfs=false --tmpfs /tmp --cap-drop all --security-opt no-new-privileges --hostname line-3
    --volume "$word:/var/lib/edgetuned" --volume "$scratch/images:/srv/images:ro" --publish 127.0.0.1::8787)
code=0
podman run --rm "${sealed[@]}" edgetuned:latest >"$scratch/log" 2>&1 || code=$?
if [ "$code" != 78 ] || ! grep -q http.token_file "$scratch/log"; then
    fail "without its secret it ended with $code, and said: $(cat "$scratch/log")"
fi
passed "without the secret it does not start (78), and says what is missing"
# As compose does it with a secret of a file.
start "$word" "${sealed[@]}" --volume "$scratch/token:/run/secrets/edgetuned_token:ro" edgetuned:latest
until_true podman healthcheck run "$word"
passed "healthy, by /healthz"
state() { podman exec "$word" cat /proc/1/status | awk -v key="$1:" '$1 == key { print $2 }'; }
[ "$(state Uid)" = 8787 ] || fail "the daemon runs as $(state Uid)"
[ "$(state CapEff)$(state CapBnd)" = 00000000000000000000000000000000 ] || fail "the daemon has capabilities"
[ "$(state NoNewPrivs)" = 1 ] || fail "the daemon could get privileges"
! podman exec "$word" touch /usr/x 2>/dev/null || fail "the root file system can be written"
passed "user 8787, no capability, no new privileges, a read-only root file system"
door=http://$(podman port "$word" 8787)
answer() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
[ "$(answer "$door/healthz") $(answer "$door/api/v1/status") $(answer -H "Authorization: Bearer $token" "$door/api/v1/status")" = "200 401 200" ] ||
    fail "the door answers otherwise than it should"
passed "the door: /healthz for everybody, the rest with the token"
samples() { [ "$(podman exec "$word" edgetuned ctl status --json | jq .samples)" = "$pictures" ]; }
until_true samples
passed "$pictures pictures of the volume are samples"
podman kill --signal STOP "$word" >/dev/null
! timeout 20 podman healthcheck run "$word" >/dev/null 2>&1 || fail "a daemon that hangs is healthy"
podman kill --signal CONT "$word" >/dev/null
passed "a daemon that hangs is not healthy"
before=$(date +%s)
podman stop --time 20 "$word" >/dev/null
[ "$(podman inspect --format '{{.State.ExitCode}}' "$word")" = 0 ] || fail "it did not end by itself"
passed "it ends on SIGTERM within $(($(date +%s) - before)) s"
podman start "$word" >/dev/null
until_true podman healthcheck run "$word"
until_true samples
passed "it begins again with what it had"

echo "the add-on, with a stand-in for the supervisor:"
podman network create --subnet 172.30.32.0/23 "$word" >/dev/null
cat >"$scratch/supervisor.conf" <<'END'
events {}
http {
    server {
        listen 80;
        location = /services/mqtt {
            default_type application/json;
            return 200 '{"result":"ok","data":{"host":"core-mosquitto","port":1883,"ssl":false,"username":"addons","password":"tried"}}';
        }
        location /ingress/ {
            proxy_pass http://172.30.33.5:8099/;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-For "10.9.9.9, $remote_addr";
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Ingress-Path /api/hassio_ingress/try;
        }
    }
}
END
start "$word-supervisor" --network "$word" --ip 172.30.32.2 --volume "$scratch/supervisor.conf:/etc/nginx/try.conf:ro" edgetuned-add-on \
    nginx -g 'daemon off;' -c /etc/nginx/try.conf
mkdir -p "$scratch/data" "$scratch/config" "$scratch/media"
echo '{"device_id":"home","backbone":"default","quota_mb":512,"folders":[{"path":"/media/images"}],"sources":[]}' \
    >"$scratch/data/options.json"
chmod 600 "$scratch/data/options.json"
cp -r "$scratch/images" "$scratch/media/images"
start "$word-add-on" --network "$word" --ip 172.30.33.5 --add-host supervisor:172.30.32.2 --env SUPERVISOR_TOKEN=tried-token \
    --tmpfs /tmp --volume "$scratch/data:/data" --volume "$scratch/media:/media:ro" --volume "$scratch/config:/config:ro" edgetuned-add-on
ingress() { podman exec "$word-supervisor" curl --silent --output /dev/null --write-out '%{http_code}' --header 'Host: ha.lan:8123' "$@"; }
ready() { podman healthcheck run "$word-add-on" && [ "$(ingress http://127.0.0.1/ingress/readyz)" = 200 ]; }
until_true ready
passed "healthy, and ingress reaches it"
post=(--request POST --header 'Content-Type: application/json' --data '{}' http://127.0.0.1/ingress/api/v1/rescan)
[ "$(ingress http://127.0.0.1/ingress/) $(ingress --header 'Origin: https://ha.lan:8123' "${post[@]}") $(ingress --header 'Origin: https://evil.test' "${post[@]}")" = "200 200 403" ] ||
    fail "ingress is answered otherwise than it should be"
passed "the page's own requests are answered without a token, those of another site are not"
[ "$(answer http://172.30.33.5:8099/healthz) $(answer --max-time 5 http://172.30.33.5:8787/healthz || true)" = "403 000" ] || fail "others than ingress are answered"
passed "nobody else is answered, and the daemon itself cannot be reached"
daemon=$(podman exec "$word-add-on" sh -c 'for status in /proc/[0-9]*/status; do grep -q "^Name:.edgetuned$" "$status" && cat "$status"; done; true')
[ "$(awk '$1 == "Uid:" { print $2 }' <<<"$daemon") $(awk '$1 == "CapBnd:" { print $2 }' <<<"$daemon")" = "8787 0000000000000000" ] ||
    fail "the add-on's daemon has more rights than it needs: $daemon"
passed "the daemon is user 8787 without capabilities"
podman exec "$word-add-on" jq -e '.mqtt.url == "mqtt://core-mosquitto:1883"' /etc/edgetuned/config.yaml >/dev/null || fail "the broker is another one"
passed "it uses the broker that the supervisor names"
podman stop --time 20 "$word-add-on" >/dev/null
[ "$(podman inspect --format '{{.State.ExitCode}}' "$word-add-on")" = 0 ] || fail "the add-on did not end by itself"
passed "it ends on SIGTERM"
