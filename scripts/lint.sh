#!/usr/bin/env bash
# Formatting and clippy, for the server and for the browser app.
. "$(dirname "$0")/common.sh"
say "Checking the formatting"
cargo fmt --all --check
say "Running clippy"
cargo clippy --locked --workspace --exclude drover-frontend --all-targets -- -D warnings
cargo clippy --locked -p drover-frontend --target wasm32-unknown-unknown -- -D warnings
