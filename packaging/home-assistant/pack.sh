#!/usr/bin/env bash
# Puts the Home Assistant add-on, as a repository with the Debian packages in it, into target/packages/home-assistant.
#
#   packaging/home-assistant/pack.sh      after 'make packages'; `make add-on`
#
# The folder 'edgetuned' in it, copied to /addons of a Home Assistant, is a local add-on there; the whole, in a Git repository of
# its own, is a repository for its store. The supervisor builds the image on the device, which takes Debian's slim image and
# some packages from the network.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "add-on: $*" >&2; }

debs=(target/packages/edgetuned_*.deb)
[ -f "${debs[0]}" ] || { say "target/packages has no package; 'make packages' makes them" && exit 69; }
for arch in amd64 arm64; do
    printf "%s\n" "${debs[@]}" | grep --quiet "_$arch\.deb$" || say "without a package for $arch, so it cannot be installed there"
done

target=target/packages/home-assistant
rm -rf "$target"
mkdir -p "$target"
# With the changelog itself in place of the link to it.
cp --recursive --dereference packaging/home-assistant/repository.yaml packaging/home-assistant/edgetuned "$target"
cp "${debs[@]}" "$target/edgetuned"
say "$target: copy its folder 'edgetuned' to /addons (docs/containers.md)"
