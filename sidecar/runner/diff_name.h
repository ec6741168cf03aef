/*
 * Names in a patch, as git and diff(1) write them, and the dates behind them. Pure.
 */
#ifndef ARL_SIDECAR_RUNNER_DIFF_NAME_H
#define ARL_SIDECAR_RUNNER_DIFF_NAME_H

#include "sidecar/runner/diff_line.h"

/* Takes a name in git's quotes off the front of l; owned. NULL: there is no such name. */
char *diff_take_quoted(struct diff_line *l);
/* The rest of a line as a name: quoted, or up to a tab, which a date follows; owned. NULL: it is
 * not a name. */
char *diff_rest_name(struct diff_line l);
/* "a//b" is the file "a/b". */
void diff_squeeze(char *name);
/* Cuts off the first component, "a/" or "b/", and squeezes the rest. A name without a slash stays.
 */
void diff_strip(char *name);

/* The offset of the file's date in the line, "YYYY-MM-DD HH:MM:SS[.N] [+-]HHMM". It stands behind a
 * tab, or behind blanks if a terminal has replaced the tab. The line's length: there is no date. */
size_t diff_date_at(struct diff_line l);
/* Whether the date is the beginning of 1970 in UTC, in any time zone: diff -N writes that for a
 * file that does not exist. p: as found by diff_date_at(). */
bool diff_is_epoch(const char *p, size_t len);

#endif
