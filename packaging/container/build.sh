#!/usr/bin/env bash
# Builds the image edgetuned:VERSION, and edgetuned:latest, of a package that 'make packages' has built.
#
#   packaging/container/build.sh [amd64|arm64]      this machine's kind, unless one is named; `make container`
#
# With buildah, podman or docker, whichever is there first; ENGINE names one. BASE names another base than Debian's slim
# image. The other architecture needs qemu's user emulation.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "container: $*" >&2; }
die() { say "$*" && exit 69; }

arch=${1:-$(dpkg --print-architecture 2>/dev/null || uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')}
case $arch in
amd64 | arm64) ;;
*) say "there are packages for amd64 and arm64, none for $arch" && exit 64 ;;
esac
debs=(target/packages/edgetuned_*_"$arch".deb)
if [ ${#debs[@]} != 1 ] || [ ! -f "${debs[0]}" ]; then
    die "target/packages has no package for $arch, or several; 'make packages ARCH=$arch' makes one"
fi
name=$(basename "${debs[0]}")
version=${name#edgetuned_} version=${version%%[-_]*}

engine=${ENGINE:-}
for candidate in buildah podman docker; do
    [ -n "$engine" ] || ! command -v "$candidate" >/dev/null || engine=$candidate
done
case $engine in
# Without the format there is no health check: OCI's images have none.
buildah | podman) build=("$engine" build --format docker --timestamp "$(git log -1 --format=%ct)") ;;
docker) build=(docker build) ;;
*) die "buildah, podman or docker is needed (apt-get install buildah podman)" ;;
esac

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp packaging/container/{Containerfile,config.yaml} "${debs[0]}" "$context"
"${build[@]}" --platform "linux/$arch" ${BASE:+--build-arg "BASE=$BASE"} \
    --label "org.opencontainers.image.version=$version" \
    --label "org.opencontainers.image.revision=$(git rev-parse HEAD)" \
    --tag "edgetuned:$version" --tag edgetuned:latest --file "$context/Containerfile" "$context" >&2
say "edgetuned:$version, by $engine"
