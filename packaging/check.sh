#!/usr/bin/env bash
# Holds a built package against what its control file says, and prints what it found.
#
#   packaging/check.sh FILE.deb
#
# Libraries that the program and ONNX Runtime need come from packages it depends on, and the versions named there are
# those of the newest symbols needed; the program names no path of the machine it was built on and carries the list of
# its crates; the dashboard and the alerting rules can be read; lintian, where installed, has nothing to say that packaging/lintian-overrides does not give a reason for.
set -euo pipefail
cd "$(dirname "$0")/.."
deb=$1
PATH=$PWD/target/tools/bin:$PATH

fail() { echo "check: $(basename "$deb"): $*" >&2 && exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
dpkg-deb --extract "$deb" "$scratch"
depends=$(dpkg-deb --field "$deb" Depends)
program=$scratch/usr/bin/edgetuned
library=$(echo "$scratch"/usr/lib/edgetuned/libonnxruntime.so.*)

# The version that Depends asks of package $1; 0 where any will do.
asked() {
    grep -oP "(^|, )\Q$1\E( \(>= \K[^)]*)?" <<<"$depends" | sed 's/^\(, \)\?'"$1"'$/0/' | grep . ||
        fail "it does not depend on $1, whose library it needs"
}

# The version of a package that has the symbols $2 of library $1.
providing() {
    case $1 in
    GLIBC) echo "libc6 $2" ;;
    # Since gcc 7. A newer one needs another line here and another version in Cargo.toml.
    GLIBCXX) [ "$(printf '%s\n3.4.24\n' "$2" | sort -V | tail -1)" = 3.4.24 ] && echo "libstdc++6 7" || echo "libstdc++6 unknown" ;;
    CXXABI) [ "$(printf '%s\n1.3.11\n' "$2" | sort -V | tail -1)" = 1.3.11 ] && echo "libstdc++6 7" || echo "libstdc++6 unknown" ;;
    # Older than the package of this name.
    GCC) [ "$(printf '%s\n7.0.0\n' "$2" | sort -V | tail -1)" = 7.0.0 ] && echo "libgcc-s1 0" || echo "libgcc-s1 unknown" ;;
    esac
}

floor=$(packaging/floor.sh "$program" "$library")
[ -n "$floor" ] || fail "no versions of symbols were found in the program and its library"
while read -r name version; do
    read -r package needed <<<"$(providing "$name" "$version")"
    found=$(asked "$package")
    [ "$found" = "$needed" ] ||
        fail "it asks for $package $found, but symbols as new as ${name}_$version need $needed; correct 'depends' in Cargo.toml"
done <<<"$floor"

for needed in $(readelf --dynamic --wide "$program" "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u); do
    case $needed in
    libc.so.6 | libm.so.6 | libdl.so.2 | librt.so.1 | libpthread.so.0 | ld-linux-*) asked libc6 >/dev/null ;;
    libgcc_s.so.1) asked libgcc-s1 >/dev/null ;;
    libstdc++.so.6) asked libstdc++6 >/dev/null ;;
    *) fail "it needs $needed, and no package that it depends on has that" ;;
    esac
done

for path in "$PWD" "${CARGO_HOME:-$HOME/.cargo}"; do
    ! grep --quiet --text --fixed-strings "$path/" "$program" || fail "the program names $path, a folder of this machine"
done

rules=$scratch/usr/share/edgetuned/prometheus/edgetuned.rules.yml
python3 -m json.tool "$scratch/usr/share/edgetuned/grafana/edgetuned.json" >/dev/null || fail "the dashboard is no JSON"
if command -v promtool >/dev/null; then
    promtool check rules "$rules" >/dev/null || fail "promtool refuses the alerting rules"
else
    echo "check: promtool is not installed, so the alerting rules were not read by it (apt-get install prometheus)"
fi

crates=$(rust-audit-info "$program" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["packages"]))') ||
    fail "the program carries no list of its crates"

if command -v lintian >/dev/null; then
    lintian --no-cfg --fail-on error,warning "$deb" || fail "lintian complains"
else
    echo "check: lintian is not installed, so $(basename "$deb") was not read by it (apt-get install lintian)"
fi

echo "$deb: $(stat -c %s "$deb") bytes, $(dpkg-deb --field "$deb" Installed-Size) KiB installed; the program has" \
    "$(stat -c %s "$program") bytes and $crates crates; needs" $(sed 's/$/,/' <<<"$floor") "so: $depends"
