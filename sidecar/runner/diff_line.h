/*
 * The lines of a patch, one after the other, and the heads of its hunks. Pure.
 */
#ifndef ARL_SIDECAR_RUNNER_DIFF_LINE_H
#define ARL_SIDECAR_RUNNER_DIFF_LINE_H

#include "common/base/base.h"

/* Text that is read line by line. A line includes its newline, if it has one. */
struct diff_lines {
    const char *p;
    const char *end;
    size_t number; /* of the next line, from 1 */
};
struct diff_line {
    const char *p;
    size_t len;
};
/* The next line, without moving on; false at the end. */
bool diff_peek(const struct diff_lines *l, struct diff_line *ret);
void diff_next(struct diff_lines *l);
bool diff_line_starts(const struct diff_line *line, const char *s);
/* The same; if so, it cuts s off the line. */
bool diff_take_text(struct diff_line *line, const char *s);
/* Whether the line is only "\n" or "\r\n". */
bool diff_line_empty(const struct diff_line *line);

/* The head of a hunk: @@ -OLD[,COUNT] +NEW[,COUNT] @@. */
struct diff_hunk {
    size_t old_start;
    size_t old_count;
    size_t new_start;
    size_t new_count;
};
bool diff_hunk_head(struct diff_line line, struct diff_hunk *ret);

#endif
