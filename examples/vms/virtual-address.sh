#!/bin/sh
# A role_change_command: the host whose coordinator lets clients in carries the address ADDRESS on INTERFACE, the other one does not.
# Called as: virtual-address.sh ADDRESS/BITS INTERFACE coordinator|standby|none HOST PORT
# Needs CAP_NET_ADMIN, and CAP_NET_RAW for arping; see README.md.
set -eu
address=$1
interface=$2
role=$3

if [ "$role" = coordinator ]; then
	ip address replace "$address" dev "$interface"
	# Neighbours have the old host's hardware address in mind until somebody tells them.
	if command -v arping >/dev/null; then
		arping -c 3 -U -I "$interface" "${address%/*}"
	fi
else
	if ip -o address show dev "$interface" | grep -qF " $address "; then
		ip address del "$address" dev "$interface"
	fi
fi
