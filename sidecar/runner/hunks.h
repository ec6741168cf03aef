/*
 * Applies the hunks of one file of a patch to its text. Pure: bytes in, bytes out.
 *
 * The place of a hunk is the one that its head names, moved as far as the last hunk was moved. If
 * the hunk does not fit there, and fits at exactly one place behind the last hunk, it is applied
 * there, and a note says so. As with git apply, a hunk that begins the file fits only at the
 * beginning of the file, and a hunk without lines of context at its end fits only at the end of the
 * file. Lines must be equal, newline included.
 *
 * Limits: HUNKS_FILE_MAX for the file and for the result. The search for a place compares at most
 * HUNKS_COMPARE_MAX lines; then the hunk does not fit.
 */
#ifndef ARL_SIDECAR_RUNNER_HUNKS_H
#define ARL_SIDECAR_RUNNER_HUNKS_H

#include "sidecar/runner/diff.h"

#define HUNKS_FILE_MAX (8u << 20)
#define HUNKS_FUZZ_MAX 2
#define HUNKS_COMPARE_MAX (16u << 20)

struct hunks_text {
    char *data; /* never NULL */
    size_t len;
    char *notes; /* lines about hunks that were moved, each with its newline; NULL: none */
};

/*
 * fuzz: how many lines of context may differ at each end of a hunk. 0: *ret is set (owned).
 * -EINVAL: *ret_why (owned) is a sentence that says what was expected and what was found.
 */
int hunks_apply(const char *old, size_t old_len, const struct diff_file *f, unsigned fuzz,
                struct hunks_text *ret, char **ret_why);
void hunks_text_done(struct hunks_text *t);

#endif
