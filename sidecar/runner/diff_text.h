/*
 * Recognizes the text around the files of a patch: mails, commit messages, the lines of svn, CVS
 * and diff -r before a file, and lines that mention a change which the patch does not have. Pure.
 */
#ifndef ARL_SIDECAR_RUNNER_DIFF_TEXT_H
#define ARL_SIDECAR_RUNNER_DIFF_TEXT_H

#include "sidecar/runner/diff_line.h"

#define DIFF_OTHER_FORMAT                                                                          \
    "is of another format (a context diff, or \"*** Begin Patch\"): only unified diffs can be "    \
    "applied"

/* A line without its end. */
struct diff_line diff_trimmed(struct diff_line l);
/* Whether it has only blanks and tabs. */
bool diff_is_blank(struct diff_line l);
/* Whether it is a line of a hunk. */
bool diff_is_edit(const struct diff_line *l);
/* Whether a file begins here: "diff --git", or "---" and "+++". */
bool diff_begins_file(const struct diff_lines *in);
/* Whether a mail's signature begins here: "-- " and then git's version. Mail programs cut off the
 * blank. */
bool diff_at_signature(const struct diff_lines *in);
/* Whether a text begins here that may have any lines, up to the next file. */
bool diff_begins_text(const struct diff_lines *in);
/* For a line behind a file, where no such text has begun. Whether it may be a line of a hunk that
 * the hunk's head does not count, or the head of an indented or quoted file or hunk. in_prose: a
 * sentence stands before the line, so "- one" may be the item of a list. */
bool diff_may_be_lost(const struct diff_lines *in, bool in_prose);
/* If the line mentions a change that the patch does not have: why that is so. NULL: it does not. */
const char *diff_left_out(const struct diff_lines *in);

#endif
