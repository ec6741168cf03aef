/*
 * A file, a NUL byte, and a patch for the file: both come from users. A patch that applies where
 * its heads say must also apply backwards and give the old file again. So nothing was removed or
 * passed over that is not in the diff. The diff is reversed by a reader of this file's own. Of a
 * patch of several files each part is tried so.
 */
#include "common/base/buf.h"
#include "sidecar/runner/hunks.h"
#include "tests/fuzz/fuzz.h"

#define EACH_MAX 8 /* files of one input that are applied */

/* ---- what was read --------------------------------------------------------------------------- */

static void check_file(const struct diff_file *f, const char *text, size_t len)
{
    property(!f->hunks || (f->hunks >= text && f->hunks + f->hunks_len <= text + len));
    property((f->change != DIFF_RENAME && f->change != DIFF_COPY) || (f->old_path && f->new_path));
    property(f->change != DIFF_CREATE || !f->old_path);
    property(f->change != DIFF_DELETE || !f->new_path);
    property((f->new_mode & ~0777) == 0 || (f->new_mode & 0170000) == 0100000);
}

/* ---- the diff reversed ----------------------------------------------------------------------- */

struct reader {
    const char *p;
    const char *end;
};

static size_t line_len(const struct reader *r)
{
    const char *newline = r->p < r->end ? memchr(r->p, '\n', (size_t)(r->end - r->p)) : NULL;

    return newline ? (size_t)(newline - r->p) + 1 : (size_t)(r->end - r->p);
}

static bool at(const struct reader *r, const char *text)
{
    return (size_t)(r->end - r->p) >= strlen(text) && memcmp(r->p, text, strlen(text)) == 0;
}

/* The range behind the mark at p; the line ends with a newline or is known to be a good head. */
static const char *range(const char *p, size_t *ret_start, size_t *ret_count)
{
    char *end;

    *ret_count = 1;
    *ret_start = strtoul(p, &end, 10);
    if (*end == ',')
        *ret_count = strtoul(end + 1, &end, 10);
    return end;
}

/* Reverses one line of a hunk, and what is said about its newline. False: the line has no bytes and
 * no newline. No file has such a line, so there is no way back. */
static bool turn_line(struct reader *r, struct buf *out, size_t *old_left, size_t *new_left)
{
    size_t len = line_len(r);
    bool bare = at(r, "\n") || at(r, "\r\n");
    char mark = bare ? ' ' : *r->p;
    const char *text = bare ? r->p : r->p + 1;
    size_t text_len = bare ? len : len - 1;

    *old_left -= mark != '+';
    *new_left -= mark != '-';
    buf_putc(out, mark == '+' ? '-' : mark == '-' ? '+' : ' ');
    buf_append(out, text, text_len);
    if (text_len == 0 || text[text_len - 1] != '\n')
        buf_putc(out, '\n');
    else
        text_len--;
    r->p += len;
    if (!at(r, "\\ "))
        return true;
    buf_puts(out, "\\ none\n");
    r->p += line_len(r);
    return text_len > 0;
}

/* Where the hunks are so far: the first line of the file behind them, and how far the new text is
 * ahead of it. */
struct place {
    int64_t line;
    int64_t shift;
};

static bool turn_hunk(struct reader *r, struct buf *out, struct place *place)
{
    cleanup_free char *head = xmemdup0(r->p, line_len(r));
    size_t old_start, old_count, new_start, new_count;
    int64_t first;
    bool good = true;

    range(range(head + 4, &old_start, &old_count) + 2, &new_start, &new_count);
    /* Where the new lines begin; what the head says about it is not used. */
    first = (int64_t)(old_count ? old_start : old_start + 1);
    property(first >= place->line);
    place->line = first + (int64_t)old_count;
    first += place->shift;
    good = new_count > 0 || first > 1; /* the way back would be for an empty file */
    place->shift += (int64_t)new_count - (int64_t)old_count;
    buf_printf(out, "@@ -%lld,%zu +1,%zu @@\n", (long long)(new_count ? first : first - 1),
               new_count, old_count);
    r->p += line_len(r);
    while (old_count > 0 || new_count > 0)
        good = turn_line(r, out, &old_count, &new_count) && good;
    return good;
}

/* Text before the file may have any line but one that begins a hunk, also "@@ " with something else
 * behind it. */
static bool at_hunk(const struct reader *r)
{
    return at(r, "@@ -");
}

/* Reverses a diff that applies. False: there is no way back. */
static bool turn(const char *diff, size_t len, struct buf *out)
{
    struct reader r = {diff, diff + len};
    struct place place = {1, 0};
    bool good = true;

    if (at(&r, "\xef\xbb\xbf"))
        r.p += 3;
    while (r.p < r.end && !at_hunk(&r))
        r.p += line_len(&r);
    while (at_hunk(&r)) {
        good = turn_hunk(&r, out, &place) && good;
        while (r.p < r.end && !at_hunk(&r) && !at(&r, "-- \n"))
            r.p += line_len(&r);
    }
    return good;
}

/* The hunks of the files stand in the text one behind the other. */
static void check_files(const struct diff *d, const char *text, size_t len)
{
    const char *end = text;

    for (size_t i = 0; i < d->count; i++) {
        const struct diff_file *f = &d->files[i];

        check_file(f, text, len);
        property(!f->hunks || f->hunks >= end);
        end = f->hunks ? f->hunks + f->hunks_len : end;
    }
}

/* A patch that is refused gets a sentence that says why. */
static bool apply(const char *old, size_t old_len, const char *text, size_t len, unsigned fuzz,
                  struct hunks_text *ret)
{
    CLEANUP(diff_done) struct diff d = {0};
    cleanup_free char *why = NULL;
    bool good = diff_parse(text, len, &d, &why) == 0 && d.count == 1 &&
                hunks_apply(old, old_len, d.files, fuzz, ret, &why) == 0;

    property(good || d.count > 1 || (why && *why));
    check_files(&d, text, len);
    property(!good || ret->data);
    return good;
}

static void check_back(const char *old, size_t old_len, const char *diff, size_t diff_len,
                       const struct hunks_text *out)
{
    cleanup_buf struct buf back = BUF_INIT(64 * (diff_len + 64));
    CLEANUP(hunks_text_done) struct hunks_text again = {0};

    if (!turn(diff, diff_len, &back))
        return;
    /* The diff has no hunk: it changes names or the mode. */
    if (back.len == 0) {
        property(out->len == old_len && memcmp(out->data, old, old_len) == 0);
        return;
    }
    property(apply(out->data, out->len, back.data, back.len, 0, &again));
    property(again.len == old_len && memcmp(again.data, old, old_len) == 0);
}

/* ---- the target ------------------------------------------------------------------------------ */

/* Tries each file of a patch of several, as if it had the same text before. */
static void apply_each(const char *old, size_t old_len, const char *text, size_t len)
{
    CLEANUP(diff_done) struct diff d = {0};
    cleanup_free char *none = NULL;

    if (diff_parse(text, len, &d, &none) < 0 || d.count < 2)
        return;
    for (size_t i = 0; i < MIN(d.count, EACH_MAX); i++) {
        CLEANUP(hunks_text_done) struct hunks_text out = {0};
        const struct diff_file *f = &d.files[i];
        cleanup_free char *why = NULL;
        int r = hunks_apply(old, old_len, f, 0, &out, &why);

        property(r == 0 || (why && *why));
        if (r == 0)
            property(out.len <= old_len + f->hunks_len);
        if (r == 0 && !out.notes && f->hunks)
            check_back(old, old_len, f->hunks, f->hunks_len, &out);
    }
}

static void apply_both(const char *old, size_t old_len, const char *diff, size_t diff_len)
{
    CLEANUP(hunks_text_done) struct hunks_text out = {0}, fuzzy = {0};

    if (apply(old, old_len, diff, diff_len, 0, &out)) {
        property(out.len <= old_len + diff_len);
        /* A hunk that was applied elsewhere has other line numbers than its head says. */
        if (!out.notes)
            check_back(old, old_len, diff, diff_len, &out);
    }
    if (apply(old, old_len, diff, diff_len, HUNKS_FUZZ_MAX, &fuzzy))
        property(fuzzy.len <= old_len + diff_len);
    apply_each(old, old_len, diff, diff_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t old_len = nul ? (size_t)(nul - data) : 0;
    size_t skip = nul ? old_len + 1 : 0;
    /* Blocks of the exact size, so that a read past the end is seen. */
    cleanup_free char *old = xmalloc(old_len + (old_len == 0));
    cleanup_free char *diff = xmalloc(size - skip + (size == skip));

    if (old_len)
        memcpy(old, data, old_len);
    if (size > skip)
        memcpy(diff, data + skip, size - skip);
    apply_both(old, old_len, diff, size - skip);
    return 0;
}
