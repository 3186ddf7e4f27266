#!/usr/bin/env bash
# Writes the offline query data (.sqlx) anew, against a throw-away database.
. "$(dirname "$0")/common.sh"
. scripts/postgres.sh
mkdir -p "$CACHE"
work=$(mktemp -d /tmp/drover-sqlx.XXXXXX)
chmod 755 "$work"
trap 'stop_postgres "$work/postgres"; rm -rf "$work"' EXIT
start_postgres "$work/postgres"
for migration in migrations/*.sql; do
	psql -q -v ON_ERROR_STOP=1 "$DROVER_TEST_POSTGRES/postgres" -f "$migration"
done
rm -rf .sqlx
mkdir .sqlx
touch server/src/lib.rs
env -u SQLX_OFFLINE DATABASE_URL="$DROVER_TEST_POSTGRES/postgres" SQLX_OFFLINE_DIR="$ROOT/.sqlx" \
	cargo check --locked -p drover-server
