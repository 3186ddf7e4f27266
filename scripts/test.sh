#!/usr/bin/env bash
# Runs every check and test: installs what they need, starts it, and stops all that it started.
. "$(dirname "$0")/common.sh"
. scripts/postgres.sh
. scripts/docker.sh
mkdir -p "$CACHE"
scripts/install-deps.sh test

work=$(mktemp -d /tmp/drover-test.XXXXXX)
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

scripts/lint.sh

say "Building the browser app"
cargo run -q --locked -p xtask -- frontend --release
say "Building the server and the tests"
# The same packages in both, so that they share the features of their dependencies and are built once.
cargo build --locked --workspace --exclude drover-frontend --bin drover
cargo nextest run --locked --workspace --exclude drover-frontend --no-run

say "Starting PostgreSQL, Docker Engine and chromedriver"
start_postgres "$work/postgres"
start_docker "$work/docker"
driver_port=$(free_port)
chromedriver --port="$driver_port" >"$work/chromedriver.log" 2>&1 &
driver=$!
export DROVER_TEST_WEBDRIVER=http://127.0.0.1:$driver_port
export DROVER_BIN=$CARGO_TARGET_DIR/debug/drover

say "Testing"
cargo nextest run --locked --workspace --exclude drover-frontend
