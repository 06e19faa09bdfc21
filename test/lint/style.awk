# style.awk
#		Check the form of C files: what the compilers do not see.
#
# Run by style.sh after strip.awk.  A chunk is what stands between two ends of
# declarations at the outermost level; one that ends in a body is a function.

# Report a breach at a line.
function breach(line, text)
{
	print FILENAME ":" line ": " text
	breaches++
}

# Start a new chunk.
function start_chunk()
{
	chunk = ""
	chunk_line = 0
}

# Check the blanks of a line.
function check_blanks()
{
	if ($0 ~ /[ \t\r]$/)
		breach(FNR, "blanks at the end of the line")
	if (!was_in_comment && ($0 ~ /^\t*    / || $0 ~ /^ +\t/))
		breach(FNR, "indented by blanks instead of tabs")
}

# Check that the error raised by the statement gathered has a code.
function check_errcode(code)
{
	if (code ~ /(^|[^A-Za-z0-9_])ereport[ \t]*\(/)
	{
		raising = ""
		raising_line = FNR
	}
	if (!raising_line)
		return
	raising = raising " " code
	if (code !~ /;[ \t]*$/)
		return
	if (raising ~ /ereport[ \t]*\([ \t]*(ERROR|FATAL|PANIC)/ && raising !~ /errcode/)
		breach(raising_line, "an error without an errcode")
	raising_line = 0
}

# A function's body begins: check what stands before it.
function begin_function()
{
	body_line = FNR
	in_function = 1
	if (comment_before != chunk_line - 1)
		breach(chunk_line, "a function without a comment before it")
}

# A function's body ends: check its length.
function end_function()
{
	if (FNR - body_line > 80)
		breach(body_line, "a function of " (FNR - body_line) " lines; at most 80 are allowed")
	in_function = 0
}

# Say whether the chunk, which ends in a brace, is the head of a function.
function is_function()
{
	return chunk ~ /\)[ \t]*\{$/ && chunk !~ /=/
}

# Follow the code at the outermost level, where functions begin and end.
function follow(code,    i, c)
{
	for (i = 1; i <= length(code); i++)
	{
		c = substr(code, i, 1)
		if (!chunk_line && c ~ /[^ \t]/)
		{
			chunk_line = FNR
			comment_before = last_comment
		}
		if (c == "}")
			depth--
		if (depth == 0 && chunk_line)
			chunk = chunk c
		if (c == "{" && depth++ == 0 && is_function())
		{
			if (i > 1)
				breach(FNR, "the brace of a function is not at the start of a line")
			begin_function()
		}
		else if (c == "}" && depth == 0 && in_function)
		{
			end_function()
			start_chunk()
		}
		# PG_FUNCTION_INFO_V1(name); stands between a function and its comment.
		else if (c == ";" && depth == 0 && chunk !~ /PG_FUNCTION_INFO_V1[^;]*;$/)
			start_chunk()
	}
	chunk = chunk " "
}

FNR == 1 {
	in_comment = 0
	last_comment = -1
	depth = 0
	in_function = 0
	in_macro = 0
	raising_line = 0
	start_chunk()
}

{
	was_in_comment = in_comment
	code = strip($0)
	check_blanks()
	if (code ~ /\/\//)
		breach(FNR, "a comment with //")
	check_errcode(code)
	if (in_macro || code ~ /^[ \t]*#/)
		in_macro = ($0 ~ /\\$/)
	else
		follow(code)
}

END {
	exit breaches > 0
}
