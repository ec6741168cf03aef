/*
 * Applies the hunks of one file of a patch to its text. Pure: bytes in, bytes out.
 *
 * A hunk belongs where its head says, moved by what the hunk before it was moved. If it does not
 * fit there, and fits at exactly one place behind the hunk before it, that place is taken and told
 * of. As git apply has it, a hunk that begins the file fits at its beginning only, and one without
 * lines of context at its end only at the file's end. Lines must be equal, newline included.
 *
 * Limits: HUNKS_FILE_MAX for the file and for the result; HUNKS_COMPARE_MAX lines are compared in
 * search of a place, then the hunk counts as one that does not fit.
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
 * fuzz: how many lines of context at each end of a hunk may differ. 0 and an owned *ret; -EINVAL
 * with a sentence in *ret_why (owned), which says what was expected and what was found.
 */
int hunks_apply(const char *old, size_t old_len, const struct diff_file *f, unsigned fuzz,
                struct hunks_text *ret, char **ret_why);
void hunks_text_done(struct hunks_text *t);

#endif
