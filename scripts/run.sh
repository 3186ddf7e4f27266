#!/usr/bin/env bash
# Installs what is missing, builds the release, and starts Drover.
. "$(dirname "$0")/common.sh"
scripts/install-deps.sh run
say "Building the browser app"
cargo run -q --locked -p xtask -- frontend --release
say "Building the server"
cargo build --locked --release -p drover-server
exec "$CARGO_TARGET_DIR/release/drover" serve "$@"
