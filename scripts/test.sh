#!/usr/bin/env bash
# Runs every check and test: installs what they need, starts it, and stops all that it started.
# With --serve it only starts the parts, and waits for Ctrl-C. Other arguments go to nextest.
. "$(dirname "$0")/common.sh"
. scripts/parts.sh
scripts/install-deps.sh test
trap 'code=$?; trap - EXIT; stop_parts; exit $code' EXIT
trap 'exit 130' INT TERM

if [ "${1:-}" = --serve ]; then
	start_parts
	declare -p DROVER_TEST_POSTGRES DROVER_TEST_DOCKER DROVER_TEST_WEBDRIVER DROVER_TEST_SAMBA | sed 's/^declare -x/export/'
	echo "Ctrl-C stops them."
	while sleep 3600; do :; done
fi

summary=()
failed=0
step() { # step NAME COMMAND…
	local name=$1 start=$SECONDS result=passed
	shift
	"$@" || { result=FAILED; failed=1; }
	summary+=("$(printf '%-8s %5ss  %s' "$result" $((SECONDS - start)) "$name")")
	[ "$result" = passed ]
}
report() {
	say "Summary"
	printf '%s\n' "${summary[@]}"
	exit "$failed"
}

build() {
	say "Building the browser app" &&
		cargo run -q --locked -p xtask -- frontend --release &&
		say "Building the server and the tests" &&
		# The same packages in both, so that they share the features of their dependencies.
		cargo build --locked --workspace --exclude drover-frontend --bin drover &&
		cargo nextest run --locked --workspace --exclude drover-frontend --no-run
}

run_tests() {
	say "Testing"
	DROVER_BIN=$CARGO_TARGET_DIR/debug/drover \
		cargo nextest run --locked --workspace --exclude drover-frontend "$@"
}

if step build build; then
	start_parts
	step tests run_tests "$@" || true
fi
# On its own, as its dependencies have other features than the server's.
step app cargo nextest run --locked -p drover-frontend || true
step lint scripts/lint.sh || true
report
