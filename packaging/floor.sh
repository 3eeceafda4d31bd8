#!/bin/sh
# Prints the newest version of each library's symbols that ELF files need, one a line: GLIBC 2.28, GLIBCXX 3.4.21 ...
#
#   packaging/floor.sh FILE...
set -eu
for file in "$@"; do
    [ -r "$file" ] || { echo "floor: cannot read $file" >&2 && exit 66; }
done
readelf --version-info --wide "$@" | sed -n 's/.* Name: \(GLIBC\|GLIBCXX\|CXXABI\|GCC\)_\([0-9.]*\) .*/\1 \2/p' | sort -k1,1 -k2,2Vr | sort -u -k1,1
