# What a broken or hostile server may send: each has its SQLSTATE, the next call
# works, no answer is ever taken for that of another call, and no memory is lost.
#
# Why not psql: the other end is no HTTP server but a socket that sends bytes
# which no server would, in pieces and at times that matter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Listener;
use IO::Compress::Gzip qw(gzip);
use Test::More;

my $node = make_node('hostile');
my $session = AllpassTest::Session->new($node);
my $listener = AllpassTest::Listener->new;
my $good_body = envelope();

# The one limit that has to be reached in these tests.
my $timeout = 1.5;

make_server($session, 'allpass', $listener->url, timeout => $timeout * 1000 . 'ms');

# Give the head of an answer.
sub head
{
	my ($status, @headers) = @_;

	return join("\r\n", "HTTP/1.1 $status", 'Content-Type: application/json', @headers, '', '');
}

# Give a part of HTTP's chunked coding.
sub chunk
{
	my ($bytes) = @_;

	return sprintf("%x\r\n%s\r\n", length $bytes, $bytes);
}

# Give a text compressed.
sub zip
{
	my ($text) = @_;
	my $zipped;

	gzip(\$text, \$zipped) or die 'gzip failed';
	return $zipped;
}

# Give code that writes the same bytes until nobody listens any more.
sub endlessly
{
	my ($start, $more) = @_;

	return sub {
		my ($socket) = @_;

		AllpassTest::Listener::put($socket, $start) or return;
		while (AllpassTest::Listener::put($socket, $more)) { }
	};
}

# Give code that writes bytes one at a time, each as a packet of its own, with
# a pause of some milliseconds between them while nobody hangs up.
sub slowly
{
	my ($bytes, $pause) = @_;

	return sub {
		my ($socket) = @_;

		setsockopt($socket, 6, 1, 1);    # TCP_NODELAY
		foreach my $byte (split(//, $bytes))
		{
			AllpassTest::Listener::put($socket, $byte) or return;
			# the client sends nothing, so this ends early only if it hangs up
			IO::Select->new($socket)->can_read($pause / 1000) and return;
		}
	};
}

my $json = 'Content-Type: application/json';
my $length = 'Content-Length: ' . length $good_body;
my $zipped = zip($good_body);
my $forged = AllpassTest::Listener::answer(envelope('{"id":"x","status":"FORGED"}'));

# Each case: what it is, what the server sends (bytes, or code that gets the
# socket), and the SQLSTATE or the value that must come of it.
my @cases = (
	# no HTTP
	[ 'nothing at all', '', 'KY001' ],
	[ 'bytes that are no HTTP', join('', map { chr($_ * 37 % 256) } 1 .. 500), 'KY002' ],
	[ 'text without a head, as HTTP/0.9 has it', $good_body, 'KY002' ],
	[ 'a record of TLS', "\x15\x03\x03\x00\x02\x02\x28", 'KY002' ],
	[ 'the preface of HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . "\0" x 9, 'KY002' ],
	[ 'the greeting of another protocol', "220 mail.example.org ESMTP\r\n", 'KY002' ],

	# the first line
	[ 'a version that there is not', "HTTP/9.9 200 OK\r\n$length\r\n\r\n$good_body", 'KY002' ],
	[ 'a status of two digits', "HTTP/1.1 20 OK\r\n$length\r\n\r\n$good_body", 'KY002' ],
	# newer versions of libcurl take the first three
	[ 'a status of six digits', "HTTP/1.1 200200 OK\r\n$length\r\n\r\n$good_body", qr/^(KY002|APPROVED)$/ ],
	[ 'status 999', head('999 What', $length) . $good_body, 'KY999' ],
	[ 'status 204 without a body', head('204 No Content'), 'KY002' ],
	[ 'status 101 nobody asked for', head('101 Switching Protocols', 'Upgrade: h2c', 'Connection: Upgrade'), qr/^KY(001|002|101)$/ ],
	[ 'bytes that are no text in the reason', head("401 \xff\xfe\x01\x1b[31m", 'Content-Length: 0'), 'KY401' ],
	[ 'HTTP/1.0', "HTTP/1.0 200 OK\r\n\r\n$good_body", 'APPROVED' ],

	# headers
	[ 'endless headers', endlessly(head('200 OK') =~ s/\r\n$//r, 'X-Header: ' . 'x' x 1000 . "\r\n"), qr/^KY00[12]$/ ],
	[ 'an endless header', endlessly("HTTP/1.1 200 OK\r\nX-Header: ", 'x' x 4096), qr/^KY00[12]$/ ],
	[ 'a header of 10 MB', head('200 OK', 'X-Header: ' . 'x' x 10_000_000, $length) . $good_body, qr/^KY00[12]$/ ],
	[ 'endless interim answers', endlessly('', "HTTP/1.1 100 Continue\r\n\r\n"), qr/^KY00[12]$/ ],
	[ 'a few interim answers', "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" x 3 . head('200 OK', $length) . $good_body, 'APPROVED' ],
	[ 'a NUL in a header', head('200 OK', "X-Header: a\0b", $length) . $good_body, qr/^(KY002|APPROVED)$/ ],
	[ 'a header without a colon', head('200 OK', 'nonsense', $length) . $good_body, qr/^(KY002|APPROVED)$/ ],
	[ 'the end within a header', "HTTP/1.1 200 OK\r\nContent-Ty", qr/^KY00[12]$/ ],

	# the length
	[ 'a negative length', head('200 OK', 'Content-Length: -5') . $good_body, 'KY002' ],
	[ 'a length that is no number', head('200 OK', 'Content-Length: many') . $good_body, 'KY002' ],
	[ 'a length of more than 64 bits', head('200 OK', 'Content-Length: ' . '9' x 30) . $good_body, qr/^KY00[12]$/ ],
	[ 'a length of exabytes', head('200 OK', 'Content-Length: 9223372036854775807') . $good_body, 'KY002' ],
	[ 'two lengths, the body cut', head('200 OK', $length, 'Content-Length: 5') . $good_body, qr/^KY00[12]$/ ],
	[ 'a body that is cut short', head('200 OK', 'Content-Length: 5000') . $good_body, 'KY001' ],
	[ 'half of the JSON, its end being that of the connection', head('200 OK') . substr($good_body, 0, 40), 'KY002' ],
	[ 'a body that ends with the connection', head('200 OK') . $good_body, 'APPROVED' ],
	[ 'an answer without a body', head('200 OK', 'Content-Length: 0'), 'KY002' ],

	# chunks
	[ 'a chunk size that is no number', head('200 OK', 'Transfer-Encoding: chunked') . "ZZZ\r\n$good_body\r\n0\r\n\r\n", qr/^KY00[12]$/ ],
	[ 'a negative chunk size', head('200 OK', 'Transfer-Encoding: chunked') . "-1\r\n$good_body\r\n0\r\n\r\n", qr/^KY00[12]$/ ],
	[ 'a chunk size of more than 64 bits', head('200 OK', 'Transfer-Encoding: chunked') . 'f' x 40 . "\r\n$good_body\r\n0\r\n\r\n", qr/^KY00[12]$/ ],
	[ 'a chunk of exabytes', head('200 OK', 'Transfer-Encoding: chunked') . "7fffffffffffffff\r\n$good_body", 'KY001' ],
	[ 'chunks without the last one', head('200 OK', 'Transfer-Encoding: chunked') . chunk($good_body), 'KY001' ],
	[ 'a chunk without its end', head('200 OK', 'Transfer-Encoding: chunked') . chunk($good_body) =~ s/\r\n$/XX0\r\n\r\n/r, qr/^KY00[12]$/ ],
	[ 'an endless extension of a chunk', endlessly(head('200 OK', 'Transfer-Encoding: chunked') . '5;', 'x' x 4096), qr/^KY00[12]$/ ],
	[ 'endless trailers', endlessly(head('200 OK', 'Transfer-Encoding: chunked') . chunk($good_body) . "0\r\n", 'X-Trailer: ' . 'x' x 1000 . "\r\n"), qr/^KY00[12]$/ ],
	[ 'endless chunks of one byte', endlessly(head('200 OK', 'Transfer-Encoding: chunked'), chunk(' ') x 1000), 'KY002' ],
	[ 'chunks of one byte', head('200 OK', 'Transfer-Encoding: chunked') . join('', map { chunk($_) } split(//, $good_body)) . "0\r\n\r\n", 'APPROVED' ],
	[ 'chunks and a length', head('200 OK', $length, 'Transfer-Encoding: chunked') . chunk($good_body) . "0\r\n\r\n", qr/^(KY002|APPROVED)$/ ],

	# compression
	[ 'a gzip body', head('200 OK', 'Content-Encoding: gzip', 'Content-Length: ' . length $zipped) . $zipped, 'APPROVED' ],
	[ 'gzip announced, text sent', head('200 OK', 'Content-Encoding: gzip', $length) . $good_body, 'KY002' ],
	[ 'a gzip head and then garbage', head('200 OK', 'Content-Encoding: gzip', 'Content-Length: 50') . substr($zipped, 0, 10) . "\xff" x 40, 'KY002' ],
	[ 'half of a gzip body', head('200 OK', 'Content-Encoding: gzip', 'Content-Length: ' . int(length($zipped) / 2)) . substr($zipped, 0, length($zipped) / 2), qr/^KY00[12]$/ ],
	[ 'a wrong check sum of gzip', head('200 OK', 'Content-Encoding: gzip', 'Content-Length: ' . length $zipped) . substr($zipped, 0, -8) . "\0" x 8, qr/^KY00[12]$/ ],
	[ 'gzip within gzip', head('200 OK', 'Content-Encoding: gzip, gzip', 'Content-Length: ' . length zip($zipped)) . zip($zipped), qr/^(KY002|APPROVED)$/ ],
	[ 'a hundred codings', head('200 OK', 'Content-Encoding: ' . join(', ', ('gzip') x 100), $length) . $good_body, qr/^KY00[12]$/ ],
	[ 'a coding that there is not', head('200 OK', 'Content-Encoding: x-secret', $length) . $good_body, 'KY002' ],
	[ '200 MB of blanks as gzip', head('200 OK', 'Content-Encoding: gzip') . zip(' ' x 200_000_000), 'KY002' ],

	# the connection
	[ 'a reset before the answer', \&AllpassTest::Listener::reset, 'KY001' ],
	[ 'a reset within the body', sub {
			AllpassTest::Listener::put($_[0], head('200 OK', $length) . '{"status"');
			AllpassTest::Listener::reset($_[0]);
		}, 'KY001' ],
	[ 'half a close within the body', sub {
			AllpassTest::Listener::put($_[0], head('200 OK', $length) . '{"status"');
			shutdown($_[0], 1);
			sysread($_[0], my $rest, 1);    # until the client hangs up
		}, 'KY001' ],
	[ 'half a close after the answer', sub {
			AllpassTest::Listener::put($_[0], head('200 OK', $length) . $good_body);
			shutdown($_[0], 1);
		}, 'APPROVED' ],
	[ 'an answer in pieces of one byte', slowly(head('200 OK', $length) . $good_body, 0), 'APPROVED' ],
	[ 'headers so slow that the time runs out', slowly(head('200 OK', map { "X-$_: x" } 1 .. 100), 20), 'KY001' ],
	[ 'a body so slow that the time runs out', slowly(head('200 OK', 'Content-Length: 100000') . ' ' x 1000, 20), 'KY001' ],
	[ 'an endless body', endlessly(head('200 OK') . '{"status":true,"data":"', 'x' x 65536), 'KY002' ],

	# what asks for another request
	[ 'a redirect to itself', head('302 Found', 'Location: ' . $listener->url . '/api/public/applicant/x/status', 'Content-Length: 0'), 'KY302' ],
	[ 'a redirect that keeps the method', head('308 Permanent Redirect', 'Location: /elsewhere', 'Content-Length: 0'), 'KY308' ],
	[ 'a redirect to a file', head('301 Moved Permanently', 'Location: file:///etc/passwd', 'Content-Length: 0'), 'KY301' ],
	[ 'a demand for a password', head('401 Unauthorized', 'WWW-Authenticate: Basic realm="x"', 'WWW-Authenticate: Negotiate', 'Content-Length: 0'), 'KY401' ],
	[ 'a demand for a password of a proxy', head('407 Proxy Authentication Required', 'Proxy-Authenticate: Basic realm="x"', 'Content-Length: 0'), 'KY407' ],
	[ 'a cookie, another address and a demand to upgrade', head('200 OK', 'Set-Cookie: a=b; Path=/', 'Alt-Svc: h2=":1"; ma=1000', 'Upgrade: h2c', 'Refresh: 0; url=/elsewhere', $length) . $good_body, 'APPROVED' ],
);

my $max_size = '2MB';
$session->do("SET allpass.max_response_size = '$max_size'");
foreach my $case (@cases)
{
	my ($name, $send, $expected) = @$case;

	$session->send("SELECT allpass_status('x')");
	my ($socket) = $listener->take;
	my $start = now();
	ref $send ? $send->($socket) : AllpassTest::Listener::put($socket, $send);
	close $socket;
	my $result = $session->receive;
	my $time = now() - $start;
	my $outcome = $result->{error} ? $result->{error}{C} : $result->{rows}[0][0];
	my $text = $result->{error} ? join(' | ', map { $result->{error}{$_} // '' } qw(M D H)) : '';

	ref $expected ? like($outcome, $expected, $name) : is($outcome, $expected, $name);
	note("$outcome: $text") if $text;
	unlike($text, qr/[\x00-\x1f\x7f-\xff]|sandbox-key/, "$name: nothing odd in the message") if $text;
	cmp_ok($time, '<', $timeout + 2, "$name: within the time limit");
	ok(!$listener->is_called(0), "$name: no other request");

	$session->send("SELECT allpass_status('x')");
	my $request;
	($socket, $request) = $listener->take;
	AllpassTest::Listener::put($socket, AllpassTest::Listener::answer($good_body, headers => "Connection: close\r\n"));
	close $socket;
	works($session->receive, 'APPROVED', "$name: the next call works");
	unlike($request->{head}, qr/^(cookie|authorization|upgrade):/mi, "$name: and shows no trace");
}

# Bytes after the end of an answer, at once or while the connection is idle, are
# not taken for the answer of the next call.
my $too_late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
foreach my $case (
	[ 'an answer behind an answer', $forged, '' ],
	[ 'an answer to nothing, on an idle connection', '', $forged ],
	[ 'half of one', '', substr($forged, 0, 30) ],
	[ 'a farewell of an idle connection, as proxies send it', '', $too_late, 1 ])
{
	my ($name, $behind, $idle, $close) = @$case;
	my $own = AllpassTest::Listener::answer(envelope('{"id":"x","status":"OWN"}'));
	my $listener = AllpassTest::Listener->new;

	$session->do("ALTER SERVER allpass OPTIONS (SET base_url '" . $listener->url . "')");
	my ($result, $socket) = $listener->serve_call($session, "SELECT allpass_status('x')",
		AllpassTest::Listener::answer($good_body) . $behind);
	works($result, 'APPROVED', "$name: the call");
	AllpassTest::Listener::put($socket, $idle);
	close $socket if $close;

	# What changes something, as that must not be repeated once it was sent.
	my ($next) = $listener->serve_call($session, "SELECT allpass_schedule_deletion('x') ->> 'status'", $own);
	isnt($next->{rows}[0][0] // '', 'FORGED', "$name: the next call does not get it");
	works($next, 'OWN', "$name: but its own");
}

# The memory of a session stays what it is, however many calls fail, and in
# whatever way.
{
	my $rounds = 50;
	my $calls = 100;
	my $server = AllpassTest::Listener->new;
	my @answers = (
		'',
		"garbage\r\n\r\n",
		head('200 OK', 'Content-Length: 5000') . $good_body,
		head('200 OK', 'Content-Encoding: gzip', 'Content-Length: 50') . substr($zipped, 0, 10) . "\xff" x 40,
		head('200 OK', 'Transfer-Encoding: chunked') . chunk($good_body),
		head('200 OK', 'Content-Length: 20') . '{"status":true,"data',
		head('200 OK', 'Content-Length: -1'),
		head('302 Found', 'Location: /x', 'Content-Length: 0'),
		head('503 Busy', 'Content-Length: 40') . '{"message":"busy","error":["x",{"y":1}]}',
		AllpassTest::Listener::answer('{"status":false,"statusCode":418,"message":["teapot"]}'),
		AllpassTest::Listener::answer('<html>' . 'x' x 100_000 . '</html>'),
		AllpassTest::Listener::answer('{"status":true,"data":"' . 'ab' x 500 . '"}'),
		AllpassTest::Listener::answer('[' x 10_000),
		head('200 OK') . '{"status":true,"data":"' . 'x' x 3_000_000,);
	$server->serve(sub {
			my ($socket, $number) = @_;

			AllpassTest::Listener::read_request($socket) or return;
			AllpassTest::Listener::put($socket, $answers[ $number % @answers ]);
		});
	make_server($session, 'memory', $server->url);
	$session->do('SET allpass.server = memory');
	my $batch = "DO \$\$
		BEGIN
			FOR i IN 1 .. $calls LOOP
				BEGIN
					PERFORM allpass_applicant('x');
					RAISE 'a call that works';
				EXCEPTION WHEN OTHERS THEN
					IF SQLSTATE !~ '^KY' THEN
						RAISE;
					END IF;
				END;
			END LOOP;
		END \$\$";

	$session->do($batch) foreach 1 .. 10;
	my ($before, $files) = (resident_kb($session->pid), scalar descriptors($session->pid));
	$session->do($batch) foreach 1 .. $rounds;
	my ($after, $files_after) = (resident_kb($session->pid), scalar descriptors($session->pid));
	note(sprintf('memory: %d kB before, %d kB after %d failing calls', $before, $after, $rounds * $calls));
	cmp_ok($after - $before, '<', 1024, 'growth in kB over failing calls');
	cmp_ok($files_after, '<=', $files + 1, 'no descriptor is left');
	is($session->value("SELECT count(*) FROM pg_backend_memory_contexts WHERE name ~ '^allpass call'"), 0,
		'no memory context of a call is left');
}

done_testing();
