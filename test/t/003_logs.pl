# Nothing secret or personal gets out: not into the server's log at its most
# talkative, nor into messages, statistics and settings.
#
# Why not psql: the log is a file of the server, statements must carry their
# values as parameters, and the servers that echo what they were sent are
# sockets of the test.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Listener;
use AllpassTest::Sandbox;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my ($library_folder) = PostgreSQL::Test::Utils::run_command([ 'pg_config', '--pkglibdir' ]);
my $has_statements = -e "$library_folder/pg_stat_statements.so";

# Keys of utility statements are the administrator's own business: the text of
# CREATE USER MAPPING is not to be logged or tracked, here by these settings.
my $node = make_node('logs', conf => join("\n",
	'log_min_messages = debug5', 'log_error_verbosity = verbose',
	'log_min_error_statement = panic', 'log_statement = none',
	'log_parameter_max_length = 0', 'log_parameter_max_length_on_error = 0',
	($has_statements ? ("shared_preload_libraries = 'pg_stat_statements'",
		'pg_stat_statements.track_utility = off', 'pg_stat_statements.track = all') : ()), ''));
my $session = AllpassTest::Session->new($node);
my $watcher = AllpassTest::Session->new($node);

# What must not be found, by what it is.
my %secrets = (
	api_key => 'sk_live_4b1d5ecre7Key0f',
	crypto_key => '8f' . '3c' x 15 . 'a1' x 16,
	hmac_key => '5e' . 'd7' x 15 . '9b' x 16,
	second_key => 'sk_live_th30ther5ecre7',
	phone => '+15550177123',
	email => 'erika.mustermann@example.com',
	supplied_text => 'Hidden Lane 17',
	supplied_inner => 'M0ther-Maiden-Nam3',
	supplied_accented => "Zo\xc3\xab \xc3\x85ngstr\xc3\xb6m",
	supplied_quoted => 'Say "no" \\ twice',
	supplied_number => '8812150042371');
foreach my $name (qw(crypto_key hmac_key))
{
	my $bytes = pack('H*', $secrets{$name});

	$secrets{"$name in capitals"} = uc $secrets{$name};
	$secrets{"$name in base64"} = encode_base64($bytes, '');
	$secrets{"$name in bytes"} = $bytes;
	$secrets{"first half of $name"} = substr($secrets{$name}, 0, 32);
}

# a part of a key is as bad
$secrets{"start of $_"} = substr($secrets{$_}, 0, 11) foreach qw(api_key second_key);
$secrets{"end of $_"} = substr($secrets{$_}, -11) foreach qw(api_key second_key);

# All that clients were told.
my $told = '';

# Add a result to what clients were told, and give it.
sub heard
{
	my ($result) = @_;

	foreach my $message (@{ $result->{notices} }, $result->{error} || ())
	{
		$told .= join("\n", map { $message->{$_} // '' } qw(M D H W)) . "\n";
	}
	return $result;
}

# Find which secrets are in a text.
sub leaks
{
	my ($text) = @_;

	return sort grep { index($text, $secrets{$_}) >= 0 } keys %secrets;
}

# Give the server's log from a position on.
sub log_from
{
	my ($position) = @_;
	my $log = slurp_file($node->logfile);

	return substr($log, $position);
}

# Make a server with the keys in files, so that not even a statement has them.
my $folder = PostgreSQL::Test::Utils::tempdir;
foreach my $name (qw(api_key crypto_key hmac_key))
{
	open(my $file, '>', "$folder/$name") or die $!;
	chmod 0600, "$folder/$name";
	print $file "$secrets{$name}\n";
	close $file;
}

my @keys = ('--api-key', $secrets{api_key}, '--crypto-key', $secrets{crypto_key}, '--hmac-key', $secrets{hmac_key});
my $sandbox = AllpassTest::Sandbox->new(@keys);
my $echo = AllpassTest::Listener->new;

make_server($watcher, 'allpass', $sandbox->url);
make_server($watcher, 'cbc', $sandbox->url, encryption => 'aes-256-cbc', encrypt_requests => 'on');
make_server($watcher, 'gcm', $sandbox->url, encryption => 'aes-256-gcm', encrypt_requests => 'on');
make_server($watcher, 'strict', $sandbox->url, encryption => 'aes-256-cbc', require_signature => 'on');
make_server($watcher, 'echo', $echo->url, timeout => '2s');
make_server($watcher, 'echo_cbc', $echo->url, encryption => 'aes-256-cbc');
foreach my $server (qw(allpass cbc gcm strict echo echo_cbc))
{
	$watcher->do("ALTER USER MAPPING FOR PUBLIC SERVER $server OPTIONS (DROP api_key, "
		  . join(', ', map { "ADD ${_}_file '$folder/$_'" } qw(api_key crypto_key hmac_key)) . ')');
}
# one with the keys in the mapping itself
make_server($watcher, 'wrong', $sandbox->url, api_key => $secrets{second_key},
	encryption => 'aes-256-cbc', crypto_key => $secrets{hmac_key}, hmac_key => $secrets{crypto_key});

my $start = -s $node->logfile;
my $supplied = JSON::PP->new->canonical->encode({
	address => $secrets{supplied_text},
	nested => [ { name => $secrets{supplied_inner} }, $secrets{supplied_quoted} ],
	number => 0 + $secrets{supplied_number} });
# its bytes are UTF-8 already
$supplied =~ s/\}$/,"accented":"$secrets{supplied_accented}"}/;

# Run all operations in a session, with everything secret as parameters, and
# remember what answers hold.
sub run_all
{
	my ($server, $id) = @_;

	$session->do("SET allpass.server = $server");
	my @results = (
		$session->execute('SELECT allpass_create_applicant($1, $2, $3, $4, $5, $6::jsonb)',
			$id, 'kyc', $secrets{phone}, $secrets{email}, 'en', $supplied),
		# the same once more is refused
		$session->execute('SELECT allpass_create_applicant($1, $2, $3, $4, $5, $6::jsonb)',
			$id, 'kyc', $secrets{phone}, $secrets{email}, 'en', $supplied),
		$session->execute('SELECT allpass_applicant($1)', $id),
		$session->execute('SELECT allpass_applicant_status($1)', $id),
		$session->execute('SELECT allpass_status($1)', $id),
		$session->execute('SELECT * FROM allpass_document_fields($1)', $id),
		$session->execute('SELECT * FROM allpass_document_images($1)', $id),
		$session->execute('SELECT * FROM allpass_services($1)', $id),
		$session->execute('SELECT allpass_move_to_flow($1, $2)', $id, '2'),
		$session->execute('SELECT allpass_token($1, $2, $3, $4)', $id, 'en', 600, 'kyc'),
		$session->execute('SELECT allpass_schedule_deletion($1)', $id),
		$session->execute('SELECT allpass_restore($1)', $id),
		$session->execute('SELECT allpass_questionnaire($1)', 'kyc-basic'),
		$session->execute(q{SELECT allpass_aml_details(s ->> 'id', s ->> 'type') FROM allpass_aml_search($1, $2) s}, 'BTC', 'address-1'),
		$session->execute('SELECT allpass_status($1)', 'nobody'),
		$session->execute('SELECT allpass_token($1, $2)', $id, 'not a locale'));

	heard($_) foreach @results;
	return @results;
}

# Everything that works, plain and encrypted.
foreach my $case ([ 'allpass', 'none' ], [ 'cbc', 'aes-256-cbc' ], [ 'gcm', 'aes-256-gcm' ])
{
	my ($server, $method) = @$case;

	$sandbox->control('POST', 'config', { encryption => $method });
	my @results = run_all($server, "person-$server");
	is(scalar(grep { $_->{error} } @results), 3, "$server: all calls work but those that ought not to")
	  || diag(explain([ map { $_->{error} } grep { $_->{error} } @results ]));

	# what came back is as secret as what was sent
	my $document = JSON::PP->new->decode($results[2]{rows}[0][0]);
	my $token = JSON::PP->new->decode($results[9]{rows}[0][0]);
	$secrets{"access token of $server"} = $token->{accessToken};
	$secrets{"link of $server"} = $token->{link};
	foreach my $member (qw(fullName dateOfBirth phone email ip image))
	{
		$secrets{"$member of $server"} = $document->{$member} if length($document->{$member} // '') > 5;
	}
	foreach my $row (@{ $results[5]{rows} })
	{
		my ($value) = $row->[9];

		$secrets{"field $row->[1] of $server"} = $value if length($value // '') > 5;
	}
}
cmp_ok(scalar(grep { /^field/ } keys %secrets), '>', 3, 'there are fields of documents to look for');

# Keys that the server does not take, an answer that cannot be opened, one that
# is not what it was.
$sandbox->control('POST', 'config', { encryption => 'aes-256-cbc' });
run_all('wrong', 'person-wrong');
$sandbox->control('POST', 'config', { api_key => $secrets{second_key} });
run_all('wrong', 'person-wrong');
$sandbox->control('POST', 'config', { api_key => $secrets{api_key} });
$session->do('SET allpass.server = strict');
$sandbox->control('POST', 'config', { signature_over => 'none' });
fails_with(heard($session->execute('SELECT allpass_applicant($1)', 'person-cbc')), 'KY003', qr/./, 'no signature');
$sandbox->control('POST', 'config', { signature_over => 'wire' });
$sandbox->faults({ operation => 'applicant', signature => '00' x 32, times => 1 });
fails_with(heard($session->execute('SELECT allpass_applicant($1)', 'person-cbc')), 'KY003', qr/./, 'a wrong signature');
$sandbox->control('POST', 'config', { encryption => 'none' });

# Servers that give back what they were sent, in all the ways that an answer can
# say something.
{
	my $escape = sub { return substr(JSON::PP->new->encode([ $_[0] ]), 1, -1) };
	my @ways = (
		[ 'a message', sub { (400, '{"message":' . $escape->($_[0]) . '}') } ],
		[ 'a list of messages', sub { (422, '{"message":[' . join(',', map { $escape->($_) } split(/\r\n|[{},]/, $_[0])) . '],"error":"Bad"}') } ],
		[ 'an error object', sub { (401, '{"error":{"message":' . $escape->($_[0]) . '}}') } ],
		[ 'escapes of single characters', sub { (400, '{"message":"' . join('', map { sprintf('\\u%04x', ord $_) } grep { ord $_ < 128 } split(//, $_[0])) . '"}') } ],
		[ 'a failure with status 200', sub { (200, '{"status":false,"statusCode":403,"error":' . $escape->($_[0]) . '}') } ],
		[ 'the message of data', sub { (500, '{"data":{"message":' . $escape->($_[0]) . '}}') } ],
		[ 'text', sub { (500, $_[0]) } ],
		[ 'a page', sub { (200, "<html>$_[0]</html>") } ],
		[ 'JSON that breaks off', sub { (200, '{"status":true,"data":' . $escape->($_[0])) } ],
		[ 'a number that is none', sub { (200, '{"status":true,"data":[NaN,' . $escape->($_[0]) . ']}') } ],
		[ 'a NUL', sub { (200, '{"status":true,"data":"\\u0000' . substr($escape->($_[0]), 1) . '}') } ],
		[ 'a status that is a text', sub { (200, '{"status":' . $escape->($_[0]) . ',"data":1}') } ],
		[ 'the reason of the status', sub { ('400 ' . $_[0] =~ s/[\r\n]/ /gr, '{}') } ],
		[ 'a header', sub { ("302 Found\r\nLocation: /" . $_[0] =~ s/[\r\n]/ /gr, '{}') } ],
		[ 'a broken header', sub { ("200 OK\r\n" . $_[0] =~ s/[\r\n:]/ /gr, '{}') } ],
		[ 'no HTTP', sub { (undef, $_[0]) } ],
		[ 'a coding', sub { ("200 OK\r\nContent-Encoding: x" . $_[0] =~ s/[\r\n,: ]/-/gr, '{}') } ]);
	my @calls = (
		[ 'SELECT allpass_create_applicant($1, $2, $3, $4, $5, $6::jsonb)',
			'person-echo', 'kyc', $secrets{phone}, $secrets{email}, 'en', $supplied ],
		[ 'SELECT allpass_applicant($1)', 'person-echo' ]);

	foreach my $server (qw(echo echo_cbc))
	{
		my $failed = 0;

		$session->do("SET allpass.server = $server");
		foreach my $way (@ways)
		{
			my ($name, $make) = @$way;

			foreach my $call (@calls)
			{
				my ($sql, @values) = @$call;

				$session->start_execute($sql, @values);
				my ($socket, $request) = $echo->take;
				like($request->{head}, qr/\Q$secrets{api_key}\E/, "$server, $name: the key was sent");
				my ($status, $body) = $make->("$request->{head}\r\n\r\n$request->{body}");
				$status = "$status Whatever" if defined $status && $status =~ /^\d+$/;
				AllpassTest::Listener::put($socket, defined $status
					? "HTTP/1.1 $status\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body"
					: $body);
				close $socket;
				my $result = heard($session->receive);
				$failed++ if $result->{error};
				my @found = leaks(join("\n", map { $_ // '' } values %{ $result->{error} || {} }));
				is("@found", '', "$server, $name: nothing of it in the message") || diag(explain($result->{error}));
			}
		}
		is($failed, @ways * @calls, "$server: all of it failed");
	}
}

# Messages are cut to a length: a key at the edge is not cut in two before it is
# looked for.
{
	my @found;

	$session->do('SET allpass.server = echo');
	foreach my $padding (map { $_ * 10 } 0 .. 220)
	{
		$session->start_execute('SELECT allpass_status($1)', 'x');
		my $socket = $echo->take;
		AllpassTest::Listener::put($socket, AllpassTest::Listener::answer(
			'{"message":"' . 'x' x $padding . " $secrets{api_key} $secrets{api_key}" . '"}', status => '400 No'));
		close $socket;
		my $result = heard($session->receive);
		push @found, $padding if leaks(join("\n", values %{ $result->{error} }));
	}
	is("@found", '', 'no part of a key in a message that is cut');
}

# What others can see of a session while it calls, and afterwards.
{
	$session->do('SET allpass.server = allpass');
	$sandbox->faults({ operation => 'create_applicant', delay_ms => 60000, times => 1 });
	$session->start_execute('SELECT allpass_create_applicant($1, $2, $3, $4, $5, $6::jsonb)',
		'person-seen', 'kyc', $secrets{phone}, $secrets{email}, 'en', $supplied);
	poll { $sandbox->stats('in_flight') } 'the call to arrive';
	my $seen = $watcher->value('SELECT string_agg(a::text, E\'\n\') FROM pg_stat_activity a');
	like($seen, qr/allpass_create_applicant\(\$1/, 'the activity is shown');
	is(join(' ', leaks($seen)), '', 'pg_stat_activity shows nothing of it');
	$sandbox->faults;
	heard($session->receive);

	foreach my $view ('pg_settings', 'pg_backend_memory_contexts', 'pg_prepared_statements', 'pg_cursors')
	{
		is(join(' ', leaks($session->value("SELECT coalesce(string_agg(v::text, E'\\n'), '') FROM $view v"))), '',
			"$view shows nothing of it");
	}
	SKIP:
	{
		skip 'no pg_stat_statements here', 2 unless $has_statements;
		$watcher->do('CREATE EXTENSION pg_stat_statements');
		my $statements = $watcher->value("SELECT string_agg(query, E'\\n') FROM pg_stat_statements");
		like($statements, qr/allpass_create_applicant/, 'pg_stat_statements has the statements');
		is(join(' ', leaks($statements)), '', 'and nothing of what was sent');
	}
	$watcher->do('CREATE ROLE regress_onlooker');
	$watcher->do('SET ROLE regress_onlooker');
	is(join(' ', leaks($watcher->value('SELECT string_agg(u::text, E\'\n\') FROM pg_user_mappings u'))), '',
		'pg_user_mappings shows nothing to others');
	$watcher->do('RESET ROLE');
}

# The log as a whole, and all that clients were told.
{
	my $log = log_from($start);

	cmp_ok(length $log, '>', 100_000, 'the log is talkative');
	like($log, qr/DEBUG:.*Allpass API operation/, 'and has lines of the extension');
	is(join(', ', leaks($log)), '', 'nothing secret in the log');
	is(join(', ', leaks($told)), '', 'nothing secret in messages to clients');

	# the tests above can fail: what is there is found
	my $position = -s $node->logfile;
	foreach my $name (sort keys %secrets)
	{
		next if $name =~ /in bytes$/;
		$session->execute(q{SELECT set_config('allpass_test.canary', $1, false)}, $secrets{$name});
		$session->do(q{DO $$BEGIN RAISE LOG '%', current_setting('allpass_test.canary'); END$$});
	}
	$log = log_from($position);
	is(join("\n", leaks($log)), join("\n", sort grep { !/in bytes$/ } keys %secrets), 'what is written to the log is found there');
}

# An error of ours is logged without its statement, which holds the arguments,
# though the server would log it.
{
	my $talker = AllpassTest::Session->new($node);
	my $position = -s $node->logfile;

	$sandbox->reset;
	$sandbox->control('POST', 'config', { api_key => $secrets{api_key} });
	$sandbox->seed(count => 1);
	$talker->do('SET log_min_error_statement = error');
	fails_with($talker->query("CREATE SERVER short FOREIGN DATA WRAPPER allpass OPTIONS (base_url 'https://example.com', api_key '$secrets{api_key}')"),
		'HV00D', qr/invalid option/, 'a key where none belongs');
	fails_with($talker->query("ALTER USER MAPPING FOR PUBLIC SERVER wrong OPTIONS (SET api_key '$secrets{api_key}', SET crypto_key '$secrets{crypto_key}00')"),
		'22023', qr/crypto_key/, 'a key that is too long');
	fails_with($talker->query("SELECT allpass_create_applicant('c-1', 'basic', email => '$secrets{email}')"),
		'KY409', qr/./, 'an applicant that is there');
	fails_with($talker->query("DO \$\$BEGIN PERFORM allpass_create_applicant('c-1', 'basic', phone => '$secrets{phone}'); END\$\$"),
		'KY409', qr/./, 'an applicant that is there, from PL/pgSQL');
	is(join("\n", leaks(log_from($position))), '', 'their statements are not in the log');
	like(log_from($position), qr/KY409/, 'the errors are');
	$talker->query('SELECT no_such_function()');
	like(log_from($position), qr/STATEMENT:.*no_such_function/, 'as are statements with errors of the server');
}

# The id of a request is in the log of both sides.
{
	$sandbox->reset;
	$sandbox->control('POST', 'config', { api_key => $secrets{api_key} });
	my $position = -s $node->logfile;
	foreach (1 .. 10)
	{
		$session->execute('SELECT allpass_status($1)', 'nobody');
	}
	my @ours = log_from($position) =~ /DEBUG:\s.*request id ([0-9a-f-]{36})/g;
	my @theirs = map { $_->{request_id} } $sandbox->requests;
	is(scalar @ours, 10, 'a line for each call');
	is_deeply([ sort @ours ], [ sort @theirs ], 'with the id that the API was sent');
	my %different = map { ($_ => 1) } @ours;
	is(scalar keys %different, 10, 'each another one');
	like($_, qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'a random UUID') foreach $ours[0];
}

done_testing();
