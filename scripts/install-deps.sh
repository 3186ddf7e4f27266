#!/usr/bin/env bash
# install-deps.sh run|test|bench: installs what is missing for that, by package name.
. "$(dirname "$0")/common.sh"

packages=()
need() { # need PROGRAM-OR-FILE PACKAGE
	if ! command -v "$1" >/dev/null 2>&1 && [ ! -e "$1" ]; then packages+=("$2"); fi
}

purpose=${1:-run}
need cc build-essential
need pkg-config pkg-config
need git git
need "$(postgres_bin)/initdb" postgresql
need npm npm
if [ "$purpose" != run ]; then
	need dockerd docker.io
	need iptables iptables
	need chromium chromium
	need chromedriver chromium-driver
	need /bin/busybox busybox-static
	need openssl openssl
	need /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk
fi
if [ "$purpose" = bench ]; then
	need docker-compose docker-compose
	need wrk wrk
fi
if [ ${#packages[@]} -gt 0 ]; then
	say "Installing ${packages[*]}"
	as_root apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

command -v cargo >/dev/null || die "Rust is missing: install rustup, then run this again."
if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx wasm32-unknown-unknown; then
	rustup target add wasm32-unknown-unknown
fi
if [ "$purpose" != run ] && ! command -v cargo-nextest >/dev/null; then
	say "Installing cargo-nextest"
	env -u CARGO_TARGET_DIR cargo install --locked cargo-nextest --version 0.9.143
fi
