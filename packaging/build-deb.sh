#!/bin/sh
# Builds the Debian package into dist/. Usage: build-deb.sh VENV [ARCH]
# VENV is the development environment (its pip fetches the wheels); ARCH is amd64 or arm64, by default this machine's.
# PYTHON_VERSION=3.13 builds for the release of Debian with that Python (12 has 3.11, 13 has 3.13); by default it is VENV's.
# COMPRESSION=zstd is quick and large (Debian 12's lintian cannot read it); the default is xz.
set -eu
venv=$(realpath "$1")
here=$(dpkg --print-architecture)
arch=${2:-$here}
root=$(pwd)
for tool in dh dpkg-buildpackage; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install --no-install-recommends debhelper" >&2; exit 1; }
done
case $arch in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) echo "no package for $arch: the wheels exist for amd64 and arm64" >&2; exit 1 ;;
esac
ours=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python=${PYTHON_VERSION:-$ours}
version=$("$venv/bin/python" -c 'import netmote; print(netmote.__version__)')
build=$root/build/deb
rm -rf "$build"
mkdir -p "$build/netmote/wheel" dist
"$venv/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$build/netmote/wheel" "$root"
cp -r packaging systemd config README.md CHANGELOG.md "$build/netmote/"
cp -r packaging/debian "$build/netmote/debian"
"$venv/bin/python" packaging/bill_of_materials.py packaging/requirements.lock --version "$version" >"$build/netmote/sbom.cdx.json"
# SOURCE_DATE_EPOCH: the commit's time, so that two builds of one commit are alike.
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
cat >"$build/netmote/debian/changelog" <<EOF
netmote ($version) stable; urgency=medium

  * See /usr/share/doc/netmote/README.md and the project's CHANGELOG.

 -- The netmote founders <founders@netmote.io>  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
EOF
export NETMOTE_PYTHON="$python" NETMOTE_PIP="$venv/bin/pip" NETMOTE_PLATFORM="" NETMOTE_COMPRESSION="-Zxz -z6"
[ "${COMPRESSION:-xz}" = zstd ] && NETMOTE_COMPRESSION="-Zzstd -z3"
if [ "$arch" != "$here" ] || [ "$python" != "$ours" ]; then
    # Wheels of the other machine or interpreter: nothing of it runs here.
    NETMOTE_PLATFORM="--only-binary=:all: --python-version $python --implementation cp"
    for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux_2_26; do
        NETMOTE_PLATFORM="$NETMOTE_PLATFORM --platform ${tag}_$machine"
    done
fi
# Byte code is the interpreter's; without it the service starts a second later each time, as it may not write its own.
NETMOTE_COMPILER=$("$venv/bin/python" -c 'import sys; print(sys.executable)')
[ "$python" = "$ours" ] || NETMOTE_COMPILER=$("python$python" -c 'import sys; print(sys.executable)') || {
    echo "python$python is missing: it compiles what it will run" >&2
    exit 1
}
export NETMOTE_COMPILER
(cd "$build/netmote" && dpkg-buildpackage --build=binary --unsigned-changes --unsigned-buildinfo --no-check-builddeps --host-arch="$arch" >"$build/log" 2>&1) || {
    tail -n 40 "$build/log" >&2
    exit 1
}
mv "$build/netmote_${version}_$arch.deb" dist/
echo "dist/netmote_${version}_$arch.deb"
