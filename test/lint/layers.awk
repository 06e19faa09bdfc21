# layers.awk
#		Check that C files keep to the layers listed in the first file.
#
# Run by layers.sh after strip.awk.

# Return the stem of a path: its name without folder and ending.
function stem(path)
{
	sub(/.*\//, "", path)
	sub(/\.[ch]$/, "", path)
	return path
}

# Report a breach.
function breach(text)
{
	print FILENAME ":" FNR ": " text
	breaches++
}

# Take in one rule of the list.
function rule(    i)
{
	if ($1 == "layer")
	{
		for (i = 4; i <= NF; i++)
			level[$i] = $2
	}
	else if ($1 == "only" || $1 == "word")
	{
		kind[$2] = $1
		for (i = 3; i <= NF; i++)
			owner[$2, $i] = 1
	}
	else if ($1 == "quiet")
		quiet = $2
	else if ($1 == "throws")
	{
		for (i = 2; i <= NF; i++)
			throws[$i] = 1
	}
	else
		breach("not a rule: \"" $1 "\"")
}

# Check one include of a project header.
function check_own(header,    name)
{
	name = stem(header)
	if (!(name in level) || !(self in level) || name == self)
		return
	if (level[name] > level[self])
		breach(self " (level " level[self] ") includes " name " (level " level[name] "), which is above it")
	else if (level[name] == level[self])
		breach(self " and " name " are both on level " level[self] ", one includes the other")
}

# Check an include against the headers that belong to certain files.
function check_foreign(header,    prefix)
{
	for (prefix in kind)
	{
		if (kind[prefix] == "only" && index(header, prefix) == 1 && !((prefix, self) in owner))
			breach("<" header "> is not for " self)
	}
}

# Check the code of one line.
function check_code(code,    name)
{
	for (name in kind)
	{
		if (kind[name] == "word" && !((name, self) in owner) &&
			(" " code " ") ~ ("[^A-Za-z0-9_]" name "[^A-Za-z0-9_]"))
			breach(name " stands outside its file")
	}
	if (!(self in level) || level[self] > quiet || self in throws)
		return
	# The level of a report may stand on the line after the parenthesis.
	if ((pending code) ~ /(ereport|ereport_domain|elog)[ \t]*\([ \t]*(ERROR|FATAL|PANIC)/)
		breach(self " is on a level that does not throw")
	pending = ""
	if (code ~ /(ereport|ereport_domain|elog)[ \t]*\([ \t]*$/)
		pending = code
}

FILENAME == rules_file {
	sub(/#.*/, "")
	if (NF)
		rule()
	next
}

FNR == 1 {
	self = stem(FILENAME)
	in_comment = 0
	pending = ""
	seen[self] = 1
	if (!(self in level))
		breach(self " is in no layer")
}

{
	code = strip($0)
	if (code ~ /^[ \t]*#[ \t]*include/)
	{
		header = $0
		sub(/^[^"<]*["<]/, "", header)
		sub(/[">].*/, "", header)
		if ($0 ~ /"/)
			check_own(header)
		check_foreign(header)
	}
	else
		check_code(code)
}

END {
	for (name in level)
	{
		if (!(name in seen))
		{
			print rules_file ": " name " is listed, but not there"
			breaches++
		}
	}
	exit breaches > 0
}
