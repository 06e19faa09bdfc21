# judge.awk
#		Tell valgrind's findings that concern us from the server's own.
#
# Reads the logs of all processes.  A finding is a run of lines with a frame
# "at 0x".  It concerns us if one of its frames is in a source file of TREE or
# in a library that only we use, or use in our own way.  Prints those, and a line of
# counts: processes, findings of ours, findings of the server's own.  Ends with
# status 1 if there are findings of ours, or a process has no end.

# Judge the finding gathered.
function judge()
{
	if (text ~ /[ \t]at 0x/)
	{
		if (index(text, tree "/src/") || text ~ /lib(curl|json-c|ssl|crypto)[.-]/)
		{
			ours++
			printf "%s\n", text
		}
		else
			others++
	}
	text = ""
}

BEGIN {
	ours = others = processes = ended = 0
}

FNR == 1 {
	judge()
	processes++
}

/^==[0-9]+== ERROR SUMMARY/ {
	ended++
}

{
	if ($0 ~ /^==[0-9]+== *$/)
		judge()
	else
		text = text $0 "\n"
}

END {
	judge()
	printf "%d processes, %d findings, %d of the server's own\n", processes, ours, others
	if (ended < processes)
		printf "%d processes did not end well\n", processes - ended
	exit ours > 0 || ended < processes || processes == 0
}
