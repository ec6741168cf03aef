#include "sidecar/runner/diff_line.h"

/* A line's number in a hunk's head. Larger ones are in no file below the limit. */
#define NUMBER_MAX 99999999u

bool diff_peek(const struct diff_lines *l, struct diff_line *ret)
{
    size_t left = (size_t)(l->end - l->p);
    const char *newline = left ? memchr(l->p, '\n', left) : NULL;

    *ret = (struct diff_line){.p = l->p, .len = newline ? (size_t)(newline - l->p) + 1 : left};
    return left > 0;
}

void diff_next(struct diff_lines *l)
{
    struct diff_line line;

    if (!diff_peek(l, &line))
        return;
    l->p += line.len;
    l->number++;
}

bool diff_line_starts(const struct diff_line *line, const char *s)
{
    return line->len >= strlen(s) && memcmp(line->p, s, strlen(s)) == 0;
}

bool diff_line_empty(const struct diff_line *line)
{
    return (line->len == 1 && line->p[0] == '\n') ||
           (line->len == 2 && memcmp(line->p, "\r\n", 2) == 0);
}

bool diff_take_text(struct diff_line *l, const char *s)
{
    if (!diff_line_starts(l, s))
        return false;
    l->p += strlen(s);
    l->len -= strlen(s);
    return true;
}

static bool take_number(struct diff_line *l, size_t *ret)
{
    size_t v = 0, digits = 0;

    for (; digits < l->len && l->p[digits] >= '0' && l->p[digits] <= '9'; digits++) {
        v = 10 * v + (size_t)(l->p[digits] - '0');
        if (v > NUMBER_MAX)
            return false;
    }
    l->p += digits;
    l->len -= digits;
    *ret = v;
    return digits > 0;
}

/* START[,COUNT] */
static bool take_range(struct diff_line *l, size_t *ret_start, size_t *ret_count)
{
    *ret_count = 1;
    return take_number(l, ret_start) && (!diff_take_text(l, ",") || take_number(l, ret_count)) &&
           (*ret_start > 0 || *ret_count == 0);
}

bool diff_hunk_head(struct diff_line l, struct diff_hunk *ret)
{
    return diff_take_text(&l, "@@ -") && take_range(&l, &ret->old_start, &ret->old_count) &&
           diff_take_text(&l, " +") && take_range(&l, &ret->new_start, &ret->new_count) &&
           diff_take_text(&l, " @@") && (ret->old_count > 0 || ret->new_count > 0);
}
