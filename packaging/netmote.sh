#!/bin/sh
# The command line of the installed agent: its own environment, and the configuration of the service.
export NETMOTE_CONFIG="${NETMOTE_CONFIG-/etc/netmote/netmote.yaml}"
exec /usr/lib/netmote/bin/python -I -m netmote "$@"
