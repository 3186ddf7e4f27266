#!/usr/bin/env bash
# Measures speed and memory of the release build, prints the table, and writes docs/performance.md.
# Arguments name parts of it (start memory list death install agents kubernetes sign-in role-check load): then it
# measures those, and only prints.
. "$(dirname "$0")/common.sh"
. scripts/parts.sh
scripts/install-deps.sh bench
trap 'code=$?; trap - EXIT; stop_parts; exit $code' EXIT
trap 'exit 130' INT TERM

say "Building"
cargo run -q --locked -p xtask -- frontend --release
# Both at once, so that they share the features of their dependencies.
cargo build --locked --release -p drover-server -p drover-tests --bin drover --bin bench
# It is run by `bench`.
cargo bench --locked -p drover-tests --bench role_check --no-run

start_parts
say "Measuring"
# A thousand agents, each with connections of its own.
ulimit -n "$(ulimit -Hn)"
DROVER_BIN=$CARGO_TARGET_DIR/release/drover "$CARGO_TARGET_DIR/release/bench" "$@"
