\echo Use "ALTER EXTENSION allpass UPDATE TO '1.1'" to load this file. \quit
