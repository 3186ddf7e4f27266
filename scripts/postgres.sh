# Sourced: start_postgres DIR starts a throw-away PostgreSQL in DIR and sets DROVER_TEST_POSTGRES;
# stop_postgres DIR stops it.
start_postgres() {
	local dir=$1 bin port
	bin=$(postgres_bin)
	port=$(free_port)
	mkdir -p "$dir"
	if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
	as_postgres "$bin/initdb -D $dir/data -U postgres -A trust -E UTF8 --no-locale --no-sync" >/dev/null
	as_postgres "$bin/pg_ctl start -w -s -D $dir/data -l $dir/log -o '-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off -c max_connections=400'"
	export DROVER_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port
}

stop_postgres() {
	[ -d "$1/data" ] || return 0
	as_postgres "$(postgres_bin)/pg_ctl stop -m immediate -s -D $1/data" || true
}
