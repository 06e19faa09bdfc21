#!/bin/sh
#
# matrix.sh
#		Build and test against every supported PostgreSQL, each in a root of
#		the Debian suite that carries it.
#
#	sh test/matrix.sh [--fresh | --roots] [15 | 17 | 18 | 19 ...]
#
# A root is made once with mmdebstrap, in $ALLPASS_MATRIX_DIR (default
# /var/tmp/allpass-matrix), and used again until the list of packages changes;
# --fresh makes it anew, --roots stops when the roots are there.  The tree is
# copied in and tested by its own test/check.sh, in namespaces of its own: no
# network but loopback, and whatever it mounts or starts ends with it, however
# this script ends.  Nothing outside that folder is touched.  Needs root.
#
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=test/lib.sh
. "$top/test/lib.sh"

MATRIX_DIR=${ALLPASS_MATRIX_DIR:-/var/tmp/allpass-matrix}
ALL_VERSIONS="15 17 18 19"

usage()
{
	sed -n 's/^#	\(sh test.*\)/usage: \1/p' "$0" >&2
	exit 2
}

# Print the Debian suite that carries PostgreSQL $1.
suite_of()
{
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		19) echo forky ;;		# and experimental for PostgreSQL itself
		*) die "no Debian suite is known for PostgreSQL $1; known are: $ALL_VERSIONS" ;;
	esac
}

# Print the mirror that this machine's own apt uses for its release.
mirror()
{
	if [ -n "${ALLPASS_MATRIX_MIRROR:-}" ]; then
		echo "$ALLPASS_MATRIX_MIRROR"
		return
	fi
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016  # the fields are apt's, not the shell's
	site=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' |
		awk -v release="$codename" '$1 == release && $2 == "main" { print $3; exit }')
	[ -n "$site" ] ||
		die "apt here names no mirror for \"$codename\"; set ALLPASS_MATRIX_MIRROR"
	echo "$site"
}

# Print the packages that the root of PostgreSQL $1 holds.
root_packages()
{
	echo "$(build_packages "$1") $(test_packages)"
}

# Say whether anything is still mounted below folder $1.
has_mounts()
{
	awk -v at="$1/" 'index($2 "/", at) == 1 { found = 1 } END { exit !found }' \
		/proc/self/mounts
}

# Remove the folder $1 of this matrix, unless something is mounted in it.
remove_root()
{
	[ -e "$1" ] || return 0
	if has_mounts "$1"; then
		die "something is mounted below $1; unmount it first"
	fi
	rm -rf --one-file-system "$1"
}

# Write, in the root $1, what apt and the PostgreSQL packages must know before
# they are installed; called by mmdebstrap as a hook.
prepare_root()
{
	version=$2
	without_main_cluster "$1"
	mkdir -p "$1/etc/apt/preferences.d"
	if [ "$version" = 19 ]; then
		printf '%s\n' "Package: src:postgresql-19" \
			"Pin: release a=experimental" "Pin-Priority: 900" \
			>"$1/etc/apt/preferences.d/postgresql-19"
	fi
}

# Run a command, after options of unshare, as the first process of new process
# and mount namespaces: when it ends, or this script does in whatever way, the
# kernel ends all its processes and undoes its mounts.
contained()
{
	setpriv --pdeathsig KILL \
		unshare --mount --pid --fork --kill-child --propagation private "$@" </dev/null
}

# Make the root of PostgreSQL $1, or keep the one that is there.
make_root()
{
	version=$1
	root=$MATRIX_DIR/$version
	suite=$(suite_of "$version")
	packages=$(root_packages "$version")
	if [ -z "$fresh" ] && [ "$(cat "$root.packages" 2>/dev/null)" = "$packages" ]; then
		return
	fi
	site=$(mirror)
	printf 'making the root of PostgreSQL %s from %s ...\n' "$version" "$suite"
	rm -f "$root.packages"
	remove_root "$root"
	remove_root "$root.new"
	set -- "deb $site $suite main"
	if [ "$version" = 19 ]; then
		set -- "$@" "deb $site experimental main"
	fi
	# The keyring is named, since a suite newer than this machine is signed
	# with this machine's release key too, while its own may be missing here.
	contained --mount-proc mmdebstrap --mode=root --variant=minbase \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--setup-hook="sh '$top/test/matrix.sh' --prepare \"\$1\" $version" \
		--include="$packages" \
		"$suite" "$root.new" "$@" >"$root.log" 2>&1 || {
		tail -n 30 "$root.log" >&2
		die "could not make the root of PostgreSQL $version (whole log: $root.log)"
	}
	mv "$root.new" "$root"
	echo "$packages" >"$root.packages"
}

# Run the tests of the copied tree in the root $1, with no network but loopback.
run_in_root()
{
	root=$1
	# shellcheck disable=SC2016  # expanded by the inner shell
	contained --net sh -euc '
		root=$1
		ip link set lo up
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		exec chroot "$root" /usr/bin/env -i -C /allpass PATH=/usr/sbin:/usr/bin:/sbin:/bin \
			HOME=/root LC_ALL=C.UTF-8 CI="$CI" ALLPASS_PG="$ALLPASS_PG" ALLPASS_LOGS=/logs \
			sh test/check.sh
	' sh "$root"
}

# Test one version, and print its line of the summary.
test_version()
{
	version=$1
	root=$MATRIX_DIR/$version
	log=$MATRIX_DIR/$version.check.log
	remove_root "$root/allpass"
	remove_root "$root/logs"
	mkdir "$root/allpass" "$root/logs"
	copy_tree "$top" "$root/allpass"
	rc=0
	CI=true ALLPASS_PG=$version run_in_root "$root" >"$log" 2>&1 || rc=$?
	result=$(tail -n 1 "$log")
	case $result in
		*" passed, "*" failed") ;;
		*)
			result="no result (exit status $rc)"
			[ "$rc" != 0 ] || rc=1
			;;
	esac
	if [ "$rc" != 0 ]; then
		status=1
		grep -v '^ok ' "$log" | tail -n 120 | sed "s/^/  $version: /" >&2 || :
	fi
	summary="$summary$(printf 'PostgreSQL %s (%s, %s): %s' "$version" \
		"$(suite_of "$version")" "$(server_version "$root" "$version")" "$result")
"
	printf 'PostgreSQL %s: %s (%s, steps in %s)\n' "$version" "$result" "$log" "$root/logs"
}

# Print the server version in root $1.
server_version()
{
	chroot "$1" "/usr/lib/postgresql/$2/bin/postgres" --version |
		sed 's/.*) //; s/ (.*//'
}

if [ "${1:-}" = --prepare ]; then
	prepare_root "$2" "$3"
	exit
fi

fresh='' roots_only='' versions=''
for arg; do
	case $arg in
		--fresh) fresh=yes ;;
		--roots) roots_only=yes ;;
		-*) usage ;;
		*)
			suite_of "$arg" >/dev/null
			versions="$versions $arg"
			;;
	esac
done
versions=${versions:-$ALL_VERSIONS}

[ "$(id -u)" = 0 ] || die "this makes roots and enters them: run it as root"
for tool in mmdebstrap unshare ip; do
	command -v "$tool" >/dev/null || die "\"$tool\" is missing: apt-get install mmdebstrap util-linux iproute2"
done

mkdir -p "$MATRIX_DIR"
# One matrix at a time in a folder: a root in use must not be remade.
exec 8<"$MATRIX_DIR"
flock -n 8 || die "another run uses $MATRIX_DIR"

for version in $versions; do
	make_root "$version"
done
[ -z "$roots_only" ] || exit 0

status=0 summary=''
for version in $versions; do
	test_version "$version"
done
printf '\n%s' "$summary"
exit "$status"
