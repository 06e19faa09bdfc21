# shellcheck shell=sh
#
# lib.sh
#		What the commands in test/ share: the packages they need, the choice of
#		the PostgreSQL server, a throwaway cluster, the sandbox, and the end.
#
# Sourced, not run.  A command says "workspace" first; from then on everything
# happens in one temporary folder, $WORK, and whatever this shell started or
# put outside that folder is ended and taken back when it ends, however it
# ends.  The server refuses to run as root, so a command started by root works
# as the user "postgres" in a copy of the tree, since a clone of root's may not
# be readable for anybody else.  Started by anybody else it works as that user.
#
# Reads from the environment:
#	PG_CONFIG		the server to use, by its pg_config
#	ALLPASS_PG		the server to use, by its major version, as Debian places it
#	ALLPASS_KEEP	if set, keep $WORK and say where it is
#
# Sets, for the commands and the tests they run:
#	WORK TREE PG_CONFIG PG_MAJOR PGHOST PGPORT PGUSER PGDATABASE
#	ALLPASS_SANDBOX_URL ALLPASS_SANDBOX_TLS_URL ALLPASS_SANDBOX_CA
#

MINIMUM_PG=15

# Seconds after which a step that hangs is ended.
STEP_LIMIT=${ALLPASS_STEP_LIMIT:-1200}

# --- saying and ending ------------------------------------------------------

# Where messages go, even from a part whose own output is kept in a file.
exec 3>&2

# Print a line of progress.
say()
{
	printf '%s\n' "$*" >&3
}

# Print an error and end.
die()
{
	say "${0##*/}: $*"
	exit 1
}

# Print an error with the end of the log file $1, and end.
die_with_log()
{
	log=$1
	shift
	say "${0##*/}: $*; the end of the output:"
	tail -n 40 "$log" | sed 's/^/    /' >&3
	exit 1
}

# Run a command until it succeeds, for at most $1 seconds.
poll()
{
	tries=$(($1 * 50))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.02
	done
}

# --- packages ---------------------------------------------------------------

# Print the packages that build the extension and the sandbox for PostgreSQL
# $1, and run them.  This and the next are the only lists of packages.
build_packages()
{
	echo "gcc make pkgconf libc6-dev postgresql-$1 postgresql-server-dev-$1" \
		"libcurl4-openssl-dev libssl-dev libjson-c-dev" \
		"ca-certificates libmicrohttpd-dev zlib1g-dev openssl curl"
}

# Print the packages that the tests need besides.
test_packages()
{
	echo "clang libclang-rt-dev cppcheck shellcheck valgrind perl libipc-run-perl" \
		"nginx-light"
}

# Run a command as root: at once, or through sudo.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
	else
		say "this needs root, and there is no sudo: $*"
		return 1
	fi
}

# Print those of the packages that are not installed.
missing_packages()
{
	for package; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
			installed) ;;
			*) printf '%s ' "$package" ;;
		esac
	done
}

# Run apt-get without questions.
apt_get()
{
	as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
		apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Ask apt once for its current lists.
update_package_lists()
{
	[ -z "${package_lists_updated:-}" ] || return 0
	apt_get update >"$WORK/apt.log" 2>&1 ||
		die_with_log "$WORK/apt.log" "could not update the lists of packages"
	package_lists_updated=yes
}

# Keep Debian's packages from making a cluster named "main" in the root $1 when
# they are installed: it would only take a port and time.
without_main_cluster()
{
	as_root mkdir -p "$1/etc/postgresql-common/createcluster.d"
	echo "create_main_cluster = false" |
		as_root tee "$1$NO_MAIN_CLUSTER" >/dev/null
}

# Keep packages from starting their services when they are installed: the tests
# start what they need by themselves.
without_services()
{
	[ ! -e "$SERVICE_POLICY" ] || return 0
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$SERVICE_POLICY" >/dev/null
	as_root chmod 755 "$SERVICE_POLICY"
	policy_is_ours=yes
}

# Undo without_services.
with_services()
{
	[ -z "${policy_is_ours:-}" ] || as_root rm -f "$SERVICE_POLICY"
	policy_is_ours=''
}

SERVICE_POLICY=/usr/sbin/policy-rc.d
NO_MAIN_CLUSTER=/etc/postgresql-common/createcluster.d/allpass.conf

# Install what is missing of the packages; say nothing if all are there.
install_packages()
{
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "no apt here: taking it that what Debian calls these is installed: $*"
		return 0
	fi
	# shellcheck disable=SC2046  # a list of words
	set -- $(missing_packages "$@")
	[ $# -gt 0 ] || return 0
	say "installing $# packages: $*"
	update_package_lists
	without_services
	guard=''
	if [ -n "$(missing_packages postgresql-common)" ]; then
		guard=$NO_MAIN_CLUSTER
		without_main_cluster ''
	fi
	install_rc=0
	apt_get install --no-install-recommends "$@" >"$WORK/apt.log" 2>&1 || install_rc=1
	[ -z "$guard" ] || as_root rm -f "$guard"
	with_services
	[ "$install_rc" = 0 ] || die_with_log "$WORK/apt.log" "could not install: $*"
}

# --- the server -------------------------------------------------------------

# Print the major version of the newest server in Debian's places, or nothing.
newest_server()
{
	for postgres in /usr/lib/postgresql/*/bin/postgres; do
		[ -x "$postgres" ] || continue
		major=${postgres#/usr/lib/postgresql/}
		echo "${major%%/*}"
	done | sort -n | tail -n 1
}

# Print the major version of the server that this Debian release carries.
packaged_server()
{
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

# Choose the server, install what is missing for it besides the packages
# given, and set PG_CONFIG and PG_MAJOR.
choose_server()
{
	if [ -n "${PG_CONFIG:-}" ]; then
		command -v "$PG_CONFIG" >/dev/null || die "PG_CONFIG is no program: $PG_CONFIG"
		PG_CONFIG=$(command -v "$PG_CONFIG")
		PG_MAJOR=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
		# Only what does not belong to a server: that one is the caller's.
		# shellcheck disable=SC2046  # a list of words
		install_packages $(build_packages server | sed 's/postgresql[^ ]* *//g') "$@"
	else
		PG_MAJOR=${ALLPASS_PG:-$(newest_server)}
		if [ -z "$PG_MAJOR" ] && command -v apt-cache >/dev/null; then
			update_package_lists
			PG_MAJOR=$(packaged_server)
		fi
		[ -n "$PG_MAJOR" ] || die "no PostgreSQL server found; name one in PG_CONFIG"
		# shellcheck disable=SC2046  # a list of words
		install_packages $(build_packages "$PG_MAJOR") "$@"
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	fi
	[ "$PG_MAJOR" -ge "$MINIMUM_PG" ] ||
		die "PostgreSQL $PG_MAJOR is too old: version $MINIMUM_PG or newer is needed"
	[ -f "$("$PG_CONFIG" --pgxs)" ] ||
		die "the development files of PostgreSQL $PG_MAJOR are missing"
	PGBIN=$("$PG_CONFIG" --bindir)
	PATH=$PGBIN:$PATH
	export PG_CONFIG PG_MAJOR PATH
}

# --- the workspace and its end ----------------------------------------------

# Make $WORK, and see to it that whatever happens in it ends with this shell.
workspace()
{
	umask 022
	LC_ALL=C.UTF-8
	export LC_ALL
	unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS \
		PGSSLMODE PGPASSFILE PGHOSTADDR MAKEFLAGS MAKELEVEL
	job='' sandboxes='' cluster='' installed=''
	WORK=$(mktemp -d /tmp/allpass.XXXXXX)
	trap finish EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# Take back everything: the processes of this shell, by their process ids, the
# files put into the server's folders, and $WORK.
finish()
{
	rc=$?
	trap - EXIT
	trap '' HUP INT TERM
	# What the command itself has to say at its end, if anything.
	if command -v at_finish >/dev/null; then
		at_finish "$rc"
	fi
	[ -z "$job" ] || end_process "$job"
	for pid in $sandboxes; do
		end_process "$pid"
	done
	stop_cluster
	uninstall_extension
	with_services
	if [ -n "${ALLPASS_KEEP:-}" ]; then
		say "kept: $WORK"
	else
		cd /
		rm -rf "$WORK"
	fi
	exit "$rc"
}

# End a child of this shell, and wait until it is gone.
end_process()
{
	kill "$1" 2>/dev/null || :
	wait "$1" 2>/dev/null || :
}

# Choose the user that works in $WORK, and give it the folder.
choose_user()
{
	WORK_USER=''
	if [ "$(id -u)" = 0 ]; then
		WORK_USER=postgres
		id postgres >/dev/null 2>&1 || WORK_USER=nobody
	fi
	HOME=$WORK/home TMPDIR=$WORK/tmp
	export HOME TMPDIR
	mkdir "$HOME" "$TMPDIR"
	give "$WORK"
	chmod 700 "$WORK"
	cd "$WORK" || exit
}

# Give a file or a folder with all in it to the user that works in $WORK.
give()
{
	[ -z "$WORK_USER" ] || chown -R "$WORK_USER:" "$@"
}

# Become the user that works in $WORK and run a command in place of this
# (sub)shell.
exec_as_user()
{
	exec 3>&- 9<&-
	if [ -n "$WORK_USER" ]; then
		exec setpriv --reuid "$WORK_USER" --regid "$(id -g "$WORK_USER")" \
			--init-groups -- "$@" </dev/null
	fi
	exec "$@" </dev/null
}

# Run a command as that user, for at most $STEP_LIMIT seconds.  It runs in a
# process group of its own, so that all of it can be ended; this shell waits in
# a way that a signal ends at once.
as_user()
{
	if [ -n "$WORK_USER" ]; then
		set -- setpriv --reuid "$WORK_USER" --regid "$(id -g "$WORK_USER")" \
			--init-groups -- "$@"
	fi
	timeout -k 10 "$STEP_LIMIT" "$@" </dev/null 3>&- 9<&- &
	job=$!
	as_user_rc=0
	wait "$job" || as_user_rc=$?
	job=''
	[ "$as_user_rc" != 124 ] || say "ended after $STEP_LIMIT seconds: $*"
	return "$as_user_rc"
}

# --- the tree ---------------------------------------------------------------

# Print the scripts of the extension in the tree $1, the oldest version first,
# for a database that takes the module from where it was built and has no
# extension of that name.
print_scripts()
{
	for script in "$1"/sql/allpass--*.sql; do
		case ${script##*/} in
			allpass--*--*) echo "1 $script" ;;
			*) echo "0 $script" ;;
		esac
	done | sort -V | cut -d ' ' -f 2- | while IFS= read -r script; do
		sed "s|'MODULE_PATHNAME'|'$1/allpass'|; /^\\\\echo/d; /pg_extension_config_dump/d" "$script"
	done
}

# Copy the sources in $1 to the folder $2, without what git ignores: build
# products of another server or compiler must not come along.
copy_tree()
{
	tar -C "$1" --exclude=.git --exclude-ignore-recursive=.gitignore -cf - . |
		tar -C "$2" --no-same-owner -xf -
}

# Copy the tree at $1 to $2, a folder in $WORK.
copy_to_workspace()
{
	mkdir "$2"
	copy_tree "$1" "$2"
	give "$2"
}

# Run make in the folder $1, for the chosen server.
make_in()
{
	folder=$1
	shift
	as_user make -s -C "$folder" -j "$(getconf _NPROCESSORS_ONLN)" \
		PG_CONFIG="$PG_CONFIG" "$@"
}

# Build the extension of the tree $1 with the compiler $2, warnings as errors.
build_extension()
{
	make_in "$1" CC="$2" COPT="-Wall -Wextra -Werror"
}

# Run a command that writes into the server's folders, as root if need be.
run_in_server()
{
	if [ -w "$("$PG_CONFIG" --pkglibdir)" ]; then "$@"; else as_root "$@"; fi
}

# Put the extension built in the tree $1 into the server's own folders: before
# version 18 there is no other place it looks in.  What was there before is
# kept aside and comes back at the end; a lock keeps other runs out meanwhile.
install_extension()
{
	exec 9<"$("$PG_CONFIG" --sharedir)/extension"
	flock -n 9 || {
		say "waiting for another run that uses the same server ..."
		flock 9
	}
	make_in "$1" install DESTDIR="$WORK/stage" >"$WORK/install.log" 2>&1 ||
		die_with_log "$WORK/install.log" "could not install the extension"
	mkdir "$WORK/before"
	for file in $(cd "$WORK/stage" && find . -type f | sed 's/^\.//'); do
		if [ -e "$file" ]; then
			mkdir -p "$WORK/before${file%/*}"
			cp -p "$file" "$WORK/before$file"
		fi
		# Not cp: a server that runs has the old file mapped, not its successor.
		run_in_server install -D -m "$(stat -c %a "$WORK/stage$file")" \
			"$WORK/stage$file" "$file" || die "could not write $file"
		installed="$installed $file"
	done
}

# Take the extension out of the server's folders again.
uninstall_extension()
{
	for file in $installed; do
		if [ -e "$WORK/before$file" ]; then
			run_in_server cp -p --remove-destination "$WORK/before$file" "$file" || :
		else
			run_in_server rm -f "$file" || :
		fi
	done
	installed=''
	exec 9<&-
}

# --- the cluster ------------------------------------------------------------

# Make and start a cluster in $WORK.  It listens on a socket there only, which
# nobody else can reach, so no port has to be found and no password made.  What
# is given are more lines of its configuration.
start_cluster()
{
	as_user initdb -D "$WORK/data" -U postgres --auth=trust --no-sync \
		--encoding=UTF8 --locale=C.UTF-8 >"$WORK/initdb.log" 2>&1 ||
		die_with_log "$WORK/initdb.log" "could not make a cluster"
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$WORK'" \
		"fsync = off" "autovacuum_naptime = '1h'" "timezone = 'UTC'" "$@" \
		>>"$WORK/data/postgresql.conf"
	cluster=$WORK/data
	as_user pg_ctl -D "$cluster" -l "$WORK/server.log" -w start >"$WORK/pg_ctl.log" 2>&1 || {
		cat "$WORK/server.log" >>"$WORK/pg_ctl.log" 2>/dev/null || :
		die_with_log "$WORK/pg_ctl.log" "could not start the cluster"
	}
	PGHOST=$WORK PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	export PGHOST PGPORT PGUSER PGDATABASE
}

# Stop the cluster, if there is one.
stop_cluster()
{
	[ -n "$cluster" ] || return 0
	if [ -f "$cluster/postmaster.pid" ]; then
		as_user pg_ctl -D "$cluster" -m fast -w stop >/dev/null 2>&1 ||
			as_user pg_ctl -D "$cluster" -m immediate -w stop >/dev/null 2>&1 || :
	fi
	cluster=''
}

# --- the sandbox ------------------------------------------------------------

# Its keys, unless it is told others.
# shellcheck disable=SC2034  # for the commands
API_KEY=sandbox-key \
	CRYPTO_KEY=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
	HMAC_KEY=202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f

# Make a certificate authority and a certificate for this machine's loopback
# names in $WORK/tls.
make_certificates()
{
	[ ! -d "$WORK/tls" ] || return 0
	mkdir "$WORK/tls"
	{
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=allpass test authority" \
			-keyout "$WORK/tls/ca.key" -out "$WORK/tls/ca.crt" &&
			openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
				-keyout "$WORK/tls/server.key" -out "$WORK/tls/server.csr" &&
			printf '%s\n' "subjectAltName = DNS:localhost, IP:127.0.0.1" \
				"basicConstraints = CA:FALSE" "extendedKeyUsage = serverAuth" \
				>"$WORK/tls/server.ext" &&
			openssl x509 -req -days 2 -in "$WORK/tls/server.csr" -CA "$WORK/tls/ca.crt" \
				-CAkey "$WORK/tls/ca.key" -CAcreateserial -extfile "$WORK/tls/server.ext" \
				-out "$WORK/tls/server.crt"
	} >"$WORK/tls.log" 2>&1 || die_with_log "$WORK/tls.log" "could not make certificates"
	give "$WORK/tls"
}

# Start a sandbox of the built tree $TREE under the name $1 with the options
# given, and wait until it listens.  Its port is in $WORK/$1.port then.
run_sandbox()
{
	name=$1
	shift
	(exec_as_user "$TREE/test/sandbox/sandbox" --port-file "$WORK/$name.port" "$@" \
		>"$WORK/$name.log" 2>&1) &
	sandbox_pid=$!
	sandboxes="$sandboxes $sandbox_pid"
	poll 10 sandbox_is_settled "$name" "$sandbox_pid" || :
	[ -s "$WORK/$name.port" ] ||
		die_with_log "$WORK/$name.log" "could not start the sandbox"
}

# Say whether the sandbox $1 listens, or its process $2 is gone.
sandbox_is_settled()
{
	[ -s "$WORK/$1.port" ] || ! kill -0 "$2" 2>/dev/null
}

# Start a sandbox for plain HTTP.
start_sandbox()
{
	run_sandbox sandbox
	ALLPASS_SANDBOX_URL=http://127.0.0.1:$(cat "$WORK/sandbox.port")
	export ALLPASS_SANDBOX_URL
}

# Start a sandbox for TLS, another one than the plain one.
start_tls_sandbox()
{
	make_certificates
	run_sandbox tls-sandbox --tls-cert "$WORK/tls/server.crt" \
		--tls-key "$WORK/tls/server.key"
	ALLPASS_SANDBOX_TLS_URL=https://127.0.0.1:$(cat "$WORK/tls-sandbox.port")
	ALLPASS_SANDBOX_CA=$WORK/tls/ca.crt
	export ALLPASS_SANDBOX_TLS_URL ALLPASS_SANDBOX_CA
}

# --- all of it --------------------------------------------------------------

# Get ready to build the tree at $1: the workspace, the packages (and those
# given besides), the server, and a copy of the tree at $TREE.
begin()
{
	source=$1
	shift
	workspace
	choose_server "$@"
	choose_user
	TREE=$WORK/tree
	copy_to_workspace "$source" "$TREE"
	export WORK TREE
}

# Build and start everything that runs, for the commands that only use it.  What
# is given are more lines of the cluster's configuration.
begin_running()
{
	say "building the extension for PostgreSQL $PG_MAJOR and the sandbox ..."
	build_extension "$TREE" gcc >"$WORK/build.log" 2>&1 ||
		die_with_log "$WORK/build.log" "could not build the extension"
	make_in "$TREE/test/sandbox" >"$WORK/build.log" 2>&1 ||
		die_with_log "$WORK/build.log" "could not build the sandbox"
	install_extension "$TREE"
	start_cluster "$@"
	start_sandbox
}
