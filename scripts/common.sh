# Sourced by the other scripts: strict mode, folders, helpers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
# Outside of the clone, so that a second clone on the same machine builds quickly.
CACHE=${DROVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/drover}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export SQLX_OFFLINE=true
mkdir -p "$CACHE"
# Where rustup puts Cargo; not every shell has it in its path.
case :$PATH: in *:"$HOME/.cargo/bin":*) ;; *) PATH=$HOME/.cargo/bin:$PATH ;; esac

say() { printf '\n== %s\n' "$*"; }

die() { printf 'drover: %s\n' "$*" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The user that PostgreSQL runs as: it refuses root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then su postgres -s /bin/sh -c "$*"; else sh -c "$*"; fi
}

postgres_bin() {
	local newest
	newest=$(find /usr/lib/postgresql -maxdepth 1 -mindepth 1 2>/dev/null | sort -V | tail -n 1)
	echo "$newest/bin"
}

# A port on loopback that nothing listens on.
free_port() {
	local port
	while port=$((20000 + RANDOM % 20000)); do
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
}
