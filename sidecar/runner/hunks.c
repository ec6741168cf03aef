#include "sidecar/runner/hunks.h"

#include <errno.h>
#include <stdio.h>

#define SHOWN_MAX 60 /* bytes of a line that a message quotes */
#define NOWHERE SIZE_MAX

/* A line without its newline. */
struct text {
    const char *p;
    size_t len;
    bool newline;
};

struct edit {
    char mark; /* ' ', '-' or '+' */
    struct text text;
};

struct hunk {
    struct diff_hunk head;
    size_t number; /* from 1 */
    struct edit *edits;
    size_t count;
    size_t old_count; /* edits that are lines of the file */
    size_t leading;   /* lines of context in front of the first change */
    size_t trailing;
};

struct work {
    struct text *old;
    size_t old_count;
    size_t taken; /* lines of the file that are in the result, or removed */
    int64_t moved;
    size_t compares;
    char *out;
    size_t out_len;
    bool ended; /* the last line written has no newline: nothing may follow */
    char *notes;
    char *why;
};

static void free_hunk(struct hunk *h)
{
    free(h->edits);
}

static void free_work(struct work *w)
{
    free(w->old);
    free(w->out);
    free(w->notes);
    free(w->why);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int bad(struct work *w, char *why)
{
    str_set(&w->why, why);
    return -EINVAL;
}

/* A line in quotes, cut, with nothing in it that a terminal would obey. */
static char *quoted(const struct text *t)
{
    size_t n = MIN(t->len, (size_t)SHOWN_MAX), used = 0;
    char *s = xmalloc(4 * n + 8);

    s[used++] = '"';
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)t->p[i];

        if (c == '\t' || c == '\r')
            used += (size_t)snprintf(s + used, 3, "\\%c", c == '\t' ? 't' : 'r');
        else if (c < ' ' || c == 0x7f)
            used += (size_t)snprintf(s + used, 5, "\\x%02x", c);
        else
            s[used++] = (char)c;
    }
    snprintf(s + used, 6, "\"%s", t->len > n ? "..." : "");
    return s;
}

static bool same_text(const struct text *a, const struct text *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static bool same(const struct text *a, const struct text *b)
{
    return a->newline == b->newline && same_text(a, b);
}

static struct text without_cr(struct text t)
{
    if (t.len > 0 && t.p[t.len - 1] == '\r')
        t.len--;
    return t;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool same_but_space(const struct text *a, const struct text *b)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < a->len && is_space(a->p[i]))
            i++;
        while (j < b->len && is_space(b->p[j]))
            j++;
        if (i == a->len || j == b->len)
            return i == a->len && j == b->len;
        if (a->p[i++] != b->p[j++])
            return false;
    }
}

/* How the line of the file differs from the one that the patch expects; "": in its text. */
static const char *difference(const struct text *want, const struct text *got)
{
    struct text a = without_cr(*want), b = without_cr(*got);

    if (same_text(want, got))
        return got->newline ? ": they differ only in the newline, which the file has"
                            : ": they differ only in the newline, which the file does not have";
    if (same_text(&a, &b))
        return got->len > want->len
                   ? ": they differ only in line ends, the file has CRLF and the patch LF"
                   : ": they differ only in line ends, the file has LF and the patch CRLF";
    if (got->len == want->len + 3 && memcmp(got->p, "\xef\xbb\xbf", 3) == 0 &&
        memcmp(got->p + 3, want->p, want->len) == 0)
        return ": the file begins with a byte order mark, which the patch does not have";
    return same_but_space(want, got) ? ": they differ only in white space" : "";
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct text text_of(struct diff_line l)
{
    bool newline = l.len > 0 && l.p[l.len - 1] == '\n';

    return (struct text){.p = l.p, .len = l.len - newline, .newline = newline};
}

static void split(struct work *w, const char *old, size_t len)
{
    struct diff_lines in = {old, old + len, 1};
    struct diff_line l;
    size_t count = 0;

    for (const char *p = old; p < old + len; count++) {
        p = memchr(p, '\n', (size_t)(old + len - p));
        p = p ? p + 1 : old + len;
    }
    w->old = xcalloc(count + 1, sizeof(*w->old));
    for (; diff_peek(&in, &l); diff_next(&in))
        w->old[w->old_count++] = text_of(l);
}

static int emit(struct work *w, const struct text *t)
{
    if (w->ended)
        return bad(w, xstrdup("a line would stand behind one without a newline"));
    memcpy(w->out + w->out_len, t->p, t->len);
    w->out_len += t->len;
    if (t->newline)
        w->out[w->out_len++] = '\n';
    w->ended = !t->newline;
    return 0;
}

/* ---- hunks ----------------------------------------------------------------------------------- */

static void take_edit(struct diff_lines *in, struct hunk *h)
{
    struct edit *e = &h->edits[h->count++];
    struct diff_line l;

    diff_peek(in, &l);
    /* Many programs cut off the space of an empty line of context. */
    e->mark = diff_line_empty(&l) ? ' ' : l.p[0];
    if (!diff_line_empty(&l))
        l = (struct diff_line){l.p + 1, l.len - 1};
    e->text = text_of(l);
    diff_next(in);
    /* A patch that ends without a newline reads as if it had one. */
    e->text.newline = !diff_peek(in, &l) || !diff_line_starts(&l, "\\ ");
    if (!e->text.newline)
        diff_next(in);
}

/* diff_parse() has seen that the counts are right. */
static void take_hunk(struct diff_lines *in, size_t number, struct hunk *ret)
{
    struct hunk h = {.number = number};
    size_t new_count = 0;
    struct diff_line l;

    diff_peek(in, &l);
    diff_hunk_head(l, &h.head);
    diff_next(in);
    h.edits = xcalloc(h.head.old_count + h.head.new_count, sizeof(*h.edits));
    while (h.old_count < h.head.old_count || new_count < h.head.new_count) {
        char mark;

        take_edit(in, &h);
        mark = h.edits[h.count - 1].mark;
        h.old_count += mark != '+';
        new_count += mark != '-';
    }
    while (diff_peek(in, &l) && !diff_line_starts(&l, "@@ "))
        diff_next(in);
    while (h.leading < h.count && h.edits[h.leading].mark == ' ')
        h.leading++;
    while (h.trailing < h.count && h.edits[h.count - 1 - h.trailing].mark == ' ')
        h.trailing++;
    *ret = h;
}

/* The file's line, from 0, at which the old lines of the hunk do not stand if they are at `at`;
 * NOWHERE: they do. skip: lines of context at each end that may differ. */
static size_t first_difference(struct work *w, const struct hunk *h, size_t at, size_t skip,
                               const struct edit **ret_edit)
{
    size_t line = at, from = MIN(skip, h->leading), to = h->count - MIN(skip, h->trailing);

    for (size_t i = 0; i < h->count; i++) {
        const struct edit *e = &h->edits[i];

        if (e->mark == '+')
            continue;
        w->compares++;
        if (line >= w->old_count || (i >= from && i < to && !same(&w->old[line], &e->text))) {
            *ret_edit = e;
            return line;
        }
        line++;
    }
    return NOWHERE;
}

static bool fits(struct work *w, const struct hunk *h, size_t at, size_t skip)
{
    const struct edit *e;

    return at >= w->taken && first_difference(w, h, at, skip, &e) == NOWHERE;
}

/* Where the hunk's old lines are to begin, from 0. */
static size_t expected_at(const struct work *w, const struct hunk *h)
{
    /* A hunk without old lines is applied behind the line of that number. */
    int64_t at = (int64_t)h->head.old_start - (h->old_count > 0) + w->moved;

    return at < 0 ? 0 : (size_t)at;
}

struct places {
    size_t first;
    size_t second; /* NOWHERE: there is one at most */
};

static struct places search(struct work *w, const struct hunk *h, size_t skip)
{
    struct places r = {NOWHERE, NOWHERE};
    bool begins = h->head.old_start <= 1 && h->leading == 0, ends = h->trailing == 0;
    size_t last = w->old_count - MIN(h->old_count, w->old_count);

    if (h->old_count == 0 || h->old_count > w->old_count || begins)
        return r;
    for (size_t at = ends ? MAX(last, w->taken) : w->taken; at <= last; at++) {
        if (w->compares > HUNKS_COMPARE_MAX)
            return (struct places){NOWHERE, NOWHERE};
        if (!fits(w, h, at, skip))
            continue;
        if (r.first != NOWHERE) {
            r.second = at;
            return r;
        }
        r.first = at;
    }
    return r;
}

static void note(struct work *w, const struct hunk *h, size_t at, size_t expected, size_t skip)
{
    cleanup_free char *elsewhere =
        at != expected ? xasprintf(", not at line %zu", expected + 1) : xstrdup("");
    cleanup_free char *fuzz =
        skip ? xasprintf("%s with fuzz %zu", at != expected ? "," : "", skip) : xstrdup("");

    if (at != expected || skip)
        str_set(&w->notes, xasprintf("%shunk %zu fits at line %zu%s%s\n", str_or_empty(w->notes),
                                     h->number, at + 1, elsewhere, fuzz));
}

static int does_not_fit(struct work *w, const struct hunk *h, size_t expected)
{
    const struct edit *e = NULL;
    size_t line = first_difference(w, h, expected, 0, &e);
    cleanup_free char *want = NULL, *got = NULL;

    if (expected < w->taken)
        return bad(w, xasprintf("hunk %zu is for line %zu, which hunk %zu has passed: hunks have "
                                "to be in order",
                                h->number, expected + 1, h->number - 1));
    if (h->old_count == 0)
        return bad(w, xasprintf("hunk %zu is for line %zu, and the file has %zu lines", h->number,
                                h->head.old_start, w->old_count));
    want = quoted(&e->text);
    if (line >= w->old_count)
        return bad(w, xasprintf("hunk %zu does not fit: expected %s at line %zu, and the file has "
                                "%zu lines",
                                h->number, want, line + 1, w->old_count));
    got = quoted(&w->old[line]);
    return bad(w, xasprintf("hunk %zu does not fit: expected %s at line %zu, found %s%s", h->number,
                            want, line + 1, got, difference(&e->text, &w->old[line])));
}

static int find_place(struct work *w, const struct hunk *h, unsigned fuzz, size_t *ret)
{
    size_t expected = expected_at(w, h);

    for (size_t skip = 0; skip <= fuzz; skip++) {
        struct places r = {expected, NOWHERE};

        if (h->old_count == 0 ? expected > w->old_count || expected < w->taken
                              : !fits(w, h, expected, skip))
            r = search(w, h, skip);
        if (r.second != NOWHERE)
            return bad(w, xasprintf("hunk %zu does not fit at line %zu, and fits at several other "
                                    "places, lines %zu and %zu among them",
                                    h->number, expected + 1, r.first + 1, r.second + 1));
        if (r.first != NOWHERE) {
            note(w, h, r.first, expected, skip);
            w->moved += (int64_t)r.first - (int64_t)expected;
            *ret = r.first;
            return 0;
        }
    }
    return does_not_fit(w, h, expected);
}

static int apply_hunk(struct work *w, const struct hunk *h, unsigned fuzz)
{
    size_t at = 0;
    int r = find_place(w, h, fuzz, &at);

    while (r == 0 && w->taken < at)
        r = emit(w, &w->old[w->taken++]);
    for (size_t i = 0; r == 0 && i < h->count; i++) {
        const struct edit *e = &h->edits[i];

        if (e->mark == '+')
            r = emit(w, &e->text);
        else if (e->mark == ' ') /* the file's own: with fuzz it may differ */
            r = emit(w, &w->old[w->taken++]);
        else
            w->taken++;
    }
    return r;
}

int hunks_apply(const char *old, size_t old_len, const struct diff_file *f, unsigned fuzz,
                struct hunks_text *ret, char **ret_why)
{
    CLEANUP(free_work) struct work w = {0};
    struct diff_lines in = diff_hunks(f);
    struct diff_line l;
    int r = 0;

    if (old_len <= HUNKS_FILE_MAX) {
        split(&w, old, old_len);
        /* An added line stands in the patch with its mark in front, so there is room for a newline.
         */
        w.out = xmalloc(old_len + f->hunks_len + 1);
    }
    for (size_t n = 1; r == 0 && w.out && f->hunks && diff_peek(&in, &l); n++) {
        CLEANUP(free_hunk) struct hunk h;

        take_hunk(&in, n, &h);
        /* A diff without context has such a hunk, too: but for git and GNU patch this is a new
         * file. */
        if (n == 1 && h.head.old_start == 0 && in.p == in.end && w.old_count > 0)
            r = bad(&w, xasprintf("the patch is for an empty file, and the file has %zu lines",
                                  w.old_count));
        else
            r = apply_hunk(&w, &h, fuzz);
    }
    while (r == 0 && w.taken < w.old_count)
        r = emit(&w, &w.old[w.taken++]);
    if (r == 0 && (!w.out || w.out_len > HUNKS_FILE_MAX))
        r = bad(&w, xasprintf("a file larger than %u bytes can not be patched", HUNKS_FILE_MAX));
    if (r < 0) {
        *ret_why = str_take(&w.why);
        return r;
    }
    *ret = (struct hunks_text){str_take(&w.out), w.out_len, str_take(&w.notes)};
    return 0;
}

void hunks_text_done(struct hunks_text *t)
{
    if (!t)
        return;
    free(t->data);
    free(t->notes);
    *t = (struct hunks_text){0};
}
