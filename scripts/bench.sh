#!/usr/bin/env bash
# Measures speed and memory of the release build, prints the table, and writes docs/performance.md.
. "$(dirname "$0")/common.sh"
. scripts/postgres.sh
. scripts/docker.sh
mkdir -p "$CACHE"
scripts/install-deps.sh bench

work=$(mktemp -d /tmp/drover-bench.XXXXXX)
chmod 755 "$work"
finish() {
	local code=$?
	[ -z "${driver:-}" ] || kill "$driver" 2>/dev/null || true
	stop_docker "$work/docker"
	stop_postgres "$work/postgres"
	rm -rf "$work" 2>/dev/null || true
	exit $code
}
trap finish EXIT

say "Building"
cargo run -q --locked -p xtask -- frontend --release
cargo build --locked --release -p drover-server
cargo build --locked --release -p drover-tests --bin bench

say "Starting PostgreSQL, Docker Engine and chromedriver"
start_postgres "$work/postgres"
start_docker "$work/docker"
driver_port=$(free_port)
chromedriver --port="$driver_port" >"$work/chromedriver.log" 2>&1 &
driver=$!
export DROVER_TEST_WEBDRIVER=http://127.0.0.1:$driver_port
export DROVER_BIN=$CARGO_TARGET_DIR/release/drover

say "Measuring"
"$CARGO_TARGET_DIR/release/bench"
