#!/usr/bin/env bash
# Formatting, clippy for the server and for the browser app, and the offline query data.
. "$(dirname "$0")/common.sh"
. scripts/sqlx.sh

say "Checking the formatting"
cargo fmt --all --check

say "Running clippy on the browser app"
cargo clippy --locked -p drover-frontend --target wasm32-unknown-unknown -- -D warnings

# Against a real database: clippy then writes the data of each query, to compare with what is
# committed.
say "Running clippy, and checking the offline query data"
with_database cargo clippy --locked --workspace --exclude drover-frontend --all-targets -- -D warnings
compare_query_data
