/*
 * Names in a patch, as git and diff(1) write them, and the dates behind them. Pure.
 */
#ifndef ARL_SIDECAR_RUNNER_DIFF_NAME_H
#define ARL_SIDECAR_RUNNER_DIFF_NAME_H

#include "sidecar/runner/diff.h"

/* A name in git's quotes at the front of l, which is moved behind it; owned. NULL: it is none. */
char *diff_take_quoted(struct diff_line *l);
/* The rest of a line as a name: quoted, or up to a tab (behind which dates stand); owned. NULL: it
 * is none. */
char *diff_rest_name(struct diff_line l);
/* "a//b" is the file "a/b". */
void diff_squeeze(char *name);
/* Cuts off the first component, "a/" or "b/", and squeezes the rest. A name without a slash stays.
 */
void diff_strip(char *name);

/* Where the date of the file begins, "YYYY-MM-DD HH:MM:SS[.N] [+-]HHMM", behind a tab, or behind
 * blanks if a terminal has made them of the tab; the line's length: there is none. */
size_t diff_date_at(struct diff_line l);
/* Whether a date is that of a file that is not there, as diff -N has it: the beginning of 1970 in
 * UTC, told in any time zone. p: as found by diff_date_at(). */
bool diff_is_epoch(const char *p, size_t len);

#endif
