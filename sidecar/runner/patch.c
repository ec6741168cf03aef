#include "sidecar/runner/patch.h"

#define LINE_MAX_SHOWN ((1u << PATCH_FAULT_LINE_BITS) - 1)
/* A line's number in a hunk's head. Larger ones are in no file below the limit. */
#define NUMBER_MAX 99999999u

/* Text that is taken line by line, each with its newline if it has one. */
struct lines {
    const char *p;
    const char *end;
    size_t number; /* of the next line, from 1 */
};

struct line {
    const char *p;
    size_t len;
};

struct patcher {
    struct lines old;
    struct lines diff;
    char *out;
    size_t out_len;
    bool ended; /* the last line written has no newline: nothing may follow */
};

static uint32_t fault(enum patch_error error, size_t line)
{
    return (uint32_t)error << PATCH_FAULT_LINE_BITS | (uint32_t)MIN(line, (size_t)LINE_MAX_SHOWN);
}

static uint32_t malformed(const struct patcher *p)
{
    return fault(PATCH_MALFORMED, p->diff.number);
}

static uint32_t mismatch(const struct patcher *p)
{
    return fault(PATCH_MISMATCH, p->old.number);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool peek(const struct lines *l, struct line *ret)
{
    size_t left = (size_t)(l->end - l->p);
    const char *newline = left ? memchr(l->p, '\n', left) : NULL;

    *ret = (struct line){.p = l->p, .len = newline ? (size_t)(newline - l->p) + 1 : left};
    return left > 0;
}

static void next(struct lines *l, const struct line *line)
{
    l->p += line->len;
    l->number++;
}

static bool starts_with(const struct line *line, const char *s)
{
    return line->len >= strlen(s) && memcmp(line->p, s, strlen(s)) == 0;
}

static bool has_newline(const struct line *line)
{
    return line->len > 0 && line->p[line->len - 1] == '\n';
}

static bool is_empty(const struct line *line)
{
    return line->len == 1 ? line->p[0] == '\n' : line->len == 2 && memcmp(line->p, "\r\n", 2) == 0;
}

/* false: something would stand behind a line without a newline. */
static bool emit(struct patcher *p, const char *data, size_t len, bool newline)
{
    if (p->ended)
        return false;
    memcpy(p->out + p->out_len, data, len);
    p->out_len += len;
    if (newline)
        p->out[p->out_len++] = '\n';
    p->ended = p->out_len == 0 || p->out[p->out_len - 1] != '\n';
    return true;
}

/* ---- a hunk's head --------------------------------------------------------------------------- */

struct hunk {
    size_t old_start;
    size_t old_count;
    size_t new_count;
};

static bool take_number(struct line *l, size_t *ret)
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

static bool take_text(struct line *l, const char *s)
{
    if (!starts_with(l, s))
        return false;
    l->p += strlen(s);
    l->len -= strlen(s);
    return true;
}

/* START[,COUNT] */
static bool take_range(struct line *l, size_t *ret_start, size_t *ret_count)
{
    *ret_count = 1;
    return take_number(l, ret_start) && (!take_text(l, ",") || take_number(l, ret_count)) &&
           (*ret_start > 0 || *ret_count == 0);
}

/* @@ -1,3 +1,4 @@ and anything */
static bool parse_head(struct line l, struct hunk *ret)
{
    size_t new_start;

    return take_text(&l, "@@ -") && take_range(&l, &ret->old_start, &ret->old_count) &&
           take_text(&l, " +") && take_range(&l, &new_start, &ret->new_count) &&
           take_text(&l, " @@") && (ret->old_count > 0 || ret->new_count > 0);
}

/* ---- a hunk's lines -------------------------------------------------------------------------- */

/* One line of the diff, without its mark; newline: the line of the file has one. */
struct edit {
    char mark; /* ' ', '-', '+' */
    struct line text;
    bool newline;
};

/* The next line of a hunk with what the line behind it says about its newline. */
static bool take_edit(struct patcher *p, struct edit *ret)
{
    struct line l, marker;

    if (!peek(&p->diff, &l))
        return false;
    *ret = (struct edit){.mark = l.p[0], .text = l, .newline = true};
    if (is_empty(&l)) {
        ret->mark = ' ';
    } else {
        ret->text.p++;
        ret->text.len--;
    }
    if (ret->mark != ' ' && ret->mark != '-' && ret->mark != '+')
        return false;
    next(&p->diff, &l);
    if (has_newline(&ret->text))
        ret->text.len--;
    if (!peek(&p->diff, &marker) || !starts_with(&marker, "\\ "))
        return true;
    next(&p->diff, &marker);
    ret->newline = false;
    return true;
}

/* The file's next line is the one of the edit; moves behind it. */
static bool take_old(struct patcher *p, const struct edit *e)
{
    struct line l;

    if (!peek(&p->old, &l) || l.len != e->text.len + e->newline ||
        memcmp(l.p, e->text.p, e->text.len) != 0 || has_newline(&l) != e->newline)
        return false;
    next(&p->old, &l);
    return true;
}

/* Copies the file's lines up to the one with that number. */
static uint32_t copy_until(struct patcher *p, size_t number)
{
    struct line l;

    if (number < p->old.number)
        return malformed(p);
    while (p->old.number < number) {
        if (!peek(&p->old, &l))
            return mismatch(p);
        if (!emit(p, l.p, l.len, false))
            return malformed(p);
        next(&p->old, &l);
    }
    return 0;
}

static uint32_t apply_edit(struct patcher *p, const struct edit *e, struct hunk *left)
{
    bool in_old = e->mark != '+', in_new = e->mark != '-';

    if ((in_old && left->old_count == 0) || (in_new && left->new_count == 0))
        return fault(PATCH_MALFORMED, p->diff.number - 1);
    left->old_count -= in_old;
    left->new_count -= in_new;
    if (in_old && !take_old(p, e))
        return mismatch(p);
    if (in_new && !emit(p, e->text.p, e->text.len, e->newline))
        return fault(PATCH_MALFORMED, p->diff.number - 1);
    return 0;
}

static uint32_t apply_hunk(struct patcher *p, struct hunk h)
{
    /* Without old lines it goes behind the line of that number. */
    uint32_t f = copy_until(p, h.old_count ? h.old_start : h.old_start + 1);
    struct edit e;

    while (f == 0 && (h.old_count > 0 || h.new_count > 0)) {
        if (!take_edit(p, &e))
            return malformed(p);
        f = apply_edit(p, &e, &h);
    }
    return f;
}

/* ---- the whole diff -------------------------------------------------------------------------- */

/* Up to the first hunk. */
static uint32_t skip_head(struct patcher *p)
{
    struct line l;

    while (peek(&p->diff, &l) && !starts_with(&l, "@@ ")) {
        if (starts_with(&l, "+++ /dev/null"))
            return fault(PATCH_DELETES, p->diff.number);
        /* A file that is made is not there, or empty. */
        if (starts_with(&l, "--- /dev/null") && p->old.p < p->old.end)
            return mismatch(p);
        next(&p->diff, &l);
    }
    return l.len > 0 ? 0 : fault(PATCH_NO_HUNK, 0);
}

static bool begins_file(const struct line *l)
{
    return starts_with(l, "--- ") || starts_with(l, "diff ") || starts_with(l, "Index: ");
}

/* Behind a hunk: the next one, or the end. */
static uint32_t skip_gap(struct patcher *p, bool *ret_more)
{
    struct line l;

    *ret_more = false;
    while (peek(&p->diff, &l)) {
        *ret_more = starts_with(&l, "@@ ");
        if (*ret_more || starts_with(&l, "-- \n"))
            return 0;
        if (begins_file(&l))
            return fault(PATCH_SEVERAL, p->diff.number);
        if (!is_empty(&l))
            return malformed(p);
        next(&p->diff, &l);
    }
    return 0;
}

static uint32_t apply_all(struct patcher *p)
{
    uint32_t f = skip_head(p);
    bool more = true;
    struct hunk h;
    struct line l;

    while (f == 0 && more) {
        if (!peek(&p->diff, &l) || !parse_head(l, &h))
            return malformed(p);
        next(&p->diff, &l);
        f = apply_hunk(p, h);
        if (f == 0)
            f = skip_gap(p, &more);
    }
    if (f == 0 && p->old.p < p->old.end &&
        !emit(p, p->old.p, (size_t)(p->old.end - p->old.p), false))
        return malformed(p);
    return f;
}

uint32_t patch_apply(const char *old, size_t old_len, const char *diff, size_t diff_len, char **ret,
                     size_t *ret_len)
{
    struct patcher p = {.old = {old, old + old_len, 1}, .diff = {diff, diff + diff_len, 1}};
    uint32_t f;

    if (old_len > PATCH_FILE_MAX)
        return fault(PATCH_TOO_LARGE, 0);
    /* What is added stands in the diff with its mark, which makes room for a newline. */
    p.out = xmalloc(old_len + diff_len + 1);
    f = apply_all(&p);
    if (f == 0 && p.out_len > PATCH_FILE_MAX)
        f = fault(PATCH_TOO_LARGE, 0);
    if (f) {
        free(p.out);
        return f;
    }
    *ret = p.out;
    *ret_len = p.out_len;
    return 0;
}

enum patch_error patch_fault_error(uint32_t f)
{
    return (enum patch_error)(f >> PATCH_FAULT_LINE_BITS);
}

char *patch_fault_text(uint32_t f)
{
    unsigned line = f & LINE_MAX_SHOWN;

    switch (patch_fault_error(f)) {
    case PATCH_NO_HUNK:
        return xstrdup("the patch has no hunk");
    case PATCH_MALFORMED:
        return xasprintf("line %u of the patch is not what a unified diff has there", line);
    case PATCH_MISMATCH:
        return xasprintf("the patch does not fit: line %u of the file is not what it expects",
                         line);
    case PATCH_SEVERAL:
        return xasprintf("the patch is for more than one file (its line %u)", line);
    case PATCH_DELETES:
        return xasprintf("the patch removes the file (its line %u)", line);
    case PATCH_TOO_LARGE:
        return xasprintf("a file larger than %u bytes can not be patched", PATCH_FILE_MAX);
    case PATCH_OK:
        break;
    }
    return xstrdup("the patch could not be applied");
}
