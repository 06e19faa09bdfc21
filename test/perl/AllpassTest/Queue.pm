# AllpassTest/Queue.pm
#		The queue of a database: its jobs, and who carries them out.
#
# It has a session of its own, so that a test can hold transactions open in
# others.

package AllpassTest::Queue;

use strict;
use warnings;

use AllpassTest ();
use AllpassTest::Session;

# Look at the queue of a database; server_url makes a server for its jobs.
sub new
{
	my ($class, $node, %options) = @_;
	my $self = bless { session => AllpassTest::Session->new($node, dbname => $options{dbname} // 'postgres') }, $class;

	AllpassTest::make_server($self->session, 'allpass', $options{server_url}, %{ $options{server_options} || {} })
	  if defined $options{server_url};
	return $self;
}

# Give the session.
sub session
{
	my ($self) = @_;

	return $self->{session};
}

# Run a statement that must succeed, and give its first value.
sub value
{
	my ($self, $sql) = @_;

	return $self->session->value($sql);
}

# Put a value into a statement.
sub quote
{
	my ($value) = @_;

	return 'NULL' unless defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

# Give the statement that adds a job; further columns by their names, whose
# values are expressions.
sub insertion
{
	my ($operation, $applicant, %columns) = @_;

	$columns{operation} = quote($operation);
	$columns{applicant_id} = quote($applicant);
	return 'INSERT INTO allpass_queue (' . join(', ', sort keys %columns) . ') VALUES ('
	  . join(', ', map { $columns{$_} } sort keys %columns) . ') RETURNING id';
}

# Add a job and give its id.
sub add
{
	my ($self, @job) = @_;

	return $self->value(insertion(@job));
}

# Add a job that creates an applicant.
sub create
{
	my ($self, $applicant, %columns) = @_;

	return $self->add('create_applicant', $applicant, arguments => q('{"flow_name":"basic"}'), %columns);
}

# Give columns of a job as text: one, or a list of several.
sub job
{
	my ($self, $id, @columns) = @_;
	my $row = $self->session->do('SELECT ' . join(', ', map { "($_)::text" } @columns)
		  . " FROM allpass_queue WHERE id = $id")->{rows}[0];

	return wantarray ? @$row : $row->[0];
}

# Wait until a job has a state, and give the job's columns that are asked for.
sub await
{
	my ($self, $id, $state, @columns) = @_;

	eval {
		AllpassTest::poll(sub { $self->job($id, 'state') eq $state }, "job $id to be $state");
		1;
	} or die $@ . $self->describe("id = $id");
	return $self->job($id, @columns ? @columns : 'state');
}

# Wait until no job waits or is in flight, of those that match a condition.
sub settle
{
	my ($self, $condition) = @_;
	my $living = "state IN ('waiting', 'in_flight')" . (defined $condition ? " AND $condition" : '');

	eval {
		AllpassTest::poll(sub { $self->value("SELECT count(*) FROM allpass_queue WHERE $living") == 0 }, 'jobs to be settled');
		1;
	} or die $@ . $self->describe($living);
	return;
}

# Say how jobs stand, for a complaint.
sub describe
{
	my ($self, $condition) = @_;
	my $jobs = $self->session->do("SELECT concat_ws(' ', id, operation, applicant_id, state, attempts, run_at, "
		  . "retry_at, owner, in_doubt, error) FROM allpass_queue WHERE $condition ORDER BY id LIMIT 10");
	my $pauses = $self->session->do('SELECT p::text FROM allpass_queue_pauses p');

	return join("\n", '', (map { "job $_->[0]" } @{ $jobs->{rows} }),
		(map { "pause $_->[0]" } @{ $pauses->{rows} }), 'now ' . $self->value('SELECT now()'), '');
}

# Count jobs that match a condition.
sub count
{
	my ($self, $condition) = @_;

	return $self->value("SELECT count(*) FROM allpass_queue WHERE $condition");
}

# Forget all jobs and pauses.
sub clear
{
	my ($self) = @_;

	$self->session->do('DELETE FROM allpass_queue; DELETE FROM allpass_queue_pauses');
	return;
}

# List the processes that work in the database.
sub workers
{
	my ($self) = @_;

	return map { $_->[0] } @{ $self->session->do('SELECT pid FROM pg_stat_activity '
			  . "WHERE datname = current_database() AND backend_type = 'allpass worker' AND state IS NOT NULL ORDER BY pid")->{rows} };
}

# Wait until so many workers are there, and give their process ids.
sub await_workers
{
	my ($self, $count) = @_;

	$count //= 1;
	AllpassTest::poll(sub { $self->workers == $count }, "$count workers");
	return wantarray ? $self->workers : ($self->workers)[0];
}

# End the session.
sub close
{
	my ($self) = @_;

	$self->session->close;
	return;
}

1;
