# Sourced: start_parts starts the real parts that tests and measurements run against, in a folder
# that ends with them, and says where they are through DROVER_TEST_*; stop_parts stops them all.
. scripts/postgres.sh
. scripts/docker.sh
. scripts/samba.sh

start_parts() {
	local port
	work=$(mktemp -d /tmp/drover-test.XXXXXX)
	chmod 755 "$work"
	say "Starting PostgreSQL, Docker Engine, an Active Directory and chromedriver"
	start_samba "$work/samba"
	start_postgres "$work/postgres"
	start_docker "$work/docker"
	port=$(free_port)
	chromedriver --port="$port" >"$work/chromedriver.log" 2>&1 &
	driver=$!
	export DROVER_TEST_WEBDRIVER=http://127.0.0.1:$port
	wait_samba "$work/samba"
}

stop_parts() {
	if [ -n "${driver:-}" ]; then kill "$driver" 2>/dev/null || true; fi
	if [ -n "${work:-}" ]; then
		stop_samba "$work/samba"
		stop_docker "$work/docker"
		stop_postgres "$work/postgres"
		as_root rm -rf "$work" 2>/dev/null || true
	fi
}
