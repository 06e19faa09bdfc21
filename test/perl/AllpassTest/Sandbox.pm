# AllpassTest/Sandbox.pm
#		A running sandbox, and its control path.

package AllpassTest::Sandbox;

use strict;
use warnings;

use Carp;
use File::Temp;
use FindBin;
use HTTP::Tiny;
use JSON::PP;
use Time::HiRes qw(time);

use AllpassTest::Process;

# The longest that the sandbox may take to start, in seconds.
our $patience = 60;

# Start a sandbox with options of its command line, and wait until it listens.
# The option control_ca makes the control path use TLS with that CA file.
sub new
{
	my ($class, @options) = @_;
	my $self = bless { folder => File::Temp->newdir(TEMPLATE => 'sandbox.XXXXXX', TMPDIR => 1) }, $class;
	my $end = time() + $patience;
	my $port_file = "$self->{folder}/port";
	my $program = "$FindBin::RealBin/../sandbox/sandbox";

	-x $program or croak "there is no $program: make -C test/sandbox";
	if (@options && $options[0] eq 'control_ca')
	{
		(undef, $self->{ca}) = splice(@options, 0, 2);
	}
	my $pid = AllpassTest::Process::start("$self->{folder}/log", $program, '--port-file', $port_file, @options);
	until (-s $port_file)
	{
		croak 'the sandbox does not start' if AllpassTest::Process::has_ended($pid) || time() > $end;
		select(undef, undef, undef, 0.002);
	}
	open(my $file, '<', $port_file) or croak "could not read $port_file: $!";
	chomp($self->{port} = <$file>);
	$self->{http} = HTTP::Tiny->new(proxy => undef, http_proxy => undef, https_proxy => undef,
		timeout => 60, keep_alive => 1);
	return $self;
}

# Give the port.
sub port
{
	my ($self) = @_;

	return $self->{port};
}

# Give a base URL that leads here.
sub url
{
	my ($self, $host) = @_;

	return ($self->{ca} ? 'https' : 'http') . '://' . ($host // '127.0.0.1') . ":$self->{port}";
}

# Make a call of the control path: data go as JSON, or as they are if they are
# text, and what JSON comes back is returned.
sub control
{
	my ($self, $method, $path, $data) = @_;
	my $content = ref $data ? JSON::PP->new->canonical->encode($data) : $data;
	my $text;

	if ($self->{ca})
	{
		local $ENV{ALLPASS_SANDBOX_URL} = $self->url;
		local $ENV{ALLPASS_SANDBOX_CA} = $self->{ca};
		open(my $pipe, '-|', "$FindBin::RealBin/../sandbox/control", '-v', $method, $path,
			defined $content ? $content : ()) or croak "could not run control: $!";
		local $/;
		$text = <$pipe>;
		close $pipe or croak "$method $path failed";
	}
	else
	{
		my $answer = $self->{http}->request($method, $self->url . "/_sandbox/$path",
			defined $content ? { content => $content, headers => { 'content-type' => 'application/json' } } : {});

		croak "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
		$text = $answer->{content};
	}
	return $text =~ /\S/ ? JSON::PP->new->utf8(0)->allow_nonref->decode($text) : undef;
}

# Forget everything.
sub reset
{
	my ($self) = @_;

	$self->control('POST', 'reset');
	return;
}

# Give the counters, or one of them.
sub stats
{
	my ($self, $name) = @_;
	my $stats = $self->control('GET', 'stats');

	return defined $name ? $stats->{$name} : $stats;
}

# Give the requests that were logged.
sub requests
{
	my ($self) = @_;

	return @{ $self->control('GET', 'log') };
}

# Give what was asked of the API, in the order in which it came, without the
# cost of requests(): operation, applicant, status (undef if dropped), acted,
# key (of idempotency), api_key, connection and at.
sub calls
{
	my ($self) = @_;
	my $answer = $self->{http}->get($self->url . '/_sandbox/log');
	my @calls;

	foreach my $line (split(/\n/, $answer->{content}))
	{
		$line =~ /"operation":"(\w+)".*?"applicant":(?:null|"([^"]*)"),"status":(null|\d+),"acted":(true|false)/ or next;
		my %call = (operation => $1, applicant => $2, status => $3 eq 'null' ? undef : $3, acted => $4 eq 'true');

		($call{key}) = $line =~ /"idempotency_key":"([^"]*)"/;
		($call{api_key}) = $line =~ /"x-private-app-key":"([^"]*)"/;
		($call{connection}, $call{at}) = $line =~ /"connection":(\d+),"at":([\d.]+)\}/;
		push @calls, \%call;
	}
	return @calls;
}

# Give the calls about one applicant.
sub calls_for
{
	my ($self, $applicant) = @_;

	return grep { ($_->{applicant} // '') eq $applicant } $self->calls;
}

# Make applicants, by default c-1 to c-1000.
sub seed
{
	my ($self, %options) = @_;

	$self->control('POST', 'seed', { count => 1000, prefix => 'c-', status => 'APPROVED', %options });
	return;
}

# Set the rules of faults, in place of those that are there.
sub faults
{
	my ($self, @rules) = @_;

	$self->control('DELETE', 'faults');
	$self->control('POST', 'faults', \@rules) if @rules;
	return;
}

1;
