#include "sidecar/runner/diff_text.h"

#define HASH_SHOWN_MIN 7 /* characters of a hash that git shows at least */

/* ---- lines ----------------------------------------------------------------------------------- */

struct diff_line diff_trimmed(struct diff_line l)
{
    if (l.len > 0 && l.p[l.len - 1] == '\n')
        l.len--;
    if (l.len > 0 && l.p[l.len - 1] == '\r')
        l.len--;
    return l;
}

bool diff_is_blank(struct diff_line l)
{
    l = diff_trimmed(l);
    while (l.len > 0 && (l.p[l.len - 1] == ' ' || l.p[l.len - 1] == '\t'))
        l.len--;
    return l.len == 0;
}

bool diff_is_edit(const struct diff_line *l)
{
    return l->len > 0 && (l->p[0] == ' ' || l->p[0] == '+' || l->p[0] == '-' || diff_line_empty(l));
}

/* Two lines that begin so. */
static bool at_pair(const struct diff_lines *at, const char *first, const char *second)
{
    struct diff_lines in = *at;
    struct diff_line l;

    if (!diff_peek(&in, &l) || !diff_line_starts(&l, first))
        return false;
    diff_next(&in);
    return diff_peek(&in, &l) && diff_line_starts(&l, second);
}

bool diff_begins_file(const struct diff_lines *in)
{
    struct diff_line l;

    return at_pair(in, "--- ", "+++ ") ||
           (diff_peek(in, &l) && diff_line_starts(&l, "diff --git "));
}

bool diff_at_signature(const struct diff_lines *at)
{
    struct diff_lines in = *at;
    struct diff_line l;

    if (!diff_peek(&in, &l) || !diff_line_starts(&l, "--"))
        return false;
    l.p += 2;
    l.len -= 2;
    if (!diff_is_blank(l))
        return false;
    diff_next(&in);
    return !diff_peek(&in, &l) || !(diff_is_edit(&l) || diff_line_starts(&l, "@@ "));
}

/* ---- text that may be anything --------------------------------------------------------------- */

static bool take_hash(struct diff_line *l)
{
    size_t n = 0;

    while (n < l->len && ((l->p[n] >= '0' && l->p[n] <= '9') || (l->p[n] >= 'a' && l->p[n] <= 'f')))
        n++;
    l->p += n;
    l->len -= n;
    return n >= HASH_SHOWN_MIN && (l->len == 0 || l->p[0] == ' ');
}

/* A line of git log: "commit HASH", or "HASH SUBJECT" right before a file. */
static bool at_commit(const struct diff_lines *at)
{
    struct diff_lines in = *at;
    struct diff_line l;
    bool named;

    if (!diff_peek(&in, &l))
        return false;
    l = diff_trimmed(l);
    diff_next(&in);
    named = diff_take_text(&l, "commit ");
    return take_hash(&l) && (named || diff_begins_file(&in));
}

/* As a folder of mails has it: "From WORD Mon ..." */
static bool is_mail(struct diff_line l)
{
    static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

    l = diff_trimmed(l);
    if (!diff_take_text(&l, "From "))
        return false;
    while (l.len > 0 && l.p[0] != ' ') {
        l.p++;
        l.len--;
    }
    for (size_t i = 0; i < ARRAY_SIZE(days); i++) {
        struct diff_line rest = l;

        if (diff_take_text(&rest, " ") && diff_take_text(&rest, days[i]))
            return rest.len == 0 || rest.p[0] == ' ';
    }
    return false;
}

/* In front of a mail's attachment, as git makes it: with its version. */
static bool is_boundary(struct diff_line l)
{
    return diff_take_text(&l, "--------------") && l.len > 0 && l.p[0] >= '0' && l.p[0] <= '9';
}

bool diff_begins_text(const struct diff_lines *in)
{
    /* hg; svn and CVS. */
    static const char *const heads[] = {"# HG changeset patch", "changeset: ", "Index: ",
                                        "RCS file: ",           "cvs diff: ",  "cvs server: "};
    struct diff_line l;

    if (!diff_peek(in, &l))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        if (diff_line_starts(&l, heads[i]))
            return true;
    return is_mail(l) || is_boundary(l) || diff_at_signature(in) || at_commit(in);
}

/* ---- what may be lost ------------------------------------------------------------------------ */

/* "- one", as in a list; "- * one" is a line of a comment that is removed. */
static bool is_item(struct diff_line l)
{
    if (!diff_take_text(&l, "- ") || diff_is_blank(l) || l.p[0] == ' ' || l.p[0] == '\t')
        return false;
    return l.p[0] != '*' || (l.len > 1 && l.p[1] != ' ' && l.p[1] != '/');
}

static bool is_rule(struct diff_line l)
{
    size_t n = 0;

    l = diff_trimmed(l);
    while (n < l.len && l.p[n] == '-')
        n++;
    return n == l.len && n >= 3;
}

/* Digits, and perhaps a comma and more of them. */
static bool take_lines(struct diff_line *l)
{
    size_t n = 0;

    while (n < l->len && ((l->p[n] >= '0' && l->p[n] <= '9') || (n > 0 && l->p[n] == ',')))
        n++;
    l->p += n;
    l->len -= n;
    return n > 0;
}

/* A change in the form of diff(1) without -u: "2,3c2" and the old or new lines. */
static bool at_normal_change(const struct diff_lines *at)
{
    struct diff_lines in = *at;
    struct diff_line l;

    if (!diff_peek(&in, &l))
        return false;
    l = diff_trimmed(l);
    diff_next(&in);
    if (!take_lines(&l) || l.len == 0 || !memchr("acd", l.p[0], 3))
        return false;
    l.p++;
    l.len--;
    return take_lines(&l) && l.len == 0 && diff_peek(&in, &l) &&
           (diff_line_starts(&l, "< ") || diff_line_starts(&l, "> "));
}

bool diff_may_be_lost(const struct diff_lines *in, bool in_prose)
{
    struct diff_hunk h;
    struct diff_line l;

    if (!diff_peek(in, &l))
        return false;
    if (diff_line_starts(&l, "+") || diff_line_starts(&l, "@@") || diff_line_starts(&l, "\\ "))
        return true;
    if (diff_line_starts(&l, "-"))
        return !in_prose || !(is_item(l) || is_rule(l));
    if (at_normal_change(in))
        return true;
    while (l.len > 0 && memchr(" \t>|", l.p[0], 4)) {
        l.p++;
        l.len--;
    }
    return diff_line_starts(&l, "diff --git ") || diff_hunk_head(l, &h);
}

/* ---- what is left out ------------------------------------------------------------------------ */

static bool ends(struct diff_line l, const char *s)
{
    return l.len >= strlen(s) && memcmp(l.p + l.len - strlen(s), s, strlen(s)) == 0;
}

/* "Only in FOLDER: NAME" of diff -r; a sentence that begins so has more words. */
static bool is_only_in(struct diff_line l)
{
    const char *colon;

    l = diff_trimmed(l);
    if (!diff_take_text(&l, "Only in "))
        return false;
    colon = l.len ? memchr(l.p, ':', l.len) : NULL;
    return colon && !memchr(l.p, ' ', (size_t)(colon - l.p)) && colon + 1 < l.p + l.len &&
           colon[1] == ' ';
}

/* The head of a context diff. */
static bool at_context(const struct diff_lines *at)
{
    struct diff_lines in = *at;

    if (!at_pair(&in, "*** ", "--- "))
        return false;
    diff_next(&in);
    return at_pair(&in, "--- ", "***************");
}

static bool at_git_header(const struct diff_lines *in)
{
    static const char *const heads[] = {"old mode 1", "new mode 1", "new file mode 1",
                                        "deleted file mode 1"};
    struct diff_line l;

    if (at_pair(in, "rename from ", "rename to ") || at_pair(in, "copy from ", "copy to "))
        return true;
    diff_peek(in, &l);
    l = diff_trimmed(l);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        if (diff_line_starts(&l, heads[i]) && l.len == strlen(heads[i]) + 5)
            return true;
    return diff_line_starts(&l, "similarity index ") && ends(l, "%");
}

/* Over "Index: NAME" of svn and CVS with the line below it. */
static bool take_index(struct diff_lines *at)
{
    struct diff_lines in = *at;
    struct diff_line l;

    if (!diff_peek(&in, &l) || !diff_line_starts(&l, "Index: "))
        return false;
    diff_next(&in);
    if (!diff_peek(&in, &l) || !diff_line_starts(&l, "====="))
        return false;
    diff_next(&in);
    *at = in;
    return true;
}

/* Over the command of diff -r, hg and CVS. */
static bool take_command(struct diff_lines *in)
{
    struct diff_line l;

    if (!diff_peek(in, &l) || !diff_line_starts(&l, "diff -") || diff_line_starts(&l, "diff --"))
        return false;
    diff_next(in);
    return true;
}

/* A file is announced, and then the next one is or the patch ends: it is new and empty. */
static bool nothing_follows(const struct diff_lines *at)
{
    struct diff_lines in = *at;
    bool index = take_index(&in);
    struct diff_line l;

    if (!index && !take_command(&in))
        return false;
    while (diff_peek(&in, &l) && diff_is_blank(l))
        diff_next(&in);
    return in.p == in.end || take_index(&in) || (!index && take_command(&in));
}

const char *diff_left_out(const struct diff_lines *in)
{
    struct diff_line l;

    if (!diff_peek(in, &l))
        return NULL;
    l = diff_trimmed(l);
    if (nothing_follows(in))
        return "names a file, and nothing of it follows: if it is new and empty, make it with "
               "content";
    if ((diff_line_starts(&l, "Binary files ") && ends(l, " differ")) ||
        (diff_line_starts(&l, "Binary file ") && ends(l, " has changed")) ||
        diff_line_starts(&l, "Cannot display: file marked as a binary type") ||
        (l.len == strlen("GIT binary patch") && diff_line_starts(&l, "GIT binary patch")))
        return "tells of a binary file without its content";
    if (is_only_in(l))
        return "tells of a file without its text";
    if (diff_line_starts(&l, "* Unmerged path "))
        return "tells of a file that is not merged";
    if (diff_line_starts(&l, "Submodule ") && ends(l, ":"))
        return "tells of a submodule, which can not be applied";
    if (diff_line_starts(&l, "Property changes on: "))
        return "tells of properties of svn, which can not be applied: leave them out";
    if (diff_line_starts(&l, "diff --cc ") || diff_line_starts(&l, "diff --combined "))
        return "begins a combined diff of a merge, which can not be applied";
    if (diff_line_starts(&l, "*** Begin Patch") || at_context(in))
        return DIFF_OTHER_FORMAT;
    return at_git_header(in) ? "belongs to a line \"diff --git\", which is missing" : NULL;
}
