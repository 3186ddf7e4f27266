#!/usr/bin/env bash
# install-deps.sh run|test|bench: installs what is missing for that, by package name.
. "$(dirname "$0")/common.sh"

packages=()
need() { # need PROGRAM-OR-FILE PACKAGE
	if ! command -v "$1" >/dev/null 2>&1 && [ ! -e "$1" ]; then packages+=("$2"); fi
}

# Runs a command that installs packages, and leaves no server of the system's running or
# set to run: the tests start their own. Nor does it fail where nothing can be started at all.
without_services() { # without_services COMMAND…
	local policy=/usr/sbin/policy-rc.d added= service result=0
	case " ${packages[*]} " in
	*" slapd "* | *" samba-ad-dc "* | *" docker-registry "*) ;;
	*) "$@"; return ;;
	esac
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
		added=yes
	fi
	"$@" || result=$?
	if [ -n "$added" ]; then as_root rm -f "$policy"; fi
	if [ -d /run/systemd/system ]; then
		for service in slapd docker-registry smbd nmbd winbind samba-ad-dc; do
			case " ${packages[*]} $service" in
			*" $service "*) ;;
			*" slapd" | *" docker-registry") continue ;;
			esac
			as_root systemctl disable --quiet "$service" 2>/dev/null || true
		done
	fi
	return "$result"
}

purpose=${1:-run}
need cc build-essential
need pkg-config pkg-config
need curl curl
need git git
need "$(postgres_bin)/initdb" postgresql
if ! command -v cargo >/dev/null && ! command -v rustup >/dev/null; then
	# Newer distributions have it; for the others, the end of this script says how.
	as_root apt-get update -qq
	if apt-cache show rustup >/dev/null 2>&1; then packages+=(rustup); fi
fi
need npm npm
if [ "$purpose" != run ]; then
	need dockerd docker.io
	need docker-registry docker-registry
	need iptables iptables
	need ip iproute2
	need nsenter util-linux
	need "$(echo /usr/lib/*/faketime/libfaketime.so.1)" libfaketime
	need chromium chromium
	need chromedriver chromium-driver
	need /bin/busybox busybox-static
	need docker-compose docker-compose
	need docker-registry docker-registry
	need script bsdutils
	need openssl openssl
	need kubectl kubernetes-client
	need /usr/sbin/slapd slapd
	need ldapmodify ldap-utils
	need /usr/sbin/samba samba-ad-dc
	need "$(echo /usr/lib/*/samba/ldb/acl.so)" samba-dsdb-modules
	need "$(echo /usr/lib/*/samba/vfs/acl_xattr.so)" samba-vfs-modules
	need samba-tool samba-common-bin
	need /usr/share/samba/setup/provision.ldif samba-ad-provision
	need /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk
fi
if [ "$purpose" = bench ]; then
	need wrk wrk
fi
if [ ${#packages[@]} -gt 0 ]; then
	say "Installing ${packages[*]}"
	as_root apt-get update -qq
	without_services as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null; then
	command -v rustup >/dev/null ||
		die "Rust is missing. Install it as https://rustup.rs says, then run this again."
	rustup toolchain install stable --profile minimal
fi
if command -v rustup >/dev/null; then
	rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
	if [ "$purpose" = test ]; then
		cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
		cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	fi
fi
if [ "$purpose" = test ] && ! command -v cargo-nextest >/dev/null; then
	say "Installing cargo-nextest"
	env -u CARGO_TARGET_DIR cargo install --locked cargo-nextest --version 0.9.143
fi
# A real OpenID provider to sign in at.
if [ "$purpose" = test ] && [ tests/openid/package-lock.json -nt tests/openid/node_modules/.package-lock.json ]; then
	say "Installing oidc-provider"
	(cd tests/openid && npm ci --no-audit --no-fund)
fi
