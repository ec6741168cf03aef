/*
 * What stands around the files of a patch: mails, commits' messages, what svn, CVS and diff -r say
 * before a file, and what tells of a change that the patch does not bring. Pure.
 */
#ifndef ARL_SIDECAR_RUNNER_DIFF_TEXT_H
#define ARL_SIDECAR_RUNNER_DIFF_TEXT_H

#include "sidecar/runner/diff.h"

#define DIFF_OTHER_FORMAT                                                                          \
    "is of another format (a context diff, or \"*** Begin Patch\"): only unified diffs can be "    \
    "applied"

/* A line without its end. */
struct diff_line diff_trimmed(struct diff_line l);
/* Nothing but blanks and tabs. */
bool diff_is_blank(struct diff_line l);
/* A line of a hunk. */
bool diff_is_edit(const struct diff_line *l);
/* Here a file begins: "diff --git", or "---" and "+++". */
bool diff_begins_file(const struct diff_lines *in);
/* A mail's signature, "-- " and then git's version; mail programs cut off the blank. */
bool diff_at_signature(const struct diff_lines *in);
/* Text begins here that may go on with any lines, up to the next file. */
bool diff_begins_text(const struct diff_lines *in);
/* Behind a file, where no such text has begun: what may be of a hunk although none counts it, or be
 * a file or a hunk that is indented or quoted. in_prose: a sentence stands in front, so that a list
 * ("- one") may follow. */
bool diff_may_be_lost(const struct diff_lines *in, bool in_prose);
/* A change is told of here that can not be made of what the patch has: why; NULL: none is. */
const char *diff_left_out(const struct diff_lines *in);

#endif
