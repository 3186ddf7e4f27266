#!/usr/bin/env bash
# Writes the offline query data (.sqlx) anew, against a throw-away database with all migrations.
# Sourced by lint.sh, which compares instead.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. scripts/postgres.sh

# Runs Cargo with a database; the query data goes to $fresh.
with_database() {
	scratch=$(mktemp -d /tmp/drover-sqlx.XXXXXX)
	chmod 755 "$scratch"
	fresh=$scratch/data
	mkdir "$fresh"
	trap 'stop_postgres "$scratch/postgres"; rm -rf "$scratch"' EXIT
	start_postgres "$scratch/postgres"
	for migration in migrations/*.sql; do
		PGOPTIONS=--client-min-messages=warning \
			psql -q -v ON_ERROR_STOP=1 "$DROVER_TEST_POSTGRES/postgres" -f "$migration"
	done
	# Queries are read while the crate is compiled: it must be compiled.
	touch server/src/lib.rs
	env -u SQLX_OFFLINE DATABASE_URL="$DROVER_TEST_POSTGRES/postgres" SQLX_OFFLINE_DIR="$fresh" "$@"
}

compare_query_data() {
	diff -rq .sqlx "$fresh" || die "the offline query data is old: run \`make sqlx\` and commit .sqlx"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	with_database cargo check --locked -p drover-server --all-targets
	rm -rf .sqlx
	cp -r "$fresh" .sqlx
fi
