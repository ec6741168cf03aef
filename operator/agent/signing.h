/*
 * The keys that sign requests to agents. They are in a file named by a flag, or in a Secret in the
 * operator's own namespace. The first operator makes the Secret. Several operators at once agree on
 * one: an operator whose create fails because the Secret exists reads it. The private half never
 * leaves this process.
 *
 * Data of the Secret: "key" signs requests; "previous" (optional) still signs those to pods that
 * know only this key.
 */
#ifndef ARL_OPERATOR_AGENT_SIGNING_H
#define ARL_OPERATOR_AGENT_SIGNING_H

#include "common/base/err.h"
#include "common/wire/signature.h"
#include "operator/seam/ops.h"

struct signing_keys {
    struct signature_key keys[SIGNATURE_KEYS_MAX]; /* the first is the one for new pods */
    size_t count;
};

/* The key with this id; NULL: there is none. For the id NULL or "": the first key. */
const struct signature_key *signing_find(const struct signing_keys *k, const char *id);
/* The text of ARL_PUBLIC_KEYS in pods; ret has at least 256 bytes. */
void signing_public_text(const struct signing_keys *k, char *ret, size_t size);

/* The file has one or two lines as signature_key_format() makes them, the signing key first. */
int signing_load_file(const char *path, struct signing_keys *ret, struct err *err);

/*
 * Reads the Secret, makes it when it is missing, tries again with back-off until it is there or
 * signing_load_cancel(). on_note tells why it has to try again. keys stays valid during the
 * callback.
 */
struct signing_load;
struct signing_load_opts {
    const char *ns;
    const char *name;
    void (*on_loaded)(void *arg, const struct signing_keys *keys);
    void (*on_note)(void *arg, const char *msg);
    void *arg;
};
struct signing_load *signing_load_start(struct ops *ops, const struct signing_load_opts *opts);
void signing_load_cancel(struct signing_load *l); /* also frees it after on_loaded */

#endif
