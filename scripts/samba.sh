# Sourced: start_samba DIR starts a throw-away Active Directory domain controller in DIR and sets
# DROVER_TEST_SAMBA to DIR, where tests find `address`, `password` and `ca.pem`; stop_samba DIR
# stops it. Setting up the domain takes seconds: start_samba & wait_samba let other things start
# meanwhile.
#
# Its ports are fixed (389, 636, 3268, 3269), so it gets an address of its own on loopback.

start_samba() {
	local dir=$1 address
	address=127.$((RANDOM % 200 + 20)).$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
	mkdir -p "$dir"
	echo "$address" >"$dir/address"
	echo "Admin-of-the-test-$RANDOM" >"$dir/password"
	samba_certificate "$dir" "$address"
	provision_samba "$dir" "$address" &
	samba_setup=$!
	export DROVER_TEST_SAMBA=$dir
}

# Until it answers.
wait_samba() {
	local dir=$1 address
	address=$(cat "$dir/address")
	wait "$samba_setup" || { tail -n 20 "$dir/log" >&2; die "samba cannot be set up"; }
	for _ in $(seq 150); do
		if (exec 3<>"/dev/tcp/$address/636") 2>/dev/null; then return; fi
		sleep 0.2
	done
	tail -n 20 "$dir/log" >&2
	die "samba does not start"
}

provision_samba() {
	local dir=$1 address=$2
	as_root samba-tool domain provision --realm=EXAMPLE.TEST --domain=EXAMPLE --host-name=dc1 \
		--server-role=dc --dns-backend=NONE --targetdir="$dir/domain" \
		--adminpass="$(cat "$dir/password")" --option="interfaces = $address/8" \
		--option="bind interfaces only = yes" >"$dir/log" 2>&1 || return 1
	# Nothing but the directory, and nothing outside of the folder.
	as_root sed -i "/^\[global\]/a \\
	server services = ldap\\
	dcerpc endpoint servers =\\
	pid directory = $dir\\
	log file = $dir/samba.log\\
	ncalrpc dir = $dir/ncalrpc\\
	tls certfile = $dir/server.pem\\
	tls keyfile = $dir/server.key\\
	tls cafile = $dir/ca.pem\\
	tls verify peer = no_check" "$dir/domain/etc/smb.conf"
	as_root sed -i '/server services = s3fs/d; /log file = \/var/d' "$dir/domain/etc/smb.conf"
	# As Samba::WRONG_PASSWORDS in tests/src/samba.rs.
	as_root samba-tool domain passwordsettings set --account-lockout-threshold=3 \
		-s "$dir/domain/etc/smb.conf" >>"$dir/log" 2>&1 || return 1
	as_root setsid samba -i -M single -s "$dir/domain/etc/smb.conf" >>"$dir/log" 2>&1 </dev/null &
}

samba_certificate() {
	local dir=$1 new=(openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch)
	echo "subjectAltName=IP:$2,DNS:dc1.example.test" >"$dir/names"
	{
		"${new[@]}" -x509 -days 7 -subj /CN=authority -keyout "$dir/ca.key" -out "$dir/ca.pem"
		"${new[@]}" -subj /CN=dc1.example.test -keyout "$dir/server.key" -out "$dir/server.csr"
		openssl x509 -req -days 7 -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
			-CAcreateserial -extfile "$dir/names" -out "$dir/server.pem"
	} 2>/dev/null
	# samba insists on it.
	chmod 600 "$dir/server.key"
	if [ "$(id -u)" != 0 ]; then as_root chown root "$dir/server.key"; fi
}

stop_samba() {
	local dir=$1 pid
	if [ -n "${samba_setup:-}" ]; then wait "$samba_setup" 2>/dev/null || true; fi
	pid=$(cat "$dir/samba.pid" 2>/dev/null) || return 0
	as_root kill "$pid" 2>/dev/null || true
	for _ in $(seq 50); do
		[ -d "/proc/$pid" ] || return 0
		sleep 0.1
	done
	as_root kill -9 "$pid" || true
}
