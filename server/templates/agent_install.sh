#!/bin/sh
# Sets up Drover's agent on this machine: downloads it from {{ server }}, checks the download,
# registers the machine as a host, and starts the agent as a service.
#
#   sh -s -- --token TOKEN [--name NAME] [--label KEY=VALUE]… [--server URL] [--ca-file FILE]
#            [--fingerprint SHA256] [--proxy URL] [--docker-socket FILE] [--state-dir DIR]
#            [--dir DIR] [--no-service]
#
# Run again, it replaces the agent's program and keeps the host. `--uninstall` removes the agent;
# containers go on running.
set -eu

server='{{ server }}'
version='{{ version }}'
dir=/usr/local/lib/drover
state=/var/lib/drover-agent
socket=/var/run/docker.sock
token='' ca='' fingerprint='' proxy='' service=yes uninstall=''

say() { printf '%s\n' "drover: $*"; }
die() { printf '%s\n' "drover: $*" >&2; exit 1; }

# What the agent is called with, each argument quoted for sh.
options=''
quote() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
option() { options="$options $1 $(quote "$2")"; }

while [ $# -gt 0 ]; do
	case "$1" in
	--no-service) service=''; shift; continue ;;
	--uninstall) uninstall=yes; shift; continue ;;
	esac
	[ $# -ge 2 ] || die "$1 needs a value"
	case "$1" in
	--token) token=$2 ;;
	--server) server=$2 ;;
	--name | --label) option "$1" "$2" ;;
	--ca-file) ca=$2; option "$1" "$2" ;;
	--fingerprint) fingerprint=$2; option "$1" "$2" ;;
	--proxy) proxy=$2; option "$1" "$2" ;;
	--docker-socket) socket=$2 ;;
	--state-dir) state=$2 ;;
	--dir) dir=$2 ;;
	*) die "unknown option $1" ;;
	esac
	shift 2
done
option --server "$server"
option --docker-socket "$socket"
option --state-dir "$state"

[ "$(id -u)" = 0 ] || die "run this as root (sudo)"
[ "$(uname -s)" = Linux ] || die "the agent runs on Linux only"
unit=/etc/systemd/system/drover-agent.service
openrc=/etc/init.d/drover-agent
has_systemd() { [ -d /run/systemd/system ]; }
has_openrc() { [ -x /sbin/openrc-run ]; }

stop() {
	if has_systemd && [ -f "$unit" ]; then systemctl stop drover-agent || true; fi
	if has_openrc && [ -f "$openrc" ]; then rc-service drover-agent stop || true; fi
	if [ -f "$state/pid" ] && pid=$(cat "$state/pid") && [ -d "/proc/$pid" ]; then
		kill "$pid" 2>/dev/null || true
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			[ -d "/proc/$pid" ] || break
			sleep 1
		done
	fi
}

if [ -n "$uninstall" ]; then
	stop
	if has_systemd && [ -f "$unit" ]; then
		systemctl disable --quiet drover-agent || true
		rm -f "$unit"
		systemctl daemon-reload
	fi
	if has_openrc && [ -f "$openrc" ]; then
		rc-update del drover-agent || true
		rm -f "$openrc"
	fi
	rm -rf "$dir" "$state"
	[ "$(readlink /usr/local/bin/drover 2>/dev/null)" != "$dir/drover" ] || rm -f /usr/local/bin/drover
	say "the agent is removed; containers go on running"
	exit 0
fi

case "$(uname -m)" in
{% for (architecture, checksum) in checksums %}{{ architecture }}) sum={{ checksum }} ;;
{% endfor %}*) die "this server has no agent for $(uname -m)" ;;
esac
[ -S "$socket" ] || die "there is no Docker socket at $socket: install Docker first (Debian, Ubuntu: apt-get install docker.io)"
command -v sha256sum >/dev/null || die "sha256sum is missing"

say "downloading the agent $version"
mkdir -p "$dir"
new=$dir/drover.new
trap 'rm -f "$new"' EXIT
if command -v curl >/dev/null; then
	set -- -fsSL -o "$new" "$server/agent/$(uname -m)/drover"
	[ -z "$ca" ] || set -- --cacert "$ca" "$@"
	# A pinned certificate is checked by the agent itself; the download by its checksum.
	[ -z "$fingerprint" ] || set -- --insecure "$@"
	[ -z "$proxy" ] || set -- --proxy "$proxy" "$@"
	curl "$@" || die "the download has failed"
elif command -v wget >/dev/null; then
	set -- -q -O "$new" "$server/agent/$(uname -m)/drover"
	[ -z "$ca" ] || set -- --ca-certificate "$ca" "$@"
	[ -z "$fingerprint" ] || set -- --no-check-certificate "$@"
	[ -z "$proxy" ] || set -- -e "https_proxy=$proxy" -e "http_proxy=$proxy" "$@"
	wget "$@" || die "the download has failed"
else
	die "curl or wget is needed"
fi
echo "$sum  $new" | sha256sum -c - >/dev/null 2>&1 || die "the download is not what the server has: its checksum differs"
chmod 755 "$new"
"$new" --version >/dev/null 2>&1 || die "the agent does not run on this system (it needs glibc 2.36 or newer): use the form with docker run"
stop
mv "$new" "$dir/drover"
[ -e /usr/local/bin/drover ] || ln -s "$dir/drover" /usr/local/bin/drover 2>/dev/null || true

if [ -n "$token" ] && [ ! -f "$state/agent.json" ]; then
	say "registering this machine"
	eval "DROVER_AGENT_TOKEN=$(quote "$token") $(quote "$dir/drover") agent register $options"
fi
[ -f "$state/agent.json" ] || die "this machine is not registered: give --token"

if [ -z "$service" ]; then
	say "not started, as asked; start it with: $dir/drover agent$options"
elif has_systemd; then
	cat >"$unit" <<END
[Unit]
Description=Drover's agent
Documentation=$server
After=network-online.target docker.service
Wants=network-online.target

[Service]
ExecStart=$dir/drover agent$options
Restart=always
RestartSec=2
KillMode=process

[Install]
WantedBy=multi-user.target
END
	systemctl daemon-reload
	systemctl enable --quiet drover-agent
	systemctl restart drover-agent
	say "started as the service drover-agent"
elif has_openrc; then
	cat >"$openrc" <<END
#!/sbin/openrc-run
name="Drover's agent"
command="$dir/drover"
command_args="agent$options"
supervisor=supervise-daemon
respawn_delay=2
depend() {
	need net
	after docker
}
END
	chmod 755 "$openrc"
	rc-update add drover-agent default
	rc-service drover-agent restart
	say "started as the service drover-agent"
else
	eval "setsid $(quote "$dir/drover") agent $options >>$(quote "$state/log") 2>&1 </dev/null &"
	echo $! >"$state/pid"
	say "started; this system has neither systemd nor OpenRC: start \`$dir/drover agent$options\` at boot yourself"
fi

say "waiting for the connection"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
	[ -n "$service" ] || exit 0
	if "$dir/drover" agent status --state-dir "$state" >/dev/null 2>&1; then
		"$dir/drover" agent status --state-dir "$state"
		exit 0
	fi
	sleep 1
done
"$dir/drover" agent status --state-dir "$state" || true
die "the agent is running, but not connected yet"
