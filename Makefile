# Builds the extension with PGXS.  README.md, "Developing", tells how to test.

EXTENSION = allpass
MODULE_big = allpass
DATA = $(wildcard sql/allpass--*.sql)
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --encoding=UTF8
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=.
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

# the version stands in the control file only
AP_VERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" allpass.control)

PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) -DAP_VERSION='"$(AP_VERSION)"' $(shell pkg-config --cflags libcurl json-c libcrypto)
PG_CFLAGS = -Wall -Wextra -fvisibility=hidden
SHLIB_LINK = $(shell pkg-config --libs libcurl json-c libcrypto)

# bitcode for JIT inlining is of no use here, and would need a second compiler
override with_llvm = no

EXTRA_CLEAN = src/*.o tmp_check output_iso

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# the server's own flags are those of its compiler, usually gcc
ifneq (,$(findstring clang,$(CC)))
override CFLAGS += -Wno-ignored-optimization-argument -Wno-ignored-attributes -Wno-unknown-warning-option
endif

# PGXS tracks no headers
$(OBJS): $(wildcard src/*.h) allpass.control

.PHONY: codes check-codes
codes:
	sh src/codes/generate.sh > src/codes_data.h

check-codes:
	sh src/codes/generate.sh | diff -u src/codes_data.h -
