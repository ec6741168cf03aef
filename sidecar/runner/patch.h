/*
 * Applies a unified diff of one file to its text. Pure: bytes in, bytes out.
 *
 * Every line that the diff keeps or removes must stand in the file exactly where the hunk says,
 * newline included: no fuzz, no offset. Hunks come in order and do not overlap. What stands before
 * the first hunk (names, git's lines) is skipped; behind the last one nothing but empty lines or
 * git's signature may stand, since a line that a wrong count in a hunk's head left out would be
 * lost in silence. An empty line counts as an empty line of context, since many programs cut the
 * space off; a diff that ends without a newline reads as if it had one.
 *
 * Limits: PATCH_FILE_MAX for the file and for the result; the time is linear.
 */
#ifndef ARL_SIDECAR_RUNNER_PATCH_H
#define ARL_SIDECAR_RUNNER_PATCH_H

#include "common/base.h"

#define PATCH_FILE_MAX (8u << 20)

enum patch_error {
    PATCH_OK,
    PATCH_NO_HUNK,   /* there is no hunk in it */
    PATCH_MALFORMED, /* line: of the diff */
    PATCH_MISMATCH,  /* line: of the file, the first that is not what the diff expects */
    PATCH_SEVERAL,   /* it is for several files; line: of the diff */
    PATCH_DELETES,   /* it removes the file; line: of the diff */
    PATCH_TOO_LARGE, /* a file above the limit comes out */
};

/* What is wrong and where, as one number for the wire: PATCH_FAULT_LINE bits of line. */
#define PATCH_FAULT_LINE_BITS 24

/* 0 with an owned *ret (never NULL), else a fault. Neither text may be NULL. */
uint32_t patch_apply(const char *old, size_t old_len, const char *diff, size_t diff_len, char **ret,
                     size_t *ret_len);
enum patch_error patch_fault_error(uint32_t fault);
/* A sentence without a subject's path; owned. Any number has one: it may come from a container. */
char *patch_fault_text(uint32_t fault);

#endif
