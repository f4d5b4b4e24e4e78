#!/usr/bin/env bash
# need.sh THING...: makes sure that THING is on this machine, and installs it by the
# system's own package manager if it is not. A thing is a command, or venv (Python
# with the means to make virtual environments).
set -euo pipefail

have() {
	case $1 in
	venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}
package() {
	case $1 in
	gcc) echo gcc libc6-dev ;;
	venv) echo python3 python3-venv ;;
	java | javac) echo default-jdk-headless ;;
	mvn) echo maven ;;
	node) echo nodejs ;;
	rabbitmq-server) echo rabbitmq-server ;;
	unshare | setpriv | nsenter) echo util-linux ;;
	ip | tc) echo iproute2 ;;
	nft) echo nftables ;;
	*) echo "$1" ;;
	esac
}

missing=()
for thing; do have "$thing" || missing+=("$thing"); done
[ ${#missing[@]} -gt 0 ] || exit 0

packages=$(for thing in "${missing[@]}"; do package "$thing"; done)
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "missing: ${missing[*]}; install $(echo $packages) and try again (as root on a Debian this is done for you)" >&2
	exit 1
fi
echo "installing" $packages
export DEBIAN_FRONTEND=noninteractive
# A package of a server must not start it here.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
apt-get -qq update </dev/null
apt-get -qq install -y --no-install-recommends $packages </dev/null >/dev/null
for thing in "${missing[@]}"; do have "$thing" || { echo "still missing after the installation: $thing" >&2; exit 1; }; done
