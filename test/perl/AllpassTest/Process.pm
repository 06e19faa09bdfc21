# AllpassTest/Process.pm
#		Processes that end with the test, however it ends.

package AllpassTest::Process;

use strict;
use warnings;

use Carp;
use POSIX ();

my %running;

# Run code in a process of its own, and give its id.
sub run
{
	my ($code) = @_;
	my $pid = fork() // croak "could not fork: $!";

	if ($pid == 0)
	{
		# not the test framework's, which would clean up after the test
		$SIG{$_} = 'DEFAULT' foreach qw(TERM INT HUP ALRM __DIE__);
		eval { $code->() };
		POSIX::_exit(127);
	}
	$running{$pid} = 1;
	return $pid;
}

# Start a program with its output in a file, and give its id.
sub start
{
	my ($output, @command) = @_;

	return run(sub {
			open(STDIN, '<', '/dev/null');
			open(STDOUT, '>', $output);
			open(STDERR, '>&', \*STDOUT);
			exec { $command[0] } @command;
		});
}

# Tell whether a process has ended by itself.
sub has_ended
{
	my ($pid) = @_;

	return waitpid($pid, POSIX::WNOHANG()) != 0;
}

# End a process and wait for its end.
sub stop
{
	my ($pid) = @_;

	delete $running{$pid} or return;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

END
{
	my $status = $?;

	stop($_) foreach keys %running;
	$? = $status;
}

1;
