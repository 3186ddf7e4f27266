# Sourced: start_docker DIR starts a Docker Engine of the tests' own in DIR and sets
# DROVER_TEST_DOCKER to its socket; stop_docker DIR stops it and removes what it made.
#
# It shares nothing with a Docker that the machine may already run: its own bridge and addresses,
# and no hand on the firewall but one rule.

start_docker() {
	local dir=$1 net
	mkdir -p "$dir"
	net=$(free_network)
	echo "$net" >"$dir/net"
	echo "drover$RANDOM" >"$dir/bridge"
	as_root ip link add name "$(cat "$dir/bridge")" type bridge
	as_root ip address add "$net.255.1/24" dev "$(cat "$dir/bridge")"
	as_root ip link set "$(cat "$dir/bridge")" up
	# Another Docker on the machine may have closed forwarding for all that is not its own.
	as_root iptables -I FORWARD -s "$net.0.0/16" -d "$net.0.0/16" -j ACCEPT
	as_root setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
		--bridge "$(cat "$dir/bridge")" --default-address-pool "base=$net.0.0/17,size=24" \
		--iptables=false --group "$(id -gn)" -H "unix://$dir/docker.sock" >"$dir/log" 2>&1 &
	for _ in $(seq 150); do
		if curl -sf --unix-socket "$dir/docker.sock" http://docker/_ping >/dev/null 2>&1; then
			export DROVER_TEST_DOCKER=$dir/docker.sock
			return
		fi
		sleep 0.2
	done
	tail -n 20 "$dir/log" >&2
	die "dockerd does not start"
}

stop_docker() {
	local dir=$1 pid docker=(docker -H "unix://$1/docker.sock")
	if pid=$(cat "$dir/pid" 2>/dev/null); then
		# shellcheck disable=SC2046
		"${docker[@]}" rm --force $("${docker[@]}" ps --all --quiet) >/dev/null 2>&1 || true
		"${docker[@]}" network prune --force >/dev/null 2>&1 || true
		as_root kill "$pid" 2>/dev/null || true
		for _ in $(seq 100); do
			[ -d "/proc/$pid" ] || break
			sleep 0.2
		done
		[ ! -d "/proc/$pid" ] || as_root kill -9 "$pid" || true
	fi
	if [ -f "$dir/bridge" ]; then
		as_root ip link delete "$(cat "$dir/bridge")" 2>/dev/null || true
		as_root iptables -D FORWARD -s "$(cat "$dir/net").0.0/16" -d "$(cat "$dir/net").0.0/16" -j ACCEPT 2>/dev/null || true
	fi
}

# The first half of a private network that no route of this machine knows.
free_network() {
	local second
	for second in $(seq 200 250); do
		if ! ip -4 route | grep -q "^10\.$second\." && ! ip -4 address | grep -q " 10\.$second\."; then
			echo "10.$second"
			return
		fi
	done
	die "no private network is free for the tests' Docker"
}
