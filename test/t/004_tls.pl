# Whom the backend trusts and talks to: certificates, redirects, proxies, saved
# passwords, and HTTP/2.
#
# Why not psql: it needs servers with certificates of its own making, an
# environment of the postmaster that misleads, and a look at what arrived.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Listener;
use AllpassTest::Process;
use AllpassTest::Sandbox;
use PostgreSQL::Test::Utils;
use Test::More;

my $temp = PostgreSQL::Test::Utils::tempdir;

# Write a file in the temporary folder and give its path.
sub write_file
{
	my ($name, $text) = @_;

	open(my $file, '>', "$temp/$name") or die $!;
	print $file $text;
	close $file;
	chmod 0600, "$temp/$name";
	return "$temp/$name";
}

# Run openssl.
sub openssl
{
	my (@arguments) = @_;

	system_log('openssl', @arguments) == 0 or die "openssl @arguments failed";
	return;
}

# Make a certificate authority.
sub make_authority
{
	my ($name) = @_;

	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', "/CN=$name",
		'-keyout', "$temp/$name.key", '-out', "$temp/$name.crt");
	mkdir "$temp/$name.new";
	write_file("$name.index", '');
	write_file("$name.cnf", <<"CNF");
[ca]
default_ca = this
[this]
database = $temp/$name.index
new_certs_dir = $temp/$name.new
rand_serial = yes
default_md = sha256
unique_subject = no
policy = any
copy_extensions = copy
[any]
commonName = supplied
CNF
	return;
}

# Make a certificate of the first authority for some names; all valid from 2020
# on, to a date of the caller's.
sub make_certificate
{
	my ($name, $names, $end) = @_;

	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name", '-addext', "subjectAltName=$names",
		'-keyout', "$temp/$name.key", '-out', "$temp/$name.csr");
	openssl('ca', '-batch', '-notext', '-config', "$temp/authority.cnf",
		'-cert', "$temp/authority.crt", '-keyfile', "$temp/authority.key",
		'-startdate', '20200101000000Z', '-enddate', $end, '-in', "$temp/$name.csr", '-out', "$temp/$name.crt");
	return;
}

# Start a sandbox with a certificate.
sub start_sandbox
{
	my ($name, @options) = @_;

	return AllpassTest::Sandbox->new(@options, '--tls-cert', "$temp/$name.crt", '--tls-key', "$temp/$name.key");
}

make_authority('authority');
make_authority('stranger');
make_certificate('loopback', 'DNS:localhost,IP:127.0.0.1', '20991231235959Z');
make_certificate('elsewhere', 'DNS:api.example.com,IP:127.0.0.2', '20991231235959Z');
make_certificate('expired', 'DNS:localhost,IP:127.0.0.1', '20200102000000Z');
openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
	'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', "$temp/selfmade.key", '-out', "$temp/selfmade.crt");
my $ca = "$temp/authority.crt";

# An environment of the postmaster that misleads: proxies of all kinds, and a
# home with passwords in it.
my $proxy = AllpassTest::Listener->new;
mkdir "$temp/home";
write_file('home/.netrc', "default login netrc-user password netrc-password\n");
write_file('home/.curlrc', 'proxy = "' . $proxy->url . "\"\nuser = \"curlrc-user:curlrc-password\"\n");
my %misleading = (HOME => "$temp/home", CURL_HOME => "$temp/home", NETRC => "$temp/home/.netrc");
$misleading{$_} = $proxy->url foreach qw(http_proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy);

my $sandbox = start_sandbox('loopback', control_ca => $ca);
my $plain = AllpassTest::Sandbox->new;
my $node = make_node('tls', environment => \%misleading);
my $session = AllpassTest::Session->new($node);

# Make a server with a short time limit, for whoever is misled waits in vain.
sub make_hasty_server
{
	my ($session, $name, $url, %options) = @_;

	make_server($session, $name, $url, timeout => '5s', %options);
	return;
}

# Ask for a status on a server.
sub ask
{
	my ($server) = @_;

	$session->do("SET allpass.server = $server");
	return $session->query("SELECT allpass_status('c-1')");
}

$sandbox->seed;
$plain->seed;

# Certificates
{
	make_hasty_server($session, 'trusted', $sandbox->url, ca_file => $ca);
	make_hasty_server($session, 'by_name', $sandbox->url('localhost'), ca_file => $ca);
	make_hasty_server($session, 'untrusted', $sandbox->url);
	make_hasty_server($session, 'other_authority', $sandbox->url, ca_file => "$temp/stranger.crt");
	make_hasty_server($session, 'plain_on_tls', 'http://127.0.0.1:' . $sandbox->port);
	make_hasty_server($session, 'tls_on_plain', 'https://127.0.0.1:' . $plain->port);
	my @others;
	foreach my $name (qw(elsewhere expired selfmade))
	{
		push @others, start_sandbox($name);
		make_hasty_server($session, $name, 'https://127.0.0.1:' . $others[-1]->port, ca_file => $ca);
	}

	works(ask('trusted'), 'APPROVED', 'a certificate of the authority in ca_file');
	works(ask('by_name'), 'APPROVED', 'the same by a name of the host');
	fails_with(ask('untrusted'), 'KY001', qr/certificate/, 'without ca_file');
	fails_with(ask('other_authority'), 'KY001', qr/certificate/, 'a certificate of another authority');
	fails_with(ask('elsewhere'), 'KY001', qr/does not match|doesn't match|subject name|no alternative/i, 'a certificate of another host');
	fails_with(ask('expired'), 'KY001', qr/expired/, 'a certificate that has expired');
	fails_with(ask('selfmade'), 'KY001', qr/certificate/, 'a certificate that vouches for itself');
	fails_with(ask('plain_on_tls'), 'KY001', qr/./, 'http to a port of https');
	fails_with(ask('tls_on_plain'), 'KY001', qr/./, 'https to a port of http');
	works(ask('trusted'), 'APPROVED', 'and still the good one');
	is($sandbox->stats('operations')->{applicant_status}, 3, 'only the good ones were asked');
}

# The file of authorities
{
	foreach my $case (
		[ 'no_file', "$temp/nowhere.crt", 'a ca_file that does not exist' ],
		[ 'no_certificates', write_file('garbage.crt', "no certificate\n"), 'a ca_file without certificates' ],
		[ 'folder', $temp, 'a ca_file that is a folder' ])
	{
		my ($name, $path, $words) = @$case;

		make_hasty_server($session, $name, $sandbox->url, ca_file => $path);
		my $result = ask($name);
		fails_with($result, 'KY004', qr/certificate/, $words);
		unlike(join(' ', values %{ $result->{error} }), qr/no certificate$/m, "$words: nothing of it is shown");
	}
	# a file that is made anew counts when the server is changed
	$session->do("ALTER SERVER no_file OPTIONS (SET ca_file '$ca')");
	works(ask('no_file'), 'APPROVED', 'the right ca_file afterwards');
}

# Many calls share one connection over TLS as well.
{
	ask('trusted');
	my $before = $sandbox->stats('connections');
	$session->do('SET allpass.prefetch = off');
	works($session->query("SELECT count(allpass_status('c-' || i)) FROM generate_series(1, 100) i"), 100, 'a hundred calls over TLS');
	$session->do('RESET allpass.prefetch');
	is($sandbox->stats('connections') - $before, 0, 'on the connection that is there');
}

# Redirects are not followed, least of all with the key.
{
	my $trap = AllpassTest::Listener->new;

	foreach my $status (301, 302, 303, 307, 308)
	{
		foreach my $location ($trap->url('http', '127.0.0.2') . '/api/public/applicant/c-1', $trap->url . '/',
			$sandbox->url . '/api/public/applicant/c-2')
		{
			$sandbox->faults({ status => $status, headers => { Location => $location }, body => '' });
			fails_with(ask('trusted'), "KY$status", qr/redirect/, "status $status is an error");
		}
	}
	$sandbox->faults;
	ok(!$trap->is_called(0), 'nobody was redirected');
	is($sandbox->stats('applicants')->{'c-2'}{applicant_status} // 0, 1, 'not even to the same server');
}

# The environment and the home of the postmaster
{
	make_hasty_server($session, 'plain', $plain->url);
	works(ask('plain'), 'APPROVED', 'http past the proxies of the environment');
	works(ask('trusted'), 'APPROVED', 'https past them');
	ok(!$proxy->is_called(0), 'no proxy was asked');
	my @requests = ($sandbox->requests, $plain->requests);
	is(scalar(grep { exists $_->{headers}{authorization} || exists $_->{headers}{'proxy-authorization'} } @requests), 0,
		'no password was sent');
	like($requests[-1]{user_agent}, qr{^allpass/\d+\.\d+}, 'the name and version of the client were');

	# the environment does mislead: it gets the command line tool to the proxy
	local @ENV{ keys %misleading } = values %misleading;
	my $pid = AllpassTest::Process::start("$temp/curl.log", 'curl', '-sS', '--max-time', '20', $sandbox->url);
	ok($proxy->is_called(20), 'another program is misled by this environment');
	AllpassTest::Process::stop($pid);
	close $proxy->accept;
}

# HTTP/2, by nginx in front of a sandbox
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($version) = join(' ', PostgreSQL::Test::Utils::run_command([ 'nginx', '-v' ])) =~ m{nginx/(\d+\.\d+\.\d+)};
	my $is_new = sprintf('%03d%03d%03d', split(/\./, $version)) ge '001025001';
	my $conf = write_file('nginx.conf', <<"CONF");
daemon off;
master_process off;
pid $temp/nginx.pid;
error_log $temp/nginx.error.log;
events { worker_connections 1024; }
http {
	log_format calls '\$server_protocol \$status \$connection \$request_method';
	access_log $temp/nginx.access.log calls;
	@{[ map { "${_}_temp_path $temp/$_;" } qw(client_body proxy fastcgi uwsgi scgi) ]}
	server {
		listen 127.0.0.1:$port ssl@{[ $is_new ? '' : ' http2' ]};
		@{[ $is_new ? 'http2 on;' : '' ]}
		ssl_certificate $temp/loopback.crt;
		ssl_certificate_key $temp/loopback.key;
		keepalive_requests 140;
		location / { proxy_pass @{[ $plain->url ]}; proxy_read_timeout 60s; }
	}
}
CONF
	my @nginx = ('nginx', '-e', "$temp/nginx.error.log", '-p', $temp, '-c', $conf);
	my $start = sub {
		my $pid = AllpassTest::Process::start("$temp/nginx.log", @nginx);

		poll
		{
			die slurp_file("$temp/nginx.log") if AllpassTest::Process::has_ended($pid);
			IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
		}
		'nginx';
		return $pid;
	};
	my $calls = sub { return split(/\n/, slurp_file("$temp/nginx.access.log")) };

	local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/usr/local/sbin";
	my $pid = $start->();
	make_hasty_server($session, 'http2', "https://127.0.0.1:$port", ca_file => $ca, max_concurrency => 64);
	$plain->reset;
	$plain->seed;
	works(ask('http2'), 'APPROVED', 'a call by HTTP/2');
	ok(!$session->query("SELECT allpass_create_applicant('h2', 'kyc', supplied_info => '{\"a\":1}')")->{error},
		'a call that sends a body');
	works($session->query("SELECT count(allpass_status('c-' || i)) FROM generate_series(1, 30) i"), 30, 'more of them');

	# also when they are under way together
	$plain->control('POST', 'config', { delay_ms => 20 });
	works($session->query("SELECT count(status) FROM allpass_statuses(ARRAY(SELECT 'c-' || i FROM generate_series(1, 100) i))"), 100,
		'a set by HTTP/2');
	is($plain->stats('peak_concurrency'), 64, 'as many calls at once as the server takes');
	$plain->control('POST', 'config', { delay_ms => 0 });
	poll { $calls->() >= 132 } 'the log of nginx';
	is(join(' ', do { my %seen; grep { !$seen{$_}++ } map { (split)[0] } $calls->() }), 'HTTP/2.0', 'all were HTTP/2');
	is(scalar(do { my %seen; grep { !$seen{$_}++ } map { (split)[2] } $calls->() }), 1, 'on one connection');

	# beyond the number of requests after which nginx ends a connection
	works($session->query("SELECT count(allpass_status('c-' || i)) FROM generate_series(1, 200) i"), 200,
		'calls over connections that the server ends');
	is(scalar(grep { $_->{error} } map { $session->query("SELECT allpass_token('c-$_')") } 1 .. 100), 0,
		'the same with calls that are not repeated');
	is($plain->stats('operations')->{token}, 100, 'each of which arrived once');

	# cancelling one stream
	my $control = AllpassTest::Session->new($node);
	my $good = 0;
	my (@times, %failures);
	$plain->faults({ operation => 'applicant', delay_ms => 60000 });
	foreach (1 .. 20)
	{
		$session->send("SELECT allpass_applicant('c-1')");
		poll { $plain->stats('in_flight') } 'the call to arrive';
		my $begin = now();
		$control->do('SELECT pg_cancel_backend(' . $session->pid . ')');
		my $result = $session->receive;
		push @times, now() - $begin;
		$failures{ $result->{error}{C} // 'none' }++;
		# older versions of libcurl say that a stream has ended with the next one
		$good++ unless ask('http2')->{error};
		poll { $plain->stats('in_flight') == 0 } 'the end of the call';
	}
	$plain->faults;
	is_deeply(\%failures, { '57014' => 20 }, 'cancelled calls by HTTP/2');
	is($good, 20, 'the next ones work');
	note_times('cancel latency, HTTP/2', @times);
	cmp_ok(percentile(100, @times), '<', 2, 'a cancel takes effect at once');

	# a server that is started anew
	AllpassTest::Process::stop($pid);
	fails_with(ask('http2'), 'KY001', qr/./, 'nobody is there');
	$pid = $start->();
	works(ask('http2'), 'APPROVED', 'somebody is there again');
	AllpassTest::Process::stop($pid);
}

done_testing();
