#include "sidecar/runner/diff.h"

#include <errno.h>

#include "sidecar/runner/diff_name.h"
#include "sidecar/runner/diff_text.h"

#define SHOWN_MAX 80 /* bytes of a line that a message quotes */

#define MODE_KIND 0170000
#define MODE_FILE 0100000
#define MODE_LINK 0120000
#define MODE_SUBMODULE 0160000

struct diff_lines diff_hunks(const struct diff_file *f)
{
    return (struct diff_lines){f->hunks, f->hunks ? f->hunks + f->hunks_len : NULL, 1};
}

/* ---- messages -------------------------------------------------------------------------------- */

struct parser {
    struct diff_lines in;
    struct diff *diff;
    size_t other_line; /* the first that looks like another format; 0: none */
    char *why;
};

static int bad(struct parser *p, char *why)
{
    str_set(&p->why, why);
    return -EINVAL;
}

static int bad_line(struct parser *p, const char *expected)
{
    struct diff_line l;

    if (!diff_peek(&p->in, &l))
        return bad(p, xasprintf("the patch ends where %s is expected", expected));
    l = diff_trimmed(l);
    return bad(p, xasprintf("line %zu of the patch: expected %s, found \"%.*s\"%s", p->in.number,
                            expected, (int)MIN(l.len, (size_t)SHOWN_MAX), l.p,
                            l.len > SHOWN_MAX ? "..." : ""));
}

static const char *name_of(const struct diff_file *f)
{
    return f->new_path ? f->new_path : f->old_path ? f->old_path : "the file";
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Of "--- " and "+++ ": *ret NULL for /dev/null, or, with a date of no file, for any name. */
static int take_file_name(struct parser *p, const char *mark, bool *ret_epoch, char **ret)
{
    cleanup_free char *name = NULL;
    struct diff_line l;
    size_t date;

    if (!diff_peek(&p->in, &l) || !diff_line_starts(&l, mark))
        return bad_line(p, mark[0] == '-' ? "a line \"--- NAME\"" : "a line \"+++ NAME\"");
    l = diff_trimmed(l);
    l.p += strlen(mark);
    l.len -= strlen(mark);
    date = diff_date_at(l);
    *ret_epoch = date < l.len && diff_is_epoch(l.p + date, l.len - date);
    if (date < l.len && l.p[0] != '"')
        while (date > 0 && l.p[date - 1] == ' ')
            l.len = --date;
    name = diff_rest_name(l);
    if (!name)
        return bad_line(p, "a file's name");
    diff_next(&p->in);
    if (strncmp(name, "/dev/null", 9) == 0 && (name[9] == '\0' || name[9] == ' ')) {
        *ret = NULL;
        return 0;
    }
    diff_strip(name);
    *ret = str_take(&name);
    return 0;
}

/* Of "diff --git a/NAME b/NAME", where both are the same: the only case without a further line that
 * has the name. NULL: they are not. */
static char *git_name(struct diff_line l)
{
    cleanup_free char *first = NULL, *second = NULL;

    if (l.len > 0 && l.p[0] == '"') {
        first = diff_take_quoted(&l);
        if (!first || !diff_take_text(&l, " "))
            return NULL;
        second = diff_rest_name(l);
    } else if (l.len % 2 == 1 && l.p[l.len / 2] == ' ') {
        first = xmemdup0(l.p, l.len / 2);
        second = xmemdup0(l.p + l.len / 2 + 1, l.len / 2);
    }
    if (!first || !second)
        return NULL;
    diff_strip(first);
    diff_strip(second);
    return strcmp(first, second) == 0 ? str_take(&first) : NULL;
}

/* ---- hunks ----------------------------------------------------------------------------------- */

/* Compares the lines of the hunk with the counts in its head. */
static int count_wrong(struct parser *p, size_t number, const struct diff_hunk *h, size_t old,
                       size_t new)
{
    bool of_old = old != h->old_count;

    return bad(p, xasprintf("hunk %zu says %zu %s lines and has %s%zu (line %zu of the patch)",
                            number, of_old ? h->old_count : h->new_count, of_old ? "old" : "new",
                            (of_old ? old > h->old_count : new > h->new_count) ? "more: " : "",
                            of_old ? old : new, p->in.number));
}

/* Goes to the next line, past a note that the present line has no newline. */
static void next_edit(struct diff_lines *in)
{
    struct diff_line l;

    diff_next(in);
    if (diff_peek(in, &l) && diff_line_starts(&l, "\\ "))
        diff_next(in);
}

/* Blank lines up to the end, as a here-document or a YAML block leaves them. */
static bool only_blank_left(struct diff_lines in)
{
    struct diff_line l;

    while (diff_peek(&in, &l) && diff_is_blank(l))
        diff_next(&in);
    return in.p == in.end;
}

/* Edits that follow a hunk whose head's counts are used up. */
static void count_rest(const struct parser *p, size_t *old, size_t *new)
{
    struct diff_lines in = p->in;
    struct diff_line l;

    if (only_blank_left(in))
        return;
    while (diff_peek(&in, &l) && diff_is_edit(&l) && !diff_line_empty(&l) &&
           !diff_begins_file(&in) && !diff_at_signature(&in)) {
        *old += l.p[0] == ' ' || l.p[0] == '-';
        *new += l.p[0] == ' ' || l.p[0] == '+';
        next_edit(&in);
    }
}

static int skip_hunk(struct parser *p, size_t number)
{
    size_t old = 0, new = 0;
    struct diff_hunk h;
    struct diff_line l;

    if (!diff_peek(&p->in, &l) || !diff_hunk_head(l, &h))
        return bad_line(p, "a hunk's head such as \"@@ -1,3 +1,4 @@\"");
    diff_next(&p->in);
    while (old < h.old_count || new < h.new_count) {
        bool in_old, in_new;

        if (!diff_peek(&p->in, &l) || !diff_is_edit(&l))
            return count_wrong(p, number, &h, old, new);
        in_old = l.p[0] == ' ' || l.p[0] == '-' || diff_line_empty(&l);
        in_new = l.p[0] == ' ' || l.p[0] == '+' || diff_line_empty(&l);
        if ((in_old && old == h.old_count) || (in_new && new == h.new_count)) {
            count_rest(p, &old, &new);
            return count_wrong(p, number, &h, old, new);
        }
        old += in_old;
        new += in_new;
        next_edit(&p->in);
    }
    count_rest(p, &old, &new);
    return old == h.old_count && new == h.new_count ? 0 : count_wrong(p, number, &h, old, new);
}

/* Over empty lines to the next hunk, if there is one behind them. */
static bool at_hunk(struct parser *p)
{
    struct diff_lines in = p->in;
    struct diff_line l;

    while (diff_peek(&in, &l) && diff_line_empty(&l))
        diff_next(&in);
    if (!diff_peek(&in, &l) || !diff_line_starts(&l, "@@ "))
        return false;
    p->in = in;
    return true;
}

static int take_hunks(struct parser *p, struct diff_file *f)
{
    int r = 0;

    f->hunks = p->in.p;
    f->hunks_line = p->in.number;
    for (size_t n = 1; r == 0 && at_hunk(p); n++) {
        r = skip_hunk(p, n);
        f->hunks_len = (size_t)(p->in.p - f->hunks);
    }
    if (f->hunks_len == 0)
        f->hunks = NULL;
    return r;
}

/* ---- git's extended header ------------------------------------------------------------------- */

static int take_mode(struct parser *p, const struct diff_file *f, struct diff_line l, int *ret)
{
    int mode = 0;

    for (size_t i = 0; i < l.len && l.p[i] >= '0' && l.p[i] <= '7' && i < 7; i++)
        mode = mode * 8 + (l.p[i] - '0');
    *ret = mode;
    if ((mode & MODE_KIND) == MODE_LINK)
        return bad(p, xasprintf("%s is a symbolic link in the patch (line %zu): make links with a "
                                "Command step",
                                name_of(f), p->in.number));
    if ((mode & MODE_KIND) == MODE_SUBMODULE)
        return bad(p, xasprintf("%s is a submodule in the patch (line %zu), which can not be "
                                "applied",
                                name_of(f), p->in.number));
    return (mode & MODE_KIND) == MODE_FILE ? 0 : bad_line(p, "a mode such as 100644");
}

/* The change of the file by its header, which names one change. */
static int set_change(struct parser *p, struct diff_file *f, enum diff_change change)
{
    if (f->change != DIFF_MODIFY && f->change != change)
        return bad(p, xasprintf("line %zu of the patch contradicts one before it: a file is made, "
                                "deleted, renamed or copied",
                                p->in.number));
    f->change = change;
    return 0;
}

static int take_header_name(struct parser *p, struct diff_line l, enum diff_change change,
                            struct diff_file *f, char **ret)
{
    char *name = diff_rest_name(l);

    if (!name)
        return bad_line(p, "a file's name");
    diff_squeeze(name);
    str_set(ret, name);
    return set_change(p, f, change);
}

/* Whether the beginning of a hash is that of an empty file, in git's two kinds of repositories. */
static bool is_empty_blob(const char *hash, size_t len)
{
    return len >= 4 && (strncmp(hash, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", len) == 0 ||
                        strncmp(hash,
                                "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a30"
                                "3721813",
                                len) == 0);
}

/* OLD..NEW[ MODE]: hashes of the text before and after. */
static int take_index(struct parser *p, struct diff_file *f, struct diff_line l)
{
    const char *space = l.len ? memchr(l.p, ' ', l.len) : NULL;
    size_t hashes = space ? (size_t)(space - l.p) : l.len, old = 0;
    int mode;

    while (old < hashes && l.p[old] != '.')
        old++;
    if (old + 2 < hashes)
        f->tells_of_text =
            f->change != DIFF_CREATE || !is_empty_blob(l.p + old + 2, hashes - old - 2);
    if (!space)
        return 0;
    l.len -= (size_t)(space + 1 - l.p);
    l.p = space + 1;
    return take_mode(p, f, l, &mode);
}

/* One line of the header; *ret_known: it was one. */
static int take_header(struct parser *p, struct diff_file *f, bool *ret_known)
{
    struct diff_line l;

    *ret_known = diff_peek(&p->in, &l);
    l = diff_trimmed(l);
    if (diff_take_text(&l, "old mode "))
        return take_mode(p, f, l, &f->old_mode);
    if (diff_take_text(&l, "new mode "))
        return take_mode(p, f, l, &f->new_mode);
    if (diff_take_text(&l, "new file mode ")) {
        int r = set_change(p, f, DIFF_CREATE);

        return r < 0 ? r : take_mode(p, f, l, &f->new_mode);
    }
    if (diff_take_text(&l, "deleted file mode ")) {
        int r = set_change(p, f, DIFF_DELETE);

        return r < 0 ? r : take_mode(p, f, l, &f->old_mode);
    }
    if (diff_take_text(&l, "rename from "))
        return take_header_name(p, l, DIFF_RENAME, f, &f->old_path);
    if (diff_take_text(&l, "rename to "))
        return take_header_name(p, l, DIFF_RENAME, f, &f->new_path);
    if (diff_take_text(&l, "copy from "))
        return take_header_name(p, l, DIFF_COPY, f, &f->old_path);
    if (diff_take_text(&l, "copy to "))
        return take_header_name(p, l, DIFF_COPY, f, &f->new_path);
    if (diff_take_text(&l, "index "))
        return take_index(p, f, l);
    *ret_known =
        diff_take_text(&l, "similarity index ") || diff_take_text(&l, "dissimilarity index ");
    return 0;
}

/* line: of its first line. */
static int check_git(struct parser *p, const struct diff_file *f, size_t line)
{
    bool moves = f->change == DIFF_RENAME || f->change == DIFF_COPY;
    struct diff_line l;

    if (diff_peek(&p->in, &l) &&
        (diff_line_starts(&l, "GIT binary patch") || diff_line_starts(&l, "Binary files ")))
        return bad(p, xasprintf("%s is a binary file in the patch (line %zu), which can not be "
                                "applied: write it with content and encoding base64",
                                name_of(f), p->in.number));
    if (moves && (!f->old_path || !f->new_path))
        return bad_line(p, "both \"from\" and \"to\" of a file that is renamed or copied");
    if (!f->old_path && !f->new_path)
        return bad(p, xasprintf("line %zu of the patch: the two names differ, and no line with "
                                "\"rename from\", \"copy from\" or \"--- NAME\" follows",
                                line));
    if (!f->hunks && f->change == DIFF_MODIFY && !f->new_mode)
        return bad_line(p, "a hunk, a mode or new names");
    if (!f->hunks && f->tells_of_text && f->change != DIFF_DELETE)
        return bad_line(p, "a hunk, of which the head of the file tells");
    return 0;
}

/* A name, or the last components of one; NULL is none. */
static bool is_end_of(const char *end, const char *name)
{
    size_t more = end && name && strlen(name) >= strlen(end) ? strlen(name) - strlen(end) : 0;

    return end && name && strcmp(name + more, end) == 0 && (more == 0 || name[more - 1] == '/');
}

/* The lines "--- " and "+++ " behind a git header: they must agree with it. */
static int take_git_names(struct parser *p, struct diff_file *f)
{
    cleanup_free char *old = NULL, *new = NULL;
    bool moves = f->change == DIFF_RENAME || f->change == DIFF_COPY, epoch;
    int r = take_file_name(p, "--- ", &epoch, &old);

    f->tells_of_text = true;
    if (r == 0)
        r = take_file_name(p, "+++ ", &epoch, &new);
    if (r < 0)
        return r;
    if (!old != (f->change == DIFF_CREATE) || !new != (f->change == DIFF_DELETE))
        return bad(p, xasprintf("line %zu of the patch: %s stands for a file that git's header "
                                "says is %s",
                                p->in.number - 1, "/dev/null or a name",
                                f->change == DIFF_CREATE   ? "new"
                                : f->change == DIFF_DELETE ? "deleted"
                                                           : "there before and after"));
    if (moves && (!is_end_of(old, f->old_path) || !is_end_of(new, f->new_path)))
        return bad(p, xasprintf("line %zu of the patch: the names differ from those of the lines "
                                "\"from\" and \"to\"",
                                p->in.number - 1));
    if (moves)
        return 0;
    if (old && strcmp(old, new ? new : old) != 0)
        return bad(p, xasprintf("line %zu of the patch: %s becomes %s, and no line \"rename from\" "
                                "or \"copy from\" says so",
                                p->in.number - 1, old, new));
    str_set(&f->old_path, str_take(&old));
    str_set(&f->new_path, str_take(&new));
    return 0;
}

static int take_git(struct parser *p, struct diff_file *f)
{
    size_t line = p->in.number;
    struct diff_line l;
    bool known = true;
    int r = 0;

    diff_peek(&p->in, &l);
    l = diff_trimmed(l);
    diff_take_text(&l, "diff --git ");
    f->old_path = git_name(l);
    f->new_path = xstrdup(f->old_path);
    diff_next(&p->in);
    while (r == 0 && known) {
        r = take_header(p, f, &known);
        if (r == 0 && known)
            diff_next(&p->in);
    }
    if (r == 0 && diff_peek(&p->in, &l) && diff_line_starts(&l, "--- "))
        r = take_git_names(p, f);
    if (r == 0)
        r = take_hunks(p, f);
    if (r == 0)
        r = check_git(p, f, line);
    if (f->change == DIFF_CREATE)
        str_set(&f->old_path, NULL);
    if (f->change == DIFF_DELETE)
        str_set(&f->new_path, NULL);
    return r;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int check_left_out(struct parser *p)
{
    const char *left_out = diff_left_out(&p->in);

    return left_out ? bad(p, xasprintf("line %zu of the patch %s", p->in.number, left_out)) : 0;
}

/* As diff -u makes it. */
static int take_plain(struct parser *p, struct diff_file *f)
{
    bool no_old = false, no_new = false;
    struct diff_line l;
    int r = take_file_name(p, "--- ", &no_old, &f->old_path);

    if (r == 0)
        r = take_file_name(p, "+++ ", &no_new, &f->new_path);
    if (no_old && f->new_path)
        str_set(&f->old_path, NULL);
    else if (no_new && f->old_path)
        str_set(&f->new_path, NULL);
    /* Of "f" and "f.orig", or "f" and "f.new", the shorter name is the file. */
    if (f->old_path && f->new_path && strncmp(f->new_path, f->old_path, strlen(f->old_path)) == 0)
        str_set(&f->new_path, xstrdup(f->old_path));
    if (r == 0)
        r = take_hunks(p, f);
    if (r == 0 && !f->hunks) {
        while (diff_peek(&p->in, &l) && diff_line_empty(&l))
            diff_next(&p->in);
        r = check_left_out(p);
    }
    if (r == 0 && !f->hunks)
        return bad_line(p, "a hunk's head such as \"@@ -1,3 +1,4 @@\"");
    if (r == 0 && !f->old_path && !f->new_path)
        return bad(p, xstrdup("the patch names /dev/null on both sides"));
    f->change = !f->old_path ? DIFF_CREATE : !f->new_path ? DIFF_DELETE : DIFF_MODIFY;
    return r;
}

static struct diff_file *add_file(struct parser *p)
{
    struct diff *d = p->diff;

    if (d->count == DIFF_FILES_MAX)
        return NULL;
    /* Doubled at each power of two. */
    if ((d->count & (d->count - 1)) == 0)
        d->files = xrealloc(d->files, MAX(2 * d->count, (size_t)1) * sizeof(*d->files));
    d->files[d->count] = (struct diff_file){.change = DIFF_MODIFY};
    return &d->files[d->count++];
}

static int take_file(struct parser *p)
{
    struct diff_file *f = add_file(p);
    struct diff_line l;

    if (!f)
        return bad(p, xasprintf("the patch has more than %d files", DIFF_FILES_MAX));
    diff_peek(&p->in, &l);
    if (diff_line_starts(&l, "@@ "))
        return take_hunks(p, f);
    return diff_line_starts(&l, "diff ") ? take_git(p, f) : take_plain(p, f);
}

/* Skips text that belongs to no file. */
enum around {
    BEHIND_FILE,
    IN_PROSE, /* sentences, behind a file */
    IN_TEXT,  /* anything may stand here, as in a mail's head */
};

static int skip_text(struct parser *p, enum around *around)
{
    struct diff_line l;
    int r = check_left_out(p);

    if (r < 0)
        return r;
    diff_peek(&p->in, &l);
    if (diff_line_starts(&l, "```") && (p->in.number == 1 || *around != IN_TEXT))
        return bad(p, xasprintf("line %zu of the patch is a Markdown fence (```): leave the fences "
                                "out",
                                p->in.number));
    if (diff_line_starts(&l, "*** ") && p->other_line == 0)
        p->other_line = p->in.number;
    if (diff_begins_text(&p->in))
        *around = IN_TEXT;
    else if (*around != IN_TEXT && diff_may_be_lost(&p->in, *around == IN_PROSE))
        return bad_line(p, "the next file, the next hunk or the end");
    else if (*around == BEHIND_FILE && !diff_is_blank(l) && !diff_line_starts(&l, " "))
        *around = IN_PROSE;
    diff_next(&p->in);
    return 0;
}

/* A hunk without names in front is allowed as the only file. */
static bool at_bare_hunk(const struct parser *p)
{
    struct diff_line l;

    return diff_peek(&p->in, &l) && diff_line_starts(&l, "@@ -");
}

/* Says what the text is, by its first line that is not blank. */
static int no_hunk(struct parser *p, struct diff_lines in)
{
    struct diff_line l;

    while (diff_peek(&in, &l) && diff_is_blank(l))
        diff_next(&in);
    if (!diff_peek(&in, &l))
        return bad(p, xstrdup("the patch has no hunk: it is empty"));
    l = diff_trimmed(l);
    return bad(p,
               xasprintf("the patch has no hunk: it is no unified diff, and begins with "
                         "\"%.*s\"%s",
                         (int)MIN(l.len, (size_t)SHOWN_MAX), l.p, l.len > SHOWN_MAX ? "..." : ""));
}

static int take_all(struct parser *p)
{
    enum around around = IN_TEXT;
    struct diff_lines first = p->in;
    struct diff_line l;
    int r = 0;

    while (r == 0 && diff_peek(&p->in, &l)) {
        if (diff_begins_file(&p->in) || (at_bare_hunk(p) && p->diff->count == 0)) {
            r = take_file(p);
            around = BEHIND_FILE;
        } else if (at_bare_hunk(p)) {
            r = bad(p, xasprintf("line %zu of the patch: a hunk without the names of its file",
                                 p->in.number));
        } else {
            r = skip_text(p, &around);
        }
    }
    if (r == 0 && p->diff->count == 0 && p->other_line)
        return bad(p, xasprintf("line %zu of the patch " DIFF_OTHER_FORMAT, p->other_line));
    if (r == 0 && p->diff->count == 0)
        return no_hunk(p, first);
    return r;
}

int diff_parse(const char *text, size_t len, struct diff *ret, char **ret_why)
{
    struct diff d = {0};
    struct parser p = {.in = {text, text + len, 1}, .diff = &d};
    int r;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
        p.in.p += 3;
    r = take_all(&p);
    if (r < 0) {
        diff_done(&d);
        *ret_why = p.why;
        return r;
    }
    *ret = d;
    return 0;
}

void diff_done(struct diff *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++) {
        free(d->files[i].old_path);
        free(d->files[i].new_path);
    }
    free(d->files);
    *d = (struct diff){0};
}
