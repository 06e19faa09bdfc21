# strip.awk
#		Functions to look at C code without its comments and strings.

# Return the line with comments and the insides of literals blanked, so that
# columns stay; in_comment and last_comment carry over from line to line.
function strip(line,    out, i, c, two, quote)
{
	out = ""
	quote = ""
	for (i = 1; i <= length(line); i++)
	{
		c = substr(line, i, 1)
		two = substr(line, i, 2)
		if (in_comment)
		{
			if (two == "*/")
			{
				in_comment = 0
				last_comment = FNR
				out = out " "
				i++
			}
			c = c == "\t" ? c : " "
		}
		else if (quote != "")
		{
			if (c == "\\")
			{
				out = out " "
				i++
				c = " "
			}
			else if (c == quote)
				quote = ""
			else
				c = " "
		}
		else if (two == "/*")
		{
			in_comment = 1
			out = out " "
			i++
			c = " "
		}
		else if (two == "//")
			return out substr(line, i)
		else if (c == "\"" || c == "'")
			quote = c
		out = out c
	}
	return out
}
