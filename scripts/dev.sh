#!/usr/bin/env bash
# Builds and starts a debug server with its data in data/, for work on Drover itself.
. "$(dirname "$0")/common.sh"
scripts/install-deps.sh run
cargo run -q --locked -p xtask -- frontend
export DROVER_DATA_DIR=${DROVER_DATA_DIR:-$ROOT/data}
exec cargo run --locked -p drover-server -- serve "$@"
