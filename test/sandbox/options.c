/*-------------------------------------------------------------------------
 *
 * options.c
 *		The command line.
 *
 * Whatever is not about the process itself is a field of the configuration,
 * with a dash for the underscore.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define MAX_THREADS 64
#define MAX_LOG_SIZE 1000000

static const char usage[] =
"A local Allpass for tests: the ten calls of the public API, in memory.\n"
"\n"
"Usage: sandbox [OPTION VALUE]...\n"
"  --address ADDRESS       loopback address to listen on (127.0.0.1)\n"
"  --port N                port, 0 for any that is free (0)\n"
"  --port-file PATH        write the port there once it listens\n"
"  --api-key KEY           expected x-private-app-key (sandbox-key)\n"
"  --tls-cert FILE         certificate chain in PEM; serve https\n"
"  --tls-key FILE          its private key in PEM\n"
"  --encryption METHOD     none, aes-256-cbc or aes-256-gcm (none)\n"
"  --crypto-key KEY        64 hexadecimal digits (00 01 02 ... 1f)\n"
"  --hmac-key KEY          hexadecimal digits, or any text (20 21 22 ... 3f)\n"
"  --signature-key FORM    the HMAC key is hex or text (hex)\n"
"  --signature-over WHAT   wire, bytes, plaintext, body or none (wire)\n"
"  --gcm-iv-length N       16 or 12 (16)\n"
"  --tag PLACE             the GCM tag goes in the header or inband (header)\n"
"  --mode MODE             live or test: in test mode deletion is at once (live)\n"
"  --delay-ms N            milliseconds before each answer of the API (0)\n"
"  --log BOOL              true or false: keep the last requests (true)\n"
"  --log-size N            how many of them to keep (1000)\n"
"  --threads N             threads that serve connections (1)\n"
"  --help                  print this\n";

/* Say what is wrong and end the process */
static void __attribute__((format(printf, 1, 2), noreturn))
fail(const char *format, ...)
{
	va_list		arguments;

	fputs("sandbox: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\n", stderr);
	exit(2);
}

/* Read a number within bounds */
static int
read_number(const char *name, const char *value, long minimum, long maximum)
{
	char	   *end;
	long		number = strtol(value, &end, 10);

	if (end == value || *end != '\0' || number < minimum || number > maximum)
		fail("%s must be a number from %ld to %ld", name, minimum, maximum);
	return (int) number;
}

/* Read a whole file */
static char *
read_file(const char *path)
{
	FILE	   *file = fopen(path, "rb");
	SbText		text = {0};
	char		buffer[4096];
	size_t		length;

	if (file == NULL)
		fail("could not open \"%s\"", path);
	while ((length = fread(buffer, 1, sizeof(buffer), file)) > 0)
		sb_text_add(&text, buffer, length);
	fclose(file);
	if (text.length == 0)
		fail("could not read \"%s\"", path);
	return text.data;
}

/*
 * Work out the address to listen on.
 *
 * The control path asks for no key, so nobody but this machine may reach it.
 */
static void
read_address(SbOptions *options, const char *text, int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) &options->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &options->address;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1 &&
		ntohl(v4->sin_addr.s_addr) >> 24 == 127)
	{
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t) port);
	}
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 &&
			 IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))
	{
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t) port);
	}
	else
		fail("--address must be a loopback address such as 127.0.0.1 or ::1");
}

/* Set a field of the configuration from an option such as --api-key */
static void
read_config(SbOptions *options, const char *option, const char *value)
{
	SbText		name = {0};
	SbText		error = {0};

	sb_text_puts(&name, option + 2);
	for (size_t i = 0; i < name.length; i++)
		if (name.data[i] == '-')
			name.data[i] = '_';
	if (!sb_config_set(&options->config, sb_text_slice(&name), value, &error))
		fail("%s (try --help)", error.data);
	sb_text_free(&name);
	sb_text_free(&error);
}

/* Read the command line, or end the process with the reason */
void
sb_options_read(SbOptions *options, int count, char **arguments)
{
	const char *address = "127.0.0.1";
	int			port = 0;
	SbText		error = {0};

	memset(options, 0, sizeof(*options));
	options->threads = 1;
	options->log_size = 1000;
	sb_config_defaults(&options->config);
	for (int i = 1; i < count; i += 2)
	{
		const char *name = arguments[i];
		const char *value = arguments[i + 1];

		if (strcmp(name, "--help") == 0)
		{
			fputs(usage, stdout);
			exit(0);
		}
		if (strncmp(name, "--", 2) != 0 || value == NULL)
			fail("%s needs a value (try --help)", name);
		if (strcmp(name, "--address") == 0)
			address = value;
		else if (strcmp(name, "--port") == 0)
			port = read_number(name, value, 0, 65535);
		else if (strcmp(name, "--port-file") == 0)
			options->port_file = value;
		else if (strcmp(name, "--threads") == 0)
			options->threads = read_number(name, value, 1, MAX_THREADS);
		else if (strcmp(name, "--log-size") == 0)
			options->log_size = read_number(name, value, 1, MAX_LOG_SIZE);
		else if (strcmp(name, "--tls-cert") == 0 && options->certificate == NULL)
			options->certificate = read_file(value);
		else if (strcmp(name, "--tls-key") == 0 && options->private_key == NULL)
			options->private_key = read_file(value);
		else
			read_config(options, name, value);
	}
	if ((options->certificate == NULL) != (options->private_key == NULL))
		fail("--tls-cert and --tls-key go together");
	if (!sb_config_check(&options->config, &error))
		fail("%s", error.data);
	read_address(options, address, port);
}

/* Free what the command line named */
void
sb_options_free(SbOptions *options)
{
	free(options->certificate);
	free(options->private_key);
}

/* Write the port file, which appears whole or not at all */
bool
sb_options_write_port(const SbOptions *options, int port)
{
	SbText		path = {0};
	FILE	   *file;
	bool		done;

	if (options->port_file == NULL)
		return true;
	sb_text_printf(&path, "%s.new", options->port_file);
	file = fopen(path.data, "w");
	done = file != NULL && fprintf(file, "%d\n", port) > 0;
	done = file != NULL && fclose(file) == 0 && done;
	done = done && rename(path.data, options->port_file) == 0;
	if (!done)
		perror("sandbox: could not write the port file");
	sb_text_free(&path);
	return done;
}
