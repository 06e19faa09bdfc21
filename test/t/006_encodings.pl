# Databases whose encoding is not UTF-8: what goes out is UTF-8, what comes in
# fits into the database or is a defined error.
#
# Why not psql: pg_regress has one database, of one encoding, and the bytes that
# went out are to be seen.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AllpassTest;
use AllpassTest::Sandbox;
use JSON::PP;
use Test::More;

my $node = make_node('encodings');
my $sandbox = AllpassTest::Sandbox->new;

# This source is UTF-8, taken as bytes; so are the sessions and the sandbox.

# Make a database and give a session in it.
sub make_database
{
	my ($encoding) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE in_$encoding ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	my $session = AllpassTest::Session->new($node, dbname => "in_\L$encoding");
	$session->do('CREATE EXTENSION allpass');
	make_server($session, 'allpass', $sandbox->url);
	return $session;
}

# Let an applicant have a document of exactly this text.
sub put_document
{
	my ($id, $json) = @_;

	$sandbox->control('PUT', "document/applicant/$id", $json);
	return;
}

# Give a text as one segment of a path.
sub escape
{
	my ($text) = @_;

	return $text =~ s/([^A-Za-z0-9_.~-])/sprintf('%%%02X', ord $1)/ger;
}

# Give the last request that arrived.
sub last_request
{
	return ($sandbox->requests)[-1];
}

my %texts = (
	UTF8 => 'Zoë 日本 €😀',
	LATIN1 => 'Zoë Ångström',
	EUC_JP => '日本語 カナ',
	SQL_ASCII => 'Zoë 日本 €😀');
my %foreign = (LATIN1 => '日本 €', EUC_JP => '😀');

foreach my $encoding (sort keys %texts)
{
	my $session = make_database($encoding);
	my $text = $texts{$encoding};
	my $outside = $foreign{$encoding};

	$sandbox->reset;

	# what goes out
	$session->execute('SELECT allpass_status($1)', $text);
	is(last_request()->{target}, '/api/public/applicant/' . escape($text) . '/status', "$encoding: an id in a path");
	works($session->execute(q{SELECT allpass_create_applicant($1::text, $1, supplied_info => jsonb_build_object($1, $1)) ->> 'externalUserId'},
			$text), $text, "$encoding: an applicant is created");
	my $body = last_request()->{body};
	my $sent = eval { JSON::PP->new->decode($body) } || {};
	is($sent->{externalUserId}, $text, "$encoding: an id in a body");
	is_deeply($sent->{suppliedInfo}, { $text => $text }, "$encoding: a document in a body");
	works($session->execute('SELECT allpass_status($1)', $text), 'INIT', "$encoding: the applicant is found");

	# what comes back
	put_document('d', qq({"id":"d","status":"$text","fullName":"$text","n":12345678901234567890.123}));
	works($session->query(q{SELECT allpass_applicant('d') ->> 'fullName'}), $text, "$encoding: a text in a document");
	works($session->query(q{SELECT allpass_applicant('d') ->> 'n'}), '12345678901234567890.123', "$encoding: a number");
	works($session->query(q{SELECT allpass_status('d')}), $text, "$encoding: a status");
	put_document('d', qq({"servicesData":[{"service":"DOCUMENT_CAPTURE","data":{"fields":[{"fieldType":1,"data":[{"value":"$text"}]}]}}]}));
	works($session->query(q{SELECT value FROM allpass_document_fields('d')}), $text, "$encoding: a field of a document");

	# escapes of JSON stand for characters as well; without an encoding the
	# server knows those of ASCII only
	put_document('d', '{"fullName":"Zo\\u00eb \\ud83d\\ude00"}');
	my $result = $session->query(q{SELECT allpass_applicant('d') ->> 'fullName'});
	$encoding eq 'UTF8' ? works($result, 'Zoë 😀', "$encoding: escapes")
	  : fails_with($result, 'KY002', qr/cannot hold/, "$encoding: escapes of characters that it lacks");
	put_document('d', '{"fullName":"\\u0041\\n"}');
	works($session->query(q{SELECT allpass_applicant('d') ->> 'fullName'}), "A\n", "$encoding: escapes of ASCII");
	put_document('d', '{"fullName":"\\ud83d"}');
	fails_with($session->query(q{SELECT allpass_applicant('d')}), 'KY002', qr/./, "$encoding: half of an escape");

	# bytes that are no UTF-8 are refused, whatever the database takes
	foreach my $bytes ("\xeb", "\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf5\x80\x80\x80")
	{
		put_document('d', qq({"fullName":"a${bytes}b"}));
		fails_with($session->query(q{SELECT allpass_applicant('d')}), 'KY002', qr/./,
			sprintf('%s: the bytes %s are no text', $encoding, unpack('H*', $bytes)));
	}

	# what the API says of an error
	$sandbox->faults({ status => 400, message => $text });
	fails_with($session->execute('SELECT allpass_status($1)', 'x'), 'KY400', qr/\Q$text\E/, "$encoding: a message");
	# also when it repeats what it was told
	$sandbox->faults({ status => 400, message => "name $text is taken, $text\@example.com is not valid" });
	$result = $session->execute('SELECT allpass_create_applicant($1, $2, NULL, $3, NULL, $4::jsonb)', 'x', 'kyc',
		"$text\@example.com", qq({"name":"$text"}));
	fails_with($result, 'KY400', qr/name \[hidden\] is taken/, "$encoding: what was told is hidden");
	unlike($result->{error}{D} // '', qr/\Q$text\E/, "$encoding: all of it");
	$sandbox->faults;

	# a text that the database cannot hold
	if (defined $outside)
	{
		put_document('d', qq({"id":"d","status":"$outside"}));
		fails_with($session->query(q{SELECT allpass_applicant('d')}), 'KY002', qr/cannot hold/,
			"$encoding: a document that does not fit");
		fails_with($session->query(q{SELECT allpass_status('d')}), 'KY002', qr/cannot hold/,
			"$encoding: a status that does not fit");
		$sandbox->faults({ status => 409, message => "taken: $outside" });
		fails_with($session->query(q{SELECT allpass_status('d')}), 'KY409', qr/^M: Allpass API answered with status 409/m,
			"$encoding: a message that does not fit leaves the error what it is");
		$sandbox->faults;
	}
	$session->do("SELECT allpass_create_applicant('last-$encoding', 'kyc')");
	$session->close;
}

# Without an encoding a text may be any bytes; only UTF-8 may go out.
{
	my $session = AllpassTest::Session->new($node, dbname => 'in_sql_ascii', client_encoding => 'SQL_ASCII');
	my $before = $sandbox->stats('requests');

	foreach my $sql (q{SELECT allpass_status(E'a\xeb')}, q{SELECT allpass_create_applicant(E'a\xeb', 'kyc')},
		q{SELECT allpass_create_applicant('x', 'kyc', email => E'a\xeb')})
	{
		fails_with($session->query($sql), '22023', qr/not valid UTF-8/, 'bytes that are no UTF-8 are refused');
	}
	is($sandbox->stats('requests'), $before, 'and are not sent');
}

# The encoding of the client is another matter.
{
	my $session = AllpassTest::Session->new($node, dbname => 'in_utf8', client_encoding => 'LATIN1');

	$session->do("SELECT allpass_status(E'Zo\xeb', true)");
	is(last_request()->{target}, '/api/public/applicant/Zo%C3%AB/status', 'an id from a client with another encoding');
	put_document('d', '{"fullName":"Zoë"}');
	works($session->query(q{SELECT allpass_applicant('d') ->> 'fullName'}), "Zo\xeb", 'a text for such a client');
}

done_testing();
