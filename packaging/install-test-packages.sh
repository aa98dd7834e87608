#!/bin/sh
# Installs the Debian packages that tests use, where this is Debian and we are root; says what is missing elsewhere.
set -eu
packages="snmpd snmp tshark nmap iproute2 procps ethtool tcpdump nfdump debhelper systemd-container mmdebstrap rsyslog rsyslog-openssl rsyslog-relp mosquitto mosquitto-clients prometheus-alertmanager chromium prometheus"
missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, their tests are skipped:$missing" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# No service of these packages may start: tests start their own, on loopback and in network namespaces.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086 # the list is words
apt-get -qq install -y --no-install-recommends $missing >/dev/null
