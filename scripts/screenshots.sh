#!/usr/bin/env bash
# Takes the screenshots of README.md and docs/ anew: browser tests write them.
. "$(dirname "$0")/common.sh"
. scripts/parts.sh
scripts/install-deps.sh test
if ! command -v pngquant >/dev/null; then
	as_root apt-get update -qq
	as_root apt-get install -y -qq --no-install-recommends pngquant
fi
trap 'code=$?; trap - EXIT; stop_parts; exit $code' EXIT
trap 'exit 130' INT TERM

say "Building"
cargo run -q --locked -p xtask -- frontend --release
cargo build --locked --workspace --exclude drover-frontend --bin drover

start_parts
say "Taking the screenshots"
DROVER_SCREENSHOTS=$work/screenshots DROVER_BIN=$CARGO_TARGET_DIR/debug/drover \
	cargo nextest run --locked --workspace --exclude drover-frontend \
	-E 'test(=browser::way::the_whole_way) | test(/^browser::providers::/)
		| test(=browser::sign_in::a_group_of_the_directory_gets_a_role)'
mkdir -p docs/screenshots
sign_in=(kinds ldap test add-member door people active-directory github github-test access failed
	openid addresses use-group buttons)
for name in overview overview-dark catalog install stack logs charts shell upgrade \
	"${sign_in[@]/#/sign-in-}"; do
	# Small enough to be kept in Git.
	pngquant --force --quality 0-95 --strip \
		--output "docs/screenshots/$name.png" -- "$work/screenshots/$name.png"
done
ls -lh docs/screenshots
