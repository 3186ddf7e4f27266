# Sourced: start_docker DIR starts a Docker Engine of the tests' own in DIR and sets
# DROVER_TEST_DOCKER to its socket; stop_docker DIR stops it.
start_docker() {
	local dir=$1
	mkdir -p "$dir"
	setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
		-H "unix://$dir/docker.sock" >"$dir/log" 2>&1 &
	for _ in $(seq 100); do
		if [ -S "$dir/docker.sock" ] && curl -sf --unix-socket "$dir/docker.sock" http://docker/_ping >/dev/null; then
			export DROVER_TEST_DOCKER=$dir/docker.sock
			return
		fi
		sleep 0.2
	done
	tail -n 20 "$dir/log" >&2
	die "dockerd does not start"
}

stop_docker() {
	local pid
	pid=$(cat "$1/pid" 2>/dev/null) || return 0
	kill "$pid" 2>/dev/null || return 0
	for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.2; done
	kill -9 "$pid" || true
}
