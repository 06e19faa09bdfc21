# examples.awk
#		Print the examples in SQL of README.md that are meant to run, in an order
#		in which they do: those of the section "Connecting" first.
#
#	awk -v url=URL -v key_file=FILE -f examples.awk README.md README.md
#
# The file is read twice.  An example that begins with "```sql skip" is left
# out.  The address and the key files of the examples are replaced.

FNR == 1 { pass++ }
/^## / { connecting = $0 == "## Connecting" }
/^```sql$/ { inside = connecting == (pass == 1); next }
/^```/ { inside = 0 }
inside {
	gsub(/https:\/\/api\.example\.com/, url)
	gsub(/\/etc\/allpass\/[a-z-]+/, key_file)
	print
}
